//! `audit` and `replay` of a stream, as a user runs them.

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::Assurance;
use serde_json::{Value, json};

use crate::by_hand::{audit, run_command};
use crate::nats_stage::{Stream, finish, nats, plan, publisher, scenario, ticks};
use crate::world::{PATIENCE, Scenario, until};

fn one(scenario: &Scenario, query: &str) -> String {
    scenario.query(query).expect("an answer").trim().to_owned()
}

/// Takes every copy of the newest tick away; its sequence.
fn take_a_tick(scenario: &Scenario) -> u64 {
    let ticks = format!("{}.ticks", scenario.database());
    let newest = one(scenario, &format!("SELECT max(origin_position) FROM {ticks} FINAL"));
    let key = "(symbol, timestamp, event_id)";
    let same = format!("SELECT {key} FROM {ticks} WHERE origin_position = {newest}");
    scenario.query(&format!("DELETE FROM {ticks} WHERE {key} IN ({same})")).expect("deleted");
    newest.parse().expect("a sequence")
}

#[test]
fn what_a_stream_says_is_missing_is_named_and_comes_back_by_replay_or_repair() {
    let scenario = scenario("nats_again", &nats().url(), "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    // Nothing was acked: no good news, but another consumer or none that runs.
    let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
    let mut plan = plan(&scenario, 361, 3_000);
    (plan.mix.bad, plan.mix.duplicates) = (0.02, 0.02);
    let generator = Generator::try_new(plan).expect("a sound plan");
    publisher.publish(&generator, 0..1_000, Pace::Full, |_| {}).expect("stored");
    let said = run_command(&scenario, &["audit"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("has acked none of"), "{}", said.err);

    let bridge = scenario.start(1);
    publisher.publish(&generator, 1_000..3_000, Pace::Full, |_| {}).expect("stored");
    let expected = Expected::of(&generator).unwrap();
    finish(&scenario, &stream, &[bridge], &expected);
    let stored = stream.consumer()["delivered"]["stream_seq"].as_u64().expect("a sequence");
    let (findings, summary) = audit(&scenario, &[], 0);
    assert_eq!(findings, [] as [Value; 0]);
    assert_eq!(summary["records"].as_u64(), Some(stored), "{summary}");
    assert!(summary["dead_letters"].as_u64() > Some(30), "{summary}");

    let taken = take_a_tick(&scenario);
    let (from, to) = (format!("seq:{taken}"), format!("seq:{}", taken + 1));
    let window = ["--from", from.as_str(), "--to", to.as_str()];
    for arguments in [&[][..], &["--transport", "nats"], &window] {
        let (findings, summary) = audit(&scenario, arguments, 1);
        let named = findings.iter().any(|f| f["position"] == taken && f["table"] == "ticks");
        assert!(named, "{arguments:?}: {findings:#?} {summary}");
        assert_eq!(findings[0]["origin"], "nats:NATS_AGAIN", "{findings:#?}");
    }
    for empty in [["--to", "2020-01-01T00:00:00Z"], ["--from", "2099-01-01T00:00:00Z"]] {
        let (_, summary) = audit(&scenario, &empty, 0);
        assert_eq!(summary["records"], 0, "{empty:?}: {summary}");
    }
    let said = run_command(&scenario, &["audit", "--from", "2020-01-01T00:00:00Z"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains(&format!("missing  nats:NATS_AGAIN@{taken}")), "{}", said.out);
    assert!(said.out.contains("of stream NATS_AGAIN in "), "{}", said.out);

    let said = run_command(&scenario, &[&["replay", "--dry-run"], &window[..]].concat());
    assert!(said.out.contains("read 1 record of stream NATS_AGAIN"), "{said:?}");
    audit(&scenario, &window, 1);
    for _ in 0..2 {
        let said = run_command(&scenario, &["replay", "--rate", "20000"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        audit(&scenario, &[], 0);
    }
    let letters = format!("{}.dead_letters", scenario.database());
    scenario.query(&format!("DELETE FROM {letters} WHERE 1")).expect("deleted");
    let (findings, _) = audit(&scenario, &["--repair"], 1);
    assert!(findings.iter().all(|finding| finding["table"] == "dead_letters"), "{findings:#?}");
    audit(&scenario, &[], 0);
    // Not only by its own word.
    scenario.assert_exact(&expected, PATIENCE);

    for (arguments, words) in [
        (&["--transport", "kafka"][..], "kafka.enabled is false"),
        (&["--topic", "tick_archive", "--from", "seq:5"], "a sequence counts in the stream"),
        (&["--from", "seq:9", "--to", "seq:9"], "nothing lies from seq:9 up to seq:9"),
    ] {
        let said = run_command(&scenario, &[&["audit"], arguments].concat());
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn what_a_limit_of_the_stream_took_while_nobody_ran_is_counted_once_and_named_by_every_audit() {
    let scenario = scenario("nats_limit", &nats().url(), "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let generator = ticks(&scenario, 362, 1_000);
    let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
    publisher.publish(&generator, 0..100, Pace::Full, |_| {}).expect("stored");
    let bridge = scenario.start(1);
    stream.wait_acked();
    bridge.end();
    publisher.publish(&generator, 100..1_000, Pace::Full, |_| {}).expect("stored");
    let subjects = ["nats_limit.market.>"];
    let limit = json!({ "name": "NATS_LIMIT", "subjects": subjects, "max_msgs": 250 }).to_string();
    publisher
        .publish_one("$JS.API.STREAM.UPDATE.NATS_LIMIT", limit.as_bytes(), &[])
        .expect("updated");
    // Not yet read, and already known to be missed.
    let is_named = |findings: &[Value]| {
        let of = |key: &str| findings[0][key].as_u64().expect("a number");
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0]["finding"], "sequences_lost", "{findings:#?}");
        assert_eq!((of("from"), of("to"), of("messages")), (101, 751, 650));
    };
    is_named(&audit(&scenario, &[], 1).0);
    // By the first that runs, and not again by the next.
    for (number, counted) in [(1, 650), (2, 0)] {
        let bridge = scenario.start(number);
        bridge.wait_ready();
        stream.wait_acked();
        scenario.wait_rows_in_all(350);
        until(PATIENCE, "losses to be counted", || {
            let lost = bridge.metric("data_bridge_lost_messages_total");
            if lost == counted { Ok(()) } else { Err(lost.to_string()) }
        });
        bridge.end();
        is_named(&audit(&scenario, &[], 1).0);
    }
    let said = run_command(&scenario, &["audit"]);
    let words = "lost     nats:NATS_LIMIT sequences 101 to 750: 650 messages deleted before they";
    assert!(said.out.contains(words), "{}", said.out);
    let (_, summary) = audit(&scenario, &["--from", "seq:751"], 0);
    assert_eq!(summary["records"], 250, "{summary}");
    // What was deleted by hand is a hole, and no reason to read beyond the end.
    let hole = json!({ "seq": 900 }).to_string();
    publisher
        .publish_one("$JS.API.STREAM.MSG.DELETE.NATS_LIMIT", hole.as_bytes(), &[])
        .expect("deleted");
    let (_, summary) = audit(&scenario, &["--from", "seq:899", "--to", "seq:902"], 0);
    assert_eq!(summary["records"], 2, "{summary}");
}
