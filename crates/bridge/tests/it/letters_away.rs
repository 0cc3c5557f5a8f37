//! `dead_letters` cannot be written: what did not decode stays uncommitted, and is not lost.

use std::sync::atomic::AtomicU64;

use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;

use crate::flow::{Commits, finish, ticks};
use crate::world::{PATIENCE, Scenario, clickhouse, produce, until};

const MESSAGES: u64 = 6_000;

#[test]
fn no_commit_passes_a_dead_letter_that_cannot_be_written() {
    let scenario = Scenario::new("letters_away", &clickhouse().url())
        .with("retry", "{ initial_ms: 100, max_ms: 500 }");
    scenario.init();
    let generator = ticks(&scenario, 28, MESSAGES);
    let expected = Expected::of(&generator).unwrap();
    assert!(expected.dead_letters() >= 5, "{} bad messages", expected.dead_letters());
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let database = scenario.database();
    let rename = |from: &str, to: &str| {
        let statement = format!("RENAME TABLE {database}.{from} TO {database}.{to}");
        scenario.query(&statement).unwrap();
    };
    rename("dead_letters", "away");
    produce(&generator, 0..MESSAGES, Pace::Full);
    let said = bridge.wait_reason(&["dead_letters", "UNKNOWN_TABLE"]);
    println!("{said}");
    // Good rows go on while there is room, up to the first letter of each partition and beyond.
    until(PATIENCE, "good rows", || match bridge.status()["ticks_saved"].as_u64() {
        Some(1..) => Ok(()),
        saved => Err(format!("{saved:?} rows")),
    });
    bridge.kill();
    rename("away", "dead_letters");

    let moves = AtomicU64::new(0);
    let mut commits = Commits::of(&scenario, &moves);
    let committed: i64 = commits.read().values().sum();
    assert!(committed < i64::try_from(MESSAGES).unwrap(), "{committed} are committed");
    commits.look();
    finish(&scenario, &[scenario.start(1)], &expected);
}
