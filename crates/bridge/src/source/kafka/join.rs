//! Into the group.

use super::client::{Client, Offsets};
use super::event::SourceError;
use super::properties;
use crate::config;
use crate::source::waker::Waker;

/// What it takes to join the group.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) config: config::Kafka,
    pub(super) instance: config::Instance,
    pub(super) queue_budget_bytes: u64,
}

impl Join {
    /// A client that joins in the background.
    pub(super) fn client(&self, waker: &Waker) -> Result<Client, SourceError> {
        let Self { config, instance, queue_budget_bytes } = self;
        let properties = properties::member(config, instance, *queue_budget_bytes);
        let client = Client::consumer(&properties, waker.clone())?;
        if !config.topics.is_empty() {
            let topics = Offsets::topics(config.topics.keys().map(String::as_str));
            client.subscribe(&topics).map_err(|trouble| SourceError::Client(trouble.text))?;
        }
        Ok(client)
    }

    /// `group.instance.id`, of a static member.
    pub(super) fn static_id(&self) -> Option<String> {
        let is_static = self.config.static_membership;
        is_static.then(|| properties::static_id(&self.config, &self.instance))
    }
}
