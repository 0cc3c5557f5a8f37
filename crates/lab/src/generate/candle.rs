//! Candles with long and with short names.

use std::io::Write;

use super::draft::{Draft, Written};
use super::literal::{
    TimeStyle, push_artefact, push_price, push_python_float, push_scaled, push_time,
};
use super::symbols::{Instrument, push_symbol};
use super::tick::{put_unknown, shuffle};
use super::{Message, Role, Source};
use crate::chance::Chance;
use crate::plan::Publishers;

pub(crate) const SYMBOL: usize = 0;
pub(crate) const TIMEFRAME: usize = 1;
pub(crate) const TIMESTAMP: usize = 2;
pub(crate) const OPEN: usize = 3;
pub(crate) const CLOSE: usize = 6;
const VOLUME: usize = 7;
const VWAP: usize = 8;
const RANGE_PIPS: usize = 9;
const AVG_SPREAD: usize = 10;
const MAX_SPREAD: usize = 11;
const MIN_SPREAD: usize = 12;
const PRICE_RANGE: usize = 13;
const PCT_CHANGE: usize = 14;
pub(crate) const TICK_COUNT: usize = 15;
pub(crate) const IS_COMPLETE: usize = 16;
const START_TIME: usize = 17;
const END_TIME: usize = 18;
pub(crate) const SOURCE: usize = 19;
const EVENT_TYPE: usize = 20;
const INDICATORS: usize = 21;

/// Timeframes, the common ones more often, with their milliseconds.
static TIMEFRAMES: [(&str, i64); 14] = [
    ("1s", 1_000),
    ("1s", 1_000),
    ("1m", 60_000),
    ("1m", 60_000),
    ("1m", 60_000),
    ("1m", 60_000),
    ("5m", 300_000),
    ("5m", 300_000),
    ("15m", 900_000),
    ("30m", 1_800_000),
    ("1h", 3_600_000),
    ("4h", 14_400_000),
    ("1d", 86_400_000),
    ("1w", 604_800_000),
];

