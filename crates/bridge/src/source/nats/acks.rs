//! Acks, signs of progress and naks, sent by one task in the order they were decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::connect::{ANSWER_TIMEOUT, Link};
use super::reply::Replies;
use crate::telemetry::pulse::{Pulse, freeze_task};

const ACK: &str = "+ACK";
const PROGRESS: &str = "+WPI";
const NAK: &str = "-NAK";

/// Messages that one command of the client tells of.
const RUN: usize = 256;

/// Messages that are acked with one confirmation, and
const SHARE: usize = 4_096;
/// such shares under way before the next is sent. Requests for more messages go by the same connection:
/// behind the acks of a whole batch, whose reading alone takes the server a tenth of a second and more,
/// they would come too late, and nothing would be delivered meanwhile.
const AHEAD: usize = 2;
/// For how long a batch of acks is held back for that.
const PACE: Duration = Duration::from_secs(1);
/// Confirmations that are waited for at once: enough for the batches of a second at full speed.
const CONFIRMING: usize = 64;
/// Times a batch is acked when its confirmation does not come. Then the server delivers it again.
const TRIES: u32 = 3;
/// Longest time that a job waits for confirmations.
pub(super) const LONGEST_JOB: Duration = ANSWER_TIMEOUT.saturating_mul(TRIES).saturating_add(PACE);
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
            let hurry = Instant::now() + PACE;
            for share in shares(chunks) {
                while confirming.len() >= AHEAD
                    && timeout_at(hurry, confirming.join_next()).await.is_ok()
                {}
                while confirming.len() >= CONFIRMING {
                    confirming.join_next().await;
                }
                send(client, &share, false).await;
                let messages = share.iter().map(|chunk| chunk.len() as u64).sum();
                counts.acked.fetch_add(messages, Ordering::Relaxed);
                confirming.spawn(confirm(client.clone(), share, Arc::clone(counts)));
            }
        }
        Job::Progress(chunk) => {
            tell(client, chunk.iter(), PROGRESS).await;
            counts.progress.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Job::GiveBack(chunk) => {
            tell(client, chunk.iter(), NAK).await;
            counts.given_back.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Job::GiveBackLater(chunk) => {
            let delay = delay(chunk.deliveries()).as_nanos();
            let nak = format!("-NAK {{\"delay\": {delay}}}");
            tell(client, chunk.iter(), &nak).await;
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

/// Chunks in groups of [`SHARE`] messages or somewhat more; the last has what is left.
fn shares(chunks: Vec<Arc<Replies>>) -> Vec<Vec<Arc<Replies>>> {
    let mut shares: Vec<Vec<_>> = Vec::new();
    let mut messages = 0;
    for chunk in chunks {
        let more = chunk.len();
        match shares.last_mut() {
            Some(share) if messages < SHARE => {
                share.push(chunk);
                messages += more;
            }
            _ => {
                shares.push(vec![chunk]);
                messages = more;
            }
        }
    }
    shares
}

/// Acks all messages, or all but the very last.
async fn send(client: &Client, chunks: &[Arc<Replies>], with_last: bool) {
    let count: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    let count = if with_last { count } else { count.saturating_sub(1) };
    tell(client, chunks.iter().flat_map(|chunk| chunk.iter()).take(count), ACK).await;
}

/// Acks the last message and waits for the answer: acks are handled in order, so what was sent
/// before has arrived too. Without an answer all are sent again: their connection may have died.
async fn confirm(client: Client, chunks: Vec<Arc<Replies>>, counts: Arc<Counts>) {
    let Some(last) = chunks.last().and_then(|chunk| chunk.iter().next_back()) else {
        return;
    };
    for attempt in 1..=TRIES {
        match client.request(last.to_owned(), ACK.into()).await {
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

/// Publishes a word to each subject.
async fn tell(client: &Client, subjects: impl Iterator<Item = &str>, word: &str) {
    let payload = Bytes::copy_from_slice(word.as_bytes());
    for run in runs(subjects, word) {
        // Fails only when the client has ended; then the server delivers again.
        if let Err(error) = client.publish(run, payload.clone()).await {
            debug!(%error, "cannot send an ack");
        }
    }
}

/// Subjects with which one command of the client publishes a word to many subjects: it writes
/// `PUB `, the subject as it is given, the length and the payload; so the subject of a run holds the
/// publishes before its last one. A command per message costs the client more than all the rest of
/// an ack. What is in a subject was checked when it was [read](super::reply::read).
fn runs<'r>(
    mut subjects: impl Iterator<Item = &'r str>,
    word: &str,
) -> impl Iterator<Item = String> {
    let between = format!(" {}\r\n{word}\r\nPUB ", word.len());
    let mut length = 0;
    std::iter::from_fn(move || {
        let first = subjects.next()?;
        let mut run = String::with_capacity(length);
        run.push_str(first);
        for subject in subjects.by_ref().take(RUN - 1) {
            run.push_str(&between);
            run.push_str(subject);
        }
        length = run.len();
        Some(run)
    })
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
    use super::super::reply::Gather;
    use super::*;

    #[test]
    fn a_run_is_written_as_a_publish_for_each_of_its_subjects() {
        let subjects: Vec<_> = (0..=2 * RUN).map(|number| format!("$JS.ACK.{number}")).collect();
        let nak = "-NAK {\"delay\": 5}";
        let runs: Vec<_> = runs(subjects.iter().map(String::as_str), nak).collect();
        assert_eq!(runs.len(), 3);
        let written = |subject: &String| format!("PUB {subject} {}\r\n{nak}\r\n", nak.len());
        let one_by_one: String = subjects.iter().map(written).collect();
        assert!(runs.iter().map(written).collect::<String>() == one_by_one, "{:?}", runs[2]);
    }

    #[test]
    fn a_batch_is_acked_in_shares_that_hold_every_chunk_once() {
        let chunk = |messages: usize| {
            let mut gather = Gather::default();
            (0..messages).for_each(|number| gather.push(&number.to_string(), 1));
            Arc::new(gather.take())
        };
        let lengths = |chunks: &[usize]| -> Vec<Vec<usize>> {
            let shares = shares(chunks.iter().map(|messages| chunk(*messages)).collect());
            shares.iter().map(|share| share.iter().map(|one| one.len()).collect()).collect()
        };
        assert_eq!(lengths(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(lengths(&[7]), [[7]]);
        assert_eq!(
            lengths(&[4_000, 90, 5, 1, 5_000, 5_000, 2]),
            [vec![4_000, 90, 5, 1], vec![5_000], vec![5_000], vec![2]]
        );
    }

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
