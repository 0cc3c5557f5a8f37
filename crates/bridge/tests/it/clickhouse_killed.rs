//! ClickHouse dies under load.

use std::thread;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;

use crate::world::{PATIENCE, Scenario, own_clickhouse, produce, until};

const MESSAGES: u64 = 40_000;
/// Messages from one kill to the next.
const BETWEEN: u64 = 4_000;

#[test]
fn a_clickhouse_killed_again_and_again_has_each_event_once() {
    let mut server = own_clickhouse("clickhouse_killed_server");
    let scenario = Scenario::new("clickhouse_killed", &server.url())
        .with("batch", "{ max_age_ms: 10 }")
        .with("retry", "{ initial_ms: 50, max_ms: 300 }");
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let generator = Generator::try_new(scenario.plan(17, MESSAGES)).unwrap();
    let mut kills = 0;
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            produce(&generator, 0..MESSAGES, Pace::PerSecond(5_000.0));
        });
        while !load.is_finished() {
            let inserted = || bridge.metric("data_bridge_inserted_rows_total");
            let before = inserted();
            until(PATIENCE, "rows to flow", || {
                let enough = inserted() >= before + BETWEEN;
                if enough || load.is_finished() {
                    Ok(())
                } else {
                    Err(format!("{} rows inserted", inserted()))
                }
            });
            server.kill().unwrap();
            kills += 1;
            server.restart().unwrap();
        }
    });
    let expected = Expected::of(&generator).unwrap();
    let verdict = scenario.assert_exact(&expected, PATIENCE);
    let raw = verdict.total().raw_rows;
    let retries = bridge.metric("data_bridge_insert_retries_total");
    println!("{}; {kills} kills, {retries} retries, {raw} raw rows", verdict.line());
    assert!(kills >= 4, "only {kills} kills");
    assert!(retries > 0, "no insert met a dead server");
    scenario.assert_committed();
    bridge.wait_ready();
    bridge.end();
}
