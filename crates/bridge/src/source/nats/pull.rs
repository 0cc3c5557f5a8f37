//! One of several pull loops: asks for a batch, gathers what comes, notices when nothing does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Client, Message, Subject, Subscriber};
use data_bridge_core::units::Position;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};

use super::acks::Job;
use super::gather::Sorter;
use super::reply::{self, Gather};
use super::routing::Memo;
use super::shared::{Gate, Shared};
use crate::telemetry::pulse::{Pulse, freeze_task};

/// How long a pull waits at the server for messages. A stop waits for it: a pull cannot be taken
/// back, and what the server sends to a subscription that has just ended is nobody's until
/// `nats.ack_wait_ms` has passed.
const EXPIRES: Duration = Duration::from_secs(1);
/// How often the server says that it still knows the pull; it takes half of the above at most.
const HEARTBEAT: Duration = Duration::from_millis(400);
/// A pull is dead when nothing comes for so long, neither a heartbeat nor its end.
pub(super) const SILENCE: Duration = Duration::from_millis(2_300);
/// Wait after a refusal; with jitter, since all instances are refused at once.
const REFUSED_WAIT: Duration = Duration::from_millis(500);
/// How long messages may still come after the end of the subscription was sent.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// How much one pull asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) messages: usize,
    pub(super) bytes: u64,
}

/// One pull loop.
#[derive(Debug)]
pub(super) struct Puller {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) batch: Batch,
    /// Where pulls are sent to.
    pub(super) subject: Subject,
    pub(super) pulse: Pulse,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All came, or the server says that no more comes.
    Over,
    /// Its next message is larger than the bytes asked for.
    TooLarge,
    /// Nothing was heard of it for too long.
    Dead,
    /// It went down with its connection.
    Reconnected,
    /// The server does not serve it now.
    Refused,
    /// The consumer is gone.
    Gone,
    /// The client has ended.
    Closed,
}

impl Puller {
    /// Pulls until the instance stops; then takes what the pull under way still brings, and gives
    /// back what comes after it.
    pub(super) async fn run(self) {
        let inbox = Subject::from(self.client.new_inbox());
        let mut messages = match self.client.subscribe(inbox.clone()).await {
            Ok(messages) => messages,
            Err(error) => {
                debug!(%error, "the client ended before it began");
                return;
            }
        };
        let mut gate = self.shared.gate.subscribe();
        let mut sorter = Sorter::new(Memo::new(Arc::clone(&self.shared.routing)));
        let mut batch = self.batch;
        loop {
            freeze_task("pulls").await;
            let open = self.wait_open(&mut messages, &mut gate, &mut sorter);
            let Some(connects) = self.pulse.rest(open).await else {
                break;
            };
            self.pulse.rest(self.shared.mailbox.has_room()).await;
            let is_away = || !self.shared.link.state().connected;
            self.pulse.rest_while(is_away, self.ask(&inbox, batch)).await;
            let end = self.collect(&mut messages, &mut gate, connects, batch, &mut sorter).await;
            batch = self.batch;
            match end {
                End::Over | End::Reconnected => {}
                // It passes alone, whatever its size.
                End::TooLarge => batch = Batch { messages: 1, bytes: 0 },
                End::Dead => info!("a pull of NATS died and is asked again"),
                End::Refused => sleep(REFUSED_WAIT.mul_f64(0.5 + fastrand::f64())).await,
                End::Gone => {
                    self.shared.set_gate(|gate| gate.ready = false);
                    self.shared.look.notify_one();
                }
                End::Closed => break,
            }
        }
        self.give_back_rest(messages).await;
    }

    /// Waits until messages are wanted; what an earlier pull still brings is taken meanwhile. The
    /// connection's number; none when the instance stops.
    async fn wait_open(
        &self,
        messages: &mut Subscriber,
        gate: &mut watch::Receiver<Gate>,
        sorter: &mut Sorter,
    ) -> Option<u64> {
        loop {
            let now = *gate.borrow_and_update();
            if now.stopping {
                return None;
            }
            if now.is_open() {
                return Some(now.connects);
            }
            tokio::select! {
                changed = gate.changed() => changed.ok()?,
                message = messages.next() => {
                    // An end of a pull that nobody waits for says nothing.
                    if let Taken::Message = self.take(&message?, sorter) {
                        self.hand_over(self.shared.epoch(), sorter);
                    }
                }
            }
        }
    }

    async fn ask(&self, inbox: &Subject, batch: Batch) {
        let Batch { messages, bytes } = batch;
        let (expires, heartbeat) = (EXPIRES.as_nanos(), HEARTBEAT.as_nanos());
        let limit = if bytes > 0 { format!(",\"max_bytes\":{bytes}") } else { String::new() };
        let body = format!(
            "{{\"batch\":{messages},\"expires\":{expires},\"idle_heartbeat\":{heartbeat}{limit}}}"
        );
        let asked =
            self.client.publish_with_reply(self.subject.clone(), inbox.clone(), body.into());
        if let Err(error) = asked.await {
            debug!(%error, "cannot pull");
        }
    }

