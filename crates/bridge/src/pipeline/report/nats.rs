//! What the pipeline says of NATS.

use std::time::{Duration, Instant};

use crate::source::nats::NatsStatus;
use crate::telemetry::board::NatsBoard;
use crate::telemetry::metrics::{Metrics, OfRoute};

/// Totals of the source that were counted already, and when it last brought something.
#[derive(Default)]
pub(super) struct Seen {
    status: NatsStatus,
    /// Messages taken at the last look, and when that number last changed.
    messages: u64,
    brought: Option<Instant>,
    /// Since when messages wait in the stream.
    waiting: Option<Instant>,
}

impl Seen {
    /// Counts what is new.
    pub(super) fn count(&mut self, status: &NatsStatus, messages: u64, metrics: &Metrics) {
        let (to, seen) = (&metrics.nats, &self.status);
        to.connected.set(i64::from(status.connected));
        to.pending.set(signed(status.pending));
        to.ack_pending.set(signed(status.ack_pending));
        to.acked.inc_by(status.acked - seen.acked);
        to.progress.inc_by(status.progress - seen.progress);
        to.given_back.inc_by(status.given_back - seen.given_back);
        to.redelivered.inc_by(status.redelivered - seen.redelivered);
        to.acks_repeated.inc_by(status.acks_repeated - seen.acks_repeated);
        to.connects.inc_by(status.connects - seen.connects);
        to.slow_consumer_events.inc_by(status.slow_consumer_events - seen.slow_consumer_events);
        to.made_anew.inc_by(status.made_anew - seen.made_anew);
        for drops in &status.drops {
            let of = OfRoute { route: drops.route.clone() };
            let counter = to.dropped.get_or_create_owned(&of);
            counter.inc_by(drops.messages - counter.get());
        }
        metrics.lost_ranges.inc_by(status.lost_ranges - seen.lost_ranges);
        metrics.lost_messages.inc_by(status.lost_messages - seen.lost_messages);
        let now = Instant::now();
        if messages != self.messages {
            (self.messages, self.brought) = (messages, Some(now));
        }
        self.waiting = if status.pending == 0 { None } else { self.waiting.or(Some(now)) };
        self.status = status.clone();
    }

    /// What keeps NATS from being read, and messages that wait although nothing says why.
    pub(super) fn reasons(&self, stall: Duration) -> Vec<String> {
        let mut reasons = self.status.reasons.clone();
        let longer = |since: Option<Instant>| since.is_some_and(|at| at.elapsed() > stall);
        let still = self.brought.is_none() || longer(self.brought);
        if reasons.is_empty() && longer(self.waiting) && still {
            let NatsStatus { pending, ack_pending, ack_pending_full, .. } = &self.status;
            reasons.push(if *ack_pending_full {
                format!(
                    "{pending} messages wait in JetStream: {ack_pending} are held without an ack, \
                     which is nats.max_ack_pending"
                )
            } else {
                format!(
                    "{pending} messages wait in JetStream and none came for {} s",
                    stall.as_secs()
                )
            });
        }
        reasons
    }

    /// For the status page.
    pub(super) fn board(&self) -> NatsBoard {
        let status = &self.status;
        NatsBoard {
            connected: status.connected,
            pending: status.pending,
            ack_pending: status.ack_pending,
            acked: status.acked,
            given_back: status.given_back,
            redelivered: status.redelivered,
            dropped: status.drops.iter().map(|drops| drops.messages).sum(),
        }
    }

    pub(super) fn pending(&self) -> u64 {
        self.status.pending
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
