//! Kafka and NATS as they are: started, killed, restarted.

use std::path::Path;
use std::process::Command;

use data_bridge_stack::clickhouse::{ClickHouse, ClickHouseOptions};
use data_bridge_stack::kafka::{Kafka, KafkaOptions};
use data_bridge_stack::nats::{Nats, NatsOptions};
use data_bridge_stack::process::start_time;

use crate::folder;

/// Runs one of Kafka's own tools and returns what it says.
fn topics(kafka: &Kafka, arguments: &[&str]) -> String {
    let mut tool: Command = kafka.home().command();
    tool.args(["-XX:TieredStopAtLevel=1", "org.apache.kafka.tools.TopicCommand"]);
    tool.args(["--bootstrap-server", &kafka.bootstrap()]).args(arguments);
    let output = tool.output().expect("java runs, a broker runs on it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_killed_broker_comes_back_with_its_port_and_topics_beside_another_one() {
    let mut kafka = Kafka::start(&folder("kafka-1"), KafkaOptions::default()).unwrap();
    let other = Kafka::start(&folder("kafka-2"), KafkaOptions::default()).unwrap();
    topics(&kafka, &["--create", "--topic", "ticks", "--partitions", "6"]);

    let (pid, bootstrap) = (kafka.pid(), kafka.bootstrap());
    kafka.kill().unwrap();
    assert_eq!(start_time(pid), None);
    kafka.restart().unwrap();
    assert_ne!(kafka.pid(), pid);
    assert_eq!(kafka.bootstrap(), bootstrap);
    assert!(topics(&kafka, &["--list"]).lines().any(|line| line == "ticks"));
    assert_ne!(other.bootstrap(), bootstrap);
    assert!(!topics(&other, &["--list"]).contains("ticks"));

    let pids = [kafka.pid(), other.pid()];
    drop((kafka, other));
    assert_eq!(pids.map(start_time), [None, None]);
}

#[test]
fn a_broker_that_cannot_start_shows_the_end_of_its_log() {
    let properties = vec![("node.id".to_owned(), "none".to_owned())];
    let options = KafkaOptions { properties, ..KafkaOptions::default() };
    let place = folder("kafka-bad");
    let error = format!("{:#}", Kafka::start(&place, options).unwrap_err());
    assert!(error.contains("Invalid value none") && error.contains("ended with"), "{error}");
    assert!(error.contains(&place.join("kafka.log").display().to_string()), "{error}");
}

#[test]
fn a_killed_nats_server_comes_back_on_its_port() {
    let mut nats = Nats::start(&folder("nats"), NatsOptions::default()).unwrap();
    let (pid, url) = (nats.pid(), nats.url());
    nats.kill().unwrap();
    assert_eq!(start_time(pid), None);
    nats.restart().unwrap();
    assert_ne!(nats.pid(), pid);
    assert_eq!(nats.url(), url);
    nats.stop().unwrap();
    assert_eq!(start_time(nats.pid()), None);
}

#[test]
fn a_clickhouse_that_ends_at_once_shows_what_it_said() {
    let place = folder("clickhouse");
    let options = ClickHouseOptions::default();
    let error = ClickHouse::start(Path::new("/bin/ls"), &place, options).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("ended with") && error.contains("--path"), "{error}");
}
