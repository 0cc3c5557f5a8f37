//! Rows as columns: built row by row, sorted, encoded as ClickHouse's Native format.

mod blocks;
mod cell;
mod dictionary;
mod fingerprint;
mod keywords;
mod layout;
mod maps;
mod sort;
mod stage;
mod texts;
mod values;
mod words;

pub use blocks::{Blocks, Pushed};
pub use cell::{Cell, TooWide, Wide};

pub(crate) use stage::{STAGED, Stage, Staged, span, spanned};
pub(crate) use words::{FORM, FORM_HEAD, LONGEST, Words};

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::layout::Layout;
use self::stage::Lookup;
use self::texts::write_length;
use self::values::{Scratch, Store, Values};
use crate::units::{Position, Shelf};

/// Rows of one shelf, as columns.
pub struct Block {
    layout: Arc<Layout>,
    shelf: Shelf,
    rows: u32,
    bytes: u64,
    columns: Vec<Values>,
    /// Names its dictionaries: see [`Words`].
    generation: u64,
}

/// A number that no block had before.
fn next_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Block {
    fn new(layout: Arc<Layout>, shelf: Shelf) -> Self {
        let columns = layout.columns.iter().map(Values::new).collect();
        Self { layout, shelf, rows: 0, bytes: 0, columns, generation: next_generation() }
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes its rows take, the sum of what was answered per row. Memory held in reserve is not
    /// counted: see [`held`](Self::held).
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory it holds, in bytes, used or not.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.columns.iter().map(|values| values.held() as u64).sum()
    }

    /// Where the rows belong.
    #[must_use]
    pub fn shelf(&self) -> Shelf {
        self.shelf
    }

    /// Appends a row: one cell per column of the table, in the table's order. Returns the bytes
    /// it takes.
    ///
    /// # Panics
    /// When the cells are not values of the columns, which is a mistake of the caller; the rows
    /// are then as they were before. Also beyond 2³² − 1 rows.
    #[inline]
    pub fn push(&mut self, cells: &[Cell<'_>]) -> u64 {
        if cells.len() != self.columns.len() || self.rows == u32::MAX {
            self.refuse(None, cells.len());
        }
        let mut bytes = self.layout.row_bytes;
        for (index, (values, cell)) in self.columns.iter_mut().zip(cells).enumerate() {
            match values.push(*cell) {
                Ok(more) => bytes += more as u64,
                Err(_) => self.refuse(Some((index, *cell)), cells.len()),
            }
        }
        self.rows += 1;
        self.bytes += bytes;
        bytes
    }

    /// Appends staged rows; `words` has one for each column, spans point into `bytes`. Returns the
    /// bytes the rows take.
    fn append(
        &mut self,
        stage: &Stage,
        rows: Range<usize>,
        words: &mut [Words],
        bytes: &[u8],
    ) -> u64 {
        let count = rows.len() as u64;
        let mut taken = self.layout.row_bytes * count;
        let columns = self.columns.iter_mut().zip(words).zip(stage.columns());
        for ((values, words), staged) in columns {
            let mut lookup = Lookup { words, generation: self.generation, bytes };
            taken += values.append(staged, rows.clone(), &mut lookup) as u64;
        }
        let rows = u64::from(self.rows) + count;
        self.rows = u32::try_from(rows).expect("a batch closes long before 2^32 rows");
        self.bytes += taken;
        taken
    }

    /// Drops what an interrupted [`append`](Self::append) left behind.
    fn mend(&mut self) {
        for values in &mut self.columns {
            values.truncate(self.rows as usize);
        }
    }

    /// Undoes the half-written row and panics.
    #[cold]
    #[expect(clippy::panic, reason = "cells that do not fit are a mistake in a decoder's plan")]
    fn refuse(&mut self, unfit: Option<(usize, Cell<'_>)>, cells: usize) -> ! {
        for values in &mut self.columns {
            values.truncate(self.rows as usize);
        }
        let Layout { table, columns, .. } = &*self.layout;
        let (rows, wanted) = (self.rows, columns.len());
        match unfit {
            Some((index, cell)) => {
                let column = &columns[index];
                panic!(
                    "table {table}, column {} of type {} cannot hold {cell:?}",
                    column.name,
                    column.clickhouse_type(),
                )
            }
            None => panic!("table {table} with {rows} rows takes {wanted} cells, not {cells}"),
        }
    }

    /// Sorts the rows by the table's sort key, as ClickHouse would; rows alike in it keep their
    /// order. Cheap when they are sorted already.
    pub fn sort(&mut self) {
        let Some(order) = sort::order(&self.columns, &self.layout.sort_key, self.rows) else {
            return;
        };
        let mut scratch = Scratch::default();
        for values in &mut self.columns {
            values.reorder(&order, &mut scratch);
        }
    }

    /// Appends these rows to `out` as one block of ClickHouse's Native format, names and types
    /// included. The same rows give the same bytes.
    ///
    /// # Panics
    /// When the rows are not rows of the block.
    pub fn encode(&self, rows: Range<u32>, out: &mut Vec<u8>) {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "{rows:?} of {self:?}");
        let rows = rows.start as usize..rows.end as usize;
        // About what is written, so that a large block is not copied as `out` grows.
        let share = self.bytes * rows.len() as u64 / u64::from(self.rows).max(1);
        out.reserve(usize::try_from(share).unwrap_or(0));
        write_length(self.columns.len(), out);
        write_length(rows.len(), out);
        for (values, header) in self.columns.iter().zip(&self.layout.headers) {
            out.extend_from_slice(header);
            // A server reads nothing more of a column without rows.
            if !rows.is_empty() {
                values.encode(rows.clone(), out);
            }
        }
    }

    /// Per row, a number by which the same event is known again in any block of the table: from the
    /// columns of the sort key. Two events share one by chance, once in 2⁶⁴ pairs.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<u64> {
        fingerprint::of(&self.columns, &self.layout.sort_key, self.rows as usize)
    }

    /// Where a row came from: columns `origin` and `origin_position`, for tables that have them
    /// as `LowCardinality(String)` and `UInt64`.
    #[must_use]
    pub fn origin(&self, row: u32) -> Option<(&str, Position)> {
        if row >= self.rows {
            return None;
        }
        let (origin, position) = self.layout.origin?;
        match (&self.columns[origin].store, &self.columns[position].store) {
            (Store::Keyword(origins), Store::UInt8(positions)) => {
                let position = u64::from_le_bytes(positions[row as usize]);
                Some((str::from_utf8(origins.get(row as usize)).ok()?, Position(position)))
            }
            _ => None,
        }
    }

    /// Empties it for another shelf of its table and keeps the memory.
    fn restart(&mut self, at: Shelf) {
        self.shelf = at;
        self.rows = 0;
        self.bytes = 0;
        self.generation = next_generation();
        for values in &mut self.columns {
            values.clear();
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("table", &self.layout.table)
            .field("shelf", &self.shelf)
            .field("rows", &self.rows)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
