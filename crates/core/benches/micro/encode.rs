//! What a row costs behind the decoder: sorting a large block, and writing it as Native.

use std::sync::Arc;

use data_bridge_core::block::{Block, Blocks};
use data_bridge_core::catalog::Catalog;
use data_bridge_core::decode::{Decoder, Tally};

use super::Arguments;
use super::messages::{CANDLE, KINDS, Kind, TICK, catalog};
use super::spread::{Spread, timed};

const NOW_MS: i64 = 4_000_000_000_000;

/// What was measured of a block, in ns per row.
struct Measured {
    name: &'static str,
    rows: u32,
    wire_bytes: usize,
    sort: Spread,
    encode: Spread,
}

fn block(catalog: &Arc<Catalog>, kind: &Kind, rows: u32) -> Option<Block> {
    let route = catalog.route_id(kind.route)?;
    let mut decoder = Decoder::new(Arc::clone(catalog), route, "kafka:tick_archive:3".to_owned());
    let mut blocks = Blocks::new(Arc::clone(catalog));
    let mut tally = Tally::default();
    decoder.decode(&kind.arena(rows), NOW_MS, &mut blocks, &mut tally);
    let largest = tally.parts.iter().max_by_key(|part| part.rows)?;
    blocks.take(largest.shelf)
}

fn measure(catalog: &Arc<Catalog>, kind: &Kind, rows: u32, rounds: usize) -> Option<Measured> {
    let mut wire = Vec::new();
    let (mut sort, mut encode) = (Vec::new(), Vec::new());
    // Each round sorts a block of its own; a large one costs more to make than to sort.
    let rounds = if rows < 50_000 { rounds } else { rounds.min(7) };
    let mut last = block(catalog, kind, rows)?;
    for _ in 0..rounds {
        let mut block = block(catalog, kind, rows)?;
        sort.push(timed(block.rows(), || block.sort()));
        wire.clear();
        encode.push(timed(block.rows(), || block.encode(0..block.rows(), &mut wire)));
        last = block;
    }
    Some(Measured {
        name: kind.name,
        rows: last.rows(),
        wire_bytes: wire.len(),
        sort: Spread::of(sort),
        encode: Spread::of(encode),
    })
}

/// Measures and prints; false when nothing can be measured.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let catalog = catalog();
    let only = arguments.only.as_deref().unwrap_or("");
    let kinds = KINDS.iter().filter(|kind| [TICK, CANDLE].contains(&kind.name));
    let mut measured = Vec::new();
    for kind in kinds.filter(|kind| kind.name.contains(only)) {
        for rows in [1_000, 10_000, 100_000, 1_000_000] {
            let Some(one) = measure(&catalog, kind, rows, arguments.rounds) else {
                println!("{}: no block of {rows} rows; no figure", kind.name);
                return false;
            };
            measured.push(one);
        }
    }
    if arguments.json {
        let rows = measured.iter().map(|one| {
            format!(
                r#"{{"name":"{}","rows":{},"wire_bytes":{},"sort_ns":{},"encode_ns":{}}}"#,
                one.name,
                one.rows,
                one.wire_bytes,
                one.sort.json(),
                one.encode.json(),
            )
        });
        println!(r#"{{"blocks":[{}]}}"#, rows.collect::<Vec<_>>().join(","));
        return true;
    }
    println!("ns per row, least, median and most");
    println!("{:10} {:>9} {:>10}  {:^20}  {:^20}", "", "rows", "bytes/row", "sort", "Native");
    for one in &measured {
        let bytes = one.wire_bytes as u64 / u64::from(one.rows).max(1);
        println!("{:10} {:9} {bytes:10}  {}  {}", one.name, one.rows, one.sort, one.encode);
    }
    true
}
