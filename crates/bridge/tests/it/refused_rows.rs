//! Rows that nobody but ClickHouse refuses: they stand alone in the end, and all others arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_bridge_lab::fake_clickhouse::Answer;
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;

use crate::by_hand::{
    Sender, assert_no_panic, assert_tables_exact, delete_records, drain, wait_tables,
};
use crate::fake_tables::fake_with_tables;
use crate::world::{PATIENCE, Scenario, clickhouse, kafka, until};

const TICK: &str =
    r#"{"symbol":"EUR/USD","bid":666,"ask":1.09553,"timestamp_ms":1706198400123,"odd":" spaces "}"#;
const CANDLE: &str = r#"{"symbol":"EUR/USD","timeframe":"5m","timestamp_ms":1706198400000,"open":666,"high":666,"low":1,"close":2}"#;
/// ClickHouse's codes: a constraint is violated, `throwIf` threw.
const VIOLATED_CONSTRAINT: i32 = 469;
const THROWN: i32 = 395;

/// Good messages of a plan with one refused row in the middle of them.
fn produce_around(scenario: &Scenario, seed: u64, kind: Kind, refused: &str) -> Expected {
    let mut plan = scenario.plan(seed, 12_000);
    plan.mix.bad = 0.0;
    // In one partition of the table, so that one insert may hold all rows.
    plan.events_from_ms = 1_704_067_200_000;
    plan.events_to_ms = 1_706_000_000_000;
    let generator = Generator::try_new(plan).unwrap();
    let expected = Expected::of(&generator).unwrap();
    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    producer.produce(&generator, 0..6_000, Pace::Full, |_| {}).unwrap();
    let sender = Sender::new();
    let topic = generator.plan().topic(kind);
    sender.send(&topic, 3, Some(b"the key"), Some(refused.as_bytes()), &[("trace", b"7")]);
    sender.flush();
    producer.produce(&generator, 6_000..12_000, Pace::Full, |_| {}).unwrap();
    expected
}

/// Exactly this message is a dead letter, and ClickHouse is said to have refused it.
#[track_caller]
fn assert_refused(scenario: &Scenario, kind: Kind, code: i32, payload: &str) {
    let query = format!(
        "SELECT route, reason, clickhouse_code, origin, key, headers['trace'], payload, \
         attempts > 0, length(error) > 10 FROM {}.dead_letters FINAL FORMAT TSVRaw",
        scenario.database()
    );
    let topic = format!("{}{}", scenario.prefix(), kind.topic());
    let wanted = format!(
        "{}\tclickhouse_refused\t{code}\tkafka:{topic}:3\tthe key\t7\t{payload}\t1\t1\n",
        kind.table()
    );
    assert_eq!(scenario.query(&query).unwrap(), wanted);
}

#[test]
fn a_row_that_violates_a_constraint_is_the_only_one_that_becomes_a_dead_letter() {
    let scenario = Scenario::new("constraint", &clickhouse().url());
    scenario.init();
    let add = "ADD CONSTRAINT sane CHECK bid != 666";
    let database = scenario.database();
    scenario.query(&format!("ALTER TABLE {database}.ticks {add}")).unwrap();
    let expected = produce_around(&scenario, 26, Kind::Tick, TICK);
    let bridge = scenario.start(1);
    wait_tables(&scenario, &expected);
    scenario.wait_rows("dead_letters", 1);
    scenario.assert_committed();
    assert_tables_exact(&scenario, &expected, 1);
    assert_refused(&scenario, Kind::Tick, VIOLATED_CONSTRAINT, TICK);
    // Half of 2·log₂(12,000) + 1 inserts at most can fail.
    let failed = bridge.status()["insert_retries"].as_u64().unwrap();
    assert!((1..=14).contains(&failed), "{failed} inserts failed");
    drain(&bridge);
}

#[test]
fn a_row_on_which_a_view_throws_is_isolated_although_the_instance_is_killed_meanwhile() {
    let scenario = Scenario::new("throwing_view", &clickhouse().url());
    scenario.init();
    let database = scenario.database();
    let view = format!(
        "CREATE MATERIALIZED VIEW {database}.watch (odd UInt8) ENGINE = MergeTree ORDER BY odd \
         AS SELECT throwIf(open = 666) AS odd FROM {database}.aggregates"
    );
    scenario.query(&view).unwrap();
    let expected = produce_around(&scenario, 23, Kind::Candle, CANDLE);
    let killed = scenario.start(1);
    until(PATIENCE, "the first refusal", || {
        let log = std::fs::read(killed.process.log()).unwrap_or_default();
        if String::from_utf8_lossy(&log).contains("insert failed") {
            Ok(())
        } else {
            Err("none".to_owned())
        }
    });
    killed.kill();
    assert_no_panic(killed.process.log());
    let bridge = scenario.start(2);
    scenario.wait_rows("dead_letters", 1);
    // ClickHouse writes a table before its views: there the row is, although it was refused.
    let delete = "DELETE WHERE open = 666 SETTINGS mutations_sync = 2";
    scenario.query(&format!("ALTER TABLE {database}.aggregates {delete}")).unwrap();
    wait_tables(&scenario, &expected);
    scenario.assert_committed();
    assert_tables_exact(&scenario, &expected, 1);
    assert_refused(&scenario, Kind::Candle, THROWN, CANDLE);
    drain(&bridge);
}

