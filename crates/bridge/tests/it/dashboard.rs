//! The hub's page in a real browser: what it shows, whom it reaches, how soon it tells of a death.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_stack::cache::Cache;
use data_bridge_stack::port;

use crate::fleet_stage::{Fleet, read_state, wait_running};
use crate::flow::ticks;
use crate::hub::Hub;
use crate::world::{PATIENCE, Scenario, TOKEN, clickhouse, folder, kafka, produce, until};

/// More than any other dead letters, and than a list shows; a symbol that nobody should meet in a page: markup, and what colours a terminal.
const HOSTILES: i32 = 60;
const HOSTILE: &str = "<img src=x onerror='alert(1)'>\u{1b}[31m";

/// Runs a script of `tests/browser` beside what it needs, which is installed once by its lock file and
/// kept in the cache.
#[track_caller]
fn browse(script: &str, arguments: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let cache = Cache::from_env().expect("there is a place for the cache");
    let home = cache.ensure("browser-playwright-1.56.1-axe-4.11.0", |home| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), home.join(file))?;
        }
        let output = Command::new("npm")
            .args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(home)
            .output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    });
    let home = home.expect("npm is there: it brought the engine");
    // Tests run at once: none may meet half a file of another.
    for file in [script, "page.mjs"] {
        let copied = home.join(format!("{file}-for-{script}"));
        fs::copy(source.join(file), &copied).unwrap();
        fs::rename(copied, home.join(file)).unwrap();
    }
    let output = Command::new("node").arg(home.join(script)).args(arguments).output();
    let output = output.expect("node is there: npm comes with it");
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{why}");
    println!("{said}");
}

/// Continuous integration has Chromium; at home everything else is worth testing without.
fn has_chromium() -> bool {
    let found = std::env::var_os("CI").is_some() || Path::new("/usr/bin/chromium").exists();
    if !found {
        println!("skipped: chromium is not installed: apt-get install chromium");
    }
    found
}

#[test]
fn the_dashboard_shows_the_fleet_to_everyone_and_a_death_within_three_looks() {
    if !has_chromium() {
        return;
    }
    let port = port::free().unwrap();
    let scenario = Scenario::new("dashboard", &clickhouse().url())
        .with("hub", &format!("{{ url: \"http://127.0.0.1:{port}\" }}"));
    scenario.init();
    let config = scenario.config(9, 0);
    let config = [OsStr::new("--config"), config.as_os_str()];
    let hub = Hub::start_with(&folder("dashboard-hub"), port, &config);
    let generator = ticks(&scenario, 8, 2_000);
    produce(&generator, 0..2_000, Pace::Full);
    let (first, second) = (scenario.start(1), scenario.start(2));
    first.wait_ready();
    second.wait_ready();
    until(PATIENCE, "both to have partitions and no lag", || {
        let lags = first.lag() + second.lag();
        let statuses = [first.status(), second.status()];
        let shared = statuses.iter().all(|status| {
            status["ready"] == true
                && status["partitions"].as_array().is_some_and(|all| all.len() == 24)
        });
        if shared && lags == 0 { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    let topic = format!("{}tick_archive", scenario.prefix());
    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    for number in 0..HOSTILES {
        let value = format!(r#"{{"symbol":"{HOSTILE}","bid":"x{number}"}}"#);
        producer
            .produce_one(&topic, number % 6, Some(HOSTILE.as_bytes()), Some(value.as_bytes()))
            .unwrap();
    }
    let bad = Expected::of(&generator).unwrap().dead_letters();
    scenario.wait_rows("dead_letters", bad + u64::from(HOSTILES.unsigned_abs()));
    // One more, of a version that could not read what this one can.
    let database = scenario.database();
    let sound = r#"{"symbol":"SO/UND","bid":1.1,"ask":1.2,"timestamp_ms":1706198400123}"#;
    let bury = format!(
        "INSERT INTO {database}.dead_letters SELECT * REPLACE ('{sound}' AS payload, 'panic' AS \
         reason, 4000000000 AS origin_position) FROM {database}.dead_letters FINAL WHERE \
         route = 'ticks' LIMIT 1"
    );
    scenario.query(&bury).expect("a letter can be written");
    let pictures = folder("dashboard-pictures");
    let (url, pid) = (format!("http://127.0.0.1:{}", hub.port), first.process.pid().to_string());
    browse("dashboard.mjs", &[&url, &pid, &pictures.display().to_string(), TOKEN]);
    println!("pictures: {}", pictures.display());
    let replayed = scenario.query(&format!(
        "SELECT count(), any(origin_position) FROM {database}.ticks FINAL WHERE symbol = 'SO/UND' \
         FORMAT TabSeparated"
    ));
    assert_eq!(replayed.expect("ClickHouse answers").trim(), "1\t4000000000");
}

#[test]
fn a_fleet_is_scaled_from_its_page_with_the_token_of_its_state_folder_alone() {
    if !has_chromium() {
        return;
    }
    let fleet = Fleet::lonely("dashboard_scale", &["-n", "1"]);
    wait_running(&fleet, 1);
    let state = read_state(&fleet.state);
    let token = state["token"].as_str().expect("a token");
    browse("fleet.mjs", &[&format!("http://127.0.0.1:{}", fleet.port), token]);
    wait_running(&fleet, 2);
    fleet.down();
}
