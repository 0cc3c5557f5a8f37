//! `batch`, `backpressure`, `retry`, `dead_letters`, `readiness`, `shutdown`: how much, how long,
//! how often.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use super::kind::show_size;
use super::show::Shown;
use super::values::Values;

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
    /// How much longer than `max_age` a live row waits for its turn in that budget at most.
    pub longest_stretch: Duration,
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

/// How much of the budget one batch takes when the file leaves that open: enough batches fit to
/// build one while others are sent.
const BATCHES_IN_BUDGET: u64 = 4;

/// The budget of inserts by default: it yields to the promised latency. A smaller one is a decision.
const DEFAULT_BUDGET: u32 = 60;
/// How long a smaller one may hold a live row that is due: long enough for 300 tables at 60 a second.
const BUDGET_STRETCH: Duration = Duration::from_secs(5);

impl Batch {
    /// A batch that nobody sized shrinks with the budget; one that somebody sized must fit.
    pub(super) fn read(values: &mut Values, budget: &Backpressure) -> Self {
        let max_age = values.duration("batch.max_age_ms");
        let inserts_per_second = values.count32("batch.inserts_per_second");
        let is_lowered = inserts_per_second.get() < DEFAULT_BUDGET;
        let mut batch = Self {
            max_rows: values.count32("batch.max_rows"),
            max_bytes: values.size("batch.max_bytes"),
            max_age,
            inserts_per_second,
            longest_stretch: if is_lowered { BUDGET_STRETCH } else { max_age },
        };
        let keys = [
            "batch.max_rows",
            "batch.max_bytes",
            "backpressure.max_rows",
            "backpressure.max_bytes",
        ];
        if !values.are_sound(&keys) {
            return batch;
        }
        if u64::from(batch.max_rows.get()) > budget.max_rows.get() {
            if values.is_set("batch.max_rows") {
                values.refuse(
                    "batch.max_rows",
                    format!("`{}` rows never fit into the buffer", batch.max_rows),
                    format!("write at most backpressure.max_rows, {}", budget.max_rows),
                );
            } else if let Ok(rows) = NonZeroU32::try_from(budget.max_rows) {
                batch.max_rows = rows;
                values.settle("batch.max_rows", Shown::Plain(rows.to_string()));
            }
        }
        if values.is_set("batch.max_bytes") {
            if batch.max_bytes > budget.max_bytes {
                values.refuse(
                    "batch.max_bytes",
                    format!("{} never fit into the buffer", show_size(batch.max_bytes.get())),
                    format!(
                        "write at most backpressure.max_bytes, {}",
                        show_size(budget.max_bytes.get())
                    ),
                );
            }
        } else if let Some(share) = NonZeroU64::new(budget.max_bytes.get() / BATCHES_IN_BUDGET) {
            batch.max_bytes = batch.max_bytes.min(share);
            let shown = Shown::Plain(show_size(batch.max_bytes.get()));
            values.settle("batch.max_bytes", shown);
        }
        batch
    }
}

impl Backpressure {
    pub(super) fn read(values: &mut Values) -> Self {
        let limits = Self {
            max_rows: values.count64("backpressure.max_rows"),
            max_bytes: values.size("backpressure.max_bytes"),
            pause_at: values.share("backpressure.pause_at"),
            resume_at: values.share("backpressure.resume_at"),
        };
        let keys = ["backpressure.pause_at", "backpressure.resume_at"];
        if limits.resume_at >= limits.pause_at && values.are_sound(&keys) {
            let key = if values.is_set("backpressure.resume_at") {
                "backpressure.resume_at"
            } else {
                "backpressure.pause_at"
            };
            values.refuse(
                key,
                format!(
                    "reading resumes at {} and pauses at {}: it would flutter",
                    limits.resume_at, limits.pause_at
                ),
                "let resume_at be below pause_at, such as 0.4 and 0.8",
            );
        }
        limits
    }
}

impl Retry {
    pub(super) fn read(values: &mut Values) -> Self {
        let retry = Self {
            initial: values.duration("retry.initial_ms"),
            max: values.duration("retry.max_ms"),
        };
        if retry.max < retry.initial && values.are_sound(&["retry.initial_ms", "retry.max_ms"]) {
            let key =
                if values.is_set("retry.max_ms") { "retry.max_ms" } else { "retry.initial_ms" };
            values.refuse(
                key,
                format!(
                    "the longest pause, {} ms, is below the first one, {} ms",
                    retry.max.as_millis(),
                    retry.initial.as_millis()
                ),
                "let retry.max_ms be at least retry.initial_ms",
            );
        }
        retry
    }
}

impl DeadLetters {
    pub(super) fn read(values: &mut Values) -> Self {
        Self {
            flood_rows: values.count64("dead_letters.flood_rows"),
            flood_share: values.share("dead_letters.flood_share"),
            flood_window: values.duration("dead_letters.flood_window_s"),
        }
    }
}

impl Readiness {
    pub(super) fn read(values: &mut Values) -> Self {
        Self { stall: values.duration("readiness.stall_ms") }
    }
}

impl Shutdown {
    pub(super) fn read(values: &mut Values) -> Self {
        Self { grace: values.duration("shutdown.grace_ms") }
    }
}
