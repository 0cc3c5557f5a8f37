//! `cargo xtask bench memory`: a lag far larger than memory, against the limit; ClickHouse away for
//! a while, then drained.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::contestant::{self, Work};
use super::drain;
use super::ground::{Database, Expected, Ground, Instance};
use super::meter;
use crate::screen;

#[derive(Debug, clap::Args)]
#[group(id = "memory")]
#[command(
    after_help = "Examples:\n  cargo xtask bench memory\n  cargo xtask bench memory --messages 10000000 --budget 64,256 --away 60"
)]
pub(crate) struct Arguments {
    /// Payloads that wait in the topic, in GB
    #[arg(long, default_value_t = 10)]
    gigabytes: u64,
    /// Messages that wait in the topic, instead of gigabytes
    #[arg(long, conflicts_with = "gigabytes")]
    messages: Option<u64>,
    /// `backpressure.max_bytes` in MiB; a run for each
    #[arg(long, value_delimiter = ',', default_value = "256")]
    budget: Vec<u64>,
    /// Seconds that ClickHouse is away once the first rows are there
    #[arg(long, default_value_t = 30)]
    away: u64,
    /// Keys of the bridge's configuration, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = drain::object)]
    config: Value,
}

/// Bytes of a tick, three dialects mixed.
const TICK: u64 = 161;
/// What a process may have beyond its budget, in MiB.
const BEYOND: f64 = 64.0;
/// What counts as flat, in MiB: pages that the allocator touches late.
const FLAT: f64 = 4.0;
/// From the first rows to a full buffer.
const FULL_LIMIT: Duration = Duration::from_mins(1);
/// Time between two looks.
const PACE: Duration = Duration::from_millis(100);
/// How long memory and processor are looked at when all is drained.
const IDLE: Duration = Duration::from_secs(10);

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let messages = arguments.messages.unwrap_or(arguments.gigabytes * 1_000_000_000 / TICK);
    let mut ground = Ground::start(messages)?;
    let expected = ground.produce(messages, 1, &[])?;
    let mut all_kept = true;
    for budget in &arguments.budget {
        all_kept &= hold(arguments, &mut ground, &expected, *budget)?;
    }
    if !all_kept {
        bail!("memory is above its limit, or grows");
    }
    Ok(())
}

/// One run; whether memory stayed within its limit.
fn hold(
    arguments: &Arguments,
    ground: &mut Ground,
    expected: &Expected,
    budget: u64,
) -> Result<bool> {
    let mut config = json!({ "backpressure": { "max_bytes": format!("{budget}MiB") } });
    super::ground::merge(&mut config, &arguments.config);
    let database = ground.new_database(&config)?;
    let start = Instant::now();
    let instance = ground.instance(&database, 1)?;
    let pid = instance.process.pid();
    let away = match arguments.away {
        0 => None,
        seconds => Some(stay_away(ground, &database, expected, &instance, seconds)?),
    };
    let work = Work::Instances(vec![instance]);
    let (seconds, _) = contestant::watch(ground, &database, expected, start, &work)?;
    let drained = meter::look(pid)?;
    std::thread::park_timeout(Duration::from_secs(2));
    let before = meter::look(pid)?;
    let from = Instant::now();
    std::thread::park_timeout(IDLE);
    let after = meter::look(pid)?;
    let share = (after.cpu - before.cpu) / from.elapsed().as_secs_f64() * 100.0;
    work.stop(ground, &database)?;
    ground.verify(&database, expected)?;
    ground.drop(&database)?;
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let limit = budget as f64 + BEYOND;
    let is_kept = drained.peak_mb <= limit;
    screen::line(&format!(
        "\nbudget {budget} MiB: {} messages of lag in {seconds:.1} s, highest memory {:.0} MiB of {limit:.0}: {}",
        expected.messages,
        drained.peak_mb,
        if is_kept { "kept" } else { "NOT KEPT" }
    ));
    let mut is_flat = true;
    if let Some((first, last)) = away {
        is_flat = last <= first + FLAT;
        screen::line(&format!(
            "ClickHouse away for {} s: {first:.0} MiB when the buffer was full, {last:.0} MiB at most after that: {}",
            arguments.away,
            if is_flat { "flat" } else { "NOT FLAT" }
        ));
    }
    screen::line(&format!(
        "idle afterwards: {share:.1} % of a core, {:.0} MiB resident",
        after.rss_mb
    ));
    Ok(is_kept && is_flat)
}

/// Kills ClickHouse when the first rows are there, and has it back after so many seconds with a full
/// buffer. The memory when the buffer was full, and the highest after that, in MiB.
fn stay_away(
    ground: &mut Ground,
    database: &Database,
    expected: &Expected,
    instance: &Instance,
    seconds: u64,
) -> Result<(f64, f64)> {
    let pid = instance.process.pid();
    let began = Instant::now();
    while ground.rows(database, &expected.table)? == 0 {
        wait(began, instance, "no row came")?;
    }
    ground.clickhouse.kill()?;
    let killed = Instant::now();
    while contestant::total(&instance.metrics()?, "data_bridge_backpressure") < 1.0 {
        wait(killed, instance, "the buffer does not fill")?;
    }
    // The fetches under way still come.
    std::thread::park_timeout(Duration::from_secs(2));
    let first = meter::look(pid)?.rss_mb;
    let full = Instant::now();
    let mut highest = first;
    while full.elapsed() < Duration::from_secs(seconds) {
        std::thread::park_timeout(PACE);
        highest = highest.max(meter::look(pid)?.rss_mb);
    }
    ground.clickhouse.restart().context("ClickHouse does not come back")?;
    Ok((first, highest))
}

fn wait(since: Instant, instance: &Instance, what: &str) -> Result<()> {
    if since.elapsed() > FULL_LIMIT {
        bail!("{what} within {FULL_LIMIT:?}\n{}", instance.process.log_tail());
    }
    std::thread::park_timeout(PACE);
    Ok(())
}
