//! Instances that die or leave: how long their partitions stand still.

use std::thread;
use std::time::Duration;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;

use crate::flow::{Gaps, beside, finish, ticks, wait_shares};
use crate::world::{PATIENCE, Scenario, clickhouse, produce};

const RATE: f64 = 1_000.0;

/// Does `work` while rows flow and gaps are watched, in two instances that share the partitions.
fn under_load(scenario: &Scenario, generator: &Generator, work: impl FnOnce(&Gaps<'_>)) {
    let messages = generator.plan().messages;
    thread::scope(|scope| {
        scope.spawn(|| produce(generator, 0..messages, Pace::PerSecond(RATE)));
        let gaps = Gaps::of(scenario);
        // Every partition has shown a row before anything is measured.
        scenario_flows(scenario);
        beside(|| gaps.look(), || work(&gaps));
    });
}

fn scenario_flows(scenario: &Scenario) {
    let query = format!(
        "SELECT uniqExact(origin) FROM {}.ticks",
        scenario.database()
    );
    crate::world::until(PATIENCE, "rows of all partitions", || {
        let found = scenario.query(&query)?;
        if found.trim() == "6" {
            Ok(())
        } else {
            Err(found)
        }
    });
}

#[test]
fn partitions_of_a_killed_instance_flow_again_within_12_s() {
    let scenario = Scenario::new("fail_over_kill", &clickhouse().url());
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let generator = ticks(&scenario, 501, 15_000);
    under_load(&scenario, &generator, |gaps| {
        gaps.begin();
        first.kill();
        wait_shares(&[&second], &[48]);
        let gap = gaps.longest_until_all_flow();
        println!("kill -9: {gap:?} without rows");
        assert!(gap <= Duration::from_secs(12), "{gap:?} without rows");
    });
    finish(&scenario, &[second], &Expected::of(&generator).unwrap());
}

#[test]
fn partitions_of_an_instance_that_leaves_flow_again_within_2_s() {
    let scenario = Scenario::new("fail_over_term", &clickhouse().url());
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let generator = ticks(&scenario, 502, 6_000);
    under_load(&scenario, &generator, |gaps| {
        gaps.begin();
        first.end();
        wait_shares(&[&second], &[48]);
        let gap = gaps.longest_until_all_flow();
        println!("SIGTERM: {gap:?} without rows");
        assert!(gap <= Duration::from_secs(2), "{gap:?} without rows");
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
    let generator = ticks(&scenario, 503, 6_000);
    let mut again = None;
    under_load(&scenario, &generator, |gaps| {
        gaps.begin();
        first.kill();
        let first = again.insert(scenario.start(1));
        wait_shares(&[first, &second], &[24, 24]);
        let gap = gaps.longest_until_all_flow();
        println!("kill -9 and start: {gap:?} without rows");
        assert!(gap <= Duration::from_secs(3), "{gap:?} without rows");
    });
    let bridges = [again.expect("it was started"), second];
    finish(&scenario, &bridges, &Expected::of(&generator).unwrap());
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
