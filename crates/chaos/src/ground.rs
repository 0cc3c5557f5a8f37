//! Everything that a run stands on: servers, links between them and the instances.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_bridge_lab::fake_clickhouse::{Answer, Request};
use data_bridge_lab::front::{Front, Reaction};
use data_bridge_lab::plan::Kind;
use data_bridge_lab::proxy::Proxy;
use data_bridge_stack::bridge::{Bridge, BridgeOptions, Status, program};
use data_bridge_stack::clickhouse::{ClickHouse, ClickHouseOptions};
use data_bridge_stack::health;
use data_bridge_stack::kafka::{Kafka, KafkaOptions, Way};
use data_bridge_stack::nats::{Nats, NatsOptions};
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::fault::{INSTANCES, Peer};
use crate::journal::{Membership, Run};

/// What an instance may hold; its resident memory may be 64 MiB more.
pub(crate) const BUDGET_MIB: u64 = 64;
/// The group of all instances.
pub(crate) const GROUP: &str = "chaos";
/// Longest wait for what takes a second or two on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
const PACE: Duration = Duration::from_millis(50);

/// What the front does with inserts.
#[derive(Clone, Debug, Default)]
pub(crate) enum Weather {
    #[default]
    Fine,
    Refuse {
        code: i32,
        name: &'static str,
        done: bool,
    },
    Slow(Duration),
}

/// The ways of one instance.
struct Links {
    kafka: Proxy,
    nats: Proxy,
    clickhouse: Proxy,
}

/// Servers, links and instances. What a fault holds is locked while it lasts.
pub(crate) struct Ground {
    pub(crate) runtime: Runtime,
    pub(crate) kafka: Mutex<Kafka>,
    pub(crate) nats: Mutex<Nats>,
    pub(crate) clickhouse: Mutex<ClickHouse>,
    pub(crate) instances: Vec<Mutex<Bridge>>,
    /// Where the servers are without any link between.
    pub(crate) bootstrap: String,
    pub(crate) nats_url: String,
    nats_monitor: u16,
    pub(crate) clickhouse_url: String,
    binary: PathBuf,
    config: PathBuf,
    folder: PathBuf,
    links: Vec<Links>,
    weather: Arc<Mutex<Weather>>,
    _front: Front,
}

impl Ground {
    /// Starts everything and makes tables and topics; instances are started, not waited for.
    pub(crate) fn start(binary: &Path, folder: &Path, run: &Run) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot make a runtime")?;
        let clickhouse =
            ClickHouse::start(binary, &folder.join("clickhouse"), ClickHouseOptions::default())?;
        let weather = Arc::new(Mutex::new(Weather::default()));
        let target = ([127, 0, 0, 1], clickhouse.port()).into();
        let now = Arc::clone(&weather);
        let front = runtime
            .block_on(Front::start(target, move |request| reaction(&locked(&now), request)))
            .context("cannot start the front of ClickHouse")?;

        let nats = Nats::start(&folder.join("nats"), NatsOptions::default())?;

        let mut links = Vec::new();
        let mut ways = Vec::new();
        // One more, for the guest.
        for _ in 0..=INSTANCES {
            let behind = port::free()?;
            let proxy = |target| runtime.block_on(Proxy::start(target));
            let kafka = proxy(([127, 0, 0, 1], behind).into()).context("cannot start a proxy")?;
            let clickhouse = proxy(front.address()).context("cannot start a proxy")?;
            let nats =
                proxy(([127, 0, 0, 1], nats.port()).into()).context("cannot start a proxy")?;
            ways.push(Way { behind, seen: kafka.address().port(), protocol: "PLAINTEXT" });
            links.push(Links { kafka, nats, clickhouse });
        }
        let options = KafkaOptions { ways, properties: group_limits(), ..Default::default() };
        let kafka = Kafka::start(&folder.join("kafka"), options)?;

        let (bootstrap, clickhouse_url) = (kafka.bootstrap(), clickhouse.url());
        let (nats_url, nats_monitor) = (nats.url(), nats.monitor_port());
        let config = folder.join("bridge.yaml");
        let text = config_text(run.membership, &bootstrap, &nats_url, &clickhouse_url);
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        init(binary, &config, folder)?;

