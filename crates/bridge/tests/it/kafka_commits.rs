//! Commits that the broker does not answer.

use std::time::{Duration, Instant};

use data_bridge::config::{OffsetReset, Secret};
use data_bridge::source::kafka::{Event, KafkaSource};
use data_bridge_core::units::{LaneId, Position};
use data_bridge_lab::proxy::{Fault, Proxy};
use data_bridge_stack::kafka::Way;
use data_bridge_stack::port;

use crate::kafka_member::no_rows;
use crate::kafka_stage::{PATIENCE, Sends, config, start_broker_behind};
use crate::world::wait_for;

/// The answers to commits while events are fetched for so long: when each came, and whether it was
/// a yes.
fn answers(source: &mut KafkaSource, wait: Duration, most: usize) -> Vec<(Duration, bool)> {
    let began = Instant::now();
    let mut events = Vec::new();
    let mut answers = Vec::new();
    while began.elapsed() < wait && answers.len() < most {
        source.fetch(Duration::from_millis(50), 1_000, &mut events);
        for event in events.drain(..) {
            if let Event::Committed { ok, .. } = event {
                answers.push((began.elapsed(), ok));
            }
        }
    }
    answers
}

/// A link that swallows everything: the commit is given up, and made again when the link is back;
/// the late answer to the first is no second one.
#[test]
fn a_commit_that_is_never_answered_is_given_up_and_made_again() {
    let behind = port::free().unwrap();
    let proxy = wait_for(Proxy::start(([127, 0, 0, 1], behind).into())).unwrap();
    let seen = proxy.address().port();
    let way = Way { behind, seen, protocol: "PLAINTEXT" };
    let broker = start_broker_behind("kafka-silent", None, Some(way));
    crate::kafka_topics::make_at(&broker.bootstrap(), "silent");
    let sends = Sends::to(&broker.bootstrap());
    sends.these("silent", 0, 0..10);

    let mut config = config(&["silent"]);
    config.kafka.brokers = format!("127.0.0.1:{seen}");
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    config.kafka.session_timeout = Duration::from_secs(45);
    // librdkafka itself would tell only after a minute.
    config.kafka.properties.insert("socket.timeout.ms".into(), Secret::new("60000"));
    let mut source =
        KafkaSource::connect(&config.kafka, &config.instance, 16 << 20, no_rows()).unwrap();
    let mut fetched: Option<(LaneId, Position)> = None;
    let mut events = Vec::new();
    let until = Instant::now() + PATIENCE;
    while fetched.is_none_or(|(_, next)| next.0 < 10) {
        assert!(Instant::now() < until, "nothing came");
        source.fetch(Duration::from_millis(50), 1_000, &mut events);
        for event in events.drain(..) {
            if let Event::Fetched { lane, next, .. } = event {
                fetched = Some((lane, next));
            }
        }
    }
    let (lane, next) = fetched.expect("something came");

    proxy.set(Fault::BlackHole);
    source.commit(&[(lane, Position(5))]);
    let given_up = answers(&mut source, Duration::from_secs(30), 1);
    println!("given up after {given_up:?}");
    assert!(
        matches!(given_up[..], [(after, false)] if after < Duration::from_secs(20)),
        "{given_up:?}"
    );
    proxy.set(Fault::Pass);
    source.commit(&[(lane, next)]);
    let made = answers(&mut source, Duration::from_secs(5), 2);
    assert!(matches!(made[..], [(_, true)]), "{made:?}");
    let lanes = source.status().lanes;
    assert_eq!(lanes[0].committed, next, "the newest position holds");
    source.close(Instant::now() + PATIENCE);
}