    /// Takes what comes until the pull has ended.
    async fn collect(
        &self,
        messages: &mut Subscriber,
        gate: &mut watch::Receiver<Gate>,
        connects: u64,
        batch: Batch,
        sorter: &mut Sorter,
    ) -> End {
        let epoch = self.shared.epoch();
        let mut left = batch.messages;
        let mut came = None;
        loop {
            // Without tokio's own budget, which would end the loop after 128 messages.
            while let Some(message) =
                came.take().or_else(|| unconstrained(messages.next()).now_or_never())
            {
                let Some(message) = message else {
                    return End::Closed;
                };
                match self.take(&message, sorter) {
                    Taken::Message => {
                        left = left.saturating_sub(1);
                        if sorter.is_full() {
                            self.hand_over(epoch, sorter);
                        }
                        if left == 0 {
                            self.hand_over(epoch, sorter);
                            return End::Over;
                        }
                    }
                    Taken::Heartbeat => {}
                    Taken::End(end) => {
                        self.hand_over(epoch, sorter);
                        let some = left < batch.messages;
                        return if end == End::TooLarge && some { End::Over } else { end };
                    }
                }
            }
            self.hand_over(epoch, sorter);
            self.pulse.turn();
            let stopping = gate.borrow().stopping;
            let deadline = Instant::now() + if stopping { EXPIRES } else { SILENCE };
            tokio::select! {
                changed = gate.changed() => {
                    let now = *gate.borrow_and_update();
                    if changed.is_err() {
                        return End::Closed;
                    }
                    if now.connects != connects {
                        return End::Reconnected;
                    }
                    if !now.ready {
                        return End::Over;
                    }
                }
                next = messages.next() => came = Some(next),
                () = sleep_until(deadline) => return End::Dead,
            }
        }
    }

    fn hand_over(&self, epoch: u32, sorter: &mut Sorter) {
        self.shared.brought(epoch, sorter.highest().0);
        sorter.flush(epoch, |arrival| self.shared.mailbox.put(arrival));
    }

    fn take(&self, message: &Message, sorter: &mut Sorter) -> Taken {
        if let Some(status) = message.status {
            return status_of(status.as_u16(), message.description.as_deref().unwrap_or_default());
        }
        let Some(reply) = message.reply.as_ref().map(Subject::as_str) else {
            return Taken::Heartbeat;
        };
        let Some(delivery) = reply::read(reply) else {
            debug!(reply, "not a message of JetStream");
            return Taken::Heartbeat;
        };
        if delivery.deliveries > 1 {
            self.shared.counts.redelivered.fetch_add(1, Ordering::Relaxed);
        }
        let position = Position(delivery.sequence);
        sorter.add(message, position, delivery.time_ms, Some((reply, delivery.deliveries)));
        Taken::Message
    }

    /// What is on its way when the instance stops goes to others at once.
    async fn give_back_rest(&self, mut messages: Subscriber) {
        if messages.drain().await.is_err() {
            return;
        }
        let mut rest = Gather::default();
        let until = Instant::now() + DRAIN_LIMIT;
        while let Ok(Some(message)) =
            timeout(until.saturating_duration_since(Instant::now()), messages.next()).await
        {
            let reply = message.reply.as_ref().filter(|_| message.status.is_none());
            if let Some(reply) = reply {
                rest.push(reply.as_str(), 1);
            }
        }
        let rest = rest.take();
        if !rest.is_empty() && self.jobs.send(Job::GiveBack(Arc::new(rest))).await.is_err() {
            debug!("the acks have ended before the pulls");
        }
    }
}

/// What came.
pub(super) enum Taken {
    Message,
    /// Nothing but a sign of life.
    Heartbeat,
    End(End),
}

/// What a status says of the pull (ADR-13 of NATS).
pub(super) fn status_of(status: u16, description: &str) -> Taken {
    let description = description.to_ascii_lowercase();
    Taken::End(match status {
        100 => return Taken::Heartbeat,
        // Says after the last message that it was the last: may come when the next pull is asked.
        409 if description.contains("batch completed") => return Taken::Heartbeat,
        // Nothing came, or not all that was asked for.
        404 | 408 => End::Over,
        409 if description.contains("maxbytes") || description.contains("max bytes") => {
            End::TooLarge
        }
        409 if description.contains("consumer deleted") || description.contains("push based") => {
            End::Gone
        }
        409 if description.contains("leadership") || description.contains("shutdown") => {
            End::Refused
        }
        503 => End::Gone,
        _ => End::Refused,
    })
}
