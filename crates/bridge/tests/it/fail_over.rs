//! Instances that die or leave: how long their partitions stand still.

use std::time::Duration;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;

use crate::flow::{Gaps, beside, busier_first, finish, ticks, under_load, wait_shares};
use crate::stopwatch::Stopwatch;
use crate::world::{PATIENCE, Scenario, clickhouse, produce, until};

const MESSAGES: u64 = 30_000;
const RATE: u32 = 1_000;
/// Does `work` while rows of every partition flow and gaps are watched.
fn watched<T>(scenario: &Scenario, generator: &Generator, work: impl FnOnce(&Gaps<'_>) -> T) -> T {
    under_load(generator, RATE, || {
        let gaps = Gaps::of(scenario);
        scenario_flows(scenario);
        beside(|| gaps.look(), || work(&gaps))
    })
}

fn scenario_flows(scenario: &Scenario) {
    let query = format!("SELECT uniqExact(origin) FROM {}.ticks", scenario.database());
    until(PATIENCE, "rows of all partitions", || {
        let found = scenario.query(&query)?;
        if found.trim() == "6" { Ok(()) } else { Err(found) }
    });
}

#[test]
fn partitions_of_a_killed_instance_flow_again_within_12_s() {
    let scenario = Scenario::new("fail_over_kill", &clickhouse().url());
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let generator = ticks(&scenario, 501, MESSAGES);
    watched(&scenario, &generator, |gaps| {
        gaps.begin();
        let watch = Stopwatch::start();
        first.kill();
        wait_shares(&[&second], &[48]);
        watch.assert("kill -9", gaps.longest_until_all_flow(), Duration::from_secs(12));
    });
    finish(&scenario, &[second], &Expected::of(&generator).unwrap());
}

/// With the terms that `init` has agreed on with the broker.
#[test]
fn partitions_of_a_killed_member_of_the_consumer_protocol_flow_again_within_12_s() {
    let scenario = Scenario::new("fail_over_consumer", &clickhouse().url())
        .with("kafka", "group_protocol: consumer");
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let (dies, stays) = busier_first(first, second);
    let generator = ticks(&scenario, 505, MESSAGES);
    watched(&scenario, &generator, |gaps| {
        gaps.begin();
        let watch = Stopwatch::start();
        dies.kill();
        wait_shares(&[&stays], &[48]);
        let gap = gaps.longest_until_all_flow();
        assert!(gap > Duration::from_secs(5), "the session is 8 s, the gap {gap:?}");
        watch.assert("kill -9, consumer protocol", gap, Duration::from_secs(12));
    });
    finish(&scenario, &[stays], &Expected::of(&generator).unwrap());
}

#[test]
fn partitions_of_an_instance_that_leaves_flow_again_within_2_s() {
    let scenario = Scenario::new("fail_over_term", &clickhouse().url());
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let generator = ticks(&scenario, 502, MESSAGES);
    watched(&scenario, &generator, |gaps| {
        gaps.begin();
        let watch = Stopwatch::start();
        first.end();
        wait_shares(&[&second], &[48]);
        watch.assert("SIGTERM", gaps.longest_until_all_flow(), Duration::from_secs(2));
    });
    finish(&scenario, &[second], &Expected::of(&generator).unwrap());
}

#[test]
fn partitions_of_a_static_member_started_again_flow_within_3_s() {
    let scenario = Scenario::new("fail_over_static", &clickhouse().url())
        .with("kafka", "static_membership: true");
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let generator = ticks(&scenario, 503, MESSAGES);
    let again = watched(&scenario, &generator, |gaps| {
        gaps.begin();
        let watch = Stopwatch::start();
        first.kill();
        let again = scenario.start(1);
        wait_shares(&[&again, &second], &[24, 24]);
        let gap = gaps.longest_until_all_flow();
        watch.assert("kill -9 and start under a static id", gap, Duration::from_secs(3));
        again
    });
    let expected = Expected::of(&generator).unwrap();
    finish(&scenario, &[again, second], &expected);
}

#[test]
fn of_two_instances_with_one_static_id_the_older_is_fenced_and_exits_with_4() {
    let scenario =
        Scenario::new("fenced", &clickhouse().url()).with("kafka", "static_membership: true");
    scenario.init();
    let generator = ticks(&scenario, 504, 2_000);
    let older = scenario.start(1);
    wait_shares(&[&older], &[48]);
    produce(&generator, 0..1_000, Pace::Full);
    let newer = scenario.start(1);
    let status = older.process.wait_exit(PATIENCE);
    let status = status.unwrap_or_else(|| panic!("still running\n{}", older.tail()));
    assert_eq!(status.code(), Some(4), "{}", older.tail());
    produce(&generator, 1_000..2_000, Pace::Full);
    finish(&scenario, &[newer], &Expected::of(&generator).unwrap());
}

/// One after the other, as a deployment does it.
#[test]
fn a_rolling_restart_of_all_instances_stops_no_partition_for_5_s() {
    let scenario = Scenario::new("rolling", &clickhouse().url());
    scenario.init();
    let mut bridges: Vec<_> = (1..=3).map(|number| scenario.start(number)).collect();
    wait_shares(&bridges.iter().collect::<Vec<_>>(), &[16, 16, 16]);
    let generator = ticks(&scenario, 506, MESSAGES);
    watched(&scenario, &generator, |gaps| {
        gaps.begin();
        let watch = Stopwatch::start();
        for number in 1..=3 {
            let at = usize::try_from(number).expect("three") - 1;
            bridges[at].end();
            bridges[at] = scenario.start(number);
            wait_shares(&bridges.iter().collect::<Vec<_>>(), &[16, 16, 16]);
            bridges[at].wait_ready();
        }
        watch.assert("rolling restart", gaps.longest_until_all_flow(), Duration::from_secs(5));
    });
    finish(&scenario, &bridges, &Expected::of(&generator).unwrap());
}
