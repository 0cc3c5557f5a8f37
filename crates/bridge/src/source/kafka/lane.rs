//! The lanes: which partition is read under which id, and how far.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::Instant;

use data_bridge_core::units::LaneId;

use super::client::{Client, Offsets};
use super::mark::Mark;
use super::partition::TopicPartition;

/// One assignment of one partition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) partition: TopicPartition,
    /// The topic's name as C wants it.
    pub(super) c_topic: CString,
    /// The next offset that is accepted: what lies below was handed out already.
    pub(super) next: u64,
    /// What the group knows.
    pub(super) committed: u64,
    pub(super) mark: Mark,
    /// End of the partition when it was assigned, until a fetch tells a later one.
    pub(super) end: u64,
    pub(super) paused: bool,
    /// Whether librdkafka's own position is this lane's. An error in the place of a record moves
    /// that position past the record, and a lane before this one may have left its own: both are
    /// over when the position was seen to be none, or a record has come.
    pub(super) is_position_ours: bool,
    pub(super) state: State,
}

/// Whether a lane takes records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Something in the log cannot be read: again from `next` at this time, so that nothing is
    /// skipped.
    Stuck {
        until: Instant,
        reason: String,
    },
    /// Its next offset does not exist: waits for a new start.
    OutOfRange {
        reason: String,
    },
    /// Given back; only commits are accepted.
    Ending,
}

impl Lane {
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_id: BTreeMap<LaneId, Lane>,
    /// Per topic, the lane of each partition.
    index: BTreeMap<Arc<str>, Vec<Option<LaneId>>>,
    last: u32,
}

impl Lanes {
    /// Opens a lane under an id that was never used.
    pub(super) fn open(
        &mut self,
        partition: TopicPartition,
        next: u64,
        end: u64,
        mark: Mark,
    ) -> LaneId {
        self.last += 1;
        let id = LaneId(self.last);
        let row = self.index.entry(Arc::clone(&partition.topic)).or_default();
        let number = usize::try_from(partition.number).unwrap_or_default();
        if row.len() <= number {
            row.resize(number + 1, None);
        }
        row[number] = Some(id);
        let c_topic = CString::new(&*partition.topic).unwrap_or_default();
        let lane = Lane {
            id,
            partition,
            c_topic,
            next,
            committed: next,
            mark,
            end,
            paused: false,
            is_position_ours: false,
            state: State::Open,
        };
        self.by_id.insert(id, lane);
        id
    }

    pub(super) fn close(&mut self, id: LaneId) -> Option<Lane> {
        let lane = self.by_id.remove(&id)?;
        if let Some(slot) = self.slot(&lane.partition)
            && *slot == Some(id)
        {
            *slot = None;
        }
        Some(lane)
    }

    pub(super) fn get(&self, id: LaneId) -> Option<&Lane> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<LaneId> {
        *self.index.get(topic)?.get(usize::try_from(partition).ok()?)?
    }

    pub(super) fn find_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Lane> {
        let id = self.find(topic, partition)?;
        self.get_mut(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.by_id.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.by_id.values_mut()
    }

    /// Positions of open lanes as librdkafka counts them, where they are those of the lane.
    pub(super) fn positions(&mut self, client: &Client) -> Vec<(LaneId, u64)> {
        let open = self.iter().filter(|lane| lane.is_open());
        let mut list = Offsets::of(open.map(|lane| &lane.partition));
        if list.is_empty() {
            return Vec::new();
        }
        client.position(&mut list);
        let mut positions = Vec::new();
        for entry in list.entries() {
            let Some(lane) = self.find_mut(entry.topic, entry.partition) else {
                continue;
            };
            match u64::try_from(entry.offset) {
                Ok(position) if lane.is_position_ours => positions.push((lane.id, position)),
                Ok(_) => {}
                Err(_) => lane.is_position_ours = true,
            }
        }
        positions
    }

    pub(super) fn ids(&self) -> Vec<LaneId> {
        self.by_id.keys().copied().collect()
    }

    fn slot(&mut self, partition: &TopicPartition) -> Option<&mut Option<LaneId>> {
        let number = usize::try_from(partition.number).ok()?;
        self.index.get_mut(&partition.topic)?.get_mut(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, number: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), number }
    }

    fn mark() -> Mark {
        Mark { topic_id: None, partitions: 1, began: 0, lost: Vec::new() }
    }

    #[test]
    fn a_partition_assigned_again_is_another_lane() {
        let mut lanes = Lanes::default();
        let first = lanes.open(partition("t", 2), 5, 9, mark());
        assert_eq!(lanes.find("t", 2), Some(first));
        assert_eq!(lanes.find("t", 1), None);
        assert_eq!(lanes.find("t", -1), None);
        assert_eq!(lanes.find("u", 2), None);
        lanes.close(first);
        assert_eq!(lanes.find("t", 2), None);
        let second = lanes.open(partition("t", 2), 5, 9, mark());
        assert_ne!(first, second);
        assert!(lanes.get(first).is_none());
    }

    #[test]
    fn the_end_of_an_old_lane_leaves_the_new_one_alone() {
        let mut lanes = Lanes::default();
        let old = lanes.open(partition("t", 0), 0, 0, mark());
        let new = lanes.open(partition("t", 0), 0, 0, mark());
        lanes.close(old);
        assert_eq!(lanes.find("t", 0), Some(new));
    }
}
