//! One run from the first server to the verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Plan;
use data_bridge_lab::verify::{Server, Verdict, wait_until_complete};
use serde_json::json;

use crate::act;
use crate::ground::{Ground, PATIENCE, locked, pause};
use crate::journal::{Journal, Run};
use crate::watch::{self, Commits, Sight};

/// What came last may wait for a long back-off, and for a machine that catches up.
const DRAIN_LIMIT: Duration = Duration::from_mins(3);
/// Between two looks at memory.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks at commits.
const LOOK_AT_COMMITS: Duration = Duration::from_secs(1);
/// Between two lines for people.
const TELL: Duration = Duration::from_secs(10);

/// `false` when something was lost, doubled, altered, stuck or too large.
pub(crate) fn run(binary: &Path, folder: &Path, run: &Run) -> Result<bool> {
    let journal = Journal::create(&folder.join("events.jsonl"))?;
    journal.note("run", serde_json::to_value(run)?);
    journal.show(&format!(
        "seed {}: {} s, {} messages per second, {:?}, {} faults",
        run.seed,
        run.seconds,
        run.rate,
        run.membership,
        run.steps.len()
    ));
    let generator = Generator::try_new(plan(run)?)?;
    let expected = Expected::of(&generator)?;
    let ground = Ground::start(binary, folder, run)?;
    ground.wait_ready()?;
    journal.begin();
    journal.tell("ready", "three instances are ready");

    let sight = Sight::default();
    let moves = trouble(&ground, &journal, &sight, run, &generator)?;
    journal.tell("healed", "no more faults; waiting for the last rows");
    let verdict = settle(&ground, &journal, &sight, &expected)?;
    stop(&ground, &journal);
    Ok(report(&journal, run, &sight, &verdict, moves))
}

fn plan(run: &Run) -> Result<Plan> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?;
    let mut plan = Plan::new(run.seed, run.messages(), i64::try_from(now.as_millis())?);
    plan.mix.bad = 0.005;
    Ok(plan)
}

/// Load and faults, until both are over; how often a commit was seen to move on.
fn trouble(
    ground: &Ground,
    journal: &Journal,
    sight: &Sight,
    run: &Run,
    generator: &Generator,
) -> Result<u64> {
    let done = AtomicBool::new(false);
    let offsets = watch::offsets(ground)?;
    thread::scope(|scope| {
        let commits = scope.spawn(|| {
            let mut commits = Commits::default();
            while !done.load(Ordering::Relaxed) {
                commits.look(&offsets, journal);
                pause(LOOK_AT_COMMITS);
            }
            commits.moves()
        });
        scope.spawn(|| look(ground, journal, sight, &done));
        let load = scope.spawn(|| {
            let producer = Producer::connect(&ground.bootstrap)?;
            let pace = Pace::PerSecond(f64::from(run.rate));
            producer.produce(generator, 0..run.messages(), pace, |_| {})
        });
        thread::scope(|faults| {
            for step in &run.steps {
                while journal.elapsed() < Duration::from_millis(step.at_ms) {
                    let left = Duration::from_millis(step.at_ms).saturating_sub(journal.elapsed());
                    pause(left);
                }
                faults.spawn(move || {
                    journal.tell("fault", &step.fault.to_string());
                    match act::perform(ground, &step.fault) {
                        Ok(()) => journal.note("over", json!({ "text": step.fault.to_string() })),
                        Err(error) => journal.wrong(&format!("{}: {error:#}", step.fault)),
                    }
                });
            }
        });
        let produced = load.join();
        done.store(true, Ordering::Relaxed);
        match produced {
            Ok(Ok(produced)) => journal.note("produced", json!({ "messages": produced.messages })),
            Ok(Err(error)) => journal.wrong(&format!("the load failed: {error}")),
            Err(_panic) => journal.wrong("the load panicked"),
        }
        Ok(commits.join().unwrap_or(0))
    })
}

