//! `cargo xtask demo`: the whole system on real servers, and the proof that nothing got lost.
//!
//! Kafka, NATS and ClickHouse are started, tables, topics and the stream made, three instances and a
//! hub with their page run.
//! While messages of all kinds flow by both ways, bad ones and duplicates among them, one instance is
//! killed and started again. At the end every row in ClickHouse is compared with what must be there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_bridge_stack::bridge::program;
use data_bridge_stack::clickhouse::{ClickHouse, ClickHouseOptions};
use data_bridge_stack::kafka::{Kafka, KafkaOptions};
use data_bridge_stack::nats::{Nats, NatsOptions};
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};

use crate::{screen, stack};

mod fleet;
mod hub;
mod load;
mod tables;
mod view;
mod ways;

use fleet::Fleet;
use hub::Hub;
use load::Load;
use view::View;
use ways::Ways;

/// Enough time to see what happens, and to kill an instance in the middle.
const RATE: u64 = 20_000;
/// The share of rows at which one instance is killed.
const KILL_AT: f64 = 0.35;
/// How long the dead instance stays away: long enough to be seen in the table.
const AWAY: Duration = Duration::from_secs(2);
/// Which one.
const VICTIM: usize = 1;
/// Between two looks at the instances and the tables.
const PACE: Duration = Duration::from_millis(500);
/// The group forms in a second or two; on a machine that does other work, it takes its time.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Acks follow the rows within a moment.
const ACKED_LIMIT: Duration = Duration::from_secs(10);
/// Three seconds per 10,000 messages more than the rate needs: then something stands still.
const STALL_LIMIT: Duration = Duration::from_mins(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave everything running; `cargo xtask stack down` stops it
    #[arg(long)]
    keep: bool,
    /// How many messages
    #[arg(long, default_value_t = 300_000)]
    messages: u64,
    /// Decides all messages
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// `false` when something is missing, doubled or altered.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let begun = Instant::now();
    let folder = stack::folder()?.join(stack::DEMO);
    stack::end_all(&folder)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }

    let bridge = stack::bridge_binary(false)?;
    let lifetime = if arguments.keep { Lifetime::Detached } else { Lifetime::WithStarter };
    let servers = Servers::start(&bridge, &folder, lifetime)?;
    let page = format!("http://127.0.0.1:{}", port::free_or(9400)?);
    let config = write_config(&folder, &servers, &page)?;
    init(&bridge, &config, &folder)?;
    let hub = Hub::start(&bridge, &config, &folder, lifetime)?;
    screen::line(&format!("demo   watch it at {page}"));
    let mut fleet = Fleet::start(&bridge, &config, &folder, lifetime)?;
    fleet.wait_until_ready(READY_LIMIT)?;
    screen::line(&format!("demo   ready after {}", seconds(begun)));

    let load = Load::start(&bridge, &config, &folder, arguments)?;
    let visible = watch(&mut fleet, &load, &servers, arguments)?;
    let exact = load.verdict(&visible)?;
    for line in both_ways(&servers, &fleet)?.lines(load.sent()?, visible.events()) {
        screen::line(&line);
    }
    for line in fleet.gone() {
        screen::line(&format!("demo   {line}"));
    }

    explain(&servers, &page, &config, arguments.keep);
    let mut wrong = Vec::new();
    if !arguments.keep {
        wrong = fleet.stop()?;
        wrong.extend(hub.stop()?);
        servers.clickhouse.stop()?;
        servers.nats.stop()?;
        servers.kafka.stop()?;
    }
    let good = exact && wrong.is_empty();
    if !good {
        wrong.extend(fleet.logs());
        screen::line(&format!("demo   look at: {}", wrong.join("\n                ")));
    }
    screen::line(&format!("demo: {}, {}", if good { "ok" } else { "FAILED" }, seconds(begun)));
    Ok(good)
}

/// What the instances need.
struct Servers {
    kafka: Kafka,
    nats: Nats,
    clickhouse: ClickHouse,
}

impl Servers {
    fn start(bridge: &Path, folder: &Path, lifetime: Lifetime) -> Result<Self> {
        let port = Some(port::free_or(9092)?);
        let options = KafkaOptions { port, lifetime, ..KafkaOptions::default() };
        let kafka = Kafka::start(&folder.join("kafka"), options)?;
        screen::line(&format!("demo   Kafka at {}", kafka.bootstrap()));

        let port = Some(port::free_or(4222)?);
        let options = NatsOptions { port, lifetime, ..NatsOptions::default() };
        let nats = Nats::start(&folder.join("nats"), options)?;
        screen::line(&format!("demo   NATS at {}", nats.url()));

        let port = Some(port::free_or(8123)?);
        let options = ClickHouseOptions { port, lifetime, ..ClickHouseOptions::default() };
        let clickhouse = ClickHouse::start(bridge, &folder.join("clickhouse"), options)?;
        screen::line(&format!("demo   ClickHouse at {}", clickhouse.url()));
        Ok(Self { kafka, nats, clickhouse })
    }
}

