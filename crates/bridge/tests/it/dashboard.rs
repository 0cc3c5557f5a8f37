//! The hub's page in a real browser: what it shows, whom it reaches, how soon it tells of a death.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_stack::cache::Cache;
use data_bridge_stack::port;

use crate::flow::ticks;
use crate::hub::Hub;
use crate::world::{PATIENCE, Scenario, TOKEN, clickhouse, folder, kafka, produce, until};

/// More than any other dead letters, and than a list shows; a symbol that nobody should meet in a page: markup, and what colours a terminal.
const HOSTILES: i32 = 60;
const HOSTILE: &str = "<img src=x onerror='alert(1)'>\u{1b}[31m";

/// The script beside what it needs, which is installed once by its lock file and kept in the cache.
fn script() -> PathBuf {
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
    let script = home.expect("npm is there: it brought the engine").join("dashboard.mjs");
    fs::copy(source.join("dashboard.mjs"), &script).unwrap();
    script
}

#[test]
fn the_dashboard_shows_the_fleet_to_everyone_and_a_death_within_three_looks() {
    let chromium = Path::new("/usr/bin/chromium");
    // Continuous integration has it; at home everything else is worth testing without.
    if std::env::var_os("CI").is_none() && !chromium.exists() {
        println!("skipped: chromium is not installed: apt-get install chromium");
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
    let pictures = folder("dashboard-pictures");
    let output = Command::new("node")
        .arg(script())
        .arg(format!("http://127.0.0.1:{}", hub.port))
        .arg(first.process.pid().to_string())
        .arg(&pictures)
        .arg(TOKEN)
        .output()
        .expect("node is there: npm comes with it");
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{why}");
    println!("{said}pictures: {}", pictures.display());
}
