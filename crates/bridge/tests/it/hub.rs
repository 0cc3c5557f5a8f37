//! The hub and those who report to it; none of it needs Kafka, and Kafka's work needs none of it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use data_bridge::config::{Config, Environment, Override};
use data_bridge::hub::{Pace, Reporter};
use data_bridge::telemetry::board::{Board, Status};
use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse};
use data_bridge_lab::model::Expected;
use data_bridge_stack::health::http_get;
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::Value;

use crate::flow::{finish, ticks};
use crate::world::{
    Instance, PATIENCE, Scenario, binary, clickhouse, folder, produce, until, wait_for,
};

/// A running `data-bridge hub`.
pub(crate) struct Hub {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Hub {
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
        Self::start_with(folder, port, &[])
    }

    /// With more arguments, such as a configuration.
    pub(crate) fn start_with(folder: &Path, port: u16, more: &[&OsStr]) -> Self {
        let mut command = Command::new(binary());
        command
            .args(["hub", "--state-dir"])
            .arg(folder)
            .args(more)
            .arg("--set")
            .arg(format!("hub.listen=127.0.0.1:{port}"))
            .env("NO_COLOR", "1");
        let process =
            Process::spawn("hub", command, &folder.join("hub.log"), Lifetime::WithStarter);
        let hub = Self { process: process.expect("the hub starts"), port };
        until(PATIENCE, "the hub to answer", || {
            http_get(port, "/healthz").map_err(|error| format!("{error}\n{}", hub.tail()))
        });
        hub
    }

    fn tail(&self) -> String {
        self.process.log_tail()
    }

    pub(crate) fn fleet(&self) -> Value {
        let page = http_get(self.port, "/api/fleet").unwrap_or_default();
        serde_json::from_str(&page).unwrap_or_default()
    }

    /// Waits until the only instance is in this state; all that is known of it.
    #[track_caller]
    fn wait_life(&self, life: &str) -> Value {
        until(PATIENCE, &format!("the instance to be {life}"), || {
            let fleet = self.fleet();
            let member = &fleet["instances"][0];
            if member["life"] == life { Ok(member.clone()) } else { Err(fleet.to_string()) }
        })
    }
}

/// `data-bridge top` without a terminal: a line each second.
struct Top {
    process: Process,
}

