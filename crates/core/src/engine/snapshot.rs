//! What the outside may know: health, metrics, status page.

use std::time::Duration;

use super::batch::Progress;
use super::{Engine, Phase};
use crate::units::{Moment, TableId};
use crate::verdict::Failure;

/// The engine at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Rows that are held and not durable.
    pub rows: u64,
    /// Limit of `rows`.
    pub rows_limit: u64,
    /// Bytes that are held: payloads, blocks, encode buffers.
    pub bytes: u64,
    /// Limit of `bytes`.
    pub bytes_limit: u64,
    /// Whether lanes wait because the buffer is full.
    pub is_full: bool,
    /// Lanes that take records.
    pub lanes: usize,
    /// Those of them that were told to pause, for whatever reason.
    pub lanes_paused: usize,
    /// Tables that cannot be written until people mend something.
    pub tables_paused: Vec<PausedTable>,
    /// Tables whose routes are slowed down because too many of their messages become dead letters.
    pub floods: Vec<FloodedTable>,
    /// Blocks that are being built.
    pub batches_building: usize,
    /// How long one of them may wait for more rows and for its turn.
    pub longest_wait: Duration,
    /// Batches that are closed and wait for their turn.
    pub batches_ready: usize,
    /// Batches that failed and wait before the next attempt.
    pub batches_waiting: usize,
    /// Inserts that are under way.
    pub batches_in_flight: usize,
    /// When the oldest of them was sent, and to which table.
    pub oldest_in_flight: Option<(Moment, TableId)>,
    /// Chunks of which rows are not durable.
    pub open_chunks: usize,
    /// When the oldest of them was decoded, or opened when it is not decoded yet.
    pub oldest_open_chunk: Option<Moment>,
    /// When an insert last became durable.
    pub last_durable: Option<Moment>,
    /// When the commit that is under way was sent.
    pub commit_since: Option<Moment>,
    /// Whether the engine takes records: false once it was told to stop.
    pub is_running: bool,
}

/// A table that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedTable {
    /// The table.
    pub table: TableId,
    /// Since when.
    pub since: Moment,
    /// The newest reason; shown to people.
    pub failure: Failure,
}

/// A table of which too many messages become dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloodedTable {
    /// The table.
    pub table: TableId,
    /// Since when its routes are slowed down.
    pub since: Moment,
    /// Letters within the window.
    pub letters: u64,
    /// Messages within the window.
    pub messages: u64,
}

impl Engine {
    /// What the engine holds and waits for.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (held, limit) = (self.budget.held(), self.budget.limit());
        let pressure = self.budget.pressure();
        let is = |wanted: fn(Progress) -> bool| {
            self.batches.values().filter(|batch| wanted(batch.progress)).count()
        };
        let in_flight = self.batches.values().filter_map(|batch| match batch.progress {
            Progress::InFlight(since) => Some((since, batch.shelf.table)),
            Progress::Ready | Progress::Waiting(_) | Progress::Burying => None,
        });
        let tables_paused = self.tables.iter().filter_map(|(table, state)| {
            let (since, failure) = state.paused.clone()?;
            Some(PausedTable { table: *table, since, failure })
        });
        Snapshot {
            rows: held.rows,
            rows_limit: limit.rows,
            bytes: held.bytes,
            bytes_limit: limit.bytes,
            is_full: pressure.on_troubled || pressure.on_others,
            lanes: self.ledger.live().count() + self.ledger.live_streams().count(),
            lanes_paused: self.paused.len(),
            tables_paused: tables_paused.collect(),
            floods: self.floods().collect(),
            batches_building: self.shelves.values().filter(|stack| stack.open.is_some()).count(),
            longest_wait: self.longest_wait(),
            batches_ready: is(|progress| progress == Progress::Ready),
            batches_waiting: is(|progress| matches!(progress, Progress::Waiting(_))),
            batches_in_flight: self.in_flight,
            oldest_in_flight: in_flight.min(),
            open_chunks: self.ledger.open_chunks(),
            oldest_open_chunk: self.ledger.oldest_open(),
            last_durable: self.last_durable,
            commit_since: self.pacing.under_way_since(),
            is_running: self.phase == Phase::Running,
        }
    }
}
