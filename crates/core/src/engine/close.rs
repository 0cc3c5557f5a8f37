//! Commits, lanes that end, and the stop.

use std::time::Duration;

use super::batch::Progress;
use super::{Engine, Output, Return};
use crate::settle::Commit;
use crate::units::{LaneId, Moment};

/// Where the engine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes and commits.
    Running,
    /// Takes nothing; finishes what it holds.
    Stopping {
        /// When it gives up.
        deadline: Moment,
    },
    /// Sends and commits nothing more.
    Stopped,
}

/// Lanes that were revoked together, until their `Closed` is said.
#[derive(Debug)]
pub(super) struct Closing {
    lanes: Vec<LaneId>,
    deadline: Moment,
}

/// When to commit.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    under_way: Option<(Commit, Moment)>,
    /// The last commit and the least interval; nobody keeps to it who is about to leave.
    paced: Moment,
    /// The backoff after failures, which everybody keeps to.
    not_before: Moment,
    failures: u32,
}

/// The longest wait after a commit that failed, in commit intervals: 3.2 s by default, so that a
/// coordinator that moved is found again well within a session.
const LONGEST_COMMIT_BACKOFF: u32 = 32;

impl Pacing {
    pub(super) fn under_way_since(&self) -> Option<Moment> {
        self.under_way.as_ref().map(|(_, since)| *since)
    }
}

impl Engine {
    /// Commits the newest positions, one commit at a time.
    pub(super) fn commit(&mut self, outputs: &mut Vec<Output>) {
        if self.commit_due().is_none_or(|due| due > self.now) {
            return;
        }
        let Some(commit) = self.ledger.commit() else {
            return;
        };
        outputs.push(Output::Commit { positions: commit.positions().to_vec() });
        self.pacing.under_way = Some((commit, self.now));
        self.pacing.paced = self.now.after(self.limits.commit_interval);
    }

    /// From when on something may be committed; None when there is nothing, or one is under way.
    pub(super) fn commit_due(&self) -> Option<Moment> {
        let pacing = &self.pacing;
        if pacing.under_way.is_some() || !self.ledger.has_news() {
            return None;
        }
        let hurry = self.phase != Phase::Running || !self.closings.is_empty();
        Some(if hurry { pacing.not_before } else { pacing.paced.max(pacing.not_before) })
    }

    pub(super) fn committed(&mut self) {
        if let Some((commit, _)) = self.pacing.under_way.take() {
            self.ledger.confirm(commit);
            self.pacing.failures = 0;
        }
    }

    pub(super) fn commit_failed(&mut self) {
        if let Some((commit, _)) = self.pacing.under_way.take() {
            self.ledger.refuse(commit);
            let interval = self.limits.commit_interval.max(Duration::from_millis(1));
            let longest = interval * LONGEST_COMMIT_BACKOFF;
            let wait = self.chance.wait(self.pacing.failures, interval, longest);
            self.pacing.not_before = self.now.after(wait);
            self.pacing.failures = self.pacing.failures.saturating_add(1);
        }
    }

    /// The lanes take nothing new, and what they hold goes first.
    pub(super) fn revoked(&mut self, lanes: Vec<LaneId>, deadline: Moment) {
        for lane in &lanes {
            self.ledger.finish(*lane);
            self.paused.remove(lane);
        }
        self.closings.push(Closing { lanes, deadline });
        for stack in self.shelves.values_mut() {
            if let Some(open) = &mut stack.open {
                open.urgent |= open.claims.iter().any(|claim| self.ledger.is_ending(claim));
            }
        }
        for batch in self.batches.values_mut() {
            if matches!(batch.progress, Progress::Waiting(_))
                && batch.claims.iter().any(|claim| self.ledger.is_ending(claim))
            {
                batch.progress = Progress::Waiting(self.now);
            }
        }
    }

    /// Takes nothing new; everything goes at once.
    pub(super) fn stop(&mut self, deadline: Moment) {
        self.phase = match self.phase {
            Phase::Running => Phase::Stopping { deadline },
            Phase::Stopping { deadline: earlier } => {
                Phase::Stopping { deadline: earlier.min(deadline) }
            }
            Phase::Stopped => return,
        };
        for open in self.shelves.values_mut().filter_map(|stack| stack.open.as_mut()) {
            open.urgent = true;
        }
        for batch in self.batches.values_mut() {
            if matches!(batch.progress, Progress::Waiting(_)) {
                batch.progress = Progress::Waiting(self.now);
            }
        }
    }

    /// Gives up what has reached its deadline.
    pub(super) fn expire(&mut self, outputs: &mut Vec<Output>) {
        let now = self.now;
        self.judge_floods(outputs);
        for closing in self.closings.extract_if(.., |closing| closing.deadline <= now) {
            for lane in &closing.lanes {
                self.ledger.end(*lane);
            }
            outputs.push(Output::Closed { lanes: closing.lanes });
        }
        if let Phase::Stopping { deadline } = self.phase
            && deadline <= now
        {
            self.end_all(outputs);
        }
    }

    /// Lets go of lanes of which everything is durable and committed, and stops when all are.
    pub(super) fn finish_closings(&mut self, outputs: &mut Vec<Output>) {
        let ledger = &mut self.ledger;
        let done = |closing: &mut Closing| closing.lanes.iter().all(|lane| ledger.is_done(*lane));
        let closed: Vec<_> = self.closings.extract_if(.., done).collect();
        for closing in closed {
            for lane in &closing.lanes {
                self.ledger.end(*lane);
            }
            outputs.push(Output::Closed { lanes: closing.lanes });
        }
        if matches!(self.phase, Phase::Stopping { .. }) && self.ledger.all_done() {
            self.end_all(outputs);
        }
    }

    fn end_all(&mut self, outputs: &mut Vec<Output>) {
        let open_chunks = self.ledger.open_chunks_of_ours();
        self.give_back(None, Return::AtOnce, outputs);
        self.ledger.end_all();
        self.paused.clear();
        self.phase = Phase::Stopped;
        for closing in self.closings.drain(..) {
            outputs.push(Output::Closed { lanes: closing.lanes });
        }
        outputs.push(Output::Stopped { open_chunks });
    }

    /// Deadlines of revocations and of the stop.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Moment> + '_ {
        let stop = match self.phase {
            Phase::Stopping { deadline } => Some(deadline),
            Phase::Running | Phase::Stopped => None,
        };
        self.closings.iter().map(|closing| closing.deadline).chain(stop)
    }
}
