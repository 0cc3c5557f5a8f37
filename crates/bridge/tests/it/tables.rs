//! Tables and topics that are missing or not as they must be: said by name, never written, and the
//! other routes flow.

use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::{Kind, Plan};

use crate::by_hand::{Said, create_topic, drain, run_command, wait_for_reasons};
use crate::nats_stage;
use crate::world::{PATIENCE, Scenario, clickhouse, kafka, until};

fn produced(plan: Plan) -> Expected {
    let messages = plan.messages;
    let generator = Generator::try_new(plan).unwrap();
    let expected = Expected::of(&generator).unwrap();
    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    producer.produce(&generator, 0..messages, Pace::Full, |_| {}).unwrap();
    expected
}

#[test]
fn without_tables_nothing_is_lost_and_init_makes_it_flow_without_a_restart() {
    let scenario = Scenario::new("no_tables", &clickhouse().url());
    let plan = scenario.plan(60, 3_000);
    for kind in Kind::ALL {
        create_topic(&plan.topic(kind), 6, &[]);
    }
    let expected = produced(plan);
    let bridge = scenario.start(1);
    let database = scenario.database();
    let tables = Kind::ALL.iter().map(|kind| kind.table());
    let missing: Vec<_> = tables
        .chain(["dead_letters"])
        .map(|table| format!("table {database}.{table} does not exist"))
        .collect();
    wait_for_reasons(&bridge, &missing);
    // `check` says the same.
    let said = run_command(&scenario, &["check"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for table in ["ticks", "dead_letters"] {
        let line = format!(
            "PROBLEM      table {database}.{table}: does not exist: run `data-bridge init`\n"
        );
        assert!(said.out.contains(&line), "{}", said.out);
    }

    scenario.init();
    scenario.assert_exact(&expected, PATIENCE);
    scenario.assert_committed();
    bridge.wait_ready();
    assert_eq!(run_command(&scenario, &["check"]).code, Some(0));
    drain(&bridge);
}

#[test]
fn without_topics_the_instance_names_them_and_finds_them_seconds_after_they_are_made() {
    let scenario = Scenario::new("no_topics", &clickhouse().url());
    // Topics of another scenario would not do: tables are made here, topics are not.
    // Core NATS has nothing to be made.
    let urls = format!("nats.cluster_urls={}", nats_stage::nats().url());
    let said = run_command(
        &scenario,
        &[
            "init",
            "--set",
            "kafka.enabled=false",
            "--set",
            "nats.enabled=true",
            "--set",
            "nats.mode=core",
            "--set",
            &urls,
        ],
    );
    assert_eq!(said.code, Some(0), "{said:?}");
    let plan = scenario.plan(61, 1_000);
    let bridge = scenario.start(1);
    let missing: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| format!("topic {} does not exist: run `data-bridge init`", plan.topic(*kind)))
        .collect();
    wait_for_reasons(&bridge, &missing);
    let said = run_command(&scenario, &["check"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let line = format!("topic {}: does not exist", plan.topic(Kind::Tick));
    assert!(said.out.contains(&line), "{}", said.out);

    scenario.init();
    let made = Instant::now();
    let expected = produced(plan);
    scenario.assert_exact(&expected, PATIENCE);
    let took = made.elapsed();
    assert!(took < Duration::from_secs(15), "found only after {took:?}");
    scenario.assert_committed();
    drain(&bridge);
}

/// Tables that somebody made in another shape, and what must be said of each.
const MISSHAPEN: [(&str, &str, &str, &str); 3] = [
    ("ticks", "ReplacingMergeTree(version)", "bid Decimal(18, 8)", "bid Float64"),
    (
        "aggregates",
        "ReplacingMergeTree(version)",
        "ORDER BY (symbol, timeframe, timestamp)",
        "ORDER BY (symbol, timestamp)",
    ),
    (
        "external_fred_economic",
        "ReplacingMergeTree(version)",
        "ReplacingMergeTree(version)",
        "MergeTree",
    ),
];

/// What each of them must be called.
fn complaints() -> [&'static str; 3] {
    [
        "table ticks, column bid: has type Float64, must be Decimal(18, 8)",
        "table aggregates: sorted by (symbol, timestamp), must be ORDER BY (symbol, timeframe, \
         timestamp)",
        "table external_fred_economic: engine is MergeTree, must be ReplacingMergeTree(version)",
    ]
}

/// The statement that `init` would run for a table.
fn ddl(scenario: &Scenario, table: &str) -> String {
    let said = run_command(scenario, &["init", "--dry-run"]);
    let name = format!(" {}.{table}\n", scenario.database());
    let statements = said.out.split(";\n");
    let found = statements
        .map(str::trim)
        .find(|text| text.starts_with("CREATE TABLE") && text.contains(&name));
    found.expect("init creates it").to_owned()
}

#[test]
fn tables_of_another_shape_are_refused_by_name_while_the_other_routes_flow() {
    let scenario = Scenario::new("misshapen", &clickhouse().url());
    let database = scenario.database();
    scenario.query(&format!("CREATE DATABASE {database}")).unwrap();
    for (table, _, right, wrong) in MISSHAPEN {
        let ddl = ddl(&scenario, table);
        let misshapen = ddl.replace(right, wrong);
        assert!(ddl != misshapen, "{ddl}");
        scenario.query(&misshapen).unwrap();
    }
    let assert_named = |said: &Said| {
        assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "{said:?}");
        for complaint in complaints() {
            let complaint = |line: &str| line.contains("PROBLEM") && line.contains(complaint);
            assert!(said.out.lines().any(complaint), "{}", said.out);
        }
    };
    assert_named(&run_command(&scenario, &["init"]));
    assert_named(&run_command(&scenario, &["check"]));

    let mut plan = scenario.plan(62, 4_000);
    plan.mix.kinds = [1; 8];
    plan.mix.bad = 0.0;
    let expected = produced(plan);
    let bridge = scenario.start(1);
    wait_for_reasons(&bridge, &complaints().map(str::to_owned));
    let is_refused = |kind: Kind| MISSHAPEN.iter().any(|(table, ..)| *table == kind.table());
    for kind in Kind::ALL {
        if !is_refused(kind) {
            scenario.wait_rows(kind.table(), expected.visible(kind));
        }
    }
    // What may not be written is not committed, and does not pile up as dead letters.
    scenario.wait_rows("dead_letters", 0);
    until(PATIENCE, "the other routes' commits", || {
        let status = bridge.status();
        let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
        let lag_of = |refused: bool| -> u64 {
            let topics = Kind::ALL.iter().filter(|kind| is_refused(**kind) == refused);
            let topics: Vec<_> = topics.map(|kind| expected.plan().topic(*kind)).collect();
            let lags = partitions.iter().filter(|partition| {
                topics.iter().any(|topic| partition["topic"] == topic.as_str())
            });
            lags.filter_map(|partition| partition["lag"].as_u64()).sum()
        };
        match (lag_of(false), lag_of(true)) {
            (0, 1_000..) => Ok(()),
            lags => Err(format!("lag of good and refused routes: {lags:?}")),
        }
    });
    for (table, ..) in MISSHAPEN {
        let count = format!("SELECT count() FROM {database}.{table}");
        assert_eq!(scenario.query(&count).unwrap(), "0\n", "{table}");
        scenario.query(&format!("DROP TABLE {database}.{table} SYNC")).unwrap();
    }
    // Once they are as they must be, it flows, without a restart.
    scenario.init();
    scenario.assert_exact(&expected, PATIENCE);
    scenario.assert_committed();
    bridge.wait_ready();
    drain(&bridge);
}
