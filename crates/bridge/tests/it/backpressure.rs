//! A slow ClickHouse: fetching pauses and resumes, memory stays flat.

use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::proxy::Fault;

use crate::world::{PATIENCE, Scenario, clickhouse, pause, produce, proxy_to, until};

const MIB: u64 = 1 << 20;
const MESSAGES: u64 = 40_000;

#[test]
fn a_slow_clickhouse_pauses_and_resumes_fetching_and_memory_stays_bounded() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = Scenario::new("backpressure", &clickhouse().url())
        .with("backpressure", "{ max_rows: 5000, max_bytes: 16MiB }")
        .through(&proxy);
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    // A request's first piece, its further pieces and the answer are held so long each.
    proxy.set(Fault::Delay(Duration::from_millis(600)));
    let generator = Generator::try_new(scenario.plan(18, MESSAGES)).unwrap();
    produce(&generator, 0..MESSAGES, Pace::Full);
    let rebalances = until(PATIENCE, "the first assignment", || {
        match bridge.metric("data_bridge_rebalances_total") {
            0 => Err("none".to_owned()),
            rebalances => Ok(rebalances),
        }
    });

    let (mut changes, mut held, mut paused) = (Vec::new(), false, false);
    let (mut rss, mut rows, mut bytes) = (0, 0, 0);
    let began = Instant::now();
    while changes.len() < 4 {
        let status = bridge.status();
        let holds = status["backpressure"] == true;
        if holds != held {
            // A buffer that does not empty by itself within 200 ms pauses the lanes; here no insert
            // takes less than 1.2 s.
            assert_eq!(paused, held, "{status}");
            (held, paused) = (holds, false);
            changes.push(holds);
        }
        rss = rss.max(bridge.rss());
        rows = rows.max(status["buffered_rows"].as_u64().expect("a count"));
        bytes = bytes.max(status["buffered_bytes"].as_u64().expect("a size"));
        paused |= holds && all_paused(&status) == Some(true);
        assert!(began.elapsed() < PATIENCE, "changes {changes:?}, {status}");
        pause(Duration::from_millis(20));
    }
    println!("rss {} MiB, {rows} rows, {bytes} bytes held", rss / MIB);
    assert!(rss <= 16 * MIB + 64 * MIB, "{rss} bytes resident");
    assert!((4_000..=5_000).contains(&rows), "{rows} rows held");
    assert!(bytes <= 16 * MIB, "{bytes} bytes held");

    proxy.set(Fault::Pass);
    let expected = Expected::of(&generator).unwrap();
    let verdict = scenario.assert_exact(&expected, PATIENCE);
    println!("{}", verdict.line());
    assert_eq!(bridge.metric("data_bridge_rebalances_total"), rebalances);
    assert_eq!(bridge.metric("data_bridge_insert_retries_total"), 0);
    scenario.assert_committed();
    bridge.end();
}

/// Whether all partitions of a status are paused.
fn all_paused(status: &serde_json::Value) -> Option<bool> {
    let partitions = status["partitions"].as_array()?;
    Some(partitions.iter().all(|partition| partition["paused"] == true))
}