        let mut ground = Self {
            runtime,
            kafka: Mutex::new(kafka),
            nats: Mutex::new(nats),
            clickhouse: Mutex::new(clickhouse),
            instances: Vec::new(),
            bootstrap,
            nats_url,
            nats_monitor,
            clickhouse_url,
            binary: binary.to_owned(),
            config,
            folder: folder.to_owned(),
            links,
            weather,
            _front: front,
        };
        for index in 0..INSTANCES {
            let bridge = ground.launch(index)?;
            ground.instances.push(Mutex::new(bridge));
        }
        Ok(ground)
    }

    /// Starts instance `index`, or the guest, which comes after all of them.
    pub(crate) fn launch(&self, index: usize) -> Result<Bridge> {
        let id = format!("chaos-{}", index + 1);
        let links = &self.links[index];
        let variables = vec![
            ("KAFKA_BROKERS".to_owned(), links.kafka.address().to_string()),
            ("NATS_URL".to_owned(), format!("nats://{}", links.nats.address())),
            ("CLICKHOUSE_URL".to_owned(), links.clickhouse.url()),
        ];
        let folder = self.folder.join(&id);
        let options =
            BridgeOptions { id, number: index + 1, variables, ..BridgeOptions::default() };
        Bridge::start(&self.binary, &self.config, &folder, options)
    }

    pub(crate) fn link(&self, index: usize, to: Peer) -> &Proxy {
        match to {
            Peer::Kafka => &self.links[index].kafka,
            Peer::Nats => &self.links[index].nats,
            Peer::ClickHouse => &self.links[index].clickhouse,
        }
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        *locked(&self.weather) = weather;
    }

    /// Waits until all instances are ready and have partitions.
    pub(crate) fn wait_ready(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let seen: Vec<_> =
                self.instances.iter().map(|instance| locked(instance).status()).collect();
            if seen.iter().all(|one| one.ready && one.partitions > 0) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let lines: Vec<_> = seen.iter().map(Status::line).collect();
                bail!("not ready after {PATIENCE:?}:\n{}", lines.join("\n"));
            }
            pause(PACE);
        }
    }

    /// Whether every message of the stream is acked; what the server says when it is not.
    pub(crate) fn all_acked(&self) -> Result<(), String> {
        let path = "/jsz?consumers=true&streams=true";
        let page = health::http_get(self.nats_monitor, path).unwrap_or_default();
        let page: Value = serde_json::from_str(&page).unwrap_or_default();
        let stream = &page["account_details"][0]["stream_detail"][0];
        let consumer = &stream["consumer_detail"][0];
        let last = stream["state"]["last_seq"].as_u64().unwrap_or(0);
        let floor = consumer["ack_floor"]["stream_seq"].as_u64();
        if last > 0 && floor == Some(last) { Ok(()) } else { Err(consumer.to_string()) }
    }

    /// All logs of instances, the guest's included.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        let log = |index| self.folder.join(format!("chaos-{index}")).join("bridge.log");
        (1..=INSTANCES + 1).map(log).filter(|log| log.exists()).collect()
    }

    pub(crate) fn topics() -> Vec<String> {
        Kind::ALL.iter().map(|kind| kind.topic().to_owned()).collect()
    }
}

/// What is behind a lock; a thread that panicked has been told of already.
pub(crate) fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The length of a fault, or a moment between two looks.
#[expect(clippy::disallowed_methods, reason = "the one place where chaos lets time pass")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn reaction(weather: &Weather, request: &Request) -> Reaction {
    if !request.is_insert() {
        return Reaction::Pass;
    }
    match weather {
        Weather::Fine => Reaction::Pass,
        Weather::Refuse { code, name, done } => {
            let answer = Answer::exception(*code, name, "by order of chaos");
            if *done { Reaction::PassThen(answer) } else { Reaction::Answer(answer) }
        }
        Weather::Slow(time) => Reaction::PassAfter(*time),
    }
}

/// The broker decides the sessions of the `consumer` protocol.
fn group_limits() -> Vec<(String, String)> {
    let lines = [
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.min.session.timeout.ms", "6000"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
        ("group.consumer.min.heartbeat.interval.ms", "1000"),
    ];
    lines.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}

/// Time-outs are shorter than usual, so that faults of seconds outlast them.
fn config_text(
    membership: Membership,
    bootstrap: &str,
    nats_url: &str,
    clickhouse_url: &str,
) -> String {
    let mut kafka = json!({
        "brokers": bootstrap,
        "group_id": GROUP,
        "auto_offset_reset": "earliest",
    });
    match membership {
        Membership::Range => {}
        Membership::Cooperative => kafka["assignor"] = json!("cooperative-sticky"),
        Membership::Static => kafka["static_membership"] = json!(true),
        Membership::Consumer => kafka["group_protocol"] = json!("consumer"),
    }
    if membership != Membership::Consumer {
        kafka["session_timeout_ms"] = json!(6_000);
    }
    // JSON is YAML, and needs no care about what a value may hold.
    let config = json!({
        "kafka": kafka,
        "nats": { "enabled": true, "cluster_urls": [nats_url], "ack_wait_ms": 5_000 },
        "clickhouse": { "urls": [clickhouse_url], "insert_timeout_ms": 5_000 },
        "retry": { "initial_ms": 300, "max_ms": 5_000 },
        "batch": { "max_bytes": "16MiB" },
        "backpressure": { "max_bytes": format!("{BUDGET_MIB}MiB") },
    });
    format!("{config:#}\n")
}

fn init(binary: &Path, config: &Path, folder: &Path) -> Result<()> {
    let mut command = program(binary);
    command.arg("init").arg("--config").arg(config);
    let log = folder.join("init/init.log");
    let process = Process::spawn("init", command, &log, Lifetime::WithStarter)?;
    match process.wait_exit(PATIENCE) {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("data-bridge init: {status}\n{}", process.log_tail()),
        None => bail!("data-bridge init does not end\n{}", process.log_tail()),
    }
}
