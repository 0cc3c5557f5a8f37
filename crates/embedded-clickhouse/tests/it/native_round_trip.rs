//! Blocks that the core encodes are read back from the engine, value by value, for every type and
//! every shipped table; and the engine shows those tables as the core wants them.

mod rows;
mod server;

use std::collections::BTreeSet;
use std::sync::Arc;

use data_bridge_core::block::{Blocks, Cell};
use data_bridge_core::catalog::{Catalog, Column, LiveColumn, LiveTable, PartitionKey, Table};

use self::rows::{Random, Row, answer, question, random_rows, with_cells};
use self::server::Server;

/// Names of the types, as `system.columns` has them.
const TYPES: &[&str] = &[
    "LowCardinality(String)",
    "LowCardinality(Nullable(String))",
    "String",
    "Nullable(String)",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float32",
    "Float64",
    "Bool",
    "Nullable(Int8)",
    "Nullable(Int16)",
    "Nullable(Int32)",
    "Nullable(Int64)",
    "Nullable(UInt8)",
    "Nullable(UInt16)",
    "Nullable(UInt32)",
    "Nullable(UInt64)",
    "Nullable(Float32)",
    "Nullable(Float64)",
    "Nullable(Bool)",
    "Decimal(1, 0)",
    "Decimal(9, 9)",
    "Decimal(10, 2)",
    "Decimal(18, 8)",
    "Decimal(19, 0)",
    "Decimal(38, 8)",
    "Decimal(38, 38)",
    "Nullable(Decimal(9, 3))",
    "Nullable(Decimal(18, 8))",
    "Nullable(Decimal(38, 8))",
    "DateTime64(0, 'UTC')",
    "DateTime64(3, 'UTC')",
    "DateTime64(6, 'UTC')",
    "DateTime64(9, 'UTC')",
    "Nullable(DateTime64(3, 'UTC'))",
    "Map(String, String)",
];

/// One test, because a process has one engine.
#[test]
fn rows_come_back_from_the_engine_as_they_were_encoded() {
    let server = Server::start();
    server.query("CREATE DATABASE market");
    let mut catalog = Catalog::shipped();
    catalog.add_table(every_type());
    let catalog = Arc::new(catalog);
    for table in catalog.tables() {
        server.query(&table.ddl("market"));
        assert_eq!(table.compare(&live(&server, table)), [], "{}", table.name);
        let rows = random_rows(table, 300, &mut Random(7));
        insert(&server, &catalog, table, &rows);
        check_rows(&server, table, &rows);
    }
    a_tick_reads_as_it_was_meant(&server, &catalog);
    large_dictionaries_are_understood(&server);
}

fn every_type() -> Table {
    let column = |(index, type_text): (usize, &&str)| {
        Column::parse(&format!("c{index}"), type_text).expect("is known")
    };
    let mut columns: Vec<Column> = TYPES.iter().enumerate().map(column).collect();
    columns.push(Column::parse("at", "DateTime64(3, 'UTC')").expect("is known"));
    columns.push(Column::parse("version", "UInt64").expect("is known"));
    Table {
        name: "every_type".to_owned(),
        columns,
        sort_key: vec!["at".to_owned()],
        partition: PartitionKey::parse("toYYYYMM(at)"),
    }
}

/// Sends each partition's rows as three inserts, so that dictionaries are cut down to ranges.
fn insert(server: &Server, catalog: &Arc<Catalog>, table: &Table, rows: &[Row]) {
    let id = catalog.table_id(&table.name).expect("in the catalog");
    let mut blocks = Blocks::new(Arc::clone(catalog));
    let mut shelves = BTreeSet::new();
    for row in rows {
        shelves.insert(with_cells(row, |cells| blocks.push(id, cells)).shelf);
    }
    let statement = format!("INSERT INTO market.{} FORMAT Native", table.name);
    for shelf in &shelves {
        let mut block = blocks.take(*shelf).expect("has rows");
        block.sort();
        let third = block.rows() / 3;
        for range in [0..third, third..third + 1, third + 1..block.rows()] {
            let mut body = Vec::new();
            block.encode(range, &mut body);
            server.insert(&statement, &body);
        }
    }
    let partitions = server.query(&format!(
        "SELECT DISTINCT partition FROM system.parts \
         WHERE active AND database = 'market' AND table = '{}' ORDER BY toUInt32(partition)",
        table.name,
    ));
    let wanted: String = shelves.iter().map(|shelf| shelf.partition.to_string() + "\n").collect();
    assert_eq!(partitions, wanted, "partitions of {}", table.name);
}

