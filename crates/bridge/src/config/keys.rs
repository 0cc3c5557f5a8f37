//! Every key of the file, in its order: one table for reading, `config show` and the reference.

use super::kind::Kind;

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Dotted.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Fallback,
    /// What it means, as a sentence without its full stop.
    pub(super) meaning: &'static str,
}

/// What holds when nobody sets a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// This text, read as if it stood in the file.
    Is(&'static str),
    /// No value, or one that depends on others: in words.
    Says(&'static str),
}

use Fallback::{Is, Says};
use Kind::{
    Address, Choice, File, Filter, Hosts, Identifier, Map, Millis, Name, Routes, Seconds, Secret,
    Share, Size, SizeOrNone, Span, StreamName, Switch, Text, Url, Urls, Whole,
};

/// The key of a path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Environment variables that set a key, stronger than the file. `CLICKHOUSE_HOST` and
/// `CLICKHOUSE_HTTP_PORT` are parts of a URL and stand apart.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("INSTANCE_ID", "instance.id"),
    ("INSTANCE_NUMBER", "instance.number"),
    ("KAFKA_BROKERS", "kafka.brokers"),
    ("KAFKA_GROUP_ID", "kafka.group_id"),
    ("NATS_URL", "nats.cluster_urls"),
    ("CLICKHOUSE_URL", "clickhouse.urls"),
    ("CLICKHOUSE_USER", "clickhouse.user"),
    ("CLICKHOUSE_PASSWORD", "clickhouse.password"),
    ("CLICKHOUSE_DATABASE", "clickhouse.database"),
    ("CENTRAL_HUB_URL", "hub.url"),
    ("HTTP_LISTEN", "http.listen"),
    ("LOG_LEVEL", "log.level"),
];

pub(super) const HTTP: &[&str] = &["http", "https"];
pub(super) const NATS: &[&str] = &["nats", "tls"];
/// Longest time any of ours may last: a day. Longer ones are slips of the pen.
const DAY_MS: i64 = 86_400_000;
const DAY_S: i64 = 86_400;
const MOST: i64 = u32::MAX as i64;

