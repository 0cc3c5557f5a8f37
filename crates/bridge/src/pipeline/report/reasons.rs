//! What keeps the instance from its work: readiness says it, word for word.

use std::collections::BTreeMap;
use std::time::Duration;

use data_bridge_core::engine::{PausedTable, Snapshot};
use data_bridge_core::units::{Moment, TableId};

use super::Report;
use crate::source::kafka::SourceStatus;
use crate::telemetry::board::FloodStatus;

/// What an insert may take beyond `clickhouse.insert_timeout_ms`: the connection, sorting, encoding.
const INSERT_MARGIN: Duration = Duration::from_secs(5);

impl Report {
    /// Everything that keeps the instance from its work.
    pub(super) fn reasons(
        &self,
        source: Option<&SourceStatus>,
        closed: &BTreeMap<TableId, String>,
        paused: &[PausedTable],
        stands_still: Option<Duration>,
    ) -> Vec<String> {
        let mut reasons = source.map_or_else(Vec::new, source_reasons);
        reasons.extend(self.nats.reasons(self.stall));
        reasons.extend(self.board.held());
        for reason in closed.values() {
            // A server that cannot be reached keeps all tables closed for the same reason.
            if !reasons.contains(reason) {
                reasons.push(reason.clone());
            }
        }
        for PausedTable { table, failure, .. } in paused {
            let name = &self.catalog.table(*table).name;
            reasons.push(format!("route of table {name} is paused: {failure}"));
        }
        if let (Some(failure), true) = (&self.trouble, paused.is_empty()) {
            reasons.push(format!("inserts into {} fail: {failure}", self.clickhouse.url()));
        }
        reasons.extend(self.status.floods.iter().map(flood_reason));
        if let Some(time) = stands_still.filter(|time| *time > self.stall) {
            let (time, lag) = (time.as_secs(), source.map_or(0, lag));
            let lanes = source.into_iter().flat_map(|source| &source.lanes);
            let most = lanes.max_by_key(|lane| lane.lag);
            let most = most.map_or_else(String::new, |lane| {
                format!(", {} of them in {}/{}", lane.lag, lane.topic, lane.partition)
            });
            reasons.push(format!(
                "no row became durable for {time} s while {lag} messages wait{most}"
            ));
        }
        reasons
    }

    /// An insert that should have ended, one way or the other.
    pub(super) fn overdue(&self, now: Moment, snapshot: &Snapshot) -> Option<String> {
        let (since, table) = snapshot.oldest_in_flight?;
        let time = now.since(since);
        (time > self.insert_timeout + INSERT_MARGIN).then(|| {
            let name = &self.catalog.table(table).name;
            format!("an insert into table {name} has not ended for {} s", time.as_secs())
        })
    }
}

/// Messages of all lanes that wait for a commit.
pub(super) fn lag(source: &SourceStatus) -> u64 {
    source.lanes.iter().map(|lane| lane.lag).sum()
}

/// How long messages wait without any row becoming durable: a quiet topic is no standstill, nor is its
/// next message.
#[derive(Default)]
pub(super) struct Standstill {
    behind_since: Option<Moment>,
}

impl Standstill {
    /// `idle` is the time since a row became durable, if one ever did.
    pub(super) fn time(
        &mut self,
        now: Moment,
        lag: u64,
        idle: Option<Duration>,
    ) -> Option<Duration> {
        if lag == 0 {
            self.behind_since = None;
            return None;
        }
        let behind = now.since(*self.behind_since.get_or_insert(now));
        Some(idle.map_or(behind, |idle| idle.min(behind)))
    }
}

fn flood_reason(flood: &FloodStatus) -> String {
    let FloodStatus { routes, letters, messages, .. } = flood;
    let name = routes.first().map_or("?", String::as_str);
    format!(
        "route {} is in flood: {letters} of its last {messages} messages became dead letters, and it \
         is held to 10 per second; look with `data-bridge dlq list --route {name}`, let them through \
         with `data-bridge dlq accept {name}`",
        routes.join(", ")
    )
}

/// What keeps the source from its work.
fn source_reasons(source: &SourceStatus) -> Vec<String> {
    let mut reasons = Vec::new();
    if !source.connected {
        let why = source.error.as_deref().unwrap_or("connecting");
        reasons.push(format!("Kafka is not connected: {why}"));
    } else if source.rebalancing {
        reasons.push("the group is assigning partitions".to_owned());
    }
    for topic in &source.missing_topics {
        reasons.push(format!("topic {topic} does not exist: run `data-bridge init`"));
    }
    for lane in &source.lanes {
        if let Some(error) = &lane.error {
            reasons.push(format!("{}/{}: {error}", lane.topic, lane.partition));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_after_a_quiet_time_is_no_standstill() {
        let (at, seconds) = (|second| Moment(Duration::from_secs(second)), Duration::from_secs);
        let mut standstill = Standstill::default();
        assert_eq!(standstill.time(at(10), 0, Some(seconds(5))), None);
        assert_eq!(standstill.time(at(130), 302, Some(seconds(125))), Some(seconds(0)));
        assert_eq!(standstill.time(at(141), 302, Some(seconds(136))), Some(seconds(11)));
        assert_eq!(standstill.time(at(142), 302, Some(seconds(1))), Some(seconds(1)));
        assert_eq!(standstill.time(at(143), 0, Some(seconds(2))), None);
        // Before the first row of a life.
        assert_eq!(standstill.time(at(150), 1, None), Some(seconds(0)));
        assert_eq!(standstill.time(at(165), 1, None), Some(seconds(15)));
    }
}
