//! The statement that creates a table.

use std::fmt::Write as _;

use super::column::{Column, ColumnType};
use super::table::Table;

impl Table {
    /// `CREATE TABLE IF NOT EXISTS` of this table in `database`; creates what is missing, changes
    /// nothing that is there.
    #[must_use]
    pub fn ddl(&self, database: &str) -> String {
        self.ddl_on(database, None)
    }

    /// The same on all servers of a cluster: its replicas hold the same rows, by way of Keeper.
    #[must_use]
    pub fn ddl_on(&self, database: &str, cluster: Option<&str>) -> String {
        let on = cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {}", quoted(name)));
        let mut ddl =
            format!("CREATE TABLE IF NOT EXISTS {}.{}{on}\n(\n", quoted(database), self.name);
        for (index, column) in self.columns.iter().enumerate() {
            let comma = if index + 1 < self.columns.len() { "," } else { "" };
            let codec = codec(column);
            // Writing to a String cannot fail.
            writeln!(ddl, "    {} {}{codec}{comma}", column.name, column.clickhouse_type()).ok();
        }
        let engine = if cluster.is_some() {
            // Servers fill in what stands in braces; a table made anew finds its old path again.
            "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', \
             '{replica}', "
        } else {
            "ReplacingMergeTree("
        };
        write!(ddl, ")\nENGINE = {engine}{})\n", Self::VERSION).ok();
        if let Some(partition) = &self.partition {
            writeln!(ddl, "PARTITION BY {partition}").ok();
        }
        writeln!(ddl, "ORDER BY ({})", self.sort_key.join(", ")).ok();
        // A retry whose first copy was lost with a crash must not be taken for a duplicate; said
        // here because a server's own default may be another.
        let of = if cluster.is_some() { "" } else { "non_" };
        write!(ddl, "SETTINGS {of}replicated_deduplication_window = 0").ok();
        ddl
    }
}

/// How a column is compressed.
///
/// Measured with ClickHouse 26.7 on two million ticks: 22 bytes a row with the server's default, 17
/// with deltas and ZSTD on times and positions, 14 with prices too. Size decided: the CPU time of
/// inserts varied more from run to run than between these.
fn codec(column: &Column) -> &'static str {
    let counts_up = column.name == Table::VERSION || column.name == "origin_position";
    match column.kind {
        ColumnType::Time { .. } => " CODEC(DoubleDelta, ZSTD(1))",
        ColumnType::UInt64 if counts_up => " CODEC(DoubleDelta, ZSTD(1))",
        ColumnType::Decimal { precision: ..=18, .. } => " CODEC(Delta, ZSTD(1))",
        ColumnType::Decimal { .. } | ColumnType::Text | ColumnType::TextMap => " CODEC(ZSTD(1))",
        ColumnType::Keyword
        | ColumnType::Int8
        | ColumnType::Int16
        | ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::UInt8
        | ColumnType::UInt16
        | ColumnType::UInt32
        | ColumnType::UInt64
        | ColumnType::Float32
        | ColumnType::Float64
        | ColumnType::Bool => "",
    }
}

/// A name that need not be a plain word.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;

    #[test]
    fn the_shipped_tables_are_created_as_specified() {
        let catalog = Catalog::shipped();
        let statements: Vec<String> =
            catalog.tables().iter().map(|table| format!("{};\n", table.ddl("market"))).collect();
        let wanted = include_str!("ddl/expected.sql");
        for (statement, wanted) in statements.iter().zip(wanted.split_inclusive(";\n")) {
            assert_eq!(statement, wanted.trim_start());
        }
        assert_eq!(statements.join("\n"), wanted);
    }

    #[test]
    fn on_a_cluster_each_table_is_replicated() {
        let catalog = Catalog::shipped();
        let table = catalog.table(catalog.dead_letters());
        let ddl = table.ddl_on("market", Some("main"));
        assert!(
            ddl.starts_with("CREATE TABLE IF NOT EXISTS market.dead_letters ON CLUSTER main\n(\n")
        );
        assert!(ddl.contains(
            "\nENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', \
             '{replica}', version)\n"
        ));
        assert!(ddl.ends_with("SETTINGS replicated_deduplication_window = 0"));
        let plain = table.ddl("market");
        let (columns, of_cluster) = (plain.split_once(")\nENGINE"), ddl.split_once(")\nENGINE"));
        assert_eq!(
            columns.unwrap().0.split_once('(').unwrap().1,
            of_cluster.unwrap().0.split_once('(').unwrap().1
        );
    }

    #[test]
    fn a_database_may_have_any_name() {
        let catalog = Catalog::shipped();
        let ddl = |database| catalog.table(catalog.dead_letters()).ddl(database);
        assert!(ddl("market_2").starts_with("CREATE TABLE IF NOT EXISTS market_2.dead_letters\n("));
        assert!(ddl("my-market").contains(" `my-market`.dead_letters\n"));
        assert!(ddl("2`\\").contains(" `2\\`\\\\`.dead_letters\n"));
    }
}
