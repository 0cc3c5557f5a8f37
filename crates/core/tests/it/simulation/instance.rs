//! One instance: an engine, and a driver that does what the engine says and keeps its own books.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use data_bridge_core::engine::{Engine, Input, Limits, Part};
use data_bridge_core::units::{BatchId, ChunkId, LaneId, Moment, Partition, Shelf, TableId};

use super::group::Kind;

/// Bytes of a row in a block. The same for all, so that halves are exact.
pub(super) const ROW_BYTES: u64 = 40;

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) log: usize,
    pub(super) index: usize,
    pub(super) chunk: ChunkId,
    pub(super) kind: Kind,
    /// It is a letter that was written because the server refused the row.
    pub(super) buried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    Live,
    Revoked,
    Gone,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) log: usize,
    /// Index of the record that is fetched next.
    pub(super) cursor: usize,
    /// Position after the last chunk.
    pub(super) fetched: u64,
    pub(super) tenure: Tenure,
    pub(super) paused: bool,
    /// Chunks that are not known to be durable, in order, with the position after each.
    pub(super) chunks: VecDeque<(ChunkId, u64)>,
    /// Everything before it is known to be durable.
    pub(super) front: u64,
    pub(super) confirmed: u64,
}

/// A lane whose messages are acked each on its own.
#[derive(Debug)]
pub(super) struct StreamLane {
    pub(super) log: usize,
    pub(super) paused: bool,
    pub(super) is_gone: bool,
    /// Chunks that are not freed, with the messages of each.
    pub(super) chunks: BTreeMap<ChunkId, Vec<usize>>,
    /// Those of them that were given back.
    pub(super) given: BTreeSet<ChunkId>,
}

impl Lane {
    pub(super) fn table(&self) -> TableId {
        table_of(self.log)
    }
}

/// The table of a log's route.
pub(super) fn table_of(log: usize) -> TableId {
    TableId(u16::try_from(log % 3).unwrap_or(0))
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: u64,
    pub(super) rows_left: usize,
}

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) shelf: Shelf,
    pub(super) rows: Vec<Row>,
    pub(super) root: BatchId,
    pub(super) in_flight: bool,
    pub(super) sent: u32,
    pub(super) is_done: bool,
}

/// A block, with all batches it was split into.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) rows: usize,
    pub(super) bad: usize,
    pub(super) parts: usize,
    /// Inserts that said something about the rows.
    pub(super) inserts: usize,
    /// Split for another reason than a bad row, before or after it was sent.
    pub(super) split_for_memory: bool,
}

/// What one fetch brought, encode buffers included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetch {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Fetch {
    pub(super) fn max(self, other: Self) -> Self {
        Self { rows: self.rows.max(other.rows), bytes: self.bytes.max(other.bytes) }
    }
}

#[derive(Debug)]
pub(super) struct Instance {
    /// Counts restarts: answers for an earlier life find nobody.
    pub(super) life: u32,
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    pub(super) is_up: bool,
    /// The deadline of a stop.
    pub(super) stopping: Option<u64>,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    /// Lanes without a front.
    pub(super) streams: BTreeMap<LaneId, StreamLane>,
    pub(super) open: BTreeMap<Shelf, Vec<Row>>,
    pub(super) batches: BTreeMap<BatchId, Batch>,
    /// Inserts under way.
    pub(super) flying: BTreeMap<BatchId, Shelf>,
    /// What the engine waits for, since it was last told something.
    pub(super) wake: Option<Moment>,
    pub(super) roots: BTreeMap<BatchId, Root>,
    pub(super) chunks: BTreeMap<ChunkId, Chunk>,
    pub(super) revocations: Vec<(Vec<LaneId>, u64)>,
    pub(super) commit_under_way: bool,
    pub(super) last_commit: Option<u64>,
    pub(super) tables_paused: BTreeSet<TableId>,
    pub(super) floods: BTreeSet<TableId>,
    /// Batches whose last insert failed for another reason than their rows.
    pub(super) failing: BTreeSet<BatchId>,
    pub(super) was_troubled: bool,
    /// Payloads, blocks and encode buffers held, by the driver's own count.
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// Letters held for rows the server refused: they come on top of their batch, which goes later.
    pub(super) buried: u64,
    pub(super) fetch: Fetch,
    pub(super) largest_fetch: Fetch,
}

