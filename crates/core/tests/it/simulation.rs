//! Whole lives of the engine in small worlds: instances, a broker, a server, and everything that
//! goes wrong between them. The oracle lies outside of the engine and knows what every row became.
//!
//! `cargo xtask sim` runs more worlds than the test, and one again. It does so by variables:
//! `SIM_WORLDS=200000`, `SIM_FROM=1000`; `SIM_SEED=17`, with `SIM_EVENTS` and `SIM_WITHOUT` for what
//! a failure was shrunk to.

#![expect(
    clippy::similar_names,
    reason = "shelf is our word, self is Rust's, who and weight are plain words"
)]

mod flow;
mod group;
mod instance;
mod oracle;
mod server;
mod shrink;
mod stream;
mod trouble;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shrink::Life;
use world::Counts;

const WORLDS: u64 = 20_000;

/// Inputs per world before it calms down.
const EVENTS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What happened over many worlds.
#[derive(Debug, Default)]
struct Tally {
    worlds: u64,
    counts: Counts,
    with_revoke: u64,
    with_lost_answer: u64,
    with_crash: u64,
    with_flood: u64,
}

impl Tally {
    fn note(&mut self, counts: &Counts) {
        self.worlds += 1;
        self.with_revoke += u64::from(counts.revocations > 0);
        self.with_lost_answer += u64::from(counts.lost_answers > 0);
        self.with_crash += u64::from(counts.crashes > 0);
        self.with_flood += u64::from(counts.floods > 0);
        self.counts.add(counts);
    }

    fn add(&mut self, more: &Self) {
        self.worlds += more.worlds;
        self.with_revoke += more.with_revoke;
        self.with_lost_answer += more.with_lost_answer;
        self.with_crash += more.with_crash;
        self.with_flood += more.with_flood;
        self.counts.add(&more.counts);
    }

    fn say(&self) {
        let share = |of: u64| 100 * of / self.worlds.max(1);
        println!(
            "{} worlds, {} events; with a revoke {} %, a lost answer {} %, a crash {} %, a flood \
             {} %",
            self.worlds,
            self.counts.inputs,
            share(self.with_revoke),
            share(self.with_lost_answer),
            share(self.with_crash),
            share(self.with_flood),
        );
        println!("{:?}", self.counts);
    }
}

/// In every world: each record that was fetched is a durable row or a durable dead letter before a
/// commit passes it; no commit goes backward, past an open chunk, or names a lane that ended; memory
/// stays within the budget; only bad rows are buried, at a bounded cost; nothing stalls; and when
/// all is calm, all is consumed.
#[test]
fn nothing_is_lost_and_nothing_stalls_in_any_world() {
    if let Some(seed) = number("SIM_SEED") {
        let mut life = Life::new(seed, number("SIM_EVENTS").unwrap_or(EVENTS));
        life.told = std::env::var_os("SIM_TOLD").is_some();
        life.without = shrink::without(&std::env::var("SIM_WITHOUT").unwrap_or_default());
        println!("{life}: {:?}", life.live());
        return;
    }
    let first = number("SIM_FROM").unwrap_or(0);
    let worlds = number("SIM_WORLDS").unwrap_or(WORLDS);
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let (mut tally, mut failed) = (Tally::default(), None);
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + worlds {
                    break;
                }
                let life = Life::new(seed, EVENTS);
                if let Ok(counts) = catch_unwind(AssertUnwindSafe(|| life.live())) {
                    tally.note(&counts);
                } else {
                    failed = Some(life);
                    stop.store(true, Ordering::Relaxed);
                }
            }
            (tally, failed)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut tally = Tally::default();
    for (more, _) in &results {
        tally.add(more);
    }
    if let Some(failed) = results.iter().find_map(|(_, failed)| failed.as_ref()) {
        let shrunk = failed.shrink();
        println!("world {} failed; shrunk to: cargo xtask sim {shrunk}", failed.seed);
        // Once more, so that what is seen last is the shortest way to it.
        shrunk.live();
        unreachable!("world {} fails only sometimes", failed.seed);
    }
    tally.say();
    assert!(tally.counts.inputs >= worlds * EVENTS);
    if worlds >= 1_000 {
        tally.counts.assert_everything_happened();
    }
}

#[test]
fn a_world_is_the_same_again_from_its_seed() {
    for seed in 0..20 {
        let lives = [0; 2].map(|_| Life::new(seed, EVENTS).live());
        assert_eq!(lives[0], lives[1], "seed {seed}");
    }
}
