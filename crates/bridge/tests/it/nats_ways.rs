//! Both ways at once, core NATS, and subjects that nobody expected.

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::Assurance;
use data_bridge_lab::plan::{Stamp, Ways};
use data_bridge_lab::proxy::Fault;

use crate::nats_stage::{Stream, finish, nats, publisher, read_nats, scenario, ticks};
use crate::world::{PATIENCE, Scenario, clickhouse, kafka, proxy_to, until};

#[test]
fn events_that_come_by_kafka_and_by_nats_are_one_row_each() {
    let mut scenario = Scenario::new("nats_both", &clickhouse().url());
    read_nats(&mut scenario, &nats().url(), "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let mut plan = scenario.plan(341, 20_000);
    plan.ways = Ways::Both { origin: "nats:NATS_BOTH".to_owned() };
    plan.stamp = Stamp::Clock;
    let generator = Generator::try_new(plan).expect("a sound plan");
    let bridges: Vec<_> = (1..=2).map(|number| scenario.start(number)).collect();
    bridges.iter().for_each(crate::world::Instance::wait_ready);
    let producer = Producer::connect(&kafka().bootstrap()).expect("a producer can be made");
    let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
    for start in (0..20_000).step_by(1_000) {
        let numbers = start..start + 1_000;
        producer.produce(&generator, numbers.clone(), Pace::Full, |_| {}).expect("stored");
        publisher.publish(&generator, numbers, Pace::Full, |_| {}).expect("stored");
    }
    let expected = Expected::of(&generator).unwrap();
    scenario.assert_exact(&expected, PATIENCE);
    scenario.assert_committed();
    let sum = |key: &str| {
        bridges.iter().map(|bridge| bridge.status()[key].as_u64().unwrap_or(0)).sum::<u64>()
    };
    assert_eq!((sum("kafka_messages"), sum("nats_messages")), (20_000, 20_000));
    // Either copy of an event may be with either instance: half of them meet.
    let pairs = bridges.iter().map(|bridge| bridge.metric("data_bridge_both_ways_seconds_count"));
    let (pairs, events) = (pairs.sum::<u64>(), expected.visible_in_all());
    assert!((events * 2 / 5..events * 3 / 5).contains(&pairs), "{pairs} of {events}");
    finish(&scenario, &stream, &bridges, &expected);
}

#[test]
fn core_nats_that_is_faster_than_clickhouse_drops_and_counts_each_message() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = scenario("nats_core", &nats().url(), ", mode: core")
        .with("retry", "{ initial_ms: 100, max_ms: 500 }")
        .with("backpressure", "{ max_rows: 2000 }")
        .through(&proxy);
    scenario.init();
    let generator = ticks(&scenario, 351, 40_000);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let mut publisher = publisher(&nats().url(), Assurance::None);
    publisher.publish(&generator, 0..1_000, Pace::PerSecond(5_000.0), |_| {}).expect("sent");
    scenario.wait_rows_in_all(1_000);
    proxy.set(Fault::Refuse);
    publisher.publish(&generator, 1_000..40_000, Pace::Full, |_| {}).expect("sent");
    let known = || {
        let status = bridge.status();
        let taken = status["nats_messages"].as_u64().unwrap_or(0);
        (taken, status["nats"]["dropped"].as_u64().unwrap_or(0))
    };
    until(PATIENCE, "drops to be counted", || match known() {
        (_, 0) => Err("none".to_owned()),
        (_, dropped) => Ok(dropped),
    });
    proxy.set(Fault::Pass);
    let (taken, dropped) =
        until(PATIENCE, "each message to be taken or dropped", || match known() {
            (taken, dropped) if taken + dropped == 40_000 => Ok((taken, dropped)),
            (taken, dropped) => Err(format!("{taken} taken, {dropped} dropped")),
        });
    println!("{taken} taken, {dropped} dropped");
    let drops = bridge.metric("data_bridge_nats_dropped_messages_total");
    assert_eq!(drops, dropped, "named by route in the metrics");
    assert_eq!(bridge.metric("data_bridge_nats_slow_consumer_events_total"), 0);
    scenario.wait_rows_in_all(taken);
    let letters = scenario.query(&format!(
        "SELECT count() FROM {}.ticks WHERE origin != 'nats-core:ticks'",
        scenario.database()
    ));
    assert_eq!(letters.unwrap().trim(), "0");
    bridge.end();
}

