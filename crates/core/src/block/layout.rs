//! What all blocks of a table have in common.

use super::texts::write_length;
use super::values::Values;
use crate::catalog::{Column, Table};

/// A table as blocks need it: looked up once, then by index.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    /// Per column, its name and type as they stand in a block of the Native format.
    pub(super) headers: Vec<Vec<u8>>,
    /// Columns of the sort key.
    pub(super) sort_key: Vec<usize>,
    /// Columns `origin` and `origin_position`.
    pub(super) origin: Option<(usize, usize)>,
    /// Bytes that every row takes.
    pub(super) row_bytes: u64,
}

impl Layout {
    pub(super) fn new(table: &Table) -> Self {
        let header = |column: &Column| {
            let mut header = Vec::new();
            for text in [&column.name, &column.clickhouse_type()] {
                write_length(text.len(), &mut header);
                header.extend_from_slice(text.as_bytes());
            }
            header
        };
        Self {
            table: table.name.clone(),
            columns: table.columns.clone(),
            headers: table.columns.iter().map(header).collect(),
            sort_key: table.sort_key.iter().filter_map(|name| table.column(name)).collect(),
            origin: table.column("origin").zip(table.column("origin_position")),
            row_bytes: table.columns.iter().map(|c| Values::new(c).row_bytes() as u64).sum(),
        }
    }
}
