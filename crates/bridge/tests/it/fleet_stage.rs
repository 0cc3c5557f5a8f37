//! A fleet as an operator runs it, for tests: a supervisor, its commands, what they must answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::model::Expected;
use data_bridge_stack::health::http_get;
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::Value;

use crate::world::{PATIENCE, Scenario, binary, folder, until};

/// A supervisor and what it started. Dropped, all of it is gone.
pub(crate) struct Fleet {
    pub(crate) state: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) port: u16,
    pub(crate) supervisor: Process,
}

/// A port with as many free ports behind it as a fleet takes; none is given to another test.
pub(crate) fn base_port() -> u16 {
    let mut run = vec![port::free().expect("a port is free")];
    while run.len() < 9 {
        let next = port::free().expect("a port is free");
        if run.last().is_some_and(|last| last + 1 != next) {
            run.clear();
        }
        run.push(next);
    }
    run[0]
}

/// The state folder of a test; what an earlier run left there is stopped.
pub(crate) fn state_folder(name: &str) -> PathBuf {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-state"));
    kill_all(&state);
    folder(&format!("{name}-state"))
}

pub(crate) fn read_state(state: &Path) -> Value {
    let text = std::fs::read_to_string(state.join("fleet.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Kills every process that the state names and that is still the same.
pub(crate) fn kill_all(state: &Path) {
    let page = read_state(state);
    let members = page["members"].as_array().cloned().unwrap_or_default();
    for process in members.iter().map(|member| &member["process"]).chain([&page["supervisor"]]) {
        let (pid, started) = (process["pid"].as_u64(), process["started"].as_u64());
        if let (Some(pid), Some(started)) = (pid, started)
            && let Ok(pid) = u32::try_from(pid)
            && data_bridge_stack::process::is_running(pid, started)
        {
            signal("KILL", pid);
        }
    }
}

pub(crate) fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill is there").success(), "kill -{name} {pid}");
}

/// What a fleet in the background leaves when a test fails.
pub(crate) struct Remains(pub(crate) PathBuf);

impl Drop for Remains {
    fn drop(&mut self) {
        kill_all(&self.0);
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Its end may already be in order.
        drop(self.supervisor.kill());
        kill_all(&self.state);
    }
}

impl Fleet {
    pub(crate) fn up(config: &Path, state: &Path, port: u16, more: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["up", "--config"]).arg(config).arg("--state-dir").arg(state);
        command.args(["--set", &format!("hub.listen=127.0.0.1:{port}")]).args(more);
        // The page of the hub is read without one.
        command.args(["--set", "http.token="]);
        command.env("NO_COLOR", "1");
        let log = state.join("up.log");
        let supervisor = Process::spawn("up", command, &log, Lifetime::WithStarter);
        Self {
            state: state.to_owned(),
            config: config.to_owned(),
            port,
            supervisor: supervisor.expect("the supervisor starts"),
        }
    }

    /// A fleet of a scenario with real servers.
    pub(crate) fn of(scenario: &Scenario, instances: u32, more: &[&str]) -> Self {
        scenario.init();
        let config = scenario.config(1, 0);
        let count = instances.to_string();
        let more = [&["--instances", &count], more].concat();
        let fleet = Self::up(&config, &state_folder(&scenario.name), base_port(), &more);
        fleet.wait_ready(instances);
        fleet
    }

    /// A fleet whose Kafka and ClickHouse are away: instances run and are not ready.
    pub(crate) fn lonely(name: &str, more: &[&str]) -> Self {
        let state = state_folder(name);
        let nobody = port::free().unwrap();
        let config = state.join("bridge.yaml");
        let text = format!(
            "instance: {{ id: {name} }}\nkafka: {{ brokers: \"127.0.0.1:{nobody}\" }}\n\
             nats: {{ enabled: false }}\nclickhouse: {{ urls: [\"http://127.0.0.1:{nobody}\"] }}\n"
        );
        std::fs::write(&config, text).unwrap();
        Self::up(&config, &state, base_port(), more)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--state-dir").arg(&self.state);
        command.arg("--config").arg(&self.config).env("NO_COLOR", "1");
        command.output().expect("data-bridge runs")
    }

    #[track_caller]
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let said = text(&output);
        assert!(output.status.success(), "{arguments:?}: {said}\n{}", self.supervisor.log_tail());
        said
    }

    #[track_caller]
    pub(crate) fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) {
        refused(&self.command(arguments), code, words);
    }

    pub(crate) fn fleet(&self) -> Value {
        let page = http_get(self.port, "/api/fleet").unwrap_or_default();
        serde_json::from_str(&page).unwrap_or_default()
    }

    pub(crate) fn wait_ready(&self, instances: u32) {
        until(PATIENCE, &format!("{instances} ready instances"), || {
            let fleet = self.fleet();
            let (ready, partitions) = (&fleet["totals"]["ready"], &fleet["totals"]["partitions"]);
            if *ready == instances && *partitions == 48 {
                Ok(())
            } else {
                Err(format!("{fleet}\n{}", self.supervisor.log_tail()))
            }
        });
    }

    /// Waits until the running instances are these, by number, each with its share of partitions.
    pub(crate) fn wait_shares(&self, shares: &[usize]) {
        until(PATIENCE, &format!("{shares:?} partitions"), || {
            let fleet = self.fleet();
            let members = fleet["instances"].as_array().cloned().unwrap_or_default();
            let found = members
                .iter()
                .map(|member| member["partitions"].as_array().map_or(0, Vec::len))
                .collect::<Vec<_>>();
            if found == shares { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }

    /// How often each instance was assigned partitions.
    pub(crate) fn rebalances(&self) -> Vec<u64> {
        let ports = 1..=self.pids().len();
        ports
            .map(|number| {
                let port = self.port + u16::try_from(number).expect("few instances");
                let page = http_get(port, "/api/status").expect("it answers");
                let page: Value = serde_json::from_str(&page).expect("JSON");
                page["rebalances"].as_u64().expect("a number")
            })
            .collect()
    }

    /// Process ids by number.
    pub(crate) fn pids(&self) -> BTreeMap<u64, u32> {
        let fleet = self.fleet();
        let processes = fleet["supervisor"]["processes"].as_array().cloned().unwrap_or_default();
        processes
            .iter()
            .filter_map(|process| {
                let pid = u32::try_from(process["pid"].as_u64()?).ok()?;
                (pid > 0).then_some((process["number"].as_u64()?, pid))
            })
            .collect()
    }

    /// `data-bridge down`, after which nothing runs.
    #[track_caller]
    pub(crate) fn down(&self) {
        let pids = self.pids();
        self.succeeds(&["down"]);
        for pid in pids.values() {
            assert!(!is_alive(*pid), "{pid} still runs");
        }
        let status = self.supervisor.wait_exit(PATIENCE).expect("the supervisor ends");
        assert!(status.success(), "{status}\n{}", self.supervisor.log_tail());
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    data_bridge_stack::process::start_time(pid).is_some()
}

pub(crate) fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[track_caller]
pub(crate) fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
}

/// Everything is there once and exact, everything is committed, and the fleet stops in order.
#[track_caller]
pub(crate) fn finish(scenario: &Scenario, fleet: &Fleet, generator: &Generator) {
    let verdict = scenario.assert_exact(&Expected::of(generator).unwrap(), PATIENCE);
    scenario.assert_committed();
    println!("{}", verdict.line());
    fleet.down();
}

pub(crate) fn wait_running(fleet: &Fleet, instances: usize) -> BTreeMap<u64, u32> {
    until(PATIENCE, &format!("{instances} processes"), || {
        let answers = fleet.fleet()["totals"]["up"] == instances;
        let pids = fleet.pids();
        if answers && pids.len() == instances {
            Ok(pids)
        } else {
            Err(format!("{pids:?}\n{}", fleet.supervisor.log_tail()))
        }
    })
}
