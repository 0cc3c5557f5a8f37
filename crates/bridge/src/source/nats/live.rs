//! Core NATS: a queue subscription per root, read without a pause; what finds no room is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::{Client, Subject};
use data_bridge_core::units::Position;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::unconstrained;
use tracing::{debug, warn};

use super::gather::Sorter;
use super::routing::Memo;
use super::shared::{Gate, Shared};
use crate::config::Number;
use crate::telemetry::pulse::Pulse;

/// Bits of a position that name the instance; `instance.number` fits.
const INSTANCE_BITS: u32 = 10;

/// Hands out positions of messages that have none: the time in ns with the instance in the low
/// bits, each above the one before.
#[derive(Debug)]
pub(super) struct Clock {
    last: AtomicU64,
    instance: Number,
}

impl Clock {
    pub(super) fn new(instance: Number) -> Self {
        Self { last: AtomicU64::new(0), instance }
    }

    /// The position of a message that came now, and the time in ms.
    fn next(&self) -> (Position, i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let wanted = nanos >> INSTANCE_BITS;
        let after = |last: u64| wanted.max(last + 1);
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)))
            .unwrap_or_default();
        let instance = u64::from(self.instance.get()) & ((1 << INSTANCE_BITS) - 1);
        let position = (after(last) << INSTANCE_BITS) | instance;
        (Position(position), i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Reads one root until the instance stops.
pub(super) async fn run(
    client: Client,
    shared: Arc<Shared>,
    root: Subject,
    group: String,
    clock: Arc<Clock>,
    pulse: Pulse,
) {
    let mut messages = match client.queue_subscribe(root, group).await {
        Ok(messages) => messages,
        Err(error) => {
            debug!(%error, "the client ended before it began");
            return;
        }
    };
    let mut gate = shared.gate.subscribe();
    let mut sorter = Sorter::new(Memo::new(Arc::clone(&shared.routing)));
    loop {
        let next = async {
            tokio::select! {
                message = messages.next() => Some(message),
                () = stopping(&mut gate) => None,
            }
        };
        let Some(message) = pulse.rest(next).await else {
            // No longer a member of the group: others get what comes from now on.
            if messages.drain().await.is_err() {
                return;
            }
            while let Some(message) = messages.next().await {
                let (position, time_ms) = clock.next();
                sorter.add(&message, position, time_ms, None);
                hand_over(&shared, &mut sorter);
            }
            return;
        };
        if message.is_none() {
            return;
        }
        let mut next = message;
        while let Some(message) = next.take() {
            let (position, time_ms) = clock.next();
            sorter.add(&message, position, time_ms, None);
            if sorter.is_full() {
                hand_over(&shared, &mut sorter);
            }
            if let Some(more) = unconstrained(messages.next()).now_or_never() {
                next = more;
            } else {
                hand_over(&shared, &mut sorter);
            }
        }
    }
}

async fn stopping(gate: &mut watch::Receiver<Gate>) {
    // A gate that is gone means the same.
    gate.wait_for(|gate| gate.stopping).await.ok();
}

fn hand_over(shared: &Shared, sorter: &mut Sorter) {
    sorter.flush(shared.epoch(), |arrival| {
        if let Err(refused) = shared.mailbox.try_put(arrival) {
            let slot = usize::from(refused.slot);
            let count = refused.arena.len() as u64;
            if let Some(dropped) = shared.dropped.get(slot)
                && dropped.fetch_add(count, Ordering::Relaxed) == 0
            {
                let route = shared.routing.name(slot);
                warn!(route, count, "no room: messages of core NATS are dropped");
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_rise_and_name_the_instance() {
        let clock = Clock::new(Number::new(5));
        let positions: Vec<_> = (0..10_000).map(|_| clock.next().0.0).collect();
        assert!(positions.is_sorted_by(|one, next| one < next));
        assert!(positions.iter().all(|position| position & 1_023 == 5));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        assert!(u128::from(positions[0]).abs_diff(now) < 60_000_000_000);
    }
}
