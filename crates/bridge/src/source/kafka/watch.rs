//! Whether the cluster answers, and which topics are missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::client::{Asked, Client, Code, Trouble};
use super::sightings::Sightings;

/// How often the topics are asked for, as librdkafka's own metadata.
const EVERY: Duration = Duration::from_secs(10);
/// How often while something is missing.
const AGAIN: Duration = Duration::from_secs(1);
/// How long one question waits for a broker.
const WITHIN: Duration = Duration::from_secs(5);

/// The view of the cluster.
#[derive(Default)]
pub(super) struct Watch {
    asked: Option<Asked>,
    next: Option<Instant>,
    sightings: Sightings,
    pub(super) connected: bool,
    pub(super) error: Option<String>,
    pub(super) missing: Vec<String>,
    /// How many partitions each topic has; empty when nobody knows yet.
    pub(super) partitions: BTreeMap<String, u32>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("connected", &self.connected)
            .field("error", &self.error)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(sightings: Sightings) -> Self {
        Self { sightings, ..Self::default() }
    }

    /// Takes the answer to the last question and asks the next when it is time; never waits.
    /// Answers with the topics that exist and their ids, when there is news of them.
    pub(super) fn turn(
        &mut self,
        client: &Client,
        topics: &[&str],
        now: Instant,
    ) -> BTreeMap<String, String> {
        let mut ids = BTreeMap::new();
        if let Some(asked) = &self.asked {
            let Some(answer) = asked.topics(Duration::ZERO) else {
                return ids;
            };
            self.asked = None;
            match answer {
                Ok(facts) => {
                    self.answered();
                    self.missing.clear();
                    self.partitions.clear();
                    for topic in facts {
                        let count = u32::try_from(topic.partitions).unwrap_or(0);
                        if count > 0 {
                            self.partitions.insert(topic.name.clone(), count);
                        }
                        match topic.error {
                            Some(trouble) if trouble.code == Code::UnknownTopicOrPartition => {
                                self.sightings.missing(&topic.name);
                                self.missing.push(topic.name);
                            }
                            Some(trouble) => {
                                self.error = Some(format!("topic {}: {trouble}", topic.name));
                            }
                            None => {
                                self.sightings.present(&topic.name, topic.id.as_deref());
                                ids.extend(topic.id.map(|id| (topic.name, id)));
                            }
                        }
                    }
                }
                Err(trouble) => {
                    self.connected = false;
                    self.error.get_or_insert(trouble.text);
                }
            }
            let settled = self.connected && self.missing.is_empty() && self.error.is_none();
            self.next = Some(now + if settled { EVERY } else { AGAIN });
        }
        if self.next.is_none_or(|next| next <= now) && !topics.is_empty() {
            self.asked = Some(client.ask_topics(topics, WITHIN));
        }
        ids
    }

    /// Forgets the question under way: its client ends.
    pub(super) fn begin_anew(&mut self) {
        self.asked = None;
        self.next = None;
    }

    /// A broker has answered.
    pub(super) fn answered(&mut self) {
        if !self.connected {
            tracing::info!("Kafka answers");
        }
        self.connected = true;
        self.error = None;
    }

    /// Something went wrong that librdkafka goes on trying.
    pub(super) fn note(&mut self, trouble: &Trouble) {
        if trouble.code == Code::AllBrokersDown {
            if self.connected {
                tracing::warn!(error = %trouble, "no broker answers");
            }
            self.connected = false;
            self.error.get_or_insert_with(|| trouble.text.clone());
        } else {
            // librdkafka has logged it, and does not repeat itself.
            tracing::debug!(error = %trouble, "Kafka");
            self.error = Some(trouble.text.clone());
        }
        // Ask at once: the answer tells when it is mended.
        self.next = None;
    }
}
