//! Whether stream and consumer are as they must be, and how far the consumer is.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use tracing::{info, warn};

use super::api::{self, ApiError, ConsumerInfo, StreamInfo};
use super::connect::ANSWER_TIMEOUT;
use super::losses::{self, Losses, LostSequences};
use super::shared::Shared;
use super::stream::{compare_consumers, wanted_consumer};
use crate::config;
use crate::telemetry::pulse::{Pulse, freeze_task};

/// A look asks for stream and consumer, and may note something.
pub(super) const LONGEST_LOOK: Duration = ANSWER_TIMEOUT.saturating_mul(3);
/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// The same while something is missing.
const AGAIN: Duration = Duration::from_millis(500);

/// What was seen last.
struct Seen {
    stream_created: String,
    last_sequence: u64,
    consumer_created: String,
    delivered: u64,
    deliveries: u64,
}

/// What a look found.
struct Found {
    /// The highest sequence that had been delivered here before the server was asked. Read later,
    /// it could be beyond the answer, which would then seem to be of another stream.
    brought: u64,
    stream: StreamInfo,
    consumer: ConsumerInfo,
}

/// Looks again and again, until its task is ended.
pub(super) async fn run(client: Client, config: config::Nats, shared: Arc<Shared>, pulse: Pulse) {
    let mut seen: Option<Seen> = None;
    // What was lost and is not in the consumer's metadata yet.
    let mut unnoted = Losses::default();
    let is_away = || !shared.link.state().connected;
    loop {
        freeze_task("watch").await;
        let ready = match pulse.rest_while(is_away, look(&client, &config, &shared)).await {
            Ok(found) => {
                let ready = take(&config, &shared, &mut seen, &found, &mut unnoted);
                let note = note(&client, &config, &found.consumer, &mut unnoted);
                pulse.rest_while(is_away, note).await;
                ready
            }
            Err(reason) => {
                let mut view = shared.view();
                if view.reasons.first() != Some(&reason) && shared.link.state().connected {
                    warn!(reason, "NATS cannot be read");
                }
                view.reasons = vec![reason];
                false
            }
        };
        shared.set_gate(|gate| gate.ready = ready);
        let wait = tokio::time::sleep(if ready { EVERY } else { AGAIN });
        tokio::select! {
            () = wait => {}
            () = shared.look.notified() => {}
        }
    }
}

async fn look(client: &Client, config: &config::Nats, shared: &Shared) -> Result<Found, String> {
    let brought = shared.highest();
    let (stream, consumer) = (&config.stream, &config.consumer);
    let missing = |what: String, error: ApiError| match error {
        ApiError::NoStream | ApiError::NoConsumer => {
            format!("{what} does not exist: run `data-bridge init`")
        }
        ApiError::NoJetStream
        | ApiError::Refused { .. }
        | ApiError::TimedOut
        | ApiError::Unreadable(_) => format!("{what}: {error}"),
    };
    let info = api::stream(client, stream)
        .await
        .map_err(|error| missing(format!("JetStream stream {stream}"), error))?;
    let of = format!("consumer {consumer} of JetStream stream {stream}");
    let consumer =
        api::consumer(client, stream, consumer).await.map_err(|error| missing(of, error))?;
    Ok(Found { brought, stream: info, consumer })
}

/// Takes note of what was found; whether messages may be pulled.
fn take(
    config: &config::Nats,
    shared: &Shared,
    seen: &mut Option<Seen>,
    found: &Found,
    unnoted: &mut Losses,
) -> bool {
    let name = &config.stream;
    let Found { stream, consumer, .. } = found;
    let lost = match seen.as_ref() {
        Some(before) => compare(name, shared, before, found, unnoted),
        None => lost_meanwhile(stream.state.first_seq, consumer),
    };
    // Until the consumer is beyond it, each look sees it again.
    let is_known = |lost: &LostSequences| {
        unnoted.covers(&lost.sequences) || known(consumer).covers(&lost.sequences)
    };
    if let Some(lost) = lost.filter(|lost| !is_known(lost)) {
        warn!(
            stream = name,
            from = lost.sequences.start,
            to = lost.sequences.end - 1,
            messages = lost.messages,
            "messages were deleted before they were delivered"
        );
        let mut view = shared.view();
        view.lost_ranges += 1;
        view.lost_messages += lost.messages;
        unnoted.add(lost);
    }
    let differences = compare_consumers(&wanted_consumer(config), &consumer.config);
    let reasons: Vec<_> = differences
        .iter()
        .filter(|difference| difference.is_fatal)
        .map(|difference| {
            let (consumer, text) = (&config.consumer, &difference.text);
            format!("consumer {consumer} of JetStream stream {name}: {text}; make it anew")
        })
        .collect();
    if seen.is_none() {
        for difference in differences.iter().filter(|difference| !difference.is_fatal) {
            warn!(consumer = config.consumer, setting = difference.text, "consumer differs");
        }
        info!(
            stream = name,
            messages = stream.state.messages,
            pending = consumer.num_pending,
            "JetStream answers"
        );
    }
    *seen = Some(Seen {
        stream_created: stream.created.clone(),
        last_sequence: stream.state.last_seq,
        consumer_created: consumer.created.clone(),
        delivered: consumer.delivered.stream_seq,
        deliveries: consumer.delivered.consumer_seq,
    });
    let mut view = shared.view();
    let ready = reasons.is_empty();
    if !ready && view.reasons != reasons {
        warn!(reasons = reasons.join("; "), "NATS cannot be read");
    }
    view.reasons = reasons;
    view.pending = consumer.num_pending;
    view.ack_pending = consumer.num_ack_pending;
    view.redelivered = consumer.num_redelivered;
    view.max_ack_pending = u64::try_from(consumer.config.max_ack_pending).unwrap_or(0);
    drop(view);
    shared.link.mended();
    ready
}

