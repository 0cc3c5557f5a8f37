//! The model against the specification: a reading of the payloads that shares nothing with it but
//! the rules.

use std::collections::BTreeMap;

use data_bridge_lab::generate::{Generator, Message, Role};
use data_bridge_lab::model::{Expected, millis, shown};
use data_bridge_lab::plan::{Kind, Mix, Plan};
use serde_json::Value;

use crate::by_hand::BY_HAND;

const START_MS: i64 = 1_760_000_000_000;

/// Names of a column, first match wins, as section 2.3 lists them. A column that is not listed has
/// its own name.
fn names(kind: Kind, column: &'static str) -> &'static [&'static str] {
    match (kind, column) {
        (Kind::Tick, "symbol") => &["symbol", "pair"],
        (Kind::Tick, "volume") => &["volume", "s"],
        (Kind::Tick, "bid") => &["bid", "b"],
        (Kind::Tick, "ask") => &["ask", "a"],
        (Kind::Tick, "exchange") => &["exchange", "x"],
        (Kind::Tick, "event_type") => &["event_type", "ev"],
        (Kind::Tick | Kind::Candle, "timestamp") => &["timestamp_ms", "t", "timestamp"],
        (Kind::Candle, "symbol") => &["symbol", "pair", "s"],
        (Kind::Candle, "open") => &["open", "o"],
        (Kind::Candle, "high") => &["high", "h"],
        (Kind::Candle, "low") => &["low", "l"],
        (Kind::Candle, "close") => &["close", "c"],
        (Kind::Candle, "volume") => &["volume", "v"],
        (Kind::Candle, "vwap") => &["vwap", "vw"],
        (Kind::Candle, "tick_count") => &["tick_count", "n"],
        _ => &[],
    }
}

/// What a payload says for a column, found by the rules of the specification.
fn said<'a>(kind: Kind, column: &'static str, message: &'a Value) -> Option<&'a Value> {
    let (data, metadata) = (&message["data"], &message["metadata"]);
    let found = match (kind, column) {
        (Kind::Tick | Kind::Candle, _) => {
            let listed = names(kind, column);
            let listed = if listed.is_empty() { vec![column] } else { listed.to_vec() };
            listed.into_iter().find_map(|name| message.get(name).filter(|value| !value.is_null()))
        }
        (_, "source") => metadata.get("source"),
        (Kind::CryptoSentiment | Kind::CommodityPrices, "event_time") => metadata.get("timestamp"),
        (Kind::FearGreedIndex, "event_time") => data.get("timestamp"),
        (Kind::MarketSessions, "event_time") => data.get("current_utc_time"),
        (Kind::FredEconomic, "event_time") => data.get("date"),
        (_, column) => data.get(column),
    };
    found.filter(|value| !value.is_null())
}

fn agrees(column: &str, said: &Value, row: &str) -> bool {
    let close = |said: f64| {
        let row: f64 = row.parse().expect("a number");
        (said - row).abs() <= 6e-9 + said.abs() * 1e-12
    };
    let is_time = matches!(column, "timestamp" | "event_time" | "start_time" | "end_time")
        && !row.contains(':');
    match said {
        Value::Number(number) if is_time => number.to_string() == row,
        Value::String(text) if is_time && row.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
            text.parse::<i64>().map_or(millis(text.as_bytes()), Some) == row.parse().ok()
        }
        Value::Number(number) => close(number.as_f64().expect("finite")),
        Value::String(text) => text == row || text.parse().is_ok_and(close),
        Value::Array(_) | Value::Object(_) => {
            serde_json::from_str::<Value>(row).is_ok_and(|row| row == *said)
        }
        Value::Bool(_) | Value::Null => false,
    }
}

#[test]
fn payloads_say_what_the_model_reads() {
    let mut plan = Plan::new(11, 20_000, START_MS);
    plan.mix.kinds = [10, 10, 4, 4, 4, 4, 4, 4];
    plan.mix.odd_shapes = 0.3;
    let generator = Generator::try_new(plan).expect("sound");
    let mut message = Message::default();
    for number in 0..20_000 {
        generator.message(number, &mut message);
        if let Role::Bad(_) = message.role {
            continue;
        }
        let payload = message.payload().expect("good messages have one");
        let value: Value = serde_json::from_slice(payload).expect("good messages are JSON");
        for (column, row) in shown(&message).expect("the model reads it") {
            if (message.kind, column) == (Kind::EconomicCalendar, "event_time") {
                let text = |name: &str| value["data"][name].as_str().expect("a text").to_owned();
                let both = text("date") + " " + &text("time");
                assert_eq!(millis(both.as_bytes()).map(|ms| ms.to_string()), row);
                continue;
            }
            let right = match (said(message.kind, column, &value), &row) {
                (None, None) => true,
                (None, Some(row)) => row.is_empty(),
                (Some(said), Some(row)) => agrees(column, said, row),
                (Some(_), None) => false,
            };
            let payload = String::from_utf8_lossy(payload);
            assert!(right, "message {number}, {column}: row has {row:?}\n{payload}");
        }
    }
}

