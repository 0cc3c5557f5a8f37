//! The engine: one deterministic state machine that owns ledger, batches, retries and the budget.
//!
//! It is told what happened ([`Input`]) and when, and answers with what to do ([`Output`]). It does
//! no I/O, starts no task and asks no clock, so a day of faults is simulated in a second.

mod backoff;
mod batch;
mod budget;
mod close;
mod event;
mod flood;
mod grow;
mod hold;
mod insert;
mod isolate;
mod limits;
mod pace;
mod shelf;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};

use crate::settle::{Claim, Freed, Ledger, Receipt};
use crate::units::{BatchId, LaneId, Moment, Position, Shelf, TableId};
use backoff::Chance;
use batch::{Batch, BlockId, Held};
use budget::{Budget, Usage};
use close::{Closing, Pacing, Phase};
pub use event::{Input, Output, Part, Return};
use hold::Vigil;
pub use limits::{Limits, MAX_BATCH_ROWS};
use pace::{Pace, STRAINED_AGE};
use shelf::{Open, Stack, TableState};
pub use snapshot::{FloodedTable, PausedTable, Snapshot};

/// The state machine. Every answer is complete when [`handle`](Self::handle) returns; until the
/// next input nothing is due before [`next_wake`](Self::next_wake).
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    /// The latest moment it was told.
    now: Moment,
    chance: Chance,
    ledger: Ledger,
    budget: Budget,
    shelves: BTreeMap<Shelf, Stack>,
    tables: BTreeMap<TableId, TableState>,
    batches: BTreeMap<BatchId, Batch>,
    blocks: BTreeMap<BlockId, Held>,
    last_batch: u64,
    in_flight: usize,
    /// Records that wait at the brokers.
    backlog: u64,
    /// Lanes that were told to pause.
    paused: BTreeSet<LaneId>,
    pacing: Pacing,
    pace: Pace,
    vigil: Vigil,
    closings: Vec<Closing>,
    phase: Phase,
    last_durable: Option<Moment>,
    freed: Vec<Freed>,
    /// Shelves that could be sent, reused.
    candidates: Vec<(insert::Rank, Shelf)>,
}

impl Engine {
    /// An engine that holds nothing. The same seed and the same inputs give the same outputs.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            budget: Budget::new(&limits),
            pace: Pace::new(limits.inserts_per_second.into()),
            limits,
            now: Moment::default(),
            chance: Chance::new(seed),
            ledger: Ledger::default(),
            shelves: BTreeMap::new(),
            tables: BTreeMap::new(),
            batches: BTreeMap::new(),
            blocks: BTreeMap::new(),
            last_batch: 0,
            in_flight: 0,
            backlog: 0,
            paused: BTreeSet::new(),
            pacing: Pacing::default(),
            vigil: Vigil::default(),
            closings: Vec::new(),
            phase: Phase::Running,
            last_durable: None,
            freed: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Opens a chunk before anyone looks inside: the records of `lane` up to `next`, the position
    /// after the last of them, `bytes` of memory held. To be followed by [`Input::Decoded`].
    ///
    /// None when these records must be dropped: the lane is not ours any more (unknown, revoked,
    /// lost, or the engine stops), or they were opened before.
    #[must_use = "a receipt that is dropped leaves its chunk open for ever"]
    pub fn open(&mut self, lane: LaneId, next: Position, bytes: u64) -> Option<Receipt> {
        if self.phase != Phase::Running {
            return None;
        }
        let table = self.ledger.table(lane)?;
        let receipt = self.ledger.open(lane, next, bytes, self.now)?;
        self.budget.charge(table, Usage::bytes(bytes));
        Some(receipt)
    }

    /// As [`open`](Self::open), for a lane without a front.
    ///
    /// None when these messages must be given back: the lane is not ours any more, its table cannot
    /// be written, or the engine stops.
    #[must_use = "a receipt that is dropped leaves its chunk open for ever"]
    pub fn open_of_stream(&mut self, lane: LaneId, bytes: u64) -> Option<Receipt> {
        if self.phase != Phase::Running {
            return None;
        }
        let table = self.ledger.table(lane)?;
        if self.is_held(table) {
            return None;
        }
        let receipt = self.ledger.open_of_stream(lane, bytes, self.now)?;
        self.budget.charge(table, Usage::bytes(bytes));
        self.watch(&receipt);
        Some(receipt)
    }

