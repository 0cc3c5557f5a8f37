//! `kafka`: where messages come from, and on which terms the group works.

use std::collections::BTreeMap;
use std::time::Duration;

use super::secret::Secret;

/// The Kafka side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Kafka {
    /// Whether this instance reads from Kafka.
    pub enabled: bool,
    /// Bootstrap servers, comma-separated as librdkafka wants them.
    pub brokers: String,
    /// The consumer group that all instances share.
    pub group_id: String,
    /// Who runs the group's protocol.
    pub group_protocol: GroupProtocol,
    /// How the classic protocol spreads partitions.
    pub assignor: Assignor,
    /// Whether `group.instance.id` is sent: `<group_id>-<instance.id>`.
    pub static_membership: bool,
    /// Where a partition without any commit starts.
    pub auto_offset_reset: OffsetReset,
    /// Without a heartbeat for this long, the broker takes the partitions away.
    pub session_timeout: Duration,
    /// Time between heartbeats; at most a third of the session.
    pub heartbeat_interval: Duration,
    /// Longest time between two polls.
    pub max_poll_interval: Duration,
    /// How long a revoked lane's inserts in flight may still become durable.
    pub revoke: Duration,
    /// Topic to route name; never `external`, which is resolved by the topic's type.
    pub topics: BTreeMap<String, String>,
    /// Further librdkafka properties; none of them touches a promise.
    pub properties: BTreeMap<String, Secret>,
    /// How `init` creates topics.
    pub init: KafkaInit,
    /// `fetch.min.bytes`, where the file sets it.
    pub fetch_min_bytes: Option<u32>,
    /// `fetch.wait.max.ms`, where the file sets it.
    pub fetch_max_wait: Option<Duration>,
}

/// How `init` creates topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaInit {
    /// Partitions of a new topic.
    pub partitions: i32,
    /// Replicas of each partition; −1 leaves it to the broker.
    pub replication: i32,
}

/// Who runs the group's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The members: one of them assigns.
    Classic,
    /// The broker (KIP-848).
    Consumer,
}

/// How the classic protocol spreads partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Partition n of every topic lies on one instance.
    Range,
    /// Moves only what has to move.
    CooperativeSticky,
    /// One partition after the other.
    RoundRobin,
}

/// Where a partition without any commit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At its end: a new deployment does not reprocess history.
    Latest,
    /// At its beginning.
    Earliest,
}
