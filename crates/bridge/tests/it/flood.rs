//! Schema drift: a topic whose messages cannot be read any more does not drain into `dead_letters`.

use std::time::Duration;

use data_bridge_lab::plan::Kind;

use crate::by_hand::{Sender, drain, run_command};
use crate::world::{PATIENCE, Scenario, clickhouse, pause, until};

/// Ticks whose publisher calls `bid` something else from now on, and candles as they were.
fn send(scenario: &Scenario, sender: &Sender, kind: Kind, count: u64, from: u64) {
    let topic = format!("{}{}", scenario.prefix(), kind.topic());
    for number in from..from + count {
        let ms = 1_706_198_400_000 + number * 60_000;
        let text = match kind {
            Kind::Tick => {
                format!(r#"{{"symbol":"EUR/USD","bit":1,"ask":1.1,"timestamp_ms":{ms}}}"#)
            }
            _ => format!(
                r#"{{"symbol":"EUR/USD","timeframe":"1m","timestamp_ms":{ms},"open":1,"high":2,"low":1,"close":2}}"#
            ),
        };
        sender.text(&topic, i32::try_from(number % 6).expect("few"), &text);
    }
    sender.flush();
}

fn letters(scenario: &Scenario) -> u64 {
    let query = format!("SELECT count() FROM {}.dead_letters FINAL", scenario.database());
    scenario.query(&query).unwrap().trim().parse().unwrap()
}

#[test]
fn a_flood_of_dead_letters_is_held_says_why_and_passes_when_accepted() {
    let scenario = Scenario::new("flood", &clickhouse().url())
        .with("dead_letters", "{ flood_rows: 200, flood_share: 0.5, flood_window_s: 60 }");
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let sender = Sender::new();
    send(&scenario, &sender, Kind::Tick, 300, 0);
    let said = bridge.wait_reason(&["route ticks is in flood", "dlq accept ticks"]);
    println!("{said}");
    assert!(!said.contains("aggregates"), "{said}");
    assert_eq!(bridge.metric("data_bridge_flooded"), 1);
    scenario.wait_rows("dead_letters", 300);

    // Whatever comes now is held to ten letters per second; other routes are not.
    send(&scenario, &sender, Kind::Tick, 5_000, 300);
    send(&scenario, &sender, Kind::Candle, 2_000, 0);
    scenario.wait_rows("aggregates", 2_000);
    pause(Duration::from_secs(3));
    let held = letters(&scenario);
    assert!(held <= 300 + 300, "{held} letters in a flood of three seconds");
    assert_eq!(bridge.get("/healthz").unwrap(), "ok\n");

    let url = format!("http://127.0.0.1:{}", bridge.port);
    let accept = |route, more: &[&str]| {
        run_command(&scenario, &[&["dlq", "accept", route, "--url", url.as_str()], more].concat())
    };
    let said = accept("aggregates", &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.starts_with("no flood"), "{said:?}");
    let said = accept("ticks", &["--set", "http.token=guess"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("REFUSED") && said.out.contains("401"), "{said:?}");
    assert!(bridge.metric("data_bridge_flooded") == 1);
    let said = accept("ticks", &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("accepted"), "{said:?}");
    scenario.wait_rows("dead_letters", 5_300);
    bridge.wait_ready();
    until(PATIENCE, "everything to be committed", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
    drain(&bridge);
}

#[test]
fn rows_that_are_all_refused_are_held_and_arrive_when_the_constraint_is_gone() {
    let scenario = Scenario::new("flood_refused", &clickhouse().url())
        .with("dead_letters", "{ flood_rows: 100, flood_share: 0.5, flood_window_s: 60 }");
    scenario.init();
    let database = scenario.database();
    let alter = |what: &str| {
        scenario.query(&format!("ALTER TABLE {database}.aggregates {what}")).unwrap();
    };
    alter("ADD CONSTRAINT never CHECK open > 5");
    let sender = Sender::new();
    send(&scenario, &sender, Kind::Candle, 4_000, 0);
    let bridge = scenario.start(1);
    let said = bridge.wait_reason(&["route aggregates is in flood"]);
    println!("{said}");
    pause(Duration::from_secs(2));
    let held = letters(&scenario);
    assert!(held <= 100 + 200, "{held} letters");
    alter("DROP CONSTRAINT never");
    bridge.wait_ready();
    until(PATIENCE, "every candle as a row or as a letter", || {
        let rows = format!("SELECT count() FROM {database}.aggregates FINAL");
        let rows: u64 = scenario.query(&rows).unwrap().trim().parse().unwrap();
        match rows + letters(&scenario) {
            4_000 => Ok(()),
            other => Err(format!("{rows} rows, {other} in all")),
        }
    });
    drain(&bridge);
}
