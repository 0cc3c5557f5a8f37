//! What the source tells its driver.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use data_bridge_core::arena::Arena;
use data_bridge_core::units::{LaneId, Position};

/// Something that happened, in order.
#[derive(Debug)]
pub enum Event {
    /// A partition is ours from now on; its start is committed.
    Assigned {
        /// Its new lane.
        lane: LaneId,
        /// The topic.
        topic: String,
        /// The partition's number.
        partition: i32,
        /// Position of the first record it can bring.
        start: Position,
    },
    /// Records of a lane.
    Fetched {
        /// The lane.
        lane: LaneId,
        /// The records, in order. Empty when only control records of transactions or gaps were
        /// passed: `next` has moved, and is to be committed like any other.
        arena: Arena,
        /// What to commit once all of them are durable.
        next: Position,
    },
    /// The group wants these lanes for others. Nothing more comes for them; commits are accepted
    /// until [`release`](super::KafkaSource::release), for which the group waits.
    Revoked {
        /// The lanes that end.
        lanes: Vec<LaneId>,
    },
    /// These lanes belong to others already: nothing of them can be committed.
    Lost {
        /// The lanes that ended.
        lanes: Vec<LaneId>,
    },
    /// The answer to one [`commit`](super::KafkaSource::commit); answers come in the order of the
    /// calls unless the link to the group's coordinator broke in between.
    Committed {
        /// Whether every position was taken.
        ok: bool,
        /// Why not.
        error: Option<String>,
    },
    /// Nothing more will come from this source; its lanes are lost.
    Fatal(SourceError),
}

/// Why the source cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A property that librdkafka refuses.
    #[error("kafka.properties: librdkafka refuses `{name}`: {reason}")]
    Property {
        /// The property.
        name: String,
        /// Why.
        reason: String,
    },
    /// The settings do not fit together.
    #[error("the Kafka client cannot start: {0}")]
    Client(String),
    /// A second process runs under the same static id.
    #[error(
        "another instance uses the group instance id `{id}`: each instance needs its own `instance.id`"
    )]
    Fenced {
        /// The id that is used twice.
        id: String,
    },
    /// The broker refuses this member for good.
    #[error("the broker refuses this group member: {0}")]
    Refused(String),
    /// The cluster could not be asked.
    #[error("Kafka at {brokers} cannot be asked about {about}: {reason}")]
    Unreachable {
        /// The configured brokers.
        brokers: String,
        /// What was asked.
        about: String,
        /// Why there was no answer.
        reason: String,
    },
}

/// One lane as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneInfo {
    /// The lane.
    pub lane: LaneId,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The next record to fetch.
    pub next: Position,
    /// What the group has committed.
    pub committed: Position,
    /// Records between the commit and the end of the partition, as the last fetch told it.
    pub lag: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Why it brings nothing; it is tried again.
    pub error: Option<String>,
}

/// Records that were deleted before they could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offsets that are gone, as far as they ever held records.
    pub offsets: Range<u64>,
}

/// The source as it is now.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Whether the cluster answers.
    pub connected: bool,
    /// The last thing that went wrong and is not known to be mended.
    pub error: Option<String>,
    /// Whether the group waits for us, or we for a starting position.
    pub rebalancing: bool,
    /// The lanes, by topic and partition.
    pub lanes: Vec<LaneInfo>,
    /// Subscribed topics that do not exist.
    pub missing_topics: Vec<String>,
    /// How many partitions each subscribed topic has, whoever reads them.
    pub partitions: BTreeMap<String, u32>,
    /// Assignments received since the start.
    pub rebalances: u64,
    /// Time since the start during which partitions stood still for a rebalance.
    pub rebalancing_time: Duration,
    /// All ranges lost since the start.
    pub lost_ranges: Vec<LostRange>,
    /// Partitions whose topic was found to be made anew, since the start.
    pub made_anew: u64,
    /// Partitions found to be added to a topic that the group knew, since the start.
    pub added: u64,
}
