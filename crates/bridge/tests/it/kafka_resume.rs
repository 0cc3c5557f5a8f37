//! A partition that flows again while the others have nothing.

use std::time::{Duration, Instant};

use data_bridge::source::kafka::{Event, KafkaSource};
use data_bridge_core::units::LaneId;

use crate::kafka_member::no_rows;
use crate::kafka_stage::{PATIENCE, Sends, config, make_topic};
use crate::stopwatch::Stopwatch;

/// librdkafka has one fetch at a time per broker. While it waits for records of the partitions it
/// names, a partition that comes later waits, too.
#[test]
fn a_resumed_partition_does_not_wait_long_for_the_fetch_of_the_others() {
    const TRIES: u32 = 24;
    let topic = "resume";
    make_topic(topic, 2);
    let config = config(&[topic]);
    let mut source =
        KafkaSource::connect(&config.kafka, &config.instance, 16 << 20, no_rows()).unwrap();
    let mut lanes = Vec::new();
    fetch_until(&mut source, |event| {
        if let Event::Assigned { lane, partition, .. } = event {
            lanes.push((*partition, *lane));
        }
        lanes.len() == 2
    });
    let second = lanes.iter().find(|(partition, _)| *partition == 1).expect("it has both").1;
    let sends = Sends::new();
    let watch = Stopwatch::start();
    let mut waited = Duration::ZERO;
    for number in 0..TRIES {
        source.pause(&[second]);
        // So that nothing but the first partition's fetch is under way.
        sends.these(topic, 0, number..number + 1);
        fetch_until(&mut source, |event| brings(event, second).is_some_and(|is_second| !is_second));
        sends.these(topic, 1, number..number + 1);
        let resumed = Instant::now();
        source.resume(&[second]);
        fetch_until(&mut source, |event| brings(event, second) == Some(true));
        waited += resumed.elapsed();
    }
    // Half of the fetch's wait on average: 1.2 s with 100 ms, 6 s with librdkafka's default.
    watch.assert("24 resumed partitions in sum", waited, Duration::from_secs(2));
    source.close(Instant::now() + PATIENCE);
}

/// Whether records are of this lane; `None` for anything but records.
fn brings(event: &Event, lane: LaneId) -> Option<bool> {
    match event {
        Event::Fetched { lane: of, .. } => Some(*of == lane),
        _ => None,
    }
}

fn fetch_until(source: &mut KafkaSource, mut is_it: impl FnMut(&Event) -> bool) {
    let until = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while Instant::now() < until {
        source.fetch(Duration::from_millis(10), 1_000, &mut events);
        if events.drain(..).any(|event| is_it(&event)) {
            return;
        }
    }
    panic!("it never came");
}
