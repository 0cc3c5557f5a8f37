//! Decode, identity, columns and Native of every kind of message, against `serde_json` alone.

use std::sync::Arc;

use data_bridge_core::arena::Arena;
use data_bridge_core::block::Blocks;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::decode::{Decoder, Tally};

use super::Arguments;
use super::messages::{KINDS, Kind, TICK, TICK_DUKASCOPY, TICK_MIXED, TICK_POLYGON, catalog};
use super::serde::readers;
use super::spread::{Spread, timed};

/// Messages of a round: about a megabyte, as a fetch brings them.
const MESSAGES: u32 = 5_000;
const NOW_MS: i64 = 4_000_000_000_000;

/// What was measured of a kind, in ns per message.
struct Measured {
    name: &'static str,
    bytes: u64,
    decode: Spread,
    whole: Spread,
    floats: Option<Spread>,
    decimals: Option<Spread>,
}

/// A decoder at work: blocks that are used again, a buffer that is used again.
struct Work {
    decoder: Decoder,
    blocks: Blocks,
    tally: Tally,
    wire: Vec<u8>,
}

impl Work {
    fn new(catalog: &Arc<Catalog>, kind: &Kind) -> Self {
        let route = catalog.route_id(kind.route).expect("a route of the catalog");
        Self {
            decoder: Decoder::new(Arc::clone(catalog), route, "kafka:tick_archive:3".to_owned()),
            blocks: Blocks::new(Arc::clone(catalog)),
            tally: Tally::default(),
            wire: Vec::new(),
        }
    }

    fn decode(&mut self, arena: &Arena) {
        self.tally.clear();
        self.decoder.decode(arena, NOW_MS, &mut self.blocks, &mut self.tally);
    }

    /// Encodes what was decoded and gives the blocks back.
    fn encode(&mut self) {
        for part in &self.tally.parts {
            let block = self.blocks.take(part.shelf).expect("rows were pushed there");
            self.wire.clear();
            block.encode(0..block.rows(), &mut self.wire);
            self.blocks.recycle(block);
        }
    }
}

fn measure(catalog: &Arc<Catalog>, kind: &Kind, rounds: usize) -> Option<Measured> {
    let arena = kind.arena(MESSAGES);
    let bytes = arena.records().map(|record| record.payload.unwrap_or_default().len() as u64);
    let bytes = bytes.sum::<u64>() / u64::from(MESSAGES);
    let mut work = Work::new(catalog, kind);
    for _ in 0..3 {
        work.decode(&arena);
        work.encode();
    }
    if work.tally.decoded != MESSAGES {
        return None;
    }
    let readers = readers(kind.name);
    let (mut decode, mut whole, mut floats, mut decimals) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    // One round of each after the other, so that a busy moment of the machine meets them all.
    for _ in 0..rounds {
        decode.push(timed(MESSAGES, || work.decode(&arena)));
        work.encode();
        whole.push(timed(MESSAGES, || {
            work.decode(&arena);
            work.encode();
        }));
        if let Some((with_floats, with_decimals)) = readers {
            let mut read = [0; 2];
            floats.push(timed(MESSAGES, || read[0] = with_floats(&arena)));
            decimals.push(timed(MESSAGES, || read[1] = with_decimals(&arena)));
            if read.contains(&0) {
                return None;
            }
        }
    }
    let spread = |times: Vec<f64>| (!times.is_empty()).then(|| Spread::of(times));
    Some(Measured {
        name: kind.name,
        bytes,
        decode: spread(decode)?,
        whole: spread(whole)?,
        floats: spread(floats),
        decimals: spread(decimals),
    })
}

/// Measures and prints; false when a kind does not decode.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let catalog = catalog();
    let only = arguments.only.as_deref().unwrap_or("");
    let mut measured = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.name.contains(only)) {
        let Some(one) = measure(&catalog, kind, arguments.rounds) else {
            println!("{}: not every message is read; no figure", kind.name);
            return false;
        };
        measured.push(one);
    }
    let mixed = mixed_ratio(&measured);
    if arguments.json {
        print_json(&measured, mixed);
    } else {
        print_table(&measured, mixed, arguments.rounds);
    }
    true
}

/// How much dearer three dialects on one topic are than the mean of the three alone.
fn mixed_ratio(measured: &[Measured]) -> Option<f64> {
    let of = |name| measured.iter().find(|one| one.name == name).map(|one| one.whole.min);
    let alone = of(TICK)? + of(TICK_POLYGON)? + of(TICK_DUKASCOPY)?;
    Some(of(TICK_MIXED)? / (alone / 3.0))
}

fn print_table(measured: &[Measured], mixed: Option<f64>, rounds: usize) {
    println!("ns per message, least, median and most of {rounds} rounds of {MESSAGES}");
    println!(
        "{:27} {:>5}  {:>9}  {:>9}  {:^20}  {:^20}  {:^20}  {:^20}",
        "",
        "bytes",
        "of floats",
        "of exact",
        "decode",
        "decode + Native",
        "serde_json, floats",
        "serde_json, exact",
    );
    for one in measured {
        let ratio = |other: &Option<Spread>| {
            other
                .as_ref()
                .map_or(String::new(), |other| format!("{:.2}", one.whole.min / other.min))
        };
        let shown =
            |other: &Option<Spread>| other.as_ref().map_or(String::new(), Spread::to_string);
        println!(
            "{:27} {:5}  {:>9}  {:>9}  {}  {}  {:20}  {:20}",
            one.name,
            one.bytes,
            ratio(&one.floats),
            ratio(&one.decimals),
            one.decode,
            one.whole,
            shown(&one.floats),
            shown(&one.decimals),
        );
    }
    if let Some(mixed) = mixed {
        println!("three dialects mixed against the mean of the three alone: {mixed:.2}");
    }
}

fn print_json(measured: &[Measured], mixed: Option<f64>) {
    let rows = measured.iter().map(|one| {
        let json = |spread: &Option<Spread>| spread.as_ref().map_or("null".to_owned(), Spread::json);
        format!(
            r#"{{"name":"{}","bytes":{},"decode_ns":{},"decode_native_ns":{},"serde_floats_ns":{},"serde_exact_ns":{}}}"#,
            one.name,
            one.bytes,
            one.decode.json(),
            one.whole.json(),
            json(&one.floats),
            json(&one.decimals),
        )
    });
    let rows = rows.collect::<Vec<_>>().join(",");
    let mixed = mixed.map_or("null".to_owned(), |mixed| format!("{mixed:.3}"));
    println!(r#"{{"messages":{MESSAGES},"kinds":[{rows}],"mixed_to_pure":{mixed}}}"#);
}
