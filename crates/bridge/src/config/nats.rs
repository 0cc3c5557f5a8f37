//! `nats`: the fast path of the same events.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

/// The NATS side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Nats {
    /// Whether this instance reads from NATS.
    pub enabled: bool,
    /// Servers, `nats://host:port` or `tls://host:port`.
    pub cluster_urls: Vec<String>,
    /// With or without replay.
    pub mode: NatsMode,
    /// The JetStream stream.
    pub stream: String,
    /// The durable pull consumer that all instances share.
    pub consumer: String,
    /// The queue group of core NATS.
    pub queue_group: String,
    /// How long the server waits for an ack before it delivers again.
    pub ack_wait: Duration,
    /// What all instances together may hold without an ack.
    pub max_ack_pending: NonZeroU32,
    /// Where a new consumer starts.
    pub deliver_policy: DeliverPolicy,
    /// Whether `Nats-Msg-Id` names the event.
    pub msg_id_is_event_id: bool,
    /// Who we are to the server.
    pub auth: NatsAuth,
    /// Certificates.
    pub tls: Tls,
    /// How `init` creates the stream.
    pub init: NatsInit,
    /// Subject pattern to route.
    pub subjects: BTreeMap<String, SubjectRoute>,
}

/// With or without replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsMode {
    /// A stream and a durable consumer: nothing is lost.
    JetStream,
    /// A queue group: at most once.
    Core,
}

/// Where a new consumer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverPolicy {
    /// At the stream's beginning.
    All,
    /// At its end.
    New,
}

/// The route of a subject pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectRoute {
    /// One route, by name.
    Named(String),
    /// `external_<type>`, where the type is the subject's last word.
    ExternalByType,
}

/// Who we are to the NATS servers; empty where not set.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NatsAuth {
    /// User name.
    pub user: String,
    /// Password of `user`.
    pub password: Secret,
    /// Token.
    pub token: Secret,
    /// Seed of an nkey.
    pub nkey: Secret,
    /// A credentials file.
    pub creds_file: Option<PathBuf>,
}

/// Certificates, as PEM files; none: the system's roots, no client certificate.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tls {
    /// Authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Our certificate; together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// How `init` creates the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsInit {
    /// Whether `init` creates stream and consumer at all.
    pub create: bool,
    /// Replicas of the stream.
    pub replicas: u8,
    /// How long messages are kept; zero: no limit.
    pub max_age: Duration,
    /// Size limit of the stream in bytes; `None`: no limit.
    pub max_bytes: Option<u64>,
}
