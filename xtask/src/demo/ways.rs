//! What came by Kafka, what by NATS, and which way was ahead.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use data_bridge_stack::health;
use serde_json::Value;

/// The metric of events whose copies met in one instance.
const PAIRS: &str = "data_bridge_both_ways_seconds";

/// Events whose copies met in one instance, by which way was first.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Ways {
    pairs: BTreeMap<String, (u64, f64)>,
    /// Messages that the stream holds, and how many of them are not acked.
    stored: u64,
    unacked: u64,
}

impl Ways {
    /// Asks the server and the instances at these ports.
    pub(super) fn ask(monitor: u16, instances: &[u16]) -> Result<Self> {
        let mut ways = Self::default();
        let page = health::http_get(monitor, "/jsz?consumers=true&streams=true")?;
        let page: Value = serde_json::from_str(&page).context("the page of nats-server")?;
        let stream = &page["account_details"][0]["stream_detail"][0];
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        ways.stored = number(&stream["state"]["messages"]);
        let consumer = &stream["consumer_detail"][0];
        ways.unacked = number(&consumer["num_pending"]) + number(&consumer["num_ack_pending"]);
        for port in instances {
            ways.add(&health::http_get(*port, "/metrics")?);
        }
        Ok(ways)
    }

    /// Whether the stream is read to its end.
    pub(super) fn is_acked(&self) -> bool {
        self.unacked == 0
    }

    fn add(&mut self, page: &str) {
        for line in page.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Some((name, labels)) = name.split_once('{') else {
                continue;
            };
            let first = labels.trim_start_matches("first=\"").trim_end_matches("\"}");
            let (count, seconds) = match name.strip_prefix(PAIRS) {
                Some("_count") => (value.parse().unwrap_or(0), 0.0),
                Some("_sum") => (0, value.parse().unwrap_or(0.0)),
                _ => continue,
            };
            let sums = self.pairs.entry(first.to_owned()).or_default();
            sums.0 += count;
            sums.1 += seconds;
        }
    }

    /// For people; `sent` messages went each way, `events` are visible.
    #[expect(clippy::cast_precision_loss, reason = "shares for people")]
    pub(super) fn lines(&self, sent: u64, events: u64) -> Vec<String> {
        let of = |first: &str| self.pairs.get(first).copied().unwrap_or_default();
        let met: u64 = self.pairs.values().map(|(count, _)| count).sum();
        let (ahead, seconds) = of("nats");
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let acked = self.stored - self.unacked;
        let both = sent.min(acked);
        vec![
            format!(
                "both ways: {sent} messages by Kafka, {acked} by NATS; {:.0} % came by both, and are \
                 {events} events, visible once each",
                share(both, sent.max(self.stored)),
            ),
            format!(
                "of {met} events whose copies met in one instance, NATS was ahead in {:.0} %, by {:.0} \
                 ms on average; Kafka in {:.0} %; in {:.0} % neither",
                share(ahead, met),
                1_000.0 * seconds / ahead.max(1) as f64,
                share(of("kafka").0, met),
                share(of("neither").0, met),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_all_instances_are_summed() {
        let page = "# TYPE data_bridge_both_ways_seconds histogram\n\
                    data_bridge_both_ways_seconds_sum{first=\"nats\"} 0.9\n\
                    data_bridge_both_ways_seconds_count{first=\"nats\"} 45\n\
                    data_bridge_both_ways_seconds_bucket{le=\"0.001\",first=\"nats\"} 1\n\
                    data_bridge_both_ways_seconds_count{first=\"neither\"} 5\n";
        let mut ways = Ways { stored: 100, ..Ways::default() };
        ways.add(page);
        ways.add(page);
        let lines = ways.lines(100, 97).join("\n");
        assert!(lines.contains("100 messages by Kafka, 100 by NATS; 100 %"), "{lines}");
        assert!(lines.contains("of 100 events"), "{lines}");
        assert!(lines.contains("NATS was ahead in 90 %, by 20 ms on average"), "{lines}");
        assert!(lines.contains("Kafka in 0 %; in 10 % neither"), "{lines}");
    }
}
