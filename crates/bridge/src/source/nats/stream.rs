//! The stream and its consumer: what they must be, created by `init`, compared by everyone.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;

use super::api::{self, ApiError, ConsumerConfig, StreamConfig};
use super::connect::{self, NatsError};
use super::routing::roots;
use crate::config::{self, DeliverPolicy};

/// A setting of the stream or the consumer that is not what the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is different.
    pub text: String,
    /// Whether the bridge could not keep its promises with it.
    pub is_fatal: bool,
}

/// What became of the stream, or of the consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Created,
    /// It was there.
    Exists {
        /// How it differs.
        differences: Vec<Difference>,
    },
    /// It is not there, and could not be made or may not be.
    Missing {
        /// Why.
        reason: String,
    },
}

/// Stream and consumer as they were found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The stream.
    pub stream: Outcome,
    /// Its consumer.
    pub consumer: Outcome,
}

/// Creates stream and consumer where they are missing and `nats.init.create` allows it; changes
/// nothing that is there.
///
/// # Errors
/// When no server can be reached.
pub async fn create(config: &config::Nats) -> Result<Found, NatsError> {
    let client = connect::once(config).await?;
    Ok(look_or_make(&client, config, config.init.create).await)
}

/// Looks at stream and consumer, and at nothing of core NATS beyond the connection.
///
/// # Errors
/// When no server can be reached.
pub async fn look(config: &config::Nats) -> Result<Found, NatsError> {
    let client = connect::once(config).await?;
    Ok(look_or_make(&client, config, false).await)
}

/// Connects and leaves again.
///
/// # Errors
/// When no server can be reached.
pub async fn reach(config: &config::Nats) -> Result<(), NatsError> {
    connect::once(config).await.map(drop)
}

async fn look_or_make(client: &Client, config: &config::Nats, may_create: bool) -> Found {
    let wanted = wanted_stream(config);
    let stream = match api::stream(client, &config.stream).await {
        Ok(info) => Outcome::Exists { differences: compare_streams(&wanted, &info.config) },
        Err(ApiError::NoStream) if may_create => match api::create_stream(client, &wanted).await {
            Ok(_) => Outcome::Created,
            Err(error) => Outcome::Missing { reason: error.to_string() },
        },
        Err(error) => Outcome::Missing { reason: error.to_string() },
    };
    if let Outcome::Missing { .. } = stream {
        let reason = "its stream is missing".to_owned();
        return Found { stream, consumer: Outcome::Missing { reason } };
    }
    let wanted = wanted_consumer(config);
    let consumer = match api::consumer(client, &config.stream, &config.consumer).await {
        Ok(info) => Outcome::Exists { differences: compare_consumers(&wanted, &info.config) },
        Err(ApiError::NoConsumer) if may_create => {
            match api::create_consumer(client, &config.stream, &wanted).await {
                Ok(_) => Outcome::Created,
                Err(error) => Outcome::Missing { reason: error.to_string() },
            }
        }
        Err(error) => Outcome::Missing { reason: error.to_string() },
    };
    Found { stream, consumer }
}

fn wanted_stream(config: &config::Nats) -> StreamConfig {
    StreamConfig {
        name: config.stream.clone(),
        subjects: roots(config),
        retention: "limits".to_owned(),
        storage: "file".to_owned(),
        num_replicas: config.init.replicas,
        max_age: nanos(config.init.max_age),
        max_bytes: config.init.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(-1)),
        discard: "old".to_owned(),
    }
}

/// The consumer as it must be.
pub(super) fn wanted_consumer(config: &config::Nats) -> ConsumerConfig {
    ConsumerConfig {
        durable_name: config.consumer.clone(),
        deliver_policy: match config.deliver_policy {
            DeliverPolicy::All => "all",
            DeliverPolicy::New => "new",
        }
        .to_owned(),
        ack_policy: "explicit".to_owned(),
        ack_wait: nanos(config.ack_wait),
        max_deliver: -1,
        max_ack_pending: config.max_ack_pending.get().into(),
        replay_policy: "instant".to_owned(),
        filter_subject: String::new(),
        filter_subjects: Vec::new(),
        deliver_subject: String::new(),
        metadata: BTreeMap::new(),
    }
}

