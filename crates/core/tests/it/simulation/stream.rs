//! Streams whose messages are acked each on its own: pulled, worked on, given back, acked.

use std::collections::{BTreeMap, BTreeSet};

use data_bridge_core::engine::{Input, Return};
use data_bridge_core::units::{ChunkId, LaneId, Shelf};

use super::group::Kind;
use super::instance::{Chunk, Instance, ROW_BYTES, Row, StreamLane};
use super::world::{MILLISECOND, SECOND, World};

/// What the broker's patience is beyond the interval of progress: the driver's own delays.
const MARGIN: u64 = 200 * MILLISECOND;

impl World {
    /// Every instance pulls from every stream.
    pub(super) fn pull(&mut self, who: usize) {
        if self.instances[who].stopping.is_some() {
            return;
        }
        for log in 0..self.logs.len() {
            if self.logs[log].stream.is_none() {
                continue;
            }
            let lane = self.stream_lane(who, log);
            if !self.instances[who].streams[&lane].paused && self.rng.bool() {
                self.pull_lane(who, lane, log);
            }
        }
    }

    fn stream_lane(&mut self, who: usize, log: usize) -> LaneId {
        let streams = &self.instances[who].streams;
        let known = streams.iter().find(|(_, lane)| lane.log == log && !lane.is_gone);
        if let Some((lane, _)) = known {
            return *lane;
        }
        self.last_lane += 1;
        let id = LaneId(self.last_lane);
        let lane = StreamLane {
            log,
            paused: false,
            is_gone: false,
            chunks: BTreeMap::new(),
            given: BTreeSet::new(),
        };
        self.instances[who].streams.insert(id, lane);
        let table = self.logs[log].table;
        self.tell(who, Input::StreamAssigned { lane: id, table });
        id
    }

    /// One pull: what is due for another delivery first, then what was never delivered.
    fn pull_lane(&mut self, who: usize, id: LaneId, log: usize) {
        let most = self.rng.usize(1..60);
        let now = self.now;
        let patience = self.patience(who);
        let Some(stream) = &mut self.logs[log].stream else {
            return;
        };
        let due = stream.pending.iter().filter(|(_, at)| **at <= now).map(|(index, _)| *index);
        let mut indexes: Vec<usize> = due.take(most).collect();
        for index in &indexes {
            self.counts.redelivered += 1;
            self.assert_not_kept(log, *index);
        }
        let end = self.logs[log].records.len();
        let stream = self.logs[log].stream.get_or_insert_default();
        let fresh = stream.next..end;
        indexes.extend(fresh.take(most - indexes.len()));
        if indexes.is_empty() {
            return;
        }
        stream.next = stream.next.max(indexes.iter().max().map_or(0, |last| last + 1));
        stream.pending.extend(indexes.iter().map(|index| (*index, now + patience)));
        let records = indexes.iter().map(|index| self.logs[log].records[*index]);
        let records: Vec<_> = records.collect();
        let bytes = records.iter().map(|record| record.bytes).sum();
        let instance = &mut self.instances[who];
        let Some(receipt) = instance.engine.open_of_stream(id, bytes) else {
            let table = &self.logs[log].table;
            assert!(
                instance.tables_paused.contains(table) || instance.floods.contains(table),
                "stream {id} is ours and refused"
            );
            self.counts.refused_pulls += 1;
            self.return_to_broker(log, &indexes, Return::Later);
            return;
        };
        assert!(!instance.tables_paused.contains(&self.logs[log].table), "taken and unwritable");
        let chunk = receipt.chunk();
        let entry = Chunk { bytes, rows_left: records.len() };
        assert!(instance.chunks.insert(chunk, entry).is_none(), "chunk {chunk} twice");
        instance.bytes += bytes;
        let mut parts: BTreeMap<Shelf, u32> = BTreeMap::new();
        for (index, record) in indexes.iter().zip(&records) {
            let shelf = match record.kind {
                Kind::Good | Kind::Bad => record.shelf,
                Kind::Unreadable => instance.letters(),
            };
            let kind = record.kind;
            instance.put(shelf, Row { log, index: *index, chunk, kind, buried: false });
            *parts.entry(shelf).or_default() += 1;
        }
        let rows = records.len() as u64;
        instance.fetch.rows += rows;
        instance.fetch.bytes += bytes + 2 * ROW_BYTES * rows;
        instance.largest_fetch = instance.largest_fetch.max(instance.fetch);
        if let Some(stream) = instance.streams.get_mut(&id) {
            stream.chunks.insert(chunk, indexes);
        }
        self.tell(who, Input::Decoded { receipt, parts: Instance::parts(&parts) });
    }

    /// How long the broker waits for an ack or a sign of progress.
    fn patience(&self, who: usize) -> u64 {
        let interval = self.instances[who].limits.progress_interval;
        u64::try_from(interval.as_micros()).unwrap_or(0) + MARGIN
    }

