//! The instances of the demo and what they say of themselves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_bridge_stack::health;
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::Value;

use crate::{screen, workspace};

const INSTANCES: usize = 3;
/// An instance drains within its own grace limit of 25 s.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Time for each instance between two looks at all while they are not ready yet.
const PACE: Duration = Duration::from_millis(50);

/// All instances, in the order of their numbers.
pub(super) struct Fleet {
    bridge: PathBuf,
    config: PathBuf,
    folder: PathBuf,
    lifetime: Lifetime,
    members: Vec<Member>,
}

struct Member {
    id: String,
    number: usize,
    port: u16,
    process: Process,
}

/// One instance at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) id: String,
    /// `false` while there is no answer.
    pub(super) answers: bool,
    pub(super) ready: bool,
    pub(super) reasons: String,
    pub(super) partitions: usize,
    pub(super) lag: u64,
    /// Since its start.
    pub(super) rows: u64,
}

impl Fleet {
    pub(super) fn start(
        bridge: &Path,
        config: &Path,
        folder: &Path,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let mut fleet = Self {
            bridge: bridge.to_owned(),
            config: config.to_owned(),
            folder: folder.to_owned(),
            lifetime,
            members: Vec::new(),
        };
        for number in 1..=INSTANCES {
            let (id, port) = (format!("demo-{number}"), port::free()?);
            let process = fleet.launch(&id, number, port)?;
            fleet.members.push(Member { id, number, port, process });
        }
        Ok(fleet)
    }

    fn launch(&self, id: &str, number: usize, port: u16) -> Result<Process> {
        let mut command = workspace::program(&self.bridge);
        command.arg("run").arg("--config").arg(&self.config);
        command.env("INSTANCE_ID", id).env("INSTANCE_NUMBER", number.to_string());
        command.env("HTTP_LISTEN", format!("127.0.0.1:{port}"));
        let log = self.folder.join(id).join("bridge.log");
        Process::spawn(id, command, &log, self.lifetime)
    }

    /// Waits until every instance is ready and all have as many partitions as their share.
    pub(super) fn wait_until_ready(&self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let seen = self.look();
            if is_balanced(&seen) {
                let each: Vec<String> =
                    seen.iter().map(|one| format!("{} has {}", one.id, one.partitions)).collect();
                screen::line(&format!("demo   partitions: {}", each.join(", ")));
                return Ok(());
            }
            for Member { id, process, .. } in &self.members {
                if let Some(status) = process.wait_exit(PACE) {
                    bail!("{id} ended with {status}\n{}", process.log_tail());
                }
            }
            if started.elapsed() > limit {
                let reasons: Vec<String> = seen.iter().map(Status::line).collect();
                bail!("not ready:\n{}\n{}", reasons.join("\n"), self.log_tails());
            }
        }
    }

    /// What every instance says now.
    pub(super) fn look(&self) -> Vec<Status> {
        let ask = |member: &Member| {
            let text = health::http_get(member.port, "/api/status").unwrap_or_default();
            Status::parse(&member.id, &text)
        };
        self.members.iter().map(ask).collect()
    }

    /// Kills an instance; returns its id.
    pub(super) fn kill(&self, index: usize) -> Result<String> {
        let member = &self.members[index];
        member.process.kill()?;
        Ok(member.id.clone())
    }

    /// Starts a killed instance again under its id; returns it.
    pub(super) fn start_again(&mut self, index: usize) -> Result<String> {
        let Member { id, number, port, .. } = &self.members[index];
        let process = self.launch(id, *number, *port)?;
        let member = &mut self.members[index];
        member.process = process;
        Ok(member.id.clone())
    }

    /// Drains all at once, so that nobody takes over the partitions of those who leave first.
    /// Returns what went wrong.
    pub(super) fn stop(&self) -> Result<Vec<String>> {
        for member in &self.members {
            member.process.terminate();
        }
        let mut wrong = Vec::new();
        for Member { id, process, .. } in &self.members {
            // A second SIGTERM would tell it not to drain: wait first, then use force.
            match process.wait_exit(STOP_GRACE) {
                Some(status) if status.success() => {}
                Some(status) => wrong.push(format!("{id} ended with {status}")),
                None => wrong.push(format!("{id} did not drain: {}", process.kill()?)),
            }
        }
        Ok(wrong)
    }

    pub(super) fn url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", self.members[index].port)
    }

    pub(super) fn logs(&self) -> Vec<String> {
        self.members.iter().map(|member| member.process.log().display().to_string()).collect()
    }

    pub(super) fn log_tails(&self) -> String {
        let tails: Vec<String> =
            self.members.iter().map(|member| member.process.log_tail()).collect();
        tails.join("\n")
    }
}

fn is_balanced(seen: &[Status]) -> bool {
    let most = seen.iter().map(|one| one.partitions).max().unwrap_or(0);
    let least = seen.iter().map(|one| one.partitions).min().unwrap_or(0);
    least > 0 && most == least && seen.iter().all(|one| one.ready)
}

impl Status {
    fn parse(id: &str, text: &str) -> Self {
        let silent = Self { id: id.to_owned(), ..Self::default() };
        let Ok(json) = serde_json::from_str::<Value>(text).context("no status") else {
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
    pub(super) fn line(&self) -> String {
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

    #[test]
    fn a_fleet_is_balanced_when_all_are_ready_with_equal_shares() {
        let of = |partitions| Status { partitions, ready: true, ..Status::default() };
        assert!(is_balanced(&[of(16), of(16), of(16)]));
        assert!(!is_balanced(&[of(24), of(24), of(0)]));
        assert!(!is_balanced(&[of(0), of(0), of(0)]));
        assert!(!is_balanced(&[of(16), Status { ready: false, ..of(16) }]));
    }
}
