//! Fleets as an operator runs them: `up`, `scale`, `restart`, `status`, `down`, and kills.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse};
use data_bridge_lab::generate::Generator;
use data_bridge_lab::model::Expected;
use data_bridge_stack::health::http_get;
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::Value;

use crate::flow::{Gaps, beside, ticks, under_load};
use crate::world::{PATIENCE, Scenario, binary, clickhouse, folder, pause, until, wait_for};

/// A supervisor and what it started. Dropped, all of it is gone.
struct Fleet {
    state: PathBuf,
    config: PathBuf,
    port: u16,
    supervisor: Process,
}

/// A port with as many free ports behind it as a fleet takes; none is given to another test.
fn base_port() -> u16 {
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
fn state_folder(name: &str) -> PathBuf {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-state"));
    kill_all(&state);
    folder(&format!("{name}-state"))
}

fn read_state(state: &Path) -> Value {
    let text = std::fs::read_to_string(state.join("fleet.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Kills every process that the state names and that is still the same.
fn kill_all(state: &Path) {
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

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill is there").success(), "kill -{name} {pid}");
}

/// What a fleet in the background leaves when a test fails.
struct Remains(PathBuf);

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
    fn up(config: &Path, state: &Path, port: u16, more: &[&str]) -> Self {
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
    fn of(scenario: &Scenario, instances: u32, more: &[&str]) -> Self {
        scenario.init();
        let config = scenario.config(1, 0);
        let count = instances.to_string();
        let more = [&["--instances", &count], more].concat();
        let fleet = Self::up(&config, &state_folder(&scenario.name), base_port(), &more);
        fleet.wait_ready(instances);
        fleet
    }

    /// A fleet whose Kafka and ClickHouse are away: instances run and are not ready.
    fn lonely(name: &str, more: &[&str]) -> Self {
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

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--state-dir").arg(&self.state);
        command.arg("--config").arg(&self.config).env("NO_COLOR", "1");
        command.output().expect("data-bridge runs")
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let said = text(&output);
        assert!(output.status.success(), "{arguments:?}: {said}\n{}", self.supervisor.log_tail());
        said
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) {
        refused(&self.command(arguments), code, words);
    }

    fn fleet(&self) -> Value {
        let page = http_get(self.port, "/api/fleet").unwrap_or_default();
        serde_json::from_str(&page).unwrap_or_default()
    }

    fn wait_ready(&self, instances: u32) {
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
    fn wait_shares(&self, shares: &[usize]) {
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
    fn rebalances(&self) -> Vec<u64> {
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
    fn pids(&self) -> BTreeMap<u64, u32> {
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
    fn down(&self) {
        let pids = self.pids();
        self.succeeds(&["down"]);
        for pid in pids.values() {
            assert!(!is_alive(*pid), "{pid} still runs");
        }
        let status = self.supervisor.wait_exit(PATIENCE).expect("the supervisor ends");
        assert!(status.success(), "{status}\n{}", self.supervisor.log_tail());
    }
}

fn is_alive(pid: u32) -> bool {
    data_bridge_stack::process::start_time(pid).is_some()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
}

/// Everything is there once and exact, everything is committed, and the fleet stops in order.
#[track_caller]
fn finish(scenario: &Scenario, fleet: &Fleet, generator: &Generator) {
    let verdict = scenario.assert_exact(&Expected::of(generator).unwrap(), PATIENCE);
    scenario.assert_committed();
    println!("{}", verdict.line());
    fleet.down();
}

#[test]
fn scaled_from_one_to_three_to_five_to_three_under_load_nothing_is_lost_or_doubled() {
    let scenario = Scenario::new("fleet_scale", &clickhouse().url());
    let fleet = Fleet::of(&scenario, 1, &[]);
    let generator = ticks(&scenario, 901, 40_000);
    under_load(&generator, 1_500, || {
        fleet.succeeds(&["scale", "3"]);
        fleet.wait_shares(&[16, 16, 16]);
        let gaps = Gaps::of(&scenario);
        beside(
            || gaps.look(),
            || {
                // The session is 8 s: without a request of ours they would idle that long.
                within("5 to 3", Duration::from_secs(2), || {
                    fleet.succeeds(&["scale", "5"]);
                    fleet.wait_ready(5);
                    gaps.longest_until_all_flow();
                    gaps.begin();
                    fleet.succeeds(&["scale", "3"]);
                    fleet.wait_shares(&[16, 16, 16]);
                    gaps.longest_until_all_flow()
                });
            },
        );
    });
    let said = fleet.succeeds(&["scale", "7"]);
    assert!(said.contains("instances 7 to 7 have nothing to read"), "{said}");
    finish(&scenario, &fleet, &generator);
}

#[test]
fn an_instance_that_dies_is_back_within_3_s_and_a_rolling_restart_is_hardly_seen() {
    let scenario = Scenario::new("fleet_kill", &clickhouse().url());
    let fleet = Fleet::of(&scenario, 3, &[]);
    let generator = ticks(&scenario, 902, 40_000);
    under_load(&generator, 1_000, || {
        let gaps = Gaps::of(&scenario);
        until(PATIENCE, "rows of all partitions", || {
            let query = format!("SELECT uniqExact(origin) FROM {}.ticks", scenario.database());
            let found = scenario.query(&query)?;
            if found.trim() == "6" { Ok(()) } else { Err(found) }
        });
        beside(
            || gaps.look(),
            || {
                within("kill -9", Duration::from_secs(3), || {
                    let pids = fleet.pids();
                    gaps.begin();
                    signal("KILL", pids[&2]);
                    until(PATIENCE, "another process", || match fleet.pids().get(&2) {
                        Some(pid) if *pid != pids[&2] => Ok(()),
                        other => Err(format!("{other:?}")),
                    });
                    let gap = gaps.longest_until_all_flow();
                    fleet.wait_shares(&[16, 16, 16]);
                    gap
                });
                within("rolling restart", Duration::from_secs(2), || {
                    let before = fleet.pids();
                    gaps.begin();
                    fleet.succeeds(&["restart"]);
                    let gap = gaps.longest_until_all_flow();
                    let after = fleet.pids();
                    assert!(before.iter().all(|(number, pid)| after[number] != *pid), "{after:?}");
                    gap
                });
            },
        );
    });
    let status = fleet.succeeds(&["status"]);
    assert!(status.contains("3 of 3 instances ready"), "{status}");
    let json: Value = serde_json::from_str(&fleet.succeeds(&["status", "--json"])).unwrap();
    assert_eq!(json["supervisor"]["target"], 3);
    let before = fleet.rebalances();
    let said = fleet.succeeds(&["rebalance"]);
    assert!(said.contains("assigned anew"), "{said}");
    until(PATIENCE, "each instance to be assigned anew", || {
        let after = fleet.rebalances();
        let all = before.iter().zip(&after).all(|(before, after)| after > before);
        if all { Ok(()) } else { Err(format!("{before:?}, then {after:?}")) }
    });
    fleet.wait_shares(&[16, 16, 16]);
    finish(&scenario, &fleet, &generator);
}

/// Measures until it is within the limit, three times at most: on a loaded machine an insert may
/// take longer than the limit allows for.
#[track_caller]
fn within(what: &str, limit: Duration, mut measure: impl FnMut() -> Duration) {
    let mut measured = Vec::new();
    for _ in 0..3 {
        let gap = measure();
        println!("{what}: {gap:?} without rows");
        measured.push(gap);
        if gap <= limit {
            return;
        }
    }
    panic!("{what}: {measured:?} without rows");
}

#[test]
fn frozen_beyond_its_session_an_instance_comes_back_and_nothing_is_lost_or_doubled() {
    let scenario = Scenario::new("fleet_frozen", &clickhouse().url())
        .with("kafka", "session_timeout_ms: 6000\nassignor: cooperative-sticky");
    let fleet = Fleet::of(&scenario, 2, &[]);
    let generator = ticks(&scenario, 903, 30_000);
    under_load(&generator, 1_500, || {
        let pid = fleet.pids()[&1];
        signal("STOP", pid);
        until(PATIENCE, "the other to take over", || {
            let fleet = fleet.fleet();
            let shares = fleet["instances"][1]["partitions"].as_array().map_or(0, Vec::len);
            if shares == 48 { Ok(()) } else { Err(fleet.to_string()) }
        });
        let flows = Gaps::of(&scenario);
        flows.begin();
        flows.longest_until_all_flow();
        signal("CONT", pid);
        for _ in 0..2 {
            fleet.succeeds(&["scale", "3"]);
            fleet.wait_ready(3);
            fleet.succeeds(&["scale", "2"]);
            fleet.wait_ready(2);
        }
    });
    finish(&scenario, &fleet, &generator);
}

#[test]
fn a_backlog_makes_the_fleet_grow_and_quiet_makes_it_shrink_again() {
    let policy = "{ enabled: true, min: 1, max: 3, lag: 1000, for_s: 2, quiet_s: 5 }";
    let scenario = Scenario::new("fleet_auto", &clickhouse().url())
        .with("autoscale", policy)
        // A row in a batch of its own: slow, so that a backlog lasts.
        .with("batch", "{ max_rows: 20, max_age_ms: 30 }")
        .with("backpressure", "{ max_rows: 200 }");
    let fleet = Fleet::of(&scenario, 1, &[]);
    // Drained by one in half a minute on a quick machine: time for two decisions.
    let generator = ticks(&scenario, 904, 500_000);
    crate::world::produce(&generator, 0..500_000, data_bridge_lab::kafka::Pace::Full);
    until(PATIENCE, "a third instance", || {
        let fleet = fleet.fleet();
        if fleet["supervisor"]["target"] == 3 {
            Ok(())
        } else {
            Err(fleet["supervisor"].to_string())
        }
    });
    scenario.assert_exact(&Expected::of(&generator).unwrap(), Duration::from_mins(4));
    until(PATIENCE, "one instance", || {
        let fleet = fleet.fleet();
        if fleet["supervisor"]["target"] == 1 {
            Ok(())
        } else {
            Err(fleet["supervisor"].to_string())
        }
    });
    let page = fleet.fleet();
    let sizes = page["supervisor"]["changes"].as_array().unwrap().clone();
    let sizes = sizes.iter().map(|change| change["to"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(sizes, [2, 3, 2, 1], "{page}");
    let status = text(&fleet.command(&["status"]));
    assert!(status.contains("1 → 2  lag "), "{status}");
    finish(&scenario, &fleet, &generator);
}

#[test]
fn a_killed_supervisor_leaves_its_instances_to_the_next_one() {
    let fleet = Fleet::lonely("fleet_adopt", &["-n", "2"]);
    let pids = wait_running(&fleet, 2);
    fleet.supervisor.kill().unwrap();
    fleet.refuses(&["status"], 3, &["the supervisor is gone; 2 instances go on"]);
    assert!(pids.values().all(|pid| is_alive(*pid)));

    let again = Fleet::up(&fleet.config, &fleet.state, fleet.port, &[]);
    assert_eq!(wait_running(&again, 2), pids);
    // One that was adopted is watched as any other.
    signal("KILL", pids[&1]);
    let after = until(PATIENCE, "another process", || {
        let now = again.pids();
        let is_new = now.len() == 2 && now[&1] != pids[&1];
        if is_new { Ok(now) } else { Err(format!("{now:?}\n{}", again.supervisor.log_tail())) }
    });
    assert_eq!(after[&2], pids[&2]);

    // Without a supervisor, `down` stops them as well.
    again.supervisor.kill().unwrap();
    let said = again.succeeds(&["down"]);
    assert!(said.contains("stopping 2 instances"), "{said}");
    assert!(after.values().all(|pid| !is_alive(*pid)));
    again.refuses(&["status"], 3, &["does not run", "data-bridge up"]);
}

fn wait_running(fleet: &Fleet, instances: usize) -> BTreeMap<u64, u32> {
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

#[test]
fn one_that_dies_again_and_again_is_held_and_said_to_be() {
    let fleet = Fleet::lonely("fleet_crash_loop", &["-n", "2"]);
    let mut pids = wait_running(&fleet, 2);
    let other = pids[&1];
    let held = until(PATIENCE, "the second instance to be held", || {
        let page = fleet.fleet();
        let process = &page["supervisor"]["processes"][1];
        if process["state"] == "held" {
            return Ok(process.clone());
        }
        let now = fleet.pids();
        if let Some(pid) = now.get(&2).filter(|pid| is_alive(**pid)) {
            signal("KILL", *pid);
        }
        pids = now;
        Err(process.to_string())
    });
    assert!(held["why"].as_str().unwrap().contains("ended by signal 9"), "{held}");
    let status = fleet.command(&["status"]);
    refused(&status, 1, &["held", "ended by signal 9", "tried again in"]);
    assert_eq!(fleet.pids()[&1], other);
    fleet.down();
}

#[test]
fn what_cannot_be_is_refused_and_the_fleet_goes_on() {
    let fleet = Fleet::lonely("fleet_refusals", &["-n", "1"]);
    let pids = wait_running(&fleet, 1);
    fleet.refuses(&["scale", "0"], 1, &["at least one instance"]);
    fleet.refuses(&["scale", "5000"], 1, &["too many"]);
    fleet.refuses(&["scale", "many"], 2, &["many"]);
    let taken = TcpListener::bind(("127.0.0.1", fleet.port + 3)).unwrap();
    let port = (fleet.port + 3).to_string();
    fleet.refuses(&["scale", "3"], 1, &["instance 3", &port, "nothing was changed"]);
    drop(taken);
    // A second supervisor of the same folder.
    let listen = format!("hub.listen=127.0.0.1:{}", base_port());
    fleet.refuses(&["up", "--set", &listen], 1, &["a fleet runs already", "status"]);
    fleet.refuses(&["up", "-d", "--set", &listen], 1, &["a fleet runs already"]);
    // Another folder, the same ports.
    let other = state_folder("fleet_refusals_other");
    let up = |listen: &str, state: &Path| {
        let mut command = Command::new(binary());
        command.args(["up", "-n", "2", "--set", listen, "--state-dir"]).arg(state);
        command.arg("--config").arg(&fleet.config).output().unwrap()
    };
    let hub = format!("hub.listen=127.0.0.1:{}", fleet.port);
    refused(&up(&hub, &other), 1, &["hub.listen", "another program has the port"]);
    let beside = base_port();
    let taken = TcpListener::bind(("127.0.0.1", beside + 2)).unwrap();
    let hub = format!("hub.listen=127.0.0.1:{beside}");
    refused(&up(&hub, &other), 1, &["instance 2", &(beside + 2).to_string()]);
    assert_eq!(read_state(&other)["members"], Value::Null, "nothing was started");
    drop(taken);
    std::fs::write(other.join("fleet.json"), r#"{"version":99}"#).unwrap();
    refused(&up(&hub, &other), 2, &["fleet.json", "version 99"]);
    refused(&up(&hub, Path::new("/proc/none")), 1, &["/proc/none", "--state-dir"]);
    assert_eq!(fleet.pids(), pids);

    let fake = wait_for(FakeClickHouse::start()).unwrap();
    let at_hub = |arguments: &[&str], url: &str| {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--hub", url]).output().unwrap()
    };
    for (answer, words) in [
        (Answer::Http { status: 500, body: "oops".to_owned() }, "answers 500"),
        (Answer::Text("<html>".to_owned()), "a web page"),
        (Answer::Text("{}".to_owned()), "none of a hub of ours"),
        (Answer::Text("[1".to_owned()), "not understood"),
    ] {
        fake.script(move |_| Some(answer.clone()));
        refused(&at_hub(&["status"], &fake.url()), 1, &[words]);
        refused(&at_hub(&["scale", "2"], &fake.url()), 1, &[]);
    }
    let nobody = format!("http://127.0.0.1:{}", base_port());
    refused(&at_hub(&["status"], &nobody), 3, &["no hub answers"]);
    refused(&at_hub(&["status"], "nonsense"), 2, &["not a URL"]);
    // By its URL alone nobody may change it.
    let url = format!("http://127.0.0.1:{}", fleet.port);
    refused(&at_hub(&["scale", "2"], &url), 1, &["refuses", "--state-dir"]);
    refused(&at_hub(&["status"], &url), 1, &["fleet_refusals-1"]);
    fleet.down();
}

#[test]
fn in_the_background_it_goes_on_without_its_terminal() {
    let state = state_folder("fleet_background");
    let _whatever_is_left = Remains(state.clone());
    let (nobody, port) = (port::free().unwrap(), base_port());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--state-dir").arg(&state);
        command.output().expect("data-bridge runs")
    };
    let output = run(&[
        "up",
        "-d",
        "-n",
        "2",
        "--set",
        &format!("hub.listen=127.0.0.1:{port}"),
        "--set",
        &format!("kafka.brokers=127.0.0.1:{nobody}"),
        "--set",
        &format!("clickhouse.urls=http://127.0.0.1:{nobody}"),
    ]);
    refused(&output, 0, &["fleet of 2 instances", &format!("http://127.0.0.1:{port}")]);
    pause(Duration::from_millis(100));
    refused(&run(&["status"]), 1, &["2 instances ready", "supervisor"]);
    refused(&run(&["down"]), 0, &["stopped"]);
    assert!(read_state(&state)["members"].as_array().unwrap().is_empty());
}
