//! The scripted ClickHouse, told to have the tables that `data-bridge init` makes.

use std::fmt::Write as _;

use data_bridge_core::catalog::{Catalog, Table};
use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse, Request};

use crate::world::wait_for;

/// A fake in which all shipped tables are as they must be.
pub(crate) fn fake_with_tables() -> FakeClickHouse {
    let fake = wait_for(FakeClickHouse::start()).expect("a port is free");
    for table in Catalog::shipped().tables() {
        // As the bridge asks for one table.
        fake.program(&format!("name = '{}'", table.name), Answer::Text(keys(table)));
        fake.program(&format!("table = '{}'", table.name), Answer::Text(columns(table)));
    }
    fake
}

/// `engine_full`, `sorting_key`, `partition_key` of `system.tables`.
fn keys(table: &Table) -> String {
    let sort_key = match &table.sort_key[..] {
        [only] => format!("({only})"),
        several => several.join(", "),
    };
    let order = sort_key.trim_matches(['(', ')']);
    let partition = table.partition.as_ref().expect("shipped tables have one").to_string();
    format!(
        "ReplacingMergeTree(version) PARTITION BY {partition} ORDER BY ({order}) \
         SETTINGS non_replicated_deduplication_window = 0, index_granularity = 8192\
         \t{sort_key}\t{partition}\n"
    )
}

/// `name`, `type`, `default_kind` of `system.columns`.
fn columns(table: &Table) -> String {
    let mut lines = String::new();
    for column in &table.columns {
        let kind = column.clickhouse_type().replace('\'', "\\'");
        writeln!(lines, "{}\t{kind}\t", column.name).expect("writing to a string");
    }
    lines
}

/// The rows of an insert.
pub(crate) fn rows_of(request: &Request) -> usize {
    let blocks = request.rows().expect("a whole insert");
    blocks.iter().map(|block| block.rows.len()).sum()
}
