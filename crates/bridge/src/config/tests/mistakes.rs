use super::*;

#[test]
fn all_mistakes_are_named_at_once_with_line_key_and_what_would_be_right() {
    let text = "instance: { number: one }
kafka:
  broker: localhost:9092
  session_timeout_ms: 8s
  auto_offset_reset: lastest
batch:
  max_bytes: 64M
backpressure: { pause_at: 1.5 }
clickhouse:
  password: hunter2
  urls: localhost:8123
kafka:
  enabled: true
";
    let found = load(text).unwrap_err().problems;
    let found = found.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = [
        "bridge.yaml:1:21: instance.number: cannot be `one`
  hint: write a whole number from 1 to 1023; the default is 1",
        "bridge.yaml:3:3: kafka.broker: there is no such key
  hint: did you mean kafka.brokers?",
        "bridge.yaml:4:23: kafka.session_timeout_ms: cannot be `8s`
  hint: write a whole number of milliseconds from 1000 to 3600000; the default is 8000",
        "bridge.yaml:5:22: kafka.auto_offset_reset: `lastest` is none of its words; did you mean latest?
  hint: write latest or earliest; the default is latest",
        "bridge.yaml:7:14: batch.max_bytes: `64M` has the unit `M`, which is none: `MiB` is meant?
  hint: write a size such as 64MiB, at least 64KiB; the default is 64MiB",
        "bridge.yaml:8:27: backpressure.pause_at: `1.5` is out of range
  hint: write a number above 0, up to 1; the default is 0.8",
        "bridge.yaml:11:9: clickhouse.urls: `localhost:8123` has no scheme
  hint: write a list of URLs such as http://host:port; the default is http://localhost:8123",
        "bridge.yaml:12:1: kafka: stands twice, first at bridge.yaml:2:1
  hint: keep one of the two",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_unknown_key_is_looked_for_in_its_group_and_elsewhere() {
    let hint = |text| load(text).unwrap_err().problems[0].hint.clone();
    assert_eq!(hint("kafka: { brokrs: a:1 }"), "did you mean kafka.brokers?");
    assert_eq!(hint("group_id: x"), "did you mean kafka.group_id?");
    assert_eq!(hint("clickhose: {}"), "did you mean clickhouse?");
    assert_eq!(hint("shutdown: { xyz: 1 }"), "known here: grace_ms");
    assert_eq!(hint("nats: { auth: { usr: x } }"), "did you mean nats.auth.user?");
}

#[test]
fn shapes_are_checked_too() {
    for (text, expected) in [
        ("kafka: 5", "kafka: a single value stands where keys belong"),
        ("kafka: { brokers: { a: b } }", "kafka.brokers: a group of keys stands here"),
        ("kafka: { brokers: }", "kafka.brokers: has no value"),
        ("kafka: { brokers: [] }", "kafka.brokers: names none"),
        ("kafka: { enabled: [true] }", "kafka.enabled: a list stands here"),
        ("kafka: { enabled: yes }", "kafka.enabled: cannot be `yes`"),
        ("kafka: { topics: ticks }", "kafka.topics: a single value stands here"),
        ("[]", "a list stands where keys belong"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].ends_with(expected), "{text}: {found:?}");
    }
}

