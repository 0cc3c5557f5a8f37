//! From shelf to durable row: what is sent when, and what an answer means.

#![expect(clippy::similar_names, reason = "shelf is our word, self is Rust's")]

use std::time::Duration;

use super::batch::{Batch, BlockId, Held, Progress};
use super::budget::Usage;
use super::flood::Outcome;
use super::grow::grown;
use super::limits::MAX_BATCH_ROWS;
use super::shelf::{Open, Stack};
use super::{Engine, Output, Phase, Return};
use crate::units::{BatchId, Moment, Shelf, TableId};
use crate::verdict::{Failure, UNKNOWN_RETRIES, Verdict};

/// Order in which shelves are sent, smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Nobody waits for these rows in particular.
    patient: bool,
    /// Not one of the newest two partitions of the table.
    old: bool,
    due: Moment,
}

impl Engine {
    /// Sends what is due and has room, then closes blocks that are full and must wait. Whether
    /// something was sent.
    pub(super) fn send(&mut self, outputs: &mut Vec<Output>) -> bool {
        if self.phase == Phase::Stopped {
            return false;
        }
        let before = self.in_flight;
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let ranked = self.shelves.iter().filter_map(|(shelf, stack)| {
            let rank = self.rank(*shelf, stack)?;
            Some((rank, *shelf))
        });
        candidates.extend(ranked);
        candidates.sort_unstable();
        for (_, shelf) in &candidates {
            let table = self.tables.entry(shelf.table).or_default();
            if table.in_flight >= self.limits.inserts_per_table.max(1) {
                continue;
            }
            // What was sent before may have taken its turn.
            let stack = self.shelves.get(shelf);
            if stack.and_then(|stack| self.rank(*shelf, stack)).is_none() {
                continue;
            }
            if !self.send_first(*shelf, outputs) {
                // Nothing smaller goes first: a large batch would wait for ever.
                break;
            }
        }
        self.candidates = candidates;
        self.close_full(outputs);
        self.in_flight > before
    }

    /// Where a shelf stands in the queue; None when it has nothing that may be sent now.
    fn rank(&self, shelf: Shelf, stack: &Stack) -> Option<Rank> {
        let table = self.tables.get(&shelf.table)?;
        let (due, claims, urgent) = if let Some(id) = stack.closed.front() {
            let batch = self.batches.get(id)?;
            let held = table.flood.held_until().filter(|_| batch.suspect);
            let may = match batch.progress {
                Progress::Ready | Progress::Waiting(_) if held > Some(self.now) => false,
                // While a table is paused, only what was refused asks whether it is mended.
                Progress::Ready => table.paused.is_none() || batch.sent > 0,
                Progress::Waiting(until) => until <= self.now,
                Progress::InFlight(_) | Progress::Burying => false,
            };
            if !may {
                return None;
            }
            (batch.due, &batch.claims, false)
        } else {
            let open = stack.open.as_ref()?;
            let is_large = self.is_full(shelf, open) || self.has_its_part(open);
            let waits = || self.ripe_at(shelf, open) > self.now || self.grows(open);
            let ripe = open.urgent || is_large || !waits();
            if !ripe || table.paused.is_some() {
                return None;
            }
            (open.due, &open.claims, open.urgent)
        };
        let urgent = urgent
            || (!self.closings.is_empty()
                && claims.iter().any(|claim| self.ledger.is_ending(claim)));
        Some(Rank { patient: !urgent, old: !table.is_newest(shelf.partition, self.now), due })
    }

    /// When the shelf has something to do that only waits for time.
    pub(super) fn due(&self, shelf: Shelf, stack: &Stack) -> Option<Moment> {
        if self.phase == Phase::Stopped {
            return None;
        }
        if let Some(id) = stack.closed.front() {
            let batch = self.batches.get(id)?;
            let table = self.tables.get(&shelf.table)?;
            let held = table.flood.held_until().filter(|_| batch.suspect);
            return match batch.progress {
                Progress::Waiting(until) => Some(held.map_or(until, |held| held.max(until))),
                Progress::Ready => held,
                Progress::InFlight(_) | Progress::Burying => None,
            };
        }
        let paused = self.tables.get(&shelf.table).is_some_and(|table| table.paused.is_some());
        stack.open.as_ref().filter(|_| !paused).map(|open| {
            let ripe = self.ripe_at(shelf, open);
            if self.grows(open) { ripe.max(grown(open)) } else { ripe }
        })
    }

    fn is_full(&self, shelf: Shelf, open: &Open) -> bool {
        open.rows >= self.most_rows(shelf, self.limits.full_rows())
            || open.bytes >= self.limits.full_bytes()
    }

