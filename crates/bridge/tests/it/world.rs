//! The real servers that all scenarios share, and the instances a scenario starts.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Offsets, Pace, Producer};
use data_bridge_lab::metrics::Metrics;
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::{Kind, Plan};
use data_bridge_lab::proxy::Proxy;
use data_bridge_lab::verify::{Server, Verdict, wait_until_complete};
use data_bridge_stack::clickhouse::{ClickHouse, ClickHouseOptions};
use data_bridge_stack::kafka::{Kafka, KafkaOptions};
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};

/// Longest wait for anything that normally takes milliseconds to a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Time between two looks at what is waited for.
const PACE: Duration = Duration::from_millis(20);

/// What instances want to see of those who ask for a change.
pub(crate) const TOKEN: &str = "open sesame";

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_data-bridge"))
}

/// A folder under `target/` for one scenario, empty at first.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the folder of an earlier run can be removed");
    }
    fs::create_dir_all(&folder).expect("a folder under target/ can be made");
    folder
}

/// The broker of the whole suite.
pub(crate) fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| {
        // Lower than Kafka's own limits for groups of the consumer protocol, so that these may
        // have the terms of the others; and compaction does not take half a minute.
        let lower = [
            ("log.cleaner.backoff.ms", "200"),
            ("group.consumer.min.session.timeout.ms", "6000"),
            ("group.consumer.min.heartbeat.interval.ms", "500"),
        ];
        let properties = lower.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let options = KafkaOptions { properties, ..KafkaOptions::default() };
        Kafka::start(&folder("kafka"), options).expect("Kafka starts")
    })
}

/// The ClickHouse of all scenarios that do it no harm.
pub(crate) fn clickhouse() -> &'static ClickHouse {
    static CLICKHOUSE: OnceLock<ClickHouse> = OnceLock::new();
    CLICKHOUSE.get_or_init(|| own_clickhouse("clickhouse"))
}

/// A ClickHouse that a scenario may kill.
pub(crate) fn own_clickhouse(name: &str) -> ClickHouse {
    ClickHouse::start(binary(), &folder(name), ClickHouseOptions::default())
        .expect("ClickHouse starts")
}

/// A proxy in front of a server on loopback.
pub(crate) fn proxy_to(port: u16) -> Proxy {
    wait_for(Proxy::start(([127, 0, 0, 1], port).into())).expect("a port is free")
}

/// Produces these messages of a plan; all are acknowledged at the end.
#[track_caller]
pub(crate) fn produce(generator: &Generator, numbers: Range<u64>, pace: Pace) {
    let producer = Producer::connect(&kafka().bootstrap()).expect("a producer can be made");
    producer.produce(generator, numbers, pace, |_| {}).expect("the broker takes the messages");
}

/// One scenario: topics, group, database and files of its own on the shared servers.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Where instances find ClickHouse; a proxy or a fake may stand there.
    pub(crate) clickhouse_url: String,
    /// Where the verdict finds it.
    pub(crate) server_url: String,
    /// Where instances find Kafka; a proxy may stand there.
    pub(crate) brokers: String,
    /// More keys of `clickhouse`, each after a comma.
    pub(crate) clickhouse_more: String,
    /// Instances begin at the end of what has no commit, not at its beginning.
    pub(crate) from_latest: bool,
    /// The section `nats` of `bridge.yaml`.
    pub(crate) nats: String,
    /// Whether instances read from Kafka.
    pub(crate) reads_kafka: bool,
    /// More of `bridge.yaml`: whole top-level sections.
    pub(crate) sections: Vec<(String, String)>,
}

impl Scenario {
    pub(crate) fn new(name: &str, clickhouse_url: &str) -> Self {
        Self {
            name: name.to_owned(),
            folder: folder(name),
            clickhouse_url: clickhouse_url.to_owned(),
            server_url: clickhouse_url.to_owned(),
            brokers: kafka().bootstrap(),
            clickhouse_more: String::new(),
            from_latest: false,
            nats: "{ enabled: false }".to_owned(),
            reads_kafka: true,
            sections: Vec::new(),
        }
    }

    /// Has instances reach ClickHouse through a proxy.
    pub(crate) fn through(mut self, proxy: &Proxy) -> Self {
        self.clickhouse_url = proxy.url();
        self
    }

