//! Three instances under load, of which one is killed again and again.

use std::time::Duration;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::model::Expected;

use crate::flow::{finish, under_load, wait_shares};
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, pause, until};

const MESSAGES: u64 = 30_000;
const RATE: u32 = 1_500;

/// Kills a random instance under load and starts it again, so many times.
fn kill_and_start(
    scenario: &Scenario,
    bridges: &mut [Instance],
    generator: &Generator,
    kills: usize,
) {
    let mut chance = fastrand::Rng::with_seed(generator.plan().seed);
    under_load(generator, RATE, || {
        for _ in 0..kills {
            // A group that still waits for a dead member has nothing to lose.
            let before = rows(scenario);
            until(PATIENCE, "rows to flow", || match rows(scenario) {
                now if now > before => Ok(()),
                now => Err(format!("{now} rows")),
            });
            pause(Duration::from_millis(chance.u64(0..1_000)));
            let victim = chance.usize(..bridges.len());
            bridges[victim].kill();
            let number = u32::try_from(victim).expect("few instances") + 1;
            bridges[victim] = scenario.start(number);
        }
    });
}

fn rows(scenario: &Scenario) -> u64 {
    let query = format!("SELECT count() FROM {}.ticks", scenario.database());
    let answer = scenario.query(&query).expect("ClickHouse answers");
    answer.trim().parse().expect("a number")
}

/// Three instances that share the work.
fn three(scenario: &Scenario) -> Vec<Instance> {
    scenario.init();
    let bridges: Vec<_> = (1..=3).map(|number| scenario.start(number)).collect();
    let all: Vec<_> = bridges.iter().collect();
    wait_shares(&all, &[16, 16, 16]);
    bridges
}

#[test]
fn instances_killed_again_and_again_lose_and_double_nothing() {
    let scenario =
        Scenario::new("kill_loop", &clickhouse().url()).with("kafka", "session_timeout_ms: 6000");
    let mut bridges = three(&scenario);
    let generator = Generator::try_new(scenario.plan(101, MESSAGES)).unwrap();
    kill_and_start(&scenario, &mut bridges, &generator, 3);
    finish(&scenario, &bridges, &Expected::of(&generator).unwrap());
}

#[test]
fn static_members_killed_and_started_at_once_lose_and_double_nothing() {
    let scenario = Scenario::new("kill_loop_static", &clickhouse().url())
        .with("kafka", "static_membership: true");
    let mut bridges = three(&scenario);
    let generator = Generator::try_new(scenario.plan(102, MESSAGES)).unwrap();
    kill_and_start(&scenario, &mut bridges, &generator, 8);
    finish(&scenario, &bridges, &Expected::of(&generator).unwrap());
}
