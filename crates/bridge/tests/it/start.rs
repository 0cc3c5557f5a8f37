//! A start, with the broker and its coordinator running: how soon rows are visible.

use std::fs;
use std::time::Duration;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;

use crate::flow::{finish, ticks};
use crate::stopwatch::Stopwatch;
use crate::world::{Instance, Scenario, clickhouse, kafka, produce};

/// The promise for the first row.
const FIRST_ROW: Duration = Duration::from_secs(1);
const STARTS: u64 = 5;
const TICK: &[u8] =
    br#"{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":1706198400123}"#;

fn scenario(name: &str) -> Scenario {
    let scenario = Scenario::new(name, &clickhouse().url());
    scenario.init();
    // The first member of the suite has the broker make its coordinator.
    let first = scenario.start(1);
    first.wait_ready();
    first.end();
    scenario
}

/// It was not ready before the group had given it its partitions.
#[track_caller]
fn assert_ready_after_assignment(bridge: &Instance) {
    let log = fs::read_to_string(bridge.process.log()).expect("the log is there");
    let line = |words: &str| log.lines().position(|line| line.contains(words));
    let assigned = line("partitions assigned").expect("it has partitions");
    let ready = line("report: ready").expect("it is ready");
    assert!(assigned < ready, "{log}");
}

#[test]
fn the_first_of_many_waiting_rows_is_visible_within_a_second_of_the_start() {
    const MESSAGES: u64 = 1_000;
    let scenario = scenario("start_many");
    let generator: Generator = ticks(&scenario, 701, STARTS * MESSAGES);
    let rows = || {
        let query = format!("SELECT count() FROM {}.ticks", scenario.database());
        scenario.query(&query).unwrap().trim().parse::<u64>().unwrap()
    };
    for start in 0..STARTS {
        produce(&generator, start * MESSAGES..(start + 1) * MESSAGES, Pace::Full);
        let before = rows();
        let watch = Stopwatch::start();
        let bridge = scenario.start(1);
        while rows() == before {
            assert!(bridge.process.exited().is_none(), "{}", bridge.tail());
            assert!(watch.elapsed() < 20 * FIRST_ROW, "no row\n{}", bridge.tail());
        }
        watch.assert_within("first of 1,000 waiting rows", FIRST_ROW);
        bridge.wait_ready();
        assert_ready_after_assignment(&bridge);
        bridge.end();
    }
    let last = scenario.start(1);
    finish(&scenario, &[last], &Expected::of(&generator).unwrap());
}

/// One row in one of 48 partitions: no fetch of the others holds it up.
#[test]
fn a_single_waiting_row_is_visible_within_a_second_of_the_start() {
    let scenario = scenario("start_one");
    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    let topic = format!("{}{}", scenario.prefix(), Kind::Tick.topic());
    for start in 0..STARTS {
        let tick = String::from_utf8_lossy(TICK).replace("400123", &format!("40012{start}"));
        let partition = i32::try_from(start).unwrap();
        producer.produce_one(&topic, partition, None, Some(tick.as_bytes())).unwrap();
        let watch = Stopwatch::start();
        let bridge = scenario.start(1);
        scenario.wait_rows("ticks", start + 1);
        watch.assert_within("the only waiting row", FIRST_ROW);
        bridge.end();
    }
}

/// Nothing waits: the first message comes when the instance says that it is ready.
#[test]
fn the_first_message_after_ready_is_visible_within_a_second() {
    let scenario = scenario("start_none");
    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    let topic = format!("{}{}", scenario.prefix(), Kind::Tick.topic());
    let bridge = scenario.start(1);
    bridge.wait_ready();
    assert_ready_after_assignment(&bridge);
    let watch = Stopwatch::start();
    producer.produce_one(&topic, 3, None, Some(TICK)).unwrap();
    scenario.wait_rows("ticks", 1);
    watch.assert_within("first message after ready", FIRST_ROW);
    bridge.end();
}
