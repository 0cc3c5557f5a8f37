//! What each instance says of itself, at one moment.

use std::time::Duration;

use serde::Deserialize;

use crate::hub::Client;

/// An instance answers from memory; a frozen one never.
const LIMIT: Duration = Duration::from_secs(2);

/// What `/api/status` says, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) instance_id: String,
    pub(super) instance_number: u32,
    pub(super) kafka_group: String,
    pub(super) ready: bool,
    pub(super) reasons: Vec<String>,
    pub(super) ticks_saved: u64,
    pub(super) backpressure: bool,
    pub(super) partitions: Vec<Partition>,
}

/// A partition that it reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Partition {
    pub(super) topic: String,
    #[serde(rename = "partition")]
    pub(super) number: i32,
    pub(super) lag: u64,
}

/// Where an instance is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its id, or its URL while nobody said an id.
    pub(super) name: String,
    pub(super) url: String,
}

/// An instance that was looked at; without an answer, why.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) place: Place,
    pub(super) status: Result<Status, String>,
}

impl Seen {
    /// What it reads; nothing when it does not answer.
    pub(super) fn partitions(&self) -> &[Partition] {
        self.status.as_ref().map_or(&[], |status| &status.partitions)
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        match &self.status {
            Ok(status) if !status.instance_id.is_empty() => &status.instance_id,
            Ok(_) | Err(_) => &self.place.name,
        }
    }

    pub(super) fn ticks_saved(&self) -> u64 {
        self.status.as_ref().map_or(0, |status| status.ticks_saved)
    }
}

/// Looks at all, one after the other.
pub(super) async fn look(client: &Client, places: &[Place]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for place in places {
        let status = client.get(&format!("{}/api/status", place.url), LIMIT).await;
        let status = status.map_err(|error| error.to_string());
        seen.push(Seen { place: place.clone(), status });
    }
    seen
}
