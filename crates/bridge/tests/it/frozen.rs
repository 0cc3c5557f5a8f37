//! Tasks that no longer turn: liveness fails and names them, readiness says which insert is overdue.
//! Only where the program has the points at which a task can be stopped: `cargo xtask test`, or
//! `--features fail-points`.

use std::path::PathBuf;
use std::time::Duration;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::Assurance;
use data_bridge_stack::port;

use crate::by_hand::drain;
use crate::nats_stage::{self, Stream, nats, publisher};
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

/// Where tests put the names of what is not to turn.
struct Freezer(PathBuf);

impl Freezer {
    fn of(scenario: &Scenario) -> Self {
        let folder = scenario.folder.join("freezer");
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn freeze(&self, names: &[&str]) {
        for name in names {
            std::fs::write(self.0.join(name), "").unwrap();
        }
    }

    fn thaw(&self, names: &[&str]) {
        for name in names {
            std::fs::remove_file(self.0.join(name)).unwrap();
        }
    }
}

#[test]
fn a_task_that_no_longer_turns_is_named_and_goes_on_when_it_is_thawed() {
    let mut scenario =
        Scenario::new("frozen", &clickhouse().url()).with("readiness", "{ stall_ms: 2000 }");
    // Longer than a partition may stand still: 2 s, and 11 s for which old rows are held back.
    scenario.clickhouse_more = ", insert_timeout_ms: 12000".to_owned();
    scenario.init();
    let freezer = Freezer::of(&scenario);
    let bridge = scenario.start(1);
    let by_nats = FrozenNats::start();
    bridge.wait_ready();
    let generator = Generator::try_new(scenario.plan(42, 4_000)).unwrap();

    // One table's inserts hang, all others flow: its partitions are named.
    freezer.freeze(&["ticks"]);
    let mut numbers = (0..3_000).step_by(2);
    let said = until(PATIENCE, "a partition to be named", || {
        let from = numbers.next().expect("it is named before all is produced");
        produce(&generator, from..from + 2, Pace::Full);
        match bridge.get("/readyz") {
            Err(said) if said.contains("stands still") => Ok(said),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(said.contains(&format!("{}tick_archive/", scenario.prefix())), "{said}");
    assert!(!said.contains("aggregate_archive") && !said.contains("no row became"), "{said}");
    println!("{said}");
    let standing = said.split_once("committed for ").and_then(|(_, rest)| rest.split_once(" s"));
    let standing: u64 = standing.expect("how long it stands").0.parse().unwrap();
    assert!(standing >= 13, "old rows may still have been held back: {said}");
    freezer.thaw(&["ticks"]);
    bridge.wait_ready();

    // One insert hangs; the pipeline turns, and says so.
    freezer.freeze(&["insert"]);
    let from = numbers.next().expect("some are left");
    produce(&generator, from..3_500, Pace::Full);
    bridge.wait_reason(&["an insert into table ", " has not ended for "]);
    wait_health(&bridge, &["an insert has not turned for "]);
    freezer.thaw(&["insert"]);
    wait_healthy(&bridge);
    bridge.wait_ready();

    // The pipeline itself, and the task that looks at tables.
    freezer.freeze(&["pipeline", "tables"]);
    wait_health(
        &bridge,
        &["the pipeline has not turned for ", "the look at tables has not turned"],
    );
    freezer.thaw(&["pipeline", "tables"]);
    wait_healthy(&bridge);
    by_nats.assert_named_and_thaw();

    produce(&generator, 3_500..4_000, Pace::Full);
    scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    bridge.wait_ready();
    drain(&bridge);
}

/// An instance that reads from NATS and reports to a hub, all of whose tasks are frozen: it waits
/// out its half minute while the other one does.
struct FrozenNats {
    scenario: Scenario,
    stream: Stream,
    generator: Generator,
    freezer: Freezer,
    bridge: Instance,
}

impl FrozenNats {
    const TASKS: [&str; 4] = ["reports", "acks", "pulls", "watch"];

    fn start() -> Self {
        // Nobody listens there: that is no fault of the reporter's.
        let hub = format!("{{ url: \"http://127.0.0.1:{}\" }}", port::free().unwrap());
        let scenario = nats_stage::scenario("frozen_nats", &nats().url(), "").with("hub", &hub);
        scenario.init();
        let stream = Stream::on(&scenario, nats().monitor_port());
        let generator = nats_stage::ticks(&scenario, 43, 1_000);
        let freezer = Freezer::of(&scenario);
        let bridge = scenario.start(1);
        bridge.wait_ready();
        freezer.freeze(&["reports", "acks"]);
        let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
        publisher.publish(&generator, 0..1_000, Pace::Full, |_| {}).expect("stored");
        scenario.wait_rows_in_all(1_000);
        freezer.freeze(&["pulls", "watch"]);
        Self { scenario, stream, generator, freezer, bridge }
    }

    fn assert_named_and_thaw(self) {
        let Self { scenario, stream, generator, freezer, bridge } = self;
        let names = ["a pull of NATS", "the acks of NATS", "the look at the stream", "the reports"];
        wait_health(&bridge, &names);
        freezer.thaw(&Self::TASKS);
        wait_healthy(&bridge);
        bridge.wait_ready();
        nats_stage::finish(&scenario, &stream, &[bridge], &Expected::of(&generator).unwrap());
    }
}
