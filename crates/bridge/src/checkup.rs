//! Is everything there that an instance needs? One finding per thing, with what to do about it.

use std::fmt;
use std::time::Duration;

use data_bridge_core::catalog::{Catalog, Severity, Table};
use data_bridge_core::verdict::Failure;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::config::{Config, GroupProtocol, NatsMode};
use crate::routes::{self, RouteError};
use crate::sink::clickhouse::ClickHouse;
use crate::sink::tables::{Found, look_at};
use crate::source::kafka::SourceError;
use crate::source::kafka::terms::{self, GroupTerms};
use crate::source::kafka::topics::{self, TopicState};
use crate::source::nats::{self, NatsError, stream};

/// The limit for fail-over after `kill -9`; slower settings are warned of.
const FAIL_OVER: Duration = Duration::from_secs(12);
/// What reassigning and the first fetch add to session and heartbeat.
const REASSIGNMENT: Duration = Duration::from_secs(2);

/// Connections to ClickHouse that may be cut before it counts as unreachable.
const TRIES: u32 = 5;

/// How long the cluster may take to answer.
const KAFKA_LIMIT: Duration = Duration::from_secs(5);

/// What findings about a server of ClickHouse are about.
const CLICKHOUSE: &str = "clickhouse";

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, with a risk.
    Warning,
    /// The instance cannot do its work.
    Problem,
    /// Something cannot be reached, so nothing more can be said about it.
    Unreachable,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub subject: String,
    /// What was found, and what to do.
    pub text: String,
}

impl Finding {
    fn new(level: Level, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level, subject: subject.into(), text: text.into() }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
            Self::Unreachable => "UNREACHABLE",
        })
    }
}

/// Looks at configuration, Kafka, NATS, ClickHouse and each table.
///
/// Blocks for at most a few seconds for each that does not answer.
pub fn look(config: &Config, runtime: &Runtime) -> Vec<Finding> {
    let mut findings = vec![fail_over(config)];
    findings.extend(kafka(config));
    findings.extend(runtime.block_on(nats(config)));
    findings.extend(runtime.block_on(clickhouse(config)));
    findings
}

/// How long partitions of a killed instance stand still, by the settings.
fn fail_over(config: &Config) -> Finding {
    const SUBJECT: &str = "fail-over";
    let Config { kafka, .. } = config;
    if !kafka.enabled {
        return Finding::new(Level::Ok, SUBJECT, "no partitions: kafka.enabled is false");
    }
    let (terms, of) = match kafka.group_protocol {
        GroupProtocol::Classic => {
            let configured =
                GroupTerms { session: kafka.session_timeout, heartbeat: kafka.heartbeat_interval };
            (configured, "kafka.session_timeout_ms")
        }
        GroupProtocol::Consumer => match terms::describe(kafka, KAFKA_LIMIT) {
            Ok(terms) => (terms, "the broker's consumer.session.timeout.ms for the group"),
            Err(error) => return Finding::new(Level::Unreachable, SUBJECT, error.to_string()),
        },
    };
    let time = terms.session + terms.heartbeat + REASSIGNMENT;
    let seconds = time.as_secs_f64();
    if time <= FAIL_OVER {
        return Finding::new(Level::Ok, SUBJECT, format!("at most {seconds} s after a kill -9"));
    }
    let (session, heartbeat) = (terms.session.as_millis(), terms.heartbeat.as_millis());
    let remedy = match kafka.group_protocol {
        GroupProtocol::Classic => "lower it",
        GroupProtocol::Consumer => {
            "run `data-bridge init`; the broker allows no less than its \
             group.consumer.min.session.timeout.ms and group.consumer.min.heartbeat.interval.ms"
        }
    };
    let text = format!(
        "partitions of a killed instance stand still for up to {seconds} s, above {} s, because \
         {of} is {session} (heartbeat {heartbeat}): {remedy}",
        FAIL_OVER.as_secs(),
    );
    Finding::new(Level::Warning, SUBJECT, text)
}

fn kafka(config: &Config) -> Vec<Finding> {
    if !config.kafka.enabled {
        return vec![Finding::new(Level::Warning, "kafka", "switched off by kafka.enabled: false")];
    }
    let brokers = &config.kafka.brokers;
    match topics::describe(&config.kafka, KAFKA_LIMIT) {
        Ok(found) => {
            let mut findings = vec![Finding::new(Level::Ok, "kafka", format!("{brokers} answers"))];
            findings.extend(found.into_iter().map(topic));
            findings
        }
        Err(error @ SourceError::Unreachable { .. }) => {
            vec![Finding::new(Level::Unreachable, "kafka", error.to_string())]
        }
        Err(error) => vec![Finding::new(Level::Problem, "kafka", error.to_string())],
    }
}

async fn nats(config: &Config) -> Vec<Finding> {
    const SUBJECT: &str = "nats";
    let nats = &config.nats;
    if !nats.enabled {
        return vec![Finding::new(Level::Warning, SUBJECT, "switched off by nats.enabled: false")];
    }
    let found = match nats.mode {
        NatsMode::JetStream => stream::look(nats).await.map(Some),
        NatsMode::Core => stream::reach(nats).await.map(|()| None),
    };
    let answers =
        Finding::new(Level::Ok, SUBJECT, format!("{} answers", nats.cluster_urls.join(",")));
    match found {
        Ok(None) => {
            let text = "core mode delivers at most once; nats.mode: jetstream loses nothing";
            vec![answers, Finding::new(Level::Warning, SUBJECT, text)]
        }
        Ok(Some(stream::Found { stream, consumer })) => {
            let mut findings = vec![answers];
            findings.extend(part(format!("stream {}", nats.stream), stream));
            findings.extend(part(format!("consumer {}", nats.consumer), consumer));
            findings
        }
        Err(error @ NatsError::Unreachable { .. }) => {
            vec![Finding::new(Level::Unreachable, SUBJECT, error.to_string())]
        }
        Err(error) => vec![Finding::new(Level::Problem, SUBJECT, error.to_string())],
    }
}

