//! Session and heartbeat where the broker decides (KIP-848): asked for, refused, and said.

use std::time::Duration;

use data_bridge::config::GroupProtocol;
use data_bridge::source::kafka::terms::{Agreed, GroupTerms, agree, describe};

use crate::by_hand::run_command;
use crate::kafka_stage::config;
use crate::world::{PATIENCE, Scenario, clickhouse, until};

const WAIT: Duration = Duration::from_secs(30);
/// What Kafka ships with.
const BROKERS: GroupTerms =
    GroupTerms { session: Duration::from_secs(45), heartbeat: Duration::from_secs(5) };

/// The broker of the source's tests has Kafka's own lower limits.
#[test]
fn terms_below_the_brokers_limits_are_refused_in_its_words() {
    let mut config = config(&["terms"]);
    config.kafka.group_protocol = GroupProtocol::Consumer;
    assert_eq!(describe(&config.kafka, WAIT).unwrap(), BROKERS);
    let Agreed::Refused { terms, reason } = agree(&config.kafka, WAIT).unwrap() else {
        panic!("8 s were taken");
    };
    assert_eq!(terms, BROKERS);
    assert!(reason.contains("group.consumer.min."), "{reason}");
    assert_eq!(describe(&config.kafka, WAIT).unwrap(), BROKERS);

    config.kafka.session_timeout = Duration::from_secs(50);
    config.kafka.heartbeat_interval = Duration::from_secs(6);
    let wanted = GroupTerms { session: Duration::from_secs(50), heartbeat: Duration::from_secs(6) };
    assert_eq!(agree(&config.kafka, WAIT).unwrap(), Agreed::Set(wanted));
    assert_eq!(describe(&config.kafka, WAIT).unwrap(), wanted);
    assert_eq!(agree(&config.kafka, WAIT).unwrap(), Agreed::AsConfigured(wanted));
}

fn fail_over(said: &str) -> &str {
    said.lines().find(|line| line.contains("fail-over")).unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn init_agrees_with_the_broker_on_session_and_heartbeat_and_check_reckons_with_them() {
    let scenario =
        Scenario::new("terms", &clickhouse().url()).with("kafka", "group_protocol: consumer");
    // The broker's own are above the limit, and said.
    let said = run_command(&scenario, &["check"]).out;
    let found = fail_over(&said);
    assert!(found.contains("warning") && found.contains("up to 52 s"), "{found}");
    assert!(found.contains("is 45000 (heartbeat 5000)"), "{found}");

    let said = run_command(&scenario, &["init"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let set = "group group-terms: session 8000 ms, heartbeat 1000 ms";
    let line = said.out.lines().find(|line| line.contains(set));
    assert!(line.is_some_and(|line| line.starts_with("set")), "{said:?}");
    // The broker takes them over a moment later.
    until(PATIENCE, "the terms to hold", || {
        let said = run_command(&scenario, &["check"]).out;
        let found = fail_over(&said);
        let is_so = found.contains("at most 11 s") && !found.contains("warning");
        if is_so { Ok(()) } else { Err(found.to_owned()) }
    });
    let said = run_command(&scenario, &["init"]).out;
    let line = said.lines().find(|line| line.contains(set));
    assert!(line.is_some_and(|line| line.starts_with("exists")), "{said}");
}

#[test]
fn check_warns_of_a_session_that_outlasts_the_limit() {
    for (session, warns, seconds) in [(9_000, false, "12 s"), (9_001, true, "12.001 s")] {
        let scenario = Scenario::new("terms_classic", &clickhouse().url())
            .with("kafka", &format!("session_timeout_ms: {session}"));
        let said = run_command(&scenario, &["check"]).out;
        let found = fail_over(&said);
        assert_eq!(found.contains("warning"), warns, "{found}");
        assert!(found.contains(seconds), "{found}");
    }
}
