//! `dlq` as a user runs it, on the real servers.

use std::process::Command;

use serde_json::Value;

use crate::by_hand::{Said, Sender, create_topic, drain, run_command};
use crate::world::{Scenario, binary, clickhouse};

const GOOD: &str = r#"{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp_ms":1706198400123}"#;
const BAD: &str = r#"{"symbol":"EUR/USD","bid":"abc","ask":1.2,"timestamp_ms":1706198400124}"#;

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Key, value and headers.
type Message<'a> = (&'a [u8], &'a [u8], &'a [(&'a str, &'a [u8])]);

/// Sends these to the scenario's ticks, partition 0, and waits for all of them.
fn bury(scenario: &Scenario, messages: &[Message<'_>], letters: u64) {
    let topic = format!("{}tick_archive", scenario.prefix());
    let sender = Sender::new();
    for (key, payload, headers) in messages {
        sender.send(&topic, 0, Some(key), Some(payload), headers);
    }
    sender.flush();
    let bridge = scenario.start(1);
    scenario.wait_rows("dead_letters", letters);
    scenario.assert_committed();
    drain(&bridge);
}

/// A letter replayed twice, and what comes before it.
#[test]
fn a_letter_is_listed_shown_and_replayed_and_twice_is_once() {
    let scenario = Scenario::new("dlq", &clickhouse().url());
    scenario.init();
    let hostile = b"\x1b]0;owned\x07{\"symbol\":\"\xff\xfe\"\n";
    let messages: [Message<'_>; 3] = [
        (b"k", GOOD.as_bytes(), &[]),
        (b"key\0\xff", hostile, &[("trace", b"\xff\0\x1b[2J"), ("empty", b"")]),
        (b"k", BAD.as_bytes(), &[("event-id", b"42")]),
    ];
    bury(&scenario, &messages, 2);

    let said = run_command(&scenario, &["dlq", "list"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("kafka:dlq.tick_archive:0@2"), "{}", said.out);
    assert!(said.out.contains("bad_number"), "{}", said.out);
    assert!(!said.out.contains('\u{1b}'), "{:?}", said.out);
    let page = json(&run_command(&scenario, &["dlq", "list", "--json", "--reason", "bad_number"]));
    assert_eq!(page["groups"][0]["letters"], 1, "{page}");
    assert_eq!(page["letters"][0]["position"], 2, "{page}");
    for (filter, letters) in [
        (["--route", "ticks"], 2),
        (["--route", "x' OR 1 OR '"], 0),
        (["--table", "ticks"], 2),
        (["--table", "aggregates"], 0),
        (["--origin", "kafka:dlq.tick_archive:0"], 2),
        (["--from", "2100-01-01T00:00:00Z"], 0),
        (["--to", "2100-01-01T00:00:00Z"], 2),
        (["--state", "replayed"], 0),
        (["--state", "all"], 2),
    ] {
        let said = run_command(&scenario, &[&["dlq", "list", "--json"][..], &filter].concat());
        let found = json(&said)["letters"].as_array().expect("letters").len();
        assert_eq!(found, letters, "{filter:?}: {said:?}");
    }

    // Byte for byte, and harmless on a screen.
    let letter = "kafka:dlq.tick_archive:0@1";
    let said = run_command(&scenario, &["dlq", "show", letter]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(r"\u{1b}]0;owned\u{7}"), "{}", said.out);
    assert!(said.out.contains(r"trace = \xff\u{0}\u{1b}[2J"), "{}", said.out);
    assert!(!said.out.contains('\u{1b}'), "{:?}", said.out);
    let raw = Command::new(binary())
        .args(["dlq", "show", letter, "--raw", "--config"])
        .arg(scenario.config(1, 0))
        .output()
        .expect("data-bridge runs");
    assert_eq!(raw.stdout, hostile);
    let page = json(&run_command(&scenario, &["dlq", "show", letter, "--json"]));
    assert_eq!(page[0]["key_hex"], "6b657900ff", "{page}");
    assert_eq!(page[0]["headers"][0]["value_hex"], "ff001b5b324a", "{page}");

    // Nothing has changed: all of them stay.
    let before = table(&scenario, "dead_letters");
    let said = run_command(&scenario, &["dlq", "replay"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("1 stays: it is still refused: bad_number"), "{}", said.out);
    assert_eq!(
        table(&scenario, "dead_letters"),
        before,
        "a letter that fails again stays as it is"
    );
    scenario.wait_rows("ticks", 1);
}

/// A route that takes more than it did: its letters become rows, once, and never beat newer data.
#[test]
fn a_letter_that_has_become_sound_is_one_row_however_often_it_is_replayed() {
    let mut scenario = Scenario::new("dlq_again", &clickhouse().url());
    scenario.init();
    let database = scenario.database();
    scenario
        .query(&format!(
            "CREATE TABLE {database}.orders (id UInt64, placed_at DateTime64(3, 'UTC'), px \
             Decimal(18, 8), note String, origin LowCardinality(String), origin_position UInt64, \
             version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY id"
        ))
        .expect("a table can be made");
    create_topic("dlq_again.orders", 1, &[]);
    let strict = "{ orders: { from: { topics: [dlq_again.orders] }, table: orders, columns: \
                  { placed_at: { keys: [ts], time: ms } }, required: [id, placed_at, note] } }";
    scenario.sections.push(("routes".into(), strict.into()));
    scenario.sections.push(("kafka".into(), "  dlq_again.orders: orders".into()));
    let order = |id: u32, px: &str| {
        format!(r#"{{"id":{id},"ts":1706198400123,"px":{px},"note":null}}"#).into_bytes()
    };
    let sender = Sender::new();
    let trace = vec![0xFF; 1_000_000];
    let sends = |payload: &[u8]| {
        sender.send("dlq_again.orders", 0, None, Some(payload), &[("trace", &trace)]);
    };
    for id in 0..5 {
        sends(&order(id, "1.5"));
    }
    // Never sound.
    sends(&order(9, "\"abc\""));
    // Newer than its letter, by the same identity.
    sends(br#"{"id":3,"ts":1706198400123,"px":7,"note":"newer"}"#);
    sender.flush();
    let bridge = scenario.start(1);
    scenario.wait_rows("dead_letters", 6);
    scenario.wait_rows("orders", 1);
    scenario.assert_committed();
    drain(&bridge);
    let letters = |scenario: &Scenario, columns: &str| {
        let query = format!(
            "SELECT {columns} FROM {database}.dead_letters FINAL ORDER BY origin_position \
             FORMAT TabSeparated"
        );
        scenario.query(&query).expect("letters")
    };
    let bytes = "origin_position, cityHash64(payload, key, mapKeys(headers), mapValues(headers)), \
                 length(headers['trace']), first_failed_at, error";
    let before = letters(&scenario, bytes);
    assert!(before.contains("\t1000000\t"), "{before}");

    // `note` may be absent from now on.
    let loose = strict.replace(", note]", "]");
    let with = |scenario: &mut Scenario, routes: &str| {
        scenario.sections.retain(|(section, _)| section != "routes");
        scenario.sections.push(("routes".into(), routes.into()));
    };
    with(&mut scenario, &loose);
    let rows = |scenario: &Scenario| {
        let query = format!(
            "SELECT id, px, note, origin, origin_position, version FROM {database}.orders FINAL \
             ORDER BY id FORMAT TabSeparated"
        );
        scenario.query(&query).expect("rows")
    };
    let said = run_command(&scenario, &["dlq", "replay", "--dry-run"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("5 letters would be replayed"), "{}", said.out);
    scenario.wait_rows("orders", 1);

    let said = run_command(&scenario, &["dlq", "replay", "--route", "orders"]);
    assert_eq!(said.code, Some(1), "one stays: {said:?}");
    assert!(said.out.contains("5 letters replayed"), "{}", said.out);
    let first = rows(&scenario);
    assert_eq!(first.lines().count(), 5, "{first}");
    let third = first.lines().find(|line| line.starts_with("3\t")).expect("the third");
    assert!(third.contains("\t7\tnewer\t"), "the newer one stays: {third}");
    let query = format!(
        "SELECT countIf(o.version != d.version - 1), count() FROM {database}.orders AS o FINAL JOIN \
         {database}.dead_letters AS d FINAL ON o.origin = d.origin AND \
         o.origin_position = d.origin_position FORMAT TabSeparated"
    );
    let versions = scenario.query(&query).expect("versions");
    assert_eq!(versions.trim(), "0\t4", "as the broker gave them, and the letter's one above");
    let marked = letters(&scenario, "isNotNull(replayed_at)");
    assert_eq!(marked.lines().collect::<Vec<_>>(), ["1", "1", "1", "1", "1", "0"]);
    assert_eq!(letters(&scenario, bytes), before, "a mark alters nothing else");

    // Twice, and even what is marked already.
    let said = run_command(&scenario, &["dlq", "replay"]);
    assert_eq!((said.code, said.out.contains("0 letters replayed")), (Some(1), true), "{said:?}");
    let said = run_command(&scenario, &["dlq", "replay", "--again"]);
    assert!(said.out.contains("5 letters replayed"), "{said:?}");
    assert_eq!(rows(&scenario), first, "one copy, whatever was sent");

    // The broker brings the message again: the letter stays replayed.
    let again = format!(
        "INSERT INTO {database}.dead_letters SELECT * REPLACE (version - 2 AS version, NULL AS \
         replayed_at) FROM {database}.dead_letters FINAL WHERE isNotNull(replayed_at)"
    );
    scenario.query(&again).expect("a redelivery");
    assert_eq!(letters(&scenario, "isNotNull(replayed_at)"), marked);
    let said = run_command(&scenario, &["audit", "--topic", "dlq_again.orders"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// A table of another shape, and none: said by name, nothing read or written.
#[test]
fn a_dead_letters_table_of_another_shape_is_refused() {
    let scenario = Scenario::new("dlq_shape", &clickhouse().url());
    scenario.init();
    let database = scenario.database();
    scenario
        .query(&format!("ALTER TABLE {database}.dead_letters MODIFY COLUMN payload Int64"))
        .expect("it can be altered");
    for command in [&["dlq", "list"][..], &["dlq", "replay"], &["dlq", "show", "kafka:t:0@1"]] {
        let said = run_command(&scenario, command);
        assert_eq!(said.code, Some(1), "{command:?}: {said:?}");
        assert!(said.err.contains("dead_letters, column payload: has type Int64"), "{}", said.err);
    }
    scenario.query(&format!("DROP TABLE {database}.dead_letters SYNC")).expect("it can go");
    let said = run_command(&scenario, &["dlq", "list"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("dead_letters does not exist"), "{}", said.err);
}

/// All rows of a table, versions included, as text.
fn table(scenario: &Scenario, table: &str) -> String {
    let query =
        format!("SELECT * FROM {}.{table} ORDER BY ALL FORMAT TabSeparated", scenario.database());
    scenario.query(&query).expect("rows")
}
