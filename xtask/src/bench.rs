//! `cargo xtask bench`: what things cost, beside something else in the same run.

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Decode, identity, columns and Native of every kind of message, beside `serde_json`
    #[command(
        after_help = "Examples:\n  cargo xtask bench decode\n  cargo xtask bench decode --only candle --json"
    )]
    Decode(Micro),
    /// Sorting blocks and writing them as Native
    #[command(
        after_help = "Examples:\n  cargo xtask bench encode\n  cargo xtask bench encode --only tick --rounds 11"
    )]
    Encode(Micro),
}

/// A measurement of the core alone.
#[derive(Debug, clap::Args)]
struct Micro {
    /// For programs
    #[arg(long)]
    json: bool,
    /// Repetitions; least, median and most of them are shown
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only kinds with this in their names
    #[arg(long)]
    only: Option<String>,
}

/// `false` when there is no figure, because something did not come out right.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    match &arguments.what {
        What::Decode(micro) => micro.run("decode"),
        What::Encode(micro) => micro.run("encode"),
    }
}

impl Micro {
    fn run(&self, what: &str) -> Result<bool> {
        let bench = ["bench", "--quiet", "--package", "data-bridge-core", "--bench", "micro", "--"];
        let mut command = workspace::cargo(&bench);
        command.arg(what).arg("--rounds").arg(self.rounds.to_string());
        if self.json {
            command.arg("--json");
        }
        if let Some(only) = &self.only {
            command.arg("--only").arg(only);
        }
        let status = command.status()?;
        match status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => bail!("the bench `micro` of data-bridge-core ended with {status}"),
        }
    }
}