/// So many ticks in one partition, the refused one neither in the first fetch, after which it is known
/// how many wait, nor among the last 50,000, which are no backlog: its payload is let go.
const BACKLOG: i64 = 100_000;
const REFUSED_AT: i64 = 20_000;

fn produce_backlog(topic: &str) {
    let sender = Sender::new();
    for number in 0..BACKLOG {
        if number == REFUSED_AT {
            let tick = Some(TICK.as_bytes());
            sender.send(topic, 3, Some(b"the key"), tick, &[("trace", b"7")]);
        } else {
            let at = 1_706_100_000_000 + number;
            let tick = r#"{"symbol":"EUR/USD","bid":1.5,"ask":1.75,"timestamp_ms":"#;
            sender.text(topic, 3, &format!("{tick}{at}}}"));
        }
    }
    sender.flush();
}

#[test]
fn a_row_that_is_refused_while_a_backlog_is_drained_has_its_bytes_from_the_log() {
    let scenario = Scenario::new("refused_in_backlog", &clickhouse().url());
    scenario.init();
    let database = scenario.database();
    let add = "ADD CONSTRAINT sane CHECK bid != 666";
    scenario.query(&format!("ALTER TABLE {database}.ticks {add}")).unwrap();
    produce_backlog(&scenario.plan(1, 1).topic(Kind::Tick));
    let bridge = scenario.start(1);
    scenario.wait_rows("ticks", BACKLOG.cast_unsigned() - 1);
    scenario.wait_rows("dead_letters", 1);
    scenario.assert_committed();
    assert_refused(&scenario, Kind::Tick, VIOLATED_CONSTRAINT, TICK);
    let log = std::fs::read_to_string(bridge.process.log()).unwrap();
    assert!(log.contains("its record is read from the log again"), "it was at hand: {log}");
    drain(&bridge);
}

#[test]
fn a_refused_row_whose_record_was_deleted_meanwhile_is_a_dead_letter_that_says_so() {
    let fake = fake_with_tables();
    let scenario = Scenario::new("refused_and_deleted", &fake.url())
        .with("retry", "{ initial_ms: 20, max_ms: 100 }");
    scenario.init();
    let topic = scenario.plan(1, 1).topic(Kind::Tick);
    produce_backlog(&topic);
    let deleted = Arc::new(AtomicBool::new(false));
    fake.script({
        let deleted = Arc::clone(&deleted);
        let table = format!("{}.ticks", scenario.database());
        let mut refusals = 0;
        move |request| {
            if !request.is_insert() || refusals == 2 {
                return None;
            }
            if !deleted.load(Ordering::SeqCst) {
                return Some(Answer::too_many_parts());
            }
            // The same row, within its batch and then alone; counted from 1.
            refusals += 1;
            let row = if refusals == 1 { REFUSED_AT + 1 } else { 1 };
            let text = format!("Constraint `sane` for table {table} is violated at row {row}.");
            Some(Answer::exception(VIOLATED_CONSTRAINT, "VIOLATED_CONSTRAINT", &text))
        }
    });
    let bridge = scenario.start(1);
    bridge.wait_reason(&["inserts into", "code 252 (TOO_MANY_PARTS)"]);
    delete_records(&topic, 3, BACKLOG);
    deleted.store(true, Ordering::SeqCst);
    scenario.assert_committed();
    drain(&bridge);
    let inserts = fake.inserts();
    let letters = inserts.iter().filter(|insert| insert.table().as_deref() == Some("dead_letters"));
    let [letter] = letters.collect::<Vec<_>>()[..] else { panic!("one letter is wanted") };
    let blocks = letter.rows().unwrap();
    let [block] = &blocks[..] else { panic!("one block is wanted") };
    let of = |column| block.value(0, column).unwrap().to_string();
    assert_eq!((block.rows.len(), of("route").as_str()), (1, "ticks"));
    assert_eq!(of("payload"), "", "what is not in the log any more");
    assert!(
        of("error").contains("deleted from the log before it could be read"),
        "{}",
        of("error")
    );
}
