//! The hub's page in a real browser: what it shows, whom it reaches, how soon it tells of a death.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_bridge_lab::kafka::Pace;
use data_bridge_stack::cache::Cache;
use data_bridge_stack::port;

use crate::flow::ticks;
use crate::hub::Hub;
use crate::world::{PATIENCE, Scenario, clickhouse, folder, produce, until};

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
    let hub = Hub::start(&folder("dashboard-hub"), port::free().unwrap());
    let scenario = Scenario::new("dashboard", &clickhouse().url())
        .with("hub", &format!("{{ url: \"http://127.0.0.1:{}\" }}", hub.port));
    scenario.init();
    produce(&ticks(&scenario, 8, 2_000), 0..2_000, Pace::Full);
    let (first, second) = (scenario.start(1), scenario.start(2));
    first.wait_ready();
    second.wait_ready();
    until(PATIENCE, "both to have partitions and no lag", || {
        let fleet = hub.fleet();
        let ready = &fleet["totals"]["ready"];
        if *ready == 2 && fleet["totals"]["lag"] == 0 && first.lag() + second.lag() == 0 {
            Ok(())
        } else {
            Err(fleet.to_string())
        }
    });
    let pictures = folder("dashboard-pictures");
    let output = Command::new("node")
        .arg(script())
        .arg(format!("http://127.0.0.1:{}", hub.port))
        .arg(first.process.pid().to_string())
        .arg(&pictures)
        .output()
        .expect("node is there: npm comes with it");
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{why}");
    println!("{said}pictures: {}", pictures.display());
}
