//! The window of `audit` and `replay`, and what both of them start with.

use std::sync::Arc;

use data_bridge_core::catalog::Catalog;
use data_bridge_core::units::TableId;
use tokio::runtime::Runtime;

use super::{Exit, Stop};
use crate::config::Config;
use crate::reread::{Bound, Plan, Reach, Window, WindowError, plan};
use crate::routes::{self, RouteError};
use crate::sink::clickhouse::ClickHouse;
use crate::source::kafka::window::WindowReader;

/// Which part of the log.
#[derive(Debug, clap::Args)]
pub struct WindowArgs {
    /// Only this topic [default: all of kafka.topics]
    #[arg(long, value_name = "TOPIC")]
    pub(super) topic: Option<String>,

    /// Only this partition of the topic
    #[arg(long, value_name = "NUMBER", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,

    /// From this time or offset on: 2024-01-25T16:00:00Z or offset:104200 [default: where the bridge
    /// began]
    #[arg(long, value_name = "TIME|offset:N")]
    pub(super) from: Option<Bound>,

    /// Up to this time or offset, not included [default: what the group has committed]
    #[arg(long, value_name = "TIME|offset:N")]
    pub(super) to: Option<Bound>,
}

/// What a window leads to: a plan, and what carries it out.
pub(super) struct Opened {
    pub(super) runtime: Runtime,
    pub(super) clickhouse: ClickHouse,
    pub(super) catalog: Arc<Catalog>,
    pub(super) reader: WindowReader,
    pub(super) plan: Plan,
}

impl WindowArgs {
    /// Asks Kafka and ClickHouse what the window comes to.
    pub(super) fn open(&self, config: &Config, reach: Reach) -> anyhow::Result<Opened> {
        let window = self.window()?;
        if !config.kafka.enabled {
            let what = "kafka.enabled is false, and only Kafka topics can be read again";
            return Err(Stop::new(Exit::Usage, what, "set kafka.enabled: true").into());
        }
        let runtime = super::runtime()?;
        let (clickhouse, catalog) = catalog(config, &runtime)?;
        let reader = WindowReader::new(&config.kafka, &config.instance).map_err(Stop::from)?;
        let plan = plan(&reader, &window, reach).map_err(|error| match error {
            WindowError::Unknown { what, hint } => Stop::new(Exit::Usage, what, hint),
            WindowError::Nothing { what, hint } => Stop::new(Exit::Failed, what, hint),
            WindowError::Source(error) => error.into(),
        })?;
        Ok(Opened { runtime, clickhouse, catalog, reader, plan })
    }

    fn window(&self) -> Result<Window, Stop> {
        let is_offset = |bound: &Option<Bound>| matches!(bound, Some(Bound::Offset(_)));
        if self.topic.is_none() && (is_offset(&self.from) || is_offset(&self.to)) {
            let what = "an offset counts within a topic, and no topic is named";
            return Err(Stop::new(Exit::Usage, what, "add --topic, such as --topic tick_archive"));
        }
        let is_backwards = match (self.from, self.to) {
            (Some(Bound::Time(from)), Some(Bound::Time(to))) => from >= to,
            (Some(Bound::Offset(from)), Some(Bound::Offset(to))) => from >= to,
            _ => false,
        };
        if let (true, Some(from), Some(to)) = (is_backwards, self.from, self.to) {
            let what = format!("nothing lies from {from} up to {to}, which is not included");
            return Err(Stop::new(Exit::Usage, what, "let --to lie behind --from"));
        }
        let Self { topic, partition, from, to } = self;
        Ok(Window { topic: topic.clone(), partition: *partition, from: *from, to: *to })
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

/// The tables that the topics lead to.
pub(super) fn tables(config: &Config, catalog: &Catalog) -> Vec<TableId> {
    let routes = config.kafka.topics.values().filter_map(|name| catalog.route_id(name));
    let mut tables: Vec<_> = routes.map(|route| catalog.route(route).table).collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}
