//! From the moment a message is produced to the moment a query shows its row.
//!
//! A query is asked again and again while messages flow: how far each partition is visible, or the
//! stream. Rows of one partition become visible in order, so each answer says of every message
//! whether it was there; it counts from the answer's arrival. Several pulls bring a stream, a few
//! messages may overtake each other: as many count as are visible, from the first on. When a message
//! was produced is read from its row afterwards: its record time, which the producing client set
//! when it was handed the message, or the stream when it stored it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Produced, Producer};
use data_bridge_lab::nats::{Assurance, Publisher};
use data_bridge_lab::plan::{Kind, Plan, Stamp, Ways};
use data_bridge_lab::verify::Server;
use serde_json::{Value, json};

use super::produce::{now_ms, plan};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    brokers: Option<String>,
    /// Servers of NATS, instead of brokers
    #[arg(long, requires = "stream", required_unless_present = "brokers")]
    servers: Option<String>,
    #[arg(long)]
    stream: Option<String>,
    #[arg(long)]
    url: String,
    #[arg(long)]
    database: String,
    /// Messages per second
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    seconds: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = NonZeroU32::new(6).expect("6 is not 0"))]
    partitions: NonZeroU32,
    /// Put before the topic's name
    #[arg(long, default_value = "")]
    prefix: String,
    /// Longest time between the beginnings of two polls
    #[arg(long, default_value_t = 10)]
    poll_ms: u64,
    /// Seconds at the beginning that do not count: connections, first merges
    #[arg(long, default_value_t = 3)]
    warm_up: u32,
}

/// How long rows may take after the last message.
const PATIENCE: Duration = Duration::from_secs(20);
/// Versions hold record time × 2²² + position mod 2²².
const POSITIONS: u64 = 1 << 22;

/// What a poll saw: when, and per origin the last visible position.
struct Seen {
    at_ms: f64,
    positions: BTreeMap<String, u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let messages = u64::from(arguments.rate) * u64::from(arguments.seconds);
    let begin = now_ms()?;
    let generator = Generator::try_new(Plan {
        stamp: Stamp::Clock,
        // Event times are about the times of producing: live rows, one partition of the table.
        events_from_ms: begin,
        events_to_ms: begin + i64::from(arguments.seconds) * 1_000,
        ways: match &arguments.stream {
            Some(stream) => Ways::Nats { origin: format!("nats:{stream}") },
            None => Ways::Kafka,
        },
        topic_prefix: arguments.prefix.clone(),
        symbols: NonZeroU32::new(arguments.partitions.get() * 6).expect("not 0"),
        ..plan(Kind::Tick, messages, arguments.seed ^ begin.cast_unsigned(), arguments.partitions)
    })?;
    let mut way = Way::connect(arguments)?;
    let done = AtomicBool::new(false);
    let (produced, polls) = thread::scope(|scope| {
        let producing = scope.spawn(|| {
            let pace = Pace::PerSecond(f64::from(arguments.rate));
            let produced = way.send(&generator, messages, pace);
            done.store(true, Ordering::Relaxed);
            produced
        });
        let polls = super::runtime()?.block_on(poll(arguments, begin, messages, &done));
        let Ok(produced) = producing.join() else {
            bail!("the producing thread panicked");
        };
        Ok((produced?, polls?))
    })?;
    let mut page = super::runtime()?.block_on(report(arguments, begin, &produced, &polls))?;
    let expected = super::produce::expectation(&generator, Kind::Tick, &produced)?;
    if let (Some(page), Value::Object(expected)) = (page.as_object_mut(), expected) {
        page.extend(expected);
    }
    Ok(page)
}

/// How messages are sent.
enum Way {
    Kafka(Producer),
    Nats(Publisher),
}

impl Way {
    fn connect(arguments: &Arguments) -> Result<Self> {
        Ok(match (&arguments.servers, &arguments.brokers) {
            (Some(servers), _) => Self::Nats(Publisher::connect(servers, Assurance::Confirmed)?),
            (None, brokers) => {
                Self::Kafka(Producer::connect(brokers.as_deref().unwrap_or_default())?)
            }
        })
    }

    fn send(&mut self, generator: &Generator, messages: u64, pace: Pace) -> Result<Produced> {
        Ok(match self {
            Self::Kafka(producer) => producer.produce(generator, 0..messages, pace, |_| ())?,
            Self::Nats(publisher) => publisher.publish(generator, 0..messages, pace, |_| ())?,
        })
    }
}