    /// Puts a section into `bridge.yaml`, such as `("batch", "{ max_age_ms: 10 }")`.
    pub(crate) fn with(mut self, section: &str, value: &str) -> Self {
        self.sections.push((section.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn database(&self) -> String {
        format!("db_{}", self.name)
    }

    pub(crate) fn prefix(&self) -> String {
        format!("{}.", self.name)
    }

    pub(crate) fn group(&self) -> String {
        format!("group-{}", self.name)
    }

    /// A plan whose topics are this scenario's own; its records are stamped from now on.
    pub(crate) fn plan(&self, seed: u64, messages: u64) -> Plan {
        // Shown when the test fails.
        println!("seed {seed}");
        let now = jiff::Timestamp::now().as_millisecond();
        let mut plan = Plan::new(seed, messages, now);
        plan.topic_prefix = self.prefix();
        plan
    }

    /// Writes the configuration of instance `number`.
    ///
    /// A file `password` in the scenario's folder holds the password for ClickHouse.
    pub(crate) fn config(&self, number: u32, port: u16) -> PathBuf {
        let has_password = self.folder.join("password").exists();
        let password = if has_password { ", password: \"${file:password}\"" } else { "" };
        let mut text = format!(
            "instance: {{ id: {name}-{number}, number: {number} }}\n\
             nats: {nats}\n\
             clickhouse: {{ urls: [\"{url}\"], database: {database}{more}{password} }}\n\
             http: {{ listen: \"127.0.0.1:{port}\", token: \"{TOKEN}\" }}\n",
            name = self.name,
            nats = self.nats,
            url = self.clickhouse_url,
            database = self.database(),
            more = self.clickhouse_more,
        );
        let reset = if self.from_latest { "latest" } else { "earliest" };
        let mut kafka = format!(
            "kafka:\n  enabled: {}\n  brokers: {}\n  group_id: {}\n  auto_offset_reset: {reset}\n  \
             topics:\n",
            self.reads_kafka,
            self.brokers,
            self.group()
        );
        for kind in Kind::ALL {
            let topic = format!("{}{}", self.prefix(), kind.topic());
            writeln!(kafka, "    {topic}: {}", kind.table()).expect("writing to a string");
        }
        for (section, value) in &self.sections {
            if section == "kafka" {
                for line in value.lines() {
                    writeln!(kafka, "  {line}").expect("writing to a string");
                }
            } else {
                writeln!(text, "{section}: {value}").expect("writing to a string");
            }
        }
        text.push_str(&kafka);
        let path = self.folder.join(format!("bridge-{number}.yaml"));
        fs::write(&path, text).expect("the configuration can be written");
        path
    }

    /// Creates topics and tables as a user would.
    pub(crate) fn init(&self) {
        let config = self.config(1, 0);
        let output = Command::new(binary())
            .args(["init", "--config"])
            .arg(&config)
            .output()
            .expect("data-bridge runs");
        assert!(
            output.status.success(),
            "init failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The scenario's tables, asked directly and not through a proxy.
    pub(crate) fn server(&self) -> Server {
        Server::new(&self.server_url, &self.database())
    }

    /// An answer of ClickHouse as text.
    pub(crate) fn query(&self, query: &str) -> Result<String, String> {
        wait_for(self.server().query(query)).map_err(|error| format!("{error:?}"))
    }

    /// Waits until a table shows this many rows.
    pub(crate) fn wait_rows(&self, table: &str, rows: u64) {
        let query = format!("SELECT count() FROM {}.{table} FINAL", self.database());
        until(PATIENCE, &format!("{rows} rows of {table}"), || {
            let found = self.query(&query)?;
            if found.trim() == rows.to_string() { Ok(()) } else { Err(found) }
        });
    }

    /// Waits until ticks and dead letters together show this many rows.
    pub(crate) fn wait_rows_in_all(&self, rows: u64) {
        let database = self.database();
        let query = format!(
            "SELECT (SELECT count() FROM {database}.ticks FINAL) + (SELECT count() FROM \
             {database}.dead_letters FINAL)"
        );
        until(PATIENCE, &format!("{rows} rows in all"), || {
            let found = self.query(&query)?;
            if found.trim() == rows.to_string() { Ok(()) } else { Err(found) }
        });
    }

    /// Waits for everything that `expected` names and compares every value.
    #[track_caller]
    pub(crate) fn assert_exact(&self, expected: &Expected, patience: Duration) -> Verdict {
        let server = self.server();
        let verdict = wait_for(wait_until_complete(&server, expected, patience, |_| {}))
            .expect("ClickHouse answers at the deadline");
        assert!(verdict.holds(), "{verdict}");
        verdict
    }

    /// Waits until the group has committed all that the topics hold.
    pub(crate) fn assert_committed(&self) {
        let topics: Vec<_> =
            Kind::ALL.iter().map(|kind| format!("{}{}", self.prefix(), kind.topic())).collect();
        let offsets = Offsets::of_group(&kafka().bootstrap(), &self.group())
            .expect("a client for offsets can be made");
        until(PATIENCE, "all offsets to be committed", || offsets.all_committed(&topics));
    }

    /// Starts instance `number`.
    pub(crate) fn start(&self, number: u32) -> Instance {
        let port = port::free().expect("a port is free");
        let config = self.config(number, port);
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(&config).env("NO_COLOR", "1");
        command.env("DATA_BRIDGE_FREEZE", self.folder.join("freezer"));
        let log = self.folder.join(format!("bridge-{number}.log"));
        let process = Process::spawn("data-bridge", command, &log, Lifetime::WithStarter)
            .expect("data-bridge starts");
        Instance { process, port }
    }
}

/// A running `data-bridge run`.
pub(crate) struct Instance {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Instance {
    /// A page of the instance; the error when it does not answer.
    pub(crate) fn get(&self, path: &str) -> Result<String, String> {
        data_bridge_stack::health::http_get(self.port, path).map_err(|error| format!("{error:#}"))
    }

    /// `/api/status`, or null while it does not answer.
    pub(crate) fn status(&self) -> serde_json::Value {
        let page = self.get("/api/status").unwrap_or_default();
        serde_json::from_str(&page).unwrap_or_default()
    }

    /// Waits until the instance says that it is ready.
    pub(crate) fn wait_ready(&self) {
        until(PATIENCE, "the instance to be ready", || {
            let ended = self.process.exited();
            assert!(ended.is_none(), "ended with {ended:?}\n{}", self.tail());
            let status = self.status();
            if status["ready"] == true { Ok(()) } else { Err(format!("{status}\n{}", self.tail())) }
        });
    }

    /// The sum of the samples of a metric that counts; 0 while there is none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what counts is whole and not negative"
    )]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").expect("the instance answers");
        Metrics::read(&page).sum(name, &[]).unwrap_or(0.0) as u64
    }

    /// Waits until the instance is not ready and says all of these words; all that it says.
    #[track_caller]
    pub(crate) fn wait_reason(&self, words: &[&str]) -> String {
        let what = format!("not to be ready because of {words:?}");
        until(PATIENCE, &what, || match self.get("/readyz") {
            Ok(ready) => Err(ready),
            Err(said) if words.iter().all(|word| said.contains(word)) => Ok(said),
            Err(said) => Err(said),
        })
    }

    /// Ends the instance in order: it drained, and it never panicked.
    #[track_caller]
    pub(crate) fn end(&self) {
        let status = self.terminate(Duration::from_secs(30));
        assert!(status.success(), "{status}\n{}", self.tail());
        let log = fs::read_to_string(self.process.log()).expect("the log is there");
        assert!(!log.contains("panicked at"), "{log}");
    }

    /// Messages between commits and ends of this instance's partitions.
    pub(crate) fn lag(&self) -> u64 {
        let status = self.status();
        let partitions = status["partitions"].as_array().map_or(&[][..], Vec::as_slice);
        partitions.iter().filter_map(|partition| partition["lag"].as_u64()).sum()
    }

    pub(crate) fn tail(&self) -> String {
        self.process.log_tail()
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.pid());
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("VmRSS is in kB") * 1024
    }

    pub(crate) fn kill(&self) {
        self.process.kill().expect("kill -9 works");
    }

    /// SIGTERM, and the exit status within `limit`.
    pub(crate) fn terminate(&self, limit: Duration) -> ExitStatus {
        self.process.terminate();
        self.process
            .wait_exit(limit)
            .unwrap_or_else(|| panic!("still running {limit:?} after SIGTERM\n{}", self.tail()))
    }
}

/// A client of the tests' own; whichever test is first says which cryptography there is.
pub(crate) fn http() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().expect("a client can be made")
}

/// Runs a future to its end on a runtime that all scenarios share.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made")
    });
    runtime.block_on(future)
}

/// Waits until `look` succeeds; panics with what was seen last when `limit` passes.
pub(crate) fn until<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => {
                assert!(began.elapsed() < limit, "waited {limit:?} for {what}; last seen: {seen}");
            }
        }
        pause(PACE);
    }
}

/// A pause between two looks, or for the length of a fault; never in place of a condition.
#[expect(clippy::disallowed_methods, reason = "the one place where tests wait between looks")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
