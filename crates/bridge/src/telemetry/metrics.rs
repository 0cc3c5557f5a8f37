//! Every metric of an instance, in one place. Counted per chunk or batch, never per record.
//!
//! A new one is a field and a line of [`Metrics::new`]; `docs/metrics.md` is written from these.

mod build;
mod declare;
mod nats;
#[cfg(test)]
mod reference;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use build::Build;
use declare::{Buckets, Declare, Declared, Labels, Measure};
pub use nats::NatsMetrics;

use crate::config::Number;

/// Fine around the promised 100 ms, so that a percentile there is not a guess between far bounds.
const DURABLE_SECONDS: [f64; 16] =
    [0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0];
/// Per table, so few: a scrape of all shipped tables stays below 600 series.
const INSERT_SECONDS: [f64; 9] = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

macro_rules! labels {
    ($($(#[$about:meta])+ $set:ident { $($(#[$field_about:meta])+ $label:ident: $kind:ty),+ })+) => {$(
        $(#[$about])+
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $set {
            $($(#[$field_about])+ pub $label: $kind,)+
        }

        impl Labels for $set {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),+];
        }
    )+};
}

labels! {
    /// A table of the catalog.
    OfTable {
        /// Its name.
        table: String
    }
    /// Why rows became dead letters.
    OfReason {
        /// The route.
        route: String,
        /// One of the closed set of reasons.
        reason: &'static str
    }
    /// A kind of source: `kafka` or `nats`.
    OfSource {
        /// Its name.
        source: &'static str
    }
    /// Which copy of an event was durable first: that of `nats`, that of `kafka`, or `neither`.
    OfFirst {
        /// Its way.
        first: &'static str
    }
    /// A route of NATS subjects; `no_route` for subjects without one.
    OfRoute {
        /// Its name.
        route: String
    }
    /// A file that the configuration names.
    OfFile {
        /// The key that names it, such as `clickhouse.tls.cert_file`.
        key: &'static str
    }
    /// A topic.
    OfTopic {
        /// Its name.
        topic: String
    }
    /// A partition of a topic.
    OfPartition {
        /// The topic.
        topic: String,
        /// The partition's number.
        partition: i32
    }
}

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    declared: Vec<Declared>,
    /// Messages fetched.
    pub received: Family<OfSource, Counter>,
    /// Bytes of keys, headers and payloads fetched.
    pub received_bytes: Family<OfSource, Counter>,
    /// Rows decoded.
    pub decoded: Family<OfTable, Counter>,
    /// Fields of messages that no column takes.
    pub unknown_fields: Counter,
    /// Rows durable.
    pub inserted: Family<OfTable, Counter>,
    /// Inserts that succeeded.
    pub inserts: Family<OfTable, Counter>,
    /// Inserts that failed and are tried again.
    pub retries: Family<OfTable, Counter>,
    /// Messages that became dead letters.
    pub dead_letters: Family<OfReason, Counter>,
    /// Duration of inserts.
    pub insert_seconds: Family<OfTable, Histogram, Buckets>,
    /// Rows of batches.
    pub batch_rows: Family<OfTable, Histogram, Buckets>,
    /// From a message's broker time to the moment its row was durable, oldest message of a chunk.
    pub durable_seconds: Histogram,
    /// From the fetch of a chunk to the moment it was settled.
    pub chunk_age: Histogram,
    /// Rows fetched and not durable.
    pub buffer_rows: Gauge,
    /// Bytes held for what is fetched and not durable.
    pub buffer_bytes: Gauge,
    /// What `backpressure.max_bytes` allows.
    pub budget_bytes: Gauge,
    /// 1 while back-pressure holds fetching.
    pub backpressure: Gauge,
    /// How long it held.
    pub backpressure_seconds: Counter<f64, AtomicU64>,
    /// 1 for each partition this instance reads.
    pub assigned: Family<OfPartition, Gauge>,
    /// Partitions of each topic that this instance subscribes to.
    pub topic_partitions: Family<OfTopic, Gauge>,
    /// Messages between the commit and the end of a partition.
    pub lag: Family<OfPartition, Gauge>,
    /// Age of the oldest message that is not committed, where messages wait.
    pub lag_seconds: Family<OfPartition, Measure>,
    /// Assignments and revocations by the group.
    pub rebalances: Counter,
    /// Time in which the group's changes kept this instance from reading.
    pub rebalancing_seconds: Counter<f64, AtomicU64>,
    /// Ranges that the broker had deleted before they were read.
    pub lost_ranges: Counter,
    /// Messages in these ranges.
    pub lost_messages: Counter,
    /// Partitions that start at their beginning because their topic was made anew.
    pub made_anew: Counter,
    /// Partitions that were added to a topic the group knew.
    pub added_partitions: Counter,
    /// Commits that the broker accepted.
    pub commits: Counter,
    /// Commits that were refused.
    pub commit_failures: Counter,
    /// 1 while a table cannot be written for a reason that people must mend.
    pub table_paused: Family<OfTable, Gauge>,
    /// 1 while a route is held because too many of its messages become dead letters.
    pub flooded: Family<OfTable, Gauge>,
    /// Of NATS.
    pub nats: NatsMetrics,
    /// Active parts of the fullest partition of each table.
    pub clickhouse_parts: Family<OfTable, Gauge>,
    /// When each certificate of the configuration ends, seconds since 1970.
    pub certificate_expiry: Family<OfFile, Measure>,
    /// 1 when ready.
    pub ready: Gauge,
    /// Seconds since something became durable.
    pub idle_seconds: Measure,
}

impl Metrics {
    /// All metrics at zero, with the instance's identity as an info metric.
    #[must_use]
    pub fn new(instance_id: &str, instance_number: Number) -> Self {
        let mut to = Declare::new();
        to.info(
            "build",
            &["version", "instance_id", "instance_number"],
            Build { id: instance_id.to_owned(), number: instance_number },
            "Version and identity of this instance",
        );
        let mut metrics = Self {
            received: to.counters("received_messages", "Messages fetched"),
            received_bytes: to.counters_bytes("received", "Keys, headers and payloads fetched"),
            decoded: to.counters("decoded_rows", "Rows decoded"),
            unknown_fields: to.counter("unknown_fields", "Fields of messages that no column takes"),
            inserted: to.counters("inserted_rows", "Rows durable in ClickHouse"),
            inserts: to.counters("inserts", "Inserts that succeeded"),
            retries: to.counters("insert_retries", "Inserts that failed and are tried again"),
            dead_letters: to.counters("dead_letters", "Messages that became dead letters"),
            insert_seconds: to.histograms_seconds(
                "insert_duration",
                // 1 ms to 33 s.
                || Histogram::new(INSERT_SECONDS),
                "Encoding and inserting a batch",
            ),
            batch_rows: to.histograms(
                "batch_rows",
                // 1 row to a million.
                || Histogram::new(exponential_buckets(1.0, 10.0, 7)),
                "Rows of inserted batches",
            ),
            durable_seconds: to.histogram_seconds(
                "produce_to_durable",
                || Histogram::new(DURABLE_SECONDS),
                "From the broker's time of a chunk's oldest message to its rows being durable",
            ),
            chunk_age: to.histogram_seconds(
                "chunk_age",
                || Histogram::new(DURABLE_SECONDS),
                "From the fetch of a chunk to its rows being durable or left to others",
            ),
            buffer_rows: to.gauge("buffer_rows", "Rows fetched and not durable"),
            buffer_bytes: to
                .gauge_bytes("buffer", "Memory held for what is fetched and not durable"),
            budget_bytes: to
                .gauge_bytes("budget", "What may be held at most: `backpressure.max_bytes`"),
            backpressure: to.gauge("backpressure", "1 while fetching is held back"),
            backpressure_seconds: to
                .counter_seconds("backpressure", "Time in which fetching was held back"),
            assigned: to.gauges("assigned", "1 per partition this instance reads"),
            topic_partitions: to.gauges(
                "topic_partitions",
                "Partitions of a topic this instance subscribes to, whoever reads them",
            ),
            lag: to.gauges("lag_messages", "Messages from the commit to the end"),
            lag_seconds: to.gauges_seconds(
                "lag",
                "Age of the oldest message that is not committed; 0 when none waits",
            ),
            rebalances: to.counter("rebalances", "Assignments and revocations"),
            rebalancing_seconds: to.counter_seconds(
                "rebalancing",
                "Time in which the group's changes stopped reading",
            ),
            lost_ranges: to
                .counter("lost_ranges", "Ranges deleted by the broker before they were read"),
            lost_messages: to.counter("lost_messages", "Messages in lost ranges"),
            made_anew: to.counter(
                "made_anew_partitions",
                "Partitions that start at their beginning because their topic was made anew",
            ),
            added_partitions: to.counter(
                "added_partitions",
                "Partitions that start at their beginning because they were added later",
            ),
            commits: to.counter("commits", "Commits that the broker accepted"),
            commit_failures: to.counter("commit_failures", "Commits that were refused"),
            table_paused: to
                .gauges("table_paused", "1 while a table cannot be written until someone mends it"),
            flooded: to.gauges(
                "flooded",
                "1 while routes of a table are held to a few dead letters per second",
            ),
            nats: NatsMetrics::new(&mut to),
            clickhouse_parts: to.gauges(
                "clickhouse_parts",
                "Active parts of the table's fullest partition; too many and ClickHouse slows inserts",
            ),
            certificate_expiry: to.gauges_seconds(
                "certificate_expiry_timestamp",
                "When the first certificate of a file ends, seconds since 1970",
            ),
            ready: to.gauge("ready", "1 when ready"),
            idle_seconds: to
                .gauge_seconds("since_last_durable", "Time since something became durable"),
            registry: Registry::default(),
            declared: Vec::new(),
        };
        (metrics.registry, metrics.declared) = to.done();
        metrics
    }

    /// The page of `/metrics`, in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never in practice: writing into a `String` does not fail.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_instance_and_counts() {
        let metrics = Metrics::new("bridge-a", Number::new(2));
        metrics.inserted.get_or_create(&OfTable { table: "ticks".to_owned() }).inc_by(7);
        let ticks = OfTable { table: "ticks".to_owned() };
        metrics.insert_seconds.get_or_create(&ticks).observe(0.01);
        let page = metrics.page().unwrap();
        assert!(page.contains("data_bridge_inserted_rows_total{table=\"ticks\"} 7"), "{page}");
        assert!(page.contains("instance_id=\"bridge-a\",instance_number=\"2\""), "{page}");
        assert!(
            page.contains("data_bridge_insert_duration_seconds_count{table=\"ticks\"} 1"),
            "{page}"
        );
    }

    #[test]
    fn every_metric_on_the_page_is_declared_under_its_exposed_name() {
        let metrics = Metrics::new("bridge-a", Number::new(2));
        let of = OfSource { source: "kafka" };
        metrics.received.get_or_create(&of).inc();
        metrics.received_bytes.get_or_create(&of).inc();
        let page = metrics.page().unwrap();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let stem = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            let known = |metric: &Declared| metric.name == stem || metric.name == name;
            assert!(metrics.declared.iter().any(known), "{name} is exposed and not declared");
        }
    }
}