fn look(ground: &Ground, journal: &Journal, sight: &Sight, done: &AtomicBool) {
    let mut told = Instant::now();
    while !done.load(Ordering::Relaxed) {
        sight.look(ground, journal);
        if told.elapsed() >= TELL {
            told = Instant::now();
            tell(ground, journal);
        }
        pause(LOOK);
    }
}

fn tell(ground: &Ground, journal: &Journal) {
    let lines: Vec<String> = ground
        .instances
        .iter()
        .map(|instance| match instance.try_lock().map(|bridge| bridge.status()) {
            Ok(one) if one.answers => {
                let state = if one.ready { "ready" } else { "not ready" };
                format!("{state}, {} partitions, lag {}", one.partitions, one.lag)
            }
            Ok(_) | Err(_) => "away".to_owned(),
        })
        .collect();
    journal.tell("state", &lines.join(" | "));
}

/// Waits for everything that must be there.
fn settle(
    ground: &Ground,
    journal: &Journal,
    sight: &Sight,
    expected: &Expected,
) -> Result<Verdict> {
    let server = Server::new(&ground.clickhouse_url, "market");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| look(ground, journal, sight, &done));
        let waiting = wait_until_complete(&server, expected, DRAIN_LIMIT, |_| {});
        let verdict = ground.runtime.block_on(waiting);
        let offsets = watch::offsets(ground);
        let began = Instant::now();
        let left = loop {
            let all = match &offsets {
                Ok(offsets) => offsets.all_committed(&Ground::topics()),
                Err(error) => Err(format!("{error:#}")),
            };
            match all {
                Ok(()) => break None,
                Err(left) if began.elapsed() > PATIENCE => break Some(left),
                Err(_) => pause(LOOK),
            }
        };
        if let Some(left) = left {
            journal.wrong(&format!("not committed: {left}"));
        }
        if let Err(error) = ground.wait_ready() {
            journal.wrong(&format!("{error:#}"));
        }
        done.store(true, Ordering::Relaxed);
        verdict.context("ClickHouse does not answer at the end")
    })
}

/// Drains all instances at once; each must end well and without ever having panicked.
fn stop(ground: &Ground, journal: &Journal) {
    thread::scope(|scope| {
        for instance in &ground.instances {
            scope.spawn(|| {
                if let Err(error) = act::drain(&locked(instance)) {
                    journal.wrong(&format!("{error:#}"));
                }
            });
        }
    });
    for log in ground.logs() {
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if let Some(line) = text.lines().find(|line| line.contains("panicked at")) {
            journal.wrong(&format!("{}: {line}", log.display()));
        }
    }
}

fn report(journal: &Journal, run: &Run, sight: &Sight, verdict: &Verdict, moves: u64) -> bool {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for step in &run.steps {
        *counts.entry(step.fault.name()).or_default() += 1;
    }
    if !verdict.holds() {
        journal.wrong(&verdict.to_string());
    }
    let figures = sight.report(journal);
    let total = verdict.total();
    let raw = (total.raw_rows + verdict.letters.raw_rows)
        .saturating_sub(total.visible + verdict.letters.found);
    let wrong = journal.all_wrong();
    journal.note(
        "verdict",
        json!({
            "holds": wrong.is_empty(),
            "verdict": verdict.to_json(),
            "faults": counts,
            "figures": figures,
            "raw_duplicates": raw,
            "commits_seen_to_move": moves,
            "wrong": wrong,
        }),
    );
    let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    journal.show(&format!("{} faults: {}", run.steps.len(), counts.join(", ")));
    journal.show(&format!("instances: {figures}"));
    journal.show(&format!("{raw} rows were written more than once; {moves} commits seen"));
    journal.show(&verdict.line());
    if !wrong.is_empty() {
        journal.show(&format!("FAILED, {} reasons:\n{}", wrong.len(), wrong.join("\n")));
        journal.show(&format!("run it again: --replay {}", journal.path().display()));
    }
    wrong.is_empty()
}
