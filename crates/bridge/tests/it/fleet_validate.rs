//! `data-bridge validate`: passes on a sound fleet and leaves it as it was, names what is wrong
//! with one that is not.

use std::path::Path;
use std::process::{Command, Output};

use data_bridge_stack::health::http_get;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::Value;

use crate::by_hand::run_command;
use crate::fleet_stage::{Fleet, is_alive, read_state, refused, signal, text};
use crate::world::{PATIENCE, Scenario, binary, clickhouse, until};

/// Its instances fill up with few rows, and an insert that is slowed down takes 3 s.
fn scenario() -> Scenario {
    let more = ", insert_timeout_ms: 5000".to_owned();
    let scenario = Scenario::new("fleet_validate", &clickhouse().url());
    Scenario { clickhouse_more: more, ..scenario }.with("backpressure", "{ max_rows: 3000 }")
}

/// Views that make inserts slow.
fn slow_views(scenario: &Scenario) -> String {
    let query = format!(
        "SELECT count() FROM system.tables WHERE database = '{}' AND name LIKE '%slow%'",
        scenario.database()
    );
    scenario.query(&query).unwrap()
}

fn names(page: &Value, outcome: &str) -> Vec<String> {
    let lines = page["lines"].as_array().expect("lines").iter();
    let such = lines.filter(|line| line["outcome"] == outcome);
    such.map(|line| line["name"].as_str().expect("a name").to_owned()).collect()
}

fn validate(fleet: &Fleet, json: &Path, more: &[&str]) -> (Output, Value) {
    let file = json.to_str().expect("UTF-8");
    let all = [&["validate", "--messages", "6000", "--json", file], more].concat();
    let output = fleet.command(&all);
    let page = std::fs::read_to_string(json).unwrap_or_default();
    (output, serde_json::from_str(&page).unwrap_or_default())
}

#[test]
fn a_sound_fleet_passes_and_is_as_it_was_and_what_is_wrong_with_another_is_named() {
    let scenario = scenario();
    let fleet = Fleet::of(&scenario, 3, &[]);
    let json = scenario.folder.join("result.json");

    let plan = fleet.succeeds(&["validate", "--plan", "--seconds", "0"]);
    assert!(plan.contains("fail-over: one instance is stopped") && plan.contains("VALIDATE."));
    assert!(!plan.contains("passed"), "{plan}");

    let pids = fleet.pids();
    // What a machine that runs other tests beside can keep up with.
    let easy = ["--rate", "300", "--seconds", "6", "--p99", "30000"];
    let (output, page) = validate(&fleet, &json, &easy);
    let said = text(&output);
    println!("{said}");
    // These two are of the machine, with whatever else it runs.
    let failed = names(&page, "failed");
    let of_the_machine = ["throughput", "inserts, mean"];
    assert!(failed.iter().all(|name| of_the_machine.contains(&name.as_str())), "{page:#}");
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())), "{said}");
    assert_eq!(names(&page, "not_run"), [""; 0]);
    assert_eq!(page["lines"].as_array().map(Vec::len), Some(12), "{page:#}");
    as_before(&fleet, &scenario);
    let now = fleet.pids();
    assert_eq!((pids[&1], pids[&2]), (now[&1], now[&2]), "only the last is stopped");

    from_elsewhere_it_does_harm_only_when_told_to(&fleet, &scenario, &json);
    interrupted_it_puts_back_what_it_changed(&fleet, &scenario);
    copies_that_stay_are_named(&fleet, &scenario, &json);
    a_stranger_and_a_frozen_one_are_named(&fleet, &scenario, &json);
    fleet.down();
}

