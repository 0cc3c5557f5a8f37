//! Where a benchmark runs: release builds, a Kafka and a ClickHouse of its own, the messages.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_bridge_stack::bridge::program;
use data_bridge_stack::clickhouse::{ClickHouse, ClickHouseOptions};
use data_bridge_stack::kafka::{Kafka, KafkaOptions};
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::{Value, json};

use super::sql;
use crate::{prerequisites, screen, workspace};

/// A program of the lab that produces, reads or feeds millions of messages.
const PROGRAM_LIMIT: Duration = Duration::from_mins(15);
/// An instance drains within its own grace limit of 25 s.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// What the broker, the engine and three instances take together.
const MEMORY_MB: u64 = 3_000;
/// What is there besides the messages: logs, the engine's own tables.
const DISK_MB: u64 = 1_000;

/// Programs as they ship.
pub(super) struct Programs {
    pub(super) bridge: PathBuf,
    lab: PathBuf,
}

impl Programs {
    /// Builds them if need be.
    ///
    /// # Errors
    /// When something does not compile.
    pub(super) fn build() -> Result<Self> {
        prerequisites::check()?;
        screen::line("bench  building for release");
        // One selection of features, so that nothing is built twice.
        let packages = ["--package", "data-bridge", "--package", "data-bridge-lab"];
        let mut build = workspace::cargo(&["build", "--release", "--bins"]);
        build.args(packages).args(["--features", "data-bridge-lab/bench"]);
        if !build.status().context("cargo does not run")?.success() {
            bail!("the programs of the benchmark do not compile");
        }
        let release = workspace::metadata()?.target.join("release");
        Ok(Self { bridge: release.join("data-bridge"), lab: release.join("lab") })
    }
}

/// Servers of one benchmark. They end with it, and so does what they have stored.
pub(super) struct Ground {
    pub(super) programs: Programs,
    pub(super) kafka: Kafka,
    pub(super) clickhouse: ClickHouse,
    folder: Folder,
    databases: u32,
}

/// What must come of the messages that were produced.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) topic: String,
    pub(super) table: String,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    checksum: String,
    query: String,
}

impl Expected {
    /// What the lab says that must come of what it produced.
    ///
    /// # Errors
    /// When a number is missing.
    pub(super) fn read(page: &Value) -> Result<Self> {
        let text = |key: &str| page[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| page[key].as_u64().with_context(|| format!("no {key} in {page}"));
        Ok(Self {
            topic: text("topic"),
            table: text("table"),
            messages: number("messages")?,
            bytes: number("bytes")?,
            rows: number("rows")?,
            checksum: text("checksum"),
            query: text("query"),
        })
    }
}

impl Ground {
    /// Starts both servers on empty folders, for `messages` messages in all.
    ///
    /// # Errors
    /// When memory or disk are too small for it, or a server does not start.
    pub(super) fn start(messages: u64) -> Result<Self> {
        let programs = Programs::build()?;
        let folder = Folder::new(&workspace::metadata()?.target.join("bench"))?;
        // 100 bytes a message in the topic, twice as much in tables that are merged.
        room(&folder.path, MEMORY_MB, DISK_MB + messages * 300 / 1_000_000)?;
        let options =
            KafkaOptions { optimised: true, heap_mb: Some(512), ..KafkaOptions::default() };
        let kafka = Kafka::start(&folder.path.join("kafka"), options)?;
        let clickhouse = ClickHouse::start(
            &programs.bridge,
            &folder.path.join("clickhouse"),
            ClickHouseOptions::default(),
        )?;
        Ok(Self { programs, kafka, clickhouse, folder, databases: 0 })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Produces the messages once.
    ///
    /// # Errors
    /// When they are not all acknowledged.
    pub(super) fn produce(&self, messages: u64, seed: u64, more: &[&str]) -> Result<Expected> {
        screen::line(&format!("bench  producing {messages} messages"));
        let (messages, seed) = (messages.to_string(), seed.to_string());
        let mut arguments = vec!["produce", "--messages", &messages, "--seed", &seed];
        arguments.extend(more);
        let expected = Expected::read(&self.lab(&arguments, &[Reach::Kafka])?)?;
        // Java compiles what is used often while it is used: whoever came first would pay for it.
        for _ in 0..2 {
            self.consume(&expected)?;
        }
        Ok(expected)
    }

    /// librdkafka reads the topic and nothing is done with it.
    ///
    /// # Errors
    /// When messages are missing.
    pub(super) fn consume(&self, expected: &Expected) -> Result<Value> {
        let count = expected.messages.to_string();
        let arguments = ["consume", "--topic", &expected.topic, "--messages", &count];
        self.lab(&arguments, &[Reach::Kafka])
    }

    /// Runs a command of the lab to its end; its answer.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn lab(&self, arguments: &[&str], reach: &[Reach<'_>]) -> Result<Value> {
        let command = self.lab_command(arguments, reach);
        let name = arguments.first().copied().unwrap_or("lab");
        let log = self.folder.path.join(format!("lab/{name}.log"));
        // The answer is all that is in the log.
        if log.exists() {
            fs::remove_file(&log)?;
        }
        let process = Process::spawn(name, command, &log, Lifetime::WithStarter)?;
        match process.wait_exit(PROGRAM_LIMIT) {
            Some(status) if status.success() => {
                let text = fs::read_to_string(&log)?;
                let last = text.lines().last().unwrap_or_default();
                serde_json::from_str(last).with_context(|| format!("lab {name} answers {text:?}"))
            }
            Some(_) => bail!("lab {name} failed\n{}", process.log_tail()),
            None => bail!("lab {name} does not end\n{}", process.log_tail()),
        }
    }