    /// Sends the first batch of a shelf; false when its encode buffer does not fit now.
    fn send_first(&mut self, shelf: Shelf, outputs: &mut Vec<Output>) -> bool {
        let Some(stack) = self.shelves.get(&shelf) else {
            return true;
        };
        let first = stack.closed.front().copied();
        let bytes = match first {
            Some(id) => self.batches.get(&id).map_or(0, |batch| batch.bytes),
            None => stack.open.as_ref().map_or(0, |open| open.bytes),
        };
        // One insert may always go: it is what makes room, and one message may exceed the budget.
        if self.in_flight > 0 && !self.budget.has_room(bytes) {
            return false;
        }
        let Some(id) = first.or_else(|| self.close(shelf, false, outputs)) else {
            return true;
        };
        let Some(batch) = self.batches.get_mut(&id) else {
            return true;
        };
        self.pace.spend(self.now);
        batch.sent += 1;
        batch.progress = Progress::InFlight(self.now);
        self.budget.charge(shelf.table, Usage::bytes(batch.bytes));
        self.in_flight += 1;
        self.tables.entry(shelf.table).or_default().in_flight += 1;
        outputs.push(Output::Send { batch: id, shelf, attempt: batch.sent });
        true
    }

    /// Closes open blocks that are full and could not be sent.
    fn close_full(&mut self, outputs: &mut Vec<Output>) {
        let full = |shelf: Shelf, open: &Open| self.is_full(shelf, open) || self.has_its_part(open);
        let full =
            |shelf: Shelf, stack: &Stack| stack.open.as_ref().is_some_and(|open| full(shelf, open));
        let shelves: Vec<_> = self
            .shelves
            .iter()
            .filter(|(shelf, stack)| full(**shelf, stack))
            .map(|(shelf, _)| *shelf)
            .collect();
        for shelf in shelves {
            self.close(shelf, true, outputs);
        }
    }

    /// Makes a batch of the open block. The first batch of the shelf, which is the new one or, when
    /// the block holds more rows than one insert may have, a part of it.
    fn close(&mut self, shelf: Shelf, named: bool, outputs: &mut Vec<Output>) -> Option<BatchId> {
        let most = self.most_rows(shelf, MAX_BATCH_ROWS);
        let stack = self.shelves.get_mut(&shelf)?;
        let open = stack.open.take()?;
        let id = self.last_batch + 1;
        self.last_batch = id;
        let id = BatchId(id);
        stack.closed.push_back(id);
        let batch = Batch {
            shelf,
            rows: open.rows,
            bytes: open.bytes,
            claims: open.claims,
            block: BlockId(id),
            due: open.due,
            sent: 0,
            failures: 0,
            unknown: 0,
            twin: None,
            suspect: false,
            accused: false,
            progress: Progress::Ready,
        };
        self.batches.insert(id, batch);
        self.blocks.insert(BlockId(id), Held { bytes: open.bytes, parts: 1 });
        if named || open.rows > most {
            outputs.push(Output::Seal { batch: id, shelf });
        }
        let mut large = vec![id];
        while let Some(id) = large.pop() {
            if self.batches.get(&id).is_some_and(|batch| batch.rows > most) {
                large.extend(self.halve(id, Progress::Ready, outputs).into_iter().flatten());
            }
        }
        self.shelves.get(&shelf)?.closed.front().copied()
    }

    /// An insert is durable.
    pub(super) fn durable(&mut self, id: BatchId, outputs: &mut Vec<Output>) {
        let Some((table, took)) = self.answered(id) else {
            return;
        };
        self.tables.entry(table).or_default().strain.inserted(took);
        self.last_durable = Some(self.now);
        self.resume_table(table, outputs);
        let Some(batch) = self.take_first(id) else {
            return;
        };
        let twin = batch.twin;
        if table != self.limits.dead_letters {
            let outcome = Outcome { taken: u64::from(batch.rows), ..Outcome::default() };
            self.note(table, outcome, outputs);
        }
        if batch.accused {
            self.tables.entry(table).or_default().misled = true;
        }
        self.drop_rows(id, &batch, outputs);
        self.settle(batch.claims, outputs);
        // No row of the first half was bad, so one of the second is: its halves tell more.
        if let Some(twin) = twin
            && let Some(halves) = self.halve(twin, Progress::Ready, outputs)
        {
            self.pair(halves);
        }
    }

