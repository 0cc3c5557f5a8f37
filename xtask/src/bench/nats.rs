//! `cargo xtask bench nats`: a stream of `JetStream` drained by the bridge, beside plain pull
//! consumers that do nothing; then a steady rate, and how soon its rows are durable.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use data_bridge_stack::nats::{Nats, NatsOptions};
use serde_json::{Value, json};

use super::contestant::{self, Work, total, wait_for_merges};
use super::figures::{self, Run, Series};
use super::ground::{Database, Expected, Ground, Reach, merge};
use super::{drain, histogram, meter};
use crate::screen;

const STREAM: &str = "BENCH";
/// What the engine takes until a row is queryable, from the record's time on.
const DURABLE: &str = "data_bridge_produce_to_durable_seconds";

#[derive(Debug, clap::Args)]
#[group(id = "nats")]
#[command(after_help = "Examples:\n  cargo xtask bench nats\n  \
    cargo xtask bench nats --messages 500000 --repeat 1 --rates 50000")]
pub(crate) struct Arguments {
    /// Ticks in the stream, of three dialects
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Decides all messages
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often each drain is measured
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// Steady messages per second
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 50_000])]
    rates: Vec<u64>,
    /// How long each rate is kept
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Keys of the bridge's configuration, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = drain::object)]
    config: Value,
    /// Write every figure there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Who drains the stream.
#[derive(Debug, Clone, Copy)]
enum Reader {
    Bridge,
    /// Does nothing with a message, and acks so.
    Plain {
        acks: &'static str,
        name: &'static str,
    },
}

const READERS: [Reader; 4] = [
    Reader::Bridge,
    Reader::Plain { acks: "explicit", name: "limit: plain pulls, each acked" },
    Reader::Plain { acks: "all", name: "limit: plain pulls, AckAll" },
    Reader::Plain { acks: "none", name: "limit: plain pulls, no acks" },
];

/// The stream's server, and consumers made so far.
struct Bench {
    ground: Ground,
    nats: Nats,
    config: Value,
    consumers: u32,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let steady: u64 = arguments.rates.iter().map(|rate| rate * arguments.seconds).sum();
    let ground = Ground::start(arguments.messages * 2 + steady)?;
    // Nobody needs it here, and it takes time of two cores.
    ground.kafka.stop()?;
    let nats = Nats::start(&ground.folder().join("nats"), NatsOptions::default())?;
    let mut bench = Bench { ground, nats, config: arguments.config.clone(), consumers: 0 };

    // `init` makes the stream.
    let first = bench.database("all")?;
    bench.ground.drop(&first)?;
    screen::line(&format!("bench  publishing {} messages", arguments.messages));
    let expected = bench.publish(arguments.messages, arguments.seed)?;
    let mut series: Vec<Series> = Vec::new();
    for round in 1..=arguments.repeat {
        for reader in READERS {
            screen::line(&format!("bench  round {round}: {}", reader.name()));
            let run = bench.drain(reader, &expected).with_context(|| reader.name())?;
            match series.iter_mut().find(|series| series.name == reader.name()) {
                Some(series) => series.runs.push(run),
                None => series.push(Series { name: reader.name(), runs: vec![run] }),
            }
        }
    }
    let pages = bench.steady(arguments)?;
    show(&expected, &series, &pages);
    let page = json!({
        "messages": expected.messages,
        "bytes": expected.bytes,
        "seed": arguments.seed,
        "config": arguments.config,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "series": series.iter().map(Series::to_json).collect::<Vec<_>>(),
        "steady": pages,
    });
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{page:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::Bridge => "data-bridge",
            Self::Plain { name, .. } => name,
        }
    }
}

impl Bench {
    /// A database, and a consumer that nobody has read from.
    fn database(&mut self, deliver: &str) -> Result<Database> {
        self.consumers += 1;
        let mut config = json!({
            "kafka": { "enabled": false },
            "nats": {
                "enabled": true,
                "cluster_urls": [self.nats.url()],
                "stream": STREAM,
                "consumer": format!("bridge-{}", self.consumers),
                "deliver_policy": deliver,
            },
        });
        merge(&mut config, &self.config);
        self.ground.new_database_on(&config)
    }