fn check_rows(server: &Server, table: &Table, rows: &[Row]) {
    let questions: Vec<String> = table.columns.iter().map(question).collect();
    let select = format!("SELECT {} FROM market.{}", questions.join(", "), table.name);
    let found = server.query(&select);
    let mut found: Vec<&str> = found.lines().collect();
    let mut wanted: Vec<String> = rows
        .iter()
        .map(|row| {
            let answers: Vec<String> = table
                .columns
                .iter()
                .zip(row)
                .map(|(column, value)| answer(column, value))
                .collect();
            answers.join("\t")
        })
        .collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found.len(), wanted.len(), "rows of {}", table.name);
    for (found, wanted) in found.iter().zip(&wanted) {
        let values = found.split('\t').zip(wanted.split('\t'));
        for ((found, wanted), column) in values.zip(&table.columns) {
            assert_eq!(found, wanted, "{}.{}: {:?}", table.name, column.name, column.kind);
        }
    }
}

/// What the engine says of a table that it made by our DDL.
fn live(server: &Server, table: &Table) -> LiveTable {
    let of = format!("WHERE database = 'market' AND table = '{}'", table.name);
    let columns = server.query(&format!(
        "SELECT name, type, default_kind FROM system.columns {of} ORDER BY position FORMAT TSVRaw"
    ));
    let text = |column: &str| {
        let text = server.query(&format!("SELECT {column} FROM system.tables {of} FORMAT TSVRaw"));
        text.trim_end().to_owned()
    };
    let column = |line: &str| {
        let mut texts = line.split('\t').map(str::to_owned);
        let mut next = || texts.next().expect("three columns");
        LiveColumn { name: next(), type_text: next(), default_kind: next() }
    };
    LiveTable {
        columns: columns.lines().map(column).collect(),
        engine_full: text("engine_full"),
        sorting_key: text("sorting_key"),
        partition_key: text("partition_key"),
        sharding_key: None,
    }
}

/// Values as a person reads them: the rest of the test compares integers on both sides.
fn a_tick_reads_as_it_was_meant(server: &Server, catalog: &Arc<Catalog>) {
    server.query("TRUNCATE TABLE market.ticks");
    let mut blocks = Blocks::new(Arc::clone(catalog));
    let id = catalog.table_id("ticks").expect("ships");
    let pushed = blocks.push(
        id,
        &[
            Cell::Text("EUR/USD"),
            Cell::Int(1_706_198_400_123),
            Cell::scaled(109_551_000_i64),
            Cell::scaled(-1_i64),
            Cell::Null,
            Cell::Int(48),
            Cell::Text("polygon_websocket"),
            Cell::Text("quote"),
            Cell::UInt(u64::MAX),
            Cell::Text("kafka:tick_archive:3"),
            Cell::UInt(7),
            Cell::UInt(1_706_198_400_123 << 22 | 7),
        ],
    );
    let block = blocks.take(pushed.shelf).expect("has a row");
    let mut body = Vec::new();
    block.encode(0..1, &mut body);
    server.insert("INSERT INTO market.ticks FORMAT Native", &body);
    assert_eq!(
        server.query("SELECT * FROM market.ticks"),
        "EUR/USD\t2024-01-25 16:00:00.123\t1.09551\t-0.00000001\t\\N\t48\tpolygon_websocket\tquote\t\
         18446744073709551615\tkafka:tick_archive:3\t7\t7156314774429499399\n",
    );
}

/// Codes of one, two and four bytes.
fn large_dictionaries_are_understood(server: &Server) {
    let table = Table {
        name: "words".to_owned(),
        columns: vec![
            Column::parse("word", "LowCardinality(String)").expect("is known"),
            Column::parse("perhaps", "LowCardinality(Nullable(String))").expect("is known"),
            Column::parse("version", "UInt64").expect("is known"),
        ],
        sort_key: vec!["version".to_owned()],
        partition: None,
    };
    server.query(&table.ddl("market"));
    let mut catalog = Catalog::shipped();
    let id = catalog.add_table(table);
    let mut blocks = Blocks::new(Arc::new(catalog));
    for words in [255_u64, 256, 257, 65_535, 65_536, 65_537] {
        server.query("TRUNCATE TABLE market.words");
        for row in 0..words + 10 {
            let word = format!("w{}", row % words);
            blocks.push(id, &[Cell::Text(&word), Cell::Text(&word), Cell::UInt(row)]);
        }
        let shelf = blocks.open().next().expect("has rows").shelf();
        let block = blocks.take(shelf).expect("has rows");
        let mut body = Vec::new();
        block.encode(0..block.rows(), &mut body);
        server.insert("INSERT INTO market.words FORMAT Native", &body);
        let wrong = server.query(&format!(
            "SELECT count(), countIf(word != concat('w', toString(version % {words}))), \
             countIf(perhaps IS NULL OR perhaps != word), uniqExact(word) FROM market.words"
        ));
        assert_eq!(wrong, format!("{}\t0\t0\t{words}\n", words + 10));
    }
}
