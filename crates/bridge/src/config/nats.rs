//! `nats`: the fast path of the same events.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::keys;
use super::kind;
use super::route::RouteConfig;
use super::secret::Secret;
use super::subscribe;
use super::values::Values;

/// The NATS side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Nats {
    /// Whether this instance reads from NATS.
    pub enabled: bool,
    /// Servers, `nats://host:port` or `tls://host:port`.
    pub cluster_urls: Vec<String>,
    /// Whether servers that the cluster tells of are used too.
    pub discover_servers: bool,
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

impl SubjectRoute {
    /// The route's name as the file has it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::ExternalByType => "external",
        }
    }
}

impl Nats {
    pub(super) fn read(values: &mut Values, routes: &[RouteConfig]) -> Self {
        Self {
            enabled: values.switch("nats.enabled"),
            cluster_urls: values.list("nats.cluster_urls", |text| kind::url(text, keys::NATS)),
            discover_servers: values.switch("nats.discover_servers"),
            mode: values.choice("nats.mode", [NatsMode::JetStream, NatsMode::Core]),
            stream: values.text("nats.stream"),
            consumer: values.text("nats.consumer"),
            queue_group: values.text("nats.queue_group"),
            ack_wait: values.duration("nats.ack_wait_ms"),
            max_ack_pending: values.count32("nats.max_ack_pending"),
            deliver_policy: values
                .choice("nats.deliver_policy", [DeliverPolicy::All, DeliverPolicy::New]),
            msg_id_is_event_id: values.switch("nats.msg_id_is_event_id"),
            auth: NatsAuth::read(values),
            tls: Tls {
                ca_file: values.file("nats.tls.ca_file"),
                cert_file: values.file("nats.tls.cert_file"),
                key_file: values.file("nats.tls.key_file"),
            },
            init: NatsInit {
                create: values.switch("nats.init.create"),
                replicas: u8::try_from(values.number32("nats.init.replicas"))
                    .expect("the key's range ends at 5"),
                max_age: values.span("nats.init.max_age"),
                max_bytes: values.size_or_none("nats.init.max_bytes"),
            },
            subjects: subscribe::subjects(values, routes),
        }
    }
}

impl NatsAuth {
    fn read(values: &mut Values) -> Self {
        let auth = Self {
            user: values.text("nats.auth.user"),
            password: values.secret("nats.auth.password"),
            token: values.secret("nats.auth.token"),
            nkey: values.secret("nats.auth.nkey"),
            creds_file: values.file("nats.auth.creds_file"),
        };
        let ways = [
            ("nats.auth.user", !auth.user.is_empty()),
            ("nats.auth.token", !auth.token.is_empty()),
            ("nats.auth.nkey", !auth.nkey.is_empty()),
            ("nats.auth.creds_file", auth.creds_file.is_some()),
        ];
        let mut used = ways.iter().filter(|(_, used)| *used).map(|(path, _)| *path);
        if let Some((first, second)) = used.next().zip(used.next()) {
            values.refuse(
                second,
                format!("is set beside {first}"),
                "keep one way to say who we are: user and password, token, nkey or creds_file",
            );
        }
        if auth.user.is_empty() && !auth.password.is_empty() {
            values.refuse("nats.auth.password", "has no user", "write nats.auth.user too");
        }
        auth
    }
}

impl Tls {
    /// Refuses a certificate without its key, and the other way round.
    pub(super) fn check(&self, values: &mut Values, cert: &'static str, key: &'static str) {
        let (set, missing) = match (&self.cert_file, &self.key_file) {
            (Some(_), None) => (cert, key),
            (None, Some(_)) => (key, cert),
            (None, None) | (Some(_), Some(_)) => return,
        };
        values.refuse(set, format!("needs {missing}"), "write both, or neither");
    }
}