/// JSON is YAML, and needs no care about what a value may hold.
fn write_config(folder: &Path, servers: &Servers, page: &str) -> Result<PathBuf> {
    let config = serde_json::json!({
        "kafka": {
            "brokers": servers.kafka.bootstrap(),
            "group_id": "data-bridge-demo",
            "auto_offset_reset": "earliest",
            // The killed instance gets its partitions back as it returns; the others go on meanwhile.
            "static_membership": true,
        },
        "nats": { "cluster_urls": [servers.nats.url()] },
        "clickhouse": { "urls": [servers.clickhouse.url()] },
        "hub": { "url": page, "listen": page.trim_start_matches("http://") },
    });
    let path = folder.join("bridge.yaml");
    fs::write(&path, format!("{config:#}\n"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn init(bridge: &Path, config: &Path, folder: &Path) -> Result<()> {
    let mut command = program(bridge);
    command.arg("init").arg("--config").arg(config);
    let log = folder.join("init/init.log");
    let process = Process::spawn("init", command, &log, Lifetime::WithStarter)?;
    match process.wait_exit(READY_LIMIT) {
        Some(status) if status.success() => {
            screen::line("demo   tables, topics and stream made");
            Ok(())
        }
        Some(status) => bail!("data-bridge init: {status}\n{}", process.log_tail()),
        None => bail!("data-bridge init does not end\n{}", process.log_tail()),
    }
}

/// Shows what happens until the load has ended; kills one instance on the way. Returns what the
/// tables hold at the end.
fn watch(
    fleet: &mut Fleet,
    load: &Load,
    servers: &Servers,
    arguments: &Arguments,
) -> Result<tables::Rows> {
    let mut view = View::new(arguments.messages);
    let mut killed: Option<Instant> = None;
    let mut back = false;
    let started = Instant::now();
    let mut rows = tables::Rows::default();
    loop {
        let ended = load.wait_exit(PACE);
        // A server that is too busy to answer in time is asked again.
        if let Ok(seen) = tables::rows(servers.clickhouse.port()) {
            rows = seen;
        }
        match killed {
            None if rows.share_of(arguments.messages) >= KILL_AT => {
                view.event(&format!("kill -9 {}", fleet.kill(VICTIM)?));
                killed = Some(Instant::now());
            }
            Some(then) if !back && then.elapsed() >= AWAY => {
                view.event(&format!("{} starts again", fleet.start_again(VICTIM)?));
                back = true;
            }
            Some(_) | None => {}
        }
        view.show(&fleet.look(), &rows);
        if ended {
            if !back {
                bail!("the load was over before an instance was killed: take more --messages");
            }
            return Ok(rows);
        }
        if started.elapsed() > STALL_LIMIT + Duration::from_secs(arguments.messages / RATE) {
            bail!("no end in sight\n{}\n{}", load.log_tail(), fleet.log_tails());
        }
    }
}

/// The last acks are on their way when the last row is visible.
fn both_ways(servers: &Servers, fleet: &Fleet) -> Result<Ways> {
    let begun = Instant::now();
    loop {
        let ways = Ways::ask(servers.nats.monitor_port(), &fleet.ports())?;
        if ways.is_acked() || begun.elapsed() > ACKED_LIMIT {
            return Ok(ways);
        }
        let process = servers.nats.process();
        if let Some(status) = process.wait_exit(PACE) {
            bail!("nats-server ended with {status}\n{}", process.log_tail());
        }
    }
}

fn explain(servers: &Servers, page: &str, config: &Path, keep: bool) {
    if !keep {
        screen::line("demo   now all is stopped; `cargo xtask demo --keep` leaves it running");
        return;
    }
    let url = servers.clickhouse.url();
    screen::line("\nIt still runs. Try:");
    for query in [
        "SELECT symbol, count(), min(bid), max(ask) FROM market.ticks FINAL GROUP BY symbol",
        "SELECT origin, count(), max(origin_position) FROM market.ticks GROUP BY origin",
        "SELECT reason, error, payload FROM market.dead_letters FINAL LIMIT 5 FORMAT Vertical",
    ] {
        screen::line(&format!("  curl {url} -d \"{query}\""));
    }
    screen::line(&format!("  a browser at {page}"));
    screen::line(&format!("  data-bridge top --hub {page}"));
    screen::line(&format!("  data-bridge check --config {}", config.display()));
    screen::line("Stop it with: cargo xtask stack down");
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
