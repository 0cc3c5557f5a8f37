//! Offsets that lead to no record: aborted transactions, what compaction has removed.

use data_bridge_lab::kafka::Offsets;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::by_hand::{Sender, create_topic, drain};
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, kafka, until};

fn tick(symbol: &str, number: u64) -> String {
    let time = 1_706_198_400_000 + number;
    format!(r#"{{"symbol":"{symbol}","bid":1.1,"ask":1.2,"timestamp_ms":{time}}}"#)
}

fn topic_of(scenario: &Scenario) -> String {
    format!("{}tick_archive", scenario.prefix())
}

fn offsets(scenario: &Scenario) -> Offsets {
    Offsets::of_group(&kafka().bootstrap(), &scenario.group()).expect("a client can be made")
}

fn wait_no_lag(bridge: &Instance) {
    until(PATIENCE, "no lag", || match bridge.status()["partitions"].as_array() {
        Some(partitions) if !partitions.is_empty() && bridge.lag() == 0 => Ok(()),
        _ => Err(format!("lag {}", bridge.lag())),
    });
}

#[test]
fn rows_of_aborted_transactions_never_show_and_leave_no_lag() {
    const ROUNDS: u64 = 60;
    const EACH: u64 = 20;
    let scenario = Scenario::new("aborted", &clickhouse().url());
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().bootstrap())
        .set("transactional.id", "holes")
        .create()
        .expect("the settings are sound");
    producer.init_transactions(PATIENCE).expect("a transactional producer");
    let topic = topic_of(&scenario);
    let is_aborted = |round: u64| round % 10 >= 7;
    for round in 0..ROUNDS {
        producer.begin_transaction().expect("a transaction");
        let symbol = if is_aborted(round) { "ABORTED" } else { "KEPT" };
        for number in 0..EACH {
            let partition = i32::try_from(number % 6).expect("a partition");
            let value = tick(symbol, round * EACH + number);
            let record = BaseRecord::<(), str>::to(&topic).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("there is room");
        }
        producer.flush(PATIENCE).expect("the broker takes it");
        if is_aborted(round) {
            producer.abort_transaction(PATIENCE).expect("it is aborted");
        } else {
            producer.commit_transaction(PATIENCE).expect("it is committed");
        }
    }
    // The last rounds are aborted: the log ends with offsets that lead to nothing.
    scenario.wait_rows("ticks", ROUNDS * EACH * 7 / 10);
    wait_no_lag(&bridge);
    scenario.assert_committed();
    let database = scenario.database();
    let aborted = format!("SELECT count() FROM {database}.ticks WHERE symbol = 'ABORTED'");
    assert_eq!(scenario.query(&aborted).unwrap().trim(), "0");
    let letters = format!("SELECT count() FROM {database}.dead_letters");
    assert_eq!(scenario.query(&letters).unwrap().trim(), "0");
    drain(&bridge);
}

#[test]
fn offsets_that_compaction_removed_are_not_waited_for() {
    const MESSAGES: u64 = 3_000;
    const KEYS: u64 = 50;
    let scenario = Scenario::new("compacted", &clickhouse().url());
    let topic = topic_of(&scenario);
    // Segments close at once, and are compacted as soon as anything is.
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "0"),
    ];
    create_topic(&topic, 1, &settings);
    scenario.init();
    let sender = Sender::new();
    let send = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let (key, value) = (format!("{}", number % KEYS), tick("KEPT", number));
            sender.send(&topic, 0, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        }
        sender.flush();
    };
    send(0..MESSAGES);
    // The cleaner takes closed segments only: each look sends one more, which closes the last.
    let mut sent = MESSAGES;
    let log = scenario.folder.parent().expect("beside the broker's").join("kafka/data");
    until(PATIENCE, "the log to be compacted", || {
        send(sent..sent + 1);
        sent += 1;
        let bytes = bytes_in(&log, &format!("{topic}-0"));
        if bytes < 60_000 { Ok(()) } else { Err(format!("{bytes} bytes in {}", log.display())) }
    });

    let bridge = scenario.start(1);
    wait_no_lag(&bridge);
    scenario.assert_committed();
    let rows = format!("SELECT count(), max(origin_position) FROM {}.ticks", scenario.database());
    let found = scenario.query(&rows).unwrap();
    let (rows, last) = found.trim().split_once('\t').expect("two columns");
    assert_eq!(last, (sent - 1).to_string());
    let rows: u64 = rows.parse().expect("a number");
    assert!((KEYS..sent / 2).contains(&rows), "{rows} rows of {sent} messages");
    // The newest of each key is there, holes or not.
    let newest = format!(
        "SELECT count() FROM {}.ticks WHERE origin_position >= {}",
        scenario.database(),
        sent - KEYS
    );
    assert_eq!(scenario.query(&newest).unwrap().trim(), KEYS.to_string());
    let committed = offsets(&scenario).read(&[topic]).expect("the group is known");
    assert_eq!(committed[0].committed, Some(i64::try_from(sent).unwrap()));
    drain(&bridge);
}

/// What the segments of a partition hold.
fn bytes_in(log: &std::path::Path, partition: &str) -> u64 {
    let files = std::fs::read_dir(log.join(partition)).into_iter().flatten().flatten();
    let segments = files.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
    segments.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum()
}
