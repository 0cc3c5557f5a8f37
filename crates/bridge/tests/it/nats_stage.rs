//! What the scenarios with NATS stand on: a server, streams of their own, and what the server knows.

use std::sync::OnceLock;
use std::time::Duration;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::{Assurance, Publisher};
use data_bridge_lab::plan::{Kind, Mix, Plan, Stamp, Ways};
use data_bridge_stack::health;
use data_bridge_stack::nats::{Nats, NatsOptions};
use serde_json::Value;

use crate::world::{Instance, PATIENCE, Scenario, clickhouse, folder, until};

/// The server of all scenarios that do it no harm.
pub(crate) fn nats() -> &'static Nats {
    static NATS: OnceLock<Nats> = OnceLock::new();
    NATS.get_or_init(|| own_nats("nats"))
}

/// A server that a scenario may kill.
pub(crate) fn own_nats(name: &str) -> Nats {
    Nats::start(&folder(&format!("server-{name}")), NatsOptions::default()).expect("NATS starts")
}

/// A stream, a consumer, and the server they live on.
pub(crate) struct Stream {
    pub(crate) name: String,
    monitor: u16,
}

impl Stream {
    pub(crate) fn on(scenario: &Scenario, monitor: u16) -> Self {
        Self { name: scenario.name.to_uppercase(), monitor }
    }

    /// What the server says of the consumer; null while there is none.
    pub(crate) fn consumer(&self) -> Value {
        self.detail()["consumer_detail"][0].clone()
    }

    /// What the server says of the stream; null while there is none.
    pub(crate) fn detail(&self) -> Value {
        let page = health::http_get(self.monitor, "/jsz?consumers=true&streams=true&config=true");
        let page: Value = serde_json::from_str(&page.unwrap_or_default()).unwrap_or_default();
        let accounts = page["account_details"].as_array().cloned().unwrap_or_default();
        let streams = accounts
            .iter()
            .flat_map(|account| account["stream_detail"].as_array().cloned().unwrap_or_default());
        let mut ours = streams.filter(|stream| stream["name"] == self.name.as_str());
        ours.next().unwrap_or_default()
    }

    /// Waits until every message is acked.
    #[track_caller]
    pub(crate) fn wait_acked(&self) {
        until(PATIENCE, "every message to be acked", || {
            let consumer = self.consumer();
            let acked = consumer["num_pending"] == 0 && consumer["num_ack_pending"] == 0;
            if acked && !consumer.is_null() { Ok(()) } else { Err(consumer.to_string()) }
        });
    }

    /// Waits until every message is acked, and none was ever delivered twice.
    #[track_caller]
    pub(crate) fn wait_acked_once(&self, messages: u64) {
        self.wait_acked();
        let consumer = self.consumer();
        let delivered = consumer["delivered"]["consumer_seq"].as_u64();
        assert_eq!(
            delivered,
            Some(messages),
            "delivered as often as there are messages: {consumer}"
        );
    }
}

/// A scenario that reads from NATS alone: a stream of its own on this server.
pub(crate) fn scenario(name: &str, nats_url: &str, more: &str) -> Scenario {
    let mut scenario = Scenario::new(name, &clickhouse().url());
    scenario.reads_kafka = false;
    read_nats(&mut scenario, nats_url, more);
    scenario
}

/// Has a scenario read from a stream of its own; `more` are further keys of `nats`.
pub(crate) fn read_nats(scenario: &mut Scenario, nats_url: &str, more: &str) {
    let name = &scenario.name;
    let urls = nats_url.split(',').map(|url| format!("\"{url}\"")).collect::<Vec<_>>().join(", ");
    scenario.nats = format!(
        "{{ cluster_urls: [{urls}], stream: {stream}, consumer: bridge, subjects: {{ \
         \"{name}.market.*.tick\": ticks, \"{name}.market.*.*\": aggregates, \
         \"{name}.market.external.*\": external }}{more} }}",
        stream = name.to_uppercase(),
    );
}

/// A plan for a stream.
pub(crate) fn plan(scenario: &Scenario, seed: u64, messages: u64) -> Plan {
    let origin = format!("nats:{}", scenario.name.to_uppercase());
    let mut plan = scenario.plan(seed, messages);
    (plan.ways, plan.stamp) = (Ways::Nats { origin }, Stamp::Clock);
    plan
}

/// Ticks of January for a stream, each an event of its own or a planted bad one.
pub(crate) fn ticks(scenario: &Scenario, seed: u64, messages: u64) -> Generator {
    let mut plan = plan(scenario, seed, messages);
    plan.mix = Mix { bad: 0.002, ..Mix::only(Kind::Tick) };
    (plan.events_from_ms, plan.events_to_ms) = (crate::flow::JANUARY_MS, crate::flow::FEBRUARY_MS);
    Generator::try_new(plan).expect("the plan can be carried out")
}

/// A publisher whose messages are each confirmed.
pub(crate) fn publisher(url: &str, assurance: Assurance) -> Publisher {
    Publisher::connect(url, assurance).expect("NATS lets us in")
}

/// Every value is there once, everything is acked, and all instances drain.
#[expect(clippy::print_stdout, reason = "raw rows are a figure of interest")]
#[track_caller]
pub(crate) fn finish(
    scenario: &Scenario,
    stream: &Stream,
    bridges: &[Instance],
    expected: &Expected,
) {
    let verdict = scenario.assert_exact(expected, PATIENCE);
    stream.wait_acked();
    let raw = verdict.total().raw_rows + verdict.letters.raw_rows;
    println!("{}; {raw} raw rows", verdict.line());
    for bridge in bridges {
        bridge.end();
    }
}

/// How long the server waits for an ack, in the scenarios that wait for it: the shortest there is.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(1);
