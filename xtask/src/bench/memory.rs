//! `cargo xtask bench memory`: a lag far larger than memory, against the limit.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::contestant::{self, Work};
use super::drain;
use super::ground::Ground;
use super::meter;
use crate::screen;

#[derive(Debug, clap::Args)]
#[group(id = "memory")]
#[command(
    after_help = "Examples:\n  cargo xtask bench memory\n  cargo xtask bench memory --gigabytes 1 --budget 64"
)]
pub(crate) struct Arguments {
    /// Payloads that wait in the topic, in GB
    #[arg(long, default_value_t = 10)]
    gigabytes: u64,
    /// `backpressure.max_bytes` in MiB
    #[arg(long, default_value_t = 256)]
    budget: u64,
    /// Keys of the bridge's configuration, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = drain::object)]
    config: Value,
}

/// Bytes of a tick, three dialects mixed.
const TICK: u64 = 161;
/// What a process may have beyond its budget, in MiB.
const BEYOND: u64 = 64;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let messages = arguments.gigabytes * 1_000_000_000 / TICK;
    let mut ground = Ground::start(messages)?;
    let expected = ground.produce(messages, 1, &[])?;
    let mut config = json!({ "backpressure": { "max_bytes": format!("{}MiB", arguments.budget) } });
    super::ground::merge(&mut config, &arguments.config);
    let database = ground.new_database(&config)?;
    let start = Instant::now();
    let instance = ground.instance(&database, 1)?;
    let pid = instance.process.pid();
    let work = Work::Instances(vec![instance]);
    let (seconds, _) = contestant::watch(&ground, &database, &expected, start, &work)?;
    let drained = meter::look(pid)?;
    // Idle: nothing flows, ten seconds.
    let idle = Duration::from_secs(10);
    std::thread::park_timeout(Duration::from_secs(2));
    let before = meter::look(pid)?;
    let from = Instant::now();
    std::thread::park_timeout(idle);
    let after = meter::look(pid)?;
    let share = (after.cpu - before.cpu) / from.elapsed().as_secs_f64() * 100.0;
    work.stop(&ground, &database)?;
    ground.verify(&database, &expected)?;
    let limit = arguments.budget + BEYOND;
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let kept = drained.peak_mb <= limit as f64;
    screen::line(&format!(
        "\n{} GB of lag in {seconds:.1} s: highest memory {:.0} MiB, limit {} + {BEYOND} MiB: {}",
        arguments.gigabytes,
        drained.peak_mb,
        arguments.budget,
        if kept { "kept" } else { "NOT KEPT" }
    ));
    screen::line(&format!(
        "idle afterwards: {share:.1} % of a core, {:.0} MiB resident",
        after.rss_mb
    ));
    if !kept {
        bail!("memory is above its limit");
    }
    Ok(())
}
