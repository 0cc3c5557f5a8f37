//! What must hold between keys of several groups.

use std::time::Duration;

use super::kafka::{Assignor, GroupProtocol, static_member};
use super::nats::NatsMode;
use super::values::Values;
use super::{Config, Kafka};

/// Fail-over without a supervisor is promised within this time.
const FAIL_OVER: Duration = Duration::from_secs(12);

/// From the moment the group gives the partitions away until their rows flow again.
const REBALANCE: Duration = Duration::from_secs(2);

/// Brokers refuse shorter sessions unless `group.min.session.timeout.ms` says otherwise.
const BROKERS_SHORTEST_SESSION: Duration = Duration::from_secs(6);

/// Grace and time-out of an insert by default: the grace is what supervisors leave before they kill,
/// and an insert that takes longer is made again by the next owner.
const DEFAULT_GRACE: (Duration, Duration) = (Duration::from_secs(25), Duration::from_secs(30));

/// Checks what one group alone cannot know.
pub(super) fn check(config: &Config, values: &mut Values) {
    if !config.kafka.enabled && !config.nats.enabled {
        values.refuse(
            "kafka.enabled",
            "neither Kafka nor NATS is enabled: nothing would be read",
            "let kafka.enabled or nats.enabled be true",
        );
    }
    check_times(config, values);
    if config.kafka.enabled {
        check_kafka(config, values);
    }
    if config.nats.enabled {
        check_nats(config, values);
    }
    config.clickhouse.tls.check(values, "clickhouse.tls.cert_file", "clickhouse.tls.key_file");
}

/// Times of groups that know nothing of each other.
fn check_times(config: &Config, values: &mut Values) {
    let (linger, poll) = ("batch.max_age_ms", "kafka.max_poll_interval_ms");
    let longest = config.kafka.max_poll_interval;
    if config.kafka.enabled && config.batch.max_age > longest && values.are_sound(&[linger, poll]) {
        values.refuse(
            if values.is_set(linger) { linger } else { poll },
            format!(
                "rows wait up to {} ms, longer than a member may be silent, {} ms (rule: linger within \
                 poll interval)",
                config.batch.max_age.as_millis(),
                longest.as_millis()
            ),
            format!("let {linger} be below {poll}"),
        );
    }
    let (grace, insert) = ("shutdown.grace_ms", "clickhouse.insert_timeout_ms");
    let times = (config.shutdown.grace, config.clickhouse.insert_timeout);
    if times.0 < times.1 && times != DEFAULT_GRACE && values.are_sound(&[grace, insert]) {
        values.refuse(
            if values.is_set(grace) { grace } else { insert },
            format!(
                "a stop waits for {} ms, less than the {} ms that an insert may take (rule: grace covers an \
                 insert)",
                times.0.as_millis(),
                times.1.as_millis()
            ),
            format!("let {grace} be at least {insert}"),
        );
    }
}

fn check_kafka(config: &Config, values: &mut Values) {
    let kafka = &config.kafka;
    if kafka.topics.is_empty() && values.are_sound(&["kafka.topics"]) {
        values.refuse(
            "kafka.topics",
            "names no topic that carries rows",
            "write topic: route, or remove the key for the topics of all shipped routes",
        );
    }
    if kafka.static_membership && static_member(&kafka.group_id, &config.instance.id).is_none() {
        values.refuse(
            "kafka.group_id",
            format!("`{}-{}` cannot be a static member's name", kafka.group_id, config.instance.id),
            "with static_membership, write letters, digits, `.`, `_` and `-`, at most 249 in all",
        );
    }
    match kafka.group_protocol {
        GroupProtocol::Classic => check_session(kafka, values),
        GroupProtocol::Consumer => {
            const WHY: &str = "is not passed on: kafka.group_protocol is consumer";
            for key in ["kafka.session_timeout_ms", "kafka.heartbeat_interval_ms"] {
                if values.is_set(key) {
                    values.warn(
                        key,
                        WHY,
                        "the broker decides: `data-bridge init` asks it for this, and `check` \
                         names what holds",
                    );
                }
            }
            if kafka.assignor == Assignor::RoundRobin {
                values.refuse(
                    "kafka.assignor",
                    "cannot be `roundrobin`: kafka.group_protocol is consumer",
                    "write range, or cooperative-sticky for the broker's uniform",
                );
            }
        }
    }
}