impl Instance {
    pub(super) fn new(limits: Limits, seed: u64, life: u32) -> Self {
        Self {
            life,
            engine: Engine::new(limits.clone(), seed),
            limits,
            is_up: true,
            stopping: None,
            lanes: BTreeMap::new(),
            streams: BTreeMap::new(),
            open: BTreeMap::new(),
            batches: BTreeMap::new(),
            flying: BTreeMap::new(),
            wake: None,
            roots: BTreeMap::new(),
            chunks: BTreeMap::new(),
            revocations: Vec::new(),
            commit_under_way: false,
            last_commit: None,
            tables_paused: BTreeSet::new(),
            floods: BTreeSet::new(),
            failing: BTreeSet::new(),
            was_troubled: false,
            bytes: 0,
            rows: 0,
            buried: 0,
            fetch: Fetch::default(),
            largest_fetch: Fetch::default(),
        }
    }

    pub(super) fn letters(&self) -> Shelf {
        Shelf { table: self.limits.dead_letters, partition: Partition(202_601) }
    }

    pub(super) fn put(&mut self, shelf: Shelf, row: Row) {
        self.open.entry(shelf).or_default().push(row);
        self.bytes += ROW_BYTES;
        self.rows += 1;
        self.buried += u64::from(row.buried);
    }

    /// Seals the open block of a shelf. Its rows are reordered, as a sort would.
    pub(super) fn seal(&mut self, id: BatchId, shelf: Shelf, rng: &mut fastrand::Rng) {
        let mut rows = self.open.remove(&shelf).unwrap_or_default();
        assert!(!rows.is_empty(), "batch {id} of nothing");
        rng.shuffle(&mut rows);
        let bad = rows.iter().filter(|row| row.kind == Kind::Bad && !row.buried).count();
        let root = Root { rows: rows.len(), bad, parts: 1, inserts: 0, split_for_memory: false };
        self.roots.insert(id, root);
        let batch = Batch { shelf, rows, root: id, in_flight: false, sent: 0, is_done: false };
        assert!(self.batches.insert(id, batch).is_none(), "batch {id} twice");
    }

    pub(super) fn split(&mut self, id: BatchId, at: u32, halves: [BatchId; 2]) {
        let mut batch = self.batches.remove(&id).expect("a batch that is split is known");
        assert!(!batch.in_flight, "batch {id} is split while its insert is under way");
        let at = at as usize;
        assert!(at > 0 && at < batch.rows.len(), "an empty half");
        let right = batch.rows.split_off(at);
        if let Some(root) = self.roots.get_mut(&batch.root) {
            root.parts += 1;
            root.split_for_memory |= self.failing.contains(&id) || batch.sent == 0;
        }
        let failing = self.failing.remove(&id);
        for (half, rows) in halves.into_iter().zip([batch.rows, right]) {
            let part = Batch { rows, ..batch };
            assert!(self.batches.insert(half, part).is_none(), "batch {half} twice");
            if failing {
                self.failing.insert(half);
            }
        }
    }

    /// Drops a batch; with the last part of a block its bytes, and the search for bad rows is judged.
    pub(super) fn forget(&mut self, id: BatchId) {
        let batch = self.batches.remove(&id).expect("a batch that is forgotten is known");
        assert!(batch.is_done, "batch {id} is forgotten and not durable");
        self.rows -= batch.rows.len() as u64;
        self.buried -= batch.rows.iter().filter(|row| row.buried).count() as u64;
        let root = self.roots.get_mut(&batch.root).expect("every batch has a block");
        root.parts -= 1;
        if root.parts > 0 {
            return;
        }
        let Root { rows, bad, inserts, split_for_memory, .. } = *root;
        self.bytes -= rows as u64 * ROW_BYTES;
        self.roots.remove(&batch.root);
        if !split_for_memory {
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let bound = 2.0 * bad as f64 * (rows as f64).log2() + 1.0;
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let inserts = inserts as f64;
            assert!(inserts <= bound.max(1.0), "{inserts} inserts for {bad} bad rows of {rows}");
        }
    }

