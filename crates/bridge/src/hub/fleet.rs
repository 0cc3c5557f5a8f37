//! The fleet at one moment; the answer of `/api/fleet`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::events::{Event, Weight};

/// All that a hub knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fleet {
    /// Version of the hub's program.
    pub version: String,
    /// The consumer group that the hub's configuration names.
    pub group_id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Sums over all instances that are up.
    pub totals: Totals,
    /// In the order of their numbers.
    pub instances: Vec<Member>,
    /// Partitions that no instance has read for 30 s, by topic and number.
    pub unread: Vec<Unread>,
    /// What runs them, when it is a supervisor on the hub's machine.
    pub supervisor: Option<Supervised>,
    /// How it all is.
    pub verdict: Verdict,
    /// What happened lately, oldest first.
    pub events: Vec<Event>,
}

impl Fleet {
    /// Which partitions nobody reads, in a sentence; `None` when each is read.
    pub(crate) fn which_is_unread(&self) -> Option<String> {
        let count = self.unread.len();
        let are = match count {
            0 => return None,
            1 => "partition is",
            _ => "partitions are",
        };
        let names = self.unread.iter().map(|one| format!("{}:{}", one.topic, one.partition));
        let names = names.collect::<Vec<_>>().join(", ");
        Some(format!("{count} {are} read by no instance: {names}"))
    }
}

/// One sentence on the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// How much it matters.
    pub weight: Weight,
    /// For people; without control characters.
    pub text: String,
}

/// Sums over the instances that are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Instances that are up.
    pub up: usize,
    /// Instances that are ready.
    pub ready: usize,
    /// Partitions that are read.
    pub partitions: usize,
    /// Messages between commits and ends.
    pub lag: u64,
    /// Durable rows a second, dead letters included.
    pub rows_per_second: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Dead letters since the starts of the instances.
    pub dead_letters: u64,
    /// The slowest instance's [`Latency::p99_ms`].
    pub p99_ms: Option<u64>,
}

/// From the broker to being durable, over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Half of the inserts did not exceed it.
    pub p50_ms: u64,
    /// 99 of 100 did not.
    pub p99_ms: u64,
}

/// How alive an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// Known, not seen yet.
    #[default]
    Expected,
    /// It answers.
    Up,
    /// It did not answer three times.
    Dead,
    /// It said that it stops.
    Left,
}

/// One instance as the hub knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// `instance.id`.
    pub instance_id: String,
    /// `instance.number`.
    pub instance_number: u32,
    /// `data-bridge-<n>`, or what another service calls itself.
    pub service_name: String,
    /// Where it answers.
    pub url: String,
    /// Version of its program.
    pub version: String,
    /// How alive it is.
    pub life: Life,
    /// Whether it does its work.
    pub ready: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
    /// Since its process started.
    pub uptime_seconds: u64,
    /// What it reads.
    pub partitions: Vec<Partition>,
    /// Messages between commits and ends of its partitions.
    pub lag: u64,
    /// Durable rows since its start, dead letters included.
    pub rows: u64,
    /// Durable rows a second, over the last seconds.
    pub rows_per_second: f64,
    /// Rows fetched and not durable.
    pub buffered_rows: u64,
    /// Whether back-pressure holds fetching.
    pub backpressure: bool,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Dead letters written since its start.
    pub dead_letters: u64,
    /// From the broker to being durable; none without an insert in the last seconds.
    pub latency: Option<Latency>,
    /// [`Latency::p99_ms`], once it has been above 100 ms for 30 s without a pause.
    pub slow_ms: Option<u64>,
    /// When it last answered, ms since 1970; 0 for never.
    pub seen_ms: i64,
    /// When it last sent a heartbeat; 0 for never.
    pub heartbeat_ms: i64,
    /// Heartbeats since it registered.
    pub heartbeats: u64,
    /// What came with the last one.
    pub metrics: Value,
}

/// One partition that an instance reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Partition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Messages between commit and end.
    pub lag: u64,
    /// Whether fetching is held.
    pub paused: bool,
}

/// A partition that nobody reads: its messages wait, and no instance's lag counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unread {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Since when, ms since 1970.
    pub since_ms: i64,
}

/// What a supervisor says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Supervised {
    /// Its process.
    pub pid: u32,
    /// How many instances it keeps.
    pub target: u32,
    /// Whether it scales by itself.
    pub auto: bool,
    /// Why it keeps the size it has, or changed it; empty when it does not scale by itself.
    pub decision: String,
    /// What it is doing that takes a while; empty when nothing.
    pub doing: String,
    /// How the last thing ended that took a while; empty before the first.
    pub done: String,
    /// Counts what ended, so that one can wait for the next.
    pub done_count: u64,
    /// In the order of their numbers.
    pub processes: Vec<Process>,
    /// The latest changes, oldest first.
    pub changes: Vec<Change>,
}

/// One process of a supervisor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// `instance.number`.
    pub number: u32,
    /// `instance.id`.
    pub id: String,
    /// 0 while it does not run.
    pub pid: u32,
    /// What it does.
    pub state: ProcessState,
    /// Why, when it does not run.
    pub why: String,
    /// How often it was started again.
    pub restarts: u32,
    /// Where its output goes.
    pub log: String,
}

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs.
    #[default]
    Running,
    /// It ended and is started again soon.
    Waiting,
    /// It ended again and again: it is started again after a long pause only.
    Held,
    /// It was told to stop.
    Stopping,
}

/// A change of the fleet's size, or a decision not to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Instances before.
    pub from: u32,
    /// Instances after.
    pub to: u32,
    /// Who wanted it, and its figures.
    pub why: String,
}
