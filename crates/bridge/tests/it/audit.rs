//! `audit` and `replay` as a user runs them, on the real servers.

use std::ops::Range;
use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Offsets, Pace};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;
use data_bridge_stack::port;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::by_hand::{Sender, audit, delete_records, drain, run_command};
use crate::world::{PATIENCE, Scenario, clickhouse, kafka, produce, until};

/// Deletes rows by hand, at once.
fn delete(scenario: &Scenario, table: &str, condition: &str) {
    let database = scenario.database();
    let statement = format!("DELETE FROM {database}.{table} WHERE {condition}");
    scenario.query(&statement).expect("rows can be deleted");
}

fn one(scenario: &Scenario, query: &str) -> String {
    scenario.query(query).expect("an answer").trim().to_owned()
}

/// Takes a row of every table away, and a letter; how many rows.
fn take_one_of_each(scenario: &Scenario) -> u64 {
    let database = scenario.database();
    let mut taken = 0;
    for kind in Kind::ALL {
        let table = kind.table();
        let newest = format!(
            "SELECT origin, origin_position FROM {database}.{table} FINAL \
             ORDER BY origin_position LIMIT 1 FORMAT TabSeparated"
        );
        let found = one(scenario, &newest);
        let (origin, position) = found.split_once('\t').expect("a row");
        let of = format!("origin = '{origin}' AND origin_position = {position}");
        // With its older versions: else they would show again, which is another finding.
        let key = match kind {
            Kind::Tick => "(symbol, timestamp, event_id)",
            Kind::Candle => "(symbol, timeframe, timestamp)",
            Kind::EconomicCalendar => "(event_time, currency, event)",
            Kind::FredEconomic => "(series_id, event_time)",
            Kind::CryptoSentiment => "(coin_id, event_time)",
            Kind::CommodityPrices => "(symbol, event_time)",
            Kind::FearGreedIndex | Kind::MarketSessions => "(event_time)",
        };
        let same = format!("{key} IN (SELECT {key} FROM {database}.{table} WHERE {of})");
        delete(scenario, table, &same);
        taken += 1;
    }
    let letter =
        one(scenario, &format!("SELECT min(origin_position) FROM {database}.dead_letters"));
    delete(scenario, "dead_letters", &format!("origin_position = {letter}"));
    taken
}

/// Alters values behind our back, one column at a time.
fn alter_values(scenario: &Scenario) {
    let database = scenario.database();
    let altered = [
        ("ticks", "ask = ask + 1"),
        ("ticks", "volume = NULL"),
        ("ticks", "source = 'somebody'"),
        ("aggregates", "is_complete = 7"),
        ("aggregates", "indicators = '{}'"),
    ];
    for (number, (table, change)) in altered.iter().enumerate() {
        let column = change.split(' ').next().expect("a column");
        let (_, value) = change.split_once(" = ").expect("a value");
        scenario
            .query(&format!(
                "INSERT INTO {database}.{table} SELECT * REPLACE ({value} AS {column}) FROM \
                 (SELECT * FROM {database}.{table} FINAL WHERE NOT ifNull({column} = ({value}), \
                 isNull({column}) AND isNull({value})) AND origin_position % 5 = {number} LIMIT 1)"
            ))
            .expect("a row can be altered");
    }
}

