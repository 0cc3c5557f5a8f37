//! The Grafana dashboard, written from here: `deploy/grafana/data-bridge.json`.
//!
//! A row of panels is a question an operator asks; a panel names its queries. Everything else that
//! Grafana wants is the same for all of them.

mod panel;

use serde_json::{Value, json};

use panel::{Panel, Row};

/// Instances that the variables select.
const OF: &str = r#"job="$job", instance=~"$instance""#;

fn rows() -> Vec<Row> {
    vec![
        Row::new("Is anything lost, is anything stuck?", vec![
            Panel::number("Instances", "count(data_bridge_build_info{OF})").reddens_below(3.0),
            Panel::number("Not ready", "count(data_bridge_ready{OF} == 0) or vector(0)")
                .reddens_from(1.0),
            Panel::number("Lag", "sum(data_bridge_lag_messages{OF})").reddens_from(10_000.0),
            Panel::number("Tables paused", "sum(data_bridge_table_paused{OF}) or vector(0)")
                .reddens_from(1.0),
            Panel::number("Messages lost", "sum(data_bridge_lost_messages_total{OF})")
                .reddens_from(1.0),
            Panel::number(
                "Dead letters in an hour",
                "sum(increase(data_bridge_dead_letters_total{OF}[1h])) or vector(0)",
            )
            .reddens_from(1.0),
        ]),
        Row::new("Throughput", vec![
            Panel::lines("Messages received", "ops")
                .query("{{instance}} {{source}}", "rate(data_bridge_received_messages_total{OF}[$__rate_interval])"),
            Panel::lines("Rows durable", "ops")
                .query("{{table}}", "sum by (table) (rate(data_bridge_inserted_rows_total{OF}[$__rate_interval]))"),
            Panel::lines("Bytes received", "Bps")
                .query("{{instance}}", "sum by (instance) (rate(data_bridge_received_bytes_total{OF}[$__rate_interval]))"),
        ]),
        Row::new("Lag and partitions", vec![
            Panel::lines("Lag by topic", "short")
                .query("{{topic}}", "sum by (topic) (data_bridge_lag_messages{OF})"),
            Panel::lines("Lag in seconds", "s")
                .query("{{topic}}", "max by (topic) (data_bridge_lag_seconds{OF})"),
            Panel::table("Who reads what", "sum by (instance, topic, partition) (data_bridge_assigned{OF} == 1)"),
            Panel::lines("Partitions per instance", "short")
                .query("{{instance}}", "sum by (instance) (data_bridge_assigned{OF})"),
            Panel::lines("Changes of the group", "short")
                .query("{{instance}}", "increase(data_bridge_rebalances_total{OF}[$__rate_interval])"),
            Panel::lines("Reading stopped by the group", "percentunit")
                .query("{{instance}}", "rate(data_bridge_rebalancing_seconds_total{OF}[$__rate_interval])"),
            Panel::lines("Commits", "ops")
                .query("{{instance}} accepted", "rate(data_bridge_commits_total{OF}[$__rate_interval])")
                .query("{{instance}} refused", "rate(data_bridge_commit_failures_total{OF}[$__rate_interval])"),
        ]),
        Row::new("Latency", vec![
            Panel::heatmap(
                "From produced to durable",
                "sum by (le) (increase(data_bridge_produce_to_durable_seconds_bucket{OF}[$__rate_interval]))",
            ),
            Panel::lines("From produced to durable", "s")
                .quantiles("data_bridge_produce_to_durable_seconds_bucket"),
            Panel::lines("Age of chunks when settled", "s").quantiles("data_bridge_chunk_age_seconds_bucket"),
            Panel::lines("Since something became durable", "s")
                .query("{{instance}}", "data_bridge_since_last_durable_seconds{OF}"),
        ]),
        Row::new("Back-pressure", vec![
            Panel::lines("Fetching is held back", "short")
                .query("{{instance}}", "data_bridge_backpressure{OF}"),
            Panel::lines("Rows not durable", "short")
                .query("{{instance}}", "data_bridge_buffer_rows{OF}"),
            Panel::lines("Share of the memory budget used", "percentunit")
                .query("{{instance}}", "data_bridge_buffer_bytes{OF} / data_bridge_budget_bytes{OF}"),
            Panel::lines("Share of time held back", "percentunit")
                .query("{{instance}}", "rate(data_bridge_backpressure_seconds_total{OF}[$__rate_interval])"),
        ]),
        Row::new("ClickHouse", vec![
            Panel::lines("Duration of inserts", "s").quantiles("data_bridge_insert_duration_seconds_bucket"),
            Panel::lines("Inserts", "ops")
                .query("{{table}}", "sum by (table) (rate(data_bridge_inserts_total{OF}[$__rate_interval]))")
                .query("{{table}} failed", "sum by (table) (rate(data_bridge_insert_retries_total{OF}[$__rate_interval]))"),
            Panel::lines("Parts of the fullest partition", "short")
                .query("{{table}}", "max by (table) (data_bridge_clickhouse_parts{OF})"),
            Panel::heatmap(
                "Rows of a batch",
                "sum by (le) (increase(data_bridge_batch_rows_bucket{OF}[$__rate_interval]))",
            ),
        ]),
        Row::new("Dead letters", vec![
            Panel::lines("By route and reason", "short")
                .query("{{route}}: {{reason}}", "sum by (route, reason) (increase(data_bridge_dead_letters_total{OF}[$__rate_interval]))"),
            Panel::lines("Days until a certificate ends", "d")
                .query("{{key}}", "min by (key) (data_bridge_certificate_expiry_timestamp_seconds{OF} - time()) / 86400"),
            Panel::lines("Fields that no column takes", "ops")
                .query("{{instance}}", "rate(data_bridge_unknown_fields_total{OF}[$__rate_interval])"),
        ]),
    ]
}

