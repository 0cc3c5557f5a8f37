//! A link to ClickHouse that breaks in the middle of inserts, and after them.

use std::thread;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::{Kind, Plan};
use data_bridge_lab::proxy::{Direction, Fault};

use crate::world::{Instance, PATIENCE, Scenario, clickhouse, produce, proxy_to, until};

const RATE: f64 = 2_000.0;

/// An instance that inserts often and retries soon.
fn busy(scenario: Scenario) -> Scenario {
    scenario.with("retry", "{ initial_ms: 20, max_ms: 200 }")
}

/// Every value is there once, everything is committed, nobody panicked. How many rows were written
/// more than once.
#[track_caller]
fn finish(scenario: &Scenario, bridge: &Instance, expected: &Expected) -> u64 {
    let verdict = scenario.assert_exact(expected, PATIENCE);
    scenario.assert_committed();
    bridge.end();
    let raw = verdict.total().raw_rows + verdict.letters.raw_rows;
    println!("{}; {raw} raw rows", verdict.line());
    raw.saturating_sub(verdict.produced)
}

fn stop_merges(scenario: &Scenario) {
    for table in Kind::ALL.map(Kind::table) {
        let statement = format!("SYSTEM STOP MERGES {}.{table}", scenario.database());
        scenario.query(&statement).unwrap();
    }
}

#[test]
fn inserts_whose_answers_are_lost_show_each_event_once() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = busy(Scenario::new("lost_answers", &clickhouse().url())).through(&proxy);
    scenario.init();
    // So that what was written twice can be counted at the end.
    stop_merges(&scenario);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    proxy.set(Fault::CutInsertAnswer { nth: 2 });
    let mut plan = scenario.plan(13, 8_000);
    // Copies and corrections would look like inserts that happened twice.
    (plan.mix.duplicates, plan.mix.corrections) = (0.0, 0.0);
    let generator = Generator::try_new(plan).unwrap();
    produce(&generator, 0..8_000, Pace::PerSecond(RATE));
    let expected = Expected::of(&generator).unwrap();
    let doubled = finish(&scenario, &bridge, &expected);
    let cuts = proxy.counts().cuts;
    println!("{cuts} answers lost, {doubled} rows written more than once");
    assert!(cuts >= 10, "only {cuts} answers were lost");
    assert!(doubled > 0, "no insert happened whose answer was lost");
}

#[test]
fn bodies_cut_at_random_places_leave_no_partial_rows() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = busy(Scenario::new("cut_bodies", &clickhouse().url()))
        .with("batch", "{ max_age_ms: 100 }")
        .through(&proxy);
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let plan: Plan = scenario.plan(14, 10_000);
    let mut chance = fastrand::Rng::with_seed(plan.seed);
    let generator = Generator::try_new(plan).unwrap();
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            produce(&generator, 0..10_000, Pace::PerSecond(RATE));
        });
        while !load.is_finished() {
            let before = proxy.counts().cuts;
            let fault = Fault::CutAfter {
                direction: Direction::ToServer,
                // Some fall into the first line and the headers, most into a body.
                bytes: chance.u64(1..60_000),
            };
            proxy.times(fault, 1);
            until(PATIENCE, "the cut", || {
                let done = proxy.counts().cuts > before || load.is_finished();
                if done { Ok(()) } else { Err(fault_at(fault)) }
            });
        }
    });
    proxy.set(Fault::Pass);
    let expected = Expected::of(&generator).unwrap();
    finish(&scenario, &bridge, &expected);
    let cuts = proxy.counts().cuts;
    println!("{cuts} requests cut");
    assert!(cuts >= 10, "only {cuts} requests were cut");
}

fn fault_at(fault: Fault) -> String {
    format!("{fault:?} has not cut yet")
}
