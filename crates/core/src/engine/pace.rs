//! How often inserts are sent, and how large they are, as ClickHouse bears it.
//!
//! Rows that nobody has to wait for cost the server least in few large inserts: parts have to be
//! written and merged again. So all inserts are counted against a budget, and blocks that are not full
//! wait for their turn in it. A table whose inserts are refused or delayed because parts pile up gets
//! fewer and larger ones, and one for which memory ran short smaller ones, for a while.

use std::time::Duration;

use super::shelf::{Open, TableState};
use super::{Engine, Phase};
use crate::units::{Moment, Shelf};

/// Inserts that were saved up may follow each other at once: as many as the budget has in this time.
const SAVED_UP: Duration = Duration::from_secs(1);
/// Rows of old partitions are late already: how long a block of theirs waits for its turn at most.
const OLD_STRETCH: Duration = Duration::from_secs(10);
/// Linger of a table whose parts pile up: one insert a second per partition is what ClickHouse's own
/// documentation recommends.
pub(super) const STRAINED_AGE: Duration = Duration::from_secs(1);
/// How long a table counts as strained after it refused an insert for its parts. `parts_to_throw_insert`
/// is reached after `parts_to_delay_insert`: merges take a while to get below both.
const STRAINED_FOR: Duration = Duration::from_secs(30);
/// An insert that takes so long is one that the server delays: for up to a second when parts pile up
/// (`max_delay_to_insert`). Two in a row, since one may have met a slow disk or network.
const SLOW: Duration = Duration::from_millis(500);
const SLOW_IN_A_ROW: u32 = 2;
/// How long a table's batches stay as small as memory made them, before they may double.
const SMALL_FOR: Duration = Duration::from_secs(30);
/// Batches may have so many rows, or bytes, whatever happened: an insert of a thousand rows takes
/// hardly more memory than one of a single row. Where it does not suffice the server as a whole is
/// short of it, and a shelf whose inserts have a few rows each would fall behind for minutes.
const NEVER_FEWER_ROWS: u32 = 1_000;
const NEVER_FEWER_BYTES: u64 = 1 << 20;
/// ClickHouse: too many parts.
const TOO_MANY_PARTS: i32 = 252;

/// A budget of inserts: the moment up to which it is spent.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    spent: Moment,
}

impl Pace {
    pub(super) fn new(inserts_per_second: f64) -> Self {
        let mut pace = Self { interval: Duration::ZERO, spent: Moment::default() };
        pace.set(inserts_per_second);
        pace
    }

    /// A share of nothing is one insert each second: what is not in the budget must flow as well.
    fn set(&mut self, inserts_per_second: f64) {
        self.interval = Duration::from_secs_f64(1.0 / inserts_per_second.max(1.0));
    }

    /// An insert is sent.
    pub(super) fn spend(&mut self, now: Moment) {
        self.spent = self.spent.max(now).after(self.interval);
    }

    /// When another one may be sent.
    fn free_at(&self) -> Moment {
        Moment(self.spent.0.saturating_sub(SAVED_UP))
    }
}

/// What a table's inserts told of the server.
#[derive(Debug, Default)]
pub(super) struct Strain {
    /// Until when parts are taken to pile up.
    until: Option<Moment>,
    /// Inserts in a row that were slow.
    slow: u32,
    /// Most rows of a batch, until when.
    small: Option<(u32, Moment)>,
}

impl Strain {
    pub(super) fn is_on(&self, now: Moment) -> bool {
        self.slow >= SLOW_IN_A_ROW || self.until.is_some_and(|until| now < until)
    }

    /// Most rows of a batch: half of what memory did not suffice for, twice as many after each while.
    pub(super) fn most_rows(&self, now: Moment, usual: u32) -> u32 {
        let Some((rows, since)) = self.small else {
            return usual;
        };
        let whiles = now.since(since).as_nanos() / SMALL_FOR.as_nanos();
        let doubled = 2_u32.saturating_pow(u32::try_from(whiles).unwrap_or(u32::MAX));
        rows.saturating_mul(doubled).clamp(1, usual)
    }

    pub(super) fn inserted(&mut self, took: Duration) {
        self.slow = if took >= SLOW { self.slow.saturating_add(1) } else { 0 };
    }

    pub(super) fn refused(&mut self, code: Option<i32>, now: Moment) {
        if code == Some(TOO_MANY_PARTS) {
            self.until = Some(now.after(STRAINED_FOR));
        }
    }

    pub(super) fn ran_out_of_memory(&mut self, rows: u32, bytes: u64, now: Moment) {
        let least = if bytes < NEVER_FEWER_BYTES { NEVER_FEWER_ROWS } else { 1 };
        self.small = Some(((rows / 2).max(least), now));
    }
}

impl Engine {
    /// This instance's share of the budget: `mine` of `all` partitions of its topics.
    pub(super) fn share(&mut self, mine: u32, all: u32) {
        let share = if all == 0 { 1.0 } else { (f64::from(mine) / f64::from(all)).min(1.0) };
        self.pace.set(f64::from(self.limits.inserts_per_second) * share);
    }

    /// When a block that is not full has waited for others long enough, and for its turn.
    pub(super) fn ripe_at(&self, shelf: Shelf, open: &Open) -> Moment {
        if self.phase != Phase::Running {
            return open.due;
        }
        let is_newest = |table: &TableState| table.is_newest(shelf.partition, self.now);
        let stretch = if self.tables.get(&shelf.table).is_none_or(is_newest) {
            self.limits.longest_stretch
        } else {
            OLD_STRETCH.max(self.limits.longest_stretch)
        };
        open.due.max(self.pace.free_at()).min(open.due.after(stretch))
    }

    /// How long a block waits before it is sent, at most, while its shelf is free.
    pub(super) fn longest_wait(&self) -> Duration {
        let due = self.limits.batch_age.max(self.limits.old_partition_age).max(STRAINED_AGE);
        due + OLD_STRETCH.max(self.limits.longest_stretch)
    }

    /// Rows of a batch at most.
    pub(super) fn most_rows(&self, shelf: Shelf, usual: u32) -> u32 {
        self.tables.get(&shelf.table).map_or(usual, |table| table.strain.most_rows(self.now, usual))
    }
}
