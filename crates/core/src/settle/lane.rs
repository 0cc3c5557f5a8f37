//! One lane: its chunks in order, and how far it may be committed.

use std::collections::VecDeque;

use crate::units::{ChunkId, Moment, Position, TableId};

/// One assignment of one partition, or one pull loop of one stream.
#[derive(Debug)]
pub(super) struct Lane {
    table: TableId,
    tenure: Tenure,
    /// In the order of their records. A settled chunk stays until all before it are settled.
    chunks: VecDeque<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    id: ChunkId,
    next: Position,
    bytes: u64,
    /// Receipts that are not spent; 0 means settled.
    receipts: u32,
    since: Moment,
}

/// How much of the lane is ours. Only a lane with a front can be committed.
#[derive(Debug)]
enum Tenure {
    /// Takes chunks. `opened` is the position after the last record of the last chunk.
    Live { opened: Position, front: Front },
    /// Takes nothing new; what becomes durable is committed.
    Ending { front: Front },
    /// Not ours any more: its chunks only wait to be freed.
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Front {
    /// Every record before it is durable.
    reached: Position,
    /// Named by the commit that is under way.
    asked: Option<Position>,
    /// Accepted by the broker, or where the lane began.
    confirmed: Position,
}

impl Lane {
    pub(super) fn new(start: Position, table: TableId) -> Self {
        let front = Front { reached: start, asked: None, confirmed: start };
        Self { table, tenure: Tenure::Live { opened: start, front }, chunks: VecDeque::new() }
    }

    pub(super) fn table(&self) -> TableId {
        self.table
    }

    /// None, and nothing changed, when the lane takes nothing or `next` is no progress.
    pub(super) fn open(
        &mut self,
        id: ChunkId,
        next: Position,
        bytes: u64,
        now: Moment,
    ) -> Option<()> {
        let Tenure::Live { opened, .. } = &mut self.tenure else {
            return None;
        };
        if next <= *opened {
            return None;
        }
        *opened = next;
        self.chunks.push_back(Chunk { id, next, bytes, receipts: 1, since: now });
        Some(())
    }

    fn chunk(&mut self, id: ChunkId) -> Option<&mut Chunk> {
        let index = self.chunks.binary_search_by_key(&id, |chunk| chunk.id).ok()?;
        self.chunks.get_mut(index)
    }

    pub(super) fn touch(&mut self, id: ChunkId, now: Moment) {
        if let Some(chunk) = self.chunk(id) {
            chunk.since = now;
        }
    }

    pub(super) fn cut(&mut self, id: ChunkId) {
        if let Some(chunk) = self.chunk(id) {
            chunk.receipts += 1;
        }
    }

    /// Nothing of the chunk but its name is held from now on. The bytes it had.
    pub(super) fn let_go(&mut self, id: ChunkId) -> u64 {
        self.chunk(id).map_or(0, |chunk| std::mem::take(&mut chunk.bytes))
    }

    /// Spends one receipt. The chunk's bytes, when it was the last one.
    pub(super) fn settle(&mut self, id: ChunkId) -> Option<u64> {
        let chunk = self.chunk(id)?;
        chunk.receipts = chunk.receipts.checked_sub(1)?;
        if chunk.receipts > 0 {
            return None;
        }
        let bytes = chunk.bytes;
        self.advance();
        Some(bytes)
    }

    /// Moves the front over the settled chunks that lie directly behind it.
    fn advance(&mut self) {
        while let Some(chunk) = self.chunks.front() {
            if chunk.receipts > 0 {
                break;
            }
            let next = chunk.next;
            self.chunks.pop_front();
            if let Some(front) = self.front_mut() {
                front.reached = next;
            }
        }
    }

    fn front(&self) -> Option<&Front> {
        match &self.tenure {
            Tenure::Live { front, .. } | Tenure::Ending { front } => Some(front),
            Tenure::Ended => None,
        }
    }

    fn front_mut(&mut self) -> Option<&mut Front> {
        match &mut self.tenure {
            Tenure::Live { front, .. } | Tenure::Ending { front } => Some(front),
            Tenure::Ended => None,
        }
    }

    pub(super) fn finish(&mut self) {
        if let Tenure::Live { front, .. } = self.tenure {
            self.tenure = Tenure::Ending { front };
        }
    }

    pub(super) fn end(&mut self) {
        self.tenure = Tenure::Ended;
    }

    pub(super) fn has_news(&self) -> bool {
        self.front().is_some_and(|front| front.asked.is_none() && front.reached > front.confirmed)
    }

    /// The position to commit, when the front moved and no commit of this lane is under way.
    pub(super) fn ask(&mut self) -> Option<Position> {
        if !self.has_news() {
            return None;
        }
        let front = self.front_mut()?;
        front.asked = Some(front.reached);
        front.asked
    }

    pub(super) fn confirm(&mut self, position: Position) {
        if let Some(front) = self.front_mut() {
            front.asked = None;
            front.confirmed = front.confirmed.max(position);
        }
    }

    pub(super) fn refuse(&mut self) {
        if let Some(front) = self.front_mut() {
            front.asked = None;
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.tenure, Tenure::Live { .. })
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.tenure, Tenure::Ending { .. })
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.tenure, Tenure::Ended)
    }

    /// Durable and committed as far as it was opened, or not ours any more.
    pub(super) fn is_done(&self) -> bool {
        self.front().is_none_or(|front| self.chunks.is_empty() && front.reached == front.confirmed)
    }

    /// Not ours, and nothing of it is held.
    pub(super) fn is_over(&self) -> bool {
        self.is_ended() && self.chunks.is_empty()
    }

    pub(super) fn open_chunks(&self) -> usize {
        self.chunks.iter().filter(|chunk| chunk.receipts > 0).count()
    }

    pub(super) fn oldest_open(&self) -> Option<Moment> {
        self.chunks.iter().filter(|chunk| chunk.receipts > 0).map(|chunk| chunk.since).min()
    }
}
