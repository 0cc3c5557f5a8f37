//! `init --migrate`: the printed statement copies an older table exactly, and twice is once.

use std::process::{Command, Output};

use crate::fleet_stage::{refused, text};
use crate::world::{Scenario, binary, clickhouse};

fn migrate(scenario: &Scenario, table: &str) -> Output {
    let mut command = Command::new(binary());
    command.args(["init", "--migrate", table, "--config"]).arg(scenario.config(1, 0));
    command.output().expect("data-bridge runs")
}

#[test]
fn an_older_table_is_copied_by_the_printed_statement_and_beats_nothing_newer() {
    let scenario = Scenario::new("migrate", &clickhouse().url());
    scenario.init();
    let database = scenario.database();
    let ask = |query: &str| scenario.query(&query.replace("DB", &database)).unwrap();
    ask(
        "CREATE TABLE DB.old (symbol String, timeframe String, timestamp_ms UInt64, open Float64, \
         high Float64, low Float64, close Float64, volume Float64, range_pips Nullable(Float64)) \
         ENGINE = MergeTree ORDER BY (symbol, timeframe, timestamp_ms)",
    );
    ask(
        "INSERT INTO DB.old VALUES ('EUR/USD', '5m', 1706198400123, 1.09551, 1.1, 0.3, 1.0957, 1250, \
         12.000000000000011), ('EUR/USD', '1h', 1706198400000, 0.1, 0.2, 0.3, 5e-8, 1e12, NULL)",
    );
    // A newer one of the second came through the bridge.
    ask(
        "INSERT INTO DB.aggregates (symbol, timeframe, timestamp, close, version) VALUES ('EUR/USD', \
         '1h', '2024-01-25 16:00:00.000', 7, 1)",
    );

    let output = migrate(&scenario, &format!("{database}.old"));
    assert!(output.status.success(), "{}", text(&output));
    let statement = String::from_utf8(output.stdout).unwrap();
    assert_eq!(ask("SELECT count() FROM DB.aggregates FINAL").trim(), "1", "nothing is run");
    for _ in 0..2 {
        ask(statement.trim().trim_end_matches(';'));
    }
    let found = ask("SELECT timeframe, timestamp, open, low, close, volume, range_pips \
                     FROM DB.aggregates FINAL ORDER BY timeframe");
    assert_eq!(
        found.trim(),
        "1h\t2024-01-25 16:00:00.000\t0\t0\t7\t\\N\t\\N\n\
         5m\t2024-01-25 16:00:00.123\t1.09551\t0.3\t1.0957\t1250\t12"
    );

    refused(&migrate(&scenario, "nowhere.at_all"), 1, &["there is no table nowhere.at_all"]);
    refused(&migrate(&scenario, &format!("{database}.ticks")), 1, &["timeframe, timestamp_ms"]);
}
