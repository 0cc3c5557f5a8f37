//! The way most programs read the same messages: `serde_json` into structs that borrow from the
//! message, with binary floats, and with `rust_decimal` where a price must stay what it is.

use std::hint::black_box;

use data_bridge_core::arena::Arena;
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

use super::messages;

/// Reads every message; the number of messages read.
pub(crate) type Reader = fn(&Arena) -> u32;

/// Readers of a kind of message: with floats, and with decimals. None for kinds whose structs
/// would say nothing new.
pub(crate) fn readers(kind: &str) -> Option<(Reader, Reader)> {
    macro_rules! both {
        ($message:ident) => {
            (
                (|arena| read::<$message<'_, f64>>(arena)) as Reader,
                (|arena| read::<$message<'_, Exact>>(arena)) as Reader,
            )
        };
    }
    Some(match kind {
        messages::TICK | messages::TICK_DUMPS => both!(Tick),
        messages::TICK_POLYGON => both!(Polygon),
        messages::TICK_DUKASCOPY => both!(Dukascopy),
        messages::TICK_MIXED => both!(Any),
        messages::CANDLE | messages::CANDLE_INDICATORS => both!(Candle),
        "fred_economic" => both!(Fred),
        _ => return None,
    })
}

fn read<'a, T: Deserialize<'a>>(arena: &'a Arena) -> u32 {
    let mut read = 0;
    for record in arena.records() {
        if let Ok(message) = serde_json::from_slice::<T>(record.payload.unwrap_or_default()) {
            black_box(&message);
            read += 1;
        }
    }
    read
}

/// A number read from its text.
#[expect(dead_code, reason = "read, and not looked at")]
struct Exact(Decimal);

impl<'a> Deserialize<'a> for Exact {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        Decimal::from_str_exact(text).map(Self).map_err(D::Error::custom)
    }
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct Tick<'a, N> {
    symbol: &'a str,
    bid: N,
    ask: N,
    timestamp_ms: i64,
    exchange: Option<i32>,
    source: Option<&'a str>,
    event_type: Option<&'a str>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct Polygon<'a, N> {
    ev: Option<&'a str>,
    pair: &'a str,
    x: Option<i32>,
    b: N,
    a: N,
    s: Option<N>,
    t: i64,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct Dukascopy<'a, N> {
    timestamp: &'a str,
    symbol: &'a str,
    bid: N,
    ask: N,
    volume: Option<N>,
    source: Option<&'a str>,
}

/// All dialects in one struct.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct Any<'a, N> {
    #[serde(alias = "pair")]
    symbol: &'a str,
    #[serde(alias = "b")]
    bid: N,
    #[serde(alias = "a")]
    ask: N,
    #[serde(alias = "t")]
    timestamp_ms: Option<i64>,
    #[serde(alias = "s")]
    volume: Option<N>,
    #[serde(alias = "x")]
    exchange: Option<i32>,
    source: Option<&'a str>,
    #[serde(alias = "ev")]
    event_type: Option<&'a str>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct Candle<'a, N> {
    symbol: &'a str,
    timeframe: &'a str,
    timestamp_ms: i64,
    open: N,
    high: N,
    low: N,
    close: N,
    volume: Option<N>,
    vwap: Option<N>,
    range_pips: Option<N>,
    tick_count: Option<u64>,
    avg_spread: Option<N>,
    max_spread: Option<N>,
    min_spread: Option<N>,
    price_range: Option<N>,
    pct_change: Option<N>,
    is_complete: Option<u8>,
    start_time: Option<&'a str>,
    end_time: Option<&'a str>,
    source: Option<&'a str>,
    event_type: Option<&'a str>,
    #[serde(borrow)]
    indicators: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct Fred<'a, N> {
    #[serde(borrow)]
    data: FredData<'a, N>,
    metadata: Metadata<'a>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct FredData<'a, N> {
    series_id: &'a str,
    date: &'a str,
    value: N,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "read, and not looked at")]
struct Metadata<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: &'a str,
    version: &'a str,
    source: &'a str,
}
