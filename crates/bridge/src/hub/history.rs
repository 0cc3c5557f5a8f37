//! The fleet's last quarter of an hour, for a page that is opened now.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::fleet::{Fleet, Life};

/// One point a second.
const POINTS: usize = 900;

/// Figures of one look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    /// Milliseconds since 1970.
    at_ms: i64,
    /// Messages between commits and ends.
    lag: u64,
    /// Durable rows a second, of each instance that is up.
    rows_per_second: BTreeMap<String, f64>,
    /// Milliseconds from the broker to being durable, of each instance that wrote lately.
    p99_ms: BTreeMap<String, u64>,
}

/// The latest points, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
}

impl History {
    pub(super) fn see(&mut self, fleet: &Fleet) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        let up = || fleet.instances.iter().filter(|one| one.life == Life::Up);
        self.points.push_back(Point {
            at_ms: fleet.at_ms,
            lag: fleet.totals.lag,
            rows_per_second: up()
                .map(|one| (one.instance_id.clone(), one.rows_per_second.round()))
                .collect(),
            p99_ms: up()
                .filter_map(|one| Some((one.instance_id.clone(), one.latency?.p99_ms)))
                .collect(),
        });
    }

    pub(super) fn points(&self) -> Vec<Point> {
        self.points.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::fleet::{Latency, Member};

    #[test]
    fn a_quarter_of_an_hour_is_kept_of_those_that_are_up() {
        let mut history = History::default();
        let one = |id: &str, life| Member {
            instance_id: id.into(),
            life,
            rows_per_second: 2.4,
            latency: Some(Latency { p50_ms: 5, p99_ms: 70 }),
            ..Member::default()
        };
        let instances = vec![one("a", Life::Up), one("b", Life::Dead)];
        for at_ms in 0..1_000 {
            history.see(&Fleet { at_ms, instances: instances.clone(), ..Fleet::default() });
        }
        let points = history.points();
        assert_eq!(points.len(), POINTS);
        assert_eq!((points[0].at_ms, points[899].at_ms), (100, 999));
        assert_eq!(points[0].rows_per_second, BTreeMap::from([("a".to_owned(), 2.0)]));
        assert_eq!(points[0].p99_ms, BTreeMap::from([("a".to_owned(), 70)]));
    }
}
