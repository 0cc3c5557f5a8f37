//! Every metric of an instance, in one place. Counted per chunk or batch, never per record.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// A table of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfTable {
    /// Its name.
    pub table: String,
}

/// Why rows became dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfReason {
    /// The route.
    pub route: String,
    /// One of the closed set of reasons.
    pub reason: &'static str,
}

/// A kind of source: `kafka` or `nats`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfSource {
    /// Its name.
    pub source: &'static str,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfPartition {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

type Ratio = Gauge<f64, AtomicU64>;

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
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
    pub insert_seconds: Family<OfTable, Histogram>,
    /// Rows of batches.
    pub batch_rows: Family<OfTable, Histogram>,
    /// From a message's broker time to the moment its row was durable, oldest message of a chunk.
    pub durable_seconds: Histogram,
    /// Rows fetched and not durable.
    pub buffer_rows: Gauge,
    /// Bytes held for what is fetched and not durable.
    pub buffer_bytes: Gauge,
    /// 1 while back-pressure holds fetching.
    pub backpressure: Gauge,
    /// 1 for each partition this instance reads.
    pub assigned: Family<OfPartition, Gauge>,
    /// Messages between the commit and the end of a partition.
    pub lag: Family<OfPartition, Gauge>,
    /// Assignments and revocations by the group.
    pub rebalances: Counter,
    /// Ranges that the broker had deleted before they were read.
    pub lost_ranges: Counter,
    /// Messages in these ranges.
    pub lost_messages: Counter,
    /// Commits that the broker accepted.
    pub commits: Counter,
    /// Commits that were refused.
    pub commit_failures: Counter,
    /// 1 while a table cannot be written for a reason that people must mend.
    pub table_paused: Family<OfTable, Gauge>,
    /// 1 when ready.
    pub ready: Gauge,
    /// Seconds since something became durable.
    pub idle_seconds: Ratio,
}

impl Metrics {
    /// All metrics at zero, with the instance's identity as an info metric.
    #[must_use]
    pub fn new(instance_id: &str, instance_number: u32) -> Self {
        let mut registry = Registry::with_prefix("data_bridge");
        let identity = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("instance_id", instance_id.to_owned()),
            ("instance_number", instance_number.to_string()),
        ];
        registry.register("build", "Version and identity of this instance", Info::new(identity));
        let mut metrics = Self::unregistered();
        metrics.register_flow(&mut registry);
        metrics.register_state(&mut registry);
        metrics.registry = registry;
        metrics
    }

    fn unregistered() -> Self {
        Self {
            registry: Registry::default(),
            received: Family::default(),
            received_bytes: Family::default(),
            decoded: Family::default(),
            unknown_fields: Counter::default(),
            inserted: Family::default(),
            inserts: Family::default(),
            retries: Family::default(),
            dead_letters: Family::default(),
            // 1 ms to 33 s.
            insert_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 16))
            }),
            // 1 row to a million.
            batch_rows: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1.0, 4.0, 11))
            }),
            // 5 ms to 80 s.
            durable_seconds: Histogram::new(exponential_buckets(0.005, 2.0, 15)),
            buffer_rows: Gauge::default(),
            buffer_bytes: Gauge::default(),
            backpressure: Gauge::default(),
            assigned: Family::default(),
            lag: Family::default(),
            rebalances: Counter::default(),
            lost_ranges: Counter::default(),
            lost_messages: Counter::default(),
            commits: Counter::default(),
            commit_failures: Counter::default(),
            table_paused: Family::default(),
            ready: Gauge::default(),
            idle_seconds: Ratio::default(),
        }
    }

    /// What passes through.
    fn register_flow(&self, to: &mut Registry) {
        to.register("received_messages", "Messages fetched", self.received.clone());
        to.register_with_unit(
            "received",
            "Keys, headers and payloads fetched",
            Unit::Bytes,
            self.received_bytes.clone(),
        );
        to.register("decoded_rows", "Rows decoded", self.decoded.clone());
        to.register(
            "unknown_fields",
            "Fields of messages that no column takes",
            self.unknown_fields.clone(),
        );
        to.register("inserted_rows", "Rows durable in ClickHouse", self.inserted.clone());
        to.register("inserts", "Inserts that succeeded", self.inserts.clone());
        to.register(
            "insert_retries",
            "Inserts that failed and are tried again",
            self.retries.clone(),
        );
        to.register("dead_letters", "Messages that became dead letters", self.dead_letters.clone());
        to.register_with_unit(
            "insert_duration",
            "Encoding and inserting a batch",
            Unit::Seconds,
            self.insert_seconds.clone(),
        );
        to.register("batch_rows", "Rows of inserted batches", self.batch_rows.clone());
        to.register_with_unit(
            "produce_to_durable",
            "From the broker's time of a chunk's oldest message to its rows being durable",
            Unit::Seconds,
            self.durable_seconds.clone(),
        );
    }

    /// How it stands.
    fn register_state(&self, to: &mut Registry) {
        to.register("buffer_rows", "Rows fetched and not durable", self.buffer_rows.clone());
        to.register_with_unit(
            "buffer",
            "Memory held for what is fetched and not durable",
            Unit::Bytes,
            self.buffer_bytes.clone(),
        );
        to.register("backpressure", "1 while fetching is held back", self.backpressure.clone());
        to.register("assigned", "1 per partition this instance reads", self.assigned.clone());
        to.register("lag_messages", "Messages from the commit to the end", self.lag.clone());
        to.register("rebalances", "Assignments and revocations", self.rebalances.clone());
        to.register(
            "lost_ranges",
            "Ranges deleted by the broker before they were read",
            self.lost_ranges.clone(),
        );
        to.register("lost_messages", "Messages in lost ranges", self.lost_messages.clone());
        to.register("commits", "Commits that the broker accepted", self.commits.clone());
        to.register("commit_failures", "Commits that were refused", self.commit_failures.clone());
        to.register(
            "table_paused",
            "1 while a table cannot be written until someone mends it",
            self.table_paused.clone(),
        );
        to.register("ready", "1 when ready", self.ready.clone());
        to.register_with_unit(
            "since_last_durable",
            "Time since something became durable",
            Unit::Seconds,
            self.idle_seconds.clone(),
        );
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
        let metrics = Metrics::new("bridge-a", 2);
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
}
