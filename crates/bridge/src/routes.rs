//! The catalog of this instance: what ships with the binary, and the user's own routes, whose
//! columns are read from the live tables.

use std::sync::Arc;
use std::time::Duration;

use data_bridge_core::catalog::{
    Catalog, Column, ColumnSettings, ColumnType, ExcessDigits, Field, Latest, Route, RouteSettings,
    Supply, Table, TimeForm, TimeRange,
};
use data_bridge_core::verdict::Failure;
use tokio::runtime::Runtime;
use tracing::warn;

use crate::config::{self, Config, RouteConfig};
use crate::pipeline::StopSign;
use crate::sink::clickhouse::ClickHouse;
use crate::sink::tables::describe;
use crate::telemetry::board::Board;

/// Time between two questions for a table that cannot be read yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Time between two looks at the tables of own routes while all is well: two small questions each.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// ClickHouse's code for a database that does not exist.
const UNKNOWN_DATABASE: i32 = 81;
/// The column of a table that nobody has read.
const STAND_IN: &str = "data_bridge_has_not_read_this_table_yet";

/// Why a user's own route cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// ClickHouse cannot say what the table looks like now.
    #[error("route {route}: {reason}")]
    Unknown {
        /// The route.
        route: String,
        /// Why.
        reason: String,
    },
    /// The table or the settings cannot work.
    #[error("route {route}: {reason}")]
    Unusable {
        /// The route.
        route: String,
        /// Why, and what would be right.
        reason: String,
    },
}

/// The catalog for `config`. Waits until ClickHouse can be asked about the tables of own routes,
/// saying so on the board; `None` when `stop` was raised meanwhile. A table that is missing holds its
/// own route only: see [`reshaped`].
///
/// # Errors
/// When a table or the settings of an own route cannot work.
pub fn catalog(
    config: &Config,
    clickhouse: &ClickHouse,
    runtime: &Runtime,
    board: &Arc<Board>,
    stop: &StopSign,
    stands: Stands,
) -> Result<Option<Catalog>, RouteError> {
    loop {
        if stop.is_raised() {
            return Ok(None);
        }
        match runtime.block_on(described_with(config, clickhouse, stands)) {
            Ok(catalog) => return Ok(Some(catalog)),
            Err(error @ RouteError::Unusable { .. }) => return Err(error),
            Err(error @ RouteError::Unknown { .. }) => {
                let mut status = board.status();
                if status.reasons != [error.to_string()] {
                    warn!(%error, "waiting for the tables of own routes");
                }
                status.reasons = vec![error.to_string()];
                board.publish(status);
                // Within the runtime: a timer cannot be made outside of one.
                runtime.block_on(async { tokio::time::sleep(ASK_AGAIN).await });
            }
        }
    }
}

