//! Live tables that are right, and all that can be wrong with them.

use super::*;
use crate::catalog::{Behind, Catalog, LiveColumn};

/// The shipped table as a server shows it that was given our DDL.
fn live(table: &Table) -> LiveTable {
    let column = |column: &Column| LiveColumn {
        name: column.name.clone(),
        type_text: column.clickhouse_type(),
        default_kind: String::new(),
    };
    let partition_key = table.partition.as_ref().expect("shipped are partitioned").to_string();
    let sorting_key = match &table.sort_key[..] {
        [one] => format!("({one})"),
        more => more.join(", "),
    };
    LiveTable {
        columns: table.columns.iter().map(column).collect(),
        engine_full: format!(
            "ReplacingMergeTree(version) PARTITION BY {partition_key} ORDER BY ({}) SETTINGS \
             non_replicated_deduplication_window = 0, index_granularity = 8192",
            table.sort_key.join(", "),
        ),
        sorting_key,
        partition_key,
        sharding_key: None,
    }
}

fn ticks() -> (Table, LiveTable) {
    let catalog = Catalog::shipped();
    let table = catalog.table(catalog.table_id("ticks").expect("ships"));
    (table.clone(), live(table))
}

fn messages(table: &Table, live: &LiveTable) -> Vec<String> {
    table.compare(live).iter().map(ToString::to_string).collect()
}

#[test]
fn a_table_made_by_our_ddl_has_no_mismatch() {
    for table in Catalog::shipped().tables() {
        assert_eq!(table.compare(&live(table)), [], "{}", table.name);
        assert_eq!(Table::from_live(&table.name, &live(table)).as_ref(), Ok(table));
    }
}

#[test]
fn further_columns_quotes_and_replication_are_no_mismatch() {
    let (table, mut live) = ticks();
    live.columns.insert(
        0,
        LiveColumn {
            name: "inserted_at".into(),
            type_text: "DateTime".into(),
            default_kind: "DEFAULT".into(),
        },
    );
    live.sorting_key = "symbol, `timestamp`, event_id".into();
    live.engine_full =
        "ReplicatedReplacingMergeTree('/clickhouse/{shard}/ticks', '{replica}', version) \
         PARTITION BY toYYYYMM(timestamp) ORDER BY (symbol, timestamp, event_id)"
            .into();
    assert_eq!(table.compare(&live), []);
}

#[test]
fn columns_that_are_missing_or_other_are_named_with_what_would_be_right() {
    let (table, mut live) = ticks();
    live.columns.retain(|column| column.name != "ask");
    live.columns[2].type_text = "Float64".into();
    live.columns[4].type_text = "Int32".into();
    live.columns.last_mut().expect("has columns").default_kind = "MATERIALIZED".into();
    assert_eq!(
        messages(&table, &live),
        [
            "table ticks, column bid: has type Float64, must be Decimal(18, 8)",
            "table ticks, column ask: is missing, must be Decimal(18, 8)",
            "table ticks, column exchange: has type Int32, must be Nullable(Int32)",
            "table ticks, column version: is MATERIALIZED, must be a column that can be \
             inserted into",
        ]
    );
}

#[test]
fn an_engine_that_does_not_collapse_copies_is_refused() {
    for engine in [
        "MergeTree ORDER BY symbol",
        "ReplacingMergeTree ORDER BY symbol",
        "ReplacingMergeTree(timestamp) ORDER BY symbol",
        "SummingMergeTree(version) ORDER BY symbol",
        "Distributed('c', 'market', 'ticks')",
        "",
    ] {
        let (table, mut live) = ticks();
        live.engine_full = engine.into();
        let messages = messages(&table, &live);
        assert!(messages[0].contains("must be ReplacingMergeTree(version)"), "{messages:?}");
        assert_eq!(messages.len(), 1);
    }
}

