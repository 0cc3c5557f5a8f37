//! `cargo xtask fuzz`: the fuzz tests that run for a second or two in `cargo xtask test`, for as
//! long as one likes and with seeds that change.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{screen, workspace};

/// One pass of the differential test of the decoders.
const ROUNDS: u64 = 40_000;

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// What to fuzz; everything when none is named
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// How long each of them
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Decides all inputs; a failure names the seed that finds it again
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const HELP: &str = "\
Examples:
  cargo xtask fuzz --seconds 600
  cargo xtask fuzz http config --seed 7

What it finds becomes an input of the fuzz test, so that it is read first in every later run.";

/// Something that reads what others wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Messages, held against other readers of JSON, numbers and times
    Decoders,
    /// The configuration file
    Config,
    /// ClickHouse's errors
    Errors,
    /// URLs, headers, bodies and statements of the embedded ClickHouse
    Http,
}

impl Target {
    const ALL: [Self; 4] = [Self::Decoders, Self::Config, Self::Errors, Self::Http];

    /// Package and part of the tests' names.
    fn tests(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Decoders => ("data-bridge-core", &["differential", "learned_shapes"]),
            Self::Config => ("data-bridge", &["config::tests::fuzz"]),
            Self::Errors => ("data-bridge", &["exception::fuzz"]),
            Self::Http => ("embedded-clickhouse", &["fuzz"]),
        }
    }
}

/// `false` when something was found.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let targets =
        if arguments.targets.is_empty() { &Target::ALL[..] } else { &arguments.targets[..] };
    let mut found = Vec::new();
    for target in targets {
        screen::line(&format!("fuzz   {target:?} for {} s", arguments.seconds));
        if !fuzz(*target, arguments)? {
            found.push(format!("{target:?}"));
        }
    }
    let verdict = if found.is_empty() { "nothing found".to_owned() } else { found.join(", ") };
    screen::line(&format!("fuzz: {verdict}"));
    Ok(found.is_empty())
}

fn fuzz(target: Target, arguments: &Arguments) -> Result<bool> {
    let limit = Duration::from_secs(arguments.seconds);
    // Built before the clock runs.
    if !pass(target, arguments.seed, None)? {
        return Ok(false);
    }
    let began = Instant::now();
    if target != Target::Decoders {
        return pass(target, arguments.seed, Some(arguments.seconds));
    }
    let mut seed = arguments.seed;
    while began.elapsed() < limit {
        seed += 1;
        if !pass(target, seed, None)? {
            screen::line(&format!("fuzz   again with: --seed {seed}"));
            return Ok(false);
        }
    }
    Ok(true)
}

fn pass(target: Target, seed: u64, seconds: Option<u64>) -> Result<bool> {
    let (package, filter) = target.tests();
    let mut cargo = workspace::cargo(&["test", "--quiet", "--package", package, "--lib", "--"]);
    cargo.args(filter).env("FUZZ_SEED", seed.to_string()).env("SEED", seed.to_string());
    cargo.env("ROUNDS", ROUNDS.to_string());
    if let Some(seconds) = seconds {
        cargo.env("FUZZ_SECONDS", seconds.to_string());
    }
    Ok(cargo.status().context("cargo does not run")?.success())
}