/// Every table, corrections, duplicates and dead letters: all is found, then what is taken away or
/// altered by hand is named, mended, and found again.
#[test]
fn what_is_taken_away_is_named_and_comes_back_by_a_repair() {
    let scenario = Scenario::new("audit", &clickhouse().url());
    scenario.init();
    let mut plan = scenario.plan(8, 12_000);
    plan.mix.kinds = [4, 4, 1, 1, 1, 1, 1, 1];
    plan.mix.bad = 0.02;
    plan.mix.duplicates = 0.02;
    let generator = Generator::try_new(plan).unwrap();
    let expected = Expected::of(&generator).unwrap();
    produce(&generator, 0..12_000, Pace::Full);
    let bridge = scenario.start(1);
    scenario.assert_exact(&expected, PATIENCE);
    scenario.assert_committed();
    let rebalances = bridge.status()["rebalances"].clone();

    let (findings, summary) = audit(&scenario, &[], 0);
    assert_eq!(findings, [] as [Value; 0]);
    let records = summary["records"].as_u64().expect("a number");
    assert!(records >= 12_000, "{summary}");
    assert!(summary["dead_letters"].as_u64() > Some(100), "{summary}");

    let taken = take_one_of_each(&scenario);
    alter_values(&scenario);
    let (findings, summary) = audit(&scenario, &[], 1);
    let missing = |table: &str| {
        let of_table = findings.iter().filter(|f| f["finding"] == "missing" && f["table"] == table);
        of_table.count()
    };
    for kind in Kind::ALL {
        assert!(missing(kind.table()) >= 1, "{kind}: {findings:#?}");
    }
    assert!(missing("dead_letters") >= 1, "{findings:#?}");
    assert!(summary["missing"].as_u64() > Some(taken), "{summary}");
    let mut differing: Vec<(&str, &str)> = findings
        .iter()
        .filter(|finding| finding["finding"] == "differs")
        .map(|finding| {
            let columns = finding["columns"].as_array().expect("columns");
            assert_eq!(columns.len(), 1, "{finding:#}");
            let column = columns[0]["column"].as_str().expect("a name");
            (finding["table"].as_str().expect("a name"), column)
        })
        .collect();
    differing.sort_unstable();
    differing.dedup();
    let wanted = [
        ("aggregates", "indicators"),
        ("aggregates", "is_complete"),
        ("ticks", "ask"),
        ("ticks", "source"),
        ("ticks", "volume"),
    ];
    assert_eq!(differing, wanted, "{findings:#?}");
    let ask = findings.iter().find(|finding| finding["columns"][0]["column"] == "ask");
    let ask = &ask.expect("it differs")["columns"][0];
    let value = |side: &str| ask[side].as_str().and_then(|text| text.parse::<f64>().ok());
    let (must_be, is) = (value("expected").expect("a price"), value("found").expect("a price"));
    assert!((is - must_be - 1.0).abs() < 1e-6, "{ask}");
    let named = &findings.iter().find(|f| f["table"] == "ticks").expect("a tick")["identity"];
    assert_eq!(named[0][0], "symbol", "{named}");

    // As people see it.
    let said = run_command(&scenario, &["audit"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("missing  kafka:audit.tick_archive:"), "{}", said.out);
    assert!(said.out.contains("ask must be "), "{}", said.out);
    assert!(said.out.contains("--repair sends them again"), "{}", said.out);

    let (found, summary) = audit(&scenario, &["--repair"], 1);
    assert_eq!(found.len(), findings.len(), "repaired just now is still found");
    assert_eq!(summary["repaired"].as_u64(), Some(findings.len() as u64), "{summary}");
    let (findings, _) = audit(&scenario, &[], 0);
    assert_eq!(findings, [] as [Value; 0]);
    // Not only by its own word.
    scenario.assert_exact(&expected, PATIENCE);
    assert_eq!(bridge.status()["rebalances"], rebalances, "nobody joined the group");
    drain(&bridge);
}

/// A tick of its own for each number.
fn tick(number: u32) -> String {
    format!(
        r#"{{"symbol":"EUR/USD","bid":1.1,"ask":1.{number:03},"timestamp_ms":{}}}"#,
        1_706_198_400_000_u64 + u64::from(number)
    )
}

fn send(topic: &str, numbers: Range<u32>) {
    let sender = Sender::new();
    for number in numbers {
        sender.text(topic, 0, &tick(number));
    }
    sender.flush();
}

fn positions(findings: &[Value]) -> Vec<u64> {
    findings.iter().filter_map(|finding| finding["position"].as_u64()).collect()
}

/// Twenty records, one of them superseded by hand: a replay brings the others back as they were.
fn replay_leaves_one_copy(scenario: &Scenario, topic: &str) {
    let before = scenario_rows(scenario);
    let said = run_command(scenario, &["replay", "--topic", topic, "--dry-run"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("20 rows would go to ticks"), "{}", said.out);
    assert_eq!(scenario_rows(scenario), before);
    let began = Instant::now();
    let said = run_command(scenario, &["replay", "--topic", topic, "--rate", "20", "--json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(began.elapsed() > Duration::from_millis(900), "20 records at 20 a second");
    let after = scenario_rows(scenario);
    assert_eq!(after.lines().count(), 20, "{after}");
    // `ask` of a newer row stays; the others are what was sent.
    for (number, line) in after.lines().enumerate() {
        let ask = format!("{}.{number:03}", if number == 13 { 6 } else { 1 });
        let shown = line.split('\t').next().unwrap();
        assert_eq!(shown, ask.trim_end_matches('0').trim_end_matches('.'), "{line}");
    }
    let said = run_command(scenario, &["replay"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(scenario_rows(scenario), after, "twice is once");
}

/// Windows begin and end where they say; what is lost, expired, aborted, superseded or came by
/// another way is told apart from what is missing.
#[test]
fn a_window_is_what_it_says_and_not_everything_that_has_no_row_is_missing() {
    let scenario = Scenario::new("audit_window", &clickhouse().url());
    scenario.init();
    let database = scenario.database();
    let topic = format!("{}tick_archive", scenario.prefix());
    send(&topic, 0..20);
    let bridge = scenario.start(1);
    scenario.wait_rows("ticks", 20);
    scenario.assert_committed();
    drain(&bridge);
    delete(&scenario, "ticks", "origin_position IN (10, 11)");
    let window = |arguments: &[&str], code| {
        let arguments = [&["--topic", topic.as_str(), "--partition", "0"], arguments].concat();
        audit(&scenario, &arguments, code)
    };
    for (from, to, missing) in [
        ("offset:10", "offset:11", &[10][..]),
        ("offset:11", "offset:12", &[11]),
        ("offset:0", "offset:1000", &[10, 11]),
        ("offset:12", "offset:20", &[]),
        ("offset:0", "offset:10", &[]),
        ("2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z", &[10, 11]),
        ("2099-01-01T00:00:00Z", "2100-01-01T00:00:00Z", &[]),
        ("2000-01-01T00:00:00Z", "2001-01-01T00:00:00Z", &[]),
    ] {
        let code = i32::from(!missing.is_empty());
        let (findings, summary) = window(&["--from", from, "--to", to], code);
        assert_eq!(positions(&findings), missing, "{from} {to}: {summary}");
    }

    // Another row in the place of one: beside it, a merge would keep the newer one.
    let instead = |position: u32, change: &str| {
        let copy = format!("{database}.copy_{position}");
        for statement in [
            format!(
                "CREATE TABLE {copy} ENGINE = Memory AS SELECT * REPLACE ({change}) FROM (SELECT * \
                 FROM {database}.ticks FINAL WHERE origin_position = {position})"
            ),
            format!("DELETE FROM {database}.ticks WHERE origin_position = {position}"),
            format!("INSERT INTO {database}.ticks SELECT * FROM {copy}"),
        ] {
            scenario.query(&statement).expect("a row can be replaced");
        }
    };
    // The same event by another way, of an older version: it is there.
    instead(12, "'nats:MARKET' AS origin, 7 AS origin_position, version - 1 AS version");
    // A newer one, with other values: superseded.
    instead(13, "ask + 5 AS ask, version + 1 AS version");
    // An older one with other values does not stand for ours.
    instead(14, "ask + 5 AS ask, version - 1 AS version, 99 AS origin_position");
    let (findings, _) = window(&["--from", "offset:12"], 1);
    assert_eq!(positions(&findings), [14]);
    assert_eq!(findings[0]["finding"], "differs", "{findings:#?}");

    replay_leaves_one_copy(&scenario, &topic);
    window(&[], 0);

    // What a transaction took back leaves holes, and no rows.
    transaction(&topic, 20..23, false);
    transaction(&topic, 23..25, true);
    let bridge = scenario.start(1);
    scenario.wait_rows("ticks", 22);
    scenario.assert_committed();
    drain(&bridge);
    let (_, summary) = window(&[], 0);
    assert_eq!(summary["records"], 22, "{summary}");
    let end = summary_end(&scenario, &topic);

    // Retention before the bridge, and behind it.
    delete_records(&topic, 0, 5);
    let (_, summary) = window(&[], 0);
    assert_eq!(summary["offsets_not_retained"], 5, "{summary}");
    send(&topic, 30..40);
    delete_records(&topic, 0, (end + 4).cast_signed());
    let lost = |findings: &[Value]| {
        let of = |name: &str| findings[0][name].as_u64().expect("an offset");
        assert_eq!((findings.len(), &findings[0]["finding"]), (1, &Value::from("range_lost")));
        assert_eq!((of("from"), of("to")), (end, end + 4));
    };
    lost(&window(&[], 1).0);
    let bridge = scenario.start(1);
    scenario.wait_rows("ticks", 28);
    scenario.assert_committed();
    drain(&bridge);
    lost(&window(&[], 1).0);
    let said = run_command(&scenario, &["audit", "--topic", &topic]);
    let words = format!("offsets {end} to {}: deleted before they were read", end + 3);
    assert!(said.out.contains(&words), "{}", said.out);
    window(&["--from", &format!("offset:{}", end + 4)], 0);

    // Rows past their time are gone for a reason.
    scenario
        .query(&format!(
            "ALTER TABLE {database}.ticks MODIFY TTL toDateTime(timestamp) + INTERVAL 1 DAY DELETE \
             WHERE symbol = 'EUR/USD'"
        ))
        .expect("a rule");
    delete(&scenario, "ticks", "1");
    let (_, summary) = window(&["--from", &format!("offset:{}", end + 4)], 0);
    assert_eq!((&summary["expired"], &summary["missing"]), (&6.into(), &0.into()), "{summary}");
    refuses_another_shape(&scenario);
}

/// A comparison with a table of another shape would mislead.
fn refuses_another_shape(scenario: &Scenario) {
    let alter = "ALTER TABLE {}.dead_letters MODIFY COLUMN payload Int64";
    scenario.query(&alter.replace("{}", &scenario.database())).expect("it can be altered");
    let said = run_command(scenario, &["audit"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("dead_letters, column payload: has type Int64"), "{}", said.err);
}

/// Asks of the visible ticks, in the order of their times, with where each came from.
fn scenario_rows(scenario: &Scenario) -> String {
    let query = format!(
        "SELECT ask, timestamp, origin, origin_position, version FROM {}.ticks FINAL \
         ORDER BY timestamp FORMAT TabSeparated",
        scenario.database()
    );
    scenario.query(&query).expect("rows")
}

/// The offset of the next record in partition 0.
fn summary_end(scenario: &Scenario, topic: &str) -> u64 {
    let offsets = Offsets::of_group(&kafka().bootstrap(), &scenario.group()).expect("a client");
    let all = offsets.read(&[topic.to_owned()]).expect("offsets");
    let first = all.iter().find(|offset| offset.partition == 0).expect("partition 0");
    u64::try_from(first.end).expect("an end")
}

/// Sends ticks within a transaction that is committed, or aborted.
fn transaction(topic: &str, numbers: Range<u32>, commit: bool) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().bootstrap())
        .set("transactional.id", topic)
        .create()
        .expect("the producer's settings are sound");
    producer.init_transactions(PATIENCE).expect("a transactional id");
    producer.begin_transaction().expect("a transaction begins");
    for number in numbers {
        let payload = tick(number);
        let record = BaseRecord::<(), str>::to(topic).partition(0).payload(&payload);
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    }
    producer.flush(PATIENCE).expect("the broker takes it");
    let ended = if commit {
        producer.commit_transaction(PATIENCE)
    } else {
        producer.abort_transaction(PATIENCE)
    };
    ended.expect("the transaction ends");
}

/// Whoever is away is named, and the exit code says so.
#[test]
fn an_audit_without_its_servers_says_which_is_away() {
    let mut scenario = Scenario::new("audit_away", &clickhouse().url());
    scenario.init();
    // Nothing was ever moved: no good news, but a wrong group or cluster.
    until(PATIENCE, "new topics to be known", || {
        let said = run_command(&scenario, &["audit"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        let is_said = said.err.contains("has committed nothing of 48 partitions");
        if is_said { Ok(()) } else { Err(said.err) }
    });
    let said = run_command(&scenario, &["audit", "--topic", "nobodys"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("not among kafka.topics"), "{}", said.err);
    let nobody = format!("127.0.0.1:{}", port::free().expect("a port is free"));
    let url = std::mem::replace(&mut scenario.clickhouse_url, format!("http://{nobody}"));
    for command in
        [&["audit"][..], &["replay"], &["dlq", "list"], &["dlq", "replay"], &["dlq", "show", "k@1"]]
    {
        let said = run_command(&scenario, command);
        assert_eq!(said.code, Some(3), "{command:?}: {said:?}");
        assert!(said.err.contains(&nobody) && said.err.contains("hint: "), "{}", said.err);
    }
    scenario.clickhouse_url = url;
    scenario.brokers.clone_from(&nobody);
    let said = run_command(&scenario, &["audit"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains(&nobody) && said.err.contains("kafka.brokers"), "{}", said.err);
}
