//! Rows as columns: built row by row, sorted, encoded as ClickHouse's Native format.

mod blocks;
mod cell;

pub use blocks::{Blocks, Pushed};
pub use cell::{Cell, Wide};

use std::ops::Range;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::units::{Position, Shelf};

/// Rows of one shelf, as columns.
#[derive(Debug)]
pub struct Block {
    catalog: Arc<Catalog>,
    shelf: Shelf,
    rows: u32,
}

impl Block {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes its values take, without memory held in reserve.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        0
    }

    /// Where the rows belong.
    #[must_use]
    pub fn shelf(&self) -> Shelf {
        self.shelf
    }

    /// Appends a row: one cell per column of the table, in the table's order.
    ///
    /// # Panics
    /// When the cells are not values of the columns, which is a mistake of the caller. The block
    /// is then as it was before.
    pub fn push(&mut self, cells: &[Cell<'_>]) {
        let _ = (cells, &self.catalog);
        self.rows += 1;
    }

    /// Sorts the rows by the table's sort key; rows alike in it keep their order. Cheap when they
    /// are sorted already.
    pub fn sort(&mut self) {}

    /// Appends these rows to `out` as one block of ClickHouse's Native format, names and types
    /// included. The same rows give the same bytes.
    pub fn encode(&self, rows: Range<u32>, out: &mut Vec<u8>) {
        let _ = (rows, out);
    }

    /// Where a row came from: columns `origin` and `origin_position`, for tables that have them.
    #[must_use]
    pub fn origin(&self, row: u32) -> Option<(&str, Position)> {
        let _ = row;
        None
    }
}
