//! A supervisor without load: what it keeps alive, what it holds, what it refuses.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse};
use data_bridge_stack::port;
use serde_json::Value;

use crate::fleet_stage::{
    Fleet, Remains, base_port, is_alive, read_state, refused, signal, state_folder, wait_running,
};
use crate::world::{PATIENCE, binary, pause, until, wait_for};

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
fn a_supervisor_that_is_asked_to_end_takes_its_instances_with_it() {
    for (name, asks) in [("fleet_terminated", "TERM"), ("fleet_interrupted", "INT")] {
        let fleet = Fleet::lonely(name, &["-n", "2"]);
        let pids = wait_running(&fleet, 2);
        signal(asks, fleet.supervisor.pid());
        let status = fleet.supervisor.wait_exit(PATIENCE).expect("the supervisor ends");
        assert!(status.success(), "{asks}: {status}\n{}", fleet.supervisor.log_tail());
        for pid in pids.values() {
            assert!(!is_alive(*pid), "{asks}: {pid} still runs");
        }
        assert!(read_state(&fleet.state)["members"].as_array().unwrap().is_empty());
    }
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
