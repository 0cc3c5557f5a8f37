//! What the bridge is told: one file, the environment, a few flags; checked once.
//!
//! A [`Config`] exists only when everything in it is sound, so no code asks again. Durations end in
//! `_ms` or `_s` in the file and are [`Duration`](std::time::Duration)s here; sizes are bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

pub mod clickhouse;
pub mod environment;
pub mod kafka;
pub mod limits;
pub mod nats;
pub mod route;
pub mod secret;
pub mod service;

pub use clickhouse::{ClickHouse, Compression};
pub use environment::Environment;
pub use kafka::{Assignor, GroupProtocol, Kafka, KafkaInit, OffsetReset};
pub use limits::{Backpressure, Batch, DeadLetters, Readiness, Retry, Shutdown};
pub use nats::{DeliverPolicy, Nats, NatsAuth, NatsInit, NatsMode, SubjectRoute, Tls};
pub use route::{ColumnRule, ExcessDigits, RouteConfig, TimeBound, TimeRange, TimeUnit};
pub use secret::Secret;
pub use service::{Autoscale, Http, Hub, Instance, Log, LogFormat};

/// The checked configuration of one instance. Field names are the file's keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which instance this is.
    pub instance: Instance,
    /// The Kafka side.
    pub kafka: Kafka,
    /// The NATS side.
    pub nats: Nats,
    /// The ClickHouse side.
    pub clickhouse: ClickHouse,
    /// When a batch closes.
    pub batch: Batch,
    /// How much may be fetched and not yet durable.
    pub backpressure: Backpressure,
    /// Pauses between attempts.
    pub retry: Retry,
    /// When dead letters are a flood.
    pub dead_letters: DeadLetters,
    /// When an instance is not ready.
    pub readiness: Readiness,
    /// How an instance stops.
    pub shutdown: Shutdown,
    /// The instance's own HTTP.
    pub http: Http,
    /// The hub that the instance reports to.
    pub hub: Hub,
    /// When a fleet grows and shrinks.
    pub autoscale: Autoscale,
    /// The user's own routes, by name.
    pub routes: Vec<RouteConfig>,
    /// What is logged.
    pub log: Log,
}

impl Config {
    /// The defaults alone: no file, and of the environment only the host's name.
    #[must_use]
    pub fn from_defaults(environment: &Environment) -> Self {
        let second = Duration::from_secs(1);
        Self {
            instance: Instance {
                id: environment.host_name.clone(),
                number: 1,
            },
            kafka: Kafka {
                enabled: true,
                brokers: "localhost:9092".into(),
                group_id: "data-bridge-group".into(),
                group_protocol: GroupProtocol::Classic,
                assignor: Assignor::Range,
                static_membership: false,
                auto_offset_reset: OffsetReset::Latest,
                session_timeout: 8 * second,
                heartbeat_interval: second,
                max_poll_interval: 300 * second,
                revoke: second,
                topics: BTreeMap::from([
                    ("tick_archive".into(), "ticks".into()),
                    ("aggregate_archive".into(), "aggregates".into()),
                ]),
                properties: BTreeMap::new(),
                init: KafkaInit {
                    partitions: 6,
                    replication: -1,
                },
                fetch_min_bytes: None,
                fetch_max_wait: None,
            },
            nats: Nats {
                enabled: true,
                cluster_urls: vec!["nats://localhost:4222".into()],
                mode: NatsMode::JetStream,
                stream: "MARKET".into(),
                consumer: "data-bridge".into(),
                queue_group: "data-bridge-group".into(),
                ack_wait: 10 * second,
                max_ack_pending: NonZeroU32::MIN.saturating_add(199_999),
                deliver_policy: DeliverPolicy::All,
                msg_id_is_event_id: false,
                auth: NatsAuth::default(),
                tls: Tls::default(),
                init: NatsInit {
                    create: true,
                    replicas: 1,
                    max_age: 604_800 * second,
                    max_bytes: None,
                },
                subjects: BTreeMap::new(),
            },
            clickhouse: ClickHouse {
                urls: vec!["http://localhost:8123".into()],
                user: "default".into(),
                password: Secret::default(),
                database: "market".into(),
                compression: Compression::None,
                insert_timeout: 30 * second,
                tls: Tls::default(),
            },
            batch: Batch {
                max_rows: NonZeroU32::MIN.saturating_add(999_999),
                max_bytes: NonZeroU64::MIN.saturating_add((64 << 20) - 1),
                max_age: Duration::from_millis(30),
                inserts_per_second: NonZeroU32::MIN.saturating_add(59),
            },
            backpressure: Backpressure {
                max_rows: NonZeroU64::MIN.saturating_add(999_999),
                max_bytes: NonZeroU64::MIN.saturating_add((256 << 20) - 1),
                pause_at: 0.8,
                resume_at: 0.4,
            },
            retry: Retry {
                initial: second,
                max: 32 * second,
            },
            dead_letters: DeadLetters {
                flood_rows: NonZeroU64::MIN.saturating_add(999),
                flood_share: 0.5,
                flood_window: 60 * second,
            },
            readiness: Readiness { stall: 10 * second },
            shutdown: Shutdown { grace: 25 * second },
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 9401)),
                advertise: String::new(),
                token: Secret::default(),
            },
            hub: Hub {
                url: String::new(),
                listen: SocketAddr::from(([127, 0, 0, 1], 9400)),
            },
            autoscale: Autoscale {
                enabled: false,
                min: NonZeroU32::MIN.saturating_add(2),
                max: NonZeroU32::MIN.saturating_add(4),
                lag: NonZeroU64::MIN.saturating_add(9_999),
                for_time: 30 * second,
                quiet: 300 * second,
            },
            routes: Vec::new(),
            log: Log {
                level: "info".into(),
                format: LogFormat::Text,
            },
        }
    }
}
