//! How long rows took lately from their broker to being durable.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::telemetry::board::LatencyStatus;

/// The figures speak of this time.
const WINDOW: Duration = Duration::from_secs(10);
/// More inserts than an instance makes in that time; the oldest go first.
const MOST: usize = 4_096;

/// The latest inserts: when each ended, and the age of its oldest message in milliseconds.
#[derive(Default)]
pub(super) struct Latency {
    recent: VecDeque<(Instant, u64)>,
}

impl Latency {
    /// An insert is durable.
    pub(super) fn note(&mut self, now: Instant, age_ms: u64) {
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((now, age_ms));
    }

    /// What the inserts of the window come to; nothing when there was none.
    pub(super) fn status(&mut self, now: Instant) -> Option<LatencyStatus> {
        while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
        let mut ages: Vec<u64> = self.recent.iter().map(|(_, age)| *age).collect();
        ages.sort_unstable();
        // Nearest rank: the least value that so many percent do not exceed.
        let rank = |percent: usize| ages.get((ages.len() * percent).div_ceil(100).checked_sub(1)?);
        Some(LatencyStatus { p50_ms: *rank(50)?, p99_ms: *rank(99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_last_ten_seconds() {
        let (began, mut latency) = (Instant::now(), Latency::default());
        assert_eq!(latency.status(began), None);
        latency.note(began, 9_000);
        for age in 1..=100 {
            latency.note(began + Duration::from_secs(5), age);
        }
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(latency.status(at(6)), Some(LatencyStatus { p50_ms: 51, p99_ms: 100 }));
        assert_eq!(latency.status(at(11)), Some(LatencyStatus { p50_ms: 50, p99_ms: 99 }));
        assert_eq!(latency.status(at(16)), None);
        for _ in 0..2 * MOST {
            latency.note(at(20), 1);
        }
        assert_eq!(latency.recent.len(), MOST);
    }
}