#[test]
fn subjects_and_payloads_that_nobody_expected_become_letters_that_name_the_subject() {
    let scenario = scenario("nats_subjects", &nats().url(), "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
    let tick = br#"{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp":1706198400123}"#;
    let candle =
        br#"{"symbol":"EUR/USD","timestamp_ms":1706198400000,"open":1,"high":1,"low":1,"close":1}"#;
    let mut send = |subject: &str, payload: &[u8], headers: &[(&str, &str)]| {
        publisher.publish_one(&format!("nats_subjects.{subject}"), payload, headers).expect("sent");
    };
    send("market.EURUSD.tick", tick, &[("event-id", "7"), ("odd", "a\tb\u{1}c")]);
    send("market.BRK.B.tick", tick, &[]);
    send("market.external.weather", tick, &[]);
    send("other", tick, &[]);
    send("market.EURUSD.7m", candle, &[]);
    send("market.EURUSD.tick", b"", &[("odd", "\u{7f}")]);
    scenario.wait_rows_in_all(6);
    stream.wait_acked();
    let letters = scenario.query(&format!(
        "SELECT reason, error, headers['Nats-Subject'] FROM {}.dead_letters FINAL \
         ORDER BY origin_position FORMAT TabSeparated",
        scenario.database()
    ));
    let letters = letters.unwrap();
    println!("{letters}");
    let wanted = [
        ("no_route", "nats_subjects.market.BRK.B.tick"),
        ("no_route", "nats_subjects.market.external.weather"),
        ("no_route", "nats_subjects.other"),
        ("unknown_timeframe", "nats_subjects.market.EURUSD.7m"),
        ("empty_value", "nats_subjects.market.EURUSD.tick"),
    ];
    assert_eq!(letters.lines().count(), wanted.len(), "{letters}");
    for ((reason, subject), line) in wanted.into_iter().zip(letters.lines()) {
        let parts: Vec<_> = line.split('\t').collect();
        assert_eq!((parts[0], parts[2]), (reason, subject));
    }
    for line in letters.lines().take(4) {
        let subject = line.split('\t').nth(2).unwrap();
        let last = subject.rsplit('.').next().unwrap();
        assert!(line.split('\t').nth(1).unwrap().contains(last), "{line}");
    }
    bridge.end();
}

#[test]
fn who_is_refused_says_so_and_kafka_goes_on() {
    let folder = crate::world::folder("nats-auth");
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("nats.conf");
    let users = "authorization { users: [ { user: bridge, password: right } ] }\n";
    std::fs::write(&config, users).unwrap();
    let server = data_bridge_stack::nats::Nats::start(
        &folder.join("server"),
        data_bridge_stack::nats::NatsOptions {
            arguments: vec!["-c".into(), config.display().to_string()],
            ..Default::default()
        },
    )
    .expect("NATS starts");
    let mut scenario = Scenario::new("nats_auth", &clickhouse().url());
    read_nats(&mut scenario, &server.url(), ", auth: { user: bridge, password: right }");
    scenario.init();
    read_nats(&mut scenario, &server.url(), ", auth: { user: bridge, password: wrong }");
    let bridge = scenario.start(1);
    let said = bridge.wait_reason(&["NATS", "authorization violation"]);
    assert!(!said.contains("wrong"), "{said}");
    assert_kafka_goes_on(&scenario, 342);
    bridge.end();
    let log = std::fs::read_to_string(bridge.process.log()).unwrap();
    assert!(!log.contains("wrong"), "{log}");
}

#[test]
fn a_server_without_jetstream_is_named_and_kafka_goes_on() {
    let folder = crate::world::folder("nats-plain");
    let config = folder.join("nats.conf");
    std::fs::create_dir_all(&folder).unwrap();
    // The account that everybody has there may not use it.
    std::fs::write(
        &config,
        "accounts { PLAIN: { users: [ { user: bridge } ] } }\nno_auth_user: bridge\n",
    )
    .unwrap();
    let server = data_bridge_stack::nats::Nats::start(
        &folder.join("server"),
        data_bridge_stack::nats::NatsOptions {
            arguments: vec!["-c".into(), config.display().to_string()],
            ..Default::default()
        },
    )
    .expect("NATS starts");
    let mut scenario = Scenario::new("nats_plain", &clickhouse().url());
    read_nats(&mut scenario, &server.url(), "");
    let said = refused_init(&scenario);
    assert!(said.contains("JetStream does not answer"), "{said}");
    let bridge = scenario.start(1);
    let words = ["stream NATS_PLAIN", "JetStream does not answer"];
    bridge.wait_reason(&words);
    assert_kafka_goes_on(&scenario, 343);
    bridge.wait_reason(&words);
    bridge.end();
}

#[test]
fn a_stream_that_is_missing_and_may_not_be_created_is_named_and_kafka_goes_on() {
    let mut scenario = Scenario::new("nats_forbidden", &clickhouse().url());
    read_nats(&mut scenario, &nats().url(), ", init: { create: false }");
    let said = refused_init(&scenario);
    assert!(said.contains("stream NATS_FORBIDDEN: it does not exist"), "{said}");
    let bridge = scenario.start(1);
    let words = ["stream NATS_FORBIDDEN does not exist", "data-bridge init"];
    bridge.wait_reason(&words);
    assert_kafka_goes_on(&scenario, 344);
    bridge.wait_reason(&words);
    bridge.end();
}

/// What `init` says that could not make all there must be. Tables and topics are there.
fn refused_init(scenario: &Scenario) -> String {
    let output = std::process::Command::new(crate::world::binary())
        .args(["init", "--config"])
        .arg(scenario.config(1, 0))
        .output()
        .expect("data-bridge runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// What comes by Kafka is written and committed, whatever NATS says.
fn assert_kafka_goes_on(scenario: &Scenario, seed: u64) {
    let generator = crate::flow::ticks(scenario, seed, 1_000);
    crate::world::produce(&generator, 0..1_000, Pace::Full);
    scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    scenario.assert_committed();
}
