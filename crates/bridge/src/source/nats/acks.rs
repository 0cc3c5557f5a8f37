//! Acks, signs of progress and naks, sent by one task in the order they were decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subject};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::debug;

use super::connect::{ANSWER_TIMEOUT, Link};
use super::reply::Replies;
use crate::telemetry::pulse::{Pulse, freeze_task};

const ACK: Bytes = Bytes::from_static(b"+ACK");
const PROGRESS: Bytes = Bytes::from_static(b"+WPI");
const NAK: Bytes = Bytes::from_static(b"-NAK");

/// Confirmations that are waited for at once: enough for the batches of a second at full speed.
const CONFIRMING: usize = 64;
/// Times a batch is acked when its confirmation does not come. Then the server delivers it again.
const TRIES: u32 = 3;
/// Longest time that a job waits for confirmations.
pub(super) const LONGEST_JOB: Duration = ANSWER_TIMEOUT.saturating_mul(TRIES);
/// The first wait of messages that are given back because nobody can write them.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_DELAY: Duration = Duration::from_mins(1);

/// What the server must hear.
#[derive(Debug)]
pub(super) enum Job {
    /// All messages of these chunks are durable.
    Ack(Vec<Arc<Replies>>),
    /// They are being worked on.
    Progress(Arc<Replies>),
    /// They may be delivered again at once.
    GiveBack(Arc<Replies>),
    /// They may be delivered again after a while, longer each time.
    GiveBackLater(Arc<Replies>),
    /// Says when all that was asked before is confirmed.
    Flush(oneshot::Sender<()>),
}

/// Messages, counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) acked: AtomicU64,
    pub(super) progress: AtomicU64,
    pub(super) given_back: AtomicU64,
    pub(super) acks_repeated: AtomicU64,
    /// Messages that came although an earlier delivery was not acked.
    pub(super) redelivered: AtomicU64,
}

/// Sends until the queue is closed.
pub(super) async fn run(
    client: Client,
    mut jobs: mpsc::Receiver<Job>,
    counts: Arc<Counts>,
    link: Link,
    pulse: Pulse,
) {
    let mut confirming = JoinSet::new();
    while let Some(job) = pulse.rest(jobs.recv()).await {
        freeze_task("acks").await;
        let is_away = || !link.state().connected;
        pulse.rest_while(is_away, work(&client, job, &mut confirming, &counts)).await;
        while confirming.try_join_next().is_some() {}
    }
}

async fn work(client: &Client, job: Job, confirming: &mut JoinSet<()>, counts: &Arc<Counts>) {
    match job {
        Job::Ack(chunks) => {
            send(client, &chunks, false).await;
            let messages = chunks.iter().map(|chunk| chunk.len() as u64).sum();
            counts.acked.fetch_add(messages, Ordering::Relaxed);
            while confirming.len() >= CONFIRMING {
                confirming.join_next().await;
            }
            confirming.spawn(confirm(client.clone(), chunks, Arc::clone(counts)));
        }
        Job::Progress(chunk) => {
            tell_all(client, &chunk, &PROGRESS).await;
            counts.progress.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Job::GiveBack(chunk) => {
            tell_all(client, &chunk, &NAK).await;
            counts.given_back.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Job::GiveBackLater(chunk) => {
            let delay = delay(chunk.deliveries()).as_nanos();
            let nak = Bytes::from(format!("-NAK {{\"delay\": {delay}}}"));
            tell_all(client, &chunk, &nak).await;
            counts.given_back.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Job::Flush(done) => {
            while confirming.join_next().await.is_some() {}
            if let Err(error) = client.flush().await {
                debug!(%error, "cannot flush");
            }
            // Whoever asked may have given up waiting.
            done.send(()).ok();
        }
    }
}

/// Acks all messages, or all but the very last.
async fn send(client: &Client, chunks: &[Arc<Replies>], with_last: bool) {
    let Some((last, rest)) = chunks.split_last() else {
        return;
    };
    for chunk in rest {
        tell_all(client, chunk, &ACK).await;
    }
    let count = if with_last { last.len() } else { last.len().saturating_sub(1) };
    for subject in last.iter().take(count) {
        tell(client, subject, &ACK).await;
    }
}

/// Acks the last message and waits for the answer: acks are handled in order, so what was sent
/// before has arrived too. Without an answer all are sent again: their connection may have died.
async fn confirm(client: Client, chunks: Vec<Arc<Replies>>, counts: Arc<Counts>) {
    let Some(last) = chunks.last().and_then(|chunk| chunk.iter().next_back()) else {
        return;
    };
    for attempt in 1..=TRIES {
        let Ok(subject) = Subject::from_utf8(last.clone()) else {
            return;
        };
        match client.request(subject, ACK).await {
            Ok(_) => return,
            // The consumer is gone: nobody waits for these acks.
            Err(error) if error.kind() == RequestErrorKind::NoResponders => return,
            Err(error) => debug!(%error, attempt, "ack not confirmed"),
        }
        if attempt < TRIES {
            send(&client, &chunks, true).await;
            counts.acks_repeated.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn tell_all(client: &Client, chunk: &Replies, word: &Bytes) {
    for subject in chunk.iter() {
        tell(client, subject, word).await;
    }
}

async fn tell(client: &Client, subject: Bytes, word: &Bytes) {
    let Ok(subject) = Subject::from_utf8(subject) else {
        return;
    };
    // Fails only when the client has ended; then the server delivers again.
    if let Err(error) = client.publish(subject, word.clone()).await {
        debug!(%error, "cannot send an ack");
    }
}

/// How long messages stay away that were delivered so often: 1 s, then twice as long each time, up
/// to a minute, with jitter so that they do not come back as one.
fn delay(deliveries: u32) -> Duration {
    let doublings = deliveries.saturating_sub(1).min(16);
    let wait = FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY);
    wait.mul_f64(0.75 + fastrand::f64() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_stays_away_longer_each_time_up_to_a_minute() {
        let within = |deliveries: u32, seconds: u64| {
            let (most, wait) = (Duration::from_secs(seconds), delay(deliveries));
            wait <= most && wait >= most * 3 / 4
        };
        assert!(within(0, 1) && within(1, 1) && within(2, 2) && within(4, 8));
        assert!(within(7, 60) && within(u32::MAX, 60));
    }
}