    /// A command of the lab, told where the servers are.
    pub(super) fn lab_command(&self, arguments: &[&str], reach: &[Reach<'_>]) -> Command {
        let mut command = program(&self.programs.lab);
        command.args(arguments);
        for one in reach {
            match one {
                Reach::Kafka => command.arg("--brokers").arg(self.kafka.bootstrap()),
                Reach::ClickHouse(database) => {
                    command.arg("--url").arg(self.clickhouse.url()).args(["--database", database])
                }
            };
        }
        command
    }

    /// A database with all tables of the bridge, and a configuration that leads to it.
    ///
    /// # Errors
    /// When `init` fails.
    pub(super) fn new_database(&mut self, more: &Value) -> Result<Database> {
        let topics = json!({ "tick_archive": "ticks", "aggregate_archive": "aggregates" });
        let mut config = json!({ "kafka": { "topics": topics } });
        merge(&mut config, more);
        self.new_database_on(&config)
    }

    /// The same with topics of `more` alone.
    ///
    /// # Errors
    /// When `init` fails.
    pub(super) fn new_database_on(&mut self, more: &Value) -> Result<Database> {
        self.databases += 1;
        let name = format!("run_{}", self.databases);
        let mut config = json!({
            "kafka": {
                "brokers": self.kafka.bootstrap(),
                "group_id": format!("bench-{name}"),
                "auto_offset_reset": "earliest",
            },
            "nats": { "enabled": false },
            "clickhouse": { "urls": [self.clickhouse.url()], "database": name },
        });
        merge(&mut config, more);
        let path = self.folder.path.join(format!("{name}.yaml"));
        // JSON is YAML, and needs no care about what a value may hold.
        fs::write(&path, format!("{config:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = program(&self.programs.bridge);
        command.arg("init").arg("--config").arg(&path);
        let log = self.folder.path.join(format!("{name}/init.log"));
        let init = Process::spawn("init", command, &log, Lifetime::WithStarter)?;
        if !init.wait_exit(STOP_GRACE).is_some_and(|status| status.success()) {
            bail!("data-bridge init failed\n{}", init.log_tail());
        }
        Ok(Database { name, config: path })
    }

    /// Starts an instance of the bridge.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn instance(&self, database: &Database, number: usize) -> Result<Instance> {
        let port = data_bridge_stack::port::free()?;
        let mut command = program(&self.programs.bridge);
        command.arg("run").arg("--config").arg(&database.config);
        command.env("INSTANCE_ID", format!("bench-{number}"));
        command.env("INSTANCE_NUMBER", number.to_string());
        command.env("HTTP_LISTEN", format!("127.0.0.1:{port}"));
        let log = self.folder.path.join(format!("{}/instance-{number}.log", database.name));
        let process = Process::spawn("data-bridge", command, &log, Lifetime::WithStarter)?;
        Ok(Instance { process, port })
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn sql(&self, statement: &str) -> Result<String> {
        sql::run(self.clickhouse.port(), statement)
    }

    /// Rows of a table, duplicates included: cheap.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub(super) fn rows(&self, database: &Database, table: &str) -> Result<u64> {
        let query = format!(
            "SELECT sum(rows) FROM system.parts WHERE active AND database = '{}' AND table = '{table}'",
            database.name
        );
        sql::number(self.clickhouse.port(), &query)
    }

    /// Bytes of `ticks` and all other tables on disk.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub(super) fn stored_bytes(&self, database: &Database) -> Result<f64> {
        let query = format!(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '{}'",
            database.name
        );
        self.sql(&query)?.parse().context("bytes on disk are no number")
    }

    /// Compares what is visible with what must be there: the number of rows, and a checksum over
    /// every value of every row.
    ///
    /// # Errors
    /// When they differ.
    pub(super) fn verify(&self, database: &Database, expected: &Expected) -> Result<()> {
        let query = expected.query.replace("{database}", &database.name);
        let found = self.sql(&query)?;
        let wanted = format!("{}\t{}", expected.rows, expected.checksum);
        if found != wanted {
            bail!(
                "the rows are not what they must be: {} have {found:?}, not {wanted:?} (rows, checksum)",
                database.name
            );
        }
        Ok(())
    }

    /// Deletes a database at once.
    ///
    /// # Errors
    /// When ClickHouse refuses.
    pub(super) fn drop(&self, database: &Database) -> Result<()> {
        self.sql(&format!("DROP DATABASE {} SYNC", database.name)).map(drop)
    }
}

/// What a command of the lab talks to.
pub(super) enum Reach<'a> {
    Kafka,
    ClickHouse(&'a str),
}

/// A database of its own for each run.
pub(super) struct Database {
    pub(super) name: String,
    config: PathBuf,
}

/// A running instance of the bridge.
pub(super) struct Instance {
    pub(super) process: Process,
    pub(super) port: u16,
}

impl Instance {
    /// The page of `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) fn metrics(&self) -> Result<String> {
        data_bridge_stack::health::http_get(self.port, "/metrics")
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it does not end as it should.
    pub(super) fn stop(&self) -> Result<()> {
        let status = self.process.stop(STOP_GRACE)?;
        if !status.success() {
            bail!("data-bridge ended with {status}\n{}", self.process.log_tail());
        }
        Ok(())
    }
}

/// A folder that is emptied before and after, and that one benchmark uses at a time.
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    fn new(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let place = path.with_extension("lock");
        let lock =
            File::create(&place).with_context(|| format!("cannot create {}", place.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another benchmark runs in {}", path.display()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Logs are what one wants to see after a failure; data is what takes room.
        for entry in ["kafka/data", "clickhouse/data", "nats/data", "blocks"] {
            fs::remove_dir_all(self.path.join(entry)).ok();
        }
    }
}

/// Fails when memory or disk are too small.
fn room(folder: &Path, memory_mb: u64, disk_mb: u64) -> Result<()> {
    let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .context("/proc/meminfo does not say how much memory is available")?;
    if available / 1_024 < memory_mb {
        bail!("{memory_mb} MB of memory are needed, {} MB are available", available / 1_024);
    }
    // POSIX output: one line per file system, blocks of 1 KiB.
    let output = Command::new("df").arg("-Pk").arg(folder).output().context("df does not run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let free = text
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok())
        .with_context(|| format!("df says {text:?}"))?;
    if free / 1_024 < disk_mb {
        bail!(
            "{disk_mb} MB of disk are needed in {}, {} MB are free",
            folder.display(),
            free / 1_024
        );
    }
    Ok(())
}

/// Puts the keys of `more` into `config`, objects into objects.
pub(super) fn merge(config: &mut Value, more: &Value) {
    match (config, more) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, from) => *into = from.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_or_disk_is_said() {
        let folder = std::env::temp_dir();
        room(&folder, 1, 1).unwrap();
        let memory = room(&folder, u64::MAX / 2, 1).unwrap_err().to_string();
        assert!(memory.contains("MB of memory are needed"), "{memory}");
        let disk = room(&folder, 1, u64::MAX / 2).unwrap_err().to_string();
        assert!(disk.contains("MB of disk are needed"), "{disk}");
    }

    #[test]
    fn configurations_are_merged_key_by_key() {
        let mut config = json!({"kafka": {"a": 1, "b": 2}, "nats": {}});
        merge(&mut config, &json!({"kafka": {"b": 3}, "batch": {"c": 4}}));
        assert_eq!(config, json!({"kafka": {"a": 1, "b": 3}, "nats": {}, "batch": {"c": 4}}));
        merge(&mut config, &Value::Null);
        assert_eq!(config["batch"]["c"], 4);
    }
}
