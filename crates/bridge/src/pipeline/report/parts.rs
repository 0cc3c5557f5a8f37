//! How many parts the tables have: what inserts must wait for when ClickHouse falls behind merging.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_bridge_core::catalog::Catalog;
use tracing::debug;

use crate::sink::clickhouse::{ClickHouse, literal};
use crate::telemetry::metrics::{Metrics, OfTable};

/// Time between two looks; Prometheus seldom asks more often.
const LOOK_EVERY: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(5);

/// Counts parts again and again, for as long as the runtime lives.
pub(in crate::pipeline) async fn watch(
    clickhouse: ClickHouse,
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
) {
    let question = format!(
        "SELECT table, max(parts) FROM (SELECT table, partition_id, count() AS parts \
         FROM system.parts WHERE database = {} AND active GROUP BY table, partition_id) \
         GROUP BY table FORMAT TabSeparated",
        literal(clickhouse.database())
    );
    loop {
        match tokio::time::timeout(LIMIT, clickhouse.query(&question)).await {
            Ok(Ok(answer)) => count(&read(&answer), &catalog, &metrics),
            // Whether ClickHouse is well is told by the inserts; here old figures stay.
            Ok(Err(failure)) => debug!(error = %failure, "parts not counted"),
            Err(_elapsed) => debug!("parts not counted: no answer in time"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Only tables of the catalog: the database may hold others.
fn count(parts: &BTreeMap<&str, i64>, catalog: &Catalog, metrics: &Metrics) {
    for table in catalog.tables() {
        let of = OfTable { table: table.name.clone() };
        let count = parts.get(table.name.as_str()).copied().unwrap_or(0);
        metrics.clickhouse_parts.get_or_create(&of).set(count);
    }
}

fn read(answer: &str) -> BTreeMap<&str, i64> {
    let lines = answer.lines().filter_map(|line| line.split_once('\t'));
    lines.filter_map(|(table, count)| Some((table, count.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Number;

    #[test]
    fn every_table_of_the_catalog_has_its_fullest_partition_and_no_other_is_told() {
        let metrics = Metrics::new("a", Number::new(1));
        count(&read("ticks\t7\nstrange\t9\n"), &Catalog::shipped(), &metrics);
        let page = metrics.page().unwrap();
        assert!(page.contains("data_bridge_clickhouse_parts{table=\"ticks\"} 7\n"), "{page}");
        assert!(page.contains("data_bridge_clickhouse_parts{table=\"aggregates\"} 0\n"), "{page}");
        assert!(!page.contains("strange"), "{page}");
    }
}
