//! One row, then silence: it must not wait for others.

use std::time::{Duration, Instant};

use data_bridge_lab::kafka::Producer;
use data_bridge_lab::plan::Kind;

use crate::world::{PATIENCE, Scenario, clickhouse, kafka, until};

/// The linger of 30 ms and a second.
const LIMIT: Duration = Duration::from_millis(1_030);

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
    // The promise is one of an instance that gets its CPU: of a few tries beside other tests, one
    // must keep it.
    let mut took = Vec::new();
    for try_number in 1..=5_u8 {
        let tick = format!(
            r#"{{"symbol":"EUR/USD","bid":1.0955{try_number},"ask":1.2,"timestamp_ms":1706198400124}}"#
        );
        let produced = Instant::now();
        producer
            .produce_one(&topic, 1, None, Some(tick.as_bytes()))
            .unwrap();
        scenario.wait_rows("ticks", 1 + u64::from(try_number));
        took.push(produced.elapsed());
        if took.last() < Some(&LIMIT) {
            break;
        }
    }
    assert!(took.last() < Some(&LIMIT), "visible only after {took:?}");
    until(PATIENCE, "the commit", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
    assert!(bridge.terminate(Duration::from_secs(10)).success());
}
