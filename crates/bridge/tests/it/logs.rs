//! How much an instance writes of itself when something fails a hundred times a second.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use data_bridge_lab::fake_clickhouse::Answer;
use data_bridge_lab::kafka::Pace;

use crate::fake_tables::{fake_with_tables, rows_of};
use crate::flow::ticks;
use crate::world::{PATIENCE, Scenario, produce, until};

/// Inserts that are refused before ClickHouse is mended.
const REFUSED: usize = 1_500;
const ROWS: usize = 2_000;

#[test]
fn an_insert_that_fails_again_and_again_writes_few_lines_and_counts_the_others() {
    let fake = fake_with_tables();
    let (refuses, refused) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let taken = Arc::new(AtomicUsize::new(0));
    let script = (Arc::clone(&refuses), Arc::clone(&refused), Arc::clone(&taken));
    fake.script(move |request| {
        let (refuses, refused, taken) = &script;
        if !request.is_insert() {
            return None;
        }
        if refuses.load(Ordering::Relaxed) {
            refused.fetch_add(1, Ordering::Relaxed);
            return Some(Answer::too_many_parts());
        }
        taken.fetch_add(rows_of(request), Ordering::Relaxed);
        Some(Answer::Ok)
    });
    let scenario = Scenario::new("logs", &fake.url()).with("retry", "{ initial_ms: 1, max_ms: 2 }");
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    produce(&ticks(&scenario, 808, ROWS as u64), 0..ROWS as u64, Pace::Full);
    until(PATIENCE, "refused inserts", || match refused.load(Ordering::Relaxed) {
        count if count >= REFUSED => Ok(()),
        count => Err(count.to_string()),
    });
    refuses.store(false, Ordering::Relaxed);
    until(PATIENCE, "the rows", || match taken.load(Ordering::Relaxed) {
        ROWS => Ok(()),
        rows => Err(rows.to_string()),
    });
    bridge.end();
    let log = fs::read_to_string(scenario.folder.join("bridge-1.log")).expect("it has a log");
    let failures = log.lines().filter(|line| line.contains("insert failed")).count();
    assert!((1..=100).contains(&failures), "{failures} lines for {REFUSED} failures");
    let lines = log.lines().count();
    assert!(lines <= 250, "{lines} lines:\n{log}");
    assert!(lines == log.lines().filter(|line| line.contains(" logs-1#1 ")).count(), "{log}");
    // All that is not written is counted by the next line of its kind, or by the heartbeat.
    for step in ["started", "ready", "stopped"] {
        assert!(log.contains(step), "no line says {step}:\n{log}");
    }
}
