//! Chaos on real servers: three instances under load, a random fault every few seconds, and the
//! verdict row by row.
//!
//! A seed decides messages and faults. Everything that is done and seen goes to an event log, from
//! which the same run can be made again. `cargo xtask chaos` builds and starts this program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

mod act;
mod fault;
mod ground;
mod journal;
mod run;
mod schedule;
mod watch;

use journal::{Membership, Run};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos", version, about, after_help = HELP)]
struct Arguments {
    /// How long messages flow and things go wrong
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Decides messages, faults and, unless it is given, the membership
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Messages per second over all topics
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// Seconds from one fault to the next, on average
    #[arg(long, default_value_t = 4.0)]
    every: f64,
    /// How instances are members of the group
    #[arg(long, value_enum)]
    membership: Option<Membership>,
    /// Do again what this event log says, and not what the seed would
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// The program `data-bridge`
    #[arg(long, value_name = "FILE")]
    bridge: PathBuf,
    /// Where servers keep their data and logs; emptied first
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
}

const HELP: &str = "\
Examples:
  cargo xtask chaos --minutes 10 --seed 7
  cargo xtask chaos --replay target/chaos/events.jsonl
  cargo xtask chaos --minutes 240 --every 120        # a soak: is memory flat?

Exit codes: 0 the verdict holds; 1 something was lost, doubled, altered, stuck or too large";

fn main() -> ExitCode {
    match chaos(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            use std::io::Write as _;
            writeln!(std::io::stderr().lock(), "error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn chaos(arguments: &Arguments) -> Result<bool> {
    let run = match &arguments.replay {
        Some(path) => Run::read(path)?,
        None => planned(arguments),
    };
    empty(&arguments.folder)?;
    run::run(&arguments.bridge, &arguments.folder, &run)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole seconds of a run, never negative"
)]
fn planned(arguments: &Arguments) -> Run {
    let seconds = (arguments.minutes * 60.0).max(1.0) as u64;
    let every = Duration::from_secs_f64(arguments.every.max(0.1));
    let by_seed = usize::try_from(arguments.seed % 4).unwrap_or(0);
    Run {
        seed: arguments.seed,
        seconds,
        rate: arguments.rate,
        membership: arguments.membership.unwrap_or(Membership::ALL[by_seed]),
        steps: schedule::of(arguments.seed, Duration::from_secs(seconds), every),
    }
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}
