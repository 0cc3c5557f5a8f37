//! Reads a part of the stream again: by a consumer of its own, which nobody acks and which goes away
//! with its reader. The instances' consumer is asked how far it is, and left alone.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subject, Subscriber};
use data_bridge_core::arena::Arena;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::units::{Position, RouteId};
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::api::{self, ApiError, Start};
use super::connect::{self, NatsError};
use super::gather::Sorter;
use super::losses::LostSequences;
use super::pull::{End, Taken, status_of};
use super::reply;
use super::routing::{Memo, Routing};
use super::watch;
use crate::config::{self, DeliverPolicy};

/// How long a pull waits at the server.
const EXPIRES: Duration = Duration::from_secs(2);
/// How often the server says that it still knows the pull.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A pull is dead when nothing comes for so long.
const QUIET: Duration = Duration::from_secs(3);
/// Without any message for so long, the stream cannot be read.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes of one pull at most.
const PULL_BYTES: u64 = 8 << 20;

/// The stream as the server and the consumer know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The stream.
    pub stream: String,
    /// Sequences that are retained.
    pub retained: Range<u64>,
    /// From where the bridge began to behind the last that was acked with all before it.
    pub moved: Range<u64>,
    /// Parts of it that were deleted before they were delivered.
    pub lost: Vec<LostSequences>,
}

/// Why there is nothing to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Stream or consumer are not there, or the server does not let us ask.
    #[error("{what}: {reason}")]
    Missing {
        /// The stream, or the consumer.
        what: String,
        /// Why.
        reason: String,
    },
    /// No server can be reached.
    #[error(transparent)]
    Nats(#[from] NatsError),
}

/// What came next: messages by route, in order within each; none for subjects that no route takes.
#[derive(Debug)]
pub enum Piece {
    /// Messages, and the sequence behind them.
    Messages(Vec<(Option<RouteId>, Arena)>, u64),
    /// The sequences are read to their end.
    End,
}

/// Reads sequences of the stream, in order.
#[derive(Debug)]
pub struct StreamReader {
    runtime: Handle,
    client: Client,
    config: config::Nats,
    routing: Arc<Routing>,
    sorter: Sorter,
    inbox: Subject,
    messages: Subscriber,
    sequences: Range<u64>,
    consumer: Option<Consumer>,
}

/// The consumer of a reader.
#[derive(Debug)]
struct Consumer {
    name: String,
    /// Deliveries so far: one that is left out shows that messages were lost on their way to us.
    delivered: u64,
}

impl StreamReader {
    /// Connects.
    ///
    /// # Errors
    /// When no server can be reached, or the settings make no client.
    pub fn connect(
        config: &config::Nats,
        catalog: Arc<Catalog>,
        runtime: &Handle,
    ) -> Result<Self, NatsError> {
        let routing = Routing::new(config, catalog)
            .map_err(|bad| NatsError::Client(format!("nats.subjects: {bad}")))?;
        let routing = Arc::new(routing);
        runtime.block_on(async {
            let client = connect::once(config).await?;
            let inbox = Subject::from(client.new_inbox());
            let messages = client.subscribe(inbox.clone()).await;
            let messages = messages.map_err(|error| NatsError::Client(error.to_string()))?;
            let sorter = Sorter::new(Memo::new(Arc::clone(&routing)));
            Ok(Self {
                runtime: runtime.clone(),
                client,
                config: config.clone(),
                routing,
                sorter,
                inbox,
                messages,
                sequences: 0..0,
                consumer: None,
            })
        })
    }

