//! Numbered ticks under one symbol, produced beside everything else that happens.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use data_bridge_lab::kafka::serve;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use crate::config::Kafka;

/// How long the last messages may take to be acknowledged.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// Time between two looks at a queue that is full, or at a pace that is ahead.
const POLL: Duration = Duration::from_millis(1);

/// Messages could not be produced.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// `kafka.properties` are refused, or a message is.
    #[error("cannot produce to {topic}")]
    Client {
        /// The topic.
        topic: String,
        /// What the client says.
        #[source]
        cause: KafkaError,
    },
    /// The broker did not take all.
    #[error("{missing} messages to {topic} were not acknowledged: {why}")]
    NotTaken {
        /// The topic.
        topic: String,
        /// How many.
        missing: u64,
        /// What is known.
        why: String,
    },
}

/// Where messages go, and what they say.
#[derive(Clone, Debug)]
pub(super) struct Ticks {
    pub(super) kafka: Kafka,
    pub(super) topic: String,
    pub(super) partitions: i32,
    pub(super) symbol: String,
    /// `event-id` of message 0.
    pub(super) first_id: u64,
    /// Time of message 0, ms since 1970; message n is n ms/16 later.
    pub(super) time_ms: i64,
}

/// How much is known to be in Kafka.
#[derive(Debug, Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.delivered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread that produces.
#[derive(Debug)]
pub(super) struct Producing {
    thread: JoinHandle<Result<u64, ProduceError>>,
    stop: Arc<AtomicBool>,
}

impl Producing {
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it, and says how many messages Kafka has: all that were sent.
    pub(super) fn end(self) -> Result<u64, ProduceError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Ticks {
    /// Produces these messages, `per_second` of them or as fast as it goes, until it is ended.
    pub(super) fn produce(
        &self,
        numbers: Range<u64>,
        per_second: Option<f64>,
    ) -> Result<Producing, ProduceError> {
        let mut client = ClientConfig::new();
        for (name, value) in &self.kafka.properties {
            client.set(name, value.expose());
        }
        client
            .set("bootstrap.servers", &self.kafka.brokers)
            .set("client.id", "data-bridge-validate")
            .set("acks", "all")
            // A request takes one partition's batch: with 2 ms instead, 50,000 msg/s over six
            // partitions were 3,000 requests a second, and the broker took more than half a core.
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "200000");
        let refused = |cause| ProduceError::Client { topic: self.topic.clone(), cause };
        let client: BaseProducer<Deliveries> =
            client.create_with_context(Deliveries::default()).map_err(refused)?;
        let (ticks, stop) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("validate-ticks".to_owned())
            .spawn(move || ticks.send(&client, numbers, per_second, &stopped))
            .map_err(|error| ProduceError::NotTaken {
                topic: self.topic.clone(),
                missing: 0,
                why: format!("no thread: {error}"),
            })?;
        Ok(Producing { thread, stop })
    }

    fn send(
        &self,
        client: &BaseProducer<Deliveries>,
        numbers: Range<u64>,
        per_second: Option<f64>,
        stop: &AtomicBool,
    ) -> Result<u64, ProduceError> {
        let (began, first) = (Instant::now(), numbers.start);
        let mut sent = 0;
        'all: for number in numbers {
            while ahead(per_second, number - first, began) {
                if stop.load(Ordering::Relaxed) {
                    break 'all;
                }
                serve(client, POLL);
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.send_one(client, number)?;
            sent += 1;
            if sent % 512 == 0 {
                client.poll(Duration::ZERO);
            }
        }
        let flushed = client.flush(FLUSH_LIMIT);
        let deliveries = client.context();
        let delivered = deliveries.delivered.load(Ordering::Relaxed);
        if delivered == sent {
            return Ok(sent);
        }
        let why = flushed.err().map_or_else(|| "refused".to_owned(), |error| error.to_string());
        let (topic, missing) = (self.topic.clone(), sent - delivered);
        Err(ProduceError::NotTaken { topic, missing, why })
    }

    fn send_one(&self, client: &BaseProducer<Deliveries>, number: u64) -> Result<(), ProduceError> {
        let id = (self.first_id + number).to_string();
        let header = Header { key: "event-id", value: Some(&id) };
        let payload = self.payload(number);
        let count = u64::try_from(self.partitions).unwrap_or(1).max(1);
        let partition = i32::try_from(number % count).unwrap_or(0);
        let mut record = BaseRecord::to(&self.topic)
            .partition(partition)
            .key(&self.symbol)
            .payload(&payload)
            .headers(OwnedHeaders::new().insert(header));
        loop {
            match client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    serve(client, POLL);
                }
                Err((cause, _)) => {
                    return Err(ProduceError::Client { topic: self.topic.clone(), cause });
                }
            }
        }
    }

    fn payload(&self, number: u64) -> String {
        let time = self.time_ms + i64::try_from(number / 16).unwrap_or(0);
        let price = 1_000_000 + number % 90_000;
        format!(
            r#"{{"symbol":"{}","bid":{}.{:06},"ask":{}.{:06},"timestamp_ms":{time},"source":"data-bridge-validate","event_type":"quote"}}"#,
            self.symbol,
            price / 1_000_000,
            price % 1_000_000,
            (price + 20) / 1_000_000,
            (price + 20) % 1_000_000,
        )
    }
}

/// Whether message `sent` is not due yet.
#[expect(clippy::cast_precision_loss, reason = "a pace has no use for 53 bits")]
fn ahead(per_second: Option<f64>, sent: u64, began: Instant) -> bool {
    per_second.is_some_and(|rate| sent as f64 / rate > began.elapsed().as_secs_f64())
}
