//! The open blocks, one per shelf.

use std::sync::Arc;

use super::{Block, Cell};
use crate::catalog::Catalog;
use crate::units::{Shelf, TableId};

/// Open blocks, one per shelf.
#[derive(Debug)]
pub struct Blocks {
    catalog: Arc<Catalog>,
}

/// Where [`Blocks::push`] put a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The shelf.
    pub shelf: Shelf,
    /// Bytes the row takes there.
    pub bytes: u64,
}

impl Blocks {
    /// No open block.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }

    /// Puts a row on the shelf that its partition column names.
    ///
    /// # Panics
    /// As [`Block::push`].
    pub fn push(&mut self, table: TableId, cells: &[Cell<'_>]) -> Pushed {
        let _ = (table, cells, &self.catalog);
        todo!()
    }

    /// Takes the block of a shelf away; the next row of that shelf begins a new one.
    pub fn take(&mut self, shelf: Shelf) -> Option<Block> {
        let _ = shelf;
        None
    }

    /// Gives the memory of a block back to be used again.
    pub fn recycle(&mut self, block: Block) {
        drop(block);
    }

    /// The open block of a shelf.
    #[must_use]
    pub fn get(&self, shelf: Shelf) -> Option<&Block> {
        let _ = shelf;
        None
    }

    /// The open blocks, by table and partition.
    pub fn open(&self) -> impl Iterator<Item = &Block> {
        std::iter::empty()
    }

    /// Rows in all open blocks.
    #[must_use]
    pub fn rows(&self) -> u64 {
        0
    }

    /// Bytes of all open blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        0
    }
}