    /// What is retained, and what the instances' consumer has acked.
    ///
    /// # Errors
    /// When stream or consumer are not there.
    pub fn standing(&self) -> Result<Standing, StreamError> {
        let (name, consumer) = (&self.config.stream, &self.config.consumer);
        let of_stream = |error| missing(format!("JetStream stream {name}"), &error);
        self.runtime.block_on(async {
            let stream = api::stream(&self.client, name).await.map_err(of_stream)?;
            let info = api::consumer(&self.client, name, consumer).await.map_err(|error| {
                missing(format!("consumer {consumer} of JetStream stream {name}"), &error)
            })?;
            let began = match self.config.deliver_policy {
                DeliverPolicy::All => 1,
                DeliverPolicy::New => match info.created.parse::<jiff::Timestamp>() {
                    Ok(created) => {
                        self.first_from(created.as_millisecond()).await.map_err(of_stream)?
                    }
                    Err(_) => 1,
                },
            };
            let retained = stream.state.first_seq.max(1)..stream.state.last_seq + 1;
            let mut losses = watch::known(&info);
            // Also what is gone already and will be missed by the next pull.
            let next = info.delivered.stream_seq + 1..retained.start;
            if !next.is_empty() && !losses.covers(&next) {
                let messages = next.end - next.start;
                losses.add(LostSequences { sequences: next, messages });
            }
            let acked = info.ack_floor.stream_seq + 1;
            let moved = began.min(acked)..acked;
            Ok(Standing { stream: name.clone(), retained, moved, lost: losses.into_ranges() })
        })
    }

    /// The sequence of the first message that was stored at this time or later, in ms since 1970;
    /// behind the last when there is none.
    ///
    /// # Errors
    /// When the stream cannot be asked.
    pub fn sequence_from(&self, time_ms: i64) -> Result<u64, StreamError> {
        let name = &self.config.stream;
        let found = self.runtime.block_on(self.first_from(time_ms.max(0)));
        found.map_err(|error| missing(format!("JetStream stream {name}"), &error))
    }

    async fn first_from(&self, time_ms: i64) -> Result<u64, ApiError> {
        let stream = &self.config.stream;
        let reader = api::create_reader(&self.client, stream, Start::Time(time_ms)).await?;
        api::delete_consumer(&self.client, stream, &reader.name).await?;
        Ok(reader.delivered.stream_seq + 1)
    }

    /// Begins to read sequences; what was left of others is forgotten.
    pub fn open(&mut self, sequences: Range<u64>) {
        self.forget();
        self.sequences = sequences;
    }

    /// The next piece, at most so many messages; waits for it.
    ///
    /// # Errors
    /// When nothing can be read for 30 s.
    pub fn read(&mut self, most: usize) -> Result<Piece, StreamError> {
        let runtime = self.runtime.clone();
        let piece = runtime.block_on(self.read_now(most))?;
        if matches!(piece, Piece::End) {
            self.forget();
        }
        Ok(piece)
    }

    async fn read_now(&mut self, most: usize) -> Result<Piece, StreamError> {
        let name = self.config.stream.clone();
        let until = Instant::now() + SILENCE;
        let mut failed = ApiError::TimedOut;
        let mut limit = Some(PULL_BYTES);
        while !self.sequences.is_empty() {
            if Instant::now() > until {
                return Err(missing(format!("JetStream stream {name}"), &failed));
            }
            if self.consumer.is_none() {
                let start = Start::Sequence(self.sequences.start);
                match api::create_reader(&self.client, &name, start).await {
                    Ok(made) => {
                        self.consumer = Some(Consumer { name: made.name, delivered: 0 });
                    }
                    Err(ApiError::NoStream) => {
                        let what = format!("JetStream stream {name}");
                        return Err(missing(what, &ApiError::NoStream));
                    }
                    Err(error) => {
                        failed = error;
                        tokio::time::sleep(HEARTBEAT).await;
                        continue;
                    }
                }
            }
            let end = self.pull(most, limit).await;
            let mut pieces = Vec::new();
            let routes = self.routing.routes();
            self.sorter.flush(0, |arrival| {
                pieces.push((routes.get(usize::from(arrival.slot)).copied(), arrival.arena));
            });
            limit = Some(PULL_BYTES);
            match end {
                End::Over if pieces.is_empty() => self.end_if_nothing_waits().await?,
                End::Over => {}
                // It passes alone, whatever its size.
                End::TooLarge => limit = None,
                End::Dead | End::Reconnected | End::Refused | End::Gone | End::Closed => {
                    self.consumer = None;
                }
            }
            if !pieces.is_empty() {
                return Ok(Piece::Messages(pieces, self.sequences.start));
            }
        }
        Ok(Piece::End)
    }

