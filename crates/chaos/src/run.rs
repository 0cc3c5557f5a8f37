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
use data_bridge_lab::nats::{Assurance, Publisher};
use data_bridge_lab::plan::{Kind, Plan, Stamp, Ways};
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
    let by_kafka = Generator::try_new(plan(run)?)?;
    let by_nats = Generator::try_new(plan_of_nats(run)?)?;
    let expected = [Expected::of(&by_kafka)?, Expected::of(&by_nats)?];
    let ground = Ground::start(binary, folder, run)?;
    ground.wait_ready()?;
    journal.begin();
    journal.tell("ready", "three instances are ready");

    let sight = Sight::default();
    let moves = trouble(&ground, &journal, &sight, run, [&by_kafka, &by_nats])?;
    journal.tell("healed", "no more faults; waiting for the last rows");
    let verdicts = settle(&ground, &journal, &sight, &expected)?;
    stop(&ground, &journal);
    Ok(report(&journal, run, &sight, &verdicts, moves))
}

fn plan(run: &Run) -> Result<Plan> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?;
    let mut plan = Plan::new(run.seed, run.messages(), i64::try_from(now.as_millis())?);
    plan.mix.bad = 0.005;
    Ok(plan)
}

/// Messages that go by NATS alone, half as many: what is lost there must not come by Kafka. They are
/// of another month, so that no row of one plan is one of the other.
fn plan_of_nats(run: &Run) -> Result<Plan> {
    let mut plan = plan(run)?;
    plan.seed ^= 0x6e61_7473;
    plan.messages = (run.messages() / 2).max(1);
    (plan.ways, plan.stamp) = (Ways::Nats { origin: "nats:MARKET".to_owned() }, Stamp::Clock);
    // What is published again after a kill comes later than what followed it: it would beat its own
    // correction. Candles of one symbol, timeframe and time correct each other.
    plan.mix.corrections = 0.0;
    plan.mix.kinds[Kind::Candle.index()] = 0;
    // Its rows are of days since 1947, whatever the month.
    plan.mix.kinds[Kind::FredEconomic.index()] = 0;
    (plan.events_from_ms, plan.events_to_ms) = (1_669_852_800_000, 1_672_531_200_000); // 2022-12
    Ok(plan)
}

/// Load and faults, until both are over; how often a commit was seen to move on.
fn trouble(
    ground: &Ground,
    journal: &Journal,
    sight: &Sight,
    run: &Run,
    [by_kafka, by_nats]: [&Generator; 2],
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
            producer.produce(by_kafka, 0..run.messages(), pace, |_| {})
        });
        let load_of_nats = scope.spawn(|| {
            let mut publisher = Publisher::connect(&ground.nats_url, Assurance::Once)?;
            let pace = Pace::PerSecond(f64::from(run.rate) / 2.0);
            publisher.publish(by_nats, 0..by_nats.plan().messages, pace, |_| {})
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
        let (produced, published) = (load.join(), load_of_nats.join());
        done.store(true, Ordering::Relaxed);
        match produced {
            Ok(Ok(produced)) => journal.note("produced", json!({ "messages": produced.messages })),
            Ok(Err(error)) => journal.wrong(&format!("the load failed: {error}")),
            Err(_panic) => journal.wrong("the load panicked"),
        }
        match published {
            Ok(Ok(sent)) => journal.note("published", json!({ "messages": sent.messages })),
            Ok(Err(error)) => journal.wrong(&format!("the load of NATS failed: {error}")),
            Err(_panic) => journal.wrong("the load of NATS panicked"),
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
    expected: &[Expected; 2],
) -> Result<[Verdict; 2]> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| look(ground, journal, sight, &done));
        let verdict = |expected, origins| {
            let server = Server::new(&ground.clickhouse_url, "market").with_origins(origins);
            let waiting = wait_until_complete(&server, expected, DRAIN_LIMIT, |_| {});
            ground.runtime.block_on(waiting).context("ClickHouse does not answer at the end")
        };
        let verdicts = [verdict(&expected[0], "kafka:"), verdict(&expected[1], "nats:")];
        let offsets = watch::offsets(ground);
        let began = Instant::now();
        let left = loop {
            let all = match &offsets {
                Ok(offsets) => offsets.all_committed(&Ground::topics()),
                Err(error) => Err(format!("{error:#}")),
            };
            let all = all.and_then(|()| ground.all_acked());
            match all {
                Ok(()) => break None,
                Err(left) if began.elapsed() > PATIENCE => break Some(left),
                Err(_) => pause(LOOK),
            }
        };
        if let Some(left) = left {
            journal.wrong(&format!("not committed, or not acked: {left}"));
        }
        if let Err(error) = ground.wait_ready() {
            journal.wrong(&format!("{error:#}"));
        }
        done.store(true, Ordering::Relaxed);
        let [by_kafka, by_nats] = verdicts;
        Ok([by_kafka?, by_nats?])
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

fn report(
    journal: &Journal,
    run: &Run,
    sight: &Sight,
    verdicts: &[Verdict; 2],
    moves: u64,
) -> bool {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for step in &run.steps {
        *counts.entry(step.fault.name()).or_default() += 1;
    }
    for verdict in verdicts.iter().filter(|verdict| !verdict.holds()) {
        journal.wrong(&verdict.to_string());
    }
    let figures = sight.report(journal);
    let raw: u64 = verdicts
        .iter()
        .map(|verdict| {
            let total = verdict.total();
            (total.raw_rows + verdict.letters.raw_rows)
                .saturating_sub(total.visible + verdict.letters.found)
        })
        .sum();
    let [by_kafka, by_nats] = verdicts;
    let wrong = journal.all_wrong();
    journal.note(
        "verdict",
        json!({
            "holds": wrong.is_empty(),
            "verdict": by_kafka.to_json(),
            "verdict_of_nats": by_nats.to_json(),
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
    journal.show(&format!("by Kafka: {}", by_kafka.line()));
    journal.show(&format!("by NATS:  {}", by_nats.line()));
    if !wrong.is_empty() {
        journal.show(&format!("FAILED, {} reasons:\n{}", wrong.len(), wrong.join("\n")));
        journal.show(&format!("run it again: --replay {}", journal.path().display()));
    }
    wrong.is_empty()
}
