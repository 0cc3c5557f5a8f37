//! One shelf: the block that is being built, and batches that were closed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::flood::Flood;
use super::pace::Strain;
use crate::settle::Claim;
use crate::units::{BatchId, Moment, Partition};
use crate::verdict::Failure;

/// Rows of one table and ClickHouse partition that are not durable.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// The block that is being built.
    pub(super) open: Option<Open>,
    /// Closed batches in the order they are sent. Only the first is ever acted on, so one insert is
    /// under way per shelf, and a batch that is retried is not overtaken.
    pub(super) closed: VecDeque<BatchId>,
}

/// The block that is being built.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) rows: u32,
    pub(super) bytes: u64,
    pub(super) claims: Vec<Claim>,
    /// When it is sent even if it is not full.
    pub(super) due: Moment,
    /// Somebody waits for it: a lane that ends, or the stop.
    pub(super) urgent: bool,
    /// Rows of lanes without a front among them.
    pub(super) of_streams: u32,
    /// When the last of those came.
    pub(super) fed: Moment,
}

/// What the engine remembers of a table.
#[derive(Debug, Default)]
pub(super) struct TableState {
    pub(super) in_flight: usize,
    /// Batches that failed and are not durable yet.
    pub(super) failed: usize,
    pub(super) paused: Option<(Moment, Failure)>,
    /// Letters among the messages of its routes.
    pub(super) flood: Flood,
    /// What its inserts told of the server.
    pub(super) strain: Strain,
    /// The server once named a row as bad that it then took: its hints count no more.
    pub(super) misled: bool,
    /// When each partition last got rows.
    seen: BTreeMap<Partition, Moment>,
}

/// A partition that got no rows for so long does not count among the newest: one stray row with a
/// time far ahead must not make live rows wait.
const SEEN: Duration = Duration::from_secs(10);

/// Entries of `seen` beyond which stale ones are thrown away.
const SEEN_KEPT: usize = 64;

impl TableState {
    pub(super) fn saw(&mut self, partition: Partition, now: Moment) {
        self.seen.insert(partition, now);
        if self.seen.len() > SEEN_KEPT {
            self.seen.retain(|_, seen| now.since(*seen) <= SEEN);
        }
    }

    /// Whether the partition is one of the newest two that get rows.
    pub(super) fn is_newest(&self, partition: Partition, now: Moment) -> bool {
        self.seen
            .range(partition..)
            .skip_while(|(seen, _)| **seen == partition)
            .filter(|(_, seen)| now.since(**seen) <= SEEN)
            .count()
            < 2
    }

    pub(super) fn is_troubled(&self) -> bool {
        self.failed > 0 || self.paused.is_some() || self.flood.since().is_some()
    }
}
