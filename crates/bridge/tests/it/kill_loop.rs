//! Three instances under load, of which one is killed again and again.

use std::thread;
use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;

use crate::flow::{finish, wait_shares};
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, pause, produce, until};

/// Kills a random instance and starts it again for as long as the load lasts. How often.
fn kill_while_loaded(
    scenario: &Scenario,
    bridges: &mut [Instance],
    generator: &Generator,
    rate: f64,
) -> u64 {
    let messages = generator.plan().messages;
    let mut chance = fastrand::Rng::with_seed(generator.plan().seed);
    let mut kills = 0;
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            produce(generator, 0..messages, Pace::PerSecond(rate));
        });
        loop {
            // Under load means that rows arrive: a group that waits for a dead member has nothing
            // to lose.
            let before = rows(scenario);
            until(PATIENCE, "rows to flow", || {
                let now = rows(scenario);
                let flows = now > before || load.is_finished();
                flows.then_some(()).ok_or_else(|| format!("{now} rows"))
            });
            if load.is_finished() {
                break;
            }
            pause(Duration::from_millis(chance.u64(0..1_000)));
            let victim = chance.usize(..bridges.len());
            bridges[victim].kill();
            let number = u32::try_from(victim).expect("few instances") + 1;
            bridges[victim] = scenario.start(number);
            kills += 1;
        }
    });
    kills
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
    let generator = Generator::try_new(scenario.plan(101, 14_000)).unwrap();
    let kills = kill_while_loaded(&scenario, &mut bridges, &generator, 1_000.0);
    println!("{kills} kills");
    assert!(kills >= 2, "{kills} kills are too few to say anything");
    let expected = Expected::of(&generator).unwrap();
    finish(&scenario, &bridges, &expected);
}

#[test]
fn static_members_killed_and_started_at_once_lose_and_double_nothing() {
    let scenario = Scenario::new("kill_loop_static", &clickhouse().url())
        .with("kafka", "static_membership: true");
    let mut bridges = three(&scenario);
    let generator = Generator::try_new(scenario.plan(102, 20_000)).unwrap();
    let began = Instant::now();
    let kills = kill_while_loaded(&scenario, &mut bridges, &generator, 2_000.0);
    println!("{kills} kills in {:?}", began.elapsed());
    assert!(kills >= 4, "{kills} kills are too few to say anything");
    let expected = Expected::of(&generator).unwrap();
    finish(&scenario, &bridges, &expected);
}