fn compare_streams(wanted: &StreamConfig, found: &StreamConfig) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |setting: &str, is: String, wants: String, is_fatal: bool| {
        let text = format!("{setting} is {is}, the configuration says {wants}");
        differences.push(Difference { text, is_fatal });
    };
    let uncovered: Vec<_> = wanted
        .subjects
        .iter()
        .filter(|root| !found.subjects.iter().any(|subject| covers(subject, root)))
        .cloned()
        .collect();
    if !uncovered.is_empty() {
        let is = found.subjects.join(",");
        differ("subjects", is, uncovered.join(","), false);
    }
    // Acked messages would leave it: nothing could be audited or replayed.
    if found.retention != wanted.retention {
        differ("retention", found.retention.clone(), wanted.retention.clone(), false);
    }
    if found.num_replicas != wanted.num_replicas {
        differ("replicas", found.num_replicas.to_string(), wanted.num_replicas.to_string(), false);
    }
    if found.max_age != wanted.max_age {
        differ("max_age", seconds(found.max_age), seconds(wanted.max_age), false);
    }
    if found.max_bytes != wanted.max_bytes {
        differ("max_bytes", found.max_bytes.to_string(), wanted.max_bytes.to_string(), false);
    }
    differences
}

/// How a consumer differs from what it must be. Fatal is what would lose, orphan or double.
pub(super) fn compare_consumers(
    wanted: &ConsumerConfig,
    found: &ConsumerConfig,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |setting: &str, is: String, wants: String, is_fatal: bool| {
        let text = format!("{setting} is {is}, must be {wants}");
        differences.push(Difference { text, is_fatal });
    };
    if !found.deliver_subject.is_empty() {
        differ("deliver_subject", found.deliver_subject.clone(), "empty (pull)".into(), true);
    }
    if found.ack_policy != wanted.ack_policy {
        differ("ack_policy", found.ack_policy.clone(), wanted.ack_policy.clone(), true);
    }
    if found.max_deliver > 0 {
        let is = found.max_deliver.to_string();
        differ("max_deliver", is, "-1, or messages are orphaned".into(), true);
    }
    let filters: Vec<&str> = std::iter::once(found.filter_subject.as_str())
        .chain(found.filter_subjects.iter().map(String::as_str))
        .filter(|filter| !filter.is_empty())
        .collect();
    if !filters.is_empty() {
        differ("filter_subjects", filters.join(","), "empty".into(), true);
    }
    if found.ack_wait != wanted.ack_wait {
        let (is, wants) = (seconds(found.ack_wait), seconds(wanted.ack_wait));
        differ("ack_wait", is, wants, found.ack_wait < wanted.ack_wait);
    }
    if found.max_ack_pending != wanted.max_ack_pending {
        let (is, wants) = (found.max_ack_pending.to_string(), wanted.max_ack_pending.to_string());
        differ("max_ack_pending", is, wants, false);
    }
    differences
}

/// Whether every subject of pattern `inner` is one of `outer`.
fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other && one != "*" => {}
            _ => return false,
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: u64) -> String {
    format!("{} s", Duration::from_nanos(nanos).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    #[test]
    fn what_would_lose_or_orphan_is_fatal_and_the_rest_is_named() {
        let config = Config::from_defaults(&Environment::default());
        let wanted = wanted_consumer(&config.nats);
        assert_eq!(compare_consumers(&wanted, &wanted), []);
        let changed = |change: fn(&mut ConsumerConfig)| {
            let mut found = wanted.clone();
            change(&mut found);
            let differences = compare_consumers(&wanted, &found);
            assert_eq!(differences.len(), 1, "{differences:?}");
            differences[0].clone()
        };
        for fatal in [
            changed(|found| found.ack_policy = "all".to_owned()),
            changed(|found| found.max_deliver = 10),
            changed(|found| found.filter_subject = "market.x".to_owned()),
            changed(|found| found.deliver_subject = "push".to_owned()),
            changed(|found| found.ack_wait = 1_000_000_000),
        ] {
            assert!(fatal.is_fatal, "{fatal:?}");
        }
        let slow = changed(|found| found.max_ack_pending = 1_000);
        assert_eq!(slow.text, "max_ack_pending is 1000, must be 200000");
        assert!(!slow.is_fatal);
    }

    #[test]
    fn a_pattern_covers_what_it_says() {
        assert!(covers("market.>", "market.>") && covers(">", "market.>"));
        assert!(covers("market.*.tick", "market.a.tick") && covers("a", "a"));
        assert!(!covers("market.*", "market.>") && !covers("market", "market.>"));
        assert!(!covers("market.a", "market.*") && !covers("market.>", "market"));
    }
}
