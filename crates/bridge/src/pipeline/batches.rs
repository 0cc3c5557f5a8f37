//! The rows of batches that were sent and are not durable: with a writer, or held for another try.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use data_bridge_core::block::Block;
use data_bridge_core::units::{BatchId, Position};

use crate::sink::writers::Rows;

/// Blocks by batch. A batch that is with a writer comes back through [`Batches::put_back`].
#[derive(Default)]
pub(super) struct Batches {
    held: BTreeMap<BatchId, Held>,
}

struct Held {
    block: Arc<Block>,
    rows: Range<u32>,
}

impl Batches {
    /// A batch that failed comes back from its writer.
    pub(super) fn put_back(&mut self, batch: BatchId, block: Arc<Block>, rows: Range<u32>) {
        self.held.insert(batch, Held { block, rows });
    }

    /// The rows of a held batch, for another attempt.
    pub(super) fn take(&mut self, batch: BatchId) -> Option<Rows> {
        self.held.remove(&batch).map(|held| Rows::Again(held.block, held.rows))
    }

    /// Cuts a held batch in two at row `at`.
    pub(super) fn split(&mut self, batch: BatchId, at: u32, left: BatchId, right: BatchId) {
        let Some(Held { block, rows }) = self.held.remove(&batch) else { return };
        let middle = rows.start + at;
        self.held.insert(left, Held { block: Arc::clone(&block), rows: rows.start..middle });
        self.held.insert(right, Held { block, rows: middle..rows.end });
    }

    /// Where the only row of a held batch came from.
    pub(super) fn origin(&self, batch: BatchId) -> Option<(String, Position)> {
        let held = self.held.get(&batch)?;
        let (origin, position) = held.block.origin(held.rows.start);
        Some((origin.to_owned(), position))
    }

    /// Drops the rows of a batch.
    pub(super) fn forget(&mut self, batch: BatchId) {
        self.held.remove(&batch);
    }
}
