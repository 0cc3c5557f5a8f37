//! Messages of every dialect and route, as publishers write them: seeded, with values that change.

use std::sync::Arc;

use data_bridge_core::arena::Arena;
use data_bridge_core::catalog::{Catalog, Column, Route, RouteSettings, Table};
use data_bridge_core::units::Position;

/// A kind of message: how it is called, its route, and how one is written.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) route: &'static str,
    write: fn(&mut fastrand::Rng, u64) -> String,
}

pub(crate) const TICK: &str = "tick";
pub(crate) const TICK_DUMPS: &str = "tick, json.dumps";
pub(crate) const TICK_POLYGON: &str = "tick, polygon";
pub(crate) const TICK_DUKASCOPY: &str = "tick, dukascopy";
pub(crate) const TICK_MIXED: &str = "tick, three dialects mixed";
pub(crate) const CANDLE: &str = "candle";
pub(crate) const CANDLE_INDICATORS: &str = "candle, indicators";

const SYMBOLS: [&str; 12] = [
    "EUR/USD", "GBP/USD", "USD/JPY", "AUD/USD", "USD/CAD", "USD/CHF", "NZD/USD", "EUR/GBP",
    "EUR/JPY", "GBP/JPY", "XAU/USD", "BTCUSDT",
];

pub(crate) const KINDS: &[Kind] = &[
    Kind { name: TICK, route: "ticks", write: tick },
    Kind { name: TICK_DUMPS, route: "ticks", write: |random, n| spaced(&tick(random, n)) },
    Kind { name: TICK_POLYGON, route: "ticks", write: polygon },
    Kind { name: TICK_DUKASCOPY, route: "ticks", write: dukascopy },
    Kind {
        name: TICK_MIXED,
        route: "ticks",
        write: |random, n| match random.u8(0..3) {
            0 => tick(random, n),
            1 => polygon(random, n),
            _ => dukascopy(random, n),
        },
    },
    Kind { name: CANDLE, route: "aggregates", write: candle },
    Kind { name: CANDLE_INDICATORS, route: "aggregates", write: with_indicators },
    Kind { name: "economic_calendar", route: "external_economic_calendar", write: calendar },
    Kind { name: "fred_economic", route: "external_fred_economic", write: fred },
    Kind { name: "crypto_sentiment", route: "external_crypto_sentiment", write: crypto },
    Kind { name: "fear_greed_index", route: "external_fear_greed_index", write: fear_greed },
    Kind { name: "commodity_prices", route: "external_commodity_prices", write: commodity },
    Kind { name: "market_sessions", route: "external_market_sessions", write: sessions },
    Kind { name: "own route: orders", route: "orders", write: order },
];

/// The shipped routes and one of a user's own.
pub(crate) fn catalog() -> Arc<Catalog> {
    let mut catalog = Catalog::shipped();
    let columns = [
        ("order_id", "UInt64"),
        ("account", "LowCardinality(String)"),
        ("price", "Decimal(38, 12)"),
        ("quantity", "Decimal(9, 2)"),
        ("placed_at", "DateTime64(6, 'UTC')"),
        ("urgent", "Bool"),
        ("weight", "Float64"),
        ("note", "Nullable(String)"),
        ("version", "UInt64"),
    ];
    let columns =
        columns.iter().map(|(name, kind)| Column::parse(name, kind).expect("known types"));
    let table = Table {
        name: "orders".to_owned(),
        columns: columns.collect(),
        sort_key: vec!["order_id".to_owned()],
        partition: None,
    };
    let id = catalog.add_table(table.clone());
    let route = Route::from_settings("orders", id, &table, &RouteSettings::default());
    catalog.add_route(route.expect("a sound route"));
    Arc::new(catalog)
}

impl Kind {
    /// `count` messages, the same for the same seed.
    pub(crate) fn arena(&self, count: u32) -> Arena {
        let mut random = fastrand::Rng::with_seed(7);
        let mut arena = Arena::new();
        for n in 0..u64::from(count) {
            let payload = (self.write)(&mut random, n);
            arena.push(Position(n), 1_706_198_400_000, None, Some(payload.as_bytes()), None, []);
        }
        arena
    }
}

fn symbol(random: &mut fastrand::Rng) -> &'static str {
    SYMBOLS[random.usize(0..SYMBOLS.len())]
}

