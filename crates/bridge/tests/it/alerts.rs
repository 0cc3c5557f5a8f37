//! A real Prometheus scrapes a fleet with our rules: alerts fire, and resolve.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_bridge_lab::kafka::Producer;
use data_bridge_lab::plan::Kind;
use data_bridge_stack::health::http_get;
use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::Value;

use crate::world::{Instance, PATIENCE, Scenario, clickhouse, kafka, until};

/// The shipped rules count minutes; here a minute is a second.
fn rules_in_seconds() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/rules.yaml");
    let rules = fs::read_to_string(path).expect("the rules are there");
    let mut quick = String::with_capacity(rules.len());
    let mut digits = false;
    let mut letters = rules.chars().peekable();
    while let Some(letter) = letters.next() {
        let ends = letters.peek().is_none_or(|next| !next.is_ascii_alphanumeric());
        quick.push(if digits && letter == 'm' && ends { 's' } else { letter });
        digits = letter.is_ascii_digit();
    }
    quick.replace("interval: 15s", "interval: 250ms")
}

struct Prometheus {
    process: Process,
    port: u16,
    folder: PathBuf,
}

impl Prometheus {
    fn start(scenario: &Scenario, fleet: &[Instance]) -> Self {
        let folder = scenario.folder.join("prometheus");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let config = "\
global: { scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms }
rule_files: [rules.yaml]
scrape_configs:
  - { job_name: bridge, file_sd_configs: [{ files: [fleet.json] }] }
";
        fs::write(folder.join("prometheus.yaml"), config).expect("a file can be written");
        fs::write(folder.join("rules.yaml"), rules_in_seconds()).expect("a file can be written");
        let port = port::free().expect("a port is free");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        scrape(&folder, fleet);
        let log = folder.join("prometheus.log");
        let process = Process::spawn("prometheus", command, &log, Lifetime::WithStarter)
            .expect("prometheus starts");
        Self { process, port, folder }
    }

    /// Names and labels of the alerts that fire.
    fn firing(&self) -> Result<Vec<Value>, String> {
        let page = http_get(self.port, "/api/v1/alerts")
            .map_err(|error| format!("{error:#}\n{}", self.process.log_tail()))?;
        let mut answer: Value = serde_json::from_str(&page).map_err(|error| error.to_string())?;
        let Value::Array(mut alerts) = answer["data"]["alerts"].take() else {
            return Err(page);
        };
        alerts.retain(|alert| alert["state"] == "firing");
        Ok(alerts)
    }

    /// Waits until an alert fires, or does no more; its labels when it fires.
    fn wait(&self, name: &str, fires: bool) -> Option<Value> {
        let what = format!("{name} {}", if fires { "to fire" } else { "to resolve" });
        until(PATIENCE, &what, || {
            let firing = self.firing()?;
            let found = firing.iter().find(|alert| alert["labels"]["alertname"] == name);
            match (found, fires) {
                (Some(alert), true) => Ok(Some(alert.clone())),
                (None, false) => Ok(None),
                (Some(_), false) | (None, true) => Err(format!("{firing:?}")),
            }
        })
    }
}

/// Has these instances scraped from now on. Moved into place, since Prometheus watches the file.
fn scrape(folder: &Path, fleet: &[Instance]) {
    let targets: Vec<_> =
        fleet.iter().map(|instance| format!("127.0.0.1:{}", instance.port)).collect();
    let text = serde_json::json!([{ "targets": targets }]).to_string();
    fs::write(folder.join("next"), text).expect("a file can be written");
    fs::rename(folder.join("next"), folder.join("fleet.json")).expect("a file can be moved");
}

#[test]
fn a_dead_instance_a_dead_letter_and_a_renamed_table_alert_and_resolve() {
    // Continuous integration has it; at home everything else is worth testing without.
    if std::env::var_os("CI").is_none()
        && Command::new("prometheus").arg("--version").output().is_err()
    {
        println!("skipped: prometheus is not installed: apt-get install prometheus");
        return;
    }
    let scenario = Scenario::new("alerts", &clickhouse().url())
        .with("retry", "{ initial_ms: 100, max_ms: 500 }");
    scenario.init();
    let mut fleet: Vec<_> = (1..=3).map(|number| scenario.start(number)).collect();
    fleet.iter().for_each(Instance::wait_ready);
    let prometheus = Prometheus::start(&scenario, &fleet);
    fleet[2].kill();
    prometheus.wait("DataBridgeInstancesMissing", true);
    fleet[2] = scenario.start(3);
    fleet[2].wait_ready();
    scrape(&prometheus.folder, &fleet);
    prometheus.wait("DataBridgeInstancesMissing", false);

    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    let topic = format!("{}{}", scenario.prefix(), Kind::Tick.topic());
    producer.produce_one(&topic, 0, None, Some(b"<script>alert(1)</script>")).unwrap();
    let alert = prometheus.wait("DataBridgeDeadLetters", true).unwrap();
    assert_eq!(alert["labels"]["route"], "ticks");
    assert_eq!(alert["labels"]["reason"], "not_json");
    prometheus.wait("DataBridgeDeadLetters", false);

    let database = scenario.database();
    scenario.query(&format!("RENAME TABLE {database}.ticks TO {database}.away")).unwrap();
    let tick = br#"{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":1706198400123}"#;
    producer.produce_one(&topic, 1, None, Some(tick)).unwrap();
    let alert = prometheus.wait("DataBridgeRoutePaused", true).unwrap();
    assert_eq!(alert["labels"]["table"], "ticks");
    scenario.query(&format!("RENAME TABLE {database}.away TO {database}.ticks")).unwrap();
    prometheus.wait("DataBridgeRoutePaused", false);
    scenario.wait_rows("ticks", 1);
    fleet.iter().for_each(Instance::end);
}
