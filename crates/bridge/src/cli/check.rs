//! `data-bridge check`: is everything there that an instance needs?

use super::{Exit, Settings};
use crate::config::Config;

/// Check configuration and dependencies, one line each
///
/// Asks Kafka for its topics and ClickHouse for its tables, their engines and keys. Made for
/// container health checks and for people.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// Print the findings as JSON
    #[arg(long)]
    pub(super) json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge check
  data-bridge check --json | jq '.findings[] | select(.level != \"ok\")'

Exit codes:
  0  all is well; warnings are no failure
  1  something is missing, wrong, or cannot be reached
  2  usage or configuration";

/// Looks at everything, prints what it found.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let Args {
        settings: _,
        json: _,
    } = args;
    anyhow::bail!(
        "instance {} cannot check: not part of this build",
        config.instance.id
    )
}