/// As Python prints a price of up to five digits behind the point.
fn price(random: &mut fastrand::Rng) -> String {
    let text = format!("{}.{:05}", random.u8(1..3), random.u32(0..100_000));
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

fn tick(random: &mut fastrand::Rng, n: u64) -> String {
    let time = 1_706_198_400_123 + n;
    format!(
        r#"{{"symbol":"{}","bid":{},"ask":{},"timestamp":{time},"timestamp_ms":{time},"exchange":48,"source":"polygon_websocket","event_type":"quote","_transport":"nats"}}"#,
        symbol(random),
        price(random),
        price(random),
    )
}

fn spaced(message: &str) -> String {
    message.replace("\":", "\": ").replace(",\"", ", \"")
}

fn polygon(random: &mut fastrand::Rng, n: u64) -> String {
    format!(
        r#"{{"ev":"C","pair":"{}","x":48,"b":{},"a":{},"s":{},"t":{}}}"#,
        symbol(random),
        price(random),
        price(random),
        random.u8(1..9),
        1_706_198_400_123 + n,
    )
}

fn dukascopy(random: &mut fastrand::Rng, n: u64) -> String {
    format!(
        r#"{{"timestamp":"2024-01-02 15:{:02}:{:02}.{:03}000","symbol":"{}","bid":{},"ask":{},"volume":{}.{},"source":"dukascopy_historical"}}"#,
        n / 60_000 % 60,
        n / 1000 % 60,
        n % 1000,
        symbol(random),
        price(random),
        price(random),
        random.u8(0..9),
        random.u8(0..99),
    )
}

fn candle(random: &mut fastrand::Rng, n: u64) -> String {
    format!(
        r#"{{"symbol":"{}","timeframe":"5m","timestamp_ms":{},"open":{},"high":{},"low":{},"close":{},"volume":{},"vwap":{},"range_pips":{}.{:015},"start_time":"2024-01-25T16:{:02}:00+00:00","end_time":"2024-01-25T17:{:02}:00+00:00","source":"polygon_historical","event_type":"ohlcv"}}"#,
        symbol(random),
        1_706_198_400_000 + n * 300_000,
        price(random),
        price(random),
        price(random),
        price(random),
        random.u32(0..100_000),
        price(random),
        random.u8(0..99),
        random.u64(0..1_000_000_000_000_000),
        random.u8(0..60),
        random.u8(0..60),
    )
}

fn with_indicators(random: &mut fastrand::Rng, n: u64) -> String {
    format!(
        r#"{{"symbol":"{}","timeframe":"1h","timestamp_ms":{},"open":{},"high":{},"low":{},"close":{},"tick_count":{},"avg_spread":0.00012,"max_spread":0.0004,"min_spread":0.00008,"price_range":0.0012,"pct_change":0.018,"is_complete":1,"indicators":{{"rsi_14":{}.{},"sma_20":{}}}}}"#,
        symbol(random),
        1_706_198_400_000 + n * 3_600_000,
        price(random),
        price(random),
        price(random),
        price(random),
        random.u32(0..100_000),
        random.u8(0..100),
        random.u8(0..10),
        price(random),
    )
}

fn envelope(kind: &str, data: &str) -> String {
    format!(
        r#"{{"data":{{{data}}},"metadata":{{"type":"{kind}","timestamp":"2024-01-25T16:00:00Z","version":"1.0.0","source":"collector"}}}}"#
    )
}

fn calendar(random: &mut fastrand::Rng, _: u64) -> String {
    let data = format!(
        r#""date":"2024-02-{:02}","time":"13:{:02}","currency":"USD","event":"Nonfarm Payrolls {}","impact":"high","forecast":"{}K","previous":"{}K","actual":null"#,
        random.u8(1..29),
        random.u8(0..60),
        random.u8(0..99),
        random.u8(..),
        random.u8(..),
    );
    envelope("economic_calendar", &data)
}

fn fred(random: &mut fastrand::Rng, _: u64) -> String {
    let data = format!(
        r#""series_id":"GDP","date":"2023-01-{:02}","value":{}.{}"#,
        random.u8(1..29),
        random.u16(..),
        random.u8(0..10),
    );
    envelope("fred_economic", &data)
}

fn crypto(random: &mut fastrand::Rng, _: u64) -> String {
    let data = format!(
        r#""coin_id":"bitcoin","name":"Bitcoin","symbol":"btc","price_usd":{}.{},"price_change_24h":-{}.{:05},"market_cap_rank":1,"sentiment_votes_up_percentage":{}.5,"community_score":null,"twitter_followers":{},"reddit_subscribers":{}"#,
        random.u16(..),
        random.u8(0..99),
        random.u8(0..9),
        random.u32(0..100_000),
        random.u8(0..99),
        random.u32(..),
        random.u32(..),
    );
    envelope("crypto_sentiment", &data)
}

fn fear_greed(random: &mut fastrand::Rng, _: u64) -> String {
    let data = format!(
        r#""value":{},"classification":"Greed","sentiment_score":0.{},"timestamp":"2024-01-{:02}T00:00:00Z""#,
        random.u8(0..100),
        random.u8(10..99),
        random.u8(1..29),
    );
    envelope("fear_greed_index", &data)
}

fn commodity(random: &mut fastrand::Rng, _: u64) -> String {
    let data = format!(
        r#""symbol":"GC=F","name":"Gold","price":{}.{},"currency":"USD","change_percent":-0.{},"volume":{}"#,
        random.u16(1000..),
        random.u8(0..99),
        random.u8(10..99),
        random.u32(..),
    );
    envelope("commodity_prices", &data)
}

fn sessions(random: &mut fastrand::Rng, _: u64) -> String {
    let data = format!(
        r#""current_utc_time":"2024-01-25T{:02}:{:02}:00Z","active_sessions_count":2,"active_sessions":["London","New York"],"liquidity_level":"high""#,
        random.u8(0..24),
        random.u8(0..60),
    );
    envelope("market_sessions", &data)
}

fn order(random: &mut fastrand::Rng, n: u64) -> String {
    format!(
        r#"{{"order_id":{n},"account":"A-{}","price":{},"quantity":{}.5,"placed_at":"2024-01-25T16:00:{:02}.{:06}Z","urgent":{},"weight":{},"note":null}}"#,
        random.u8(0..40),
        price(random),
        random.u16(..),
        random.u8(0..60),
        random.u32(0..1_000_000),
        random.bool(),
        price(random),
    )
}
