//! Takes static members out of their consumer group, which librdkafka cannot: it sends no
//! `LeaveGroup` for them, and has no call to remove others. Without it their partitions idle until
//! the session is over.
//!
//! Two requests of Kafka's protocol are enough, in versions that brokers from 2.4 to 4.x take:
//! `FindCoordinator` 1 and `LeaveGroup` 3 (KIP-345); and two more before them where brokers want a
//! login.

mod connection;
mod scram;
mod security;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use self::connection::{Connection, cut};
use self::security::Security;
pub use self::security::SecurityError;
use self::wire::{FIND_COORDINATOR, LEAVE_GROUP, UNKNOWN_MEMBER};
use super::state::Target;
use crate::config::Secret;

/// A broker answers within milliseconds, or it is of no use in time.
const LIMIT: Duration = Duration::from_secs(3);

/// Pause before a group whose coordinator is moving is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Why members could not be taken out.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// Brokers cannot be reached as `kafka.properties` want it.
    #[error("kafka.properties: {0}")]
    Security(#[from] SecurityError),
    /// No broker of the list takes the request.
    #[error("no broker of {brokers} takes the request: {last}")]
    Unreachable {
        /// `kafka.brokers`.
        brokers: String,
        /// What the last one did.
        last: String,
    },
    /// The coordinator refused.
    #[error("the group's coordinator refuses: error {code} of Kafka's protocol")]
    Refused {
        /// Kafka's error code.
        code: i16,
    },
}

/// Takes members out of a group.
#[derive(Clone, Debug)]
pub struct Leaver {
    target: Target,
    properties: BTreeMap<String, Secret>,
}

impl Leaver {
    /// For the group of a fleet, whose brokers are reached as these `kafka.properties` want it.
    #[must_use]
    pub fn new(target: Target, properties: BTreeMap<String, Secret>) -> Self {
        Self { target, properties }
    }

    /// Whether brokers can be asked at all.
    ///
    /// # Errors
    /// [`SecurityError`]: what `kafka.properties` ask for and cannot be had.
    pub fn check(&self) -> Result<(), SecurityError> {
        if self.target.brokers.is_empty() {
            return Ok(());
        }
        Security::read(&self.properties).map(drop)
    }

    /// Takes these instances out; those that are not in the group any more are no error.
    ///
    /// # Errors
    /// [`LeaveError`]: then their partitions move when the session is over.
    pub async fn leave(&self, instance_ids: &[String]) -> Result<(), LeaveError> {
        if self.target.brokers.is_empty() || instance_ids.is_empty() {
            return Ok(());
        }
        let security = Security::read(&self.properties)?;
        let mut last = "no broker is named".to_owned();
        for broker in self.target.brokers.split(',').map(str::trim).filter(|name| !name.is_empty())
        {
            let attempt = self.leave_once_settled(broker, &security, instance_ids);
            match tokio::time::timeout(LIMIT, attempt).await {
                Ok(Ok(0 | UNKNOWN_MEMBER)) => return Ok(()),
                Ok(Ok(code)) => return Err(LeaveError::Refused { code }),
                Ok(Err(error)) => last = format!("{broker}: {error}"),
                Err(_elapsed) => last = format!("{broker}: no answer within {LIMIT:?}"),
            }
        }
        Err(LeaveError::Unreachable { brokers: self.target.brokers.clone(), last })
    }

    /// Asks again while the group has no coordinator for a moment.
    async fn leave_once_settled(
        &self,
        broker: &str,
        security: &Security,
        instance_ids: &[String],
    ) -> io::Result<i16> {
        loop {
            match self.leave_by(broker, security, instance_ids).await? {
                wire::COORDINATOR_LOADS | wire::NO_COORDINATOR | wire::NOT_COORDINATOR => {
                    tokio::time::sleep(PAUSE).await;
                }
                code => return Ok(code),
            }
        }
    }

    /// The worst error code of the answer.
    async fn leave_by(
        &self,
        broker: &str,
        security: &Security,
        instance_ids: &[String],
    ) -> io::Result<i16> {
        let group = &self.target.group_id;
        let mut any = Connection::open(broker, security).await?;
        let found = any.ask(FIND_COORDINATOR, &wire::find_coordinator(group)).await?;
        let address = match wire::read_coordinator(&found).ok_or_else(cut)? {
            Ok(address) => address,
            Err(code) => return Ok(code),
        };
        let static_ids = instance_ids.iter().map(|id| format!("{group}-{id}")).collect::<Vec<_>>();
        let mut coordinator = Connection::open(&address, security).await?;
        let answer = coordinator.ask(LEAVE_GROUP, &wire::leave_group(group, &static_ids)).await?;
        wire::read_left(&answer).ok_or_else(cut)
    }
}
