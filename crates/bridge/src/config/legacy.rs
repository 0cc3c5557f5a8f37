//! Keys of the previous service's file: it still loads, and says what happens instead.

/// What became of an old key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Another name of a key.
    Renamed(&'static str),
    /// A group of old keys.
    Group,
    /// Nothing; what happens instead.
    Nothing(&'static str),
}

use Meaning::{Group, Nothing, Renamed};

const COMMITS: &str = "an offset is committed once its rows are durable in ClickHouse";
const RECONNECTS: &str = "a lost connection is noticed and made again by itself, without a limit";
const BATCHES: &str = "batches of all tables adapt to the load, within batch.max_rows, \
                       batch.max_bytes and batch.max_age_ms";
const DEDUPLICATES: &str = "a second copy of an event collapses in its table, however late it comes: \
                            SELECT ... FINAL shows one";
const MONITORS: &str = "metrics are always served at http.listen, and a heartbeat line is logged \
                        each 30 s";

/// What became of an old key; `None`: it never was one.
pub(super) fn meaning(path: &str) -> Option<Meaning> {
    Some(match path {
        "nats.url" => Renamed("nats.cluster_urls"),
        "clickhouse.url" => Renamed("clickhouse.urls"),
        "nats.max_reconnect_attempts" | "nats.reconnect_time_wait" | "nats.ping_interval" => {
            Nothing(RECONNECTS)
        }
        "kafka.enable_auto_commit" | "kafka.auto_commit_interval_ms" => Nothing(COMMITS),
        "kafka.max_poll_records" => {
            Nothing("what one fetch brings is bounded by backpressure.max_bytes")
        }
        "batch.tick_batch_size" | "batch.aggregate_batch_size" => Nothing(BATCHES),
        "batch.flush_interval_seconds" => {
            Nothing("a row waits for batch.max_age_ms at most, 30 ms by default")
        }
        "deduplication" | "monitoring" => Group,
        _ if path.starts_with("deduplication.") => Nothing(DEDUPLICATES),
        _ if path.starts_with("monitoring.") => Nothing(MONITORS),
        _ => return None,
    })
}

/// The route that an old name of a topic or a subject stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldName {
    /// This route.
    Route(&'static str),
    /// Carries no rows: not subscribed.
    Confirmation,
}

/// What an old name in `topics` or `subjects` stands for.
pub(super) fn old_name(name: &str) -> Option<OldName> {
    Some(match name {
        "ticks" | "tick" | "tick_archive" => OldName::Route("ticks"),
        "aggregates" | "aggregate" | "aggregate_archive" => OldName::Route("aggregates"),
        "external" | "external_archive" => OldName::Route("external"),
        "confirmation" | "confirmations" | "confirmation_archive" => OldName::Confirmation,
        _ => return None,
    })
}

/// What is said of an entry for confirmations.
pub(super) const CONFIRMATION: (&str, &str) =
    ("is not subscribed", "confirmations carry no rows; the entry can be removed");
