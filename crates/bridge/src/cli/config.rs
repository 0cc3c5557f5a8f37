//! `data-bridge config show`: what holds, and where it comes from.

use std::io::Write;

use clap::Subcommand;

use super::settings::Settings;
use super::{Exit, report};
use crate::config::{Environment, show};

/// Show the configuration
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(Show),
}

/// Print every key with the value that holds and its origin; secrets are redacted
///
/// The output is a configuration file that can be loaded again, secrets aside.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
struct Show {
    #[command(flatten)]
    settings: Settings,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge config show
  data-bridge config show --config bridge.yaml --json | jq '.settings[\"kafka.brokers\"]'
  data-bridge config show | grep -v '# default'

Exit codes:
  0  the configuration is sound; warnings are no failure
  2  usage or configuration";

/// Prints the configuration.
pub(super) fn execute(environment: &Environment, args: &Args) -> anyhow::Result<Exit> {
    let Command::Show(show) = &args.command;
    let loaded = show.settings.load(environment)?;
    report::warnings(&loaded.warnings);
    let mut out = std::io::stdout().lock();
    if show.json {
        serde_json::to_writer_pretty(&mut out, &show::json(&loaded.settings))?;
        writeln!(out)?;
    } else {
        out.write_all(show::yaml(&loaded.settings).as_bytes())?;
    }
    Ok(Exit::Done)
}
