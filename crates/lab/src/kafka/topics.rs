//! Topics.

use std::num::NonZeroU32;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use super::{KafkaError, PATIENCE};
use crate::plan::{Kind, Plan};

/// Creates topics with one replica where they are missing.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub async fn create_topics(
    brokers: &str,
    topics: &[String],
    partitions: NonZeroU32,
) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .map_err(|source| KafkaError::Client { brokers: brokers.to_owned(), source })?;
    let partitions = i32::try_from(partitions.get()).unwrap_or(i32::MAX);
    let wanted: Vec<_> = topics
        .iter()
        .map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1)))
        .collect();
    let options =
        AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let answers = admin.create_topics(&wanted, &options).await.map_err(|error| {
        KafkaError::CreateTopic { topic: topics.join(", "), reason: error.to_string() }
    })?;
    for answer in answers {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(KafkaError::CreateTopic { topic, reason: code.to_string() });
            }
        }
    }
    Ok(())
}

/// Creates the topics of a plan where they are missing.
///
/// # Errors
/// As [`create_topics`].
pub async fn create_topics_of(brokers: &str, plan: &Plan) -> Result<(), KafkaError> {
    let topics: Vec<_> = Kind::ALL.iter().map(|kind| plan.topic(*kind)).collect();
    create_topics(brokers, &topics, plan.partitions).await
}
