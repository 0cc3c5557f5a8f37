//! Partitions that stand still, whatever the others do.

use std::collections::BTreeMap;
use std::time::Duration;

use data_bridge_core::units::{LaneId, Moment, Position};

use crate::source::kafka::LaneInfo;

/// Lanes of which something was fetched and is not committed, and since when that does not change.
#[derive(Default)]
pub(super) struct StillLanes(BTreeMap<LaneId, Still>);

struct Still {
    committed: Position,
    since: Moment,
}

impl StillLanes {
    /// Takes a look. Behind a full buffer each lane waits for its turn: that is no standstill.
    pub(super) fn look(&mut self, now: Moment, lanes: &[LaneInfo], is_full: bool) {
        let before = std::mem::take(&mut self.0);
        let waiting = lanes.iter().filter(|lane| lane.committed < lane.next);
        self.0 = waiting
            .map(|lane| {
                let committed = lane.committed;
                let still = before.get(&lane.lane).filter(|still| still.committed == committed);
                let since = still.filter(|_| !is_full).map_or(now, |still| still.since);
                (lane.lane, Still { committed, since })
            })
            .collect();
    }

    /// What to say of the lanes that have stood still for longer than `longest`: blocks of old rows
    /// are held back on purpose, and the commit waits for them.
    pub(super) fn reason(
        &self,
        now: Moment,
        lanes: &[LaneInfo],
        longest: Duration,
    ) -> Option<String> {
        let time = |lane: &LaneInfo| self.0.get(&lane.lane).map(|still| now.since(still.since));
        let mut still = lanes
            .iter()
            .filter_map(|lane| Some((time(lane)?, lane)))
            .filter(|(time, _)| *time > longest)
            .collect::<Vec<_>>();
        still.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let (time, LaneInfo { topic, partition, lag, .. }) = *still.first()?;
        let others = match still.len() - 1 {
            0 => String::new(),
            1 => ", nor of another one".to_owned(),
            count => format!(", nor of {count} others"),
        };
        Some(format!(
            "{topic}/{partition} stands still: {lag} messages wait, and what was fetched of them has \
             not been committed for {} s{others}",
            time.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(id: u32, committed: u64, next: u64) -> LaneInfo {
        LaneInfo {
            lane: LaneId(id),
            topic: "tick_archive".to_owned(),
            partition: i32::try_from(id).unwrap(),
            next: Position(next),
            committed: Position(committed),
            lag: 302,
            paused: false,
            error: None,
        }
    }

    #[test]
    fn one_lane_that_does_not_move_is_named_while_others_flow() {
        let (at, stall) = (|second| Moment(Duration::from_secs(second)), Duration::from_secs(10));
        let mut still = StillLanes::default();
        for second in 0..=12 {
            // The second one moves, the third has brought nothing.
            let lanes = [lane(1, 5, 9), lane(2, second, second + 9), lane(3, 4, 4)];
            still.look(at(second), &lanes, false);
            let reason = still.reason(at(second), &lanes, stall);
            let named = reason.is_some_and(|text| text.starts_with("tick_archive/1 stands still"));
            assert_eq!(named, second > 10, "{second}");
        }
        // It moves; assigned anew it is another.
        let lanes = [lane(1, 6, 9), lane(4, 5, 9)];
        still.look(at(13), &lanes, false);
        assert_eq!(still.reason(at(13), &lanes, stall), None);
        // Behind a full buffer nobody stands still.
        still.look(at(23), &lanes, true);
        assert_eq!(still.reason(at(24), &lanes, stall), None);
        let text = still.reason(at(34), &lanes, stall).unwrap();
        assert!(text.ends_with("for 11 s, nor of another one"), "{text}");
    }
}