/// Writes losses into the consumer's metadata, where an audit finds them; tried again at the next
/// look.
async fn note(
    client: &Client,
    config: &config::Nats,
    consumer: &ConsumerInfo,
    unnoted: &mut Losses,
) {
    if unnoted.is_empty() {
        return;
    }
    let mut all = known(consumer);
    all.extend(unnoted.clone());
    let (stream, name) = (&config.stream, &config.consumer);
    match api::note(client, stream, name, losses::KEY, &all.to_string()).await {
        Ok(()) => *unnoted = Losses::default(),
        Err(error) => {
            warn!(stream, consumer = name, %error, "the consumer cannot keep what was lost for audits");
        }
    }
}

/// Losses that the consumer remembers.
pub(super) fn known(consumer: &ConsumerInfo) -> Losses {
    let note = consumer.config.metadata.get(losses::KEY).map_or("", String::as_str);
    note.parse().unwrap_or_else(|error| {
        warn!(error, "the consumer's metadata is not readable: what was lost before is not known");
        Losses::default()
    })
}

/// What changed since the last look that it must not have. Returns what was lost.
fn compare(
    name: &str,
    shared: &Shared,
    before: &Seen,
    found: &Found,
    unnoted: &mut Losses,
) -> Option<LostSequences> {
    let Found { brought, stream, consumer } = found;
    let last_sequence = before.last_sequence.max(*brought);
    let made_anew =
        stream.created != before.stream_created || stream.state.last_seq < last_sequence;
    if made_anew {
        warn!(
            stream = name,
            last_sequence = stream.state.last_seq,
            before = last_sequence,
            "the stream was made anew: what is held of the old one is not acked"
        );
        shared.begin_epoch();
        shared.view().made_anew += 1;
        *unnoted = Losses::default();
        return None;
    }
    if consumer.created != before.consumer_created {
        warn!(stream = name, "the consumer was made anew: retained messages may come again");
        return None;
    }
    lost(before, stream.state.first_seq, consumer)
}

/// The consumer was moved beyond messages that it had not delivered: a purge, or a limit of the
/// stream. The server passes them over without a word; only the numbers tell.
fn lost(before: &Seen, first: u64, consumer: &ConsumerInfo) -> Option<LostSequences> {
    if first <= before.delivered + 1 {
        return None;
    }
    let now = consumer.delivered;
    let passed = now.stream_seq.max(first - 1).saturating_sub(before.delivered);
    let delivered = now.consumer_seq.saturating_sub(before.deliveries);
    let messages = passed.saturating_sub(delivered).min(first - 1 - before.delivered);
    let sequences = before.delivered + 1..first;
    (messages > 0).then_some(LostSequences { sequences, messages })
}

/// What a limit of the stream took while nobody looked.
fn lost_meanwhile(first: u64, consumer: &ConsumerInfo) -> Option<LostSequences> {
    let sequences = consumer.delivered.stream_seq + 1..first;
    let messages = sequences.end.saturating_sub(sequences.start);
    (messages > 0).then_some(LostSequences { sequences, messages })
}

#[cfg(test)]
mod tests {
    use super::super::api::{ConsumerConfig, Sequences};
    use super::*;
    use crate::config::{Config, Environment};

    fn seen(delivered: u64, deliveries: u64) -> Seen {
        Seen {
            stream_created: String::new(),
            last_sequence: 0,
            consumer_created: String::new(),
            delivered,
            deliveries,
        }
    }

    fn at(stream_seq: u64, consumer_seq: u64) -> ConsumerInfo {
        let config: ConsumerConfig =
            wanted_consumer(&Config::from_defaults(&Environment::default()).nats);
        let delivered = Sequences { consumer_seq, stream_seq };
        ConsumerInfo {
            name: String::new(),
            created: String::new(),
            config,
            delivered,
            ack_floor: delivered,
            num_ack_pending: 0,
            num_redelivered: 0,
            num_pending: 0,
        }
    }

    #[test]
    fn what_a_purge_takes_before_it_was_delivered_is_counted() {
        let before = seen(100, 100);
        assert_eq!(lost(&before, 1, &at(200, 200)), None, "delivered as ever");
        assert_eq!(lost(&before, 90, &at(200, 200)), None, "only acked ones were deleted");
        let purged = lost(&before, 501, &at(500, 100));
        assert_eq!(purged, Some(LostSequences { sequences: 101..501, messages: 400 }));
        // 150 of them were delivered before the purge.
        let purged = lost(&before, 501, &at(500, 250));
        assert_eq!(purged, Some(LostSequences { sequences: 101..501, messages: 250 }));
    }

    #[test]
    fn what_a_limit_took_while_nobody_looked_is_lost() {
        assert_eq!(lost_meanwhile(1, &at(0, 0)), None);
        assert_eq!(lost_meanwhile(101, &at(100, 100)), None);
        let lost = LostSequences { sequences: 101..501, messages: 400 };
        assert_eq!(lost_meanwhile(501, &at(100, 100)), Some(lost));
    }
}
