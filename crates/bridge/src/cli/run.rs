//! `data-bridge run`: one instance.

use super::{Exit, Settings, Stop};
use crate::config::Config;
use crate::instance;
use crate::pipeline::Ended;
use crate::source::kafka::SourceError;

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
    match instance::run(config)? {
        Ended::Drained => {
            tracing::info!("stopped: everything fetched is durable and committed");
            Ok(Exit::Done)
        }
        Ended::Abandoned { open_chunks } => Err(Stop::new(
            Exit::Failed,
            format!(
                "the grace time of {} ms ran out with {open_chunks} fetches not durable",
                config.shutdown.grace.as_millis()
            ),
            "nothing is lost: they were not committed and are read again",
        )
        .into()),
        Ended::Failed(cause @ SourceError::Fenced { .. }) => Err(Stop::new(
            Exit::Fenced,
            cause.to_string(),
            "give each instance its own instance.id",
        )
        .into()),
        Ended::Failed(cause) => Err(cause.into()),
    }
}
