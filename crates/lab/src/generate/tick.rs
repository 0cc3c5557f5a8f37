//! Ticks in the three dialects that are in the wild, and mixtures of them.

use super::draft::{Draft, Written};
use super::literal::{TimeStyle, push_price, push_scaled, push_time};
use super::symbols::push_symbol;
use super::{Message, Role, Source};
use crate::chance::Chance;
use crate::plan::Publishers;

pub(crate) const SYMBOL: usize = 0;
pub(crate) const TIMESTAMP: usize = 1;
pub(crate) const BID: usize = 2;
pub(crate) const ASK: usize = 3;
pub(crate) const VOLUME: usize = 4;
pub(crate) const EXCHANGE: usize = 5;
pub(crate) const SOURCE: usize = 6;
pub(crate) const EVENT_TYPE: usize = 7;

/// What the publisher knows and how it calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `symbol bid ask timestamp timestamp_ms exchange source event_type _transport`.
    Websocket,
    /// `ev pair x b a s t`.
    Short,
    /// `timestamp symbol bid ask volume source`, times as ISO texts without zone.
    Historical,
}

/// A tick as values, each as the text of its literal.
struct Tick<'a> {
    ms: i64,
    price: (u64, u32),
    ask_over: u64,
    volume: Option<u32>,
    exchange: Option<u32>,
    source: Option<&'a str>,
    event_type: Option<&'a str>,
    publishers: Publishers,
}

static SOURCES: [&str; 4] =
    ["polygon_websocket", "oanda \"v20\"", "données\u{2009}\u{1F4C8}", "back\\slash\tand tab"];

pub(super) fn draft(source: Source<'_>, message: &mut Message) {
    let Source { plan, event_ms, group_event_ms, mut which, mut group, mut values, mut shape } =
        source;
    // Eight neighbours in one millisecond, now and then: different ticks, all to be kept.
    let burst = group.one_in(16);
    let (chance, ms) = if burst { (&mut group, group_event_ms) } else { (&mut which, event_ms) };
    let number = chance.below(plan.symbols.get());
    let instrument = push_symbol(&mut message.key, number);
    message.partition = i32::try_from(number % plan.partitions.get()).expect("few partitions");

    let wild = plan.publishers == Publishers::Wild;
    let dialect = match values.below(20) {
        0..=9 => Dialect::Websocket,
        10..=14 => Dialect::Short,
        _ => Dialect::Historical,
    };
    let spread = instrument.price / 50 + 2;
    let above = values.next() % spread;
    let tick = Tick {
        ms,
        price: (instrument.price - spread / 2 + above, instrument.digits),
        ask_over: u64::from(values.between(1, 30)),
        volume: (dialect != Dialect::Websocket).then(|| values.below(4_000)),
        exchange: (dialect != Dialect::Historical).then(|| values.between(1, 400)),
        source: match dialect {
            Dialect::Websocket if wild && values.one_in(50) => Some(*values.pick(&SOURCES)),
            Dialect::Websocket => Some(SOURCES[0]),
            Dialect::Short => None,
            Dialect::Historical => Some("dukascopy_historical"),
        },
        event_type: match dialect {
            Dialect::Websocket => Some("quote"),
            Dialect::Short => Some("C"),
            Dialect::Historical => None,
        },
        publishers: plan.publishers,
    };
    let draft = &mut message.draft;
    // A mixture: each field under any of its names. A copy by another transport often is one.
    let mixtures = if matches!(message.role, Role::Copy { .. }) { 2 } else { 12 };
    if wild && shape.one_in(mixtures) {
        mixed(&tick, draft, &message.key, &mut values, &mut shape);
        return;
    }
    match dialect {
        Dialect::Websocket => websocket(&tick, draft, &message.key, &mut values, &mut shape),
        Dialect::Short => short(&tick, draft, &message.key, &mut values),
        Dialect::Historical => historical(&tick, draft, &message.key, &mut values),
    }
}

fn websocket(
    tick: &Tick<'_>,
    draft: &mut Draft,
    symbol: &[u8],
    values: &mut Chance,
    shape: &mut Chance,
) {
    put_symbol(draft, "symbol", symbol);
    put_prices(tick, draft, ["bid", "ask"], Written::Bare, values);
    draft.put("timestamp", None, Written::Bare, |out| {
        push_time(out, tick.ms, TimeStyle::Millis);
    });
    put_time(tick, draft, "timestamp_ms", TimeStyle::Millis);
    put_optional(
        tick,
        draft,
        ["volume", "exchange", "source", "event_type"],
        Written::Bare,
        values,
    );
    draft.extra("_transport", Written::Text, shape.pick::<&str>(&["nats", "kafka", "both"]));
    if tick.publishers == Publishers::Wild && shape.one_in(40) {
        put_unknown(draft, shape);
    }
}

fn short(tick: &Tick<'_>, draft: &mut Draft, symbol: &[u8], values: &mut Chance) {
    // Same order of draws as the others, so that a copy in another dialect has the same texts.
    put_symbol(draft, "pair", symbol);
    put_prices(tick, draft, ["b", "a"], Written::Bare, values);
    put_optional(tick, draft, ["s", "x", "source", "ev"], Written::Bare, values);
    put_time(tick, draft, "t", TimeStyle::Millis);
    draft.fields.rotate_right(2);
}

fn historical(tick: &Tick<'_>, draft: &mut Draft, symbol: &[u8], values: &mut Chance) {
    put_time(tick, draft, "timestamp", TimeStyle::Naive);
    put_symbol(draft, "symbol", symbol);
    put_prices(tick, draft, ["bid", "ask"], Written::Bare, values);
    put_optional(
        tick,
        draft,
        ["volume", "exchange", "source", "event_type"],
        Written::Bare,
        values,
    );
}

