//! The ledger: which rows belong to which fetch, and what may be committed when.
//!
//! A [`Receipt`] is the right to settle a chunk. The ledger moves a lane's front over contiguous
//! settled chunks only, and a `Commit` is made of nothing but fronts that moved: what is still
//! open, what lies behind, and what belongs to a lane that ended cannot be committed. A stream is a
//! lane without a front: each of its chunks is acked on its own when it settles.

mod lane;
mod receipt;
mod stream;

use std::collections::BTreeMap;

use crate::units::{ChunkId, LaneId, Moment, Position, TableId};
use lane::Lane;
pub use receipt::Receipt;
pub(crate) use receipt::{Claim, Share};
pub(crate) use stream::Standing;
use stream::Stream;

/// All lanes of this process, their chunks in order, and what was committed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lanes: BTreeMap<LaneId, Lane>,
    streams: BTreeMap<LaneId, Stream>,
    bundles: BTreeMap<u64, Bundle>,
    last_chunk: u64,
    last_bundle: u64,
}

/// Claims that settle together, once all its shares did: the rows of a batch that was cut in
/// pieces are not told apart by chunk (a block is sorted), so each piece answers for all of them.
#[derive(Debug)]
struct Bundle {
    claims: Vec<Claim>,
    shares: u32,
}

/// Positions to commit. Only the ledger makes one, and only from fronts that moved.
#[derive(Debug)]
#[must_use = "tell the ledger how it went: until then these lanes commit nothing else"]
pub(crate) struct Commit {
    positions: Vec<(LaneId, Position)>,
}

impl Commit {
    pub(crate) fn positions(&self) -> &[(LaneId, Position)] {
        &self.positions
    }
}

/// A chunk of which no row is held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freed {
    pub(crate) chunk: ChunkId,
    pub(crate) table: TableId,
    pub(crate) bytes: u64,
    /// Its broker waits for an ack of its own.
    pub(crate) ack: bool,
}

impl Ledger {
    /// Begins a lane. A lane that is known already stays as it is: ids are never used twice.
    pub(crate) fn assign(&mut self, lane: LaneId, start: Position, table: TableId) {
        self.lanes.entry(lane).or_insert_with(|| Lane::new(start, table));
    }

    /// Opens a chunk whose last record lies before `next`.
    ///
    /// None when the lane is not ours any more, or when all records before `next` were opened
    /// before: either way these records must not be taken.
    pub(crate) fn open(
        &mut self,
        lane: LaneId,
        next: Position,
        bytes: u64,
        now: Moment,
    ) -> Option<Receipt> {
        let chunk = ChunkId(self.last_chunk + 1);
        self.lanes.get_mut(&lane)?.open(chunk, next, bytes, now)?;
        self.last_chunk = chunk.0;
        Some(Receipt::new(lane, chunk))
    }

    /// Begins a lane without a front.
    pub(crate) fn assign_stream(&mut self, lane: LaneId, table: TableId) {
        self.streams.entry(lane).or_insert_with(|| Stream::new(table));
    }

    /// Opens a chunk of a lane without a front; None when the lane is not ours any more.
    pub(crate) fn open_of_stream(
        &mut self,
        lane: LaneId,
        bytes: u64,
        now: Moment,
    ) -> Option<Receipt> {
        let chunk = ChunkId(self.last_chunk + 1);
        self.streams.get_mut(&lane)?.open(chunk, bytes, now)?;
        self.last_chunk = chunk.0;
        Some(Receipt::new(lane, chunk))
    }

    /// What the broker believes of a chunk; None when it must hear nothing of it.
    pub(crate) fn standing(&self, lane: LaneId, chunk: ChunkId) -> Option<Standing> {
        self.streams.get(&lane)?.standing(chunk)
    }

    /// A chunk may be delivered again; false when it was given back before, or is not open.
    pub(crate) fn give_back(&mut self, lane: LaneId, chunk: ChunkId) -> bool {
        self.streams.get_mut(&lane).is_some_and(|stream| stream.give_back(chunk))
    }

    /// Whether the lane has no front.
    pub(crate) fn is_stream(&self, lane: LaneId) -> bool {
        self.streams.contains_key(&lane)
    }

    /// Chunks of streams of this table, of all tables without one, that were not given back before.
    pub(crate) fn give_back_all(&mut self, table: Option<TableId>) -> Vec<ChunkId> {
        let mut given = Vec::new();
        for stream in self.streams.values_mut() {
            if table.is_none_or(|table| table == stream.table()) {
                stream.give_back_all(&mut given);
            }
        }
        given
    }

