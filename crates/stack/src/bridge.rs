//! One instance of the bridge: `data-bridge run` as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::health;
use crate::port;
use crate::process::{Lifetime, Process};

/// What may differ from instance to instance.
#[derive(Debug, Clone, Default)]
pub struct BridgeOptions {
    /// Its id.
    pub id: String,
    /// Its number.
    pub number: usize,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Variables that are stronger than the configuration: `CLICKHOUSE_URL`, ...
    pub variables: Vec<(String, String)>,
}

/// An instance. Dropping it ends it.
#[derive(Debug)]
pub struct Bridge {
    binary: PathBuf,
    config: PathBuf,
    folder: PathBuf,
    options: BridgeOptions,
    port: u16,
    process: Process,
}

/// One instance at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: String,
    /// `false` while there is no answer.
    pub answers: bool,
    /// It is ready.
    pub ready: bool,
    /// Why it is not.
    pub reasons: String,
    /// Partitions that it reads.
    pub partitions: usize,
    /// Messages between its commits and the ends.
    pub lag: u64,
    /// Rows and dead letters that became durable since its start.
    pub rows: u64,
}

/// A program as a person would start it: without the variables that cargo has set for us.
#[must_use]
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let is_ours =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_ours) {
            command.env_remove(&name);
        }
    }
    command
}

impl Bridge {
    /// Starts `binary run` with this configuration; its log lies in `folder`. Does not wait for
    /// anything.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        binary: &Path,
        config: &Path,
        folder: &Path,
        options: BridgeOptions,
    ) -> Result<Self> {
        let port = port::free()?;
        let process = launch(binary, config, folder, &options, port)?;
        Ok(Self {
            binary: binary.to_owned(),
            config: config.to_owned(),
            folder: folder.to_owned(),
            options,
            port,
            process,
        })
    }

    /// Starts it again with the same id and port, after it has ended; kills what still runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.exited().is_none() {
            self.process.kill()?;
        }
        self.process = launch(&self.binary, &self.config, &self.folder, &self.options, self.port)?;
        Ok(())
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.options.id
    }

    /// Where it answers HTTP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its pages.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process, to signal it or to read its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it says now.
    #[must_use]
    pub fn status(&self) -> Status {
        let text = health::http_get(self.port, "/api/status").unwrap_or_default();
        Status::parse(&self.options.id, &text)
    }
}

fn launch(
    binary: &Path,
    config: &Path,
    folder: &Path,
    options: &BridgeOptions,
    port: u16,
) -> Result<Process> {
    let mut command = program(binary);
    command.arg("run").arg("--config").arg(config);
    command.env("INSTANCE_ID", &options.id).env("INSTANCE_NUMBER", options.number.to_string());
    command.env("HTTP_LISTEN", format!("127.0.0.1:{port}"));
    for (name, value) in &options.variables {
        command.env(name, value);
    }
    Process::spawn(&options.id, command, &folder.join("bridge.log"), options.lifetime)
}

impl Status {
    fn parse(id: &str, text: &str) -> Self {
        let silent = Self { id: id.to_owned(), ..Self::default() };
        let Ok(json) = serde_json::from_str::<Value>(text) else {
            return silent;
        };
        let partitions = json["partitions"].as_array().map_or(&[][..], Vec::as_slice);
        let reasons = json["reasons"].as_array().into_iter().flatten();
        let rows = [
            "ticks_saved",
            "candles_saved_clickhouse",
            "external_data_saved",
            "other_rows_saved",
            "dead_letters",
        ];
        Self {
            answers: true,
            ready: json["ready"] == true,
            reasons: reasons.filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
            partitions: partitions.len(),
            lag: partitions.iter().filter_map(|one| one["lag"].as_u64()).sum(),
            rows: rows.iter().filter_map(|name| json[*name].as_u64()).sum(),
            ..silent
        }
    }

    /// For a person.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { id, answers, ready, reasons, partitions, lag, rows } = self;
        let state = match (answers, ready) {
            (false, _) => "away",
            (true, true) => "ready",
            (true, false) => "not ready",
        };
        format!("{id:<8} {state:<10} {partitions:>10} {lag:>8} {rows:>9}  {reasons}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"instance_id":"demo-1","ready":true,"reasons":[],"ticks_saved":5,
        "candles_saved_clickhouse":2,"external_data_saved":1,"other_rows_saved":0,"dead_letters":1,
        "partitions":[{"topic":"t","partition":0,"lag":3},{"topic":"t","partition":1,"lag":4}]}"#;

    #[test]
    fn a_status_adds_up_partitions_and_rows() {
        let status = Status::parse("demo-1", TEXT);
        assert!(status.answers && status.ready);
        assert_eq!((status.partitions, status.lag, status.rows), (2, 7, 9));
        assert!(!Status::parse("demo-1", "").answers);
    }
}