/// Looks at the tables of own routes again and again, and returns the name of the first that can be
/// written in another shape than `catalog` has it: it was created, or its columns were changed.
/// The board hears of a table that exists and cannot be used.
pub async fn reshaped(
    config: &Config,
    clickhouse: &ClickHouse,
    catalog: &Catalog,
    board: &Board,
) -> String {
    // Two questions for each table, each within the time of an insert.
    let longest = config.clickhouse.insert_timeout * 2 + LOOK_AGAIN;
    let pulse = board.pulses().watch("the look at tables of own routes", longest);
    loop {
        for route in &config.routes {
            pulse.turn();
            let known = catalog.route_id(&route.name).map(|id| catalog.route(id));
            let is_known = |known: &Route, table: &Table, fresh: &Route| {
                known == fresh && catalog.table(known.table) == table
            };
            let stands =
                known.is_some_and(|known| *catalog.table(known.table) == stand_in(&route.table));
            match own(route, catalog, clickhouse).await {
                Ok(Some((table, fresh))) => {
                    board.hold(&route.name, None);
                    if !known.is_some_and(|known| is_known(known, &table, &fresh)) {
                        return table.name;
                    }
                }
                Err(error @ RouteError::Unusable { .. }) if stands => {
                    board.hold(&route.name, Some(error.to_string()));
                }
                // Things stay as they are; inserts say why.
                Ok(None) | Err(_) => board.hold(&route.name, None),
            }
        }
        pulse.turn();
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The shipped catalog with the own routes of `config`, as ClickHouse describes their tables.
///
/// # Errors
/// When a table cannot be read or used.
pub async fn described(config: &Config, clickhouse: &ClickHouse) -> Result<Catalog, RouteError> {
    described_with(config, clickhouse, Stands::ForNone).await
}

/// For which tables another one stands in that nobody can write, so that only their routes wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// All must be there.
    ForNone,
    /// Those that are missing: a table that cannot be used is a mistake that people see at the start.
    ForMissing,
    /// Those that cannot be used as well: other routes run already.
    ForAny,
}

async fn described_with(
    config: &Config,
    clickhouse: &ClickHouse,
    stands: Stands,
) -> Result<Catalog, RouteError> {
    let mut catalog = Catalog::shipped();
    for route in &config.routes {
        // Its id, before anybody knows its columns.
        catalog.add_table(stand_in(&route.table));
        let (table, route) = match (own(route, &catalog, clickhouse).await, stands) {
            (Ok(Some(found)), _) => found,
            (Ok(None), Stands::ForNone) => {
                let name = format!("{}.{}", clickhouse.database(), route.table);
                let reason = format!("table {name} does not exist: create it");
                return Err(RouteError::Unknown { route: route.name.clone(), reason });
            }
            (Ok(None), Stands::ForMissing | Stands::ForAny)
            | (Err(RouteError::Unusable { .. }), Stands::ForAny) => stand_in_route(route, &catalog),
            (Err(error), _) => return Err(error),
        };
        catalog.add_table(table);
        catalog.add_route(route);
    }
    Ok(catalog)
}

/// An own route and its table as ClickHouse has it now; `None` when there is no such table.
async fn own(
    route: &RouteConfig,
    catalog: &Catalog,
    clickhouse: &ClickHouse,
) -> Result<Option<(Table, Route)>, RouteError> {
    let unknown = |reason| RouteError::Unknown { route: route.name.clone(), reason };
    let unusable = |reason| RouteError::Unusable { route: route.name.clone(), reason };
    let name = format!("{}.{}", clickhouse.database(), route.table);
    let live = describe(clickhouse, &route.table).await;
    let live = match live {
        Ok(live) => live,
        Err(Failure::Server { code: UNKNOWN_DATABASE, .. }) => None,
        Err(failure) => return Err(unknown(format!("table {name} cannot be read: {failure}"))),
    };
    let (Some(live), Some(id)) = (live, catalog.table_id(&route.table)) else {
        return Ok(None);
    };
    let table = Table::from_live(&route.table, &live)
        .map_err(|mismatches| unusable(listed(&mismatches)))?;
    let route = Route::from_settings(&route.name, id, &table, &settings(route))
        .map_err(|problems| unusable(listed(&problems)))?;
    Ok(Some((table, route)))
}

/// A table that is missing. ClickHouse refuses every insert into its only column, also when the
/// table is made meanwhile: no row can be written before its columns are known.
fn stand_in(name: &str) -> Table {
    Table {
        name: name.to_owned(),
        columns: vec![Column::new(STAND_IN, ColumnType::UInt64)],
        sort_key: vec![STAND_IN.to_owned()],
        partition: None,
    }
}

fn stand_in_route(route: &RouteConfig, catalog: &Catalog) -> (Table, Route) {
    let table = stand_in(&route.table);
    let id = catalog.table_id(&route.table).expect("its table was added before");
    let stands = Route {
        name: route.name.clone(),
        table: id,
        fields: vec![Field::new(Supply::Version)],
        time_range: TimeRange::LIVE,
        required_objects: Vec::new(),
        ignored: Vec::new(),
    };
    (table, stands)
}

fn settings(route: &RouteConfig) -> RouteSettings {
    let columns = route.columns.iter().map(|(column, rule)| {
        let settings = ColumnSettings {
            keys: rule.keys.clone(),
            excess_digits: match rule.excess_digits {
                config::ExcessDigits::Round => None,
                config::ExcessDigits::Reject => Some(ExcessDigits::Reject),
            },
            time: rule.time.map(|unit| match unit {
                config::TimeUnit::Seconds => TimeForm::Seconds,
                config::TimeUnit::Milliseconds => TimeForm::Milliseconds,
                config::TimeUnit::Microseconds => TimeForm::Microseconds,
                config::TimeUnit::Iso => TimeForm::Iso,
            }),
        };
        (column.clone(), settings)
    });
    RouteSettings {
        columns: columns.collect(),
        required: route.required.clone(),
        time_range: Some(route.time_range.map_or(TimeRange::LIVE, time_range)),
    }
}

/// A fixed bound in ms since 1970; a moving one only makes sense as the latest.
fn time_range(range: config::TimeRange) -> TimeRange {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    TimeRange {
        earliest_ms: match range.from {
            config::TimeBound::At(at) => at,
            config::TimeBound::AfterNow(_) => TimeRange::LIVE.earliest_ms,
        },
        latest: match range.to {
            config::TimeBound::At(at) => Latest::At(at),
            config::TimeBound::AfterNow(time) => Latest::AfterNow(ms(time)),
        },
    }
}

fn listed<P: std::fmt::Display>(problems: &[P]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
