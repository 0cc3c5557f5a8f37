//! The bridge most would write: one message, one struct, one row.

use std::time::Duration;

use anyhow::{Context, Result};
use clickhouse::Row;
use clickhouse::inserter::Inserter;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    group: String,
    #[arg(long)]
    url: String,
    #[arg(long)]
    database: String,
}

/// All three dialects in one struct; prices as floats, which is enough for prices of few digits
/// and cheaper than decimals.
#[derive(Deserialize)]
struct Tick<'a> {
    #[serde(borrow, alias = "pair")]
    symbol: &'a str,
    #[serde(alias = "b")]
    bid: f64,
    #[serde(alias = "a")]
    ask: f64,
    #[serde(alias = "s")]
    volume: Option<f64>,
    #[serde(alias = "x")]
    exchange: Option<i32>,
    #[serde(borrow)]
    source: Option<&'a str>,
    #[serde(borrow, alias = "ev")]
    event_type: Option<&'a str>,
    #[serde(alias = "t")]
    timestamp_ms: Option<i64>,
    #[serde(borrow)]
    timestamp: Option<Time<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time<'a> {
    Millis(i64),
    Text(&'a str),
}

#[derive(Row, Serialize)]
struct Line<'a> {
    symbol: &'a str,
    timestamp: i64,
    bid: i64,
    ask: i64,
    volume: Option<i64>,
    exchange: Option<i32>,
    source: &'a str,
    event_type: &'a str,
    event_id: u64,
    origin: &'a str,
    origin_position: u64,
    version: u64,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Value> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.brokers)
        .set("group.id", &arguments.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    consumer.subscribe(&[&arguments.topic])?;
    let client = clickhouse::Client::default()
        .with_url(&arguments.url)
        .with_user("default")
        .with_database(&arguments.database)
        // Without it each insert asks for the table's columns first.
        .with_validation(false)
        .with_compression(clickhouse::Compression::None)
        .with_option("async_insert", "0");
    let mut inserter: Inserter<Line<'static>> =
        client.inserter("ticks").with_max_rows(200_000).with_period(Some(Duration::from_secs(1)));
    let origins: Vec<String> =
        (0..1_000).map(|partition| format!("kafka:{}:{partition}", arguments.topic)).collect();
    loop {
        let wait = inserter.time_left().unwrap_or(Duration::from_secs(1));
        match tokio::time::timeout(wait, consumer.recv()).await {
            Ok(message) => {
                let message = message?;
                let payload = message.payload().context("a tombstone")?;
                let tick: Tick<'_> = serde_json::from_slice(payload)?;
                let partition = usize::try_from(message.partition())?;
                let line = line(&tick, payload, &message, &origins[partition])?;
                inserter.write(&line).await?;
            }
            Err(_quiet) => {}
        }
        if inserter.commit().await?.rows > 0 {
            consumer.commit_consumer_state(CommitMode::Async)?;
        }
    }
}

fn line<'a>(
    tick: &Tick<'a>,
    payload: &[u8],
    message: &impl rdkafka::Message,
    origin: &'a str,
) -> Result<Line<'a>> {
    let position = message.offset().cast_unsigned();
    let time_ms = message.timestamp().to_millis().unwrap_or_default().cast_unsigned();
    let timestamp = match (&tick.timestamp_ms, &tick.timestamp) {
        (Some(ms), _) | (None, Some(Time::Millis(ms))) => *ms,
        (None, Some(Time::Text(text))) => {
            data_bridge_lab::model::millis(text.as_bytes()).context("not a time")?
        }
        (None, None) => anyhow::bail!("no time"),
    };
    Ok(Line {
        symbol: tick.symbol,
        timestamp,
        bid: scaled(tick.bid),
        ask: scaled(tick.ask),
        volume: tick.volume.map(scaled),
        exchange: tick.exchange,
        source: tick.source.unwrap_or_default(),
        event_type: tick.event_type.unwrap_or_default(),
        event_id: xxh3_64(payload),
        origin,
        origin_position: position,
        version: (time_ms << 22) | (position & ((1 << 22) - 1)),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "prices are far below the limits")]
fn scaled(value: f64) -> i64 {
    (value * 1e8).round() as i64
}
