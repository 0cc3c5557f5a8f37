//! The terms of the group where the broker sets them: session and heartbeat of the `consumer`
//! protocol (KIP-848), which members cannot ask for.

use std::time::Duration;

use super::client::{Client, Trouble};
use super::event::SourceError;
use super::properties;
use crate::config::Kafka;

const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

/// How soon the group notices that a member is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTerms {
    /// Without a heartbeat for this long, the broker takes the partitions away.
    pub session: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
}

/// What [`agree`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// The group had them already.
    AsConfigured(GroupTerms),
    /// The broker took the configured ones.
    Set(GroupTerms),
    /// It did not.
    Refused {
        /// What holds instead.
        terms: GroupTerms,
        /// The broker's words.
        reason: String,
    },
}

/// Asks what the broker has set for the configured group.
///
/// # Errors
/// When the cluster cannot be asked within `wait`, does not know the protocol, or the configuration
/// is refused.
pub fn describe(config: &Kafka, wait: Duration) -> Result<GroupTerms, SourceError> {
    read(&connect(config)?, config, wait)
}

/// Has the broker use the configured session and heartbeat for the group.
///
/// # Errors
/// As [`describe`]. That the broker refuses them is no error.
pub fn agree(config: &Kafka, wait: Duration) -> Result<Agreed, SourceError> {
    let client = connect(config)?;
    let wanted =
        GroupTerms { session: config.session_timeout, heartbeat: config.heartbeat_interval };
    let terms = read(&client, config, wait)?;
    if terms == wanted {
        return Ok(Agreed::AsConfigured(terms));
    }
    let settings = [(SESSION, wanted.session), (HEARTBEAT, wanted.heartbeat)]
        .map(|(name, value)| (name, value.as_millis().to_string()));
    match client.set_group_settings(&config.group_id, &settings, wait) {
        Ok(()) => Ok(Agreed::Set(wanted)),
        Err(trouble) => Ok(Agreed::Refused { terms, reason: trouble.text }),
    }
}

fn read(client: &Client, config: &Kafka, wait: Duration) -> Result<GroupTerms, SourceError> {
    let about = format!("the settings of group {}", config.group_id);
    let fail = |trouble: Trouble| SourceError::Unreachable {
        brokers: config.brokers.clone(),
        about: about.clone(),
        reason: trouble.text,
    };
    let settings = client.group_settings(&config.group_id, wait).map_err(fail)?;
    let millis = |name: &str| {
        let found = settings.iter().find(|(setting, _)| setting == name);
        let value = found.and_then(|(_, value)| value.parse().ok());
        value.map(Duration::from_millis).ok_or_else(|| SourceError::Unreachable {
            brokers: config.brokers.clone(),
            about: about.clone(),
            reason: format!("the broker does not know `{name}`"),
        })
    };
    Ok(GroupTerms { session: millis(SESSION)?, heartbeat: millis(HEARTBEAT)? })
}

fn connect(config: &Kafka) -> Result<Client, SourceError> {
    Client::admin(&properties::administrator(config)).map_err(SourceError::from)
}
