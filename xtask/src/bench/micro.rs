//! The core alone: its own bench program.

use anyhow::{Result, bail};

use crate::workspace;

/// A measurement of the core alone.
#[derive(Debug, clap::Args)]
pub(super) struct Micro {
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

impl Micro {
    pub(super) fn run(&self, what: &str) -> Result<bool> {
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
