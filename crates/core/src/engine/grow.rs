//! Larger batches while a backlog is drained.
//!
//! A row costs the server less the more rows come with it: most of it is parts that must be written
//! and merged again. Nobody waits for the rows of a backlog in particular, they are late already, so
//! a block that is due may wait for more, for as long as there is more and memory for it.

use std::time::Duration;

use super::limits::share;
use super::shelf::Open;
use super::{Engine, Part, Phase};
use crate::units::Moment;

/// Fewer waiting records than this are no backlog: they fill one insert of a size that is cheap
/// already, and 50,000 messages a second are brought within a fraction of one.
const BACKLOG: u64 = 50_000;
/// Longest wait of a block that is due. A backlog whose records come more slowly than a batch of
/// usual size in this time is not drained but dripping.
const LONGEST: Duration = Duration::from_secs(1);
/// Part of what may be held before lanes pause that one block may take with its payloads, and of what
/// a stream's server leaves unacked: less than half, since the one before it, on its way meanwhile,
/// also holds the buffer it was encoded into, and the messages that wait for its ack. Fetching then
/// stands still only when the server is the slower one, and the server never waits.
const PART: f64 = 0.45;
/// A block of a stream that got nothing for so long gets nothing more: its server waits for acks,
/// because others hold the rest of what it leaves unacked, or because there is no more. Some tens
/// of ms may also be a busy machine.
const DRY: Duration = Duration::from_millis(100);

impl Engine {
    /// Whether a block stays open although it is due.
    pub(super) fn grows(&self, open: &Open) -> bool {
        self.phase == Phase::Running
            && self.backlog >= BACKLOG.max(open.rows.into())
            && self.now < grown(open)
            && !self.budget.is_tight()
            && !self.is_grown(open)
    }

    /// Whether memory is better used for rows than for payloads that are needed only if ClickHouse
    /// refuses one of them: the log has them still.
    pub(super) fn lets_go(&self) -> bool {
        self.phase == Phase::Running && self.backlog >= BACKLOG
    }

    /// Whether a block is large enough while a backlog waits, even if its shelf is busy: the next one
    /// must be ready when the one that is on its way is durable.
    pub(super) fn has_its_part(&self, open: &Open) -> bool {
        self.backlog >= BACKLOG && self.is_grown(open)
    }

    /// Whether it has its part of the budget. The payloads of its rows are held until they are
    /// durable: they count by the average of all rows held.
    fn is_grown(&self, open: &Open) -> bool {
        let (held, limit) = (self.budget.held(), self.budget.limit());
        let rows = u128::from(open.rows);
        let bytes = rows * u128::from(held.bytes) / u128::from(held.rows.max(1));
        let part = self.limits.pause_at * PART;
        let of_streams = share(self.limits.stream_rows, PART).max(1);
        rows >= share(limit.rows, part).into()
            || bytes >= share(limit.bytes, part).into()
            || u64::from(open.of_streams) >= of_streams
    }

    /// Rows of a stream lie on shelves.
    pub(super) fn feed(&mut self, parts: &[Part]) {
        for Part { shelf, rows, .. } in parts.iter().filter(|part| part.rows > 0) {
            let open = self.shelves.get_mut(shelf).and_then(|stack| stack.open.as_mut());
            if let Some(open) = open {
                open.of_streams += rows;
                open.fed = self.now;
            }
        }
    }
}

/// When a block is sent at last, however much more there is.
pub(super) fn grown(open: &Open) -> Moment {
    let last = open.due.after(LONGEST);
    if open.of_streams > 0 { last.min(open.fed.after(DRY)) } else { last }
}
