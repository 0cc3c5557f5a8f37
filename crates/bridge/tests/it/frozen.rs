//! Tasks that no longer turn: liveness fails and names them, readiness says which insert is overdue.
//! Only where the program has the points at which a task can be stopped: `cargo xtask test`, or
//! `--features fail-points`.

use std::time::Duration;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;

use crate::by_hand::drain;
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, produce, until};

/// 30 s, the time-out of an insert, and some more on a busy machine.
const STUCK: Duration = Duration::from_secs(90);

#[track_caller]
fn wait_health(bridge: &Instance, words: &[&str]) {
    until(STUCK, "liveness to fail", || match bridge.get("/healthz") {
        Err(said) if words.iter().all(|word| said.contains(word)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[track_caller]
fn wait_healthy(bridge: &Instance) {
    until(PATIENCE, "liveness to return", || bridge.get("/healthz").map(drop));
}

#[test]
fn a_task_that_no_longer_turns_is_named_and_goes_on_when_it_is_thawed() {
    let mut scenario = Scenario::new("frozen", &clickhouse().url());
    scenario.clickhouse_more = ", insert_timeout_ms: 2000".to_owned();
    scenario.init();
    let freezer = scenario.folder.join("freezer");
    std::fs::create_dir_all(&freezer).unwrap();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let freeze = |name: &str| std::fs::write(freezer.join(name), "").unwrap();
    let thaw = |name: &str| std::fs::remove_file(freezer.join(name)).unwrap();
    let generator = Generator::try_new(scenario.plan(42, 2_000)).unwrap();

    // One insert hangs; the pipeline turns, and says so.
    freeze("insert");
    produce(&generator, 0..1, Pace::Full);
    bridge.wait_reason(&["an insert into table ", " has not ended for "]);
    wait_health(&bridge, &["an insert has not turned for "]);
    thaw("insert");
    wait_healthy(&bridge);
    bridge.wait_ready();

    // The pipeline itself, and the task that looks at tables.
    freeze("pipeline");
    freeze("tables");
    wait_health(
        &bridge,
        &["the pipeline has not turned for ", "the look at tables has not turned"],
    );
    thaw("pipeline");
    thaw("tables");
    wait_healthy(&bridge);

    produce(&generator, 1..2_000, Pace::Full);
    scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    bridge.wait_ready();
    drain(&bridge);
}
