//! What is held and not durable, by table, and when lanes must pause for it.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::{Limits, share};
use crate::units::TableId;

/// Rows and bytes that are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Usage {
    pub(super) fn bytes(bytes: u64) -> Self {
        Self { rows: 0, bytes }
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.rows = self.rows.saturating_sub(other.rows);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Who may fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pressure {
    /// Lanes of a table that is in trouble must wait.
    pub(super) on_troubled: bool,
    /// All other lanes must wait too.
    pub(super) on_others: bool,
}

/// The one budget of rows and bytes.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Usage,
    pause_at: f64,
    resume_at: f64,
    held: Usage,
    by_table: BTreeMap<TableId, Usage>,
    pressure: Pressure,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limit: Usage { rows: limits.buffer_rows, bytes: limits.buffer_bytes },
            pause_at: limits.pause_at,
            resume_at: limits.resume_at,
            held: Usage::default(),
            by_table: BTreeMap::new(),
            pressure: Pressure::default(),
        }
    }

    pub(super) fn charge(&mut self, table: TableId, usage: Usage) {
        self.held.add(usage);
        self.by_table.entry(table).or_default().add(usage);
    }

    pub(super) fn release(&mut self, table: TableId, usage: Usage) {
        self.held.subtract(usage);
        if let Some(held) = self.by_table.get_mut(&table) {
            held.subtract(usage);
            if *held == Usage::default() {
                self.by_table.remove(&table);
            }
        }
    }

    pub(super) fn held(&self) -> Usage {
        self.held
    }

    pub(super) fn limit(&self) -> Usage {
        self.limit
    }

    /// Whether an encode buffer of this size still fits.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.held.bytes.saturating_add(bytes) <= self.limit.bytes
    }

    pub(super) fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// Whether so much is held that lanes pause, or are about to.
    pub(super) fn is_tight(&self) -> bool {
        self.is_over(false, self.held, self.limit)
    }

    /// Weighs what is held against the limits, with hysteresis.
    ///
    /// What a table in trouble holds would keep everyone waiting until it is mended. So the other
    /// lanes share what it leaves, as long as it leaves anything, and its own lanes wait for the
    /// whole.
    pub(super) fn weigh(&mut self, troubled: &BTreeSet<TableId>) -> Pressure {
        let mut stuck = Usage::default();
        for table in troubled {
            stuck.add(self.by_table.get(table).copied().unwrap_or_default());
        }
        let (mut left, mut moving) = (self.limit, self.held);
        left.subtract(stuck);
        moving.subtract(stuck);
        self.pressure = Pressure {
            on_troubled: self.is_over(self.pressure.on_troubled, self.held, self.limit),
            on_others: self.is_over(self.pressure.on_others, moving, left) || self.is_exhausted(),
        };
        self.pressure
    }

    /// Nothing is left to share.
    fn is_exhausted(&self) -> bool {
        self.held.rows >= self.limit.rows || self.held.bytes >= self.limit.bytes
    }

    fn is_over(&self, paused: bool, held: Usage, limit: Usage) -> bool {
        let part = if paused { self.resume_at } else { self.pause_at };
        let (rows, bytes) = (share(limit.rows, part), share(limit.bytes, part));
        if paused {
            held.rows > rows || held.bytes > bytes
        } else {
            // At least one, so that a single fetch passes when others hold all there is.
            held.rows >= rows.max(1) || held.bytes >= bytes.max(1)
        }
    }
}
