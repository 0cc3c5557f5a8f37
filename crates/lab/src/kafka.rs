//! Producing a plan to Kafka, and what the broker knows of topics and groups.

use std::time::Duration;

mod offsets;
mod produce;
mod topics;

pub use offsets::{GroupOffset, Offsets};
pub use produce::{Pace, Produced, Producer, Progress, serve};
pub use topics::{create_topics, create_topics_of};

/// Longest wait for an answer of the broker.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something asked of Kafka was not done.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The client could not be made.
    #[error("cannot make a Kafka client for {brokers}")]
    Client {
        /// The brokers asked for.
        brokers: String,
        /// The cause.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// A topic could not be created.
    #[error("cannot create topic {topic}: {reason}")]
    CreateTopic {
        /// The topic.
        topic: String,
        /// The broker's reason.
        reason: String,
    },
    /// A message could not be handed to the client.
    #[error("cannot send message {number} to {topic}")]
    Send {
        /// Number of the message.
        number: u64,
        /// Its topic.
        topic: String,
        /// The cause.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The broker did not take messages.
    #[error("{failed} messages were not taken, the first is {number}: {reason}")]
    NotDelivered {
        /// How many.
        failed: u64,
        /// The first of them.
        number: u64,
        /// Its reason.
        reason: String,
    },
    /// A question about offsets was not answered.
    #[error("cannot read the offsets of {what}")]
    Offsets {
        /// Group or topic.
        what: String,
        /// The cause.
        #[source]
        source: rdkafka::error::KafkaError,
    },
}
