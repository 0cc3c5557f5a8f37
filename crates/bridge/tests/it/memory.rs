//! Resident memory: little when idle, and within its limit whatever waits in Kafka.

use std::time::{Duration, Instant};

use data_bridge_lab::plan::Kind;
use data_bridge_lab::proxy::Fault;

use crate::by_hand::{Sender, drain, proxy_before};
use crate::world::{PATIENCE, Scenario, clickhouse, pause, until};

const MIB: u64 = 1_048_576;

#[test]
fn an_idle_instance_takes_less_than_60_mb() {
    let scenario = Scenario::new("idle_memory", &clickhouse().url());
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let mut highest = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        highest = highest.max(bridge.rss());
        pause(Duration::from_millis(20));
    }
    println!("idle: {} KiB", highest / 1_024);
    assert!(highest < 60_000_000, "{highest} bytes");
    drain(&bridge);
}

/// Three hundred thousand messages of about 800 bytes: some 240 MB wait, four times the budget.
const MESSAGES: u64 = 300_000;

#[test]
fn with_any_lag_memory_stays_within_budget_and_64_mib() {
    let proxy = proxy_before(clickhouse());
    let scenario = Scenario::new("lag_memory", &proxy.url())
        .with("backpressure", "{ max_bytes: 64MiB }")
        .with("batch", "{ max_bytes: 16MiB }");
    scenario.init();
    let sender = Sender::new();
    let topic = format!("{}{}", scenario.prefix(), Kind::Tick.topic());
    let padding = "x".repeat(700);
    for number in 0..MESSAGES {
        let time = 1_706_198_400_000 + number;
        let tick = format!(
            r#"{{"symbol":"S{}","bid":1.{number},"ask":2,"timestamp_ms":{time},"padding":"{padding}"}}"#,
            number % 1_000,
        );
        sender.text(&topic, i32::try_from(number % 6).unwrap(), &tick);
    }
    sender.flush();

    let limit = (64 + 64) * MIB;
    let bridge = scenario.start(1);
    let mut highest = 0;
    let mut sample = || {
        highest = highest.max(bridge.rss());
        assert!(highest <= limit, "{} MiB", highest / MIB);
    };
    // It begins to drain, then ClickHouse is away until the budget is full, and longer.
    until(PATIENCE, "the first rows", || {
        sample();
        match bridge.status()["ticks_saved"].as_u64() {
            Some(1..) => Ok(()),
            saved => Err(format!("{saved:?} rows")),
        }
    });
    proxy.set(Fault::Refuse);
    until(PATIENCE, "back-pressure", || {
        sample();
        let status = bridge.status();
        if status["backpressure"] == true { Ok(()) } else { Err(format!("{status}")) }
    });
    let full = Instant::now();
    while full.elapsed() < Duration::from_secs(2) {
        sample();
        pause(Duration::from_millis(10));
    }
    proxy.set(Fault::Pass);
    until(PATIENCE, "all rows", || {
        sample();
        match bridge.status()["ticks_saved"].as_u64() {
            Some(MESSAGES..) if bridge.lag() == 0 => Ok(()),
            saved => Err(format!("{saved:?} rows, lag {}", bridge.lag())),
        }
    });
    scenario.wait_rows("ticks", MESSAGES);
    scenario.assert_committed();
    println!("with lag: at most {} MiB of {}", highest / MIB, limit / MIB);
    drain(&bridge);
}
