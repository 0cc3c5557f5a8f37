//! What the tests of the Kafka source stand on: a broker, its topics, a producer.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use data_bridge::config::{Config, Environment, Secret};
use data_bridge_stack::kafka::{Kafka, KafkaOptions, Way};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::world::until;

/// Longest wait for anything that normally takes milliseconds to a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A folder under `target/`, empty at first.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the folder of an earlier run can be removed");
    }
    fs::create_dir_all(&folder).expect("a folder under target/ can be made");
    folder
}

/// The broker that these tests share; sessions may be as short as a test wants.
pub(crate) fn broker() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| start_broker("kafka-source", None))
}

pub(crate) fn start_broker(name: &str, port: Option<u16>) -> Kafka {
    start_broker_behind(name, port, None)
}

/// A broker that its clients may reach by another way, too.
pub(crate) fn start_broker_behind(name: &str, port: Option<u16>, way: Option<Way>) -> Kafka {
    let options = KafkaOptions {
        port,
        ways: way.into_iter().collect(),
        properties: vec![("group.min.session.timeout.ms".into(), "500".into())],
        ..KafkaOptions::default()
    };
    Kafka::start(&folder(name), options).expect("Kafka starts")
}

/// The defaults, for these topics of the shared broker, and a group named after the first.
pub(crate) fn config(topics: &[&str]) -> Config {
    let environment = Environment { host_name: "test".into(), ..Environment::default() };
    let mut config = Config::from_defaults(&environment);
    config.kafka.brokers = broker().bootstrap();
    config.kafka.group_id = format!("group-{}", topics[0]);
    let routed = topics.iter().map(|topic| ((*topic).to_owned(), "ticks".to_owned()));
    config.kafka.topics = routed.collect();
    // Added partitions and new topics are found within this time instead of 10 s.
    let refresh = Secret::new("500");
    let properties = &mut config.kafka.properties;
    properties.insert("topic.metadata.refresh.interval.ms".into(), refresh);
    config
}

fn client() -> ClientConfig {
    client_of(&broker().bootstrap())
}

fn client_of(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Sends values to topics of the shared broker.
pub(crate) struct Sends(ThreadedProducer<DefaultProducerContext>);

impl Sends {
    pub(crate) fn new() -> Self {
        Self::to(&broker().bootstrap())
    }

    pub(crate) fn to(brokers: &str) -> Self {
        let mut config = client_of(brokers);
        config.set("linger.ms", "1").set("compression.type", "lz4");
        // A request that is tried again, as the first one to a new topic may be, keeps its place.
        config.set("enable.idempotence", "true");
        Self(config.create().expect("the producer's settings are sound"))
    }

    pub(crate) fn one(&self, topic: &str, partition: i32, value: &str) {
        let mut record = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
        while let Err((error, refused)) = self.0.send(record) {
            assert!(error.to_string().contains("Queue full"), "{error}");
            self.flush();
            record = refused;
        }
    }

    /// Everything sent is in the log.
    pub(crate) fn flush(&self) {
        self.0.flush(PATIENCE).expect("the broker takes it");
    }

    pub(crate) fn these(&self, topic: &str, partition: i32, values: std::ops::Range<u32>) {
        for value in values {
            self.one(topic, partition, &value.to_string());
        }
        self.flush();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn admin() -> AdminClient<DefaultClientContext> {
    client().create().expect("the client's settings are sound")
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

pub(crate) fn make_topic(topic: &str, partitions: i32) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    // A topic of this name may still be going away.
    let until = Instant::now() + PATIENCE;
    loop {
        let made = block_on(admin().create_topics([&new], &options())).expect("the broker answers");
        match &made[0] {
            Ok(_) => return,
            Err((_, code)) => {
                let is_there = *code == rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists;
                assert!(is_there && Instant::now() < until, "{topic}: {code}");
            }
        }
    }
}

pub(crate) fn delete_topic(topic: &str) {
    let deleted = block_on(admin().delete_topics(&[topic], &options())).expect("an answer");
    deleted[0].as_ref().expect("it can be deleted");
}

pub(crate) fn add_partitions(topic: &str, to: usize) {
    let new = NewPartitions::new(topic, to);
    let added = block_on(admin().create_partitions([&new], &options())).expect("an answer");
    added[0].as_ref().expect("they can be added");
    let admin = admin();
    let count = || {
        let metadata = admin.inner().fetch_metadata(Some(topic), PATIENCE);
        metadata.expect("the broker answers").topics()[0].partitions().len()
    };
    let until = Instant::now() + PATIENCE;
    while count() < to {
        assert!(Instant::now() < until, "the broker does not show the partitions of {topic}");
    }
}

/// Deletes what lies before an offset, as retention does.
pub(crate) fn delete_records(topic: &str, partition: i32, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("a valid offset");
    block_on(admin().delete_records(&list, &options())).expect("they can be deleted");
}

/// What the group has committed: offset and metadata.
pub(crate) fn committed(group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
    let mut config = client();
    config.set("group.id", group);
    let consumer: BaseConsumer = config.create().expect("the client's settings are sound");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let list = consumer.committed_offsets(list, PATIENCE).expect("the group is known");
    let entry = list.find_partition(topic, partition)?;
    match entry.offset() {
        Offset::Offset(offset) => Some((offset, entry.metadata().to_owned())),
        _ => None,
    }
}

/// Commits as another program would, or as this one in another life.
pub(crate) fn commit_as_another(group: &str, topic: &str, offset: i64, metadata: &str) {
    commit_as_another_at(&broker().bootstrap(), group, (topic, 0), offset, metadata);
}

/// The same at any broker, for any partition.
pub(crate) fn commit_as_another_at(
    brokers: &str,
    group: &str,
    (topic, partition): (&str, i32),
    offset: i64,
    metadata: &str,
) {
    let mut config = client_of(brokers);
    config.set("group.id", group);
    let consumer: BaseConsumer = config.create().expect("the client's settings are sound");
    let mut list = TopicPartitionList::new();
    let mut entry = list.add_partition(topic, partition);
    entry.set_offset(Offset::Offset(offset)).expect("a valid offset");
    entry.set_metadata(metadata);
    // A broker that has just started is still reading who has committed what.
    until(PATIENCE, "the commit to be taken", || {
        let committed = consumer.commit(&list, rdkafka::consumer::CommitMode::Sync);
        committed.map_err(|error| error.to_string())
    });
}
