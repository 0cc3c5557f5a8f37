//! Chunks of lanes without a front: their broker hears of them until they are acked or given back.

use std::collections::VecDeque;

use super::{Engine, Output, Return};
use crate::settle::{Receipt, Standing};
use crate::units::{ChunkId, LaneId, Moment, TableId};

/// Chunks of which the broker must hear again, in the order of their turns: the interval is the same
/// for all, so the one that came last is due last.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    queue: VecDeque<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Moment,
    lane: LaneId,
    chunk: ChunkId,
    /// When it was opened.
    since: Moment,
}

impl Engine {
    /// From now on the broker hears of this chunk.
    pub(super) fn watch(&mut self, receipt: &Receipt) {
        let due = self.now.after(self.limits.progress_interval);
        let (lane, chunk) = (receipt.lane(), receipt.chunk());
        self.vigil.queue.push_back(Turn { due, lane, chunk, since: self.now });
    }

    /// Tells the broker of chunks whose turn it is; gives those back that were kept for too long.
    pub(super) fn keep(&mut self, outputs: &mut Vec<Output>) {
        while let Some(turn) = self.vigil.queue.front().copied() {
            let Turn { due, lane, chunk, since } = turn;
            if self.ledger.standing(lane, chunk) != Some(Standing::Kept) {
                self.vigil.queue.pop_front();
                continue;
            }
            if due > self.now {
                return;
            }
            self.vigil.queue.pop_front();
            if self.now.since(since) >= self.limits.keep && self.ledger.give_back(lane, chunk) {
                outputs.push(Output::GiveBack { chunk, when: Return::Later });
            } else {
                outputs.push(Output::Working { chunk });
                let due = self.now.after(self.limits.progress_interval);
                self.vigil.queue.push_back(Turn { due, ..turn });
            }
        }
    }

    /// When the broker must hear of a chunk again.
    pub(super) fn progress_due(&self) -> Option<Moment> {
        self.vigil.queue.front().map(|turn| turn.due)
    }

    /// Gives back what streams of this table hold, of all tables without one.
    pub(super) fn give_back(
        &mut self,
        table: Option<TableId>,
        when: Return,
        outputs: &mut Vec<Output>,
    ) {
        let given = self.ledger.give_back_all(table).into_iter();
        outputs.extend(given.map(|chunk| Output::GiveBack { chunk, when }));
    }
}
