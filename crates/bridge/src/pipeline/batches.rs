//! The rows of batches that are sealed and not durable: with a writer, or held for a try.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use data_bridge_core::block::Block;
use data_bridge_core::units::{BatchId, Position};

use crate::sink::writers::Rows;

/// Blocks by batch. A batch that is with a writer comes back through [`Batches::put_back`].
#[derive(Default)]
pub(super) struct Batches {
    held: BTreeMap<BatchId, Rows>,
}

impl Batches {
    /// A block was sealed and waits for its turn.
    pub(super) fn seal(&mut self, batch: BatchId, block: Block) {
        self.held.insert(batch, Rows::Fresh(Box::new(block)));
    }

    /// A batch that failed comes back from its writer.
    pub(super) fn put_back(&mut self, batch: BatchId, block: Arc<Block>, rows: Range<u32>) {
        self.held.insert(batch, Rows::Again(block, rows));
    }

    /// The rows of a held batch, to be sent.
    pub(super) fn take(&mut self, batch: BatchId) -> Option<Rows> {
        self.held.remove(&batch)
    }

    /// Cuts a batch in two at row `at`: one that was refused, or one too large for an insert.
    pub(super) fn split(&mut self, batch: BatchId, at: u32, left: BatchId, right: BatchId) {
        let (block, rows) = match self.held.remove(&batch) {
            Some(Rows::Again(block, rows)) => (block, rows),
            Some(Rows::Fresh(mut block)) => {
                block.sort();
                let rows = 0..block.rows();
                (Arc::from(block), rows)
            }
            None => unreachable!("batch {batch} is split while no writer has it"),
        };
        let middle = rows.start + at;
        self.held.insert(left, Rows::Again(Arc::clone(&block), rows.start..middle));
        self.held.insert(right, Rows::Again(block, middle..rows.end));
    }

    /// Where the only row of a batch that was refused came from.
    pub(super) fn origin(&self, batch: BatchId) -> Option<(String, Position)> {
        let Rows::Again(block, rows) = self.held.get(&batch)? else {
            return None;
        };
        let (origin, position) = block.origin(rows.start)?;
        Some((origin.to_owned(), position))
    }

    /// Drops the rows of a batch.
    pub(super) fn forget(&mut self, batch: BatchId) {
        self.held.remove(&batch);
    }
}