fn mixed(
    tick: &Tick<'_>,
    draft: &mut Draft,
    symbol: &[u8],
    values: &mut Chance,
    shape: &mut Chance,
) {
    let number = if shape.one_in(2) { Written::Text } else { Written::Bare };
    put_symbol(draft, shape.pick::<&str>(&["symbol", "pair"]), symbol);
    let prices = [*shape.pick(&["bid", "b"]), *shape.pick(&["ask", "a"])];
    put_prices(tick, draft, prices, number, values);
    let style = match shape.below(6) {
        0 | 1 => TimeStyle::Millis,
        2 => TimeStyle::Offset,
        3 => TimeStyle::Zulu,
        4 => TimeStyle::Naive,
        _ => TimeStyle::East(*shape.pick(&[120, -300, 330, -210, 0, 840])),
    };
    let name = *shape.pick(&["timestamp_ms", "t", "timestamp"]);
    put_time(tick, draft, name, style);
    let names = [
        *shape.pick(&["volume", "s"]),
        *shape.pick(&["exchange", "x"]),
        "source",
        *shape.pick(&["event_type", "ev"]),
    ];
    put_optional(tick, draft, names, number, values);
    shadow(draft, shape);
    if shape.one_in(2) {
        put_unknown(draft, shape);
    }
    shuffle(draft, shape);
}

/// Puts wrong values under the second names of fields whose first name is there: the first wins.
fn shadow(draft: &mut Draft, shape: &mut Chance) {
    let pairs = [
        ("symbol", "pair"),
        ("bid", "b"),
        ("ask", "a"),
        ("volume", "s"),
        ("exchange", "x"),
        ("timestamp_ms", "t"),
    ];
    for (first, second) in pairs {
        let there = draft.fields.iter().any(|field| field.key == first && field.column.is_some());
        if there && shape.one_in(3) {
            let wrong = if second == "pair" { "XXX/YYY" } else { "77" };
            let written = if second == "pair" { Written::Text } else { Written::Bare };
            draft.extra(second, written, wrong);
        }
    }
}

fn put_symbol(draft: &mut Draft, key: &'static str, symbol: &[u8]) {
    draft.put(key, Some(SYMBOL), Written::Text, |out| {
        out.extend_from_slice(symbol);
    });
}

fn put_time(tick: &Tick<'_>, draft: &mut Draft, key: &'static str, style: TimeStyle) {
    let written = if style == TimeStyle::Millis { Written::Bare } else { Written::Text };
    draft.put(key, Some(TIMESTAMP), written, |out| {
        push_time(out, tick.ms, style);
    });
}

fn put_prices(
    tick: &Tick<'_>,
    draft: &mut Draft,
    keys: [&'static str; 2],
    written: Written,
    values: &mut Chance,
) {
    let (bid, digits) = tick.price;
    draft.put(keys[0], Some(BID), written, |out| {
        push_number(tick, out, values, bid, digits);
    });
    draft.put(keys[1], Some(ASK), written, |out| {
        push_number(tick, out, values, bid + tick.ask_over, digits);
    });
}

fn push_number(
    tick: &Tick<'_>,
    out: &mut Vec<u8>,
    values: &mut Chance,
    unscaled: u64,
    digits: u32,
) {
    match tick.publishers {
        Publishers::Wild => push_price(out, values, unscaled, digits),
        Publishers::Tidy => push_scaled(out, unscaled, digits),
    }
}

/// Volume, exchange, source and event type, or now and then a null in their place.
fn put_optional(
    tick: &Tick<'_>,
    draft: &mut Draft,
    keys: [&'static str; 4],
    written: Written,
    values: &mut Chance,
) {
    let wild = tick.publishers == Publishers::Wild;
    match tick.volume {
        Some(volume) => draft.put(keys[0], Some(VOLUME), written, |out| {
            push_number(tick, out, values, u64::from(volume) * 5, 1);
        }),
        None if wild && values.one_in(64) => draft.null(keys[0]),
        None => {}
    }
    match tick.exchange {
        Some(exchange) => draft.put(keys[1], Some(EXCHANGE), written, |out| {
            out.extend_from_slice(exchange.to_string().as_bytes());
        }),
        None if wild && values.one_in(64) => draft.null(keys[1]),
        None => {}
    }
    for (key, column, text) in
        [(keys[2], SOURCE, tick.source), (keys[3], EVENT_TYPE, tick.event_type)]
    {
        match text {
            Some(text) => draft.text(key, column, text),
            None if wild && values.one_in(64) => draft.null(key),
            None => {}
        }
    }
}

/// Fields that nobody asked for.
pub(super) fn put_unknown(draft: &mut Draft, shape: &mut Chance) {
    let (key, written, value) = *shape.pick(&[
        ("received_at", Written::Bare, "1706198400.1234567"),
        ("seq", Written::Bare, "18446744073709551616"),
        ("meta", Written::Bare, r#"{"a": [1, -2.5e-7, {"b": null, "bid": "no"}], "c": "}]\""}"#),
        ("tags", Written::Bare, r#"["fx","\u00e9\ud83d\ude00",true,false,[],{}]"#),
        ("комментарий", Written::Text, "наблюдение № 5"),
        (
            "note",
            Written::Text,
            "a \"quoted\" text, with: {braces}, [brackets] and \\ at its end\\",
        ),
        ("", Written::Bare, "0"),
    ]);
    draft.extra(key, written, value);
}

/// Any order.
pub(super) fn shuffle(draft: &mut Draft, shape: &mut Chance) {
    for index in (1..draft.fields.len()).rev() {
        let other = shape.below(u32::try_from(index + 1).expect("few fields")) as usize;
        draft.fields.swap(index, other);
    }
}
