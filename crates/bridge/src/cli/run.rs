//! `data-bridge run`: one instance.

use super::{Exit, Settings};
use crate::config::Config;

/// Run one instance until SIGTERM or SIGINT
///
/// Reads its share of the topics' partitions, writes rows, commits what is durable. It never
/// creates tables or topics: while something is missing it is not ready, and says so at /readyz.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,
}

const HELP: &str = "\
Examples:
  data-bridge run
  data-bridge run --config /etc/data-bridge/bridge.yaml
  INSTANCE_ID=bridge-2 INSTANCE_NUMBER=2 data-bridge run
  data-bridge run --set kafka.brokers=kafka-1:9092 --set log.format=json

Exit codes:
  0  stopped, everything fetched is durable and committed
  1  failed, or the grace time ran out
  2  usage or configuration
  4  fenced: another instance runs under the same id";

/// Runs the instance.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let Args { settings: _ } = args;
    anyhow::bail!(
        "instance {} cannot run: the pipeline is not part of this build",
        config.instance.id
    )
}
