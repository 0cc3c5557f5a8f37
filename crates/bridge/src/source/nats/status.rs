//! The source as it is now, for metrics, status page and readiness.

use std::sync::atomic::Ordering;

use super::shared::Shared;
use crate::config::{self, NatsMode};

/// Messages dropped for want of room, of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops {
    /// The route; `no_route` for subjects without one.
    pub route: String,
    /// How many.
    pub messages: u64,
}

/// The source as it is now.
#[derive(Clone, Debug, Default)]
pub struct NatsStatus {
    /// Whether a server is connected.
    pub connected: bool,
    /// Why nothing can be read; empty when all is well.
    pub reasons: Vec<String>,
    /// Messages in the stream that were not delivered to anybody yet.
    pub pending: u64,
    /// Messages that all instances together hold without an ack.
    pub ack_pending: u64,
    /// Whether so many are held that the server delivers no more.
    pub ack_pending_full: bool,
    /// Of those, messages that were delivered more than once.
    pub redelivered_pending: u64,
    /// Messages acked by this instance.
    pub acked: u64,
    /// Signs of progress sent, per message.
    pub progress: u64,
    /// Messages given back.
    pub given_back: u64,
    /// Messages that this instance was given although they had been delivered before.
    pub redelivered: u64,
    /// Batches whose acks were sent again.
    pub acks_repeated: u64,
    /// Messages that core NATS had to drop.
    pub drops: Vec<Drops>,
    /// Messages that the client library dropped, or the server said it did.
    pub slow_consumer_events: u64,
    /// Connections made since the start.
    pub connects: u64,
    /// Ranges deleted before they were delivered.
    pub lost_ranges: u64,
    /// Messages in these ranges.
    pub lost_messages: u64,
    /// Times the stream was found to be made anew.
    pub made_anew: u64,
}

pub(super) fn of(config: &config::Nats, shared: &Shared) -> NatsStatus {
    let link = shared.link.state();
    let view = shared.view().clone();
    let mut reasons = Vec::new();
    if !link.connected {
        let why = link.error.as_deref().unwrap_or("connecting");
        reasons.push(format!("NATS at {} is not connected: {why}", config.cluster_urls.join(",")));
    } else if config.mode == NatsMode::JetStream {
        reasons.extend(view.reasons);
        if !shared.gate.borrow().ready {
            if reasons.is_empty() {
                reasons.push(format!("JetStream stream {} was not seen yet", config.stream));
            }
            if let Some(error) = &link.error {
                reasons.push(format!("NATS refused: {error}"));
            }
        }
    } else if let Some(error) = &link.error {
        reasons.push(format!("NATS refused: {error}"));
    }
    if let Some(denied) = link.denied() {
        reasons.push(format!(
            "NATS denies the account what it needs (docs/operations.md lists it): {denied}"
        ));
    }
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let drops = shared.dropped.iter().enumerate().map(|(slot, dropped)| Drops {
        route: match shared.routing.name(slot) {
            "" => "no_route".to_owned(),
            name => name.to_owned(),
        },
        messages: count(dropped),
    });
    NatsStatus {
        connected: link.connected,
        reasons,
        pending: view.pending,
        ack_pending: view.ack_pending,
        ack_pending_full: view.max_ack_pending > 0 && view.ack_pending >= view.max_ack_pending,
        redelivered_pending: view.redelivered,
        acked: count(&shared.counts.acked),
        progress: count(&shared.counts.progress),
        given_back: count(&shared.counts.given_back),
        redelivered: count(&shared.counts.redelivered),
        acks_repeated: count(&shared.counts.acks_repeated),
        drops: drops.filter(|drops| drops.messages > 0).collect(),
        slow_consumer_events: link.slow,
        connects: link.connects,
        lost_ranges: view.lost_ranges,
        lost_messages: view.lost_messages,
        made_anew: view.made_anew,
    }
}
