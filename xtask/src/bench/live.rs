//! `cargo xtask bench latency`, `scale`, `failover`: messages flow at a rate, and each is seen as
//! soon as a query shows its row.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::{Value, json};

use super::ground::{Database, Ground, Instance, Reach};
use super::meter::{self, Look};
use super::{contestant, histogram};
use crate::screen;

mod failover;
mod latency;
mod scale;

pub(super) use failover::{Arguments as FailoverArguments, run as failover};
pub(super) use latency::{Arguments as LatencyArguments, run as latency};
pub(super) use scale::{Arguments as ScaleArguments, run as scale};

/// How long instances may take until all are ready.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Beyond the time of producing: the last rows, and reading all positions.
const END_LIMIT: Duration = Duration::from_mins(2);

/// Instances at work on a topic of their own.
struct Fleet {
    database: Database,
    instances: Vec<Instance>,
    partitions: u32,
    prefix: String,
}

/// What a stretch of time at one rate showed.
struct Stretch {
    page: Value,
    seconds: f64,
    clients: Look,
    engine: Look,
    broker: Look,
    inserts: f64,
    durable: Vec<(f64, f64)>,
}

impl Fleet {
    /// Starts `count` instances on a new topic and waits until all are ready.
    fn start(
        ground: &mut Ground,
        count: usize,
        partitions: u32,
        config: &Value,
        is_static: bool,
    ) -> Result<Self> {
        let prefix = format!("p{partitions}_{count}_");
        let topic = format!("{prefix}tick_archive");
        let mut own = json!({ "kafka": {
            "topics": { topic: "ticks" },
            "init": { "partitions": partitions },
            "static_membership": is_static,
        } });
        super::ground::merge(&mut own, config);
        let database = ground.new_database_on(&own)?;
        let start = |number| ground.instance(&database, number);
        let instances: Vec<Instance> = (1..=count).map(start).collect::<Result<_>>()?;
        let fleet = Self { database, instances, partitions, prefix };
        fleet.wait_until_ready()?;
        Ok(fleet)
    }

    /// All are ready, and together they have all partitions.
    fn wait_until_ready(&self) -> Result<()> {
        let start = std::time::Instant::now();
        loop {
            let assigned: f64 = self
                .instances
                .iter()
                .filter_map(|one| one.metrics().ok())
                .filter(|page| contestant::total(page, "data_bridge_ready") > 0.0)
                .map(|page| contestant::total(&page, "data_bridge_assigned"))
                .sum();
            if assigned >= f64::from(self.partitions) {
                return Ok(());
            }
            for instance in &self.instances {
                if let Some(status) = instance.process.exited() {
                    bail!("an instance ended with {status}\n{}", instance.process.log_tail());
                }
            }
            if start.elapsed() > READY_LIMIT {
                bail!("{assigned} of {} partitions after {READY_LIMIT:?}", self.partitions);
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Begins to produce and to watch.
    fn begin(&self, ground: &Ground, rate: u32, seconds: u32) -> Result<Process> {
        let (rate, seconds) = (rate.to_string(), seconds.to_string());
        let partitions = self.partitions.to_string();
        let arguments = [
            "latency",
            "--rate",
            &rate,
            "--seconds",
            &seconds,
            "--partitions",
            &partitions,
            "--prefix",
            &self.prefix,
        ];
        let reach = [Reach::Kafka, Reach::ClickHouse(&self.database.name)];
        let command = ground.lab_command(&arguments, &reach);
        let log = ground.folder().join("lab/latency.log");
        if log.exists() {
            fs::remove_file(&log)?;
        }
        Process::spawn("lab latency", command, &log, Lifetime::WithStarter)
    }

    /// What it saw, once it has ended.
    fn end(lab: &Process, seconds: u32) -> Result<Value> {
        let limit = Duration::from_secs(seconds.into()) + END_LIMIT;
        match lab.wait_exit(limit) {
            Some(status) if status.success() => {
                let text = fs::read_to_string(lab.log())?;
                let last = text.lines().last().unwrap_or_default();
                serde_json::from_str(last).with_context(|| format!("lab latency says {text:?}"))
            }
            Some(_) => bail!("lab latency failed\n{}", lab.log_tail()),
            None => bail!("lab latency does not end\n{}", lab.log_tail()),
        }
    }

    /// Lets messages flow and says what it cost.
    fn run(&self, ground: &Ground, rate: u32, seconds: u32) -> Result<Stretch> {
        let before = self.look(ground)?;
        let lab = self.begin(ground, rate, seconds)?;
        let page = Self::end(&lab, seconds)?;
        let after = self.look(ground)?;
        let cost = |of: fn(&Seen) -> Look| {
            let (from, to) = (of(&before), of(&after));
            Look { cpu: to.cpu - from.cpu, ..to }
        };
        Ok(Stretch {
            page,
            seconds: f64::from(seconds),
            clients: cost(|seen| seen.clients),
            engine: cost(|seen| seen.engine),
            broker: cost(|seen| seen.broker),
            inserts: after.inserts - before.inserts,
            durable: histogram::between(&before.durable, &after.durable),
        })
    }

    fn look(&self, ground: &Ground) -> Result<Seen> {
        let mut seen = Seen {
            engine: meter::look(ground.clickhouse.pid())?,
            broker: meter::look(ground.kafka.pid())?,
            ..Seen::default()
        };
        for instance in &self.instances {
            let look = meter::look(instance.process.pid())?;
            seen.clients.cpu += look.cpu;
            seen.clients.peak_mb = seen.clients.peak_mb.max(look.peak_mb);
            let page = instance.metrics()?;
            seen.inserts += contestant::total(&page, "data_bridge_inserts_total");
            histogram::add(&mut seen.durable, &page, "data_bridge_produce_to_durable_seconds");
        }
        Ok(seen)
    }

    fn stop(self, ground: &Ground) -> Result<()> {
        self.instances.iter().try_for_each(Instance::stop)?;
        ground.drop(&self.database)
    }
}

#[derive(Default)]
struct Seen {
    clients: Look,
    engine: Look,
    broker: Look,
    inserts: f64,
    durable: Vec<(f64, f64)>,
}

impl Stretch {
    fn figure(&self, key: &str) -> f64 {
        self.page[key].as_f64().unwrap_or(f64::NAN)
    }

    /// Nanoseconds of CPU a message.
    fn each(&self, look: Look) -> f64 {
        look.cpu * 1e9 / self.figure("messages")
    }

    fn to_json(&self) -> Value {
        let mut page = self.page.clone();
        page["client_ns"] = self.each(self.clients).into();
        page["engine_ns"] = self.each(self.engine).into();
        page["broker_ns"] = self.each(self.broker).into();
        page["client_peak_mb"] = self.clients.peak_mb.into();
        page["inserts_per_second"] = (self.inserts / self.seconds).into();
        page["durable_p50_ms"] = (histogram::quantile(&self.durable, 0.5) * 1e3).into();
        page["durable_p99_ms"] = (histogram::quantile(&self.durable, 0.99) * 1e3).into();
        page
    }
}

/// Writes the figures, when they are wanted.
fn write(path: Option<&PathBuf>, page: &Value) -> Result<()> {
    if let Some(path) = path {
        fs::write(path, format!("{page:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        screen::line(&format!("figures: {}", path.display()));
    }
    Ok(())
}