    /// What somebody works on is delivered to nobody else, unless time itself jumped. Then it is in
    /// several hands, and comes again once for each that gives it back.
    fn assert_not_kept(&mut self, log: usize, index: usize) {
        let was_given = self.given_by_one_of_several.remove(&(log, index));
        let Some(who) = self.keeper(log, index) else {
            return;
        };
        let jumped = self.now - self.jumped <= 2 * self.patience(who);
        assert!(
            jumped || was_given,
            "message {index} is delivered again while instance {who} works on it"
        );
    }

    /// Who works on a message.
    fn keeper(&self, log: usize, index: usize) -> Option<usize> {
        let keeps = |instance: &Instance| {
            let lanes = instance.streams.values().filter(|lane| lane.log == log && !lane.is_gone);
            let kept = lanes.flat_map(|lane| {
                lane.chunks.iter().filter(|(chunk, _)| !lane.given.contains(chunk))
            });
            kept.flat_map(|(_, indexes)| indexes).any(|kept| *kept == index)
        };
        self.instances.iter().position(|instance| instance.is_up && keeps(instance))
    }

    fn return_to_broker(&mut self, log: usize, indexes: &[usize], when: Return) {
        let at = match when {
            Return::AtOnce => self.now,
            Return::Later => self.now + self.rng.u64(SECOND..10 * SECOND),
        };
        for index in indexes {
            if self.keeper(log, *index).is_some() {
                self.given_by_one_of_several.insert((log, *index));
            }
        }
        if let Some(stream) = &mut self.logs[log].stream {
            for index in indexes {
                // A nak of a message that was acked meanwhile says nothing.
                if let Some(due) = stream.pending.get_mut(index) {
                    *due = at;
                }
            }
        }
    }

    /// The stream of a chunk, and its messages.
    fn of_chunk(&self, who: usize, chunk: ChunkId) -> (LaneId, usize, Vec<usize>) {
        let streams = self.instances[who].streams.iter();
        let mut found = streams.filter_map(|(id, lane)| {
            Some((*id, lane.log, lane.is_gone, lane.chunks.get(&chunk)?.clone()))
        });
        let (id, log, is_gone, indexes) = found.next().expect("a chunk of a stream is known");
        assert!(!is_gone, "the broker hears of a chunk of stream {id}, which ended");
        (id, log, indexes)
    }

    pub(super) fn ack(&mut self, who: usize, chunk: ChunkId) {
        self.counts.acks += 1;
        let (_, log, indexes) = self.of_chunk(who, chunk);
        let log = &mut self.logs[log];
        for index in indexes {
            let record = &log.records[index];
            assert!(
                record.is_row || record.is_letter,
                "message {index} is acked and not durable: {record:?}"
            );
            if let Some(stream) = &mut log.stream {
                self.counts.late_acks += u64::from(stream.pending.remove(&index).is_none());
            }
        }
    }

    pub(super) fn working(&mut self, who: usize, chunk: ChunkId) {
        self.counts.working += 1;
        let (_, log, indexes) = self.of_chunk(who, chunk);
        let until = self.now + self.patience(who);
        if let Some(stream) = &mut self.logs[log].stream {
            for index in indexes {
                if let Some(due) = stream.pending.get_mut(&index) {
                    *due = until;
                    self.given_by_one_of_several.remove(&(log, index));
                }
            }
        }
    }

    /// Afterwards it may come again, also to others: its rows collapse.
    pub(super) fn give_back(&mut self, who: usize, chunk: ChunkId, when: Return) {
        self.counts.given_back += 1;
        let (id, log, indexes) = self.of_chunk(who, chunk);
        let instance = &mut self.instances[who];
        assert!(
            when == Return::Later || instance.stopping.is_some_and(|deadline| deadline <= self.now),
            "given back at once before the deadline of a stop"
        );
        let lane = self.instances[who].streams.get_mut(&id).expect("found above");
        let given = lane.given.insert(chunk);
        assert!(given, "chunk {chunk} is given back twice");
        self.return_to_broker(log, &indexes, when);
    }

    /// The broker made the stream anew: what is held of it is not acked.
    pub(super) fn lose_streams(&mut self, who: usize) {
        if self.rng.u8(..4) > 0 || self.instances[who].stopping.is_some() {
            return;
        }
        let streams = &mut self.instances[who].streams;
        let live = streams.iter_mut().filter(|(_, lane)| !lane.is_gone);
        let mut lost = Vec::new();
        for (id, lane) in live {
            lane.is_gone = true;
            lost.push(*id);
        }
        if !lost.is_empty() {
            self.counts.streams_lost += 1;
            self.tell(who, Input::Lost { lanes: lost });
        }
    }
}