#[test]
fn rules_between_keys_name_the_key_that_was_written() {
    for (text, expected) in [
        (
            "kafka: { heartbeat_interval_ms: 3000 }",
            "kafka.heartbeat_interval_ms: heartbeats each 3000 ms",
        ),
        (
            "kafka: { session_timeout_ms: 2000 }",
            "kafka.session_timeout_ms: heartbeats each 1000 ms",
        ),
        (
            "kafka: { max_poll_interval_ms: 7000 }",
            "kafka.max_poll_interval_ms: 7000 ms between polls",
        ),
        ("kafka: { revoke_ms: 8000 }", "kafka.revoke_ms: 8000 ms to give"),
        ("backpressure: { pause_at: 0.4 }", "backpressure.pause_at: reading resumes at 0.4"),
        ("backpressure: { resume_at: 0.9 }", "backpressure.resume_at: reading resumes at 0.9"),
        ("retry: { initial_ms: 40000 }", "retry.initial_ms: the longest pause, 32000 ms"),
        ("retry: { max_ms: 500 }", "retry.max_ms: the longest pause, 500 ms"),
        ("autoscale: { min: 6 }", "autoscale.min: at most 5 instances"),
        ("batch: { max_age_ms: 20000 }", "batch.max_age_ms: rows wait up to 20000 ms"),
        (
            "nats: { enabled: false }\nkafka: { enabled: false }",
            "kafka.enabled: neither Kafka nor NATS",
        ),
        ("kafka: { topics: {} }", "kafka.topics: names no topic"),
        ("kafka: { init: { replication: 0 } }", "kafka.init.replication: cannot be `0`"),
        ("kafka: { static_membership: true, group_id: 'a/b' }", "kafka.group_id: `a/b-host-1`"),
        ("nats: { auth: { user: u, token: t } }", "nats.auth.token: is set beside nats.auth.user"),
        ("nats: { auth: { password: p } }", "nats.auth.password: has no user"),
        (
            "clickhouse: { tls: { cert_file: /c } }",
            "clickhouse.tls.cert_file: needs clickhouse.tls.key_file",
        ),
        ("nats: { tls: { key_file: /k } }", "nats.tls.key_file: needs nats.tls.cert_file"),
        ("log: { level: inof }", "log.level: `inof` is no level"),
        ("instance: { id: 'a b' }", "instance.id: cannot be `a b`"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(expected), "{text}: {found:?}");
    }
}

#[test]
fn a_bad_value_is_not_blamed_for_breaking_a_rule_as_well() {
    for text in [
        "kafka: { session_timeout_ms: 8s, heartbeat_interval_ms: 5000 }",
        "backpressure: { pause_at: 80%, resume_at: 0.9 }",
        "retry: { initial_ms: 50000, max_ms: x }",
        "kafka: { topics: { a: nothing } }",
        "batch: { max_bytes: 8GiB }\nbackpressure: { max_bytes: lots }",
    ] {
        assert_eq!(problems(text).len(), 1, "{text}: {:?}", problems(text));
    }
}

#[test]
fn rules_hold_at_their_edges() {
    for text in [
        "kafka: { heartbeat_interval_ms: 2666 }",
        "kafka: { session_timeout_ms: 9000, heartbeat_interval_ms: 3000 }",
        "kafka: { max_poll_interval_ms: 8000 }",
        "backpressure: { pause_at: 1, resume_at: 0.99 }",
        "nats: { enabled: false }\nbatch: { max_age_ms: 20000 }",
        "kafka: { enabled: false, topics: {} }",
    ] {
        assert!(load(text).is_ok(), "{text}: {:?}", problems(text));
    }
}

#[test]
fn values_with_consequences_are_warned_of() {
    let slow = "kafka: { session_timeout_ms: 10000, heartbeat_interval_ms: 1000 }";
    assert_eq!(
        warnings(slow),
        ["bridge.yaml:1:30: kafka.session_timeout_ms: fail-over after a crash takes up to 13 s \
          (session + heartbeat + 2 s)"],
    );
    assert!(
        warnings("kafka: { session_timeout_ms: 9000 }").is_empty(),
        "12 s are within the promise"
    );
    let found = warnings("kafka: { session_timeout_ms: 4000 }");
    assert!(found[0].contains("shorter than brokers accept"), "{found:?}");
    let found = warnings(
        "kafka: { group_protocol: consumer, session_timeout_ms: 30000, heartbeat_interval_ms: 20000 }",
    );
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|line| line.contains("is not passed on")), "{found:?}");
}

#[test]
fn an_assignor_that_no_broker_has_is_refused() {
    let with = |assignor: &str| {
        problems(&format!("kafka: {{ group_protocol: consumer, assignor: {assignor} }}"))
    };
    assert_eq!(with("range"), [""; 0]);
    assert_eq!(with("cooperative-sticky"), [""; 0]);
    assert_eq!(
        with("roundrobin"),
        [
            "bridge.yaml:1:46: kafka.assignor: cannot be `roundrobin`: kafka.group_protocol is consumer"
        ]
    );
}

