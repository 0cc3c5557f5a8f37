//! `data-bridge check`: is everything there that an instance needs?

use std::io::Write;

use super::{Exit, Settings};
use crate::checkup::{self, Finding, Level};
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
    let runtime = super::runtime()?;
    let findings = checkup::look(config, &runtime);
    let mut out = std::io::stdout().lock();
    if args.json {
        let page = serde_json::json!({
            "instance_id": config.instance.id,
            "instance_number": config.instance.number.get(),
            "findings": findings,
        });
        writeln!(out, "{page:#}")?;
    } else {
        writeln!(out, "{:<12} instance {}", "ok", config.instance.id)?;
        for Finding { level, subject, text } in &findings {
            writeln!(out, "{level:<12} {subject}: {text}")?;
        }
    }
    let worst = findings.iter().map(|finding| finding.level).max();
    Ok(match worst {
        Some(Level::Problem | Level::Unreachable) => Exit::Failed,
        Some(Level::Ok | Level::Warning) | None => Exit::Done,
    })
}
