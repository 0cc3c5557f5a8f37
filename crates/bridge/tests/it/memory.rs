//! Resident memory: little when idle, and within its limit whatever waits in Kafka.

use std::ops::Range;
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

/// What a process may have beyond its budget.
const BEYOND: u64 = 64 * MIB;
/// What it may keep once the lag is gone, whatever the budget.
const AFTERWARDS: u64 = 100 * MIB;
/// Pages that the allocator touches late.
const FLAT: u64 = 8 * MIB;

#[test]
fn with_any_lag_memory_stays_within_budget_and_64_mib() {
    // About 1,100 bytes each: 165 and 385 MB.
    hold(64, "{ max_bytes: 16MiB }", 150_000);
    hold(256, "{}", 350_000);
}

/// ClickHouse takes a few rows, then nothing for a while, in which a lag beyond the budget builds up,
/// then all.
fn hold(budget: u64, batch: &str, messages: u64) {
    let proxy = proxy_before(clickhouse());
    let scenario = Scenario::new(&format!("lag_memory_{budget}"), &proxy.url())
        .with("backpressure", &format!("{{ max_bytes: {budget}MiB }}"))
        .with("batch", batch);
    scenario.init();
    let sender = Sender::new();
    let topic = format!("{}{}", scenario.prefix(), Kind::Tick.topic());
    let padding = "x".repeat(1_000);
    let send = |numbers: Range<u64>| {
        for number in numbers {
            let time = 1_706_198_400_000 + number;
            let tick = format!(
                r#"{{"symbol":"S{}","bid":1.{number},"ask":2,"timestamp_ms":{time},"padding":"{padding}"}}"#,
                number % 1_000,
            );
            sender.text(&topic, i32::try_from(number % 6).unwrap(), &tick);
        }
        sender.flush();
    };

    let limit = budget * MIB + BEYOND;
    send(0..1_000);
    let bridge = scenario.start(1);
    let mut highest = 0;
    let mut sample = || {
        let now = bridge.rss();
        highest = highest.max(now);
        assert!(highest <= limit, "{} MiB", highest / MIB);
        now
    };
    until(PATIENCE, "the first rows", || {
        sample();
        match bridge.status()["ticks_saved"].as_u64() {
            Some(1..) => Ok(()),
            saved => Err(format!("{saved:?} rows")),
        }
    });
    // ClickHouse is away until the budget is full, and longer.
    proxy.set(Fault::Refuse);
    send(1_000..messages);
    until(PATIENCE, "back-pressure", || {
        sample();
        let status = bridge.status();
        if status["backpressure"] == true { Ok(()) } else { Err(format!("{status}")) }
    });
    let full = Instant::now();
    let mut settled = None;
    while full.elapsed() < Duration::from_secs(3) {
        let now = sample();
        // The fetches under way still come.
        if full.elapsed() > Duration::from_secs(1) {
            let settled = *settled.get_or_insert(now);
            assert!(now <= settled + FLAT, "{} MiB, then {} MiB", settled / MIB, now / MIB);
        }
        pause(Duration::from_millis(10));
    }
    proxy.set(Fault::Pass);
    until(PATIENCE, "all rows", || {
        sample();
        match bridge.status()["ticks_saved"].as_u64() {
            Some(saved) if saved >= messages && bridge.lag() == 0 => Ok(()),
            saved => Err(format!("{saved:?} rows, lag {}", bridge.lag())),
        }
    });
    scenario.wait_rows("ticks", messages);
    scenario.assert_committed();
    println!("with lag: at most {} MiB of {}", highest / MIB, limit / MIB);
    until(PATIENCE, "the system has its memory back", || match bridge.rss() {
        now if now <= AFTERWARDS => Ok(()),
        now => Err(format!("{} MiB", now / MIB)),
    });
    drain(&bridge);
}
