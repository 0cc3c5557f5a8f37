//! `data-bridge load`: a load generator.

use std::num::NonZeroU64;

use clap::ValueEnum;

use super::{Exit, Settings};
use crate::config::Config;

/// Produce market data of all kinds, seeded and numbered
///
/// Every message follows from the seed and its number, so a run can be repeated and verified.
/// Topics must be there: `data-bridge init` creates them.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// How many messages
    #[arg(short, long, value_name = "N", default_value_t = 100_000)]
    pub(super) messages: u64,

    /// Messages per second [default: as fast as it goes]
    #[arg(short, long, value_name = "R")]
    pub(super) rate: Option<NonZeroU64>,

    /// Decides all messages
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(super) seed: u64,

    /// Kinds of messages, comma-separated [default: all, mostly ticks]
    #[arg(long, value_name = "KIND,...", value_enum, value_delimiter = ',')]
    pub(super) kinds: Vec<Kind>,

    /// Share of bad messages, 0 to 1: each must become a dead letter
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(super) bad_share: f64,

    /// Share of messages sent a second time, 0 to 1: none may be visible twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(super) duplicates: f64,

    /// Afterwards, wait for the rows and compare every value in ClickHouse
    #[arg(long)]
    pub(super) verify: bool,

    /// By which way
    #[arg(long, value_name = "WAY", value_enum, default_value = "kafka")]
    pub(super) transport: Transport,

    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge load --messages 1000000
  data-bridge load --messages 300000 --rate 50000 --bad-share 0.001 --duplicates 0.01 --verify
  data-bridge load --kinds ticks,aggregates --seed 7

Exit codes:
  0  produced, and with --verify all rows are as they must be
  1  --verify found a difference
  2  usage or configuration
  3  Kafka or ClickHouse cannot be reached";

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Kind {
    Ticks,
    Aggregates,
    /// All six external ones
    External,
    EconomicCalendar,
    FredEconomic,
    CryptoSentiment,
    FearGreedIndex,
    CommodityPrices,
    MarketSessions,
}

/// A way to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Transport {
    Kafka,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("write a number from 0 to 1, such as 0.01".to_owned()),
    }
}

/// Produces, and verifies when asked.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    anyhow::bail!(
        "cannot produce {} messages to {}: the generator is not part of this build",
        args.messages,
        config.kafka.brokers
    )
}
