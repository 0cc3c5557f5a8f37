//! How long the oldest message waits that a partition's commit has not passed.

use std::collections::{BTreeMap, VecDeque};

use data_bridge_core::arena::Arena;
use data_bridge_core::units::{LaneId, Position};

use crate::source::kafka::LaneInfo;

/// Broker times of what was fetched, by lane; a chunk each, until it is committed.
#[derive(Default)]
pub(super) struct Waiting {
    lanes: BTreeMap<LaneId, Lane>,
}

#[derive(Default)]
struct Lane {
    /// Where each chunk ends, and the times of its first and last record; oldest chunk first.
    open: VecDeque<(Position, i64, i64)>,
    /// Time of the last record before the commit.
    committed_ms: Option<i64>,
}

impl Waiting {
    /// A chunk was fetched; `next` is the position behind it.
    pub(super) fn fetched(&mut self, lane: LaneId, next: Position, arena: &Arena) {
        let last = arena.len().checked_sub(1).and_then(|last| arena.get(last));
        if let (Some(first), Some(last)) = (arena.get(0), last) {
            let chunk = (next, first.time_ms, last.time_ms);
            self.lanes.entry(lane).or_default().open.push_back(chunk);
        }
    }

    /// Seconds that the oldest message beyond the commit waits; `None` while nobody can know.
    pub(super) fn seconds(&mut self, info: &LaneInfo, now_ms: i64) -> Option<f64> {
        let lane = self.lanes.entry(info.lane).or_default();
        while let Some((_, _, last)) = lane.open.pop_front_if(|(end, ..)| *end <= info.committed) {
            lane.committed_ms = Some(last);
        }
        if info.lag == 0 {
            return Some(0.0);
        }
        // What is not fetched is not older than what was committed before it.
        let oldest = lane.open.front().map(|(_, first, _)| *first).or(lane.committed_ms);
        let oldest = oldest.filter(|time| *time >= 0)?;
        #[expect(clippy::cast_precision_loss, reason = "the wait for a message is short of ages")]
        Some((now_ms - oldest).max(0) as f64 / 1_000.0)
    }

    /// Forgets all lanes but these.
    pub(super) fn keep(&mut self, lanes: &[LaneInfo]) {
        self.lanes.retain(|id, _| lanes.iter().any(|lane| lane.lane == *id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(waiting: &mut Waiting, committed: u64, lag: u64, now_ms: i64) -> Option<f64> {
        let info = LaneInfo {
            lane: LaneId(1),
            topic: "t".to_owned(),
            partition: 0,
            next: Position(committed),
            committed: Position(committed),
            lag,
            paused: false,
            error: None,
        };
        waiting.seconds(&info, now_ms)
    }

    fn fetch(waiting: &mut Waiting, records: impl IntoIterator<Item = (u64, i64)>) {
        let mut arena = Arena::new();
        let mut next = Position(0);
        for (position, time_ms) in records {
            arena.push(Position(position), time_ms, None, Some(b"x"), None, []);
            next = Position(position + 1);
        }
        waiting.fetched(LaneId(1), next, &arena);
    }

    #[test]
    fn the_wait_is_that_of_the_oldest_message_beyond_the_commit() {
        let mut waiting = Waiting::default();
        assert_eq!(seconds(&mut waiting, 0, 5, 9_000), None, "nothing was seen of it");
        fetch(&mut waiting, [(0, 1_000), (1, 2_000)]);
        fetch(&mut waiting, [(2, 4_000), (3, 6_000)]);
        assert_eq!(seconds(&mut waiting, 0, 5, 9_000), Some(8.0));
        assert_eq!(seconds(&mut waiting, 2, 3, 9_000), Some(5.0));
        // The last one is not fetched: it is not older than what was committed before it.
        assert_eq!(seconds(&mut waiting, 4, 1, 9_000), Some(3.0));
        assert_eq!(seconds(&mut waiting, 4, 1, 5_000), Some(0.0), "a producer's clock is ahead");
        assert_eq!(seconds(&mut waiting, 5, 0, 99_000), Some(0.0), "nothing waits");
        waiting.keep(&[]);
        assert_eq!(seconds(&mut waiting, 5, 1, 99_000), None);
    }

    #[test]
    fn records_without_a_time_tell_no_wait() {
        let mut waiting = Waiting::default();
        fetch(&mut waiting, [(0, -1)]);
        assert_eq!(seconds(&mut waiting, 0, 1, 9_000), None);
        assert_eq!(seconds(&mut waiting, 1, 0, 9_000), Some(0.0));
    }
}
