//! Kafka and NATS as they are.

use std::path::PathBuf;

use data_bridge_stack::kafka::{Kafka, KafkaOptions};
use data_bridge_stack::process::start_time;

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::remove_dir_all(&folder).ok();
    folder
}

#[test]
fn a_killed_broker_comes_back_on_its_port() {
    let started = std::time::Instant::now();
    let mut kafka = Kafka::start(&folder("kafka"), KafkaOptions::default()).unwrap();
    println!("started after {:?}", started.elapsed());
    let first = (kafka.pid(), kafka.bootstrap());
    kafka.kill().unwrap();
    assert_eq!(start_time(first.0), None);
    kafka.restart().unwrap();
    assert_ne!(kafka.pid(), first.0);
    assert_eq!(kafka.bootstrap(), first.1);
    let pid = kafka.pid();
    drop(kafka);
    assert_eq!(start_time(pid), None);
}
