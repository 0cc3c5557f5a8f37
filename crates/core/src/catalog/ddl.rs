//! The statement that creates a table.

use std::fmt::Write as _;

use super::column::{Column, ColumnType};
use super::table::Table;

impl Table {
    /// `CREATE TABLE IF NOT EXISTS` of this table in `database`; creates what is missing, changes
    /// nothing that is there.
    #[must_use]
    pub fn ddl(&self, database: &str) -> String {
        let mut ddl = format!(
            "CREATE TABLE IF NOT EXISTS {}.{}\n(\n",
            quoted(database),
            self.name
        );
        for (index, column) in self.columns.iter().enumerate() {
            let comma = if index + 1 < self.columns.len() {
                ","
            } else {
                ""
            };
            let codec = codec(column);
            // Writing to a String cannot fail.
            writeln!(
                ddl,
                "    {} {}{codec}{comma}",
                column.name,
                column.clickhouse_type()
            )
            .ok();
        }
        write!(ddl, ")\nENGINE = ReplacingMergeTree({})\n", Self::VERSION).ok();
        if let Some(partition) = &self.partition {
            writeln!(ddl, "PARTITION BY {partition}").ok();
        }
        writeln!(ddl, "ORDER BY ({})", self.sort_key.join(", ")).ok();
        // A retry whose first copy was lost with a crash must not be taken for a duplicate; said
        // here because a server's own default may be another.
        ddl.push_str("SETTINGS non_replicated_deduplication_window = 0");
        ddl
    }
}

/// How a column is compressed, where the server's default is worse.
fn codec(column: &Column) -> &'static str {
    let counts_up = column.name == Table::VERSION || column.name == "origin_position";
    match column.kind {
        ColumnType::Time { .. } => " CODEC(Delta, ZSTD(1))",
        ColumnType::UInt64 if counts_up => " CODEC(Delta, ZSTD(1))",
        ColumnType::Text | ColumnType::TextMap => " CODEC(ZSTD(1))",
        _ => "",
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
