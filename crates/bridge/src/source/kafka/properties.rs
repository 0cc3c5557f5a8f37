//! librdkafka's properties, from our configuration.

use std::time::Duration;

use crate::config::{GroupProtocol, Instance, Kafka};

/// One property each: name, value.
pub(super) type Properties = Vec<(String, String)>;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// For a member of the group whose queue of fetched records may hold `queue_budget` bytes.
///
/// What a promise rests on is set last, so that nothing in `kafka.properties` reaches it.
pub(super) fn member(config: &Kafka, instance: &Instance, queue_budget: u64) -> Properties {
    let mut properties = common(config);
    let mut set = |name: &str, value: String| properties.push((name.into(), value));

    // One response per broker can be on its way while the queue is full, and is several times
    // larger once it is decompressed.
    let response = (queue_budget / 16).clamp(256 * KIB, 4 * MIB);
    set("queued.max.messages.kbytes", (queue_budget / 2 / KIB).max(1).to_string());
    set("fetch.max.bytes", response.to_string());
    set("fetch.message.max.bytes", response.min(MIB).to_string());
    // Only producers are limited by it, but librdkafka refuses consumers that fetch less at once
    // than its default of 1,000,000.
    set("message.max.bytes", response.min(1_000_000).to_string());
    // Each queued record also takes about 500 bytes that librdkafka does not count.
    set("queued.min.messages", (queue_budget / KIB).clamp(1_000, 100_000).to_string());
    // The default of 1,000 ms holds a well-compressed topic to a tenth of what it can give.
    set("fetch.queue.backoff.ms", "5".into());
    set("fetch.wait.max.ms", millis(config.fetch_max_wait));
    if let Some(bytes) = config.fetch_min_bytes {
        set("fetch.min.bytes", bytes.to_string());
    }
    // An added partition, or a missing topic that somebody made, is found within this time.
    set("topic.metadata.refresh.interval.ms", "10000".into());
    set("client.id", instance.id.clone());
    own(&mut properties, config);

    let mut set = |name: &str, value: &str| properties.push((name.into(), value.into()));
    set("group.id", &config.group_id);
    if config.static_membership {
        set("group.instance.id", &static_id(config, instance));
    }
    set("max.poll.interval.ms", &millis(config.max_poll_interval));
    let (property, assignor) = config.assignor_property();
    set(property, assignor);
    match config.group_protocol {
        GroupProtocol::Classic => {
            set("group.protocol", "classic");
            set("session.timeout.ms", &millis(config.session_timeout));
            set("heartbeat.interval.ms", &millis(config.heartbeat_interval));
        }
        // The broker decides about the rest, and librdkafka refuses it.
        GroupProtocol::Consumer => set("group.protocol", "consumer"),
    }
    set("enable.auto.commit", "false");
    set("enable.auto.offset.store", "false");
    set("auto.offset.reset", "error");
    set("isolation.level", "read_committed");
    // librdkafka does not by itself. A batch that was altered stops its partition instead of being
    // written; no cost could be measured.
    set("check.crcs", "true");
    set("allow.auto.create.topics", "false");
    // The batch call would take the offset of an end-of-partition event for that of a record, and
    // a pause would then skip the record that comes to lie there.
    set("enable.partition.eof", "false");
    properties
}

/// For reading again outside of any group: as a member, but for what makes a client one. The group's
/// id stays, since what the group has committed can only be asked for by its name.
pub(super) fn reader(config: &Kafka, instance: &Instance, queue_budget: u64) -> Properties {
    let alone = Kafka {
        static_membership: false,
        group_protocol: GroupProtocol::Classic,
        ..config.clone()
    };
    let mut properties = member(&alone, instance, queue_budget);
    let mut set = |name: &str, value: &str| properties.push((name.into(), value.into()));
    set("client.id", &format!("{}-reader", instance.id));
    // A reader wants to know where the log ends, and goes on to another partition then: the broker
    // must not hold a fetch of the one before.
    set("enable.partition.eof", "true");
    set("fetch.wait.max.ms", "10");
    properties
}

/// For questions about topics and their creation.
pub(super) fn administrator(config: &Kafka) -> Properties {
    let mut properties = common(config);
    own(&mut properties, config);
    properties
}

/// `group.instance.id` of a static member.
pub(super) fn static_id(config: &Kafka, instance: &Instance) -> String {
    format!("{}-{}", config.group_id, instance.id)
}

