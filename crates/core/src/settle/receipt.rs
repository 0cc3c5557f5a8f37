//! Rights to settle: each is spent once, and none can be copied.

use crate::units::{ChunkId, LaneId};

/// The right to settle a chunk: travels with the chunk's rows and is spent when they are durable.
///
/// Dropped without being spent, it leaves its chunk open for ever: its lane then commits nothing
/// past it, and the records come again after a restart. That is the safe side.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a receipt that is dropped leaves its chunk open for ever"]
pub struct Receipt {
    lane: LaneId,
    chunk: ChunkId,
}

impl Receipt {
    pub(super) fn new(lane: LaneId, chunk: ChunkId) -> Self {
        Self { lane, chunk }
    }

    /// The chunk it settles.
    #[must_use]
    pub fn chunk(&self) -> ChunkId {
        self.chunk
    }

    /// The lane of the chunk.
    #[must_use]
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    pub(super) fn spend(self) -> (LaneId, ChunkId) {
        (self.lane, self.chunk)
    }
}

/// The right to settle a part of a bundle of claims.
#[derive(Debug)]
#[must_use = "a share that is dropped leaves all chunks of its bundle open for ever"]
pub(crate) struct Share {
    bundle: u64,
}

impl Share {
    pub(super) fn new(bundle: u64) -> Self {
        Self { bundle }
    }

    pub(super) fn bundle(&self) -> u64 {
        self.bundle
    }

    pub(super) fn spend(self) -> u64 {
        self.bundle
    }
}

/// What rows carry: the receipt of their chunk, or a share in the chunks of a batch that was cut.
#[derive(Debug)]
#[must_use = "a claim that is dropped leaves its chunks open for ever"]
pub(crate) enum Claim {
    /// All rows of one chunk on one shelf.
    Receipt(Receipt),
    /// Some rows of a batch that was cut in pieces.
    Share(Share),
}