/// Asks until every message is visible.
async fn poll(
    arguments: &Arguments,
    begin: i64,
    messages: u64,
    done: &AtomicBool,
) -> Result<(Vec<Seen>, Duration)> {
    let server = Server::new(&arguments.url, &arguments.database);
    let database = &arguments.database;
    let pace = Duration::from_millis(arguments.poll_ms);
    let (clock, offset_ms) = (Instant::now(), now_ms()?);
    let mut seen = Vec::new();
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    let mut spent = Duration::ZERO;
    let mut ended: Option<Instant> = None;
    let visible = match arguments.stream {
        Some(_) => "min(origin_position) + count() - 1",
        None => "max(origin_position)",
    };
    // All rows are there: one more answer shows the last of them.
    let mut complete = false;
    loop {
        let asked = Instant::now();
        // What is older than the newest visible row of every partition was seen before.
        let expected = arguments.partitions.get() as usize;
        let from = match newest.values().min() {
            Some(time) if newest.len() == expected && arguments.stream.is_none() => *time,
            _ => begin,
        };
        let answer = server
            .query(&format!(
                "SELECT origin, {visible}, max(toUnixTimestamp64Milli(timestamp)) \
                 FROM {database}.ticks WHERE timestamp >= fromUnixTimestamp64Milli({from}) \
                 GROUP BY origin SETTINGS max_threads = 1"
            ))
            .await?;
        let took = asked.elapsed();
        spent += took;
        let mut positions = BTreeMap::new();
        for line in answer.lines() {
            let mut parts = line.split('\t');
            let origin = parts.next().context("an origin")?;
            let position: u64 = parts.next().context("a position")?.parse()?;
            let time: i64 = parts.next().context("a time")?.parse()?;
            positions.insert(origin.to_owned(), position);
            newest.insert(origin.to_owned(), time);
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of today")]
        let at_ms = offset_ms as f64 + clock.elapsed().as_secs_f64() * 1e3;
        seen.push(Seen { at_ms, positions });
        if complete {
            return Ok((seen, spent));
        }
        if ended.is_none() && done.load(Ordering::Relaxed) {
            ended = Some(Instant::now());
        }
        if let Some(ended) = ended {
            let query = format!(
                "SELECT count() FROM {database}.ticks WHERE timestamp >= fromUnixTimestamp64Milli({begin})"
            );
            let rows: u64 = server.query(&query).await?.trim().parse()?;
            complete = rows >= messages;
            if !complete && ended.elapsed() > PATIENCE {
                bail!("{rows} of {messages} messages are visible {PATIENCE:?} after the last");
            }
        }
        tokio::time::sleep(pace.saturating_sub(asked.elapsed())).await;
    }
}

/// Latencies of all messages that count.
async fn report(
    arguments: &Arguments,
    begin: i64,
    produced: &Produced,
    (polls, spent): &(Vec<Seen>, Duration),
) -> Result<Value> {
    let server = Server::new(&arguments.url, &arguments.database);
    let database = &arguments.database;
    let from = begin + i64::from(arguments.warm_up) * 1_000;
    let rows = server
        .query(&format!(
            "SELECT origin, origin_position, intDiv(version, {POSITIONS}) FROM {database}.ticks \
             WHERE timestamp >= fromUnixTimestamp64Milli({begin}) ORDER BY origin, origin_position"
        ))
        .await?;
    let mut latencies: Vec<f64> = Vec::new();
    let mut longest: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut of, mut at) = ("", 0);
    for line in rows.lines() {
        let mut parts = line.split('\t');
        let origin = parts.next().context("an origin")?;
        let position: u64 = parts.next().context("a position")?.parse()?;
        let time: f64 = parts.next().context("a time")?.parse()?;
        if of != origin {
            (of, at) = (origin, 0);
        }
        let shows = |seen: &Seen| seen.positions.get(origin).is_some_and(|last| *last >= position);
        while polls.get(at).is_some_and(|seen| !shows(seen)) {
            at += 1;
        }
        let seen = polls.get(at).with_context(|| format!("{origin} {position} was never seen"))?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of today")]
        if time >= from as f64 {
            let latency = (seen.at_ms - time).max(0.0);
            latencies.push(latency);
            let most = longest.entry(origin).or_default();
            *most = most.max(latency);
        }
    }
    latencies.sort_unstable_by(f64::total_cmp);
    let Some(max) = latencies.last() else {
        bail!("no message counts");
    };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index below the number of messages"
    )]
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    #[expect(clippy::cast_precision_loss, reason = "counts of polls are small")]
    let poll_ms = spent.as_secs_f64() * 1e3 / polls.len().max(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = produced.messages as f64 / produced.elapsed.as_secs_f64();
    Ok(json!({
        "counted": latencies.len(),
        "rate": rate.round(),
        "p50_ms": at(0.5),
        "p90_ms": at(0.9),
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
        "max_ms": max,
        "longest_ms": longest,
        "polls": polls.len(),
        "poll_ms": poll_ms,
    }))
}
