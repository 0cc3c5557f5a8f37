//! `kafka`: where messages come from, and on which terms the group works.

use std::collections::BTreeMap;
use std::time::Duration;

use super::collect::join;
use super::kind::is_identifier;
use super::node::Content;
use super::problem::Problem;
use super::route::RouteConfig;
use super::secret::Secret;
use super::show::Shown;
use super::subscribe;
use super::values::Values;

/// The Kafka side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Kafka {
    /// Whether this instance reads from Kafka.
    pub enabled: bool,
    /// Bootstrap servers, comma-separated as librdkafka wants them.
    pub brokers: String,
    /// The consumer group that all instances share.
    pub group_id: String,
    /// Who runs the group's protocol.
    pub group_protocol: GroupProtocol,
    /// How the classic protocol spreads partitions.
    pub assignor: Assignor,
    /// Whether `group.instance.id` is sent: `<group_id>-<instance.id>`.
    pub static_membership: bool,
    /// Where a partition without any commit starts.
    pub auto_offset_reset: OffsetReset,
    /// Without a heartbeat for this long, the broker takes the partitions away.
    pub session_timeout: Duration,
    /// Time between heartbeats; at most a third of the session.
    pub heartbeat_interval: Duration,
    /// Longest time between two polls.
    pub max_poll_interval: Duration,
    /// How long a revoked lane's inserts in flight may still become durable.
    pub revoke: Duration,
    /// Topic to route name; never `external`, which is resolved by the topic's type.
    pub topics: BTreeMap<String, String>,
    /// Further librdkafka properties; none of them touches a promise.
    pub properties: BTreeMap<String, Secret>,
    /// How `init` creates topics.
    pub init: KafkaInit,
    /// `fetch.min.bytes`, where the file sets it.
    pub fetch_min_bytes: Option<u32>,
    /// How long a broker holds a fetch that finds nothing. librdkafka has one fetch at a time per
    /// broker, so this is how long a partition that is assigned or resumed meanwhile waits for its
    /// first: librdkafka's default of 500 ms came once or twice on top of a start. An idle instance
    /// costs the broker 1 % of a core more than with that.
    pub fetch_max_wait: Duration,
}

/// How `init` creates topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaInit {
    /// Partitions of a new topic.
    pub partitions: i32,
    /// Replicas of each partition; −1 leaves it to the broker.
    pub replication: i32,
}

/// Who runs the group's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The members: one of them assigns.
    Classic,
    /// The broker (KIP-848).
    Consumer,
}

/// How the classic protocol spreads partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Partition n of every topic lies on one instance.
    Range,
    /// Moves only what has to move.
    CooperativeSticky,
    /// One partition after the other.
    RoundRobin,
}

/// Where a partition without any commit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At its end: a new deployment does not reprocess history.
    Latest,
    /// At its beginning.
    Earliest,
}

impl Kafka {
    pub(super) fn read(values: &mut Values, routes: &[RouteConfig]) -> Self {
        Self {
            enabled: values.switch("kafka.enabled"),
            brokers: brokers(values),
            group_id: values.text("kafka.group_id"),
            group_protocol: values
                .choice("kafka.group_protocol", [GroupProtocol::Classic, GroupProtocol::Consumer]),
            assignor: values.choice(
                "kafka.assignor",
                [Assignor::Range, Assignor::CooperativeSticky, Assignor::RoundRobin],
            ),
            static_membership: values.switch("kafka.static_membership"),
            auto_offset_reset: values
                .choice("kafka.auto_offset_reset", [OffsetReset::Latest, OffsetReset::Earliest]),
            session_timeout: values.duration("kafka.session_timeout_ms"),
            heartbeat_interval: values.duration("kafka.heartbeat_interval_ms"),
            max_poll_interval: values.duration("kafka.max_poll_interval_ms"),
            revoke: values.duration("kafka.revoke_ms"),
            topics: subscribe::topics(values, routes),
            properties: properties(values),
            init: KafkaInit {
                partitions: values.number32("kafka.init.partitions"),
                replication: replication(values),
            },
            fetch_min_bytes: values.optional_count32("kafka.fetch_min_bytes"),
            fetch_max_wait: values.duration("kafka.fetch_max_wait_ms"),
        }
    }

    /// librdkafka's property for how partitions are spread, and its value.
    #[must_use]
    pub fn assignor_property(&self) -> (&'static str, &'static str) {
        const BY_A_MEMBER: &str = "partition.assignment.strategy";
        const BY_THE_BROKER: &str = "group.remote.assignor";
        match (self.group_protocol, self.assignor) {
            (GroupProtocol::Classic, Assignor::Range) => (BY_A_MEMBER, "range"),
            (GroupProtocol::Classic, Assignor::CooperativeSticky) => {
                (BY_A_MEMBER, "cooperative-sticky")
            }
            (GroupProtocol::Classic, Assignor::RoundRobin) => (BY_A_MEMBER, "roundrobin"),
            (GroupProtocol::Consumer, Assignor::Range) => (BY_THE_BROKER, "range"),
            // Moves only what has to move; the third is refused with this protocol.
            (GroupProtocol::Consumer, Assignor::CooperativeSticky | Assignor::RoundRobin) => {
                (BY_THE_BROKER, "uniform")
            }
        }
    }
}

