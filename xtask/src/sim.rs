//! `cargo xtask sim`: the engine in simulated worlds, as many as wanted, or one again.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{screen, workspace};

const TEST: &str = "simulation::nothing_is_lost_and_nothing_stalls_in_any_world";

/// The engine in simulated worlds: brokers, servers and everything that goes wrong between them
///
/// A world that fails is shrunk to the kinds of trouble and the number of events that it needs, and
/// the command that lives through it again is shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask sim --seeds 200000           200,000 worlds; half an hour on two free cores
  cargo xtask sim --seed 17                world 17 again, with all that engines are told and say
  cargo xtask sim --seed 17 --events 137 --without crash,lose")]
pub(crate) struct Arguments {
    /// How many worlds
    #[arg(long, default_value_t = 20_000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// One world again, and everything that is told and said in it
    #[arg(long)]
    seed: Option<u64>,
    /// How many events that world has before it calms down
    #[arg(long, requires = "seed")]
    events: Option<u64>,
    /// Kinds of trouble that never come in it
    #[arg(long, value_name = "KINDS", requires = "seed")]
    without: Option<String>,
}

/// `false` when a world failed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let mut cargo = workspace::cargo(&["test", "--quiet", "--package", "data-bridge-core"]);
    cargo.args(["--test", "it", "--", "--exact", TEST, "--nocapture"]);
    match arguments.seed {
        None => {
            cargo.env("SIM_WORLDS", arguments.seeds.to_string());
            cargo.env("SIM_FROM", arguments.from.to_string());
        }
        Some(seed) => {
            cargo.env("SIM_SEED", seed.to_string()).env("SIM_TOLD", "1");
            if let Some(events) = arguments.events {
                cargo.env("SIM_EVENTS", events.to_string());
            }
            if let Some(without) = &arguments.without {
                cargo.env("SIM_WITHOUT", without);
            }
        }
    }
    let began = Instant::now();
    let status = cargo.status().context("cargo does not run")?;
    screen::line(&format!("sim: {:.1} s", began.elapsed().as_secs_f64()));
    Ok(status.success())
}
