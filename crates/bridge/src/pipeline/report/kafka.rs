//! What the pipeline says of Kafka.

mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use data_bridge_core::arena::Arena;
use data_bridge_core::units::{LaneId, Position};

use self::waiting::Waiting;
use super::signed;
use crate::pipeline::wall_clock_ms;
use crate::source::kafka::SourceStatus;
use crate::telemetry::metrics::{Metrics, OfPartition, OfTopic};

/// Totals of the source that were counted already, and what waits in its partitions.
#[derive(Default)]
pub(super) struct Seen {
    rebalances: u64,
    rebalancing: Duration,
    lost_ranges: usize,
    made_anew: u64,
    added: u64,
    partitions: Vec<OfPartition>,
    topics: BTreeMap<String, u32>,
    waiting: Waiting,
}

impl Seen {
    /// A chunk was fetched; `next` is the position behind it.
    pub(super) fn fetched(&mut self, lane: LaneId, next: Position, arena: &Arena) {
        self.waiting.fetched(lane, next, arena);
    }

    /// Counts what is new.
    pub(super) fn count(&mut self, source: &SourceStatus, metrics: &Metrics) {
        metrics.rebalances.inc_by(source.rebalances - self.rebalances);
        let rebalancing = source.rebalancing_time.saturating_sub(self.rebalancing);
        metrics.rebalancing_seconds.inc_by(rebalancing.as_secs_f64());
        metrics.made_anew.inc_by(source.made_anew - self.made_anew);
        metrics.added_partitions.inc_by(source.added - self.added);
        for lost in &source.lost_ranges[self.lost_ranges..] {
            metrics.lost_ranges.inc();
            metrics.lost_messages.inc_by(lost.offsets.end - lost.offsets.start);
        }
        self.waiting.keep(&source.lanes);
        let now_ms = wall_clock_ms();
        let mut partitions = Vec::with_capacity(source.lanes.len());
        for lane in &source.lanes {
            let of = OfPartition { topic: lane.topic.clone(), partition: lane.partition };
            metrics.assigned.get_or_create(&of).set(1);
            metrics.lag.get_or_create(&of).set(signed(lane.lag));
            if let Some(seconds) = self.waiting.seconds(lane, now_ms) {
                metrics.lag_seconds.get_or_create(&of).set(seconds);
            } else {
                metrics.lag_seconds.remove(&of);
            }
            partitions.push(of);
        }
        // Only what is gone is removed: a scrape meanwhile finds every partition that is read.
        if partitions != self.partitions {
            for gone in self.partitions.iter().filter(|of| !partitions.contains(of)) {
                metrics.assigned.remove(gone);
                metrics.lag.remove(gone);
                metrics.lag_seconds.remove(gone);
            }
        }
        if self.topics != source.partitions {
            for (topic, count) in &source.partitions {
                let of = OfTopic { topic: topic.clone() };
                metrics.topic_partitions.get_or_create(&of).set((*count).into());
            }
            for gone in self.topics.keys().filter(|topic| !source.partitions.contains_key(*topic)) {
                metrics.topic_partitions.remove(&OfTopic { topic: gone.clone() });
            }
            self.topics.clone_from(&source.partitions);
        }
        self.rebalances = source.rebalances;
        self.rebalancing = source.rebalancing_time;
        self.lost_ranges = source.lost_ranges.len();
        self.made_anew = source.made_anew;
        self.added = source.added;
        self.partitions = partitions;
    }
}
