//! `batch.inserts_per_second`: rows that trickle into many partitions cost few inserts.

use std::time::{Duration, Instant};

use crate::by_hand::{Sender, create_topic, drain};
use crate::world::{PATIENCE, Scenario, clickhouse, until};

const BUDGET: u64 = 20;
/// Partitions in ClickHouse, each of which gets rows all the time.
const MONTHS: u64 = 100;
const SECONDS: u64 = 5;
/// 1 January 2015, and days enough for each row to lie in the next month.
const START_MS: u64 = 1_420_070_400_000;
const STEP_MS: u64 = 2_629_746_000;

#[test]
fn rows_that_trickle_into_a_hundred_partitions_keep_to_the_budget_of_inserts() {
    let topic = "budget.orders";
    let routes = format!(
        "{{ orders: {{ from: {{ topics: [{topic}] }}, table: orders, \
         columns: {{ placed_at: {{ time: ms }} }}, required: [order_id, placed_at] }} }}"
    );
    let scenario = Scenario::new("insert_budget", &clickhouse().url())
        .with("routes", &routes)
        .with("batch", &format!("{{ inserts_per_second: {BUDGET} }}"));
    create_topic(topic, 1, &[]);
    scenario.init();
    scenario
        .query(&format!(
            "CREATE TABLE {}.orders (order_id UInt64, placed_at DateTime64(3, 'UTC'), version UInt64) \
             ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(placed_at) ORDER BY (order_id, placed_at)",
            scenario.database()
        ))
        .unwrap();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let sender = Sender::new();
    let (began, mut sent) = (Instant::now(), 0);
    // One row a second and partition, one after the other.
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let due = u64::try_from(began.elapsed().as_millis()).unwrap() * MONTHS / 1_000;
        while sent < due {
            let placed_at = START_MS + sent % MONTHS * STEP_MS;
            let order = format!(r#"{{"order_id":{sent},"placed_at":{placed_at}}}"#);
            sender.text(topic, 0, &order);
            sent += 1;
        }
        sender.flush();
        std::thread::yield_now();
    }
    scenario.wait_rows("orders", sent);
    // Committed is counted.
    until(PATIENCE, "the commits", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
    let seconds = began.elapsed().as_secs() + 1;
    let inserts = bridge.metric("data_bridge_inserts_total");
    println!("{inserts} inserts in {seconds} s for {sent} rows");
    // What was saved up while nothing came is one second's worth.
    assert!(inserts <= BUDGET * (seconds + 1), "{inserts} inserts in {seconds} s");
    assert!(inserts >= BUDGET, "they were not one insert");
    drain(&bridge);
}
