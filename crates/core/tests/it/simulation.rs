//! Whole lives of the engine in small worlds: instances, a broker, a server, and everything that
//! goes wrong between them. The oracle lies outside of the engine and knows what every row became.
//!
//! `SIM_WORLDS=200000` runs more worlds; `SIM_SEED=17` runs one again.

#![expect(
    clippy::similar_names,
    reason = "shelf is our word, self is Rust's, who and weight are plain words"
)]

mod flow;
mod group;
mod instance;
mod oracle;
mod server;
mod stream;
mod trouble;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use world::{Counts, World};

const WORLDS: u64 = 5_000;

/// Inputs per world before it calms down.
const EVENTS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// In every world: each record that was fetched is a durable row or a durable dead letter before a
/// commit passes it; no commit goes backward, past an open chunk, or names a lane that ended; memory
/// stays within the budget; only bad rows are buried, at a bounded cost; nothing stalls; and when
/// all is calm, all is consumed.
#[test]
fn nothing_is_lost_and_nothing_stalls_in_any_world() {
    if let Some(seed) = number("SIM_SEED") {
        let counts = World::new(seed).live(EVENTS);
        println!("world {seed}: {counts:?}");
        return;
    }
    let worlds = number("SIM_WORLDS").unwrap_or(WORLDS);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let (mut counts, mut failed) = (Counts::default(), None);
            while failed.is_none() {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= worlds {
                    break;
                }
                match catch_unwind(AssertUnwindSafe(|| World::new(seed).live(EVENTS))) {
                    Ok(more) => counts.add(&more),
                    Err(_) => failed = Some(seed),
                }
            }
            (counts, failed)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut counts = Counts::default();
    for (more, failed) in &results {
        assert!(
            failed.is_none(),
            "a world failed, see above; again with SIM_SEED={}",
            failed.unwrap_or(0)
        );
        counts.add(more);
    }
    println!("{worlds} worlds: {counts:?}");
    assert!(counts.inputs >= worlds * EVENTS);
    if worlds >= 1_000 {
        counts.assert_everything_happened();
    }
}

#[test]
fn a_world_is_the_same_again_from_its_seed() {
    for seed in 0..20 {
        let lives = [0; 2].map(|_| World::new(seed).live(EVENTS));
        assert_eq!(lives[0], lives[1], "seed {seed}");
    }
}
