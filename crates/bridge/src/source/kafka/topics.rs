//! Topics: what there is, and the creation of what is missing. Nothing that exists is changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::client::{Client, Code, NewTopic, Unfit};
use super::event::SourceError;
use super::properties;
use crate::config::Kafka;

/// What the cluster says about one configured topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// `None`: there is no such topic.
    pub partitions: Option<i32>,
    /// Kafka's id of it, in Kafka's own base64 form; a topic made anew has another one.
    pub id: Option<String>,
    /// Why nothing is known about it, when it may exist.
    pub error: Option<String>,
}

/// What [`create`] did about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOutcome {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Created {
        /// With so many partitions.
        partitions: i32,
    },
    /// It was there already, and is left as it is: `partitions` may differ from what is wanted.
    Exists {
        /// How many it has.
        partitions: i32,
        /// How many `kafka.init.partitions` asks for.
        wanted: i32,
    },
    /// It is missing and cannot be made, or nothing is known about it.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Asks about every configured topic, in the order of their names.
///
/// # Errors
/// When the cluster cannot be asked within `wait`, or the configuration is refused.
pub fn describe(config: &Kafka, wait: Duration) -> Result<Vec<TopicState>, SourceError> {
    states(&connect(config)?, config, wait)
}

/// Makes the configured topics that are missing, with `kafka.init`'s partitions and replication.
///
/// # Errors
/// When the cluster cannot be asked within `wait` (for each of two questions), or the
/// configuration is refused. A topic that cannot be made is an [`Outcome::Failed`].
pub fn create(config: &Kafka, wait: Duration) -> Result<Vec<TopicOutcome>, SourceError> {
    let client = connect(config)?;
    let wanted = config.init.partitions;
    let mut outcomes = BTreeMap::new();
    let mut missing = Vec::new();
    for topic in states(&client, config, wait)? {
        match (topic.partitions, topic.error) {
            (Some(partitions), _) => {
                outcomes.insert(topic.name, Outcome::Exists { partitions, wanted });
            }
            (None, Some(reason)) => {
                outcomes.insert(topic.name, Outcome::Failed { reason });
            }
            (None, None) => missing.push(NewTopic {
                name: topic.name,
                partitions: wanted,
                replication: config.init.replication,
            }),
        }
    }
    if !missing.is_empty() {
        let created = client
            .create(&missing, wait)
            .map_err(|trouble| unreachable(config, "the creation of topics", trouble.text))?;
        for topic in created {
            let outcome = match topic.error {
                None => Outcome::Created { partitions: wanted },
                // Another `init` was faster.
                Some(trouble) if trouble.code == Code::TopicAlreadyExists => {
                    Outcome::Exists { partitions: wanted, wanted }
                }
                Some(trouble) => Outcome::Failed { reason: trouble.text },
            };
            outcomes.insert(topic.name, outcome);
        }
        wait_until_known(&client, config, &outcomes, wait)?;
    }
    let in_order = outcomes.into_iter();
    Ok(in_order.map(|(name, outcome)| TopicOutcome { name, outcome }).collect())
}

/// A topic is made before every broker knows it: whoever asks after this shall find it. Asked again and
/// again, an answer takes a millisecond or more.
fn wait_until_known(
    client: &Client,
    config: &Kafka,
    outcomes: &BTreeMap<String, Outcome>,
    wait: Duration,
) -> Result<(), SourceError> {
    let until = Instant::now() + wait;
    let is_unknown = |state: &TopicState| {
        let is_made = matches!(outcomes.get(&state.name), Some(Outcome::Created { .. }));
        is_made && state.partitions.is_none() && state.error.is_none()
    };
    while states(client, config, wait)?.iter().any(is_unknown) && Instant::now() < until {}
    Ok(())
}

fn states(client: &Client, config: &Kafka, wait: Duration) -> Result<Vec<TopicState>, SourceError> {
    let names = config.topics.keys().map(String::as_str).collect::<Vec<_>>();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let facts = client.topics(&names, wait).map_err(|trouble| {
        // librdkafka's own words for "no broker" say less than what it met on the way.
        let met = client.take_notices();
        let reason = met.iter().find_map(|notice| match notice {
            super::client::Notice::Error(met) if met.code != Code::AllBrokersDown => {
                Some(met.text.clone())
            }
            _ => None,
        });
        unreachable(config, "topics", reason.unwrap_or(trouble.text))
    })?;
    let mut states = facts
        .into_iter()
        .map(|topic| {
            let is_missing = |code| code == Code::UnknownTopicOrPartition;
            let trouble = topic.error;
            TopicState {
                partitions: trouble.is_none().then_some(topic.partitions),
                error: trouble
                    .filter(|trouble| !is_missing(trouble.code))
                    .map(|trouble| trouble.text),
                name: topic.name,
                id: topic.id,
            }
        })
        .collect::<Vec<_>>();
    states.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(states)
}

fn connect(config: &Kafka) -> Result<Client, SourceError> {
    check_names(config)?;
    Client::admin(&properties::administrator(config)).map_err(SourceError::from)
}

/// Refuses names that C cannot hold, or that librdkafka would take for a pattern.
pub(super) fn check_names(config: &Kafka) -> Result<(), SourceError> {
    for name in config.topics.keys() {
        if name.is_empty() || name.starts_with('^') || name.contains('\0') {
            let reason = format!("{name:?} cannot be a topic's name");
            return Err(SourceError::Client(reason));
        }
    }
    Ok(())
}

fn unreachable(config: &Kafka, about: &str, reason: String) -> SourceError {
    SourceError::Unreachable { brokers: config.brokers.clone(), about: about.into(), reason }
}

impl From<Unfit> for SourceError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Property { name, reason } => Self::Property { name, reason },
            Unfit::Client(reason) => Self::Client(reason),
        }
    }
}