    fn publish(&self, messages: u64, seed: u64) -> Result<Expected> {
        let (url, messages, seed) = (self.nats.url(), messages.to_string(), seed.to_string());
        let mut arguments = vec!["nats-publish", "--servers", &url, "--stream", STREAM];
        arguments.extend(["--messages", &messages, "--seed", &seed]);
        Expected::read(&self.ground.lab(&arguments, &[])?)
    }

    /// Publishes at a rate and watches how soon each message is queryable.
    fn watch(&self, database: &Database, rate: u64, seconds: u64) -> Result<Value> {
        let (url, rate, seconds) = (self.nats.url(), rate.to_string(), seconds.to_string());
        let mut arguments = vec!["latency", "--servers", &url, "--stream", STREAM];
        arguments.extend(["--rate", &rate, "--seconds", &seconds, "--partitions", "1"]);
        self.ground.lab(&arguments, &[Reach::ClickHouse(&database.name)])
    }

    fn drain(&mut self, reader: Reader, expected: &Expected) -> Result<Run> {
        match reader {
            Reader::Bridge => self.drain_by_bridge(expected),
            Reader::Plain { acks, .. } => self.drain_plainly(acks, expected),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "messages of a benchmark fit 53 bits")]
    fn drain_by_bridge(&mut self, expected: &Expected) -> Result<Run> {
        let database = self.database("all")?;
        let (engine, server) = (self.ground.clickhouse.pid(), self.nats.pid());
        for pid in [engine, server] {
            meter::reset_peak(pid)?;
        }
        let before = (meter::look(engine)?, meter::look(server)?);
        let start = Instant::now();
        let instance = self.ground.instance(&database, 1)?;
        let (pid, port) = (instance.process.pid(), instance.port);
        let work = Work::Instances(vec![instance]);
        let (seconds, steady) = contestant::watch(&self.ground, &database, expected, start, &work)?;
        let client = meter::look(pid)?;
        let after = (meter::look(engine)?, meter::look(server)?);
        let page = data_bridge_stack::health::http_get(port, "/metrics")?;
        let again = total(&page, "data_bridge_nats_redelivered_messages_total");
        if again > 0.0 {
            bail!("{again} messages were delivered again");
        }
        let inserts = total(&page, "data_bridge_inserts_total").max(1.0);
        work.stop(&self.ground, &database)?;
        wait_for_merges(&self.ground, &database)?;
        let merged = meter::look(engine)?;
        let stored = self.ground.stored_bytes(&database)?;
        self.ground.verify(&database, expected)?;
        self.ground.drop(&database)?;
        let messages = expected.messages as f64;
        Ok(Run {
            messages,
            seconds,
            steady,
            client_cpu: client.cpu,
            broker_cpu: after.1.cpu - before.1.cpu,
            engine_cpu: after.0.cpu - before.0.cpu,
            merged_cpu: merged.cpu - before.0.cpu,
            client_mb: client.peak_mb,
            broker_mb: after.1.peak_mb,
            engine_mb: after.0.peak_mb,
            insert_rows: messages / inserts,
            stored_bytes: stored / messages,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "messages of a benchmark fit 53 bits")]
    fn drain_plainly(&mut self, acks: &str, expected: &Expected) -> Result<Run> {
        self.consumers += 1;
        let (url, server) = (self.nats.url(), self.nats.pid());
        let (consumer, count) =
            (format!("plain-{}", self.consumers), expected.messages.to_string());
        let arguments = [
            "nats-pull",
            "--servers",
            &url,
            "--stream",
            STREAM,
            "--consumer",
            &consumer,
            "--messages",
            &count,
            "--acks",
            acks,
        ];
        let before = meter::look(server)?;
        let page = self.ground.lab(&arguments, &[])?;
        let after = meter::look(server)?;
        let figure = |key: &str| page[key].as_f64().with_context(|| format!("no {key} in {page}"));
        Ok(Run {
            messages: expected.messages as f64,
            seconds: figure("seconds")?,
            client_cpu: figure("cpu_seconds")?,
            broker_cpu: after.cpu - before.cpu,
            broker_mb: after.peak_mb,
            ..Run::default()
        })
    }

    /// Messages flow at each rate, and each chunk's oldest says how soon it was durable.
    #[expect(clippy::cast_precision_loss, reason = "messages of a benchmark fit 53 bits")]
    fn steady(&mut self, arguments: &Arguments) -> Result<Vec<Value>> {
        let mut pages = Vec::new();
        for rate in &arguments.rates {
            screen::line(&format!("bench  {rate} messages a second"));
            let database = self.database("new")?;
            let instance = self.ground.instance(&database, 1)?;
            let (pid, port) = (instance.process.pid(), instance.port);
            let metrics = || data_bridge_stack::health::http_get(port, "/metrics");
            let work = Work::Instances(vec![instance]);
            let begun = Instant::now();
            while !metrics().is_ok_and(|page| total(&page, "data_bridge_ready") > 0.0) {
                if begun.elapsed().as_secs() > 60 {
                    bail!("the instance is not ready");
                }
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            let (engine, server) = (self.ground.clickhouse.pid(), self.nats.pid());
            let look =
                || anyhow::Ok([meter::look(pid)?, meter::look(server)?, meter::look(engine)?]);
            let before = look()?;
            let seen = self.watch(&database, *rate, arguments.seconds)?;
            let expected = Expected::read(&seen)?;
            let after = look()?;
            let page = metrics()?;
            let mut durable = Vec::new();
            histogram::add(&mut durable, &page, DURABLE);
            let each = |index: usize| {
                let spent: f64 = after[index].cpu - before[index].cpu;
                spent * 1e9 / expected.messages as f64
            };
            pages.push(json!({
                "rate": rate,
                "p50_ms": seen["p50_ms"],
                "p99_ms": seen["p99_ms"],
                "poll_ms": seen["poll_ms"],
                "durable_p50_ms": histogram::quantile(&durable, 0.5) * 1e3,
                "durable_p99_ms": histogram::quantile(&durable, 0.99) * 1e3,
                "inserts_per_second":
                    total(&page, "data_bridge_inserts_total") / arguments.seconds as f64,
                "redelivered": total(&page, "data_bridge_nats_redelivered_messages_total"),
                "client_ns": each(0),
                "server_ns": each(1),
                "engine_ns": each(2),
            }));
            work.stop(&self.ground, &database)?;
            self.ground.verify(&database, &expected)?;
            self.ground.drop(&database)?;
        }
        Ok(pages)
    }
}

fn show(expected: &Expected, series: &[Series], pages: &[Value]) {
    screen::line("");
    for line in figures::head() {
        screen::line(&line);
    }
    for one in series {
        screen::line(&one.line(None));
    }
    screen::line(&format!(
        "\n{} ticks of three dialects, {} bytes each on average, one stream on disk, one consumer; \
         rows verified after each run. Broker: nats-server.",
        expected.messages,
        expected.bytes / expected.messages.max(1),
    ));
    if let [bridge, plain, ..] = series {
        let ratio = plain.middle(Run::rate) / bridge.middle(Run::rate).max(1e-9);
        screen::line(&format!("The plain consumer that acks each message: {ratio:.2} × as fast."));
    }
    screen::line(&format!(
        "\n{:>8} {:>17} {:>10} {:>16} {:>10} {:>12} {:>30}",
        "msg/s",
        "queryable p50/p99",
        "a poll",
        "durable p50/p99",
        "inserts/s",
        "redelivered",
        "CPU ns/msg bridge/server/CH"
    ));
    for page in pages {
        let figure = |key: &str| page[key].as_f64().unwrap_or(f64::NAN);
        screen::line(&format!(
            "{:>8} {:>17} {:>10} {:>16} {:>10.1} {:>12} {:>30}",
            page["rate"],
            format!("{:.0}/{:.0} ms", figure("p50_ms"), figure("p99_ms")),
            format!("{:.1} ms", figure("poll_ms")),
            format!("{:.0}/{:.0} ms", figure("durable_p50_ms"), figure("durable_p99_ms")),
            figure("inserts_per_second"),
            figure("redelivered"),
            format!(
                "{:.0}/{:.0}/{:.0}",
                figure("client_ns"),
                figure("server_ns"),
                figure("engine_ns")
            ),
        ));
    }
    screen::line(
        "Queryable: from the stream's time of a message to the answer that showed its row, asked each 10 ms. \
         Durable: of a chunk's oldest message to its acked insert.",
    );
}
