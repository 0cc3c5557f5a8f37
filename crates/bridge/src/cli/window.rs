//! The window of `audit` and `replay`, and what both of them start with.

use std::sync::Arc;

use clap::ValueEnum;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::units::TableId;
use tokio::runtime::Runtime;

use super::{Exit, Stop};
use crate::config::{Config, NatsMode};
use crate::reread::{Bound, Log, Plan, Reach, Sources, Window, WindowError};
use crate::routes::{self, RouteError};
use crate::sink::clickhouse::ClickHouse;
use crate::source::nats;
use crate::source::nats::window::StreamError;

/// Which part of the log.
#[derive(Debug, clap::Args)]
pub struct WindowArgs {
    /// Only what came by this way [default: all topics, and the stream]
    #[arg(long, value_name = "WAY", value_enum)]
    pub(super) transport: Option<Way>,

    /// Only this topic [default: all of kafka.topics]
    #[arg(long, value_name = "TOPIC")]
    pub(super) topic: Option<String>,

    /// Only this partition of the topic
    #[arg(long, value_name = "NUMBER", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,

    /// From here on: a time such as 2024-01-25T16:00:00Z, an offset of a topic such as
    /// offset:104200, or a sequence of the stream such as seq:104200 [default: where the bridge began]
    #[arg(long, value_name = "TIME|offset:N|seq:N")]
    pub(super) from: Option<Bound>,

    /// Up to here, not included [default: what is committed, and acked]
    #[arg(long, value_name = "TIME|offset:N|seq:N")]
    pub(super) to: Option<Bound>,
}

/// A way to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// The topics
    Kafka,
    /// The stream
    Nats,
}

/// What a window leads to: a plan, and what carries it out.
pub(super) struct Opened {
    pub(super) runtime: Runtime,
    pub(super) clickhouse: ClickHouse,
    pub(super) catalog: Arc<Catalog>,
    pub(super) log: Log,
    pub(super) plan: Plan,
}

impl WindowArgs {
    /// Asks the sources and ClickHouse what the window comes to.
    pub(super) fn open(&self, config: &Config, reach: Reach) -> anyhow::Result<Opened> {
        let window = self.window()?;
        let sources = self.sources(config)?;
        let runtime = super::runtime()?;
        let (clickhouse, catalog) = catalog(config, &runtime)?;
        let log = Log::new(config, sources, &catalog, runtime.handle()).map_err(stop)?;
        let plan = log.plan(&window, reach).map_err(stop)?;
        Ok(Opened { runtime, clickhouse, catalog, log, plan })
    }

    /// What keeps messages and is meant.
    fn sources(&self, config: &Config) -> Result<Sources, Stop> {
        let configured = Sources::of(config);
        let wanted = Sources {
            kafka: self.transport != Some(Way::Nats),
            nats: self.transport != Some(Way::Kafka) && self.topic.is_none(),
        };
        let wanted = wanted.with(self.from).with(self.to);
        if wanted.is_empty() {
            let what = "a sequence counts in the stream, an offset in a topic; here both are meant";
            let hint = "let --from and --to be of one kind, and of the source that is named";
            return Err(Stop::new(Exit::Usage, what, hint));
        }
        let sources = Sources {
            kafka: wanted.kafka && configured.kafka,
            nats: wanted.nats && configured.nats,
        };
        if sources.is_empty() {
            let (what, hint) = match (wanted.kafka, wanted.nats, config.nats.mode) {
                (false, true, NatsMode::Core) if config.nats.enabled => {
                    ("core NATS keeps nothing that could be read again", "set nats.mode: jetstream")
                }
                (false, ..) => ("nats.enabled is false", "set nats.enabled: true"),
                (true, false, _) => ("kafka.enabled is false", "set kafka.enabled: true"),
                (true, true, _) => (
                    "no source is configured that could be read again",
                    "set kafka.enabled: true, or nats.enabled: true with nats.mode: jetstream",
                ),
            };
            return Err(Stop::new(Exit::Usage, what, hint));
        }
        Ok(sources)
    }

    fn window(&self) -> Result<Window, Stop> {
        let is_offset = |bound: &Option<Bound>| matches!(bound, Some(Bound::Offset(_)));
        if self.topic.is_none() && (is_offset(&self.from) || is_offset(&self.to)) {
            let what = "an offset counts within a topic, and no topic is named";
            return Err(Stop::new(Exit::Usage, what, "add --topic, such as --topic tick_archive"));
        }
        let is_backwards = match (self.from, self.to) {
            (Some(Bound::Time(from)), Some(Bound::Time(to))) => from >= to,
            (Some(Bound::Offset(from)), Some(Bound::Offset(to)))
            | (Some(Bound::Sequence(from)), Some(Bound::Sequence(to))) => from >= to,
            _ => false,
        };
        if let (true, Some(from), Some(to)) = (is_backwards, self.from, self.to) {
            let what = format!("nothing lies from {from} up to {to}, which is not included");
            return Err(Stop::new(Exit::Usage, what, "let --to lie behind --from"));
        }
        let Self { topic, partition, from, to, transport: _ } = self;
        Ok(Window { topic: topic.clone(), partition: *partition, from: *from, to: *to })
    }
}

/// How a command ends that cannot read again.
pub(super) fn stop(error: WindowError) -> Stop {
    match error {
        WindowError::Unknown { what, hint } => Stop::new(Exit::Usage, what, hint),
        WindowError::Nothing { what, hint } => Stop::new(Exit::Failed, what, hint),
        WindowError::Source(error) => error.into(),
        WindowError::Stream(StreamError::Nats(error)) => error.into(),
        WindowError::Stream(error @ StreamError::Missing { .. }) => {
            let hint = "nats.stream and nats.consumer must be those of the instances";
            Stop::new(Exit::Failed, error.to_string(), hint)
        }
    }
}

/// A client of ClickHouse, and the catalog with the user's own routes as their tables are.
pub(super) fn catalog(
    config: &Config,
    runtime: &Runtime,
) -> anyhow::Result<(ClickHouse, Arc<Catalog>)> {
    let clickhouse = ClickHouse::new(&config.clickhouse)?;
    // A table that cannot be read may be one that is not there, or a server that is not.
    runtime.block_on(clickhouse.query("SELECT 1")).map_err(Stop::from)?;
    let catalog = runtime.block_on(routes::described(config, &clickhouse));
    let catalog =
        catalog.map_err(|error @ (RouteError::Unknown { .. } | RouteError::Unusable { .. })| {
            let hint = "`data-bridge check` looks at all tables";
            Stop::new(Exit::Failed, error.to_string(), hint)
        })?;
    Ok((clickhouse, Arc::new(catalog)))
}

/// The tables that topics and subjects lead to.
pub(super) fn tables(config: &Config, catalog: &Catalog) -> Vec<TableId> {
    let Sources { kafka, nats } = Sources::of(config);
    let routes = config.kafka.topics.values().filter_map(|name| catalog.route_id(name));
    let of_topics = routes.map(|route| catalog.route(route).table).filter(|_| kafka);
    let of_subjects = nats::tables(&config.nats, catalog).into_iter().filter(|_| nats);
    let mut tables: Vec<_> = of_topics.chain(of_subjects).collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}
