//! Inserts in the formats of the engine, however the body is cut into pieces.

use crate::client::Client;
use crate::server::Server;

const COLUMNS: &str = "id UInt64, symbol LowCardinality(String), note Nullable(String), \
    price Decimal(18, 8), at DateTime64(3, 'UTC'), flag Bool, tags Array(String)";

/// A database with the tables `source`, filled, and `target`, empty.
fn tables(name: &str, rows: u32) -> Client {
    let client = Server::shared().database(name);
    for table in ["source", "target"] {
        client.ok(&format!("CREATE TABLE {table} ({COLUMNS}) ENGINE = MergeTree ORDER BY id"));
    }
    client.ok(&format!(
        "INSERT INTO source SELECT number, ['EUR/USD', 'ü;''\\n\\t\"']::Array(String)[number % 2 + 1], \
         if(number % 3 = 0, NULL, toString(number)), number / 8, \
         toDateTime64('2024-01-25 16:00:00', 3, 'UTC') + number, number % 2, \
         arrayMap(x -> toString(x), range(number % 4)) FROM numbers({rows})"
    ));
    client
}

fn checksum(client: &Client, table: &str) -> String {
    client.ok(&format!("SELECT count(), groupBitXor(cityHash64(*)) FROM {table}"))
}

#[track_caller]
fn goes_round(format: &str) {
    let client = tables(&format!("format_{}", format.to_lowercase()), 2_000);
    let data = client.post(&format!("SELECT * FROM source ORDER BY id FORMAT {format}"));
    assert_eq!(data.status, 200, "{}", data.text());
    let query = format!("INSERT INTO target FORMAT {format}");
    let whole = client.insert(&query, &data.body);
    assert_eq!(whole.status, 200, "{format}: {}", whole.text());
    assert_eq!(checksum(&client, "target"), checksum(&client, "source"), "{format} whole");
    let summary = whole.header("x-clickhouse-summary").unwrap();
    assert!(summary.contains(r#""written_rows":"2000""#), "{summary}");

    client.ok("TRUNCATE TABLE target");
    let pieces = client.insert_chunked(&query, &data.body, 997, false);
    assert_eq!(pieces.status, 200, "{format}: {}", pieces.text());
    assert_eq!(checksum(&client, "target"), checksum(&client, "source"), "{format} in pieces");

    client.ok("TRUNCATE TABLE target");
    let mut inline = format!("{query}\n").into_bytes();
    inline.extend_from_slice(&data.body);
    let inline = client.insert("", &inline);
    assert_eq!(inline.status, 200, "{format}: {}", inline.text());
    assert_eq!(
        checksum(&client, "target"),
        checksum(&client, "source"),
        "{format} behind its INSERT"
    );
}

#[test]
fn native_goes_round() {
    goes_round("Native");
}

#[test]
fn row_binary_goes_round() {
    goes_round("RowBinary");
    goes_round("RowBinaryWithNamesAndTypes");
}

#[test]
fn json_goes_round() {
    goes_round("JSONEachRow");
    goes_round("JSONCompactEachRow");
}

#[test]
fn csv_and_tsv_go_round() {
    goes_round("CSV");
    goes_round("CSVWithNames");
    goes_round("TabSeparated");
    goes_round("TSVWithNamesAndTypes");
}

#[test]
fn values_go_round() {
    goes_round("Values");
}

#[test]
fn columnar_files_go_round() {
    goes_round("Parquet");
    goes_round("Arrow");
    goes_round("ArrowStream");
    goes_round("ORC");
}

#[test]
fn values_and_select_may_stand_in_the_statement() {
    let client = tables("inline", 10);
    client.ok("CREATE TABLE t (a UInt8, b String) ENGINE = MergeTree ORDER BY a");
    client.ok("INSERT INTO t (b, a) VALUES ('x;y', 1), (upper('q'), 1 + 1);");
    client.ok("INSERT INTO t SELECT 3, 'z'");
    client.ok("INSERT INTO t FORMAT JSONEachRow {\"a\": 4, \"b\": \"j\"}");
    client.ok("INSERT INTO t FORMAT CSV SETTINGS format_csv_delimiter = '|'\n5|c\n");
    assert_eq!(client.insert("INSERT INTO t VALUES", b"(6, 'v')").status, 200);
    let bound =
        client.with("param_t", "t").insert("INSERT INTO {t:Identifier} FORMAT CSV", b"7,p\n");
    assert_eq!(bound.status, 200, "{}", bound.text());
    assert_eq!(
        client.ok("SELECT a, b FROM t ORDER BY a FORMAT CSV"),
        "1,\"x;y\"\n2,\"Q\"\n3,\"z\"\n4,\"j\"\n5,\"c\"\n6,\"v\"\n7,\"p\""
    );
}
