//! What an instance says of itself: written by the pipeline, read by everyone else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pulse::Pulses;
use crate::config::Number;

/// The latest status of the pipeline, shared with the HTTP server and the heartbeat.
#[derive(Debug)]
pub struct Board {
    began: Instant,
    number: Number,
    pulses: Pulses,
    status: RwLock<Arc<Status>>,
    /// Routes whose dead letters people let through; the pipeline takes them at its next turn.
    accepted: Mutex<BTreeSet<String>>,
    /// Routes that wait although nothing of theirs has failed, with the reason.
    held: Mutex<BTreeMap<String, String>>,
}

impl Board {
    /// A board on which nothing is ready yet.
    #[must_use]
    pub fn new(status: Status, number: Number) -> Self {
        Self {
            began: Instant::now(),
            number,
            pulses: Pulses::default(),
            status: RwLock::new(Arc::new(status)),
            accepted: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// The number that this instance carries.
    #[must_use]
    pub fn number(&self) -> &Number {
        &self.number
    }

    /// Our own tasks.
    #[must_use]
    pub fn pulses(&self) -> &Pulses {
        &self.pulses
    }

    /// Time since the process started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Asks the pipeline to let the dead letters of a route in flood through. False, and nothing
    /// asked, when the route is not in flood here.
    pub fn accept(&self, route: &str) -> bool {
        let floods = self.status().floods;
        let is_flooded = floods.iter().any(|flood| flood.routes.iter().any(|name| name == route));
        if is_flooded {
            let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            accepted.insert(route.to_owned());
        }
        is_flooded
    }

    /// What people let through since the last call.
    #[must_use]
    pub fn take_accepted(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.accepted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says why a route waits, or that it no longer does.
    pub fn hold(&self, route: &str, reason: Option<String>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => held.insert(route.to_owned(), reason),
            None => held.remove(route),
        };
    }

    /// Why routes wait.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Replaces the status.
    pub fn publish(&self, status: Status) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    /// The status as last published, with number, uptime and memory of now.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = self.status.read().unwrap_or_else(PoisonError::into_inner);
        Status {
            instance_number: self.number.get(),
            uptime_seconds: self.began.elapsed().as_secs(),
            rss_bytes: rss_bytes(),
            ..Status::clone(&status)
        }
    }
}

/// One instance at one moment; the answer of `/api/status`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// `instance.id`.
    pub instance_id: String,
    /// `instance.number`.
    pub instance_number: u32,
    /// `kafka.group_id`; empty without Kafka.
    pub kafka_group: String,
    /// Version of the program.
    pub version: &'static str,
    /// Time since the process started.
    pub uptime_seconds: u64,
    /// Whether the instance does its work.
    pub ready: bool,
    /// Why it does not; empty when ready.
    pub reasons: Vec<String>,
    /// Rows of `ticks` that are durable.
    pub ticks_saved: u64,
    /// Rows of `aggregates` that are durable.
    pub candles_saved_clickhouse: u64,
    /// Rows of the external tables that are durable.
    pub external_data_saved: u64,
    /// Rows of the user's own tables that are durable.
    pub other_rows_saved: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Tables whose routes are held to a few dead letters per second.
    pub floods: Vec<FloodStatus>,
    /// Messages taken from Kafka.
    pub kafka_messages: u64,
    /// Messages taken from NATS.
    pub nats_messages: u64,
    /// Inserts that were tried again.
    pub insert_retries: u64,
    /// Rows fetched and not yet durable.
    pub buffered_rows: u64,
    /// Bytes held for them.
    pub buffered_bytes: u64,
    /// Whether back-pressure holds fetching.
    pub backpressure: bool,
    /// Milliseconds since something became durable; none before the first.
    pub last_durable_ms: Option<u64>,
    /// From the broker to being durable, over the last seconds; none without an insert.
    pub latency: Option<LatencyStatus>,
    /// Resident memory of the process, bytes.
    pub rss_bytes: u64,
    /// Times the group changed this instance's partitions.
    pub rebalances: u64,
    /// The partitions this instance reads.
    pub partitions: Vec<PartitionStatus>,
    /// How many partitions each topic has that it subscribes to, whoever reads them.
    pub topics: BTreeMap<String, u32>,
    /// NATS, when it is enabled.
    pub nats: Option<NatsBoard>,
}

/// Age of the oldest message of each insert when it was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LatencyStatus {
    /// Half of the inserts did not exceed it.
    pub p50_ms: u64,
    /// 99 of 100 did not.
    pub p99_ms: u64,
}

/// How NATS stands.
#[derive(Clone, Debug, Serialize)]
pub struct NatsBoard {
    /// Whether a server is connected.
    pub connected: bool,
    /// Messages in the stream that no instance was given yet.
    pub pending: u64,
    /// Messages that all instances together hold without an ack.
    pub ack_pending: u64,
    /// Messages acked by this instance.
    pub acked: u64,
    /// Messages given back by this instance.
    pub given_back: u64,
    /// Messages that came to this instance although they had been delivered before.
    pub redelivered: u64,
    /// Messages of core NATS that this instance had no room for.
    pub dropped: u64,
}

/// Routes of which more messages become dead letters than a few bad ones explain.
#[derive(Clone, Debug, Serialize)]
pub struct FloodStatus {
    /// The routes: all that lead to one table.
    pub routes: Vec<String>,
    /// Letters within the window.
    pub letters: u64,
    /// Messages within the window.
    pub messages: u64,
    /// Seconds since the flood was seen.
    pub seconds: u64,
}

/// One partition that an instance reads.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionStatus {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// Offset of the next record to read after a restart.
    pub committed: u64,
    /// Messages from there to the end.
    pub lag: u64,
    /// Whether fetching is held.
    pub paused: bool,
}

/// Resident memory of this process; 0 where the system does not say.
fn rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_published() {
        let board = Board::new(Status::default(), Number::new(1));
        assert!(!board.status().ready);
        board.publish(Status { ready: true, ticks_saved: 3, ..Status::default() });
        let status = board.status();
        assert!(status.ready);
        assert_eq!(status.ticks_saved, 3);
        assert!(status.rss_bytes > 1 << 20, "{}", status.rss_bytes);
        assert!(board.pulses().stuck().is_empty());
    }

    #[test]
    fn only_a_flood_that_is_there_is_accepted_once() {
        let board = Board::new(Status::default(), Number::new(1));
        assert!(!board.accept("ticks"));
        assert!(board.take_accepted().is_empty());
        let flood =
            FloodStatus { routes: vec!["ticks".to_owned()], letters: 9, messages: 9, seconds: 1 };
        board.publish(Status { floods: vec![flood], ..Status::default() });
        assert!(board.accept("ticks") && !board.accept("aggregates"));
        assert_eq!(board.take_accepted(), BTreeSet::from(["ticks".to_owned()]));
        assert!(board.take_accepted().is_empty());
    }
}