const fn key(path: &'static str, kind: Kind, default: Fallback, meaning: &'static str) -> Key {
    Key { path, kind, default, meaning }
}

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("instance.id", Identifier, Says("the host name"),
        "names this instance in the fleet, in logs, and in `group.instance.id`; two running instances never share one"),
    // 10 bits: core NATS numbers messages with the instance in their low bits.
    key("instance.number", Whole { min: 1, max: 1023 }, Is("1"),
        "counts the instances of a fleet from 1; where another carries it already, the hub leases a free one"),

    key("kafka.enabled", Switch, Is("true"), "whether this instance reads from Kafka"),
    key("kafka.brokers", Hosts, Is("localhost:9092"), "bootstrap servers"),
    key("kafka.group_id", Name, Is("data-bridge-group"), "consumer group, shared by all instances"),
    key("kafka.group_protocol", Choice(&["classic", "consumer"]), Is("classic"),
        "who assigns partitions: a member (classic) or the broker (consumer, KIP-848); with `consumer`, session and heartbeat are the broker's"),
    key("kafka.assignor", Choice(&["range", "cooperative-sticky", "roundrobin"]), Is("range"),
        "how partitions are spread; `range` puts partition n of every topic on one instance"),
    key("kafka.static_membership", Switch, Is("false"),
        "whether the instance keeps its partitions over a restart, under `<group_id>-<instance.id>`"),
    key("kafka.auto_offset_reset", Choice(&["latest", "earliest"]), Is("latest"),
        "where a partition starts that the group has never read; `earliest` for the first load or a recovery"),
    // librdkafka takes up to an hour; brokers take from 6,000 by default.
    key("kafka.session_timeout_ms", Millis { min: 1000, max: 3_600_000 }, Is("8000"),
        "without a heartbeat for this long, the group gives the partitions to others"),
    key("kafka.heartbeat_interval_ms", Millis { min: 100, max: 1_200_000 }, Is("1000"),
        "time between heartbeats, at most a third of the session; others hear of a rebalance at theirs"),
    key("kafka.max_poll_interval_ms", Millis { min: 1000, max: DAY_MS }, Is("300000"),
        "longest time between two polls, at least the session"),
    key("kafka.revoke_ms", Millis { min: 0, max: 60_000 }, Is("1000"),
        "how long inserts in flight may take when partitions are revoked; what is not durable by then is left to the next owner"),
    key("kafka.fetch_min_bytes", Whole { min: 1, max: 100_000_000 }, Says("librdkafka's, 1"),
        "how much the broker gathers before it answers a fetch"),
    key("kafka.fetch_max_wait_ms", Millis { min: 0, max: 300_000 }, Is("100"),
        "how long the broker waits for `fetch_min_bytes`"),
    key("kafka.topics", Map, Says("the topics of all shipped routes"),
        "topic: route; replaces the default; `external` is resolved by the topic's last word"),
    key("kafka.properties", Map, Is(""),
        "further librdkafka properties (TLS, SASL, …); those that would break a promise are refused by name"),
    key("kafka.init.partitions", Whole { min: 1, max: 100_000 }, Is("6"), "partitions of a topic that `init` creates"),
    key("kafka.init.replication", Whole { min: -1, max: 32_767 }, Is("-1"),
        "replicas of a topic that `init` creates; -1: the broker's default"),

    key("nats.enabled", Switch, Is("true"), "whether this instance reads from NATS"),
    key("nats.cluster_urls", Urls(NATS), Is("nats://localhost:4222"), "servers, with automatic fail-over"),
    key("nats.discover_servers", Switch, Is("true"),
        "whether servers that the cluster tells of are used too; `false` where they cannot be reached from here"),
    key("nats.mode", Choice(&["jetstream", "core"]), Is("jetstream"),
        "with a stream (nothing lost) or without (at most once)"),
    key("nats.stream", StreamName, Is("MARKET"), "JetStream stream"),
    key("nats.consumer", StreamName, Is("data-bridge"), "durable pull consumer, shared by all instances"),
    key("nats.queue_group", Name, Is("data-bridge-group"), "queue group of mode `core`, shared by all instances"),
    key("nats.ack_wait_ms", Millis { min: 1000, max: DAY_MS }, Is("10000"),
        "without an ack for this long, the server delivers again"),
    key("nats.max_ack_pending", Whole { min: 1, max: MOST }, Is("200000"),
        "what all instances together may hold without an ack"),
    key("nats.deliver_policy", Choice(&["all", "new"]), Is("all"), "where a new consumer starts in the stream"),
    key("nats.msg_id_is_event_id", Switch, Is("false"), "whether the header `Nats-Msg-Id` names the event"),
    key("nats.auth.user", Text, Is(""), "user name"),
    key("nats.auth.password", Secret, Is(""), "password of `user`"),
    key("nats.auth.token", Secret, Is(""), "token"),
    key("nats.auth.nkey", Secret, Is(""), "seed of an nkey"),
    key("nats.auth.creds_file", File, Is(""), "credentials file"),
    key("nats.tls.ca_file", File, Is(""), "authorities to trust, PEM; empty: the system's"),
    key("nats.tls.cert_file", File, Is(""), "our certificate, PEM"),
    key("nats.tls.key_file", File, Is(""), "its key, PEM"),
    key("nats.init.create", Switch, Is("true"), "whether `init` creates stream and consumer"),
    // JetStream has at most five replicas.
    key("nats.init.replicas", Whole { min: 1, max: 5 }, Is("1"), "replicas of the stream"),
    key("nats.init.max_age", Span, Is("7d"), "how long the stream keeps messages"),
    key("nats.init.max_bytes", SizeOrNone, Is("-1"), "how much the stream keeps"),
    key("nats.subjects", Map, Says("the subjects of all shipped routes"),
        "subject pattern: route, the most specific pattern wins; replaces the default; `external` is resolved by the subject's last word"),

    key("clickhouse.urls", Urls(HTTP), Is("http://localhost:8123"),
        "HTTP addresses, with fail-over; one text or a list, also as `clickhouse.url`"),
    key("clickhouse.user", Name, Is("default"), "user"),
    key("clickhouse.password", Secret, Is(""), "password"),
    key("clickhouse.database", Identifier, Is("market"), "database of all tables"),
    key("clickhouse.compression", Choice(&["none", "lz4"]), Is("none"), "compression of inserts on the wire"),
    key("clickhouse.insert_timeout_ms", Millis { min: 100, max: DAY_MS }, Is("30000"),
        "how long an insert may take before it is sent again"),
    key("clickhouse.tls.ca_file", File, Is(""), "authorities to trust, PEM; empty: the system's"),
    key("clickhouse.tls.cert_file", File, Is(""), "our certificate, PEM"),
    key("clickhouse.tls.key_file", File, Is(""), "its key, PEM"),

    // ClickHouse takes an insert as one block, so as a whole or not at all, up to 1,048,449 rows.
    key("batch.max_rows", Whole { min: 1, max: 1_048_449 }, Is("1000000"),
        "rows of an insert at most; not above `backpressure.max_rows`"),
    key("batch.max_bytes", Size { min: 64 << 10 }, Is("64MiB"),
        "bytes of an insert at most; not above `backpressure.max_bytes`"),
    key("batch.max_age_ms", Millis { min: 1, max: 600_000 }, Is("30"), "how long a row waits for others at most"),
    key("batch.inserts_per_second", Whole { min: 1, max: 100_000 }, Is("60"),
        "inserts per second and ClickHouse server, over all tables and instances: blocks that are not full wait for their turn, \
         below 60 for up to 5 s, from 60 on for `batch.max_age_ms` more at most"),

    key("backpressure.max_rows", Whole { min: 1, max: MOST }, Is("1000000"), "rows fetched and not yet durable, at most"),
    key("backpressure.max_bytes", Size { min: 4 << 20 }, Is("256MiB"),
        "bytes fetched and not yet durable, at most, client queues and encode buffers included"),
    key("backpressure.pause_at", Share, Is("0.8"), "share of a limit at which reading pauses"),
    key("backpressure.resume_at", Share, Is("0.4"), "share of a limit at which reading resumes, below `pause_at`"),

    key("retry.initial_ms", Millis { min: 1, max: 3_600_000 }, Is("1000"), "pause before a failed insert is sent again; doubles each time"),
    key("retry.max_ms", Millis { min: 1, max: 3_600_000 }, Is("32000"), "longest pause between attempts"),

    key("dead_letters.flood_rows", Whole { min: 1, max: i64::MAX }, Is("1000"),
        "more dead letters of a route than this within the window, and …"),
    key("dead_letters.flood_share", Share, Is("0.5"), "… more than this share of its messages, are a flood: the route is throttled"),
    key("dead_letters.flood_window_s", Seconds { min: 1, max: DAY_S }, Is("60"), "the window"),

    key("readiness.stall_ms", Millis { min: 1000, max: DAY_MS }, Is("10000"),
        "not ready when there is lag and no row became durable for this long, or a partition of which something was fetched stands still for 11 s more, for which rows of old days may be held back"),
    key("shutdown.grace_ms", Millis { min: 0, max: 3_600_000 }, Is("25000"), "how long a stop waits for inserts in flight"),

    key("http.listen", Address, Says("127.0.0.1, port 9400 + `instance.number`"), "where `/metrics`, `/healthz`, `/readyz` and `/api/status` are served"),
    key("http.advertise", Url(HTTP), Is(""), "URL under which others reach `listen`; empty: `listen` itself"),
    key("http.token", Secret, Is(""), "token that callers show; empty: none is asked for"),

    key("hub.url", Url(HTTP), Is(""), "hub to report to each 30 s; empty: none"),
    key("hub.listen", Address, Is("127.0.0.1:9400"), "where our own hub listens"),

    key("autoscale.enabled", Switch, Is("false"), "whether a fleet on one machine grows and shrinks by itself"),
    key("autoscale.min", Whole { min: 1, max: 1023 }, Is("3"), "instances at least"),
    key("autoscale.max", Whole { min: 1, max: 1023 }, Is("5"), "instances at most; never above the partition count"),
    key("autoscale.lag", Whole { min: 1, max: i64::MAX }, Is("10000"), "lag above this …"),
    key("autoscale.for_s", Seconds { min: 1, max: DAY_S }, Is("30"), "… for this long adds an instance"),
    key("autoscale.quiet_s", Seconds { min: 1, max: DAY_S }, Is("300"), "quiet time before one is taken away"),

    key("routes", Routes, Is(""), "own routes, each under its name"),

    key("log.level", Filter, Is("info"), "what is logged"),
    key("log.format", Choice(&["text", "json"]), Is("text"), "shape of a line"),
];
