//! Messages that are read by a learned shape, held against the general decoder: the same rows, the
//! same dead letters with the same words, the same counts, whatever the message.

use std::sync::Arc;

use super::differential::agree;
use super::publishers::{Publisher, ROUTES, catalog};
use super::{Bench, NOW_MS};
use crate::arena::Arena;
use crate::block::Blocks;
use crate::catalog::Catalog;
use crate::decode::{Decoder, MsgId, Tally};
use crate::units::Position;

/// A decoder and what it fills.
struct Side {
    decoder: Decoder,
    blocks: Blocks,
    tally: Tally,
    wire: Vec<u8>,
}

impl Side {
    fn new(catalog: &Arc<Catalog>, route: &str, shapes: bool) -> Self {
        let id = catalog.route_id(route).expect("a known route");
        let decoder = Decoder::new(Arc::clone(catalog), id, "kafka:t:3".to_owned())
            .with_msg_id(MsgId::IsEventId);
        Self {
            decoder: if shapes { decoder } else { decoder.without_shapes() },
            blocks: Blocks::new(Arc::clone(catalog)),
            tally: Tally::default(),
            wire: Vec::new(),
        }
    }

    /// Decodes a chunk; all blocks, dead letters among them, are then in `wire`.
    fn decode(&mut self, arena: &Arena) {
        self.tally.clear();
        self.decoder.decode(arena, NOW_MS, &mut self.blocks, &mut self.tally);
        self.wire.clear();
        for part in &self.tally.parts {
            let block = self.blocks.take(part.shelf).expect("rows were put there");
            assert_eq!((block.rows(), block.bytes()), (part.rows, part.bytes));
            block.encode(0..block.rows(), &mut self.wire);
            self.blocks.recycle(block);
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Default)]
struct Outcome {
    messages: u64,
    dead: u64,
    /// Rows that a learned shape has read.
    quick: u64,
    /// Those of them that followed a track.
    tracked: u64,
}

/// Chunks of one route: decoders that learn, and forget only when they are made anew.
fn compare(route: &str, publisher: &mut Publisher, chunks: usize, outcome: &mut Outcome) {
    let catalog = catalog();
    let mut quick = Side::new(&catalog, route, true);
    let mut general = Side::new(&catalog, route, false);
    for _ in 0..chunks {
        let mut arena = Arena::new();
        let count = publisher.random.u64(1..100);
        for position in 0..count {
            let payload = publisher.message(route);
            let unusual = publisher.random.u32(0..1_000) < publisher.odd;
            let header = [(&b"event-id"[..], Some(&b"4711"[..])), (b"Nats-Msg-Id", Some(b"x"))];
            let skipped = if unusual { publisher.random.usize(0..2) } else { 2 };
            let headers = header.into_iter().skip(skipped);
            let payload = Some(payload.as_slice()).filter(|_| !unusual || publisher.random.bool());
            arena.push(Position(position), 5, None, payload, Some("market.SUBJ.5m"), headers);
        }
        quick.decode(&arena);
        general.decode(&arena);
        if quick.tally != general.tally || quick.wire != general.wire {
            explain(route, &arena);
        }
        outcome.messages += count;
        outcome.dead += u64::from(general.tally.dead_letters());
    }
    assert_eq!((quick.decoder.panics, general.decoder.panics), (0, 0), "{route}");
    outcome.quick += quick.decoder.quick_rows;
    outcome.tracked += quick.decoder.shapes.as_ref().map_or(0, |shapes| shapes.tracked);
}

/// Names the message that makes the difference.
fn explain(route: &str, arena: &Arena) -> ! {
    let catalog = catalog();
    let mut quick = Side::new(&catalog, route, true);
    // Its path may have been learned at any time before: once through to learn all.
    quick.decode(arena);
    quick.decode(arena);
    for record in arena.records() {
        let mut alone = Arena::new();
        let headers = record.headers.into_iter();
        let (position, time_ms) = (record.position, record.time_ms);
        alone.push(position, time_ms, record.key, record.payload, record.subject, headers);
        let mut general = Side::new(&catalog, route, false);
        quick.decode(&alone);
        general.decode(&alone);
        let shown = String::from_utf8_lossy(record.payload.unwrap_or_default()).into_owned();
        assert_eq!(quick.tally, general.tally, "{route}: {shown}");
        assert_eq!(
            String::from_utf8_lossy(&quick.wire),
            String::from_utf8_lossy(&general.wire),
            "{route}: {shown}"
        );
    }
    panic!("{route}: the same messages as one chunk come out in another way than one by one");
}

/// Chunks of ticks through one pair of decoders; what they write must be the same.
fn same_ticks(chunks: &[Vec<String>]) -> Side {
    let catalog = catalog();
    let mut quick = Side::new(&catalog, "ticks", true);
    let mut general = Side::new(&catalog, "ticks", false);
    for chunk in chunks {
        let mut arena = Arena::new();
        for (position, payload) in (0..).zip(chunk) {
            let payload = Some(payload.as_bytes());
            arena.push(Position(position), 5, None, payload, Some("market.SUBJ.5m"), []);
        }
        quick.decode(&arena);
        general.decode(&arena);
        assert_eq!(quick.tally, general.tally, "{}", chunk[0]);
        assert!(quick.wire == general.wire, "from {} on", chunk[0]);
    }
    quick
}

fn polygon(symbol: &str, bid: u64) -> String {
    format!(r#"{{"ev":"C","pair":"{symbol}","x":48,"b":1.{bid},"a":2,"s":2,"t":1706198400123}}"#)
}

/// Words are looked up sixteen bytes at a time, zeros behind a shorter one.
#[test]
fn a_text_that_ends_in_a_zero_byte_is_not_the_word_without_it() {
    let good: Vec<String> = (0..9).map(|bid| polygon("EUR", bid)).collect();
    let bad = ["EUR\0", "EUR\0\0\0\0\0\0", "\0", "EUR\0x"];
    let mut chunks = vec![good];
    chunks.extend(bad.map(|symbol| vec![polygon(symbol, 1)]));
    same_ticks(&chunks);
}

/// A track holds words by number. When a column has so many different texts that its words are
/// forgotten, the number soon stands for another text.
#[test]
fn a_track_does_not_outlive_the_words_it_holds() {
    let steady = || (0..400).map(|bid| polygon("EUR/USD", bid)).collect::<Vec<_>>();
    let other = |n| format!(r#"{{"symbol":"S{n}","bid":1,"ask":2,"timestamp_ms":1706198400123}}"#);
    let many = (0..6_000).map(other).collect();
    let quick = same_ticks(&[steady(), steady(), many, steady(), steady()]);
    assert!(quick.decoder.shapes.is_some_and(|shapes| shapes.tracked > 600));
}

/// A path that was learned from a message does not hold for one with a second object of its name.
#[test]
fn doubled_objects_are_left_to_the_general_decoder() {
    let catalog = catalog();
    let mut quick = Side::new(&catalog, "external_fred_economic", true);
    let mut general = Side::new(&catalog, "external_fred_economic", false);
    let doubled = br#"{"data":{"series_id":"A","value":1},"data":{"date":"2024-01-03"}}"#;
    let mut arena = Arena::new();
    for position in 0..20 {
        arena.push(Position(position), 5, None, Some(doubled), None, []);
    }
    quick.decode(&arena);
    general.decode(&arena);
    assert_eq!((&quick.tally, &quick.wire), (&general.tally, &general.wire));
    assert_eq!((quick.tally.decoded, quick.decoder.quick_rows), (20, 0));
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whatever a publisher writes, and whatever damage it takes on the way. `CASES` and `SEED` in the
/// environment for a long run.
#[test]
fn learned_shapes_read_what_the_general_decoder_reads() {
    let (cases, seed) = (number("CASES", 100_000), number("SEED", 5));
    println!("SEED={seed}");
    let mut publisher = Publisher { random: fastrand::Rng::with_seed(seed), odd: 0, steady: false };
    let mut outcome = Outcome::default();
    let mut told = 0;
    while outcome.messages < cases {
        for route in ROUTES {
            publisher.odd = *publisher.random.choice(&[0, 2, 10, 50, 200]).expect("not empty");
            publisher.steady = publisher.random.bool();
            let chunks = *publisher.random.choice(&[20, 100]).expect("not empty");
            compare(route, &mut publisher, chunks, &mut outcome);
        }
        if outcome.messages / 1_000_000 > told {
            told = outcome.messages / 1_000_000;
            println!("{outcome:?}");
        }
    }
    println!("{outcome:?}");
    let Outcome { messages, dead, quick, tracked } = outcome;
    assert!(quick * 2 > messages && tracked * 4 > messages && dead * 50 > messages);
}

/// The same messages, after they were learned, against `serde_json`, `rust_decimal` and `jiff`.
#[test]
fn learned_shapes_read_what_other_readers_read() {
    let (cases, seed) = (number("CASES", 20_000), number("SEED", 6));
    println!("SEED={seed}");
    let mut publisher = Publisher { random: fastrand::Rng::with_seed(seed), odd: 0, steady: false };
    let catalog = catalog();
    let mut bench = Bench::new("ticks").subject("market.SUBJ.tick");
    let (mut accepted, mut refused, mut read_by_shape) = (0_u64, 0_u64, 0);
    while accepted + refused < cases {
        let mut quick = Side::new(&catalog, "ticks", true);
        let mut general = Side::new(&catalog, "ticks", false);
        publisher.odd = 0;
        for _ in 0..500 {
            let payload = publisher.message("ticks");
            publisher.odd = 60;
            if payload.is_empty() {
                continue;
            }
            let mut arena = Arena::new();
            arena.push(Position(7), 5, None, Some(&payload), Some("market.SUBJ.tick"), []);
            quick.decode(&arena);
            general.decode(&arena);
            let shown = String::from_utf8_lossy(&payload);
            assert_eq!((&quick.tally, &quick.wire), (&general.tally, &general.wire), "{shown}");
            let sound = agree(&mut bench, &payload);
            assert_eq!(u32::from(sound), quick.tally.decoded, "{shown}");
            *(if sound { &mut accepted } else { &mut refused }) += 1;
        }
        read_by_shape += quick.decoder.quick_rows;
    }
    println!("{accepted} accepted, {read_by_shape} of them by a shape, {refused} refused");
    assert!(read_by_shape * 3 > cases && refused * 50 > cases);
}
