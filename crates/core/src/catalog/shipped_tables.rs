//! The tables that ship with the binary, as text: read by the same code as live tables.

use super::column::Column;
use super::table::{PartitionKey, Table};

/// A table as it stands below.
struct Shipped {
    name: &'static str,
    sort_key: &'static [&'static str],
    partition_key: &'static str,
    /// Names and types of its own columns.
    columns: &'static [(&'static str, &'static str)],
}

/// What every table ends with: where a row came from, and which copy of it is the newest.
const PROVENANCE: &[(&str, &str)] =
    &[("origin", "LowCardinality(String)"), ("origin_position", "UInt64"), ("version", "UInt64")];

/// The nine tables of market data.
pub(super) fn shipped_tables() -> Vec<Table> {
    SHIPPED.iter().map(Shipped::table).collect()
}

impl Shipped {
    fn table(&self) -> Table {
        let columns = self.columns.iter().chain(PROVENANCE);
        Table {
            name: self.name.to_owned(),
            columns: columns
                .map(|(name, kind)| {
                    Column::parse(name, kind).expect("shipped tables use types that are known")
                })
                .collect(),
            sort_key: self.sort_key.iter().map(|name| (*name).to_owned()).collect(),
            partition: Some(
                PartitionKey::parse(self.partition_key)
                    .expect("shipped tables use partition keys that are known"),
            ),
        }
    }
}

const TIME: &str = "DateTime64(3, 'UTC')";
const NULLABLE_TIME: &str = "Nullable(DateTime64(3, 'UTC'))";
const KEYWORD: &str = "LowCardinality(String)";
const PRICE: &str = "Decimal(18, 8)";
const NULLABLE_PRICE: &str = "Nullable(Decimal(18, 8))";
/// Prices, values, scores, changes and volumes of which nobody promises that they are small.
const QUANTITY: &str = "Nullable(Decimal(38, 8))";
const COUNT: &str = "Nullable(Int64)";
const TEXT: &str = "String";

const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "ticks",
        sort_key: &["symbol", "timestamp", "event_id"],
        partition_key: "toYYYYMM(timestamp)",
        columns: &[
            ("symbol", KEYWORD),
            ("timestamp", TIME),
            ("bid", PRICE),
            ("ask", PRICE),
            ("volume", NULLABLE_PRICE),
            ("exchange", "Nullable(Int32)"),
            ("source", KEYWORD),
            ("event_type", KEYWORD),
            ("event_id", "UInt64"),
        ],
    },
    Shipped {
        name: "aggregates",
        sort_key: &["symbol", "timeframe", "timestamp"],
        partition_key: "toYYYYMM(timestamp)",
        columns: &[
            ("symbol", KEYWORD),
            ("timeframe", KEYWORD),
            ("timestamp", TIME),
            ("open", PRICE),
            ("high", PRICE),
            ("low", PRICE),
            ("close", PRICE),
            ("volume", QUANTITY),
            ("vwap", NULLABLE_PRICE),
            ("range_pips", NULLABLE_PRICE),
            ("avg_spread", NULLABLE_PRICE),
            ("max_spread", NULLABLE_PRICE),
            ("min_spread", NULLABLE_PRICE),
            ("price_range", NULLABLE_PRICE),
            ("pct_change", NULLABLE_PRICE),
            ("tick_count", "Nullable(UInt64)"),
            ("is_complete", "Nullable(UInt8)"),
            ("start_time", NULLABLE_TIME),
            ("end_time", NULLABLE_TIME),
            ("source", KEYWORD),
            ("event_type", KEYWORD),
            ("indicators", TEXT),
        ],
    },
    Shipped {
        name: "external_economic_calendar",
        sort_key: &["event_time", "currency", "event"],
        partition_key: "toYear(event_time)",
        columns: &[
            ("event_time", TIME),
            ("source", KEYWORD),
            ("date", TEXT),
            ("time", TEXT),
            ("currency", TEXT),
            ("event", TEXT),
            ("impact", TEXT),
            ("forecast", TEXT),
            ("previous", TEXT),
            ("actual", TEXT),
        ],
    },
    Shipped {
        name: "external_fred_economic",
        sort_key: &["series_id", "event_time"],
        partition_key: "toYear(event_time)",
        columns: &[
            ("event_time", TIME),
            ("source", KEYWORD),
            ("series_id", TEXT),
            ("date", TEXT),
            ("value", QUANTITY),
        ],
    },
    Shipped {
        name: "external_crypto_sentiment",
        sort_key: &["coin_id", "event_time"],
        partition_key: "toYear(event_time)",
        columns: &[
            ("event_time", TIME),
            ("source", KEYWORD),
            ("coin_id", TEXT),
            ("name", TEXT),
            ("symbol", TEXT),
            ("price_usd", QUANTITY),
            ("price_change_24h", QUANTITY),
            ("market_cap_rank", COUNT),
            ("sentiment_votes_up_percentage", QUANTITY),
            ("community_score", QUANTITY),
            ("twitter_followers", COUNT),
            ("reddit_subscribers", COUNT),
        ],
    },
    Shipped {
        name: "external_fear_greed_index",
        sort_key: &["event_time"],
        partition_key: "toYear(event_time)",
        columns: &[
            ("event_time", TIME),
            ("source", KEYWORD),
            ("value", QUANTITY),
            ("classification", TEXT),
            ("sentiment_score", QUANTITY),
            ("timestamp", TEXT),
        ],
    },
    Shipped {
        name: "external_commodity_prices",
        sort_key: &["symbol", "event_time"],
        partition_key: "toYear(event_time)",
        columns: &[
            ("event_time", TIME),
            ("source", KEYWORD),
            ("symbol", TEXT),
            ("name", TEXT),
            ("price", QUANTITY),
            ("currency", TEXT),
            ("change_percent", QUANTITY),
            ("volume", QUANTITY),
        ],
    },
    Shipped {
        name: "external_market_sessions",
        sort_key: &["event_time"],
        partition_key: "toYear(event_time)",
        columns: &[
            ("event_time", TIME),
            ("source", KEYWORD),
            ("current_utc_time", TEXT),
            ("active_sessions_count", COUNT),
            ("active_sessions", TEXT),
            ("liquidity_level", TEXT),
        ],
    },
    Shipped {
        name: "dead_letters",
        sort_key: &["origin", "origin_position", "received_at", "reason"],
        partition_key: "toYYYYMM(received_at)",
        columns: &[
            ("received_at", TIME),
            ("route", KEYWORD),
            ("reason", KEYWORD),
            ("error", TEXT),
            ("clickhouse_code", "Int32"),
            ("key", TEXT),
            ("payload", TEXT),
            ("headers", "Map(String, String)"),
            ("attempts", "UInt32"),
            ("first_failed_at", TIME),
            ("last_failed_at", TIME),
            ("replayed_at", NULLABLE_TIME),
        ],
    },
];
