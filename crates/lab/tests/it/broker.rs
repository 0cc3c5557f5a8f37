//! Producing to a real broker. `DATA_BRIDGE_TEST_BROKERS=127.0.0.1:9092 cargo test -p
//! data-bridge-lab -- --ignored`

use std::collections::HashMap;
use std::time::Duration;

use data_bridge_lab::generate::{Generator, Message};
use data_bridge_lab::kafka::{Offsets, Pace, Producer, create_topics_of};
use data_bridge_lab::plan::{Kind, Plan};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Headers, Message as _, OwnedMessage};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const MESSAGES: u64 = 20_000;

fn generator() -> Generator {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_millis()).expect("in this age");
    let mut plan = Plan::new(61, MESSAGES, now - 600_000);
    plan.mix.kinds = [10, 10, 2, 2, 2, 2, 2, 2];
    plan.mix.bad = 0.05;
    plan.mix.event_ids = 0.2;
    plan.topic_prefix = format!("lab-{now}-");
    Generator::try_new(plan).expect("sound")
}

/// Records by topic and partition, in order.
type Found = HashMap<(String, i32), Vec<OwnedMessage>>;

#[tokio::test]
#[ignore = "needs a broker, named by DATA_BRIDGE_TEST_BROKERS"]
async fn the_broker_has_what_the_plan_says() {
    let brokers = std::env::var("DATA_BRIDGE_TEST_BROKERS").expect("DATA_BRIDGE_TEST_BROKERS");
    let generator = generator();
    create_topics_of(&brokers, generator.plan()).await.expect("topics");
    create_topics_of(&brokers, generator.plan()).await.expect("topics that are there already");

    let producer = Producer::connect(&brokers).expect("a producer");
    let (mut reports, mut last) = (0, 0);
    let half = MESSAGES / 2;
    let sent = producer
        .produce(&generator, 0..half, Pace::Full, |progress| {
            reports += 1;
            last = progress.delivered;
        })
        .expect("the broker takes it");
    assert_eq!((sent.messages, last), (half, half));
    assert!(reports > 0);
    let rate = 20_000.0;
    let paced = producer
        .produce(&generator, half..MESSAGES, Pace::PerSecond(rate), |_| {})
        .expect("the broker takes it");
    assert!(paced.elapsed >= Duration::from_millis(480), "{:?}", paced.elapsed);

    let topics = Kind::ALL.map(|kind| generator.plan().topic(kind));
    let group = format!("{}group", generator.plan().topic_prefix);
    let offsets = Offsets::of_group(&brokers, &group).expect("a client");
    let before = offsets.read(&topics).expect("offsets");
    assert_eq!(before.len(), 48);
    assert!(before.iter().all(|offset| offset.committed.is_none()));
    assert_eq!(before.iter().map(|offset| offset.end).sum::<i64>(), 20_000);
    assert!(offsets.all_committed(&topics).is_err());

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("group.id", &group)
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut everything = TopicPartitionList::new();
    for offset in &before {
        everything
            .add_partition_offset(&offset.topic, offset.partition, Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&everything).expect("assigned");
    let mut found = Found::new();
    for _ in 0..MESSAGES {
        let record = consumer.poll(Duration::from_secs(10)).expect("one more").expect("a record");
        let place = (record.topic().to_owned(), record.partition());
        found.entry(place).or_default().push(record.detach());
    }
    compare(&generator, &found);

    let mut ends = TopicPartitionList::new();
    for offset in &before {
        ends.add_partition_offset(&offset.topic, offset.partition, Offset::Offset(offset.end))
            .expect("an offset");
    }
    consumer.commit(&ends, CommitMode::Sync).expect("committed");
    offsets.all_committed(&topics).expect("everything is committed");
    assert!(offsets.read(&topics).expect("offsets").iter().all(|offset| offset.lag() == 0));
}

/// Every message of the plan is in its partition, in order, and whole.
fn compare(generator: &Generator, found: &Found) {
    let mut next: HashMap<(String, i32), usize> = HashMap::new();
    let mut message = Message::default();
    for number in 0..MESSAGES {
        generator.message(number, &mut message);
        let place = (generator.plan().topic(message.kind), message.partition);
        let at = next.entry(place.clone()).or_default();
        let record = &found[&place][*at];
        *at += 1;
        assert_eq!(record.payload(), message.payload(), "message {number}");
        assert_eq!(record.key(), Some(message.key.as_slice()), "message {number}");
        assert_eq!(record.timestamp().to_millis(), message.time_ms, "message {number}");
        let headers: Vec<_> = record.headers().map_or_else(Vec::new, |headers| {
            let pairs = headers.iter().map(|header| (header.key, header.value));
            pairs.map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect()
        });
        let wanted = message.headers.iter();
        let wanted: Vec<_> = wanted
            .map(|(key, value)| ((*key).to_owned(), Some(value.as_bytes().to_vec())))
            .collect();
        assert_eq!(headers, wanted, "message {number}");
    }
}
