//! One lane without a front: its chunks are acked each on its own, in any order.

use std::collections::BTreeMap;

use crate::units::{ChunkId, Moment, TableId};

/// One lane whose broker takes an ack per message.
#[derive(Debug)]
pub(super) struct Stream {
    table: TableId,
    tenure: Tenure,
    chunks: BTreeMap<ChunkId, Chunk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenure {
    /// Takes chunks, and acks those that settle.
    Live,
    /// The broker does not know what we hold any more: nothing is acked.
    Ended,
}

#[derive(Debug)]
struct Chunk {
    bytes: u64,
    receipts: u32,
    since: Moment,
    standing: Standing,
}

/// What the broker believes of a chunk that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is being worked on.
    Kept,
    /// It may be delivered to anybody again; acked all the same once its rows are durable.
    GivenBack,
}

/// The last receipt of a chunk was spent.
pub(super) struct Settled {
    pub(super) bytes: u64,
    pub(super) ack: bool,
}

impl Stream {
    pub(super) fn new(table: TableId) -> Self {
        Self { table, tenure: Tenure::Live, chunks: BTreeMap::new() }
    }

    pub(super) fn table(&self) -> TableId {
        self.table
    }

    /// None, and nothing changed, when the lane has ended.
    pub(super) fn open(&mut self, id: ChunkId, bytes: u64, now: Moment) -> Option<()> {
        if self.tenure == Tenure::Ended {
            return None;
        }
        let chunk = Chunk { bytes, receipts: 1, since: now, standing: Standing::Kept };
        self.chunks.insert(id, chunk);
        Some(())
    }

    pub(super) fn touch(&mut self, id: ChunkId, now: Moment) {
        if let Some(chunk) = self.chunks.get_mut(&id) {
            chunk.since = now;
        }
    }

    pub(super) fn cut(&mut self, id: ChunkId) {
        if let Some(chunk) = self.chunks.get_mut(&id) {
            chunk.receipts += 1;
        }
    }

    /// Spends one receipt.
    pub(super) fn settle(&mut self, id: ChunkId) -> Option<Settled> {
        let chunk = self.chunks.get_mut(&id)?;
        chunk.receipts = chunk.receipts.checked_sub(1)?;
        if chunk.receipts > 0 {
            return None;
        }
        let bytes = chunk.bytes;
        self.chunks.remove(&id);
        Some(Settled { bytes, ack: self.tenure == Tenure::Live })
    }

    pub(super) fn end(&mut self) {
        self.tenure = Tenure::Ended;
    }

    pub(super) fn is_live(&self) -> bool {
        self.tenure == Tenure::Live
    }

    /// Ended, and nothing of it is held.
    pub(super) fn is_over(&self) -> bool {
        !self.is_live() && self.chunks.is_empty()
    }

    /// What the broker believes of a chunk; None when there is nothing to tell it.
    pub(super) fn standing(&self, id: ChunkId) -> Option<Standing> {
        if !self.is_live() {
            return None;
        }
        self.chunks.get(&id).map(|chunk| chunk.standing)
    }

    /// Marks a chunk as given back; false when it was before, or is not open.
    pub(super) fn give_back(&mut self, id: ChunkId) -> bool {
        let kept = self.standing(id) == Some(Standing::Kept);
        if let Some(chunk) = self.chunks.get_mut(&id).filter(|_| kept) {
            chunk.standing = Standing::GivenBack;
        }
        kept
    }

    /// Marks all chunks as given back; those that were not before are added to `given`.
    pub(super) fn give_back_all(&mut self, given: &mut Vec<ChunkId>) {
        if !self.is_live() {
            return;
        }
        let kept = self.chunks.iter_mut().filter(|(_, chunk)| chunk.standing == Standing::Kept);
        for (id, chunk) in kept {
            chunk.standing = Standing::GivenBack;
            given.push(*id);
        }
    }

    pub(super) fn open_chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Chunks that the broker believes to be worked on.
    pub(super) fn kept_chunks(&self) -> usize {
        self.chunks.values().filter(|chunk| chunk.standing == Standing::Kept).count()
    }

    pub(super) fn oldest_open(&self) -> Option<Moment> {
        self.chunks.values().map(|chunk| chunk.since).min()
    }
}