#[test]
fn a_distributed_table_is_written_when_copies_of_a_row_meet_on_one_shard() {
    for key in ["cityHash64(symbol)", "sipHash64(symbol, timestamp) % 4", "`event_id`"] {
        let (table, mut live) = ticks();
        live.sharding_key = Some(key.into());
        assert_eq!(table.compare(&live), [], "{key}");
        assert_eq!(Table::from_live("ticks", &live).as_ref(), Ok(&table));
    }
    for key in [
        "",
        "rand()",
        "1",
        "cityHash64(symbol, version)",
        "cityHash64('symbol')",
        "cityHash64(symbol, rand())",
        "cityHash64(symbol) + RAND64(symbol)",
        "cityHash64(symbol, now64( ))",
    ] {
        let (table, mut live) = ticks();
        live.sharding_key = Some(key.into());
        let messages = messages(&table, &live);
        assert_eq!(messages.len(), 1, "{key}: {messages:?}");
        assert!(messages[0].contains("as by cityHash64(symbol)"), "{messages:?}");
        assert!(Table::from_live("ticks", &live).is_err(), "{key}");
    }
}

#[test]
fn what_a_distributed_table_stands_before_is_read() {
    let behind = |database: &str, table: &str, key: &str| Behind {
        database: database.into(),
        table: table.into(),
        sharding_key: key.into(),
    };
    for (text, found) in [
        (
            "Distributed('c', 'market', 'ticks_local', cityHash64(symbol)) SETTINGS fsync = 1",
            behind("market", "ticks_local", "cityHash64(symbol)"),
        ),
        ("Distributed('c', 'm', 't')", behind("m", "t", "")),
        (
            "Distributed('c', 'm', 't', intHash32(a, b), 'policy')",
            behind("m", "t", "intHash32(a, b)"),
        ),
    ] {
        assert_eq!(Behind::of(text), Some(found), "{text}");
    }
    assert_eq!(Behind::of("ReplacingMergeTree(version)"), None);
    assert_eq!(Behind::of(""), None);
}

#[test]
fn other_keys_are_refused_with_what_would_be_right() {
    let (table, mut live) = ticks();
    live.sorting_key = "symbol, timestamp".into();
    live.partition_key = "toYYYYMM(inserted_at)".into();
    assert_eq!(
        messages(&table, &live),
        [
            "table ticks: sorted by (symbol, timestamp), must be ORDER BY (symbol, timestamp, \
             event_id): the sort key is what makes two rows the same event",
            "table ticks: partitioned by toYYYYMM(inserted_at), must be PARTITION BY \
             toYYYYMM(timestamp): copies of a row in two partitions never collapse",
        ]
    );
    live.partition_key = String::new();
    assert!(messages(&table, &live)[1].contains("not partitioned, must be PARTITION BY"));
}

#[test]
fn a_deduplication_window_is_a_warning() {
    let (table, mut live) = ticks();
    live.engine_full = live.engine_full.replace("window = 0", "window = 100");
    let found = table.compare(&live);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].to_string().contains("should be 0"));
    live.engine_full = live.engine_full.replace("non_replicated", "replicated");
    let found = table.compare(&live);
    assert_eq!(found[0].severity, Severity::Warning, "{found:?}");
    assert!(found[0].reason.starts_with("replicated_deduplication_window"), "{found:?}");
}

#[test]
fn a_table_of_a_user_is_taken_as_it_stands_or_refused_by_name() {
    let (_, mut live) = ticks();
    live.sorting_key = "(event_id)".into();
    live.partition_key = String::new();
    live.columns[4].default_kind = "ALIAS".into();
    let table = Table::from_live("orders", &live).expect("can be written");
    assert_eq!((table.partition, table.columns.len()), (None, 11));

    live.partition_key = "toYYYYMM(timestamp)".into();
    live.columns[1].type_text = "DateTime('UTC')".into();
    live.columns[2].type_text = "UUID".into();
    live.sorting_key = "event_id, cityHash64(symbol), volume".into();
    live.columns[4].default_kind = String::new();
    let refused = Table::from_live("orders", &live).expect_err("cannot be written");
    let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert!(refused[0].contains("column timestamp has type DateTime('UTC')"), "{refused:?}");
    assert!(refused[1].contains("column bid has type UUID"), "{refused:?}");
    assert!(refused[2].contains("sorted by cityHash64(symbol)"), "{refused:?}");
    assert!(refused[3].contains("column volume: in the sort key"), "{refused:?}");
    assert!(refused[4].contains("partitioned by toYYYYMM(timestamp)"), "{refused:?}");
    assert_eq!(refused.len(), 5);
}
