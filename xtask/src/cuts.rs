//! `cargo xtask cuts`: the long form of the test that cuts the link to NATS.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{prerequisites, screen, workspace};

const TEST: &str =
    "nats_faults::a_link_that_is_cut_again_and_again_flows_within_five_seconds_each_time";

/// Cuts the link between an instance and NATS again and again, under load
///
/// Each cut is a reset, a refusal or a silence at a random moment. Rows must flow again within 5 s of
/// each, and in the end every row must be there. A few cuts of it are part of `cargo xtask test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask cuts                         500 cuts; about ten minutes
  cargo xtask cuts --count 50 --seed 7")]
pub(crate) struct Arguments {
    /// How many cuts
    #[arg(long, default_value_t = 500)]
    count: u32,
    /// Decides messages and moments
    #[arg(long, default_value_t = 305)]
    seed: u64,
}

/// `false` when rows did not flow in time, or were not what they must be.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    prerequisites::check()?;
    let mut cargo = workspace::cargo(&["test", "--quiet", "--package", "data-bridge"]);
    cargo.args(["--test", "it", "--", "--exact", TEST, "--nocapture"]);
    cargo.env("NATS_CUTS", arguments.count.to_string());
    cargo.env("NATS_CUTS_SEED", arguments.seed.to_string());
    let began = Instant::now();
    let status = cargo.status().context("cargo does not run")?;
    screen::line(&format!("cuts: {:.1} s", began.elapsed().as_secs_f64()));
    Ok(status.success())
}
