//! What librdkafka has been told to read.
//!
//! Under an eager protocol the whole list is told each time, under a cooperative one (and KIP-848)
//! only what changes.

use std::collections::BTreeSet;

use super::client::{Client, Offsets, Trouble};
use super::lane::{Lanes, State};
use super::partition::TopicPartition;

/// The partitions that librdkafka reads for us.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    held: BTreeSet<TopicPartition>,
}

impl Assignment {
    /// Reads these partitions from these offsets, and the other lanes on where they are. Also the
    /// answer that the group waits for, even when there is nothing to read.
    pub(super) fn place(
        &mut self,
        client: &Client,
        starts: &[(TopicPartition, u64)],
        lanes: &Lanes,
    ) -> Result<(), Trouble> {
        let mut list = Offsets::new();
        let mut add = |partition: &TopicPartition, offset: u64| {
            let offset = Some(offset.cast_signed());
            list.add(&partition.topic, partition.number, offset, None);
        };
        for (partition, offset) in starts {
            add(partition, *offset);
        }
        let started = starts.iter().map(|(partition, _)| partition.clone());
        let mut started = started.collect::<BTreeSet<_>>();
        if client.is_cooperative() {
            let again = started.intersection(&self.held).collect::<Vec<_>>();
            if !again.is_empty() {
                client.unassign(&Offsets::of(again))?;
            }
            client.assign_more(&list)?;
        } else {
            for lane in lanes.iter().filter(|lane| lane.state != State::Ending) {
                let partition = &lane.partition;
                if self.held.contains(partition) && started.insert(partition.clone()) {
                    add(partition, lane.next);
                }
            }
            client.assign(Some(&list))?;
            self.held.clear();
        }
        self.held.append(&mut started);
        Ok(())
    }

    /// Gives partitions back, which lets the group go on.
    pub(super) fn give_back(
        &mut self,
        client: &Client,
        partitions: &[TopicPartition],
    ) -> Result<(), Trouble> {
        if client.is_cooperative() {
            let held = partitions.iter().filter(|one| self.held.contains(*one));
            client.unassign(&Offsets::of(held))?;
            for partition in partitions {
                self.held.remove(partition);
            }
            Ok(())
        } else {
            self.held.clear();
            client.assign(None)
        }
    }
}
