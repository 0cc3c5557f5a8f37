//! One row, then silence: it must not wait for others.

use std::time::Duration;

use data_bridge_lab::kafka::Producer;
use data_bridge_lab::plan::Kind;

use crate::stopwatch::Stopwatch;
use crate::world::{PATIENCE, Scenario, clickhouse, kafka, until};

#[test]
fn a_lone_message_is_visible_within_linger_and_a_second() {
    let scenario = Scenario::new("quiet_tail", &clickhouse().url());
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    let topic = format!("{}{}", scenario.prefix(), Kind::Tick.topic());
    let tick = br#"{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":1706198400123}"#;
    // The first one pays for the first fetch and the first insert.
    producer.produce_one(&topic, 0, None, Some(tick)).unwrap();
    scenario.wait_rows("ticks", 1);
    let tick = br#"{"symbol":"EUR/USD","bid":1.09552,"ask":1.09553,"timestamp_ms":1706198400124}"#;
    let watch = Stopwatch::start();
    producer.produce_one(&topic, 1, None, Some(tick)).unwrap();
    scenario.wait_rows("ticks", 2);
    watch.assert_within("a lone message", Duration::from_millis(30 + 1_000));
    until(PATIENCE, "the commit", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
    assert!(bridge.terminate(Duration::from_secs(10)).success());
}