impl Top {
    fn start(folder: &Path, port: u16) -> Self {
        let mut command = Command::new(binary());
        command.args(["top", "--hub", &format!("http://127.0.0.1:{port}")]).current_dir(folder);
        let log = folder.join("top.log");
        let process = Process::spawn("top", command, &log, Lifetime::WithStarter);
        Self { process: process.expect("it starts") }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(&self, words: &str) {
        until(PATIENCE, &format!("top to say {words:?}"), || {
            let said = self.said();
            if said.contains(words) { Ok(()) } else { Err(said) }
        });
    }
}

/// An instance whose Kafka and ClickHouse are away: it runs, and says that it is not ready.
fn lonely_instance(folder: &Path, hub: &Hub, id: &str, claims: u32) -> Instance {
    let (nobody, port) = (port::free().unwrap(), port::free().unwrap());
    let mut command = Command::new(binary());
    command.arg("run").env("NO_COLOR", "1").current_dir(folder);
    for set in [
        format!("instance.id={id}"),
        format!("instance.number={claims}"),
        format!("kafka.brokers=127.0.0.1:{nobody}"),
        format!("clickhouse.urls=http://127.0.0.1:{nobody}"),
        "nats.enabled=false".to_owned(),
        format!("http.listen=127.0.0.1:{port}"),
        format!("hub.url=http://127.0.0.1:{}", hub.port),
    ] {
        command.args(["--set", &set]);
    }
    let log = folder.join(format!("{id}.log"));
    let process = Process::spawn(id, command, &log, Lifetime::WithStarter);
    Instance { process: process.expect("it starts"), port }
}

#[test]
fn a_hub_shows_who_is_up_dead_and_gone_and_knows_it_after_its_own_restart() {
    let folder = folder("hub");
    let port = port::free().unwrap();
    let hub = Hub::start(&folder, port);
    let instance = lonely_instance(&folder, &hub, "lonely", 7);
    let member = hub.wait_life("up");
    assert_eq!(member["instance_id"], "lonely");
    assert_eq!(member["service_name"], "data-bridge-7");
    assert_eq!(member["ready"], false);
    assert_ne!(member["reasons"].as_array().unwrap().len(), 0, "{member}");
    assert!(member["rss_bytes"].as_u64().unwrap() > 1 << 20, "{member}");

    instance.kill();
    let dead = hub.wait_life("dead");
    assert_eq!(dead["reasons"].as_array().unwrap().len(), 1, "{dead}");

    let top = Top::start(&folder, port);
    top.wait_for("instances up");
    let status = hub.process.stop(Duration::from_secs(10)).unwrap();
    assert!(status.success(), "{}", hub.tail());
    top.wait_for("no look: no hub answers");
    let hub = Hub::start(&folder, port);
    assert_eq!(hub.wait_life("dead")["instance_id"], "lonely");

    let instance = lonely_instance(&folder, &hub, "lonely", 7);
    hub.wait_life("up");
    assert!(instance.terminate(Duration::from_secs(30)).success(), "{}", instance.tail());
    hub.wait_life("left");
    // It bore a short absence, and saw how the instance ended.
    top.wait_for("lonely stopped in order");
    hub.process.kill().unwrap();
    let status = top.process.wait_exit(Duration::from_secs(30)).expect("nobody answers for good");
    assert_eq!(status.code(), Some(3), "{}", top.said());
    assert!(top.said().contains("error: no hub answers at"), "{}", top.said());
}

/// Waits until these instances, by id and as they say themselves, carry these numbers.
#[track_caller]
fn wait_numbers(hub: &Hub, instances: &[(&str, &Instance, u64)]) {
    until(PATIENCE, "each to carry its number", || {
        let said = instances.iter().map(|(id, instance, _)| {
            let page = http_get(instance.port, "/api/status").unwrap_or_default();
            let page: Value = serde_json::from_str(&page).unwrap_or_default();
            (*id, page["instance_number"].as_u64().unwrap_or_default())
        });
        let said = said.collect::<Vec<_>>();
        let wanted = instances.iter().map(|(id, _, number)| (*id, *number)).collect::<Vec<_>>();
        if said == wanted { Ok(()) } else { Err(format!("{said:?}, {}", hub.fleet())) }
    });
}

#[test]
fn instances_that_claim_one_number_are_told_apart_and_stay_so_when_the_hub_begins_anew() {
    let folder = folder("hub-numbers");
    let port = port::free().unwrap();
    let hub = Hub::start(&folder, port);
    let start = |hub: &Hub, id: &str| lonely_instance(&folder, hub, id, 1);
    let a = start(&hub, "a");
    wait_numbers(&hub, &[("a", &a, 1)]);
    until(PATIENCE, "the hub to know it", || {
        let fleet = hub.fleet();
        if fleet["totals"]["up"] == 1 { Ok(()) } else { Err(fleet.to_string()) }
    });
    let b = start(&hub, "b");
    wait_numbers(&hub, &[("a", &a, 1), ("b", &b, 2)]);
    let metrics = http_get(b.port, "/metrics").unwrap();
    assert!(metrics.contains(r#"instance_id="b",instance_number="2""#), "{metrics:.600}");

    assert!(hub.process.stop(Duration::from_secs(10)).unwrap().success());
    let hub = Hub::start(&folder, port);
    let c = start(&hub, "c");
    wait_numbers(&hub, &[("a", &a, 1), ("b", &b, 2), ("c", &c, 3)]);
    let logged = std::fs::read_to_string(folder.join("c.log")).unwrap();
    assert!(logged.contains(" c#1 ") && logged.contains(" c#3 "), "{logged}");

    a.kill();
    until(PATIENCE, "the death of one", || {
        let fleet = hub.fleet();
        if fleet["instances"][0]["life"] == "dead" { Ok(()) } else { Err(fleet.to_string()) }
    });
    let d = start(&hub, "d");
    wait_numbers(&hub, &[("b", &b, 2), ("c", &c, 3), ("d", &d, 1)]);
    let named = hub.fleet()["instances"].as_array().unwrap().clone();
    let named = named.iter().map(|one| one["service_name"].clone()).collect::<Vec<_>>();
    assert!(named.contains(&"data-bridge-3".into()), "{named:?}");
}

#[test]
fn a_hub_refuses_the_file_of_another_version_and_leaves_it_alone() {
    let folder = folder("hub-version");
    let file = folder.join("hub.json");
    std::fs::write(&file, r#"{"version":99,"members":[]}"#).unwrap();
    let output = Command::new(binary())
        .args(["hub", "--set", "hub.listen=127.0.0.1:0", "--state-dir"])
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("version 99") && said.contains("hub.json"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"version":99,"members":[]}"#);
}

#[test]
fn whatever_reaches_a_hub_is_answered_and_nothing_stops_it() {
    let folder = folder("hub-nonsense");
    let hub = Hub::start(&folder, port::free().unwrap());
    let url = format!("http://127.0.0.1:{}/api", hub.port);
    let http = crate::world::http();
    let post = |path: &str, body: Vec<u8>| {
        wait_for(http.post(format!("{url}/{path}")).body(body).send()).unwrap().status().as_u16()
    };
    let long = format!(r#"{{"instance_id":"{}"}}"#, "x".repeat(10_000));
    for nonsense in ["", "null", "{", "[]", "{}", r#"{"instance_id":5}"#, &long] {
        assert_eq!(post("discovery/register", nonsense.into()), 400, "{nonsense:.40}");
    }
    assert_eq!(post("discovery/register", vec![0xff; 64]), 400);
    // It may close before all of it has been sent.
    let fat = http.post(format!("{url}/discovery/register")).body(vec![b'a'; 2 << 20]);
    if let Ok(answer) = wait_for(fat.header("connection", "close").send()) {
        assert_eq!(answer.status().as_u16(), 413);
    }
    assert_eq!(post("discovery/heartbeat", r#"{"instance_id":"a"}"#.into()), 404);
    assert_eq!(post("discovery/register", r#"{"instance_id":"a","url":"::"}"#.into()), 200);
    assert_eq!(post("discovery/heartbeat", r#"{"instance_id":"a"}"#.into()), 200);
    assert_eq!(post("fleet/control", r#"{"do":"down"}"#.into()), 409);
    // A URL that leads nowhere is a dead instance, no dead hub.
    assert_eq!(hub.wait_life("dead")["instance_id"], "a");
}

#[test]
fn a_hub_that_forgot_an_instance_is_told_again_who_it_is() {
    let hub = wait_for(FakeClickHouse::start()).unwrap();
    let mut beats = 0;
    hub.script(move |request| {
        beats += usize::from(request.path.ends_with("heartbeat"));
        // The third heartbeat meets a hub that began anew.
        let knows = beats != 3 || request.path.ends_with("register");
        Some(if knows {
            Answer::Text("{}".to_owned())
        } else {
            Answer::Http { status: 404, body: "{}".to_owned() }
        })
    });
    let set = [
        ("hub.url", hub.url()),
        ("instance.id", "b-1".to_owned()),
        ("http.advertise", "http://b-1:9401".to_owned()),
    ];
    let overrides = set.each_ref().map(|(key, value)| Override { flag: "--set", key, value });
    let config = Config::load(None, &Environment::default(), &overrides).unwrap().config;
    let status = Status {
        instance_id: "b-1".to_owned(),
        instance_number: 1,
        ready: true,
        ticks_saved: 42,
        ..Status::default()
    };
    let pace = Pace { heartbeat: Duration::from_millis(20), ..Pace::default() };
    let board = Arc::new(Board::new(status, config.instance.number.clone()));
    let reporter = wait_for(async {
        Reporter::start(&tokio::runtime::Handle::current(), &config, board, pace)
    })
    .expect("a hub is configured");
    let said = until(PATIENCE, "six reports", || {
        let requests = hub.requests();
        if requests.len() < 6 { Err(format!("{} reports", requests.len())) } else { Ok(requests) }
    });
    wait_for(reporter.stop());
    let paths = said[..6].iter().map(|request| request.path.rsplit('/').next().unwrap());
    let paths = paths.collect::<Vec<_>>();
    assert_eq!(paths, ["register", "heartbeat", "heartbeat", "heartbeat", "register", "heartbeat"]);
    let beat: Value = serde_json::from_slice(&said[1].body).unwrap();
    assert_eq!(beat["service_name"], "data-bridge-1");
    assert_eq!(beat["instance_id"], "b-1");
    assert_eq!(beat["url"], "http://b-1:9401");
    assert_eq!(beat["status"], "healthy");
    assert!(beat["timestamp"].as_i64().unwrap() > 1_700_000_000_000, "{beat}");
    assert_eq!(beat["metrics"]["ticks_saved"], 42);
    let last = hub.requests();
    let last: Value = serde_json::from_slice(&last.last().unwrap().body).unwrap();
    assert_eq!(last["status"], "stopping");
}

#[test]
fn rows_flow_whatever_nonsense_the_hub_answers() {
    let hub = wait_for(FakeClickHouse::start()).unwrap();
    let page = "<html>no hub here</html>".to_owned();
    let answers = [
        Answer::Http { status: 500, body: page.clone() },
        Answer::Text(page),
        Answer::Close,
        Answer::CutBody { before: "{".to_owned() },
        Answer::Text("x".repeat(40 << 20)),
        Answer::Hang,
    ];
    let mut next = answers.into_iter().cycle();
    hub.script(move |_| next.next());
    let scenario = Scenario::new("hub_nonsense", &clickhouse().url())
        .with("hub", &format!("{{ url: \"{}\" }}", hub.url()));
    scenario.init();
    let instance = scenario.start(1);
    instance.wait_ready();
    let generator = ticks(&scenario, 801, 3_000);
    produce(&generator, 0..1_500, data_bridge_lab::kafka::Pace::Full);
    until(PATIENCE, "reports", || match hub.requests().len() {
        reports if reports >= 3 => Ok(()),
        reports => Err(format!("{reports} reports")),
    });
    produce(&generator, 1_500..3_000, data_bridge_lab::kafka::Pace::Full);
    finish(&scenario, &[instance], &Expected::of(&generator).unwrap());
}
