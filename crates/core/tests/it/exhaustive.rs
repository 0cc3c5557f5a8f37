//! Small worlds as a whole: two partitions, three chunks, two instances, and every order in which
//! records are fetched, inserts answered or lost, lanes revoked or lost, instances killed, commits
//! accepted or refused. No chance: each world's states are all visited, on the engine's own code.
//!
//! An engine cannot be copied (its receipts cannot), so a state is the way that leads to it: it is
//! lived through again for each step that leaves it, and known again by a hash of all it holds.

mod world;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use world::{Bounds, Step, World};

/// How many states a search saw.
#[derive(Debug, Default)]
struct Search {
    seen: HashSet<u128>,
    ends: u64,
    steps: u64,
    longest: usize,
}

impl Search {
    /// Visits everything that can follow `way`.
    fn visit(&mut self, bounds: Bounds, way: &mut Vec<Step>) {
        let world = World::along(bounds, way);
        if !self.seen.insert(world.hash()) {
            return;
        }
        self.longest = self.longest.max(way.len());
        let steps = world.steps();
        drop(world);
        // However it came to this: left in peace, the world ends with every row there, and committed.
        World::along(bounds, way).assert_ends_well();
        self.ends += u64::from(steps.is_empty());
        for step in steps {
            self.steps += 1;
            way.push(step);
            self.visit(bounds, way);
            way.pop();
        }
    }
}

#[track_caller]
fn explore(name: &str, bounds: Bounds) -> Search {
    let mut search = Search::default();
    search.visit(bounds, &mut Vec::new());
    println!(
        "{name}: {} states, {} steps, {} ends, {} steps at most",
        search.seen.len(),
        search.steps,
        search.ends,
        search.longest
    );
    search
}

/// In every state of a small world: no commit passes a row that is not durable, none goes back, none
/// follows a revoke; and whatever happened, all rows are there and committed once nothing more
/// breaks.
#[test]
fn every_order_of_a_small_world_ends_with_every_row_and_every_commit() {
    let none = Bounds::default();
    let worlds = [
        ("lost answers and inserts", Bounds { lost: 2, ..none }),
        ("refused commits", Bounds { refused_commits: 2, lost: 1, ..none }),
        ("revokes", Bounds { revokes: 1, lost: 1, refused_commits: 1, ..none }),
        ("sessions that end unnoticed", Bounds { losses: 1, lost: 1, refused_commits: 1, ..none }),
        ("kills", Bounds { crashes: 1, lost: 1, ..none }),
        ("a revoke and a kill", Bounds { revokes: 1, crashes: 1, ..none }),
        ("a row that is refused", Bounds { bad: true, lost: 1, crashes: 1, ..none }),
    ];
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((name, bounds)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let search = explore(name, *bounds);
                    assert!(search.seen.len() > 100, "{name}: a world of its own has more states");
                }
            });
        }
    });
}
