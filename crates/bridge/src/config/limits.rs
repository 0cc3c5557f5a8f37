//! `batch`, `backpressure`, `retry`, `dead_letters`, `readiness`, `shutdown`: how much, how long,
//! how often.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// When a batch closes, and how often one is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// Rows at most; never more than ClickHouse takes as one block.
    pub max_rows: NonZeroU32,
    /// Bytes at most; within `backpressure.max_bytes`.
    pub max_bytes: NonZeroU64,
    /// Age of the oldest row at most.
    pub max_age: Duration,
    /// Inserts per second and ClickHouse server, over all tables and instances.
    pub inserts_per_second: NonZeroU32,
}

/// How much may be fetched and not yet durable.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Backpressure {
    /// Rows at most.
    pub max_rows: NonZeroU64,
    /// Bytes at most, client queues and encode buffers included.
    pub max_bytes: NonZeroU64,
    /// Share of a limit above which sources pause.
    pub pause_at: f64,
    /// Share of a limit below which they resume; less than `pause_at`.
    pub resume_at: f64,
}

/// Pauses between attempts of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// The first pause.
    pub initial: Duration,
    /// The longest pause; at least `initial`.
    pub max: Duration,
}

/// When dead letters are a flood.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeadLetters {
    /// More letters than this within the window …
    pub flood_rows: NonZeroU64,
    /// … and more than this share of the route's messages.
    pub flood_share: f64,
    /// The window.
    pub flood_window: Duration,
}

/// When an instance is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// Lag, and no row durable for this long.
    pub stall: Duration,
}

/// How an instance stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// How long what is in flight may take.
    pub grace: Duration,
}
