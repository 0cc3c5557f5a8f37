//! Floods of dead letters: a route of which more messages fail than a few bad ones explain.
//!
//! Schema drift must not drain a topic into `dead_letters`. So a route in flood is slowed down to a
//! few letters per second, until its share of letters falls or people accept them.

use std::collections::VecDeque;
use std::time::Duration;

use super::limits::Limits;
use super::{Engine, FloodedTable, Output, Part};
use crate::units::{Moment, TableId};

/// Letters per second that a route in flood may write.
const PACE: u32 = 10;
/// What one fetch may bring while a route in flood reads: ten seconds of letters.
pub(super) const PROBE_ROWS: u64 = 100;
/// What was fetched before the flood was seen is not held against the route for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A flood is remembered at least this long, so that a few held fetches are not taken for silence.
const SHORTEST_FLOOD_WINDOW: Duration = Duration::from_mins(1);
/// Parts of the window; counts leave it one part at a time.
const PARTS: u32 = 60;

/// What became of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Messages that were decoded into rows.
    pub(super) decoded: u64,
    /// Messages that became dead letters instead.
    pub(super) unreadable: u64,
    /// Rows that ClickHouse took.
    pub(super) taken: u64,
    /// Rows that only ClickHouse refused.
    pub(super) refused: u64,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.decoded += other.decoded;
        self.unreadable += other.unreadable;
        self.taken += other.taken;
        self.refused += other.refused;
    }

    fn subtract(&mut self, other: Self) {
        self.decoded = self.decoded.saturating_sub(other.decoded);
        self.unreadable = self.unreadable.saturating_sub(other.unreadable);
        self.taken = self.taken.saturating_sub(other.taken);
        self.refused = self.refused.saturating_sub(other.refused);
    }

    fn letters(self) -> u64 {
        self.unreadable + self.refused
    }

    /// Share of messages that end as letters. Decoding and inserting are judged apart: while
    /// ClickHouse is away rows are decoded and none is taken, and while a block is searched row by
    /// row a million others wait that nobody has judged yet.
    fn share(self) -> f64 {
        let part = |bad: u64, good: u64| {
            #[expect(clippy::cast_precision_loss, reason = "a share, compared with a threshold")]
            let (bad, all) = (bad as f64, (bad + good) as f64);
            if all > 0.0 { bad / all } else { 0.0 }
        };
        let unreadable = part(self.unreadable, self.decoded);
        let refused = part(self.refused, self.taken);
        1.0 - (1.0 - unreadable) * (1.0 - refused)
    }
}

/// How a route stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Calm,
    /// Slowed down. The letters written since are paid for at this moment.
    Flooded { since: Moment, paid: Moment },
    /// People let the letters through, until the share falls.
    Accepted,
}

/// What changed for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Began,
    Ended,
}

/// Letters and messages of the routes of one table.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// Outcomes by the moment their part of the window began, oldest first.
    parts: VecDeque<(Moment, Outcome)>,
    sum: Outcome,
    state: State,
}

impl Flood {
    /// Notes what became of some messages.
    fn note(&mut self, outcome: Outcome, now: Moment, limits: &Limits) -> Option<Change> {
        let length = part_length(limits);
        match self.parts.back_mut() {
            Some((since, last)) if now.since(*since) < length => last.add(outcome),
            Some(_) | None => self.parts.push_back((now, outcome)),
        }
        self.sum.add(outcome);
        if let State::Flooded { paid, .. } = &mut self.state {
            let letters = u32::try_from(outcome.letters()).unwrap_or(u32::MAX);
            let cost = Duration::from_secs(1).saturating_mul(letters) / PACE;
            *paid = (*paid).max(now).after(cost).min(now.after(LONGEST_WAIT));
        }
        self.judge(now, limits)
    }

    /// Forgets what has left the window, and decides anew.
    fn judge(&mut self, now: Moment, limits: &Limits) -> Option<Change> {
        while let Some((since, outcome)) = self.parts.front().copied() {
            if now.since(since) < self.window(limits) {
                break;
            }
            self.sum.subtract(outcome);
            self.parts.pop_front();
        }
        let is_over = self.sum.share() > limits.flood_share;
        match self.state {
            State::Calm if is_over && self.sum.letters() > limits.flood_rows => {
                self.state = State::Flooded { since: now, paid: now };
                Some(Change::Began)
            }
            State::Flooded { .. } if !is_over => {
                self.state = State::Calm;
                Some(Change::Ended)
            }
            State::Accepted if !is_over => {
                self.state = State::Calm;
                None
            }
            State::Calm | State::Flooded { .. } | State::Accepted => None,
        }
    }

