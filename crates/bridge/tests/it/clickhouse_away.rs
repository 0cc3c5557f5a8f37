//! ClickHouse or Kafka are away: for longer than a consumer may leave the broker alone, or from
//! the beginning.

use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::proxy::Fault;

use crate::world::{
    Instance, PATIENCE, Scenario, clickhouse, kafka, pause, produce, proxy_to, until,
};

const MIB: u64 = 1 << 20;
/// Least session and poll time-out that the broker takes.
const POLL_INTERVAL: Duration = Duration::from_secs(6);

const SOON: (&str, &str) = ("retry", "{ initial_ms: 100, max_ms: 500 }");

#[track_caller]
fn finish(scenario: &Scenario, bridge: &Instance, expected: &Expected) {
    bridge.wait_ready();
    let verdict = scenario.assert_exact(expected, PATIENCE);
    println!("{}", verdict.line());
    scenario.assert_committed();
    bridge.end();
}

#[test]
fn an_outage_longer_than_the_poll_interval_costs_neither_partitions_nor_memory() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = Scenario::new("clickhouse_away", &clickhouse().url())
        .with(SOON.0, SOON.1)
        .with("kafka", "session_timeout_ms: 6000\nmax_poll_interval_ms: 6000")
        .with("backpressure", "{ max_rows: 5000, max_bytes: 16MiB }")
        .through(&proxy);
    scenario.init();
    let bridge = scenario.start(1);
    let generator = Generator::try_new(scenario.plan(16, 40_000)).unwrap();
    produce(&generator, 0..2_000, Pace::Full);
    bridge.wait_ready();
    until(PATIENCE, "the commits", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
    let rebalances = bridge.metric("data_bridge_rebalances_total");
    assert!(rebalances > 0, "the metric counts the first assignment");
    let partitions = partitions(&bridge);

    proxy.set(Fault::Refuse);
    produce(&generator, 2_000..40_000, Pace::Full);
    let away = Instant::now();
    let said = bridge.wait_reason(&["cannot connect", &proxy.url()]);
    println!("{said}");
    let (mut rss, mut rows, mut bytes) = (0, 0, 0);
    while away.elapsed() < POLL_INTERVAL + Duration::from_secs(3) {
        let status = bridge.status();
        rss = rss.max(bridge.rss());
        rows = rows.max(status["buffered_rows"].as_u64().expect("a count"));
        bytes = bytes.max(status["buffered_bytes"].as_u64().expect("a size"));
        assert_eq!(status["ready"], false);
        assert_eq!(bridge.get("/healthz").unwrap(), "ok\n");
        pause(Duration::from_millis(50));
    }
    let retries = bridge.metric("data_bridge_insert_retries_total");
    println!("rss {} MiB, {rows} rows, {bytes} bytes, {retries} attempts failed", rss / MIB);
    assert!(rss <= 16 * MIB + 64 * MIB, "{rss} bytes resident");
    assert!((4_000..=5_000).contains(&rows), "{rows} rows held");
    assert!(bytes <= 16 * MIB, "{bytes} bytes held");
    proxy.set(Fault::Pass);

    let expected = Expected::of(&generator).unwrap();
    bridge.wait_ready();
    scenario.assert_exact(&expected, PATIENCE);
    assert_eq!(bridge.metric("data_bridge_rebalances_total"), rebalances);
    assert_eq!(self::partitions(&bridge), partitions);
    assert_eq!(bridge.metric("data_bridge_commit_failures_total"), 0);
    finish(&scenario, &bridge, &expected);
}

/// The partitions of an instance.
fn partitions(bridge: &Instance) -> Vec<String> {
    let status = bridge.status();
    let of = status["partitions"].as_array().map_or(&[][..], Vec::as_slice);
    of.iter().map(|of| format!("{}/{}", of["topic"], of["partition"])).collect()
}

#[test]
fn an_instance_starts_without_clickhouse_and_connects_when_it_comes() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = Scenario::new("clickhouse_absent", &clickhouse().url())
        .with(SOON.0, SOON.1)
        .through(&proxy);
    scenario.init();
    proxy.set(Fault::Refuse);
    let bridge = scenario.start(1);
    let said = bridge.wait_reason(&["cannot connect", &proxy.url()]);
    println!("{said}");
    let generator = Generator::try_new(scenario.plan(160, 2_000)).unwrap();
    produce(&generator, 0..2_000, Pace::Full);
    until(PATIENCE, "the partitions", || match partitions(&bridge).len() {
        48 => Ok(()),
        partitions => Err(format!("{partitions}")),
    });
    assert_eq!(bridge.get("/healthz").unwrap(), "ok\n");
    proxy.set(Fault::Pass);
    finish(&scenario, &bridge, &Expected::of(&generator).unwrap());
}

#[test]
fn an_instance_starts_without_tables_and_goes_on_when_they_are_made() {
    let scenario = Scenario::new("tables_absent", &clickhouse().url()).with(SOON.0, SOON.1);
    let bridge = scenario.start(1);
    let said = bridge.wait_reason(&["db_tables_absent.ticks", "data-bridge init"]);
    println!("{said}");
    scenario.init();
    let generator = Generator::try_new(scenario.plan(161, 2_000)).unwrap();
    produce(&generator, 0..2_000, Pace::Full);
    finish(&scenario, &bridge, &Expected::of(&generator).unwrap());
}

#[test]
fn an_instance_starts_without_kafka_and_connects_when_it_comes() {
    let proxy = proxy_to(kafka().port());
    let mut scenario = Scenario::new("kafka_absent", &clickhouse().url()).with(SOON.0, SOON.1);
    // Through the proxy only until the broker has said where it is.
    scenario.brokers = proxy.address().to_string();
    scenario.init();
    proxy.set(Fault::Refuse);
    let bridge = scenario.start(1);
    let said = bridge.wait_reason(&["Kafka is not connected", &scenario.brokers]);
    println!("{said}");
    assert_eq!(bridge.get("/healthz").unwrap(), "ok\n");
    let generator = Generator::try_new(scenario.plan(162, 2_000)).unwrap();
    produce(&generator, 0..2_000, Pace::Full);
    proxy.set(Fault::Pass);
    finish(&scenario, &bridge, &Expected::of(&generator).unwrap());
}
