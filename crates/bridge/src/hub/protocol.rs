//! What instances and hubs say to each other.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST /api/discovery/register`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// `data-bridge-<n>`.
    #[serde(default)]
    pub service_name: String,
    /// `instance.id`; a service that has none is known by its `service_name`.
    #[serde(default)]
    pub instance_id: String,
    /// `instance.number`.
    #[serde(default)]
    pub instance_number: u32,
    /// Where the instance answers; empty when nobody can reach it.
    #[serde(default)]
    pub url: String,
    /// Of the program.
    #[serde(default)]
    pub version: String,
    /// As in a heartbeat.
    #[serde(default)]
    pub status: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub timestamp: Value,
    /// As in a heartbeat.
    #[serde(default)]
    pub metrics: Value,
}

/// `POST /api/discovery/heartbeat`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// `data-bridge-<n>`.
    #[serde(default)]
    pub service_name: String,
    /// `instance.id`.
    #[serde(default)]
    pub instance_id: String,
    /// Where the instance answers.
    #[serde(default)]
    pub url: String,
    /// `healthy`, `degraded`, or `stopping` with the last one.
    #[serde(default)]
    pub status: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub timestamp: Value,
    /// The instance's own figures: all that `/api/status` shows.
    #[serde(default)]
    pub metrics: Value,
}

impl Registration {
    /// What the service is known by; `None` when it says neither name.
    pub(super) fn id(&self) -> Option<&str> {
        id(&self.instance_id, &self.service_name)
    }
}

impl Heartbeat {
    /// As [`Registration::id`].
    pub(super) fn id(&self) -> Option<&str> {
        id(&self.instance_id, &self.service_name)
    }
}

/// Longest name that a hub keeps.
const LONGEST_ID: usize = 256;

fn id<'a>(instance: &'a str, service: &'a str) -> Option<&'a str> {
    let id = if instance.is_empty() { service } else { instance };
    (!id.is_empty() && id.len() <= LONGEST_ID).then_some(id)
}