/// A broker may be named with a listener, `PLAINTEXT://host:port`: librdkafka reads that too.
fn brokers(values: &mut Values) -> String {
    let list = values.list("kafka.brokers", |text| {
        let host = text.split_once("://").map_or(text, |(_, host)| host);
        super::kind::host(host).map(|()| text.to_owned()).map_err(Some)
    });
    list.join(",")
}

fn replication(values: &mut Values) -> i32 {
    let replicas = values.number32("kafka.init.replication");
    if replicas == 0 {
        values.refuse(
            "kafka.init.replication",
            "cannot be `0`",
            "write a number of replicas, or -1 for the broker's default",
        );
    }
    replicas
}

/// Properties that a promise rests on, with what to do instead. A name that ends in `.` stands for
/// all that begin with it.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("enable.auto.commit", "the bridge commits an offset once its rows are durable"),
    ("auto.commit.enable", "the bridge commits an offset once its rows are durable"),
    ("auto.commit.interval.ms", "the bridge commits an offset once its rows are durable"),
    ("enable.auto.offset.store", "the bridge commits an offset once its rows are durable"),
    ("offset.store.", "the bridge commits an offset once its rows are durable"),
    ("auto.offset.reset", "use kafka.auto_offset_reset"),
    ("group.id", "use kafka.group_id"),
    ("group.protocol", "use kafka.group_protocol"),
    ("group.instance.id", "use kafka.static_membership and instance.id"),
    ("group.", "the bridge decides the terms of its group"),
    ("session.timeout.ms", "use kafka.session_timeout_ms"),
    ("heartbeat.interval.ms", "use kafka.heartbeat_interval_ms"),
    ("max.poll.interval.ms", "use kafka.max_poll_interval_ms"),
    ("partition.assignment.strategy", "use kafka.assignor"),
    ("isolation.level", "the bridge reads committed records only (read_committed)"),
    ("check.crcs", "the bridge checks them: a batch that was altered is not read"),
    ("bootstrap.servers", "use kafka.brokers"),
    ("metadata.broker.list", "use kafka.brokers"),
    ("queued.max.messages.kbytes", "backpressure.max_bytes bounds all that is fetched"),
    ("queued.min.messages", "backpressure.max_bytes bounds all that is fetched"),
    ("allow.auto.create.topics", "`data-bridge init` creates topics, `run` never does"),
    ("enable.partition.eof", "the bridge sets it: it finds the end of transactional topics so"),
];

/// Why a property is refused, if it is.
fn refusal(name: &str) -> Option<&'static str> {
    REFUSED
        .iter()
        .find(|(refused, _)| {
            *refused == name || (refused.ends_with('.') && name.starts_with(refused))
        })
        .map(|(_, instead)| *instead)
}

fn properties(values: &mut Values) -> BTreeMap<String, Secret> {
    const PATH: &str = "kafka.properties";
    let mut properties = BTreeMap::new();
    let mut shown = Vec::new();
    for entry in values.entries(PATH).unwrap_or_default() {
        let path = join(PATH, &entry.key);
        if let Some(instead) = refusal(&entry.key) {
            let what = "would break a promise of the bridge";
            values.problems.push(Problem::new(&entry.key_origin, path, what, instead));
            continue;
        }
        match &entry.value.content {
            Content::Scalar(text) => {
                shown.push((entry.key.clone(), shown_property(&entry.key, text)));
                properties.insert(entry.key, Secret::new(text));
            }
            Content::Unfilled => {}
            Content::Empty | Content::List(_) | Content::Map(_) => {
                values.problems.push(Problem::new(
                    &entry.value.origin,
                    path,
                    format!("{} stands where a value belongs", entry.value.shape()),
                    "write librdkafka's full name and a value, such as                      security.protocol: SASL_SSL",
                ));
            }
        }
    }
    values.settle(PATH, Shown::Map(shown));
    properties
}

/// Only what is known to be harmless is shown.
fn shown_property(name: &str, text: &str) -> Shown {
    const SHOWN: &[&str] = &[
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
        "client.id",
        "client.rack",
        "debug",
    ];
    let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let tells_who = ["password", "secret", "token", "key"].iter().any(|word| name.contains(word));
    if SHOWN.contains(&name) || (number && !tells_who) {
        Shown::Text(text.to_owned())
    } else {
        Shown::Redacted
    }
}

/// The name under which a static member is known to the group.
pub(super) fn static_member(group_id: &str, instance_id: &str) -> Option<String> {
    let name = format!("{group_id}-{instance_id}");
    is_identifier(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_promise_is_refused_by_name() {
        for name in [
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "group.id",
            "group.remote.assignor",
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "isolation.level",
        ] {
            assert!(refusal(name).is_some(), "{name}");
        }
        for name in ["security.protocol", "sasl.password", "fetch.wait.max.ms", "groups"] {
            assert_eq!(refusal(name), None, "{name}");
        }
    }

    #[test]
    fn properties_that_nobody_knows_are_not_shown() {
        assert_eq!(shown_property("sasl.password", "1234"), Shown::Redacted);
        assert_eq!(shown_property("ssl.key.pem", "-----BEGIN"), Shown::Redacted);
        assert_eq!(shown_property("something.new", "x"), Shown::Redacted);
        assert_eq!(shown_property("fetch.max.bytes", "1048576"), Shown::Text("1048576".into()));
        assert_eq!(shown_property("security.protocol", "SSL"), Shown::Text("SSL".into()));
    }
}