    /// Rows are known to be durable: their chunks hold less, and fronts may move.
    pub(super) fn settle(&mut self, chunk: ChunkId) {
        let chunk = self.chunks.get_mut(&chunk).expect("the chunk of a row is known");
        chunk.rows_left -= 1;
    }

    pub(super) fn advance(&mut self) {
        for lane in self.lanes.values_mut() {
            while let Some((id, next)) = lane.chunks.front() {
                // A chunk that is gone was freed: durable, behind one that is not.
                if self.chunks.get(id).is_some_and(|chunk| chunk.rows_left > 0) {
                    break;
                }
                lane.front = *next;
                lane.chunks.pop_front();
            }
        }
    }

    /// The table in flood for whose route this input brings letters.
    pub(super) fn letters_in(&self, input: &Input) -> Option<TableId> {
        let Input::Decoded { receipt, parts } = input else {
            return None;
        };
        let letters = parts.iter().any(|part| part.shelf.table == self.limits.dead_letters);
        let table = self.lanes.get(&receipt.lane()).map(Lane::table);
        table.filter(|table| letters && self.floods.contains(table))
    }

    /// A route that wrote letters while it was in flood waits before it reads on. Whether it is
    /// still in flood.
    pub(super) fn assert_flood_waits(&self, table: TableId) -> bool {
        let floods = self.floods.contains(&table);
        for (id, lane) in self.lanes.iter().filter(|(_, lane)| lane.table() == table) {
            let waits = lane.paused || lane.tenure != Tenure::Live;
            assert!(waits || !floods, "lane {id} reads on after letters in a flood");
        }
        floods
    }

    pub(super) fn parts(rows: &BTreeMap<Shelf, u32>) -> Vec<Part> {
        rows.iter()
            .map(|(shelf, rows)| Part {
                shelf: *shelf,
                rows: *rows,
                bytes: u64::from(*rows) * ROW_BYTES,
            })
            .collect()
    }

    pub(super) fn in_flight(&self, of: impl Fn(Shelf) -> bool) -> usize {
        self.flying.values().filter(|shelf| of(**shelf)).count()
    }

    /// Lanes wait whenever the buffer is full, whenever they came, unless a table in trouble is what
    /// fills it.
    pub(super) fn assert_within_budget(&mut self) {
        let troubled =
            !self.failing.is_empty() || !self.tables_paused.is_empty() || !self.floods.is_empty();
        self.was_troubled |= troubled;
        let limits = &self.limits;
        let limit = limits.buffer_bytes;
        let buried = self.buried * ROW_BYTES;
        let headroom = if self.was_troubled { limit / 5 + 1 } else { 0 };
        let most = limit + headroom + self.largest_fetch.bytes + buried;
        assert!(self.bytes <= most, "{} bytes held, limit {limit}, at most {most}", self.bytes);

        let most = limits.buffer_rows + self.largest_fetch.rows;
        assert!(self.rows <= most, "{} rows held, limit {}", self.rows, limits.buffer_rows);

        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let is_full = self.bytes as f64 >= limit as f64 * limits.pause_at
            || self.rows as f64 >= limits.buffer_rows as f64 * limits.pause_at;
        if is_full && !troubled {
            for (id, lane) in &self.lanes {
                assert!(
                    lane.paused || lane.tenure != Tenure::Live,
                    "lane {id} fetches while the buffer is full"
                );
            }
            for (id, lane) in &self.streams {
                assert!(lane.paused || lane.is_gone, "stream {id} pulls while the buffer is full");
            }
        }
        for (id, lane) in &self.lanes {
            if lane.tenure == Tenure::Live && self.tables_paused.contains(&lane.table()) {
                assert!(lane.paused, "lane {id} fetches for a table that is paused");
            }
        }
    }
}