fn check_session(kafka: &Kafka, values: &mut Values) {
    const SESSION: &str = "kafka.session_timeout_ms";
    const HEARTBEAT: &str = "kafka.heartbeat_interval_ms";
    let session = kafka.session_timeout;
    let ms = |time: Duration| time.as_millis();
    // One lost heartbeat must not end a session; a third is Kafka's own advice.
    if !values.are_sound(&[SESSION, HEARTBEAT]) {
        return;
    }
    if kafka.heartbeat_interval > session / 3 {
        let key = if values.is_set(HEARTBEAT) { HEARTBEAT } else { SESSION };
        values.refuse(
            key,
            format!(
                "heartbeats each {} ms are too rare for a session of {} ms",
                ms(kafka.heartbeat_interval),
                ms(session)
            ),
            format!("let {HEARTBEAT} be at most a third of {SESSION}, here {}", ms(session / 3)),
        );
    }
    let key = "kafka.max_poll_interval_ms";
    if kafka.max_poll_interval < session && values.are_sound(&[key]) {
        values.refuse(
            if values.is_set(key) { key } else { SESSION },
            format!(
                "{} ms between polls are less than the session of {} ms",
                ms(kafka.max_poll_interval),
                ms(session)
            ),
            format!("let {key} be at least {SESSION}"),
        );
    }
    let key = "kafka.revoke_ms";
    if kafka.revoke >= session && values.are_sound(&[key]) {
        values.refuse(
            if values.is_set(key) { key } else { SESSION },
            format!(
                "{} ms to give partitions back are not less than the session of {} ms",
                ms(kafka.revoke),
                ms(session)
            ),
            format!("let {key} be below {SESSION}"),
        );
    }
    if session < BROKERS_SHORTEST_SESSION {
        values.warn(
            SESSION,
            format!("{} ms is shorter than brokers accept by default", ms(session)),
            "write at least 6000, or lower the broker's group.min.session.timeout.ms",
        );
    }
    let fail_over = session + kafka.heartbeat_interval + REBALANCE;
    if fail_over > FAIL_OVER {
        values.warn(
            if values.is_set(SESSION) { SESSION } else { HEARTBEAT },
            format!(
                "fail-over after a crash takes up to {} s (session + heartbeat + 2 s)",
                fail_over.as_secs_f64()
            ),
            "12 s are promised with the defaults, session 8000 and heartbeat 1000",
        );
    }
}

fn check_nats(config: &Config, values: &mut Values) {
    let nats = &config.nats;
    if nats.subjects.is_empty() && values.are_sound(&["nats.subjects"]) {
        values.refuse(
            "nats.subjects",
            "names no subject that carries rows",
            "write pattern: route, or remove the key for the subjects of all shipped routes",
        );
    }
    let (batch, ack) = ("batch.max_age_ms", "nats.ack_wait_ms");
    let overtaken = config.batch.max_age >= nats.ack_wait && values.are_sound(&[batch, ack]);
    if nats.mode == NatsMode::JetStream && overtaken {
        values.refuse(
            if values.is_set(batch) { batch } else { ack },
            format!(
                "rows wait up to {} ms, and JetStream delivers again after {} ms",
                config.batch.max_age.as_millis(),
                nats.ack_wait.as_millis()
            ),
            format!("let {batch} be well below {ack}"),
        );
    }
    nats.tls.check(values, "nats.tls.cert_file", "nats.tls.key_file");
}
