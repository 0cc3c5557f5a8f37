//! Whole chunks: what is counted, where rows go, what a dead letter holds.

use std::sync::Arc;

use super::NOW_MS;
use crate::arena::Arena;
use crate::block::{Blocks, Cell};
use crate::catalog::Catalog;
use crate::decode::{DeadLetter, Decoder, Reason, SUBJECT_HEADER, Tally, bury};
use crate::units::{Partition, Position};

fn decoder(catalog: &Arc<Catalog>, route: &str) -> Decoder {
    let id = catalog.route_id(route).expect("a known route");
    Decoder::new(Arc::clone(catalog), id, "kafka:tick_archive:3".to_owned())
}

fn tick(timestamp_ms: i64) -> Vec<u8> {
    format!(r#"{{"symbol":"A","bid":1,"ask":2,"t":{timestamp_ms}}}"#).into_bytes()
}

/// Positions from 100 on.
fn arena(payloads: &[Option<&[u8]>]) -> Arena {
    let mut arena = Arena::new();
    for (position, payload) in (100..).zip(payloads) {
        arena.push(Position(position), 1_706_198_400_500, Some(b"key"), *payload, None, []);
    }
    arena
}

#[test]
fn rows_are_counted_per_shelf_and_refusals_per_reason() {
    let catalog = Arc::new(Catalog::shipped());
    let (january, february) = (tick(1_706_198_400_123), tick(1_706_745_600_000));
    let unknown = br#"{"symbol":"A","bid":1,"ask":2,"t":1706198400123,"u":1,"v":[2]}"#;
    let chunk = arena(&[
        Some(&january),
        Some(b"x"),
        Some(&february),
        None,
        Some(b""),
        Some(unknown),
        Some(b"y"),
    ]);
    let mut blocks = Blocks::new(Arc::clone(&catalog));
    let mut tally = Tally::default();
    decoder(&catalog, "ticks").decode(&chunk, NOW_MS, &mut blocks, &mut tally);
    assert_eq!((tally.decoded, tally.unknown_fields, tally.dead_letters()), (3, 2, 4));
    let dead = [(Reason::NotJson, 2), (Reason::Tombstone, 1), (Reason::EmptyValue, 1)];
    assert_eq!(tally.dead, dead);
    let ticks = catalog.table_id("ticks").unwrap();
    let shelves: Vec<_> = (tally.parts.iter())
        .map(|part| (part.shelf.table, part.shelf.partition, part.rows))
        .collect();
    assert_eq!(
        shelves,
        [
            (ticks, Partition(202_401), 2),
            (catalog.dead_letters(), Partition(202_401), 4),
            (ticks, Partition(202_402), 1),
        ]
    );
    for part in &tally.parts {
        let block = blocks.get(part.shelf).expect("an open block");
        assert_eq!((block.rows(), block.bytes()), (part.rows, part.bytes));
    }
    let buried = blocks.get(tally.parts[1].shelf).unwrap();
    let origins: Vec<_> = (0..4).map(|row| buried.origin(row).unwrap()).collect();
    let origin = "kafka:tick_archive:3";
    assert_eq!(origins, [101, 103, 104, 106].map(|position| (origin, Position(position))));
    tally.clear();
    assert_eq!(tally, Tally::default());
}

#[test]
fn a_panic_costs_one_message() {
    let catalog = Arc::new(Catalog::shipped());
    let good = tick(1_706_198_400_123);
    let chunk = arena(&[Some(good.as_slice()); 5]);
    for culprit in 100..105 {
        let mut decoder = decoder(&catalog, "ticks");
        decoder.panic_at = Some(Position(culprit));
        let mut blocks = Blocks::new(Arc::clone(&catalog));
        let mut tally = Tally::default();
        decoder.decode(&chunk, NOW_MS, &mut blocks, &mut tally);
        assert_eq!((tally.decoded, tally.dead.as_slice()), (4, &[(Reason::Panic, 1)][..]));
        let grave = tally.parts.iter().find(|part| part.shelf.table == catalog.dead_letters());
        let block = blocks.get(grave.unwrap().shelf).unwrap();
        assert_eq!(block.origin(0), Some(("kafka:tick_archive:3", Position(culprit))));
    }
}

/// The record of a letter with bytes that are no text anywhere.
fn letter_arena(time_ms: i64) -> Arena {
    let mut arena = Arena::new();
    let headers =
        [(&b"trace"[..], Some(&b"\xff\x00"[..])), (b"none", None), (b"trace", Some(b"2"))];
    let subject = Some("market.A.tick");
    arena.push(Position(9), time_ms, Some(b"\xfek"), Some(b"\xff{\x00"), subject, headers);
    arena
}

fn letter<'a>(arena: &'a Arena, error: &'a str) -> DeadLetter<'a> {
    DeadLetter {
        record: arena.get(0).expect("one record"),
        origin: "nats:MARKET",
        route: "ticks",
        reason: Reason::ClickhouseRefused,
        error,
        clickhouse_code: 131,
        attempts: 3,
        first_failed_ms: 10,
        last_failed_ms: 20,
    }
}

#[test]
fn a_dead_letter_holds_its_message_byte_for_byte() {
    let catalog = Catalog::shipped();
    let arena = letter_arena(1_706_198_400_500);
    let letter = letter(&arena, "refused");
    let headers = letter.headers();
    let cell = |name: &str| {
        let columns = &catalog.table(catalog.dead_letters()).columns;
        let column = columns.iter().find(|column| column.name == name);
        letter.cell(column.expect("a column"), &headers)
    };
    assert_eq!(cell("received_at"), Cell::Int(1_706_198_400_500));
    assert_eq!(cell("route"), Cell::Text("ticks"));
    assert_eq!(cell("reason"), Cell::Text("clickhouse_refused"));
    assert_eq!(cell("error"), Cell::Text("refused"));
    assert_eq!(cell("clickhouse_code"), Cell::Int(131));
    assert_eq!(cell("key"), Cell::Bytes(b"\xfek"));
    assert_eq!(cell("payload"), Cell::Bytes(b"\xff{\x00"));
    assert_eq!(cell("attempts"), Cell::UInt(3));
    assert_eq!((cell("first_failed_at"), cell("last_failed_at")), (Cell::Int(10), Cell::Int(20)));
    assert_eq!(cell("replayed_at"), Cell::Null);
    assert_eq!(cell("origin"), Cell::Text("nats:MARKET"));
    assert_eq!(cell("origin_position"), Cell::UInt(9));
    assert_eq!(cell("version"), Cell::UInt((1_706_198_400_500 << 22) + 9));
    let pairs: [(&[u8], &[u8]); 4] = [
        (b"trace", b"\xff\x00"),
        (b"none", b""),
        (b"trace", b"2"),
        (SUBJECT_HEADER.as_bytes(), b"market.A.tick"),
    ];
    assert_eq!(cell("headers"), Cell::Map(&pairs));
}

#[test]
fn a_dead_letter_lies_in_the_month_in_which_the_broker_received_it() {
    let catalog = Arc::new(Catalog::shipped());
    for (time_ms, month) in
        [(-1, 197_001), (i64::MIN, 197_001), (1_706_745_600_000, 202_402), (i64::MAX, 229_912)]
    {
        let mut blocks = Blocks::new(Arc::clone(&catalog));
        let arena = letter_arena(time_ms);
        let part = bury(&letter(&arena, "refused"), &catalog, &mut blocks);
        assert_eq!(part.shelf.table, catalog.dead_letters());
        assert_eq!((part.shelf.partition, part.rows), (Partition(month), 1));
        let block = blocks.take(part.shelf).expect("an open block");
        assert_eq!(block.bytes(), part.bytes);
        let mut encoded = Vec::new();
        block.encode(0..1, &mut encoded);
        assert!(encoded.windows(3).any(|bytes| bytes == b"\xff{\x00"));
    }
}

/// Random bytes, and sound messages with random damage: never a failure of the decoder itself.
#[test]
fn nothing_makes_the_decoder_panic() {
    let catalog = Arc::new(Catalog::shipped());
    let mut random = fastrand::Rng::with_seed(25);
    let sound: [&[u8]; 4] = [
        br#"{"symbol":"EUR\/USD","bid":1.09551,"ask":"1.1","timestamp":"2024-01-25T16:00:00.123+01:00","volume":1e3,"o":[{"a":null}]}"#,
        br#"{"s":"A","timeframe":"5m","t":1706198400000,"o":1,"h":1.5,"l":-0,"c":2,"indicators":{"a":[1,2,{}]},"is_complete":true}"#,
        br#"{"data":{"date":"2024-01-25","time":"13:30:00","value":"1.5","timestamp":5,"current_utc_time":"2024-01-25"},"metadata":{"timestamp":"2024-01-25T16:00:00Z"}}"#,
        "{\"symbol\":\"\u{e9}\u{20ac}\u{1f600}\\ud83d\\ude00\",\"b\":0.1,\"a\":0.2,\"t\":1}".as_bytes(),
    ];
    for route in catalog.routes() {
        let mut decoder = decoder(&catalog, &route.name);
        let mut blocks = Blocks::new(Arc::clone(&catalog));
        let mut tally = Tally::default();
        for _ in 0..30 {
            let mut arena = Arena::new();
            for position in 0..1_000 {
                let mut payload = random.choice(sound).expect("not empty").to_vec();
                for _ in 0..random.usize(0..4) {
                    damage(&mut payload, &mut random);
                }
                arena.push(Position(position), random.i64(..), None, Some(&payload), None, []);
            }
            decoder.decode(&arena, random.i64(0..1 << 42), &mut blocks, &mut tally);
        }
        assert_eq!(u64::from(tally.decoded + tally.dead_letters()), blocks.rows());
        assert!(tally.dead.iter().all(|(reason, _)| *reason != Reason::Panic), "{:?}", tally.dead);
    }
}

pub(super) fn damage(payload: &mut Vec<u8>, random: &mut fastrand::Rng) {
    const ALPHABET: &[u8] = b"{}[]\",:\\ue+-.0159 \n\0\x1f\x7f\xc3\xa9\xffNItfn";
    let at = random.usize(0..=payload.len());
    match random.u8(0..6) {
        0 => payload.truncate(at),
        1 => payload.insert(at, *random.choice(ALPHABET).expect("not empty")),
        2 if at < payload.len() => payload[at] = *random.choice(ALPHABET).expect("not empty"),
        3 if at < payload.len() => payload[at] = random.u8(..),
        4 if at < payload.len() => drop(payload.remove(at)),
        _ => {
            let end = (at + random.usize(0..20)).min(payload.len());
            let piece = payload[at..end].to_vec();
            let to = random.usize(0..=payload.len());
            payload.splice(to..to, piece);
        }
    }
}
