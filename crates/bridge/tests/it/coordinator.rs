//! The broker, which is the group's coordinator too, killed under load: commits fail, and the
//! newest positions are committed in the end.

use std::time::Duration;

use data_bridge_lab::kafka::Offsets;
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;
use data_bridge_stack::port;

use crate::flow::{ticks, under_load_of, wait_shares};
use crate::kafka_stage::start_broker;
use crate::world::{PATIENCE, Scenario, clickhouse, pause, until};

/// More than are produced while the broker comes and goes.
const MESSAGES: u64 = 50_000;
const RATE: u32 = 400;
const KILLS: u64 = 3;

#[test]
fn a_coordinator_killed_under_load_costs_no_row_and_no_commit() {
    let mut broker = start_broker("kafka-coordinator", Some(port::free().unwrap()));
    let mut scenario = Scenario::new("coordinator", &clickhouse().url());
    scenario.brokers = broker.bootstrap();
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let generator = ticks(&scenario, 701, MESSAGES);
    let saved = || {
        let of = |bridge: &crate::world::Instance| bridge.status()["ticks_saved"].as_u64();
        of(&first).unwrap_or_default() + of(&second).unwrap_or_default()
    };
    let bootstrap = broker.bootstrap();
    under_load_of(&bootstrap, &generator, RATE, || {
        let mut chance = fastrand::Rng::with_seed(generator.plan().seed);
        for _ in 0..KILLS {
            let before = saved();
            until(PATIENCE, "rows to flow", || match saved() {
                now if now > before + 100 => Ok(()),
                now => Err(format!("{now} rows\n{}\n{}", first.tail(), second.tail())),
            });
            pause(Duration::from_millis(chance.u64(0..500)));
            broker.kill().expect("kill -9 works");
            broker.restart().expect("it comes back");
        }
    });
    let expected = Expected::of(&generator).unwrap();
    let verdict = scenario.assert_exact(&expected, PATIENCE);
    println!("{}", verdict.line());
    let failed = first.metric("data_bridge_commit_failures_total")
        + second.metric("data_bridge_commit_failures_total");
    println!("{failed} commits failed");
    let offsets = Offsets::of_group(&bootstrap, &scenario.group()).unwrap();
    let topics = [format!("{}{}", scenario.prefix(), Kind::Tick.topic())];
    until(PATIENCE, "all offsets to be committed", || offsets.all_committed(&topics));
    first.end();
    second.end();
}

/// Newer answers, with the addresses of leaders, are what librdkafka 2.12 cannot read safely when a
/// broker comes back; see `source::kafka::client::fetch_version`.
#[test]
fn records_are_fetched_in_a_version_whose_answers_name_no_addresses() {
    let scenario = Scenario::new("fetch_version", &clickhouse().url())
        .with("kafka", "properties: { debug: \"protocol\" }")
        .with("log", "{ level: debug }");
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let sent = until(PATIENCE, "a fetch", || {
        let log = std::fs::read_to_string(bridge.process.log()).expect("the log is there");
        let asked = log.lines().filter_map(|line| line.split_once("Sent FetchRequest (v"));
        let versions = asked.filter_map(|(_, rest)| rest.split_once(',')?.0.parse::<u32>().ok());
        versions.max().ok_or_else(|| bridge.tail())
    });
    assert_eq!(sent, 15, "a broker of Kafka 4 takes newer ones too");
    bridge.end();
}
