//! A batch: rows that are inserted together, again and again until they are durable.

use crate::settle::Claim;
use crate::units::{BatchId, Moment, Shelf};

/// Rows of one insert.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) shelf: Shelf,
    pub(super) rows: u32,
    /// Its share of the block's bytes.
    pub(super) bytes: u64,
    pub(super) claims: Vec<Claim>,
    /// The block its rows lie in.
    pub(super) block: BlockId,
    /// When it was due; orders batches of one table.
    pub(super) due: Moment,
    /// How often its rows were sent.
    pub(super) sent: u32,
    /// Failures that were answered by a backoff.
    pub(super) failures: u32,
    /// Failures of a kind nobody foresaw.
    pub(super) unknown: u32,
    /// The other half, when this one is the first half of a batch with a bad row: if no row of this
    /// half is bad, one of the other is.
    pub(super) twin: Option<BatchId>,
    /// Some row of the batch it was cut from is bad.
    pub(super) suspect: bool,
    /// The server named its only row as the bad one.
    pub(super) accused: bool,
    pub(super) progress: Progress,
}

/// What happens to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Sent as soon as there is room.
    Ready,
    /// Failed: sent again at this moment.
    Waiting(Moment),
    /// An insert is under way since this moment.
    InFlight(Moment),
    /// Its only row becomes a dead letter.
    Burying,
}

/// A block of rows in memory, which the parts of a split batch share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockId(pub(super) BatchId);

/// What a block costs, as long as any part of it is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: u64,
    pub(super) parts: u32,
}

impl Batch {
    /// Whether it failed and has not been durable since.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }
}
