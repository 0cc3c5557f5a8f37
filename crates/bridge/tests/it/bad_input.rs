//! Input that nobody should send, and surroundings that nobody should have.

use std::fs;

use data_bridge_lab::kafka::Offsets;

use crate::by_hand::{Sender, create_topic, drain, run_command};
use crate::kafka_stage::commit_as_another_at;
use crate::world::{PATIENCE, Scenario, clickhouse, kafka, until};

fn topic_of(scenario: &Scenario) -> String {
    format!("{}tick_archive", scenario.prefix())
}

fn tick(time: &str) -> String {
    format!(r#"{{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp_ms":{time}}}"#)
}

/// Kept byte by byte, and shown so that no terminal suffers.
#[test]
fn headers_of_a_megabyte_are_kept_and_shown_cut() {
    const MIB: usize = 1_048_576;
    let scenario = Scenario::new("large_headers", &clickhouse().url());
    create_topic(&topic_of(&scenario), 6, &[("max.message.bytes", "4194304")]);
    scenario.init();
    let mut wild = b"\x1b[2J\0\xff\r\n".repeat(MIB / 8);
    wild.truncate(MIB - 1);
    let sender = Sender::new();
    let topic = topic_of(&scenario);
    sender.send(&topic, 0, Some(b"k"), Some(b"{"), &[("wild", &wild), ("next", b"n")]);
    sender.text(&topic, 0, &tick("1706198400123"));
    sender.flush();
    let bridge = scenario.start(1);
    scenario.wait_rows("dead_letters", 1);
    scenario.wait_rows("ticks", 1);
    scenario.assert_committed();
    drain(&bridge);
    let stored = format!(
        "SELECT length(headers['wild']), lower(hex(SHA256(headers['wild']))), headers['next'] \
         FROM {}.dead_letters",
        scenario.database()
    );
    let same = format!(
        "SELECT {}, lower(hex(SHA256(substring(repeat(unhex('1B5B324A00FF0D0A'), {}), 1, {})))), 'n'",
        MIB - 1,
        MIB / 8,
        MIB - 1
    );
    assert_eq!(scenario.query(&stored).unwrap(), scenario.query(&same).unwrap());

    let letter = format!("kafka:{topic}:0@0");
    let said = run_command(&scenario, &["dlq", "show", &letter]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!said.out.contains(['\u{1b}', '\0', '\r']), "control characters reach the terminal");
    assert!(said.out.contains("wild") && said.out.contains("next"), "{}", said.out);
    assert!(said.out.len() < 16_384, "{} bytes are shown", said.out.len());
    let listed = run_command(&scenario, &["dlq", "list"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.out.len() < 16_384, "{} bytes are listed", listed.out.len());
    let json = run_command(&scenario, &["dlq", "show", &letter, "--json"]);
    assert!(json.out.len() > MIB, "a program gets all of it");
}

#[test]
fn times_before_1970_and_far_ahead_are_dead_letters() {
    let scenario = Scenario::new("odd_times", &clickhouse().url());
    scenario.init();
    let far = jiff::Timestamp::now().as_millisecond() + 25 * 3_600_000;
    let good = ["0", "1706198400123", &(far - 2 * 3_600_000).to_string()].map(tick);
    let bad = [
        "-1",
        "-62135596800000",
        &far.to_string(),
        "253402300800000",
        "9223372036854775807",
        "-9223372036854775808",
        "1e300",
        "\"-0001-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59Z\"",
        "\"+010000-01-01T00:00:00Z\"",
    ]
    .map(tick);
    let sender = Sender::new();
    for (number, value) in good.iter().chain(&bad).enumerate() {
        sender.text(&topic_of(&scenario), i32::try_from(number % 6).unwrap(), value);
    }
    sender.flush();
    let bridge = scenario.start(1);
    scenario.wait_rows("dead_letters", bad.len() as u64);
    scenario.wait_rows("ticks", good.len() as u64);
    scenario.assert_committed();
    let payloads =
        format!("SELECT payload FROM {}.dead_letters FORMAT TSVRaw", scenario.database());
    let mut found =
        scenario.query(&payloads).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let mut sent = bad.to_vec();
    found.sort();
    sent.sort();
    assert_eq!(found, sent);
    drain(&bridge);
}

/// Commits that another cluster's group left under the same name: offsets that this log has never
/// had. Nothing is skipped in silence.
#[test]
fn offsets_of_another_cluster_in_the_group_skip_nothing() {
    const EACH: u64 = 50;
    let scenario = Scenario::new("foreign_offsets", &clickhouse().url());
    scenario.init();
    let topic = topic_of(&scenario);
    let sender = Sender::new();
    for number in 0..EACH * 6 {
        let partition = i32::try_from(number % 6).unwrap();
        sender.text(&topic, partition, &tick(&(1_706_198_400_000 + number).to_string()));
    }
    sender.flush();
    // Beyond the end, with the mark of another topic of that name, and without any.
    let brokers = kafka().bootstrap();
    let mark = "b1;AAAAAAAAAAAAAAAAAAAAAQ;6;1000000";
    commit_as_another_at(&brokers, &scenario.group(), (&topic, 0), 5_000_000, mark);
    commit_as_another_at(&brokers, &scenario.group(), (&topic, 1), 7_000_000, "");
    commit_as_another_at(&brokers, &scenario.group(), (&topic, 2), 10, mark);
    let bridge = scenario.start(1);
    scenario.wait_rows("ticks", EACH * 6);
    scenario.assert_committed();
    until(PATIENCE, "it is said", || {
        let log = fs::read_to_string(bridge.process.log()).expect("the log is there");
        let said = |partition: u32| {
            let place = format!("{topic}:{partition}");
            log.lines().any(|line| {
                (line.contains("WARN") || line.contains("ERROR")) && line.contains(&place)
            })
        };
        if said(0) && said(1) && said(2) { Ok(()) } else { Err(log) }
    });
    let offsets = Offsets::of_group(&brokers, &scenario.group()).unwrap().read(&[topic]).unwrap();
    assert!(offsets.iter().all(|offset| offset.committed == Some(50)), "{offsets:?}");
    drain(&bridge);
}

/// No letter is written into it, none is passed over, and all goes on once it is mended.
#[test]
fn a_dead_letters_table_of_another_shape_loses_no_letter() {
    let scenario = Scenario::new("letters_shape", &clickhouse().url());
    scenario.init();
    let shape = |kind: &str| {
        let database = scenario.database();
        let change = format!("ALTER TABLE {database}.dead_letters MODIFY COLUMN payload {kind}");
        scenario.query(&change).expect("it can be altered");
    };
    shape("Int64");
    let topic = topic_of(&scenario);
    let sender = Sender::new();
    for value in [tick("1706198400001"), "{".to_owned(), tick("1706198400002")] {
        sender.text(&topic, 0, &value);
    }
    sender.flush();
    let bridge = scenario.start(1);
    bridge.wait_reason(&["dead_letters, column payload: has type Int64"]);
    let offsets = Offsets::of_group(&kafka().bootstrap(), &scenario.group()).unwrap();
    let committed = offsets.read(&[topic]).unwrap()[0].committed;
    assert!(committed.is_none_or(|next| next <= 1), "{committed:?} passes the letter");
    shape("String");
    scenario.wait_rows("ticks", 2);
    scenario.wait_rows("dead_letters", 1);
    scenario.assert_committed();
    drain(&bridge);
}
