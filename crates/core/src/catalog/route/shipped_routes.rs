//! The routes that ship with the binary: ticks, candles, and six kinds of external data.

use super::super::Table;
use super::{Field, Path, Route, Supply, TextForm, TimeRange, provenance};
use crate::units::TableId;

/// The timeframes that a candle can have.
pub const TIMEFRAMES: &[&str] = &["1s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"];

/// The kinds of external data; each has a route and a table `external_<type>`.
pub const EXTERNAL_TYPES: &[&str] = &[
    "economic_calendar",
    "fred_economic",
    "crypto_sentiment",
    "fear_greed_index",
    "commodity_prices",
    "market_sessions",
];

/// The columns that say which event a tick is, when no header does. Frozen: see `docs/event-id.md`.
const TICK_IDENTITY: &[&str] =
    &["symbol", "timestamp", "bid", "ask", "volume", "exchange", "source", "event_type"];

/// Place of the symbol in `market.{SYMBOL}.tick`, `ticks.{SYMBOL}`, `bars.{SYMBOL}.{timeframe}`.
const SYMBOL_TOKEN: usize = 1;
/// Place of the timeframe in `market.{SYMBOL}.{timeframe}` and `bars.{SYMBOL}.{timeframe}`.
const TIMEFRAME_TOKEN: usize = 2;

/// The routes to those of `tables` that ship with the binary; `dead_letters` has none.
pub(in crate::catalog) fn shipped_routes(tables: &[Table]) -> Vec<Route> {
    let named = (0_u16..).map(TableId).zip(tables);
    named.filter_map(|(id, table)| shipped_route(id, table)).collect()
}

fn shipped_route(id: TableId, table: &Table) -> Option<Route> {
    let route = |time_range, field: &dyn Fn(&str) -> Field| Route {
        name: table.name.clone(),
        table: id,
        fields: table
            .columns
            .iter()
            .map(|column| provenance(&column.name).map_or_else(|| field(&column.name), Field::new))
            .collect(),
        time_range,
        required_objects: Vec::new(),
        ignored: Vec::new(),
    };
    match table.name.as_str() {
        "ticks" => Some(route(TimeRange::LIVE, &tick_field)),
        "aggregates" => Some(route(TimeRange::LIVE, &candle_field)),
        name => {
            let kind = name.strip_prefix("external_")?;
            let kind = EXTERNAL_TYPES.iter().find(|known| **known == kind)?;
            Some(Route {
                required_objects: vec![Path::key("data")],
                ignored: ["metadata.type", "metadata.version", "metadata.timestamp"]
                    .iter()
                    .filter_map(|path| Path::parse(path))
                    .collect(),
                ..route(TimeRange::CALENDAR, &|column| external_field(kind, column))
            })
        }
    }
}

fn tick_field(column: &str) -> Field {
    match column {
        "symbol" => Field::json(&["symbol", "pair"])
            .text(TextForm::Text)
            .else_subject(SYMBOL_TOKEN)
            .required(),
        "timestamp" => Field::json(&["timestamp_ms", "t", "timestamp"]).required(),
        "bid" => Field::json(&["bid", "b"]).required(),
        "ask" => Field::json(&["ask", "a"]).required(),
        "volume" => Field::json(&["volume", "s"]),
        "exchange" => Field::json(&["exchange", "x"]),
        "event_type" => Field::json(&["event_type", "ev"]).text(TextForm::Text),
        "source" => Field::json(&["source"]).text(TextForm::Text),
        "event_id" => {
            let identity = TICK_IDENTITY.iter().map(|name| (*name).to_owned());
            Field::new(Supply::EventId(identity.collect()))
        }
        name => Field::json(&[name]),
    }
}