    /// Streams that take new chunks, with their tables.
    pub(crate) fn live_streams(&self) -> impl Iterator<Item = (LaneId, TableId)> + '_ {
        let live = self.streams.iter().filter(|(_, stream)| stream.is_live());
        live.map(|(id, stream)| (*id, stream.table()))
    }

    /// The payloads of a chunk of a lane with a front are held no more. The bytes they had.
    pub(crate) fn let_go(&mut self, receipt: &Receipt) -> u64 {
        self.lanes.get_mut(&receipt.lane()).map_or(0, |lane| lane.let_go(receipt.chunk()))
    }

    /// Sets the moment from which a chunk's age counts.
    pub(crate) fn touch(&mut self, receipt: &Receipt, now: Moment) {
        if let Some(lane) = self.lanes.get_mut(&receipt.lane()) {
            lane.touch(receipt.chunk(), now);
        } else if let Some(stream) = self.streams.get_mut(&receipt.lane()) {
            stream.touch(receipt.chunk(), now);
        }
    }

    /// A second receipt for the same chunk: it settles only when both did.
    pub(crate) fn cut(&mut self, receipt: &Receipt) -> Receipt {
        if let Some(lane) = self.lanes.get_mut(&receipt.lane()) {
            lane.cut(receipt.chunk());
        } else if let Some(stream) = self.streams.get_mut(&receipt.lane()) {
            stream.cut(receipt.chunk());
        }
        Receipt::new(receipt.lane(), receipt.chunk())
    }

    /// Ties claims together: they settle when the share and all that is cut from it did.
    pub(crate) fn bundle(&mut self, claims: Vec<Claim>) -> Share {
        self.last_bundle += 1;
        self.bundles.insert(self.last_bundle, Bundle { claims, shares: 1 });
        Share::new(self.last_bundle)
    }

    /// A second share of the same bundle.
    pub(crate) fn cut_share(&mut self, share: &Share) -> Share {
        if let Some(bundle) = self.bundles.get_mut(&share.bundle()) {
            bundle.shares += 1;
        }
        Share::new(share.bundle())
    }

    /// Rows are durable. Chunks of which nothing is held any more are added to `freed`.
    pub(crate) fn settle(&mut self, claims: Vec<Claim>, freed: &mut Vec<Freed>) {
        let mut rest = claims;
        while let Some(claim) = rest.pop() {
            match claim {
                Claim::Receipt(receipt) => self.settle_receipt(receipt, freed),
                Claim::Share(share) => rest.extend(self.settle_share(share)),
            }
        }
    }

    fn settle_receipt(&mut self, receipt: Receipt, freed: &mut Vec<Freed>) {
        let (lane_id, chunk) = receipt.spend();
        let Some(lane) = self.lanes.get_mut(&lane_id) else {
            self.settle_of_stream(lane_id, chunk, freed);
            return;
        };
        if let Some(bytes) = lane.settle(chunk) {
            freed.push(Freed { chunk, table: lane.table(), bytes, ack: false });
        }
        if lane.is_over() {
            self.lanes.remove(&lane_id);
        }
    }

    fn settle_of_stream(&mut self, lane: LaneId, chunk: ChunkId, freed: &mut Vec<Freed>) {
        let Some(stream) = self.streams.get_mut(&lane) else {
            return;
        };
        if let Some(settled) = stream.settle(chunk) {
            let (bytes, ack) = (settled.bytes, settled.ack);
            freed.push(Freed { chunk, table: stream.table(), bytes, ack });
        }
        if stream.is_over() {
            self.streams.remove(&lane);
        }
    }

    fn settle_share(&mut self, share: Share) -> Vec<Claim> {
        let id = share.spend();
        let Some(bundle) = self.bundles.get_mut(&id) else {
            return Vec::new();
        };
        bundle.shares -= 1;
        if bundle.shares > 0 {
            return Vec::new();
        }
        self.bundles.remove(&id).map_or_else(Vec::new, |bundle| bundle.claims)
    }

    /// Takes nothing new for a lane; what becomes durable can still be committed.
    pub(crate) fn finish(&mut self, lane: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.finish();
        }
    }

    /// Ends a lane: nothing of it is committed or acked from now on. Its chunks live until they
    /// settle.
    pub(crate) fn end(&mut self, lane_id: LaneId) {
        if let Some(stream) = self.streams.get_mut(&lane_id) {
            stream.end();
            if stream.is_over() {
                self.streams.remove(&lane_id);
            }
        }
        if let Some(lane) = self.lanes.get_mut(&lane_id) {
            lane.end();
            if lane.is_over() {
                self.lanes.remove(&lane_id);
            }
        }
    }

    /// Ends every lane.
    pub(crate) fn end_all(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.end();
        }
        self.lanes.retain(|_, lane| !lane.is_over());
        self.streams.values_mut().for_each(Stream::end);
        self.streams.retain(|_, stream| !stream.is_over());
    }

    /// Whether a front moved that no commit names yet.
    pub(crate) fn has_news(&self) -> bool {
        self.lanes.values().any(Lane::has_news)
    }

    /// The newest positions of all lanes whose front moved; None when none did.
    pub(crate) fn commit(&mut self) -> Option<Commit> {
        let positions: Vec<_> =
            self.lanes.iter_mut().filter_map(|(id, lane)| Some((*id, lane.ask()?))).collect();
        (!positions.is_empty()).then_some(Commit { positions })
    }

    /// The commit was accepted.
    pub(crate) fn confirm(&mut self, commit: Commit) {
        for (lane, position) in commit.positions {
            if let Some(lane) = self.lanes.get_mut(&lane) {
                lane.confirm(position);
            }
        }
    }

    /// The commit was not accepted: its lanes have news again.
    pub(crate) fn refuse(&mut self, commit: Commit) {
        for (lane, _) in commit.positions {
            if let Some(lane) = self.lanes.get_mut(&lane) {
                lane.refuse();
            }
        }
    }

    /// Whether all that was opened is durable and committed, or nothing can be committed any more.
    pub(crate) fn is_done(&self, lane: LaneId) -> bool {
        self.lanes.get(&lane).is_none_or(Lane::is_done)
    }

    /// Whether every lane [is done](Self::is_done), and no stream that is ours keeps anything.
    pub(crate) fn all_done(&self) -> bool {
        let mut streams = self.streams.values().filter(|stream| stream.is_live());
        self.lanes.values().all(Lane::is_done) && streams.all(|stream| stream.kept_chunks() == 0)
    }

    /// Whether rows under this claim belong to a lane that takes nothing new but still commits.
    pub(crate) fn is_ending(&self, claim: &Claim) -> bool {
        match claim {
            Claim::Receipt(receipt) => self.lanes.get(&receipt.lane()).is_some_and(Lane::is_ending),
            Claim::Share(share) => self
                .bundles
                .get(&share.bundle())
                .is_some_and(|bundle| bundle.claims.iter().any(|claim| self.is_ending(claim))),
        }
    }

    /// Lanes that take new chunks, with their tables.
    pub(crate) fn live(&self) -> impl Iterator<Item = (LaneId, TableId)> + '_ {
        self.lanes.iter().filter(|(_, lane)| lane.is_live()).map(|(id, lane)| (*id, lane.table()))
    }

    /// The table of a lane's route, as long as anything of the lane is held.
    pub(crate) fn table(&self, lane: LaneId) -> Option<TableId> {
        let stream = || self.streams.get(&lane).map(Stream::table);
        self.lanes.get(&lane).map(Lane::table).or_else(stream)
    }

    /// Chunks of which rows are not durable, of ended lanes too.
    pub(crate) fn open_chunks(&self) -> usize {
        let of_streams: usize = self.streams.values().map(Stream::open_chunks).sum();
        self.lanes.values().map(Lane::open_chunks).sum::<usize>() + of_streams
    }

    /// Chunks that could still be committed or acked if they became durable, without those that were
    /// given back.
    pub(crate) fn open_chunks_of_ours(&self) -> usize {
        let lanes = self.lanes.values().filter(|lane| !lane.is_ended()).map(Lane::open_chunks);
        let streams = self.streams.values().filter(|stream| stream.is_live());
        lanes.chain(streams.map(Stream::kept_chunks)).sum()
    }

    /// When the oldest open chunk was opened.
    pub(crate) fn oldest_open(&self) -> Option<Moment> {
        let streams = self.streams.values().filter_map(Stream::oldest_open);
        self.lanes.values().filter_map(Lane::oldest_open).chain(streams).min()
    }
}

#[cfg(test)]
mod tests;
