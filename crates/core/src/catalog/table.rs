//! A table: columns, identity of a row, partition.

use super::column::Column;

/// A `ReplacingMergeTree(version)` that the bridge writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, without the database.
    pub name: String,
    /// The columns that are written, in the order of [cells](crate::block::Cell).
    pub columns: Vec<Column>,
    /// Names of the columns that make a row's identity.
    pub sort_key: Vec<String>,
    /// How ClickHouse cuts the table in parts that never merge; `None`: not at all.
    pub partition: Option<PartitionKey>,
}

/// A partition key that is a calendar unit of a time column of the sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionKey {
    /// The calendar unit.
    pub unit: PartitionUnit,
    /// A column of type [`Time`](super::ColumnType::Time), never NULL.
    pub column: String,
}

/// Calendar unit of a partition, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionUnit {
    /// `toYear`: 2024.
    Year,
    /// `toYYYYMM`: 202401.
    Month,
    /// `toYYYYMMDD`: 20240131.
    Day,
}

impl Table {
    /// Index of the column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
