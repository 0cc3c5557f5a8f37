//! A first start at the end of the topics, killed before anything is committed.

use std::sync::atomic::AtomicU64;

use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::proxy::Fault;

use crate::flow::{Commits, finish, ticks};
use crate::world::{PATIENCE, Scenario, clickhouse, produce, proxy_to, until};

const HISTORY: u64 = 1_000;
const MESSAGES: u64 = 3_000;

#[test]
fn what_is_produced_after_a_first_start_at_the_end_is_not_skipped() {
    let proxy = proxy_to(clickhouse().port());
    let mut scenario = Scenario::new("latest", &clickhouse().url()).through(&proxy);
    scenario.from_latest = true;
    scenario.init();
    // What was there before is none of its business.
    let history = ticks(&scenario, 401, HISTORY);
    produce(&history, 0..HISTORY, Pace::Full);

    let bridge = scenario.start(1);
    bridge.wait_ready();
    proxy.set(Fault::BlackHole);
    let generator = ticks(&scenario, 402, MESSAGES);
    produce(&generator, 0..MESSAGES / 2, Pace::Full);
    until(PATIENCE, "the messages to be taken", || {
        let status = bridge.status();
        if status["kafka_messages"] == MESSAGES / 2 { Ok(()) } else { Err(status.to_string()) }
    });
    bridge.kill();
    let commits = Commits::of(&scenario, &AtomicU64::new(0)).read();
    let begun: i64 = commits.values().sum();
    assert_eq!(begun, i64::try_from(HISTORY).unwrap(), "{commits:?}");

    // Nobody runs, and more comes.
    produce(&generator, MESSAGES / 2..MESSAGES, Pace::Full);
    proxy.set(Fault::Pass);
    let next = scenario.start(2);
    let expected = Expected::of(&generator).unwrap();
    finish(&scenario, &[next], &expected);
    let rows = scenario.query(&format!("SELECT count() FROM {}.ticks FINAL", scenario.database()));
    let visible = expected.visible(data_bridge_lab::plan::Kind::Tick);
    assert_eq!(rows.unwrap().trim(), visible.to_string(), "history was read");
}
