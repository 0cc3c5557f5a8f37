//! What the bridge is told: one file, the environment, a few flags; checked once.
//!
//! A [`Config`] exists only when everything in it is sound, so no code asks again. Durations end in
//! `_ms` or `_s` in the file and are [`Duration`](std::time::Duration)s here; sizes are bytes.

pub mod clickhouse;
mod collect;
pub mod environment;
mod expand;
pub mod kafka;
mod keys;
mod kind;
mod legacy;
pub mod limits;
pub mod nats;
mod node;
mod number;
pub mod problem;
pub mod reference;
pub mod route;
mod rules;
pub mod secret;
pub mod service;
pub mod show;
mod subscribe;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

pub use clickhouse::{ClickHouse, Compression};
pub use environment::Environment;
pub use kafka::{Assignor, GroupProtocol, Kafka, KafkaInit, OffsetReset};
pub use kind::{show_size, size};
pub use limits::{Backpressure, Batch, DeadLetters, Readiness, Retry, Shutdown};
pub use nats::{DeliverPolicy, Nats, NatsAuth, NatsInit, NatsMode, SubjectRoute, Tls};
pub use number::Number;
pub use problem::{Origin, Problem, Problems};
pub use route::{ColumnRule, ExcessDigits, RouteConfig, TimeBound, TimeRange, TimeUnit};
pub use secret::Secret;
pub use service::{Autoscale, Http, Hub, Instance, Log, LogFormat};
pub use show::Setting;

use collect::Collected;
use expand::Expansion;
use values::Values;

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

/// A sound configuration, with what is worth saying about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Old keys and values with consequences, in the order of the file.
    pub warnings: Vec<Problem>,
    /// Every key with the value that holds and its origin.
    pub settings: Vec<Setting>,
}

/// The text of a configuration file, and its name for messages.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Where it lies; relative `${file:PATH}`s start at its folder.
    pub path: &'a Path,
    /// Its text.
    pub text: &'a str,
}

/// `KEY=VALUE` from the command line, with the flag's name.
#[derive(Clone, Copy, Debug)]
pub struct Override<'a> {
    /// The flag, such as `--set`.
    pub flag: &'static str,
    /// The key, dotted.
    pub key: &'a str,
    /// Its value, as it would stand in the file.
    pub value: &'a str,
}

impl Config {
    /// The defaults alone: no file, and of the environment only the host's name.
    ///
    /// # Panics
    /// Never: defaults have no problem.
    #[must_use]
    pub fn from_defaults(environment: &Environment) -> Self {
        let alone =
            Environment { host_name: environment.host_name.clone(), ..Environment::default() };
        let loaded = Self::load(None, &alone, &[]);
        loaded.expect("defaults have no problem: a test loads them").config
    }

    /// Reads a file's text; the environment is stronger than the file, overrides are the strongest.
    ///
    /// # Errors
    /// All problems at once, in the order of the file.
    pub fn load(
        file: Option<File<'_>>,
        environment: &Environment,
        overrides: &[Override<'_>],
    ) -> Result<Loaded, Problems> {
        let mut collected = Collected::default();
        if let Some(File { path, text }) = file {
            let folder = path.parent().unwrap_or(Path::new(""));
            let name = path.display().to_string();
            let root = node::parse(&name, text, &mut collected.problems);
            collected.take_file(&root, &Expansion { environment, folder });
        }
        collected.take_environment(environment);
        for Override { flag, key, value } in overrides {
            collected.take_flag(flag, key, value);
        }

        let mut values = Values::new(collected);
        let config = Self::read(&mut values, environment);
        rules::check(&config, &mut values);

        let Values { problems, warnings, settings, .. } = values;
        let warnings = problem::in_file_order(warnings);
        if problems.is_empty() {
            Ok(Loaded { config, warnings, settings })
        } else {
            Err(Problems { problems: problem::in_file_order(problems), warnings })
        }
    }

    fn read(values: &mut Values, environment: &Environment) -> Self {
        let instance = Instance::read(values, environment);
        let routes = route::read(values);
        let backpressure = Backpressure::read(values);
        Self {
            kafka: Kafka::read(values, &routes),
            nats: Nats::read(values, &routes),
            clickhouse: ClickHouse::read(values),
            batch: Batch::read(values, &backpressure),
            retry: Retry::read(values),
            dead_letters: DeadLetters::read(values),
            readiness: Readiness::read(values),
            shutdown: Shutdown::read(values),
            http: Http::read(values, &instance),
            hub: Hub::read(values),
            autoscale: Autoscale::read(values),
            log: Log::read(values),
            instance,
            routes,
            backpressure,
        }
    }
}
