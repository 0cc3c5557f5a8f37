//! Committed offsets and ends, asked through a consumer: librdkafka's admin call for a group's
//! offsets crashed while the coordinator was still being found (2.16).

use std::fmt;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{KafkaError, PATIENCE};

/// Where a group stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next record to read; `None` when nothing was committed.
    pub committed: Option<i64>,
    /// What was committed with it.
    pub metadata: String,
    /// The first offset that is retained.
    pub start: i64,
    /// The offset that the next record will get.
    pub end: i64,
}

impl GroupOffset {
    /// Records behind the committed offset; all that are retained when nothing was committed.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.end - self.committed.unwrap_or(self.start).max(self.start)
    }
}

impl fmt::Display for GroupOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, end, .. } = self;
        match self.committed {
            Some(committed) => write!(f, "{topic}/{partition} {committed} of {end}"),
            None => write!(f, "{topic}/{partition} nothing of {end}"),
        }
    }
}

/// Asks the broker about one group, without joining it.
pub struct Offsets {
    consumer: BaseConsumer,
    group: String,
}

impl fmt::Debug for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offsets").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Offsets {
    /// Asks about `group`.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn of_group(brokers: &str, group: &str) -> Result<Self, KafkaError> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()
            .map_err(|source| KafkaError::Client { brokers: brokers.to_owned(), source })?;
        Ok(Self { consumer, group: group.to_owned() })
    }

    /// Where the group stands in every partition of the topics. Blocks for the broker's answers.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn read(&self, topics: &[String]) -> Result<Vec<GroupOffset>, KafkaError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| KafkaError::Offsets { what, source }
        };
        let mut wanted = TopicPartitionList::new();
        for topic in topics {
            let metadata =
                self.consumer.fetch_metadata(Some(topic), PATIENCE).map_err(failed(topic))?;
            for topic in metadata.topics() {
                for partition in topic.partitions() {
                    wanted.add_partition(topic.name(), partition.id());
                }
            }
        }
        let committed =
            self.consumer.committed_offsets(wanted, PATIENCE).map_err(failed(&self.group))?;
        committed
            .elements()
            .iter()
            .map(|element| {
                let (topic, partition) = (element.topic(), element.partition());
                let (start, end) = self
                    .consumer
                    .fetch_watermarks(topic, partition, PATIENCE)
                    .map_err(failed(topic))?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                let metadata = element.metadata().to_owned();
                Ok(GroupOffset {
                    topic: topic.to_owned(),
                    partition,
                    committed,
                    metadata,
                    start,
                    end,
                })
            })
            .collect()
    }

    /// `Ok` when everything in the topics is committed, else what is not.
    ///
    /// # Errors
    /// The partitions that lag, or why nobody knows.
    pub fn all_committed(&self, topics: &[String]) -> Result<(), String> {
        let offsets = self.read(topics).map_err(|error| format!("{error:?}"))?;
        let behind: Vec<_> =
            offsets.iter().filter(|offset| offset.lag() != 0).map(ToString::to_string).collect();
        if behind.is_empty() { Ok(()) } else { Err(behind.join(", ")) }
    }
}
