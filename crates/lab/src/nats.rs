//! Publishing a plan to a JetStream stream, or to core NATS.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, HeaderMap, Message as Answer, Subject, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::Runtime;

use crate::generate::{Generator, Message};
use crate::kafka::{Pace, Produced, Progress};
use crate::plan::{Kind, Plan};

/// Messages that may wait for the stream's answer.
const WINDOW: usize = 8_000;
/// Without an answer for so long, a message is published again: its server may have been killed.
const AGAIN: Duration = Duration::from_secs(2);
/// The longest that nothing at all is answered.
const PATIENCE: Duration = Duration::from_mins(1);

/// Something asked of NATS was not done.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// No server could be reached.
    #[error("cannot connect to NATS at {url}: {reason}")]
    Connect {
        /// The servers asked for.
        url: String,
        /// Why.
        reason: String,
    },
    /// A message could not be sent.
    #[error("cannot publish message {number}: {reason}")]
    Publish {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// The stream did not take a message.
    #[error("message {number} was not stored: {reason}")]
    NotStored {
        /// Its number.
        number: u64,
        /// The server's words.
        reason: String,
    },
    /// Nothing was answered for too long.
    #[error("{open} messages were not confirmed in {PATIENCE:?}")]
    Silent {
        /// How many.
        open: usize,
    },
    /// The runtime could not be made.
    #[error("cannot start a runtime")]
    Runtime(#[from] std::io::Error),
}

/// How a message is made sure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assurance {
    /// Each is confirmed by a stream; what is not is published again, under a message id by which
    /// the server knows it.
    Once,
    /// Each is confirmed by a stream. Cheaper for everyone: no header.
    Confirmed,
    /// Core NATS: nobody confirms anything.
    None,
}

/// Publishes messages of plans.
pub struct Publisher {
    runtime: Runtime,
    client: Client,
    inbox: String,
    answers: Subscriber,
    assurance: Assurance,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// Messages whose answer has not come.
type Open = BTreeMap<u64, Instant>;

impl Publisher {
    /// A publisher for the servers of `url`, commas between several.
    ///
    /// # Errors
    /// When none lets us in.
    pub fn connect(url: &str, assurance: Assurance) -> Result<Self, NatsError> {
        Self::connect_with(url, ConnectOptions::new(), assurance)
    }

    /// The same with credentials.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_with(
        url: &str,
        options: ConnectOptions,
        assurance: Assurance,
    ) -> Result<Self, NatsError> {
        let failed = |error: &dyn std::error::Error| NatsError::Connect {
            url: url.to_owned(),
            reason: error.to_string(),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let servers: Vec<_> = url.split(',').map(str::to_owned).collect();
        let (client, inbox, answers) = runtime.block_on(async {
            let options = options.subscription_capacity(4 * WINDOW);
            let client = options.connect(servers).await.map_err(|error| failed(&error))?;
            let inbox = client.new_inbox();
            let answers =
                client.subscribe(format!("{inbox}.*")).await.map_err(|error| failed(&error))?;
            Ok::<_, NatsError>((client, inbox, answers))
        })?;
        Ok(Self { runtime, client, inbox, answers, assurance })
    }

    /// Publishes the messages of these numbers and waits until all are confirmed. Blocks: call it
    /// on a thread of its own. `progress` is called about each tenth of a second.
    ///
    /// # Errors
    /// When a message cannot be sent or is not stored.
    pub fn publish(
        &mut self,
        generator: &Generator,
        numbers: Range<u64>,
        pace: Pace,
        mut progress: impl FnMut(Progress),
    ) -> Result<Produced, NatsError> {
        let Self { runtime, client, inbox, answers, assurance } = self;
        let mut run = Run { client, inbox, assurance: *assurance, generator, open: Open::new() };
        let start = Instant::now();
        let (mut sent, mut bytes, mut reported) = (0_u64, 0_u64, start);
        let mut message = Message::default();
        runtime.block_on(async {
            for number in numbers {
                if let Pace::PerSecond(rate) = pace {
                    hold(sent, rate, start).await;
                }
                bytes += run.send(number, &mut message).await?;
                sent += 1;
                while let Some(Some(answer)) = answers.next().now_or_never() {
                    run.take(&answer)?;
                }
                while run.open.len() >= WINDOW {
                    run.wait(answers, &mut message).await?;
                }
                if reported.elapsed() >= Duration::from_millis(100) {
                    reported = Instant::now();
                    run.again(&mut message).await?;
                    let delivered = sent - run.open.len() as u64;
                    progress(Progress { sent, delivered, elapsed: start.elapsed() });
                }
            }
            while !run.open.is_empty() {
                run.wait(answers, &mut message).await?;
            }
            run.client
                .flush()
                .await
                .map_err(|error| NatsError::Publish { number: sent, reason: error.to_string() })?;
            progress(Progress { sent, delivered: sent, elapsed: start.elapsed() });
            Ok(Produced { messages: sent, bytes, elapsed: start.elapsed() })
        })
    }

    /// Publishes one message that is not of a plan; waits until it is stored.
    ///
    /// # Errors
    /// When it is not.
    pub fn publish_one(
        &mut self,
        subject: &str,
        payload: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<(), NatsError> {
        let failed = |reason: String| NatsError::NotStored { number: 0, reason };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let (client, assurance) = (self.client.clone(), self.assurance);
        let payload = payload.to_vec();
        self.runtime.block_on(async move {
            if assurance == Assurance::None {
                let sent = client.publish_with_headers(subject.to_owned(), map, payload.into());
                sent.await.map_err(|error| failed(error.to_string()))?;
                return client.flush().await.map_err(|error| failed(error.to_string()));
            }
            let asked = client.request_with_headers(subject.to_owned(), map, payload.into());
            let answer = asked.await.map_err(|error| failed(error.to_string()))?;
            refusal(&answer).map_or(Ok(()), |reason| Err(failed(reason)))
        })
    }
}

/// One run of [`Publisher::publish`].
struct Run<'a> {
    client: &'a Client,
    inbox: &'a str,
    assurance: Assurance,
    generator: &'a Generator,
    open: Open,
}

impl Run<'_> {
    async fn send(&mut self, number: u64, message: &mut Message) -> Result<u64, NatsError> {
        let plan = self.generator.plan();
        self.generator.message(number, message);
        let payload = message.payload().unwrap_or_default().to_vec();
        let bytes = payload.len() as u64;
        let subject = Subject::from(subject(plan, message));
        let mut headers = HeaderMap::new();
        for (name, value) in &message.headers {
            headers.append(*name, value.as_str());
        }
        if self.assurance == Assurance::Once {
            let id = format!("{}{}-{number}", plan.topic_prefix, plan.seed);
            headers.append("Nats-Msg-Id", id);
        }
        let sent = if self.assurance == Assurance::None {
            self.client.publish_with_headers(subject, headers, payload.into()).await
        } else {
            self.open.insert(number, Instant::now());
            let reply = format!("{}.{number}", self.inbox);
            if headers.is_empty() {
                self.client.publish_with_reply(subject, reply, payload.into()).await
            } else {
                self.client
                    .publish_with_reply_and_headers(subject, reply, headers, payload.into())
                    .await
            }
        };
        sent.map_err(|error| NatsError::Publish { number, reason: error.to_string() })?;
        Ok(bytes)
    }