    /// People let the letters through.
    fn accept(&mut self) -> Option<Change> {
        let was_flooded = matches!(self.state, State::Flooded { .. });
        if was_flooded {
            self.state = State::Accepted;
        }
        was_flooded.then_some(Change::Ended)
    }

    /// Since when the route is slowed down.
    pub(super) fn since(&self) -> Option<Moment> {
        match self.state {
            State::Flooded { since, .. } => Some(since),
            State::Calm | State::Accepted => None,
        }
    }

    /// The moment before which the route may write no further letter.
    pub(super) fn held_until(&self) -> Option<Moment> {
        match self.state {
            State::Flooded { paid, .. } => Some(paid),
            State::Calm | State::Accepted => None,
        }
    }

    /// Letters and messages within the window.
    fn counts(&self) -> (u64, u64) {
        let Outcome { decoded, unreadable, taken, refused } = self.sum;
        // Rows may be refused long after they were decoded.
        (self.sum.letters(), unreadable + decoded.max(taken + refused))
    }

    /// When the window next changes by itself, as long as that can end a flood.
    fn due(&self, limits: &Limits) -> Option<Moment> {
        let (since, _) = self.parts.front()?;
        (self.state != State::Calm).then(|| since.after(self.window(limits)))
    }

    fn window(&self, limits: &Limits) -> Duration {
        match self.state {
            State::Calm => limits.flood_window,
            State::Flooded { .. } | State::Accepted => {
                limits.flood_window.max(SHORTEST_FLOOD_WINDOW)
            }
        }
    }

    /// Whether nothing is out of the ordinary.
    fn is_calm(&self) -> bool {
        self.state == State::Calm
    }
}

impl Engine {
    /// Notes what became of messages of a table's routes.
    pub(super) fn note(&mut self, id: TableId, outcome: Outcome, outputs: &mut Vec<Output>) {
        let table = self.tables.entry(id).or_default();
        let change = table.flood.note(outcome, self.now, &self.limits);
        outputs.extend(change.map(|change| said(id, change, &table.flood)));
    }

    /// Notes how the messages of a chunk were decoded.
    pub(super) fn note_decoded(
        &mut self,
        table: TableId,
        parts: &[Part],
        outputs: &mut Vec<Output>,
    ) {
        let mut outcome = Outcome::default();
        for part in parts {
            if part.shelf.table == self.limits.dead_letters {
                outcome.unreadable += u64::from(part.rows);
            } else {
                outcome.decoded += u64::from(part.rows);
            }
        }
        self.note(table, outcome, outputs);
    }

    /// Lets time end floods.
    pub(super) fn judge_floods(&mut self, outputs: &mut Vec<Output>) {
        for (id, table) in &mut self.tables {
            if !table.flood.is_calm() {
                let change = table.flood.judge(self.now, &self.limits);
                outputs.extend(change.map(|change| said(*id, change, &table.flood)));
            }
        }
    }

    pub(super) fn accept(&mut self, id: TableId, outputs: &mut Vec<Output>) {
        if let Some(table) = self.tables.get_mut(&id) {
            let change = table.flood.accept();
            outputs.extend(change.map(|change| said(id, change, &table.flood)));
        }
    }

    /// When lanes of a route in flood may be read again, or its flood may end.
    pub(super) fn floods_due(&self) -> impl Iterator<Item = Moment> + '_ {
        let held = self.tables.values().filter_map(|table| table.flood.held_until());
        let ends = self.tables.values().filter_map(|table| table.flood.due(&self.limits));
        held.chain(ends)
    }

    /// The routes that are slowed down.
    pub(super) fn floods(&self) -> impl Iterator<Item = FloodedTable> + '_ {
        self.tables.iter().filter_map(|(id, table)| {
            let (letters, messages) = table.flood.counts();
            Some(FloodedTable { table: *id, since: table.flood.since()?, letters, messages })
        })
    }
}

fn said(table: TableId, change: Change, flood: &Flood) -> Output {
    match change {
        Change::Began => {
            let (letters, messages) = flood.counts();
            Output::FloodBegan { table, letters, messages }
        }
        Change::Ended => Output::FloodEnded { table },
    }
}

fn part_length(limits: &Limits) -> Duration {
    limits.flood_window / PARTS
}