/// What was found of a stream or a consumer.
fn part(subject: String, outcome: stream::Outcome) -> Vec<Finding> {
    match outcome {
        stream::Outcome::Exists { differences } if differences.is_empty() => {
            vec![Finding::new(Level::Ok, subject, "as the configuration says")]
        }
        stream::Outcome::Exists { differences } => {
            let finding = |difference: stream::Difference| {
                let level = if difference.is_fatal { Level::Problem } else { Level::Warning };
                Finding::new(level, subject.clone(), difference.text)
            };
            differences.into_iter().map(finding).collect()
        }
        stream::Outcome::Created => vec![Finding::new(Level::Ok, subject, "created")],
        stream::Outcome::Missing { reason } => {
            let text = format!("{reason}: run `data-bridge init`");
            vec![Finding::new(Level::Problem, subject, text)]
        }
    }
}

fn topic(topic: TopicState) -> Finding {
    let subject = format!("topic {}", topic.name);
    match (topic.partitions, topic.error) {
        (Some(partitions), _) => {
            Finding::new(Level::Ok, subject, format!("{partitions} partitions"))
        }
        (None, Some(error)) => Finding::new(Level::Problem, subject, error),
        (None, None) => {
            Finding::new(Level::Problem, subject, "does not exist: run `data-bridge init`")
        }
    }
}

async fn clickhouse(config: &Config) -> Vec<Finding> {
    let servers = match ClickHouse::each(&config.clickhouse) {
        Ok(servers) => servers,
        Err(error) => return vec![Finding::new(Level::Problem, CLICKHOUSE, error.to_string())],
    };
    let (mut findings, mut answering) = (Vec::new(), Vec::new());
    for server in &servers {
        let finding = server_finding(server).await;
        if finding.level == Level::Ok {
            answering.push(server);
        }
        findings.push(finding);
    }
    let Some(first) = answering.first() else {
        return findings;
    };
    for finding in findings.iter_mut().filter(|finding| finding.level > Level::Warning) {
        finding.level = Level::Warning;
        finding.text += ": inserts go to the others";
    }
    let catalog = match routes::described(config, first).await {
        Ok(catalog) => catalog,
        Err(error @ (RouteError::Unknown { .. } | RouteError::Unusable { .. })) => {
            findings.push(Finding::new(Level::Problem, "routes", error.to_string()));
            Catalog::shipped()
        }
    };
    for server in answering {
        let at = if servers.len() > 1 { format!(" at {}", server.url()) } else { String::new() };
        for table in tables_in_use(config, &catalog) {
            findings.extend(table_findings(server, table, &at).await);
        }
    }
    findings
}

async fn server_finding(server: &ClickHouse) -> Finding {
    let url = server.url();
    let failure = match version(server).await {
        Ok(version) => {
            let text = format!("{url} answers, version {}", version.trim());
            return Finding::new(Level::Ok, CLICKHOUSE, text);
        }
        Err(failure) => failure,
    };
    let answers = matches!(failure, Failure::Server { .. });
    let level = if answers { Level::Problem } else { Level::Unreachable };
    let text = failure.to_string();
    let text = if text.contains(url) { text } else { format!("{url}: {text}") };
    Finding::new(level, CLICKHOUSE, text)
}

/// Asks again when the connection was cut: a server that wants another certificate says so after the
/// handshake, and now and then only the end of the connection is seen.
async fn version(clickhouse: &ClickHouse) -> Result<String, Failure> {
    let mut tries = 1;
    loop {
        match clickhouse.query("SELECT version() FORMAT TabSeparated").await {
            Err(Failure::Cut(_)) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// The tables that this configuration's topics and subjects lead to, and `dead_letters`.
fn tables_in_use<'c>(config: &Config, catalog: &'c Catalog) -> Vec<&'c Table> {
    let mut ids = Vec::new();
    if config.kafka.enabled {
        let routes = config.kafka.topics.values().filter_map(|name| catalog.route_id(name));
        ids.extend(routes.map(|route| catalog.route(route).table));
    }
    if config.nats.enabled {
        ids.extend(nats::tables(&config.nats, catalog));
    }
    ids.push(catalog.dead_letters());
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| catalog.table(id)).collect()
}

/// `at` says at which of several servers.
async fn table_findings(clickhouse: &ClickHouse, table: &Table, at: &str) -> Vec<Finding> {
    let subject = format!("table {}.{}{at}", clickhouse.database(), table.name);
    match look_at(clickhouse, table).await {
        Ok(Found::Missing) => {
            vec![Finding::new(Level::Problem, subject, "does not exist: run `data-bridge init`")]
        }
        Ok(Found::Table { mismatches }) if mismatches.is_empty() => {
            let key = format!("sort key {}", table.sort_key.join(", "));
            vec![Finding::new(Level::Ok, subject, key)]
        }
        Ok(Found::Table { mismatches }) => mismatches
            .iter()
            .map(|mismatch| {
                let level = match mismatch.severity {
                    Severity::Warning => Level::Warning,
                    Severity::Error => Level::Problem,
                };
                Finding::new(level, subject.clone(), mismatch.to_string())
            })
            .collect(),
        Err(failure) => vec![Finding::new(Level::Unreachable, subject, failure.to_string())],
    }
}
