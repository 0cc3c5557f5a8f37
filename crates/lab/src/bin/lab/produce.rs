//! The seeded messages, and what must come of them.

use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Produced, Producer, create_topics};
use data_bridge_lab::model::{Expected, checksum_query};
use data_bridge_lab::plan::{Kind, Mix, Plan, Publishers};
use serde_json::{Value, json};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    messages: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = NonZeroU32::new(6).expect("6 is not 0"))]
    partitions: NonZeroU32,
    /// Candles instead of ticks
    #[arg(long)]
    candles: bool,
    /// Shapes and numbers that tests need and real publishers hardly send
    #[arg(long)]
    wild: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let kind = if arguments.candles { Kind::Candle } else { Kind::Tick };
    let plan = plan(kind, arguments.messages, arguments.seed, arguments.partitions);
    let publishers = if arguments.wild { Publishers::Wild } else { Publishers::Tidy };
    let generator = Generator::try_new(Plan { publishers, ..plan })?;
    let topic = generator.plan().topic(kind);
    super::runtime()?.block_on(create_topics(
        &arguments.brokers,
        std::slice::from_ref(&topic),
        arguments.partitions,
    ))?;
    let producer = Producer::connect(&arguments.brokers)?;
    let produced =
        producer.produce(&generator, 0..arguments.messages, Pace::Full, |_progress| ())?;
    expectation(&generator, kind, &produced)
}

/// What was sent, and what must come of it.
pub(crate) fn expectation(generator: &Generator, kind: Kind, produced: &Produced) -> Result<Value> {
    let expected = Expected::of(generator)?;
    Ok(json!({
        "topic": generator.plan().topic(kind),
        "table": kind.table(),
        "messages": produced.messages,
        "bytes": produced.bytes,
        "seconds": produced.elapsed.as_secs_f64(),
        "rows": expected.visible(kind),
        "checksum": expected.checksum(kind)?.to_string(),
        "query": checksum_query("{database}", kind),
    }))
}

/// One kind, nothing planted, all times in the past.
pub(crate) fn plan(kind: Kind, messages: u64, seed: u64, partitions: NonZeroU32) -> Plan {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Brokers refuse times that lie ahead: the last message lies before now.
    let span = i64::try_from(messages / 4 + 1).unwrap_or(i64::MAX);
    let start_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX) - span - 60_000;
    Plan {
        mix: Mix::only(kind),
        partitions,
        publishers: Publishers::Tidy,
        // Ticks say when they happened, which is when they were recorded: a backlog is minutes or
        // hours of the market and not the three months that tests want.
        events_from_ms: start_ms,
        events_to_ms: start_ms + span,
        ..Plan::new(seed, messages, start_ms)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(now.as_millis())?)
}
