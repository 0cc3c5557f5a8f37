//! Instances join and leave while rows flow and buffers are half full.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;
use data_bridge_lab::proxy::Fault;

use crate::flow::{self, Commits, beside, finish, ticks, wait_shares};
use crate::world::{PATIENCE, Scenario, clickhouse, proxy_to, until};

const MESSAGES: u64 = 30_000;
const RATE: u32 = 1_000;

/// Rows wait longer than usual, so that every revocation finds some.
fn half_full(name: &str, protocol: &str) -> Scenario {
    Scenario::new(name, &clickhouse().url())
        .with("kafka", protocol)
        .with("batch", "{ max_age_ms: 300 }")
}

/// 2 → 3 → 2 → 3 → 2 instances under load; commits are held against rows all the while.
fn joins_and_leaves(scenario: &Scenario, seed: u64, under_load: impl FnOnce()) {
    scenario.init();
    let generator = ticks(scenario, seed, MESSAGES);
    let expected = Expected::of(&generator).expect("the model reads every good message");
    assert_eq!(
        expected.visible(Kind::Tick) + expected.dead_letters(),
        MESSAGES,
        "each message leads to a row of its own"
    );
    let (first, second) = (scenario.start(1), scenario.start(2));
    wait_shares(&[&first, &second], &[24, 24]);
    under_load();
    let moves = AtomicU64::new(0);
    let mut commits = Commits::of(scenario, &moves);
    // Nobody joins or leaves before the group has got on.
    let get_on = || {
        let before = moves.load(Ordering::Relaxed);
        until(PATIENCE, "commits of every partition", || match moves.load(Ordering::Relaxed) {
            now if now >= before + 6 => Ok(()),
            now => Err(format!("{now} commits")),
        });
    };
    let work = || {
        for _ in 0..2 {
            let third = scenario.start(3);
            wait_shares(&[&first, &second, &third], &[16, 16, 16]);
            get_on();
            third.end();
            wait_shares(&[&first, &second], &[24, 24]);
            get_on();
        }
    };
    flow::under_load(&generator, RATE, || beside(|| commits.look(), work));
    let moved = moves.load(Ordering::Relaxed);
    assert!(moved >= 4 * 6, "only {moved} commits seen");
    finish(scenario, &[first, second], &expected);
    commits.look();
}

#[test]
fn members_that_join_and_leave_lose_and_double_nothing_by_range() {
    joins_and_leaves(&half_full("rebalance_range", "assignor: range"), 601, || {});
}

#[test]
fn members_that_join_and_leave_lose_and_double_nothing_by_cooperative_sticky() {
    let scenario = half_full("rebalance_cooperative", "assignor: cooperative-sticky");
    joins_and_leaves(&scenario, 602, || {});
}

/// The broker assigns (KIP-848).
#[test]
fn members_that_join_and_leave_lose_and_double_nothing_by_the_consumer_protocol() {
    let scenario = half_full("rebalance_consumer", "group_protocol: consumer");
    joins_and_leaves(&scenario, 604, || {});
}

/// ClickHouse is so slow that buffers are full and all partitions paused while members
/// join and leave; what is assigned anew is paused as well, and nothing is lost or sent twice.
#[test]
fn members_that_join_and_leave_under_back_pressure_lose_and_double_nothing() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = Scenario::new("rebalance_full", &clickhouse().url())
        .with("kafka", "assignor: cooperative-sticky")
        .with("batch", "{ max_age_ms: 300, max_rows: 500 }")
        .with("backpressure", "{ max_rows: 500 }")
        .through(&proxy);
    joins_and_leaves(&scenario, 605, || {
        proxy.set(Fault::Delay(Duration::from_millis(150)));
    });
}

/// A revocation waits for 300 ms, an insert takes 800 ms: what is under way when partitions move
/// belongs to the next owner, who reads it again.
#[test]
fn inserts_that_outlast_a_revocation_commit_nothing_that_is_not_durable() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = half_full("rebalance_slow", "assignor: range")
        .with("kafka", "revoke_ms: 300")
        .through(&proxy);
    joins_and_leaves(&scenario, 603, || {
        proxy.set(Fault::Delay(Duration::from_millis(400)));
    });
}
