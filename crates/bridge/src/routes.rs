//! The catalog of this instance: what ships with the binary, and the user's own routes, whose
//! columns are read from the live tables.

use std::sync::Arc;
use std::time::Duration;

use data_bridge_core::catalog::{
    Catalog, ColumnSettings, ExcessDigits, Latest, Route, RouteSettings, Table, TimeForm, TimeRange,
};
use tokio::runtime::Runtime;
use tracing::warn;

use crate::config::{self, Config, RouteConfig};
use crate::pipeline::StopSign;
use crate::sink::clickhouse::ClickHouse;
use crate::sink::tables::describe;
use crate::telemetry::board::Board;

/// Time between two questions for a table that cannot be read yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);

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

/// The catalog for `config`. Waits until ClickHouse can describe the tables of own routes, saying so
/// on the board; `None` when `stop` was raised meanwhile.
///
/// # Errors
/// When a table or the settings of an own route cannot work.
pub fn catalog(
    config: &Config,
    clickhouse: &ClickHouse,
    runtime: &Runtime,
    board: &Arc<Board>,
    stop: &StopSign,
) -> Result<Option<Catalog>, RouteError> {
    loop {
        if stop.is_raised() {
            return Ok(None);
        }
        match runtime.block_on(described(config, clickhouse)) {
            Ok(catalog) => return Ok(Some(catalog)),
            Err(error @ RouteError::Unusable { .. }) => return Err(error),
            Err(error @ RouteError::Unknown { .. }) => {
                let mut status = board.status();
                if status.reasons != [error.to_string()] {
                    warn!(%error, "waiting for the tables of own routes");
                }
                status.reasons = vec![error.to_string()];
                board.publish(status);
                board.turn();
                // Within the runtime: a timer cannot be made outside of one.
                runtime.block_on(async { tokio::time::sleep(ASK_AGAIN).await });
            }
        }
    }
}

/// The shipped catalog with the own routes of `config`, as ClickHouse describes their tables.
///
/// # Errors
/// When a table cannot be read or used.
pub async fn described(config: &Config, clickhouse: &ClickHouse) -> Result<Catalog, RouteError> {
    let mut catalog = Catalog::shipped();
    for route in &config.routes {
        let unknown = |reason| RouteError::Unknown { route: route.name.clone(), reason };
        let unusable = |reason| RouteError::Unusable { route: route.name.clone(), reason };
        let name = format!("{}.{}", clickhouse.database(), route.table);
        let live = describe(clickhouse, &route.table)
            .await
            .map_err(|failure| unknown(format!("table {name} cannot be read: {failure}")))?
            .ok_or_else(|| unknown(format!("table {name} does not exist: create it")))?;
        let table = Table::from_live(&route.table, &live)
            .map_err(|mismatches| unusable(listed(&mismatches)))?;
        let id = catalog.add_table(table.clone());
        let route = Route::from_settings(&route.name, id, &table, &settings(route))
            .map_err(|problems| unusable(listed(&problems)))?;
        catalog.add_route(route);
    }
    Ok(catalog)
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