/// Payload and row of the first message of a kind whose payload has this piece.
fn find(kind: Kind, piece: &str) -> Option<(String, String)> {
    let mut plan = Plan::new(5, 20_000, START_MS);
    plan.mix = Mix::only(kind);
    let generator = Generator::try_new(plan).expect("sound");
    let mut message = Message::default();
    for number in 0..20_000 {
        generator.message(number, &mut message);
        let payload = String::from_utf8_lossy(message.payload().expect("good")).into_owned();
        if payload.contains(piece) {
            let row = shown(&message).expect("the model reads it");
            let row = row.into_iter().map(|(name, value)| {
                format!("{name}={}", value.unwrap_or_else(|| "NULL".to_owned()))
            });
            return Some((payload, row.collect::<Vec<_>>().join("|")));
        }
    }
    None
}

#[test]
fn rows_are_as_worked_out_by_hand() {
    for (kind, piece, payload, row) in BY_HAND {
        assert_eq!(find(kind, piece), Some((payload.to_owned(), row.to_owned())));
    }
}

#[test]
fn copies_collapse_and_the_newest_correction_wins() {
    let mut plan = Plan::new(21, 12_000, START_MS);
    plan.mix =
        Mix { bad: 0.0, duplicates: 0.2, corrections: 0.2, event_ids: 0.5, ..Mix::default() };
    let generator = Generator::try_new(plan).expect("sound");
    let expected = Expected::of(&generator).expect("the model reads it");
    // The slow way: every identity as text, every order written out.
    let mut tables: BTreeMap<(Kind, String), (i64, u64, String)> = BTreeMap::new();
    let mut message = Message::default();
    let (mut copies, mut corrections, mut stale_ones) = (0, 0, 0);
    for number in 0..12_000 {
        generator.message(number, &mut message);
        match message.role {
            Role::Copy { .. } => copies += 1,
            Role::Correction { stale, .. } => {
                corrections += 1;
                stale_ones += u32::from(stale);
            }
            Role::Event | Role::Bad(_) => {}
        }
        let row = shown(&message).expect("the model reads it");
        let key = match message.kind {
            Kind::Tick => match message.event_id() {
                Some(id) => format!("{:?} {:?} id {id}", row[0], row[1]),
                None => format!("{row:?}"),
            },
            Kind::Candle | Kind::EconomicCalendar => format!("{:?}", &row[..3]),
            Kind::FredEconomic | Kind::CryptoSentiment | Kind::CommodityPrices => {
                format!("{:?}", &row[..2])
            }
            Kind::FearGreedIndex | Kind::MarketSessions => format!("{:?}", row[0]),
        };
        let time = message.time_ms.expect("numbered");
        let entry = (time, number, format!("{row:?}"));
        let standing = tables.entry((message.kind, key)).or_insert_with(|| entry.clone());
        if (entry.0, entry.1) > (standing.0, standing.1) {
            *standing = entry;
        }
    }
    assert!(
        copies > 1_000 && corrections > 400 && stale_ones > 80,
        "{copies} {corrections} {stale_ones}"
    );
    for kind in Kind::ALL {
        let slow = tables.keys().filter(|(other, _)| *other == kind).count();
        assert_eq!(expected.visible(kind), slow as u64, "{kind}");
        let rows = expected.rows(kind).expect("the model reads it");
        assert_eq!(rows.len(), slow, "{kind}");
    }
    // Winners by value: the candle rows as multisets.
    let mut slow: Vec<_> = tables
        .iter()
        .filter(|((kind, _), _)| *kind == Kind::Candle)
        .map(|(_, (_, number, _))| {
            generator.message(*number, &mut message);
            format!("{:?}", shown(&message).expect("the model reads it")[3])
        })
        .collect();
    let mut fast: Vec<_> = expected
        .rows(Kind::Candle)
        .expect("the model reads it")
        .iter()
        .map(|row| format!("{:?}", ("open", row.split('\t').nth(3))))
        .collect();
    slow.sort();
    fast.sort();
    assert_eq!(slow, fast);
}
