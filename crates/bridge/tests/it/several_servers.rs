//! Several servers of ClickHouse: what one refuses or does not answer goes to the next, and a
//! `Distributed` table is written as one that stands before others.

use std::sync::atomic::{AtomicUsize, Ordering};

use data_bridge_lab::fake_clickhouse::Answer;
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::proxy::Fault;
use data_bridge_stack::port;

use crate::by_hand::run_command;
use crate::fake_tables::fake_with_tables;
use crate::world::{PATIENCE, Scenario, clickhouse, produce, proxy_to, until};

const SOON: (&str, &str) = ("retry", "{ initial_ms: 50, max_ms: 200 }");

#[test]
fn what_one_server_refuses_or_does_not_answer_goes_to_the_next() {
    let replica = fake_with_tables();
    let proxy = proxy_to(clickhouse().port());
    let mut scenario = Scenario::new("several_servers", &clickhouse().url()).with(SOON.0, SOON.1);
    scenario.init();
    scenario.clickhouse_url = format!("{}\", \"{}", replica.url(), proxy.url());
    let refused = AtomicUsize::new(0);
    replica.script(move |request| {
        // A replica that has lost its Keeper, then a proxy whose server is down.
        let refusals = [
            Answer::exception(242, "TABLE_IS_READ_ONLY", "Table is in readonly mode"),
            Answer::Http { status: 503, body: "no server available".to_owned() },
            Answer::exception(999, "KEEPER_EXCEPTION", "Session expired"),
        ];
        request
            .is_insert()
            .then(|| refusals[refused.fetch_add(1, Ordering::Relaxed) % refusals.len()].clone())
    });
    let bridge = scenario.start(1);
    let generator = Generator::try_new(scenario.plan(170, 9_000)).unwrap();
    produce(&generator, 0..3_000, Pace::Full);
    bridge.wait_ready();
    let asked = |more_than: usize| {
        until(PATIENCE, "inserts at the first server", || {
            let now = replica.inserts().len();
            if now > more_than { Ok(now) } else { Err(format!("{now}")) }
        })
    };
    let before = asked(0);

    // The second goes, comes back, and in between the first one refuses everything.
    proxy.set(Fault::Refuse);
    produce(&generator, 3_000..6_000, Pace::Full);
    asked(before + 3);
    proxy.set(Fault::Pass);
    produce(&generator, 6_000..9_000, Pace::Full);
    let verdict = scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    println!("{}", verdict.line());
    scenario.assert_committed();
    bridge.end();
}

#[test]
fn check_names_the_server_of_several_that_does_not_answer() {
    let mut scenario = Scenario::new("several_checked", &clickhouse().url());
    scenario.init();
    let nobody = format!("http://127.0.0.1:{}", port::free().unwrap());
    scenario.clickhouse_url = format!("{nobody}\", \"{}", clickhouse().url());
    let said = run_command(&scenario, &["check"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    for words in [
        &["warning", "clickhouse", &nobody, "cannot connect", "inserts go to the others"][..],
        &["ok", "clickhouse", &clickhouse().url(), "answers"],
        &["ok", "table db_several_checked.ticks at", &clickhouse().url()],
    ] {
        let is_said = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(said.out.lines().any(is_said), "{words:?}\n{}", said.out);
    }
}

#[test]
fn a_distributed_table_takes_rows_as_the_table_behind_it() {
    let scenario = Scenario::new("distributed", &clickhouse().url()).with(SOON.0, SOON.1);
    scenario.init();
    let database = scenario.database();
    let tables = ["ticks", "aggregates"];
    let stands_before = |table: &str, key: &str| {
        for statement in [
            format!("DROP TABLE IF EXISTS {database}.{table}"),
            format!(
                "CREATE TABLE {database}.{table} AS {database}.{table}_local \
                 ENGINE = Distributed('default', '{database}', '{table}_local', {key})"
            ),
        ] {
            scenario.query(&statement).unwrap();
        }
    };
    for table in tables {
        scenario
            .query(&format!("RENAME TABLE {database}.{table} TO {database}.{table}_local"))
            .unwrap();
        stands_before(table, "rand()");
    }
    let said = run_command(&scenario, &["check"]).out;
    assert!(said.contains("sharded by rand()"), "{said}");
    for table in tables {
        stands_before(table, "cityHash64(symbol)");
    }
    let bridge = scenario.start(1);
    let generator = Generator::try_new(scenario.plan(171, 5_000)).unwrap();
    produce(&generator, 0..5_000, Pace::Full);
    bridge.wait_ready();
    scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    let local =
        scenario.query(&format!("SELECT count() > 3000 FROM {database}.ticks_local")).unwrap();
    assert_eq!(local.trim(), "1");
    scenario.assert_committed();
    bridge.end();
}
