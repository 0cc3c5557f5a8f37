//! What happens to the log while an instance is away or reads it: each is counted, and said.

use std::fs;

use crate::kafka_stage::{Sends, add_partitions, broker, delete_records, delete_topic, make_topic};
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, until};

/// A value of its own for each number: each leads to a row.
fn ticks(topic: &str, partition: i32, numbers: std::ops::Range<u32>) {
    let sends = Sends::new();
    for number in numbers {
        let time = 1_706_198_400_000_u64 + u64::from(number);
        let tick =
            format!(r#"{{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":{time}}}"#);
        sends.one(topic, partition, &tick);
    }
    sends.flush();
}

#[track_caller]
fn wait_said(bridge: &Instance, words: &[&str]) {
    until(PATIENCE, &format!("a log line with {words:?}"), || {
        let log = fs::read_to_string(bridge.process.log()).expect("the log is there");
        let is_it = |line: &str| words.iter().all(|word| line.contains(word));
        if log.lines().any(is_it) { Ok(()) } else { Err(bridge.tail()) }
    });
}

#[track_caller]
fn wait_counted(bridge: &Instance, metric: &str, count: u64) {
    until(PATIENCE, metric, || match bridge.metric(metric) {
        found if found == count => Ok(()),
        found => Err(format!("{found} instead of {count}")),
    });
}

/// A lost range and an added partition, one after the other on one topic.
#[test]
fn what_retention_deletes_is_counted_and_a_new_partition_or_topic_is_read_whole() {
    let mut scenario = Scenario::new("positions", &clickhouse().url())
        .with("kafka", "properties: { topic.metadata.refresh.interval.ms: 500 }");
    // Its records can be deleted without harm to others.
    scenario.brokers = broker().bootstrap();
    scenario.from_latest = true;
    scenario.init();
    let topic = format!("{}tick_archive", scenario.prefix());
    let bridge = scenario.start(1);
    bridge.wait_ready();
    ticks(&topic, 0, 0..10);
    scenario.wait_rows("ticks", 10);
    until(PATIENCE, "the commit", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
    bridge.end();

    // Retention deletes what nobody has read.
    ticks(&topic, 0, 10..40);
    delete_records(&topic, 0, 25);
    let bridge = scenario.start(2);
    scenario.wait_rows("ticks", 10 + 15);
    wait_said(&bridge, &["ERROR", "deleted before they were read", "lost_from=10", "lost_to=25"]);
    wait_counted(&bridge, "data_bridge_lost_ranges_total", 1);
    wait_counted(&bridge, "data_bridge_lost_messages_total", 15);

    // A partition is added, and has records before anybody knows of it.
    bridge.wait_ready();
    add_partitions(&topic, 7);
    ticks(&topic, 6, 100..110);
    scenario.wait_rows("ticks", 25 + 10);
    wait_said(&bridge, &["WARN", &format!("{topic}:6"), "offset=0", "added later"]);
    wait_counted(&bridge, "data_bridge_added_partitions_total", 1);
    bridge.end();

    // The topic is deleted and made anew while an instance reads it.
    let bridge = scenario.start(3);
    bridge.wait_ready();
    delete_topic(&topic);
    make_topic(&topic, 2);
    ticks(&topic, 1, 200..220);
    scenario.wait_rows("ticks", 35 + 20);
    wait_said(&bridge, &["WARN", &format!("{topic}:1"), "offset=0"]);
    assert_eq!(bridge.metric("data_bridge_lost_ranges_total"), 0);
    bridge.end();
}
