//! Batches that must become smaller: to fit the server, or until a bad row stands alone.

#![expect(clippy::similar_names, reason = "shelf is our word, self is Rust's")]

use super::batch::{Batch, Progress};
use super::flood::Outcome;
use super::{Engine, Output, Part};
use crate::settle::Claim;
use crate::units::BatchId;
use crate::verdict::Failure;

impl Engine {
    /// Some row of the batch is bad: buries it when it stands alone, else cuts the batch.
    ///
    /// At most 2·log₂(n) + 1 inserts for one bad row among n: each level costs the first half, and
    /// the second only when the bad row was in the first; the last row is always sent alone. Where
    /// the failure names the row, it is sent alone next: four inserts. After a wrong hint no other
    /// is followed.
    pub(super) fn isolate(&mut self, id: BatchId, failure: Failure, outputs: &mut Vec<Output>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        if batch.has_failed() {
            self.tables.entry(batch.shelf.table).or_default().failed -= 1;
        }
        (batch.failures, batch.unknown, batch.twin, batch.suspect) = (0, 0, None, true);
        let trusted = !self.tables.get(&batch.shelf.table).is_some_and(|table| table.misled);
        let follow = |row: &u32| trusted && *row < batch.rows && batch.rows > 2;
        if let Some(row) = failure.row().filter(follow) {
            self.single_out(id, row, outputs);
            return;
        }
        if let Some(halves) = self.halve(id, Progress::Ready, outputs) {
            self.pair(halves);
            return;
        }
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        batch.progress = Progress::Burying;
        let (shelf, attempts) = (batch.shelf, batch.sent);
        self.leave_shelf(id, shelf);
        outputs.push(Output::Bury { batch: id, failure, attempts });
        self.note(shelf.table, Outcome { refused: 1, ..Outcome::default() }, outputs);
    }

    /// A row only ClickHouse refuses is on its way to `dead_letters`, and its claims with it.
    pub(super) fn buried(&mut self, id: BatchId, part: Part, outputs: &mut Vec<Output>) {
        if self.batches.get(&id).is_none_or(|batch| batch.progress != Progress::Burying) {
            return;
        }
        let Some(mut batch) = self.batches.remove(&id) else {
            return;
        };
        let claims = std::mem::take(&mut batch.claims);
        self.tables.entry(part.shelf.table).or_default().saw(part.shelf.partition, self.now);
        self.put(part, claims);
        self.drop_rows(id, &batch, outputs);
    }

    pub(super) fn pair(&mut self, [left, right]: [BatchId; 2]) {
        if let Some(batch) = self.batches.get_mut(&left) {
            batch.twin = Some(right);
        }
    }

    /// Cuts a batch so that this row stands alone, and is sent first.
    fn single_out(&mut self, id: BatchId, row: u32, outputs: &mut Vec<Output>) {
        let right = match self.cut(id, row, Progress::Ready, outputs) {
            Some([_, right]) => right,
            None => id,
        };
        let alone = match self.cut(right, 1, Progress::Ready, outputs) {
            Some([alone, _]) => alone,
            None => right,
        };
        let Some(batch) = self.batches.get_mut(&alone) else {
            return;
        };
        batch.accused = true;
        if let Some(stack) = self.shelves.get_mut(&batch.shelf)
            && let Some(place) = stack.closed.iter().position(|closed| *closed == alone)
        {
            stack.closed.remove(place);
            stack.closed.push_front(alone);
        }
    }

    /// Puts two halves in the place of a batch, the smaller one first; None when it is one row.
    pub(super) fn halve(
        &mut self,
        id: BatchId,
        progress: Progress,
        outputs: &mut Vec<Output>,
    ) -> Option<[BatchId; 2]> {
        let at = self.batches.get(&id)?.rows / 2;
        self.cut(id, at, progress, outputs)
    }

    /// Puts two parts in the place of a batch, rows before `at` first; None when one were empty.
    fn cut(
        &mut self,
        id: BatchId,
        at: u32,
        progress: Progress,
        outputs: &mut Vec<Output>,
    ) -> Option<[BatchId; 2]> {
        if at == 0 || at >= self.batches.get(&id)?.rows {
            return None;
        }
        let mut batch = self.batches.remove(&id)?;
        let halves = [BatchId(self.last_batch + 1), BatchId(self.last_batch + 2)];
        self.last_batch += 2;
        let bytes = batch.bytes / u64::from(batch.rows) * u64::from(at);
        let sizes = [(at, bytes), (batch.rows - at, batch.bytes - bytes)];
        let claims = self.share_out(std::mem::take(&mut batch.claims));
        for ((half, (rows, bytes)), claim) in halves.into_iter().zip(sizes).zip(claims) {
            let claims = vec![claim];
            let (twin, accused) = (None, false);
            let part = Batch { rows, bytes, claims, twin, accused, progress, ..batch };
            self.batches.insert(half, part);
        }
        if let Some(held) = self.blocks.get_mut(&batch.block) {
            held.parts += 1;
        }
        if batch.has_failed() {
            self.tables.entry(batch.shelf.table).or_default().failed += 1;
        }
        let stack = self.shelves.entry(batch.shelf).or_default();
        if let Some(place) = stack.closed.iter().position(|closed| *closed == id) {
            stack.closed.remove(place);
            stack.closed.insert(place, halves[1]);
            stack.closed.insert(place, halves[0]);
        }
        let [left, right] = halves;
        outputs.push(Output::Split { batch: id, at, left, right });
        Some(halves)
    }

    /// Two claims that stand for all of these.
    fn share_out(&mut self, mut claims: Vec<Claim>) -> [Claim; 2] {
        match (claims.pop(), claims.is_empty()) {
            (Some(Claim::Share(share)), true) => {
                [Claim::Share(self.ledger.cut_share(&share)), Claim::Share(share)]
            }
            (last, _) => {
                claims.extend(last);
                let share = self.ledger.bundle(claims);
                [Claim::Share(self.ledger.cut_share(&share)), Claim::Share(share)]
            }
        }
    }
}
