//! Stopping while an insert is slow, stopping twice, and stopping when it cannot be waited for.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::proxy::{Fault, Proxy};
use data_bridge_stack::process::Process;

use crate::flow::{Commits, finish, ticks, wait_shares};
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, produce, proxy_to, until};

const MESSAGES: u64 = 600;
/// So long that an instance which does not leave the group is noticed.
const LONG_SESSION: &str = "session_timeout_ms: 30000";

fn scenario(name: &str, proxy: &Proxy) -> Scenario {
    Scenario::new(name, &clickhouse().url()).with("kafka", LONG_SESSION).through(proxy)
}

/// An instance that has taken all messages, none of which can be durable under this fault yet.
fn laden(scenario: &Scenario, proxy: &Proxy, fault: Fault, generator: &Generator) -> Instance {
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    proxy.set(fault);
    produce(generator, 0..MESSAGES, Pace::Full);
    until(PATIENCE, "all messages to be taken", || {
        let status = bridge.status();
        if status["kafka_messages"] == MESSAGES { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(
        Commits::of(scenario, &AtomicU64::new(0)).read().values().sum::<i64>(),
        0,
        "committed before anything is durable"
    );
    bridge
}

fn wait_stopping(bridge: &Instance) {
    until(PATIENCE, "the stop to begin", || {
        let tail = bridge.tail();
        if tail.contains("stopping") { Ok(()) } else { Err(tail) }
    });
}

/// A slow insert is waited for, committed, and the group is left: exit 0.
fn drains(name: &str, seed: u64, signal: impl Fn(&Process)) {
    let proxy = proxy_to(clickhouse().port());
    let scenario = scenario(name, &proxy);
    let generator = ticks(&scenario, seed, MESSAGES);
    // Held on the way there and on the way back.
    let slow = Fault::Delay(Duration::from_secs(2));
    let bridge = laden(&scenario, &proxy, slow, &generator);
    signal(&bridge.process);
    let status = bridge.process.wait_exit(Duration::from_secs(20));
    let status = status.unwrap_or_else(|| panic!("still running\n{}", bridge.tail()));
    assert_eq!(status.code(), Some(0), "{}", bridge.tail());
    scenario.assert_committed();
    proxy.set(Fault::Pass);
    let expected = Expected::of(&generator).expect("the model reads every good message");
    scenario.assert_exact(&expected, PATIENCE);

    // Who has left the group holds nobody up.
    let began = Instant::now();
    let next = scenario.start(2);
    wait_shares(&[&next], &[48]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "joined after {took:?}");
    finish(&scenario, &[next], &expected);
}

#[test]
fn sigterm_waits_for_a_slow_insert_and_leaves_the_group() {
    drains("stop_sigterm", 301, Process::terminate);
}

#[test]
fn sigint_waits_for_a_slow_insert_and_leaves_the_group() {
    drains("stop_sigint", 302, Process::interrupt);
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let proxy = proxy_to(clickhouse().port());
    // Static, so that the next one need not wait for the end of the session.
    let scenario = scenario("stop_twice", &proxy).with("kafka", "static_membership: true");
    let generator = ticks(&scenario, 303, MESSAGES);
    let bridge = laden(&scenario, &proxy, Fault::BlackHole, &generator);
    bridge.process.terminate();
    wait_stopping(&bridge);
    assert!(bridge.process.exited().is_none(), "{}", bridge.tail());
    let asked = Instant::now();
    bridge.process.interrupt();
    let status = bridge.process.wait_exit(Duration::from_secs(10));
    let took = asked.elapsed();
    let status = status.unwrap_or_else(|| panic!("still running\n{}", bridge.tail()));
    assert_eq!(status.code(), Some(1), "{}", bridge.tail());
    assert!(took < Duration::from_secs(1), "ended after {took:?}");

    proxy.set(Fault::Pass);
    let next = scenario.start(1);
    finish(&scenario, &[next], &Expected::of(&generator).unwrap());
}

#[test]
fn a_stop_beyond_the_grace_time_fails_and_loses_nothing() {
    let proxy = proxy_to(clickhouse().port());
    let mut scenario = scenario("stop_grace", &proxy).with("shutdown", "{ grace_ms: 1500 }");
    scenario.clickhouse_more = ", insert_timeout_ms: 1500".to_owned();
    let generator = ticks(&scenario, 304, MESSAGES);
    let bridge = laden(&scenario, &proxy, Fault::BlackHole, &generator);
    let asked = Instant::now();
    let status = bridge.terminate(Duration::from_secs(20));
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(1), "{}", bridge.tail());
    assert!(took >= Duration::from_millis(1_500), "gave up after {took:?}");
    assert!(took < Duration::from_secs(5), "ended after {took:?}");
    let committed = Commits::of(&scenario, &AtomicU64::new(0)).read();
    assert_eq!(committed.values().sum::<i64>(), 0, "{committed:?}");

    // It left the group all the same: the next one begins at once, where the first one stood.
    proxy.set(Fault::Pass);
    let began = Instant::now();
    let next = scenario.start(2);
    wait_shares(&[&next], &[48]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "joined after {took:?}");
    finish(&scenario, &[next], &Expected::of(&generator).unwrap());
}