fn candle_field(column: &str) -> Field {
    match column {
        "symbol" => Field::json(&["symbol", "pair", "s"])
            .text(TextForm::Text)
            .else_subject(SYMBOL_TOKEN)
            .required(),
        "timeframe" => Field::json(&["timeframe"])
            .text(TextForm::OneOf(TIMEFRAMES))
            .else_subject(TIMEFRAME_TOKEN)
            .required(),
        "timestamp" => Field::json(&["timestamp_ms", "t", "timestamp"]).required(),
        "open" => Field::json(&["open", "o"]).required(),
        "high" => Field::json(&["high", "h"]).required(),
        "low" => Field::json(&["low", "l"]).required(),
        "close" => Field::json(&["close", "c"]).required(),
        "volume" => Field::json(&["volume", "v"]),
        "vwap" => Field::json(&["vwap", "vw"]),
        "tick_count" => Field::json(&["tick_count", "n"]),
        "source" | "event_type" => Field::json(&[column]).text(TextForm::Text),
        "indicators" => Field::json(&["indicators"]).text(TextForm::Json),
        name => Field::json(&[name]),
    }
}

fn external_field(kind: &str, column: &str) -> Field {
    match column {
        "event_time" => Field { required: true, ..external_time(kind) },
        "source" => Field::json(&["metadata.source"]).text(TextForm::Text),
        name => Field::json(&[&format!("data.{name}")]),
    }
}

/// The time that belongs to the identity of an event.
fn external_time(kind: &str) -> Field {
    match kind {
        "economic_calendar" => Field::new(Supply::DateAndTime {
            date: Path::parse("data.date").expect("a sound path"),
            time: Path::parse("data.time").expect("a sound path"),
        }),
        "fred_economic" => Field::json(&["data.date"]),
        "fear_greed_index" => Field::json(&["data.timestamp"]),
        "market_sessions" => Field::json(&["data.current_utc_time"]),
        // crypto_sentiment and commodity_prices: snapshots, dated by their envelope.
        _ => Field::json(&["metadata.timestamp"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn every_shipped_table_but_dead_letters_has_a_route_of_its_name() {
        let catalog = Catalog::shipped();
        let routes: Vec<_> = catalog.routes().iter().map(|route| route.name.as_str()).collect();
        let tables: Vec<_> = catalog.tables().iter().map(|table| table.name.as_str()).collect();
        assert_eq!(
            routes,
            tables.iter().copied().filter(|t| *t != "dead_letters").collect::<Vec<_>>()
        );
        for route in catalog.routes() {
            assert_eq!(catalog.table(route.table).name, route.name);
            assert_eq!(catalog.table(route.table).columns.len(), route.fields.len());
        }
    }

    /// A column added to a shipped table is found under its own name; this test asks whoever adds
    /// one whether that is meant.
    #[test]
    fn required_fields_are_those_of_the_specification() {
        let catalog = Catalog::shipped();
        let required = |name: &str| {
            let route = catalog.route(catalog.route_id(name).unwrap());
            let columns = &catalog.table(route.table).columns;
            let named = columns.iter().zip(&route.fields).filter(|(_, field)| field.required);
            named.map(|(column, _)| column.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(required("ticks"), ["symbol", "timestamp", "bid", "ask"]);
        assert_eq!(
            required("aggregates"),
            ["symbol", "timeframe", "timestamp", "open", "high", "low", "close"]
        );
        for kind in EXTERNAL_TYPES {
            assert_eq!(required(&format!("external_{kind}")), ["event_time"]);
        }
    }

    #[test]
    fn external_is_resolved_by_the_last_token() {
        let catalog = Catalog::shipped();
        for kind in EXTERNAL_TYPES {
            let id = catalog.resolve_route("external", &format!("market.external.{kind}"));
            assert_eq!(catalog.route(id.unwrap()).name, format!("external_{kind}"));
        }
        assert_eq!(catalog.resolve_route("external", "market.external.weather"), None);
        assert_eq!(catalog.resolve_route("external", ""), None);
        assert_eq!(catalog.resolve_route("ticks", "whatever"), catalog.route_id("ticks"));
    }
}