    fn take(&mut self, answer: &Answer) -> Result<(), NatsError> {
        let number = answer.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let Some(number) = number else {
            return Ok(());
        };
        // Nobody stores it at the moment: published again below.
        let is_away = answer.status.is_some();
        if is_away && self.assurance == Assurance::Once {
            return Ok(());
        }
        self.open.remove(&number);
        let reason =
            if is_away { Some("no stream takes its subject".to_owned()) } else { refusal(answer) };
        reason.map_or(Ok(()), |reason| Err(NatsError::NotStored { number, reason }))
    }

    /// Publishes again what has no answer for too long. The server knows it by its id for two minutes.
    async fn again(&mut self, message: &mut Message) -> Result<(), NatsError> {
        if self.assurance == Assurance::Once {
            let late = self.open.iter().filter(|(_, sent)| sent.elapsed() >= AGAIN);
            let late: Vec<_> = late.map(|(number, _)| *number).collect();
            for number in late {
                self.send(number, message).await?;
            }
        }
        Ok(())
    }

    /// Waits for an answer; publishes again what has none for too long.
    async fn wait(
        &mut self,
        answers: &mut Subscriber,
        message: &mut Message,
    ) -> Result<(), NatsError> {
        let silent_since = Instant::now();
        loop {
            if let Ok(answer) = tokio::time::timeout(AGAIN, answers.next()).await {
                let open = self.open.len();
                let Some(answer) = answer else {
                    return Err(NatsError::Silent { open });
                };
                self.take(&answer)?;
                if self.open.len() < open {
                    return Ok(());
                }
            }
            self.again(message).await?;
            if silent_since.elapsed() > PATIENCE {
                return Err(NatsError::Silent { open: self.open.len() });
            }
        }
    }
}

/// The subject of a message.
fn subject(plan: &Plan, message: &Message) -> String {
    let prefix = &plan.topic_prefix;
    match message.kind {
        Kind::Tick => format!("{prefix}market.{}.tick", token(&message.key)),
        Kind::Candle => format!("{prefix}market.{}.1m", token(&message.key)),
        Kind::EconomicCalendar
        | Kind::FredEconomic
        | Kind::CryptoSentiment
        | Kind::FearGreedIndex
        | Kind::CommodityPrices
        | Kind::MarketSessions => format!("{prefix}{}", message.kind.topic()),
    }
}

/// A key as a word of a subject.
fn token(key: &[u8]) -> String {
    let word = |byte: &u8| {
        let byte = char::from(*byte);
        if byte.is_ascii_alphanumeric() || "/_-".contains(byte) { byte } else { '_' }
    };
    if key.is_empty() { "none".to_owned() } else { key.iter().map(word).collect() }
}

/// Why the server did not store a message; none when it did.
fn refusal(answer: &Answer) -> Option<String> {
    if answer.status.is_some() {
        return Some("no stream takes its subject".to_owned());
    }
    let page: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
    let error = page.get("error")?;
    Some(error["description"].as_str().unwrap_or("no reason given").to_owned())
}

async fn hold(sent: u64, rate: f64, start: Instant) {
    #[expect(clippy::cast_precision_loss, reason = "message numbers fit 53 bits")]
    let due = Duration::from_secs_f64(sent as f64 / rate.max(1e-3));
    if let Some(wait) = due.checked_sub(start.elapsed())
        && wait > Duration::from_millis(1)
    {
        tokio::time::sleep(wait).await;
    }
}