    /// An insert failed, or nobody knows.
    pub(super) fn failed(&mut self, id: BatchId, failure: Failure, outputs: &mut Vec<Output>) {
        let Some((table, _)) = self.answered(id) else {
            return;
        };
        self.tables.entry(table).or_default().strain.refused(failure.code(), self.now);
        let verdict = match failure.verdict() {
            // A dead letter that is refused has nowhere else to go.
            Verdict::Isolate if table == self.limits.dead_letters => Verdict::Pause,
            verdict @ (Verdict::Retry
            | Verdict::Split
            | Verdict::Refresh
            | Verdict::Pause
            | Verdict::Isolate
            | Verdict::Unknown) => verdict,
        };
        match verdict {
            Verdict::Retry => {
                self.back_off(id);
            }
            Verdict::Split => {
                let wait = self.back_off(id);
                if let Some(Batch { rows, bytes, .. }) = self.batches.get(&id) {
                    let strain = &mut self.tables.entry(table).or_default().strain;
                    strain.ran_out_of_memory(*rows, *bytes, self.now);
                }
                self.halve(id, wait, outputs);
            }
            Verdict::Refresh | Verdict::Pause => {
                self.back_off(id);
                self.pause_table(table, failure, outputs);
            }
            Verdict::Isolate => {
                // It was read and weighed: the table can be written.
                self.resume_table(table, outputs);
                self.isolate(id, failure, outputs);
            }
            Verdict::Unknown => {
                self.back_off(id);
                let Some(batch) = self.batches.get_mut(&id) else {
                    return;
                };
                batch.unknown += 1;
                if batch.unknown > UNKNOWN_RETRIES {
                    self.pause_table(table, failure, outputs);
                }
            }
        }
    }

    /// The insert of a batch ended. Its table, and how long it took; None for an answer nobody waits
    /// for.
    fn answered(&mut self, id: BatchId) -> Option<(TableId, Duration)> {
        let batch = self.batches.get_mut(&id)?;
        let Progress::InFlight(since) = batch.progress else {
            return None;
        };
        batch.progress = Progress::Ready;
        let table = batch.shelf.table;
        self.budget.release(table, Usage::bytes(batch.bytes));
        self.in_flight -= 1;
        self.tables.entry(table).or_default().in_flight -= 1;
        Some((table, self.now.since(since)))
    }

    /// Takes a batch out of its shelf, of which it is the first, and out of the books.
    fn take_first(&mut self, id: BatchId) -> Option<Batch> {
        let batch = self.batches.remove(&id)?;
        self.leave_shelf(id, batch.shelf);
        if batch.has_failed() {
            self.tables.entry(batch.shelf.table).or_default().failed -= 1;
        }
        Some(batch)
    }

    pub(super) fn leave_shelf(&mut self, id: BatchId, shelf: Shelf) {
        let Some(stack) = self.shelves.get_mut(&shelf) else {
            return;
        };
        stack.closed.retain(|closed| *closed != id);
        if stack.closed.is_empty() && stack.open.is_none() {
            self.shelves.remove(&shelf);
        }
    }

    /// The rows of a batch are held no more; its block neither, when this was the last part.
    pub(super) fn drop_rows(&mut self, id: BatchId, batch: &Batch, outputs: &mut Vec<Output>) {
        let mut freed = Usage { rows: u64::from(batch.rows), bytes: 0 };
        if let Some(held) = self.blocks.get_mut(&batch.block) {
            held.parts -= 1;
            if held.parts == 0 {
                freed.bytes = held.bytes;
                self.blocks.remove(&batch.block);
            }
        }
        self.budget.release(batch.shelf.table, freed);
        outputs.push(Output::Forget { batch: id });
    }

    /// Has a batch wait before its next attempt.
    fn back_off(&mut self, id: BatchId) -> Progress {
        let Some(batch) = self.batches.get_mut(&id) else {
            return Progress::Ready;
        };
        let (initial, longest) = (self.limits.retry_initial, self.limits.retry_max);
        let wait = self.chance.wait(batch.failures, initial, longest);
        if !batch.has_failed() {
            self.tables.entry(batch.shelf.table).or_default().failed += 1;
        }
        batch.failures = batch.failures.saturating_add(1);
        batch.progress = Progress::Waiting(self.now.after(wait));
        batch.progress
    }

    fn pause_table(&mut self, table: TableId, failure: Failure, outputs: &mut Vec<Output>) {
        let state = self.tables.entry(table).or_default();
        let since = state.paused.as_ref().map_or(self.now, |(since, _)| *since);
        if state.paused.replace((since, failure.clone())).is_none() {
            outputs.push(Output::TablePaused { table, failure });
            self.give_back(Some(table), Return::Later, outputs);
        }
    }

    /// Somebody mended the table. It is resumed by the first insert that it takes.
    pub(super) fn mended(&mut self, table: TableId) {
        if self.tables.get(&table).is_none_or(|state| state.paused.is_none()) {
            return;
        }
        for batch in self.batches.values_mut().filter(|batch| batch.shelf.table == table) {
            if matches!(batch.progress, Progress::Waiting(_)) {
                batch.progress = Progress::Waiting(self.now);
            }
        }
    }

    fn resume_table(&mut self, table: TableId, outputs: &mut Vec<Output>) {
        if self.tables.entry(table).or_default().paused.take().is_some() {
            outputs.push(Output::TableResumed { table });
        }
    }
}
