//! What a scenario does by hand: records with keys and headers, topics with settings, commands.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use data_bridge_lab::model::Expected;
use data_bridge_lab::proxy::Proxy;
use data_bridge_lab::verify::{Verdict, verify};
use data_bridge_stack::clickhouse::ClickHouse;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use serde_json::Value;

use crate::world::{Instance, PATIENCE, Scenario, binary, kafka, until, wait_for};

/// Sends single records to the shared broker.
pub(crate) struct Sender(ThreadedProducer<Refusals>);

/// What the broker refused.
#[derive(Default)]
struct Refusals(Mutex<Vec<String>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut refusals = self.0.lock().expect("nobody panics with the lock held");
            refusals.push(error.to_string());
        }
    }
}

impl Sender {
    pub(crate) fn new() -> Self {
        let client = ClientConfig::new()
            .set("bootstrap.servers", kafka().bootstrap())
            .set("linger.ms", "2")
            .set("message.max.bytes", "67108864")
            .create_with_context(Refusals::default());
        Self(client.expect("the producer's settings are sound"))
    }

    /// Queues a record; [`Sender::flush`] sees to it.
    pub(crate) fn send(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        (record.key, record.payload) = (key, payload);
        let headers = headers.iter();
        record.headers = Some(headers.fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        }));
        while let Err((error, refused)) = self.0.send(record) {
            assert!(error.to_string().contains("Queue full"), "{error}");
            self.flush();
            record = refused;
        }
    }

    /// A payload without key and headers.
    pub(crate) fn text(&self, topic: &str, partition: i32, payload: &str) {
        self.send(topic, partition, None, Some(payload.as_bytes()), &[]);
    }

    /// Everything sent is in the log.
    pub(crate) fn flush(&self) {
        self.0.flush(PATIENCE).expect("the broker takes it");
        let refusals = self.0.context().0.lock();
        let refusals = refusals.expect("nobody panics with the lock held");
        assert!(refusals.is_empty(), "{refusals:?}");
    }
}

/// Asks the shared broker for changes.
fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka().bootstrap())
        .create()
        .expect("an admin client can be made")
}

/// Creates a topic on the shared broker.
pub(crate) fn create_topic(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let answers = wait_for(admin().create_topics([&topic], &options)).expect("the broker answers");
    for answer in answers {
        answer.expect("the topic can be created");
    }
}

/// Deletes what lies before an offset, as retention does.
pub(crate) fn delete_records(topic: &str, partition: i32, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("a valid offset");
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    wait_for(admin().delete_records(&list, &options)).expect("they can be deleted");
}

/// What a command of ours said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `data-bridge` with the scenario's configuration to its end.
pub(crate) fn run_command(scenario: &Scenario, arguments: &[&str]) -> Said {
    let output = Command::new(binary())
        .args(arguments)
        .arg("--config")
        .arg(scenario.config(1, 0))
        .env("NO_COLOR", "1")
        .output()
        .expect("data-bridge runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The verdict as it is now, when more was sent than the plan: its tables hold, exactly these many
/// dead letters are there, none of them the plan's.
#[track_caller]
pub(crate) fn assert_tables_exact(scenario: &Scenario, expected: &Expected, letters: u64) {
    let verdict: Verdict = wait_for(verify(&scenario.server(), expected)).expect("an answer");
    for table in &verdict.tables {
        let wrong = table.missing + table.duplicates + table.differing + table.unexpected;
        assert_eq!(wrong, 0, "{verdict}");
    }
    let found = &verdict.letters;
    assert_eq!((found.missing, found.duplicates), (0, 0), "{verdict}");
    assert_eq!(found.found, letters, "{verdict}");
}

/// Waits for all rows that `expected` names; dead letters are not looked at.
pub(crate) fn wait_tables(scenario: &Scenario, expected: &Expected) {
    for kind in data_bridge_lab::plan::Kind::ALL {
        scenario.wait_rows(kind.table(), expected.visible(kind));
    }
}

/// No instance that wrote this log panicked.
#[track_caller]
pub(crate) fn assert_no_panic(log: &Path) {
    let text = std::fs::read(log).expect("an instance has a log");
    let text = String::from_utf8_lossy(&text);
    assert!(!text.contains("panic"), "{text}");
}

/// Drains an instance: it ends well, and never panicked.
#[track_caller]
pub(crate) fn drain(bridge: &Instance) {
    let status = bridge.terminate(std::time::Duration::from_secs(20));
    assert!(status.success(), "{status}\n{}", bridge.tail());
    assert_no_panic(bridge.process.log());
}

/// A proxy in front of a ClickHouse.
pub(crate) fn proxy_before(clickhouse: &ClickHouse) -> Proxy {
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, clickhouse.port()));
    wait_for(Proxy::start(server)).expect("a proxy can listen")
}

/// Waits until `/readyz` fails with a line that contains each of these.
#[track_caller]
pub(crate) fn wait_for_reasons(bridge: &Instance, wanted: &[String]) {
    until(PATIENCE, "the reasons", || {
        let page = match bridge.get("/readyz") {
            Ok(page) => return Err(format!("it is ready: {page}")),
            Err(page) => page,
        };
        let missing: Vec<_> = wanted.iter().filter(|text| !page.contains(*text)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("not said: {missing:?} in {page}\n{}", bridge.tail()))
        }
    });
}

/// The findings and the summary that `audit --json` prints.
#[track_caller]
pub(crate) fn audit(scenario: &Scenario, arguments: &[&str], code: i32) -> (Vec<Value>, Value) {
    let said = run_command(scenario, &[&["audit", "--json"], arguments].concat());
    assert_eq!(said.code, Some(code), "{said:?}");
    let mut lines: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = lines.pop().expect("a summary")["summary"].take();
    (lines, summary)
}
