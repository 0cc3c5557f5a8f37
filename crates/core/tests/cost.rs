//! What a message costs: no allocation, and how many nanoseconds. A binary of its own, because it
//! counts the allocations of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use data_bridge_core::arena::Arena;
use data_bridge_core::block::Blocks;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::decode::{Decoder, Tally};
use data_bridge_core::units::Position;

/// The system's allocator, counting what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait; every call goes to the system's")]
// SAFETY: forwards to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const RECORDS: u64 = 10_000;
/// Few enough for a round to pass between two interruptions by other programs.
const MEASURED: u64 = 500;

/// Kind of message, its route, and how the n-th is written.
type Kind = (&'static str, &'static str, fn(u64) -> String);

const KINDS: &[Kind] = &[
    ("tick, short", "ticks", |n| {
        format!(
            r#"{{"symbol":"EUR/USD","bid":1.{:05},"ask":1.{:05},"timestamp_ms":{},"exchange":48,"source":"polygon_websocket","event_type":"quote"}}"#,
            9_500 + n % 97,
            9_503 + n % 89,
            1_706_198_400_000 + n
        )
    }),
    ("tick, as specified", "ticks", |n| {
        format!(
            r#"{{"symbol":"EUR/USD","bid":1.{:05},"ask":1.{:05},"timestamp":{time},"timestamp_ms":{time},"exchange":48,"source":"polygon_websocket","event_type":"quote","_transport":"nats"}}"#,
            9_500 + n % 97,
            9_503 + n % 89,
            time = 1_706_198_400_000 + n
        )
    }),
    ("tick, json.dumps", "ticks", |n| {
        format!(
            r#"{{"symbol": "EUR/USD", "bid": 1.{:05}, "ask": 1.{:05}, "timestamp": {time}, "timestamp_ms": {time}, "exchange": 48, "source": "polygon_websocket", "event_type": "quote", "_transport": "nats"}}"#,
            9_500 + n % 97,
            9_503 + n % 89,
            time = 1_706_198_400_000 + n
        )
    }),
    ("tick, polygon", "ticks", |n| {
        format!(
            r#"{{"ev":"C","pair":"EUR/USD","x":48,"b":1.{:05},"a":1.{:05},"s":2,"t":{}}}"#,
            9_500 + n % 97,
            9_503 + n % 89,
            1_706_198_400_000 + n
        )
    }),
    ("tick, dukascopy", "ticks", |n| {
        format!(
            r#"{{"timestamp":"2024-01-02 15:36:{:02}.034000","symbol":"EUR/USD","bid":1.{:05},"ask":1.1,"volume":2.0,"source":"dukascopy_historical"}}"#,
            n % 60,
            9_500 + n % 97
        )
    }),
    ("ticks, three dialects mixed", "ticks", |n| match n % 3 {
        0 => KINDS[1].2(n),
        1 => KINDS[3].2(n),
        _ => KINDS[4].2(n),
    }),
    ("candle", "aggregates", |n| {
        format!(
            r#"{{"symbol":"EUR/USD","timeframe":"5m","timestamp_ms":{},"open":1.0955,"high":1.0961,"low":1.0949,"close":1.0957,"volume":{n},"vwap":1.09552,"range_pips":12.000000000000011,"start_time":"2024-01-25T16:00:00+00:00","end_time":"2024-01-25T16:05:00+00:00","source":"polygon_historical","event_type":"ohlcv"}}"#,
            1_706_198_400_000 + n * 300_000
        )
    }),
    ("external, fred", "external_fred_economic", |n| {
        format!(
            r#"{{"data":{{"series_id":"GDP","date":"2023-01-{:02}","value":{n}.5}},"metadata":{{"type":"fred_economic","timestamp":"2024-01-25T16:00:00Z","version":"1.0.0","source":"fred"}}}}"#,
            n % 28 + 1
        )
    }),
    ("tick with escapes", "ticks", |n| {
        format!(
            r#"{{"symbol":"EUR\/USD","bid":"1.1","ask":1.2,"timestamp_ms":{},"source":"caf\u00e9","n\u006fte":"\n"}}"#,
            1_706_198_400_000 + n
        )
    }),
];

fn arena(written: fn(u64) -> String, records: u64) -> (Arena, usize) {
    let mut arena = Arena::new();
    let mut bytes = 0;
    for n in 0..records {
        let payload = written(n);
        bytes += payload.len();
        arena.push(Position(n), 1_706_198_400_000, None, Some(payload.as_bytes()), None, []);
    }
    (arena, bytes)
}

/// Decodes the arena into blocks that are emptied and used again, as in a running bridge.
fn decode(decoder: &mut Decoder, arena: &Arena, blocks: &mut Blocks, tally: &mut Tally) {
    const NOW_MS: i64 = 1_800_000_000_000;
    tally.clear();
    decoder.decode(arena, NOW_MS, blocks, tally);
    for index in 0..tally.parts.len() {
        let block = blocks.take(tally.parts[index].shelf).expect("rows were pushed there");
        blocks.recycle(block);
    }
}

/// The blocks' own dictionaries and columns may allocate a few times per chunk; ten thousand
/// messages must not.
#[test]
fn a_message_costs_no_allocation_in_steady_state() {
    let catalog = Arc::new(Catalog::shipped());
    for (kind, route, written) in KINDS {
        let (arena, _) = arena(*written, RECORDS);
        let route = catalog.route_id(route).expect("a shipped route");
        let mut decoder = Decoder::new(Arc::clone(&catalog), route, "kafka:t:0".to_owned());
        let mut blocks = Blocks::new(Arc::clone(&catalog));
        let mut tally = Tally::default();
        for _ in 0..3 {
            decode(&mut decoder, &arena, &mut blocks, &mut tally);
        }
        let before = ALLOCATIONS.get();
        decode(&mut decoder, &arena, &mut blocks, &mut tally);
        let allocations = ALLOCATIONS.get() - before;
        assert_eq!((u64::from(tally.decoded), tally.dead_letters()), (RECORDS, 0), "{kind}");
        // Messages without a shape that could be learned are looked at again, once in 4,096.
        let most = if kind.contains("escapes") { 50 } else { 0 };
        assert!(allocations <= most, "{kind}: {allocations} allocations for {RECORDS} messages");
        println!("{kind}: {allocations} allocations for {RECORDS} messages");
    }
}

/// `cargo test --release -p data-bridge-core --test cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, to be read by a person"]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn nanoseconds_per_message() {
    let catalog = Arc::new(Catalog::shipped());
    for (kind, route, written) in KINDS {
        let (arena, bytes) = arena(*written, MEASURED);
        let route = catalog.route_id(route).expect("a shipped route");
        let mut decoder = Decoder::new(Arc::clone(&catalog), route, "kafka:t:0".to_owned());
        let mut blocks = Blocks::new(Arc::clone(&catalog));
        let mut tally = Tally::default();
        // The quietest of many rounds: other programs use the machine too.
        let best = (0..4_000).map(|_| {
            let start = std::time::Instant::now();
            decode(&mut decoder, &arena, &mut blocks, &mut tally);
            start.elapsed().as_nanos() / u128::from(MEASURED)
        });
        let best = best.min().unwrap_or_default();
        println!("{kind:28} {:4} bytes {best:5} ns", bytes as u64 / MEASURED);
    }
}
