//! Messages of a plan to their topics, at a pace.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use super::{KafkaError, PATIENCE};
use crate::generate::{Generator, Message};
use crate::plan::Kind;

/// Acknowledgements are served by so many calls at least; each takes those of one request.
const SERVED: u32 = 4;

/// Waits, and serves acknowledgements. Not by the client's own wait: what is less than a millisecond of
/// it is spent spinning (`rdkafka` 0.39, `BaseProducer::poll`), which is half a core at a thousand waits a
/// second.
pub fn serve<C: ProducerContext>(client: &BaseProducer<C>, wait: Duration) {
    for _ in 0..SERVED {
        client.poll(Duration::ZERO);
    }
    std::thread::park_timeout(wait);
}

/// How fast to produce.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the broker takes it.
    Full,
    /// Messages per second, evenly.
    PerSecond(f64),
}

/// How far producing is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Messages handed to the client.
    pub sent: u64,
    /// Messages the broker has acknowledged.
    pub delivered: u64,
    /// Since the first message.
    pub elapsed: Duration,
}

/// What was produced.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    /// Messages, all acknowledged.
    pub messages: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// From the first message to the last acknowledgement.
    pub elapsed: Duration,
}

/// Sends messages of plans, acknowledged by all replicas, in order within a partition.
pub struct Producer {
    client: BaseProducer<Deliveries>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<(u64, String)>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let mut first = self.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| (number as u64, error.to_string()));
            }
        }
    }
}

impl Producer {
    /// A producer for these brokers; does not wait for them.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn connect(brokers: &str) -> Result<Self, KafkaError> {
        let client = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("compression.type", "lz4")
            .set("acks", "all")
            // Keeps the order of a partition over retries: the order of corrections is verified.
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.size", "262144")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072")
            // Room for messages that brokers with usual limits refuse.
            .set("message.max.bytes", "33554432")
            .create_with_context(Deliveries::default())
            .map_err(|source| KafkaError::Client { brokers: brokers.to_owned(), source })?;
        Ok(Self { client })
    }

    /// Produces the messages of these numbers and waits until all are acknowledged. Blocks: call
    /// it on a thread of its own. `progress` is called about each tenth of a second.
    ///
    /// # Errors
    /// When a message cannot be sent or is not acknowledged.
    pub fn produce(
        &self,
        generator: &Generator,
        numbers: Range<u64>,
        pace: Pace,
        mut progress: impl FnMut(Progress),
    ) -> Result<Produced, KafkaError> {
        let topics = Kind::ALL.map(|kind| generator.plan().topic(kind));
        let start = Instant::now();
        let before = self.client.context().delivered.load(Ordering::Relaxed);
        let state = |sent| Progress {
            sent,
            delivered: self.client.context().delivered.load(Ordering::Relaxed) - before,
            elapsed: start.elapsed(),
        };
        let mut message = Message::default();
        let (mut sent, mut bytes) = (0, 0);
        let mut reported = start;
        for number in numbers {
            if let Pace::PerSecond(rate) = pace {
                self.hold(sent, rate, start);
            }
            generator.message(number, &mut message);
            self.send(&topics[message.kind.index()], &message)?;
            sent += 1;
            bytes += message.payload().map_or(0, <[u8]>::len) as u64;
            if sent % 256 == 0 {
                self.client.poll(Duration::ZERO);
                self.fail_if_refused()?;
                if reported.elapsed() >= Duration::from_millis(100) {
                    reported = Instant::now();
                    progress(state(sent));
                }
            }
        }
        while self.client.in_flight_count() > 0 {
            self.client.poll(Duration::from_millis(50));
            self.fail_if_refused()?;
            progress(state(sent));
        }
        self.client.poll(Duration::ZERO);
        self.fail_if_refused()?;
        progress(state(sent));
        Ok(Produced { messages: sent, bytes, elapsed: start.elapsed() })
    }

    /// Sends one record that is not of a plan and waits for its acknowledgement.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub fn produce_one(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<(), KafkaError> {
        let mut record = BaseRecord::with_opaque_to(topic, 0).partition(partition);
        record.key = key;
        record.payload = payload;
        self.client.send(record).map_err(|(source, _)| KafkaError::Send {
            number: 0,
            topic: topic.to_owned(),
            source,
        })?;
        self.client.flush(PATIENCE).map_err(|source| KafkaError::Send {
            number: 0,
            topic: topic.to_owned(),
            source,
        })?;
        self.fail_if_refused()
    }

    /// Waits until message `sent` is due, serving acknowledgements meanwhile: at `rate` messages per
    /// second since `start`.
    pub fn hold(&self, sent: u64, rate: f64, start: Instant) {
        #[expect(clippy::cast_precision_loss, reason = "message numbers fit 53 bits")]
        let due = Duration::from_secs_f64(sent as f64 / rate.max(1e-3));
        while let Some(wait) = due.checked_sub(start.elapsed())
            && wait > Duration::from_micros(500)
        {
            serve(&self.client, wait.min(Duration::from_millis(100)));
        }
    }

    fn send(&self, topic: &str, message: &Message) -> Result<(), KafkaError> {
        let number = usize::try_from(message.number).expect("message numbers fit 32 bits");
        let mut record = BaseRecord::with_opaque_to(topic, number)
            .partition(message.partition)
            .key(message.key.as_slice());
        record.payload = message.payload();
        record.timestamp = message.time_ms;
        if !message.headers.is_empty() {
            let headers =
                message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                });
            record = record.headers(headers);
        }
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    serve(&self.client, Duration::from_millis(2));
                    self.fail_if_refused()?;
                }
                Err((source, _)) => {
                    let topic = topic.to_owned();
                    return Err(KafkaError::Send { number: message.number, topic, source });
                }
            }
        }
    }

    fn fail_if_refused(&self) -> Result<(), KafkaError> {
        let deliveries = self.client.context();
        let failed = deliveries.failed.load(Ordering::Relaxed);
        if failed == 0 {
            return Ok(());
        }
        let first = deliveries.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, reason) = first.clone().unwrap_or_default();
        Err(KafkaError::NotDelivered { failed, number, reason })
    }
}