/// How the fields are called: the long names or the short ones.
struct Names {
    symbol: &'static str,
    time: &'static str,
    prices: [&'static str; 4],
    volume: &'static str,
    vwap: &'static str,
    tick_count: &'static str,
}

static LONG: Names = Names {
    symbol: "symbol",
    time: "timestamp_ms",
    prices: ["open", "high", "low", "close"],
    volume: "volume",
    vwap: "vwap",
    tick_count: "tick_count",
};
static SHORT: Names = Names {
    symbol: "pair",
    time: "t",
    prices: ["o", "h", "l", "c"],
    volume: "v",
    vwap: "vw",
    tick_count: "n",
};
static SHORTEST: Names = Names { symbol: "s", ..SHORT };

pub(super) fn draft(source: Source<'_>, message: &mut Message) {
    let Source { plan, event_ms, mut which, mut values, mut shape, .. } = source;
    let number = which.below(plan.symbols.get());
    let instrument = push_symbol(&mut message.key, number);
    message.partition = i32::try_from(number % plan.partitions.get()).expect("few partitions");
    let &(timeframe, length) = which.pick(&TIMEFRAMES);
    let start = event_ms.div_euclid(length) * length;

    let wild = plan.publishers == Publishers::Wild;
    let names = match shape.below(8) {
        0 if wild => &SHORT,
        1 if wild => &SHORTEST,
        _ => &LONG,
    };
    let number = if wild && shape.one_in(16) { Written::Text } else { Written::Bare };
    let draft = &mut message.draft;
    let symbol = &message.key;
    draft.put(names.symbol, Some(SYMBOL), Written::Text, |out| {
        out.extend_from_slice(symbol);
    });
    draft.text("timeframe", TIMEFRAME, timeframe);
    if wild && shape.one_in(12) {
        let style = *shape.pick(&[
            TimeStyle::Offset,
            TimeStyle::Naive,
            TimeStyle::Zulu,
            TimeStyle::East(60),
        ]);
        draft.put("timestamp", Some(TIMESTAMP), Written::Text, |out| {
            push_time(out, start, style);
        });
    } else {
        draft.put(names.time, Some(TIMESTAMP), Written::Bare, |out| {
            push_time(out, start, TimeStyle::Millis);
        });
    }
    put_prices(draft, names, number, instrument, &mut values);
    if values.one_in(2) {
        historical(draft, names, number, instrument, (start, length), &mut values);
    } else {
        aggregated(draft, names, number, &mut values);
    }
    let copy = matches!(message.role, Role::Copy { .. });
    if wild && shape.one_in(24) {
        put_unknown(draft, &mut shape);
    }
    if wild && shape.one_in(if copy { 2 } else { 10 }) {
        shuffle(draft, &mut shape);
    }
}

fn put_prices(
    draft: &mut Draft,
    names: &Names,
    written: Written,
    instrument: &Instrument,
    values: &mut Chance,
) {
    let spread = instrument.price / 50 + 2;
    let open = instrument.price - spread / 2 + values.next() % spread;
    let high = open + values.next() % spread;
    let low = open - (values.next() % (spread / 2 + 1)).min(open - 1);
    let close = low + (high - low) / 2;
    for (index, price) in [open, high, low, close].into_iter().enumerate() {
        draft.put(names.prices[index], Some(OPEN + index), written, |out| {
            push_price(out, values, price, instrument.digits);
        });
    }
}

/// The form of the first candle in the specification: volume, vwap, times, source.
fn historical(
    draft: &mut Draft,
    names: &Names,
    written: Written,
    instrument: &Instrument,
    (start, length): (i64, i64),
    values: &mut Chance,
) {
    match values.below(32) {
        0 => draft.null(names.volume),
        // Thirty digits before the point fit the column.
        1 => draft.put(names.volume, Some(VOLUME), Written::Bare, |out| {
            out.extend_from_slice(b"123456789012345678901234567890.123456785");
        }),
        2 => draft.put(names.volume, Some(VOLUME), Written::Bare, |out| {
            push_python_float(out, 1.25e16 * f64::from(values.between(1, 9)));
        }),
        _ => draft.put(names.volume, Some(VOLUME), written, |out| {
            write!(out, "{}", values.below(100_000)).expect("writing to memory");
        }),
    }
    draft.put(names.vwap, Some(VWAP), written, |out| {
        push_price(out, values, instrument.price, instrument.digits);
    });
    draft.put("range_pips", Some(RANGE_PIPS), written, |out| {
        let pips = u64::from(values.between(1, 900));
        push_artefact(out, values, pips, 1);
    });
    let style = if values.one_in(4) { TimeStyle::Naive } else { TimeStyle::Offset };
    draft.put("start_time", Some(START_TIME), Written::Text, |out| {
        push_time(out, start, style);
    });
    if values.one_in(20) {
        draft.null("end_time");
    } else {
        draft.put("end_time", Some(END_TIME), Written::Text, |out| {
            push_time(out, start + length, style);
        });
    }
    draft.text("source", SOURCE, "polygon_historical");
    draft.text("event_type", EVENT_TYPE, "ohlcv");
}

/// The form of the second: counts, spreads, indicators.
fn aggregated(draft: &mut Draft, names: &Names, written: Written, values: &mut Chance) {
    draft.put(names.tick_count, Some(TICK_COUNT), written, |out| {
        let count = if values.one_in(500) { u64::MAX } else { u64::from(values.below(5_000)) };
        write!(out, "{count}").expect("writing to memory");
    });
    for (key, column, most) in [
        ("avg_spread", AVG_SPREAD, 40),
        ("max_spread", MAX_SPREAD, 90),
        ("min_spread", MIN_SPREAD, 12),
        ("price_range", PRICE_RANGE, 4_000),
    ] {
        draft.put(key, Some(column), written, |out| {
            push_scaled(out, u64::from(values.below(most)), 5);
        });
    }
    draft.put("pct_change", Some(PCT_CHANGE), written, |out| {
        if values.one_in(2) {
            out.push(b'-');
        }
        push_scaled(out, u64::from(values.below(4_000)), 3);
    });
    draft.put("is_complete", Some(IS_COMPLETE), written, |out| {
        out.push(b'0' + u8::from(!values.one_in(5)));
    });
    if values.one_in(3) {
        draft.put("indicators", Some(INDICATORS), Written::Bare, |out| {
            let rsi = values.below(1_000);
            match values.below(4) {
                0 => out.extend_from_slice(b"{}"),
                1 => write!(out, "{{\"rsi_14\": {}.{}, \"macd\": {{\"line\": -1.2e-05, \"signal\": null}}, \"name\": \"a\\tb \\\"c\\\" \\u00e9\", \"list\": [1, 2 ,3 ]}}", rsi / 10, rsi % 10).expect("writing to memory"),
                _ => write!(out, "{{\"rsi_14\":{}.{}}}", rsi / 10, rsi % 10).expect("writing to memory"),
            }
        });
    }
}
