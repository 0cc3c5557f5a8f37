//! Two hundred partitions with a message a second each: rows gather per table, not per partition.

use std::time::{Duration, Instant};

use crate::by_hand::{Sender, create_topic, drain};
use crate::world::{PATIENCE, Scenario, clickhouse, pause, until};

const PARTITIONS: u32 = 200;
const SECONDS: u32 = 6;
const MESSAGES: u32 = PARTITIONS * SECONDS;
/// The default of `batch.inserts_per_second`.
const MOST_PER_SECOND: f64 = 60.0;

#[test]
fn two_hundred_slow_partitions_do_not_cost_two_hundred_inserts_per_second() {
    let scenario = Scenario::new("many_partitions", &clickhouse().url());
    let topic = format!("{}tick_archive", scenario.prefix());
    create_topic(&topic, i32::try_from(PARTITIONS).unwrap(), &[]);
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let sender = Sender::new();
    let began = Instant::now();
    for number in 0..MESSAGES {
        let time = 1_706_198_400_000 + u64::from(number);
        let tick = format!(r#"{{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp_ms":{time}}}"#);
        sender.text(&topic, i32::try_from(number % PARTITIONS).unwrap(), &tick);
        let due = Duration::from_secs(1) * number / PARTITIONS;
        pause(due.saturating_sub(began.elapsed()));
    }
    sender.flush();
    scenario.wait_rows("ticks", MESSAGES.into());
    let seconds = began.elapsed().as_secs_f64();
    until(PATIENCE, "no lag", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
    scenario.assert_committed();
    let inserts = bridge.metric("data_bridge_inserts_total");
    println!("{inserts} inserts in {seconds:.1} s");
    let most = seconds * MOST_PER_SECOND;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let made = inserts as f64;
    assert!(made <= most, "{made} inserts in {seconds:.1} s");
    drain(&bridge);
}