fn dashboard() -> Value {
    let mut panels = Vec::new();
    let mut top = 0;
    for row in rows() {
        top = row.place(top, OF, &mut panels);
    }
    for (id, panel) in panels.iter_mut().enumerate() {
        panel["id"] = json!(id + 1);
    }
    json!({
        "uid": "data-bridge",
        "title": "data-bridge",
        "description": "Market data from Kafka and NATS into ClickHouse",
        "tags": ["data-bridge"],
        "schemaVersion": 42,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "browser",
        "annotations": { "list": [] },
        "links": [],
        "templating": { "list": [
            {
                "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
                "refresh": 1, "multi": false, "includeAll": false,
            },
            variable("job", "Group", "label_values(data_bridge_build_info, job)", false),
            variable("instance", "Instance", r#"label_values(data_bridge_build_info{job="$job"}, instance)"#, true),
        ] },
        "panels": panels,
    })
}

fn variable(name: &str, label: &str, query: &str, many: bool) -> Value {
    let mut variable = json!({
        "name": name, "label": label, "type": "query", "query": query, "datasource": panel::source(),
        "refresh": 2, "sort": 1, "multi": many, "includeAll": many,
    });
    if many {
        variable["current"] = json!({ "text": "All", "value": "$__all" });
    }
    variable
}

#[test]
fn the_written_dashboard_is_the_one_of_this_code() {
    let path = crate::workspace::root().join("deploy/grafana/data-bridge.json");
    let fresh = format!("{:#}\n", dashboard());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &fresh).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == fresh,
        "deploy/grafana/data-bridge.json is out of date: UPDATE_DOCS=1 cargo test -p xtask grafana"
    );
}

#[test]
fn every_query_asks_for_metrics_that_exist() {
    let reference = crate::workspace::read("docs/metrics.md".as_ref()).unwrap();
    let mut asked = 0;
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            asked += 1;
            let found = crate::check::alerts::unknown_metrics(query, &reference);
            assert!(found.is_empty(), "{query}: {found:?}");
        }
    }
    assert!(asked > 20, "{asked} queries");
}

#[test]
fn no_two_panels_lie_on_one_another() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = std::collections::BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
    }
}
