//! A route of the user's own, from its lines in `bridge.yaml` to its rows.

use std::time::Duration;

use data_bridge_lab::kafka::Offsets;

use crate::by_hand::{Sender, create_topic, drain, run_command, wait_for_reasons};
use crate::world::{PATIENCE, Scenario, clickhouse, kafka, until};

/// The route of the documentation, on a topic of the scenario's own.
fn scenario(name: &str) -> (Scenario, String) {
    let topic = format!("{name}.orders");
    let routes = format!(
        "{{ orders: {{ from: {{ topics: [{topic}] }}, table: orders, columns: {{ \
         price: {{ keys: [px, price], excess_digits: reject }}, \
         placed_at: {{ keys: [ts], time: ms }} }}, required: [order_id, placed_at] }} }}"
    );
    let scenario = Scenario::new(name, &clickhouse().url()).with("routes", &routes);
    create_topic(&topic, 3, &[]);
    (scenario, topic)
}

fn create_table(scenario: &Scenario, more: &str) {
    let ddl = format!(
        "CREATE TABLE {}.orders (order_id UInt64, placed_at DateTime64(3, 'UTC'), \
         price Nullable(Decimal(10, 2)), side LowCardinality(String), note Nullable(String), \
         tags Map(String, String), urgent Nullable(Bool), weight Nullable(Float64), {more} \
         added DateTime MATERIALIZED now(), version UInt64) \
         ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(placed_at) \
         ORDER BY (order_id, placed_at)",
        scenario.database()
    );
    scenario.query(&ddl).unwrap();
}

const GOOD: [(&str, &str); 4] = [
    (
        r#"{"order_id":1,"ts":1706198400123,"px":"12.50","side":"buy","note":"a\tb","tags":{"k":"v"},"urgent":true,"weight":0.5}"#,
        r"1|2024-01-25 16:00:00.123|12.5|buy|a\tb|{'k':'v'}|true|0.5",
    ),
    // The first key that is present wins; digits that are zeros are no digits too many.
    (
        r#"{"order_id":"18446744073709551615","ts":1706198400000,"price":7,"px":8.000,"side":"sell"}"#,
        "18446744073709551615|2024-01-25 16:00:00.000|8|sell|-|{}|-|-",
    ),
    (
        r#"{"order_id":3,"ts":1706198400000,"price":99999999.99,"unknown":[1]}"#,
        "3|2024-01-25 16:00:00.000|99999999.99||-|{}|-|-",
    ),
    // The later one of two with the same identity.
    (r#"{"order_id":3,"ts":1706198400000,"price":1}"#, "3|2024-01-25 16:00:00.000|1||-|{}|-|-"),
];

const BAD: [(&str, &str); 4] = [
    (r#"{"order_id":5,"ts":1706198400000,"px":1.005}"#, "excess_digits"),
    (r#"{"order_id":6,"px":1}"#, "missing_field"),
    (r#"{"order_id":-1,"ts":1706198400000}"#, "out_of_range"),
    (r#"{"order_id":7,"ts":1706198400000,"px":100000000}"#, "out_of_range"),
];

#[test]
fn a_route_of_ones_own_takes_its_columns_from_the_live_table() {
    let (scenario, topic) = scenario("own_route");
    // Tables of own routes are the user's: the route waits for this one and says so.
    let bridge = scenario.start(1);
    let database = scenario.database();
    let missing = format!("table {database}.orders does not exist on ");
    wait_for_reasons(&bridge, &[missing, "create it".to_owned()]);
    scenario.init();
    create_table(&scenario, "");
    let sender = Sender::new();
    for (message, _) in GOOD.iter().chain(&BAD) {
        sender.text(&topic, 0, message);
    }
    sender.flush();
    bridge.wait_ready();
    let offsets = Offsets::of_group(&kafka().bootstrap(), &scenario.group()).unwrap();
    until(PATIENCE, "all offsets to be committed", || {
        offsets.all_committed(std::slice::from_ref(&topic))
    });
    // Committed is durable: nothing has to be waited for any more.
    scenario.wait_rows("dead_letters", BAD.len() as u64);
    scenario.wait_rows("orders", 3);
    let query = format!(
        "SELECT order_id, placed_at, price, side, replaceAll(note, '\\t', '\\\\t'), tags, urgent, \
         weight FROM {database}.orders FINAL ORDER BY order_id FORMAT CustomSeparated SETTINGS \
         format_custom_field_delimiter = '|', format_custom_escaping_rule = 'Raw', \
         format_tsv_null_representation = '-'"
    );
    let found = scenario.query(&query).unwrap();
    let wanted = [GOOD[0].1, GOOD[3].1, GOOD[1].1];
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
    let query = format!(
        "SELECT payload, reason FROM {database}.dead_letters FINAL WHERE route = 'orders' \
         ORDER BY origin_position FORMAT TSVRaw"
    );
    let found = scenario.query(&query).unwrap();
    let wanted = BAD.map(|(message, reason)| format!("{message}\t{reason}"));
    assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
    let said = run_command(&scenario, &["check"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    drain(&bridge);
}

#[test]
fn a_column_of_a_type_nobody_can_write_is_refused_at_start_by_its_name() {
    let (scenario, _) = scenario("unknown_type");
    scenario.init();
    create_table(&scenario, "place IPv6,");
    let named = "route orders: table orders, column place: column place has type IPv6, which \
                 cannot be written";
    let bridge = scenario.start(1);
    let status = bridge.process.wait_exit(Duration::from_secs(20));
    let status = status.unwrap_or_else(|| panic!("it runs\n{}", bridge.tail()));
    assert_eq!(status.code(), Some(1), "{}", bridge.tail());
    assert!(bridge.tail().contains(named), "{}", bridge.tail());
    let said = run_command(&scenario, &["check"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let problem = |line: &str| line.starts_with("PROBLEM") && line.contains(named);
    assert!(said.out.lines().any(problem), "{}", said.out);
}