#[test]
fn properties_that_break_a_promise_are_refused_by_name() {
    let text = "kafka:
  properties:
    enable.auto.commit: true
    security.protocol: SSL
    group.instance.id: x
    isolation.level: read_uncommitted
";
    let found = problems(text);
    assert_eq!(
        found,
        [
            "bridge.yaml:3:5: kafka.properties.enable.auto.commit: would break a promise of the bridge",
            "bridge.yaml:5:5: kafka.properties.group.instance.id: would break a promise of the bridge",
            "bridge.yaml:6:5: kafka.properties.isolation.level: would break a promise of the bridge",
        ]
    );
}

#[test]
fn placeholders_that_cannot_be_filled_have_a_line() {
    let text = "kafka:
  brokers: [\"${BROKER_A}\", \"${BROKER_B:-b:2}\"]
  group_id: ${GROUP
clickhouse:
  password: ${file:/nowhere/at/all}
";
    let found = problems(text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(
        found[0],
        "bridge.yaml:2:13: kafka.brokers: the environment variable BROKER_A is not set"
    );
    assert_eq!(found[1], "bridge.yaml:3:13: kafka.group_id: a placeholder ${ has no end");
    assert!(found[2].starts_with("bridge.yaml:5:13: clickhouse.password: cannot read /nowhere"));
}

/// However a secret gets into the wrong place, no message repeats it.
#[test]
fn no_problem_repeats_a_secret() {
    for text in [
        "clickhouse: { password: [hunter2] }",
        "clickhouse: { password: { hunter2: x } }",
        "clickhouse: { password: hunter2, databse: x }",
        "clickhouse: { urls: 'http://me:hunter2@ch:8123' }",
        "nats: { cluster_urls: ['nats://me:hunter2@n:4222'] }",
        "nats: { url: 'nats://hunter2@n:4222' }",
        "hub: { url: 'http://me:hunter2@hub' }",
        "http: { advertise: 'http://me:hunter2@hub' }",
        "kafka: { brokers: 'me:hunter2@k:9092' }",
        "kafka: { properties: { sasl.password: [hunter2] } }",
        "kafka: { properties: { isolation.level: hunter2 } }",
        "clickhouse: { password: *hunter2 }",
        "clickhouse: { password: 'hunter2 }",
    ] {
        let problems = load(text).unwrap_err();
        // `{ hunter2: x }` is the name of a key, which every message must name.
        let shown = format!("{:?} {problems}", problems.problems);
        let repeats = shown.contains("hunter2");
        assert!(!repeats, "{text}: {shown}");
    }
}

#[test]
fn times_and_sizes_that_contradict_each_other_are_refused_by_the_name_of_their_rule() {
    for (text, key, words) in [
        (
            "{ batch: { max_age_ms: 400000 } }",
            "batch.max_age_ms",
            "rule: linger within poll interval",
        ),
        (
            "{ batch: { max_age_ms: 20000 }, kafka: { max_poll_interval_ms: 10000 } }",
            "batch.max_age_ms",
            "rule: linger within poll interval",
        ),
        ("{ shutdown: { grace_ms: 1500 } }", "shutdown.grace_ms", "rule: grace covers an insert"),
        (
            "{ clickhouse: { insert_timeout_ms: 60000 } }",
            "clickhouse.insert_timeout_ms",
            "rule: grace covers an insert",
        ),
        ("{ batch: { max_rows: 1048450 } }", "batch.max_rows", "out of range"),
    ] {
        let found = load(text).unwrap_err().problems;
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        let named = |said: &&String| said.contains(key) && said.contains(words);
        assert!(found.iter().any(|said| named(&said)), "{text}: {found:?}");
    }
    for sound in [
        "{ kafka: { enabled: false }, nats: { ack_wait_ms: 600000 }, batch: { max_age_ms: 400000 } }",
        "{ shutdown: { grace_ms: 1500 }, clickhouse: { insert_timeout_ms: 1500 } }",
    ] {
        assert!(load(sound).is_ok(), "{sound}");
    }
}
