//! Topics: what is missing is made, what exists is left alone.

use std::time::Duration;

use data_bridge::source::kafka::SourceError;
use data_bridge::source::kafka::topics::{Outcome, create, describe};

use crate::kafka_stage::{config, make_topic};

const WAIT: Duration = Duration::from_secs(30);

/// Makes a topic of one partition at another broker than the shared one.
pub(crate) fn make_at(brokers: &str, topic: &str) {
    make_partitions_at(brokers, topic, 1);
}

pub(crate) fn make_partitions_at(brokers: &str, topic: &str, partitions: i32) {
    let mut config = config(&[topic]);
    config.kafka.brokers = brokers.into();
    config.kafka.init.partitions = partitions;
    let made = create(&config.kafka, WAIT).expect("the broker answers");
    assert_eq!(made[0].outcome, Outcome::Created { partitions });
}

#[test]
fn missing_topics_are_made_and_others_left_alone() {
    make_topic("init-there", 2);
    let config = config(&["init-new", "init-there", "init bad name"]);
    let states = describe(&config.kafka, WAIT).unwrap();
    let partitions = states.iter().map(|topic| (&*topic.name, topic.partitions));
    let partitions = partitions.collect::<Vec<_>>();
    assert_eq!(partitions[1..], [("init-new", None), ("init-there", Some(2))]);

    let outcomes = create(&config.kafka, WAIT).unwrap();
    assert_eq!(outcomes[1].outcome, Outcome::Created { partitions: 6 });
    let left = Outcome::Exists { partitions: 2, wanted: 6 };
    assert_eq!(outcomes[2].outcome, left);
    assert!(matches!(outcomes[0].outcome, Outcome::Failed { .. }), "{:?}", outcomes[0]);

    let again = create(&config.kafka, WAIT).unwrap();
    assert_eq!(again[1].outcome, Outcome::Exists { partitions: 6, wanted: 6 });
    let states = describe(&config.kafka, WAIT).unwrap();
    assert_eq!(states[1].partitions, Some(6));
    assert!(states[1].id.is_some() && states[1].id != states[2].id);
}

#[test]
fn a_cluster_that_is_away_is_named_within_the_wait() {
    let mut config = config(&["nowhere"]);
    let port = data_bridge_stack::port::free().unwrap();
    config.kafka.brokers = format!("127.0.0.1:{port}");
    let error = describe(&config.kafka, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }));
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}
