//! An instance that stands still for longer than its session, and comes back.

use data_bridge_lab::model::Expected;
use data_bridge_lab::proxy::Fault;

use crate::flow::{busier_first, finish, ticks, under_load, wait_shares};
use crate::world::{PATIENCE, Scenario, clickhouse, proxy_to, until};

const MESSAGES: u64 = 20_000;
const RATE: u32 = 1_000;

/// Frozen while its batches are on their way, another takes over and moves on; thawed,
/// its commits are refused or never made, its late inserts collapse, and it joins again.
fn freezes_and_comes_back(scenario: Scenario, seed: u64) {
    let proxy = proxy_to(clickhouse().port());
    let scenario = scenario.through(&proxy);
    scenario.init();
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    let (frozen, other) = busier_first(first, second);
    let generator = ticks(&scenario, seed, MESSAGES);
    under_load(&generator, RATE, || {
        // Something is always on its way to ClickHouse, or back.
        proxy.set(Fault::Delay(std::time::Duration::from_millis(300)));
        until(PATIENCE, "rows to be under way", || {
            let status = frozen.status();
            let rows = status["buffered_rows"].as_u64().unwrap_or(0);
            if rows > 50 { Ok(()) } else { Err(status.to_string()) }
        });
        frozen.process.freeze();
        wait_shares(&[&other], &[48]);
        let before = other.metric("data_bridge_commits_total");
        until(PATIENCE, "the other to move on", || {
            let now = other.metric("data_bridge_commits_total");
            if now > before + 3 { Ok(()) } else { Err(format!("{now} commits")) }
        });
        frozen.process.thaw();
        wait_shares(&[&frozen, &other], &[24, 24]);
        proxy.set(Fault::Pass);
        frozen.wait_ready();
    });
    let expected = Expected::of(&generator).expect("the model reads every good message");
    finish(&scenario, &[frozen, other], &expected);
}

#[test]
fn a_frozen_member_collapses_by_range() {
    let scenario = Scenario::new("zombie_range", &clickhouse().url())
        .with("kafka", "session_timeout_ms: 6000");
    freezes_and_comes_back(scenario, 801);
}

#[test]
fn a_frozen_member_collapses_by_cooperative_sticky() {
    let scenario = Scenario::new("zombie_cooperative", &clickhouse().url())
        .with("kafka", "assignor: cooperative-sticky\nsession_timeout_ms: 6000");
    freezes_and_comes_back(scenario, 802);
}

#[test]
fn a_frozen_member_collapses_by_the_consumer_protocol() {
    let scenario = Scenario::new("zombie_consumer", &clickhouse().url())
        .with("kafka", "group_protocol: consumer\nsession_timeout_ms: 6000");
    freezes_and_comes_back(scenario, 803);
}
