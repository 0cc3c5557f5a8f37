//! What happens to servers when the process that started them goes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_bridge_stack::cache::Cache;
use data_bridge_stack::install;
use data_bridge_stack::process::start_time;

use crate::folder;

/// A process of its own that starts Kafka and NATS; returns it with the pids of both.
fn owner(name: &str) -> (Child, Vec<u32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-bridge-stack"));
    command.arg(folder(name)).args(["kafka", "nats"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("cargo has built it");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let pids = output.lines().take(2).map(|line| {
        let line = line.expect("the output is text");
        let pid = line.rsplit(' ').next().and_then(|pid| pid.parse().ok());
        pid.expect("the pid stands last")
    });
    let pids = pids.collect();
    (child, pids)
}

#[test]
fn killing_the_owner_leaves_no_server_behind() {
    // Installed before, so that both owners begin with the same work.
    install::kafka(&Cache::from_env().unwrap()).unwrap();
    install::nats_server(&Cache::from_env().unwrap()).unwrap();
    for round in ["first", "second"] {
        let (mut child, pids) = owner(&format!("owner-{round}"));
        assert_eq!(pids.len(), 2, "an owner said less than two addresses");
        let started: Vec<_> = pids.iter().map(|pid| start_time(*pid)).collect();
        assert!(started.iter().all(Option::is_some), "{pids:?} do not all run");

        child.kill().unwrap();
        child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let living = || pids.iter().zip(&started).any(|(pid, then)| start_time(*pid) == *then);
        while living() {
            assert!(Instant::now() < deadline, "{pids:?} outlive their owner");
        }
    }
}

#[test]
fn a_missing_tool_is_named_with_what_to_install() {
    let place = folder("no-tools");
    let run = |path: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_data-bridge-stack"));
        command.arg(place.join("data")).args(["kafka"]);
        command.env("PATH", path).env_remove("JAVA_HOME");
        command.env("DATA_BRIDGE_CACHE", place.join("cache"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = run("");
    assert!(error.contains("`java` is missing: Kafka runs on Java 17"), "{error}");
    assert!(error.contains("apt-get install openjdk-17-jre-headless"), "{error}");

    // With Java alone, the next one is named.
    let tools = place.join("tools");
    fs::create_dir_all(&tools).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let java = std::env::split_paths(&path).map(|p| p.join("java")).find(|p| p.exists()).unwrap();
    std::os::unix::fs::symlink(fs::canonicalize(java).unwrap(), tools.join("java")).unwrap();
    let error = run(&tools.display().to_string());
    assert!(
        error.contains("`mvn` is missing") && error.contains("apt-get install maven"),
        "{error}"
    );
}

#[test]
fn what_is_installed_runs() {
    let cache = Cache::from_env().unwrap();
    let nats = install::nats_server(&cache).unwrap();
    let output = Command::new(nats).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "nats-server: v2.15.2");
    let kafka = install::kafka(&cache).unwrap();
    let output = kafka
        .command()
        .args(["org.apache.kafka.tools.TopicCommand", "--version"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("4.3.1"), "{output:?}");
}