/// As many instances as before, each with its share, and inserts as quick as they were. Asked
/// themselves: the hub knows a moment later what a new process says.
fn as_before(fleet: &Fleet, scenario: &Scenario) {
    until(PATIENCE, "three to be wanted", || {
        let page = fleet.fleet();
        if page["supervisor"]["target"] == 3 { Ok(()) } else { Err(page.to_string()) }
    });
    for number in 1..=3 {
        until(PATIENCE, &format!("instance {number} to be ready"), || {
            let page = http_get(fleet.port + number, "/api/status").unwrap_or_default();
            if page.contains(r#""ready":true"#) { Ok(()) } else { Err(page) }
        });
    }
    fleet.wait_ready(3);
    fleet.wait_shares(&[16, 16, 16]);
    assert_eq!(slow_views(scenario).trim(), "0");
}

/// As on another machine: nothing but URLs is known of the fleet.
fn from_elsewhere_it_does_harm_only_when_told_to(fleet: &Fleet, scenario: &Scenario, json: &Path) {
    let file = json.to_str().expect("UTF-8");
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let validate = |more: &[&str]| {
        let all = ["validate", "--messages", "6000", "--seconds", "0", "--json", file];
        let said = run_command(scenario, &[&all[..], more].concat());
        let page = std::fs::read_to_string(json).unwrap_or_default();
        let page: Value = serde_json::from_str(&page).unwrap_or_default();
        assert_eq!(said.code, Some(0), "{more:?}: {}{}", said.out, said.err);
        page
    };
    let hub = ["--hub", &url(fleet.port)];
    let pids = fleet.pids();
    let harm = ["fail-over, killed", "fail-over, stopped", "back-pressure"];
    assert_eq!(names(&validate(&hub), "not_run"), harm);
    let each = [1, 2, 3].map(|number| url(fleet.port + number));
    let each = each.iter().flat_map(|url| ["--instance", url]).collect::<Vec<_>>();
    assert_eq!(names(&validate(&each), "not_run"), harm);
    assert_eq!(fleet.pids(), pids, "nobody was to be stopped");

    let state = read_state(&fleet.state);
    let token = format!("http.token={}", state["token"].as_str().expect("a token"));
    let page = validate(&[&hub[..], &["--disruptive", "--set", &token]].concat());
    assert_eq!(names(&page, "not_run"), harm[..1], "{page:#}");
    assert_eq!(names(&page, "failed"), [""; 0], "{page:#}");
    as_before(fleet, scenario);
    let now = fleet.pids();
    assert_eq!((pids[&1], pids[&2]), (now[&1], now[&2]), "only the last is stopped");
    assert_ne!(pids[&3], now[&3]);
}

fn interrupted_it_puts_back_what_it_changed(fleet: &Fleet, scenario: &Scenario) {
    let mut command = Command::new(binary());
    command.args(["validate", "--messages", "600", "--seconds", "0", "--config"]);
    command.arg(&fleet.config).arg("--state-dir").arg(&fleet.state).env("NO_COLOR", "1");
    let log = scenario.folder.join("interrupted.log");
    let process = Process::spawn("validate", command, &log, Lifetime::WithStarter).unwrap();
    let leaving = until(PATIENCE, "one instance to be taken away", || {
        let target = fleet.fleet()["supervisor"]["target"].clone();
        let is_less = target == 2;
        let text = || format!("{target}\n{}", process.log_tail());
        if is_less { Ok(fleet.pids().get(&3).copied()) } else { Err(text()) }
    });
    signal("INT", process.pid());
    let status = process.wait_exit(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(1), "{}", process.log_tail());
    assert!(process.log_tail().contains("interrupted"), "{}", process.log_tail());
    until(PATIENCE, "another third instance", || match fleet.pids().get(&3) {
        Some(pid) if Some(*pid) != leaving => Ok(()),
        other => Err(format!("{other:?}")),
    });
    as_before(fleet, scenario);
}

/// A table of the same shape whose engine keeps every copy takes the place of `ticks`. An instance
/// looks at a table before its first row, so each has written some by then.
fn copies_that_stay_are_named(fleet: &Fleet, scenario: &Scenario, json: &Path) {
    let (output, page) = validate(fleet, json, &["--harmless", "--seconds", "0"]);
    assert!(output.status.success() && page["holds"] == true, "{}", text(&output));
    assert_eq!(names(&page, "passed").len(), 4, "{page:#}");
    let database = scenario.database();
    let ask = |query: &str| scenario.query(&query.replace("DB", &database)).unwrap();
    ask("CREATE TABLE DB.copies AS DB.ticks ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) \
         ORDER BY (symbol, timestamp, event_id)");
    ask("EXCHANGE TABLES DB.ticks AND DB.copies");
    let (output, page) = validate(fleet, json, &["--harmless", "--seconds", "0"]);
    ask("EXCHANGE TABLES DB.ticks AND DB.copies");
    let cause = format!("{database}.ticks is a MergeTree, which keeps every copy");
    refused(&output, 1, &["duplicates", "1000 rows are visible twice", &cause]);
    assert_eq!(names(&page, "failed"), ["duplicates"], "{page:#}");
    assert_eq!(page["holds"], false);
}

/// An instance of another group registers with the fleet's hub, and one of the fleet's freezes.
fn a_stranger_and_a_frozen_one_are_named(fleet: &Fleet, scenario: &Scenario, json: &Path) {
    let stranger = {
        let config = scenario.config(4, 0);
        let hub = format!("hub.url=http://127.0.0.1:{}", fleet.port);
        let listen = format!("http.listen=127.0.0.1:{}", fleet.port + 4);
        let mut command = Command::new(binary());
        command.args(["run", "--set", "kafka.group_id=stranger", "--set", &hub, "--set", &listen]);
        command.arg("--config").arg(config).env("NO_COLOR", "1");
        let log = scenario.folder.join("stranger.log");
        Process::spawn("stranger", command, &log, Lifetime::WithStarter).unwrap()
    };
    until(PATIENCE, "the hub to see the stranger", || {
        let page = fleet.fleet();
        let up = page["totals"]["ready"].as_u64();
        if up == Some(4) { Ok(()) } else { Err(format!("{page}\n{}", stranger.log_tail())) }
    });
    let frozen = fleet.pids()[&2];
    signal("STOP", frozen);
    let (output, page) = validate(fleet, json, &["--seconds", "0"]);
    signal("CONT", frozen);
    stranger.kill().unwrap();
    let words = ["is in group stranger", "fleet_validate-1-2 does not answer", "frozen"];
    refused(&output, 1, &words);
    assert_eq!(names(&page, "failed")[0], "partition assignment", "{page:#}");
    // Nothing is stopped where something is wrong already.
    assert!(names(&page, "not_run").contains(&"back-pressure".to_owned()), "{page:#}");
    assert!(is_alive(frozen));
    assert_eq!(fleet.fleet()["supervisor"]["target"], 3);
    println!("{}", text(&output));
}