fn common(config: &Kafka) -> Properties {
    [
        ("bootstrap.servers", config.brokers.as_str()),
        // A broker that comes back is found at once; the default is 10 s.
        ("reconnect.backoff.max.ms", "1000"),
        // A link that swallows everything is given up within the 30 s that any fail-over may take;
        // the default is 60 s.
        ("socket.timeout.ms", "10000"),
        // Nobody at the broker asked for our client's own metrics (KIP-714).
        ("enable.metrics.push", "false"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The user's own properties. What only a consumer knows does no harm elsewhere: librdkafka warns.
fn own(properties: &mut Properties, config: &Kafka) {
    for (name, value) in &config.properties {
        properties.push((name.clone(), value.expose().to_owned()));
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Assignor, Config, Environment, Secret};

    fn config() -> Config {
        Config::from_defaults(&Environment { host_name: "host".into(), ..Environment::default() })
    }

    /// The value that counts: librdkafka takes the last.
    fn value<'p>(properties: &'p Properties, name: &str) -> Option<&'p str> {
        let mut of_name = properties.iter().rev().filter(|(key, _)| key == name);
        of_name.next().map(|(_, value)| value.as_str())
    }

    #[test]
    fn no_property_of_the_user_reaches_a_promise() {
        let mut config = config();
        for promise in [
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "isolation.level",
            "check.crcs",
            "enable.partition.eof",
        ] {
            let harm = Secret::new("harm");
            config.kafka.properties.insert(promise.into(), harm);
        }
        config.kafka.properties.insert("fetch.queue.backoff.ms".into(), Secret::new("7"));
        let properties = member(&config.kafka, &config.instance, 32 * MIB);
        assert!(properties.iter().rposition(|(_, value)| value == "harm").is_some());
        assert_eq!(value(&properties, "enable.auto.commit"), Some("false"));
        assert_eq!(value(&properties, "enable.auto.offset.store"), Some("false"));
        assert_eq!(value(&properties, "auto.offset.reset"), Some("error"));
        assert_eq!(value(&properties, "isolation.level"), Some("read_committed"));
        assert_eq!(value(&properties, "check.crcs"), Some("true"));
        assert_eq!(value(&properties, "enable.partition.eof"), Some("false"));
        assert_eq!(value(&properties, "fetch.queue.backoff.ms"), Some("7"), "his to tune");
    }

    #[test]
    fn the_classic_protocol_gets_a_session_and_each_its_own_assignor() {
        let mut config = config();
        config.kafka.assignor = Assignor::CooperativeSticky;
        let classic = member(&config.kafka, &config.instance, MIB);
        assert_eq!(value(&classic, "session.timeout.ms"), Some("8000"));
        assert_eq!(value(&classic, "heartbeat.interval.ms"), Some("1000"));
        let assignor = value(&classic, "partition.assignment.strategy");
        assert_eq!(assignor, Some("cooperative-sticky"));

        config.kafka.group_protocol = GroupProtocol::Consumer;
        let consumer = member(&config.kafka, &config.instance, MIB);
        assert_eq!(value(&consumer, "group.protocol"), Some("consumer"));
        for left_out in
            ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"]
        {
            assert_eq!(value(&consumer, left_out), None, "{left_out}");
        }
        assert_eq!(value(&consumer, "group.remote.assignor"), Some("uniform"));
        config.kafka.assignor = Assignor::Range;
        let consumer = member(&config.kafka, &config.instance, MIB);
        assert_eq!(value(&consumer, "group.remote.assignor"), Some("range"));
        assert_eq!(value(&consumer, "max.poll.interval.ms"), Some("300000"));
    }

    #[test]
    fn a_fetch_waits_as_long_as_configured_and_else_not_long() {
        let mut config = config();
        let properties = member(&config.kafka, &config.instance, MIB);
        assert_eq!(value(&properties, "fetch.wait.max.ms"), Some("100"));
        config.kafka.fetch_max_wait = Duration::from_millis(350);
        let properties = member(&config.kafka, &config.instance, MIB);
        assert_eq!(value(&properties, "fetch.wait.max.ms"), Some("350"));
    }

    #[test]
    fn a_static_member_is_named_after_group_and_instance() {
        let mut config = config();
        let dynamic = member(&config.kafka, &config.instance, MIB);
        assert_eq!(value(&dynamic, "group.instance.id"), None);
        config.kafka.static_membership = true;
        let fixed = member(&config.kafka, &config.instance, MIB);
        assert_eq!(value(&fixed, "group.instance.id"), Some("data-bridge-group-host"));
    }

    #[test]
    fn queue_and_responses_stay_within_the_budget() {
        let config = config();
        for budget in [MIB, 8 * MIB, 32 * MIB, 512 * MIB] {
            let properties = member(&config.kafka, &config.instance, budget);
            let number = |name| value(&properties, name).unwrap().parse::<u64>().unwrap();
            let queue = number("queued.max.messages.kbytes") * KIB;
            let bookkeeping = number("queued.min.messages") * 500;
            assert!(queue + number("fetch.max.bytes") <= budget, "{budget}");
            assert!(bookkeeping <= budget.max(500_000), "{budget}");
            assert!(number("fetch.message.max.bytes") <= number("fetch.max.bytes"));
            // Else no client can be made.
            assert!(number("message.max.bytes") <= number("fetch.max.bytes"));
        }
    }

    #[test]
    fn a_client_of_any_budget_can_be_made() {
        let config = config();
        for budget in [1, MIB, 2 * MIB, 16 * MIB, 32 * MIB, 512 * MIB] {
            let mut client = rdkafka::ClientConfig::new();
            for (name, value) in member(&config.kafka, &config.instance, budget) {
                client.set(name, value);
            }
            let made = client.create::<rdkafka::consumer::BaseConsumer>();
            assert!(made.is_ok(), "{budget}: {:?}", made.err());
        }
    }
}