    /// Asks for a batch and takes what comes; without a limit, for a single message.
    async fn pull(&mut self, most: usize, limit: Option<u64>) -> End {
        let Some(consumer) = &mut self.consumer else {
            return End::Gone;
        };
        let wanted = self.sequences.end - self.sequences.start;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(most.max(1));
        let batch = if limit.is_some() { wanted } else { 1 };
        let limit = limit.map(|bytes| format!(",\"max_bytes\":{bytes}")).unwrap_or_default();
        let body = format!(
            "{{\"batch\":{batch},\"expires\":{},\"idle_heartbeat\":{}{limit}}}",
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.config.stream, consumer.name);
        let inbox = self.inbox.clone();
        if self.client.publish_with_reply(subject, inbox, body.into()).await.is_err() {
            return End::Closed;
        }
        let mut left = batch;
        while left > 0 {
            let message = match timeout(QUIET, self.messages.next()).await {
                Err(_) => return End::Dead,
                Ok(None) => return End::Closed,
                Ok(Some(message)) => message,
            };
            if let Some(status) = message.status {
                let text = message.description.as_deref().unwrap_or_default();
                match status_of(status.as_u16(), text) {
                    Taken::End(End::TooLarge) if left < batch => return End::Over,
                    Taken::End(end) => return end,
                    Taken::Message | Taken::Heartbeat => continue,
                }
            }
            let Some(delivery) = delivery(&message, &self.config.stream, &consumer.name) else {
                continue;
            };
            if delivery.ordinal != consumer.delivered + 1 {
                return End::Dead;
            }
            consumer.delivered = delivery.ordinal;
            if delivery.sequence >= self.sequences.end {
                self.sequences.start = self.sequences.end;
                return End::Over;
            }
            self.sequences.start = delivery.sequence + 1;
            let position = Position(delivery.sequence);
            self.sorter.add(&message, position, delivery.time_ms, None);
            left -= 1;
        }
        End::Over
    }

    /// The rest of the sequences may have been deleted meanwhile: then nothing waits any more.
    async fn end_if_nothing_waits(&mut self) -> Result<(), StreamError> {
        let Some(Consumer { name, .. }) = &self.consumer else {
            return Ok(());
        };
        match api::consumer(&self.client, &self.config.stream, name).await {
            Ok(info) if info.num_pending == 0 => self.sequences.start = self.sequences.end,
            Ok(_) => {}
            Err(_) => self.consumer = None,
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.sequences = 0..0;
        if let Some(Consumer { name, .. }) = self.consumer.take() {
            let deleted = api::delete_consumer(&self.client, &self.config.stream, &name);
            // The server forgets it by itself, a little later.
            self.runtime.block_on(deleted).ok();
        }
    }
}

/// A message of this consumer, and not one that another still had under way.
fn delivery(message: &Message, stream: &str, consumer: &str) -> Option<reply::Delivery> {
    let reply = message.reply.as_ref()?.as_str();
    if !reply.contains(&format!(".{stream}.{consumer}.")) {
        return None;
    }
    reply::read(reply)
}

fn missing(what: String, error: &ApiError) -> StreamError {
    let hint = match error {
        ApiError::NoStream | ApiError::NoConsumer => ": `data-bridge init` creates it",
        ApiError::NoJetStream
        | ApiError::Refused { .. }
        | ApiError::TimedOut
        | ApiError::Unreadable(_) => "",
    };
    StreamError::Missing { what, reason: format!("{error}{hint}") }
}