    /// What one fetch may bring at most: rows that still fit into the buffer, and few while a route
    /// in flood is read.
    #[must_use]
    pub fn rows_left(&self) -> u64 {
        let left = self.budget.limit().rows.saturating_sub(self.budget.held().rows);
        let probing = self
            .tables
            .values()
            .any(|table| table.flood.held_until().is_some_and(|until| until <= self.now));
        if probing { left.min(flood::PROBE_ROWS) } else { left }
    }

    /// Whether there is room already for what was held back, although lanes are told to go on only
    /// at `resume_at`: a source that merely waits, and has told nobody, need not wait that long.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.phase == Phase::Running
            && !self.budget.is_tight()
            && !self.tables.values().any(TableState::is_troubled)
    }

    /// Whether nothing may be fetched for a table: it is paused, or pays for letters of a flood.
    fn is_held(&self, table: TableId) -> bool {
        self.tables.get(&table).is_some_and(|table| {
            table.paused.is_some() || table.flood.held_until() > Some(self.now)
        })
    }

    /// Takes one input at the moment `now` and adds what to do to `outputs`. A `now` before an
    /// earlier one counts as that.
    pub fn handle(&mut self, input: Input, now: Moment, outputs: &mut Vec<Output>) {
        self.now = self.now.max(now);
        match input {
            Input::Assigned { lane, start, table } => {
                if self.phase != Phase::Stopped {
                    self.ledger.assign(lane, start, table);
                }
            }
            Input::StreamAssigned { lane, table } => {
                if self.phase == Phase::Running {
                    self.ledger.assign_stream(lane, table);
                }
            }
            Input::Decoded { receipt, parts } => self.shelve(receipt, &parts, outputs),
            Input::Durable { batch } => self.durable(batch, outputs),
            Input::Failed { batch, failure } => self.failed(batch, failure, outputs),
            Input::Buried { batch, part } => self.buried(batch, part, outputs),
            Input::Revoked { lanes, deadline } => self.revoked(lanes, deadline),
            Input::Lost { lanes } => {
                for lane in lanes {
                    self.ledger.end(lane);
                    self.paused.remove(&lane);
                }
            }
            Input::Committed => self.committed(),
            Input::CommitFailed => self.commit_failed(),
            Input::Stop { deadline } => self.stop(deadline),
            Input::Accept { table } => self.accept(table, outputs),
            Input::Mended { table } => self.mended(table),
            Input::Backlog { records } => self.backlog = records,
            Input::Share { mine, all } => self.share(mine, all),
            Input::Tick => {}
        }
        self.expire(outputs);
        self.keep(outputs);
        // What is sent takes memory, and a block that was growing may have no more room for it.
        while self.send(outputs) {}
        self.pause_or_resume(outputs);
        self.commit(outputs);
        self.finish_closings(outputs);
    }

    /// When something is due if nothing happens before; always after the moment of the last
    /// [`handle`](Self::handle). None: only an input can change anything.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let shelves = self.shelves.iter().filter_map(|(shelf, stack)| self.due(*shelf, stack));
        shelves
            .chain(self.commit_due())
            .chain(self.floods_due())
            .chain(self.deadlines())
            .chain(self.progress_due())
            .filter(|moment| *moment > self.now)
            .min()
    }

    /// The rows of a chunk lie on shelves.
    fn shelve(&mut self, receipt: Receipt, parts: &[Part], outputs: &mut Vec<Output>) {
        self.ledger.touch(&receipt, self.now);
        if let Some(table) = self.ledger.table(receipt.lane()) {
            self.note_decoded(table, parts, outputs);
        }
        for part in parts {
            self.tables.entry(part.shelf.table).or_default().saw(part.shelf.partition, self.now);
        }
        if self.lets_go() && !parts.is_empty() && !self.ledger.is_stream(receipt.lane()) {
            self.let_go(&receipt, outputs);
        }
        for part in parts.iter().filter(|part| part.rows > 0) {
            let cut = self.ledger.cut(&receipt);
            self.put(*part, vec![Claim::Receipt(cut)]);
        }
        if self.ledger.is_stream(receipt.lane()) {
            self.feed(parts);
        }
        self.settle(vec![Claim::Receipt(receipt)], outputs);
    }

    /// The payloads of a chunk make room for rows.
    fn let_go(&mut self, receipt: &Receipt, outputs: &mut Vec<Output>) {
        if let Some(table) = self.ledger.table(receipt.lane()) {
            let bytes = self.ledger.let_go(receipt);
            self.budget.release(table, Usage::bytes(bytes));
            outputs.push(Output::LetGo { chunk: receipt.chunk() });
        }
    }

    /// Adds rows to the open block of a shelf.
    fn put(&mut self, part: Part, claims: Vec<Claim>) {
        let Part { shelf, rows, bytes } = part;
        let urgent = self.phase != Phase::Running
            || (!self.closings.is_empty()
                && claims.iter().any(|claim| self.ledger.is_ending(claim)));
        self.budget.charge(shelf.table, Usage { rows: u64::from(rows), bytes });
        let table = self.tables.entry(shelf.table).or_default();
        let open = self.shelves.entry(shelf).or_default().open.get_or_insert_with(|| {
            let age = if table.is_newest(shelf.partition, self.now) {
                self.limits.batch_age
            } else {
                self.limits.old_partition_age
            };
            let age = if table.strain.is_on(self.now) { age.max(STRAINED_AGE) } else { age };
            Open {
                rows: 0,
                bytes: 0,
                claims: Vec::new(),
                due: self.now.after(age),
                urgent: false,
                of_streams: 0,
                fed: self.now,
            }
        });
        open.rows += rows;
        open.bytes += bytes;
        open.claims.extend(claims);
        open.urgent |= urgent;
    }

    /// Rows are durable, or there were none: what they held is free.
    fn settle(&mut self, claims: Vec<Claim>, outputs: &mut Vec<Output>) {
        self.ledger.settle(claims, &mut self.freed);
        for freed in self.freed.drain(..) {
            self.budget.release(freed.table, Usage::bytes(freed.bytes));
            if freed.ack {
                outputs.push(Output::Ack { chunk: freed.chunk });
            }
            outputs.push(Output::Free { chunk: freed.chunk });
        }
    }

    /// Tells each lane that has to pause, or may go on, and was not told yet.
    fn pause_or_resume(&mut self, outputs: &mut Vec<Output>) {
        let troubled: BTreeSet<_> = self
            .tables
            .iter()
            .filter(|(_, table)| table.is_troubled())
            .map(|(table, _)| *table)
            .collect();
        let pressure = self.budget.weigh(&troubled);
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        // A stream goes on when its table is paused: others come by the same way, and what cannot be
        // written is refused and given back.
        let lanes = self.ledger.live().map(|(lane, table)| (lane, table, self.is_held(table)));
        let streams = self.ledger.live_streams().map(|(lane, table)| (lane, table, false));
        for (lane, table, is_held) in lanes.chain(streams) {
            let waits = self.phase != Phase::Running
                || is_held
                || if troubled.contains(&table) {
                    pressure.on_troubled
                } else {
                    pressure.on_others
                };
            match (waits, self.paused.contains(&lane)) {
                (true, false) => pause.push(lane),
                (false, true) => resume.push(lane),
                (true, true) | (false, false) => {}
            }
        }
        if !pause.is_empty() {
            self.paused.extend(&pause);
            outputs.push(Output::Pause { lanes: pause });
        }
        if !resume.is_empty() {
            for lane in &resume {
                self.paused.remove(lane);
            }
            outputs.push(Output::Resume { lanes: resume });
        }
    }
}

#[cfg(test)]
mod tests;
