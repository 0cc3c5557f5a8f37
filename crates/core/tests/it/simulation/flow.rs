//! What goes right in a world: records are assigned, fetched, inserted, committed.

use std::collections::{BTreeMap, VecDeque};

use data_bridge_core::engine::{Input, Part};
use data_bridge_core::units::{BatchId, LaneId, Position, Shelf};

use super::group::Kind;
use super::instance::{Chunk, Fetch, Instance, Lane, ROW_BYTES, Row, Tenure};
use super::server::is_about_rows;
use super::world::{Event, LETTERS, MILLISECOND, World};

impl World {
    pub(super) fn assign(&mut self, log: usize) {
        if self.logs[log].owner.is_some() || self.logs[log].stream.is_some() {
            return;
        }
        let able = |instance: &Instance| instance.is_up && instance.stopping.is_none();
        let able: Vec<_> =
            (0..self.instances.len()).filter(|who| able(&self.instances[*who])).collect();
        let Some(who) = self.rng.choice(able) else {
            self.later(50 * MILLISECOND, Event::Assign { log });
            return;
        };
        self.last_lane += 1;
        let id = LaneId(self.last_lane);
        let start = self.logs[log].committed;
        self.logs[log].owner = Some((who, id));
        let lane = Lane {
            log,
            cursor: self.logs[log].index_of(start),
            fetched: start,
            tenure: Tenure::Live,
            paused: false,
            chunks: VecDeque::new(),
            front: start,
            confirmed: start,
        };
        let instance = &mut self.instances[who];
        instance.lanes.insert(id, lane);
        self.counts.assigned_while_full += u64::from(instance.engine.snapshot().is_full);
        let table = self.logs[log].table;
        self.tell(who, Input::Assigned { lane: id, start: Position(start), table });
    }

    /// One fetch: a chunk for each lane that has records and is not paused.
    pub(super) fn fetch(&mut self, who: usize) {
        let instance = &self.instances[who];
        if instance.stopping.is_some() {
            return;
        }
        let lanes = instance.lanes.iter();
        let lanes: Vec<_> = lanes
            .filter(|(_, lane)| lane.tenure == Tenure::Live && !lane.paused)
            .map(|(id, _)| *id)
            .collect();
        self.instances[who].fetch = Fetch::default();
        for id in lanes {
            if self.rng.bool() {
                self.fetch_lane(who, id);
            }
        }
    }

    /// Opens, decodes and tells one chunk.
    fn fetch_lane(&mut self, who: usize, id: LaneId) {
        let instance = &mut self.instances[who];
        let Some(lane) = instance.lanes.get_mut(&id) else {
            return;
        };
        let log = &self.logs[lane.log];
        if lane.fetched >= log.end {
            return;
        }
        let most = self.rng.usize(1..60);
        let records = log.records.get(lane.cursor..).unwrap_or_default();
        let records = records.get(..most).unwrap_or(records);
        let first = lane.cursor;
        lane.cursor += records.len();
        // Control records at the end come with the last records, or alone.
        let next = match records.last() {
            Some(last) if lane.cursor < log.records.len() || self.rng.bool() => last.position + 1,
            Some(_) | None => log.end,
        };
        lane.fetched = next;
        let bytes = records.iter().map(|record| record.bytes).sum();
        let receipt = instance.engine.open(id, Position(next), bytes);
        let receipt = receipt.expect("a lane that is ours takes records");
        let chunk = receipt.chunk();
        assert_eq!(receipt.lane(), id);
        self.counts.empty_chunks += u64::from(records.is_empty());
        let entry = Chunk { bytes, rows_left: records.len() };
        assert!(instance.chunks.insert(chunk, entry).is_none(), "chunk {chunk} twice");
        instance.bytes += bytes;
        let log_index = lane.log;
        lane.chunks.push_back((chunk, next));
        let mut parts: BTreeMap<Shelf, u32> = BTreeMap::new();
        for (offset, record) in records.iter().enumerate() {
            let shelf = match record.kind {
                Kind::Good | Kind::Bad => record.shelf,
                Kind::Unreadable => instance.letters(),
            };
            let (index, kind) = (first + offset, record.kind);
            instance.put(shelf, Row { log: log_index, index, chunk, kind, buried: false });
            *parts.entry(shelf).or_default() += 1;
        }
        instance.advance();
        let rows = records.len() as u64;
        instance.fetch.rows += rows;
        instance.fetch.bytes += bytes + 2 * ROW_BYTES * rows;
        instance.largest_fetch = instance.largest_fetch.max(instance.fetch);
        self.tell(who, Input::Decoded { receipt, parts: Instance::parts(&parts) });
        // What the source believes need not be so.
        if self.rng.u8(..6) == 0 {
            let records = *self.rng.choice(&[0, 0, 60_000, 10_000_000]).unwrap_or(&0);
            self.tell(who, Input::Backlog { records });
        }
    }

    pub(super) fn bury(&mut self, who: usize, batch: BatchId) {
        let instance = &mut self.instances[who];
        let shelf = instance.letters();
        let row = instance.batches.get_mut(&batch).map(|batch| {
            batch.is_done = true;
            batch.rows[0]
        });
        if let Some(row) = row {
            instance.put(shelf, Row { buried: true, ..row });
            let part = Part { shelf, rows: 1, bytes: ROW_BYTES };
            self.tell(who, Input::Buried { batch, part });
        }
    }

    pub(super) fn insert_ends(
        &mut self,
        who: usize,
        life: u32,
        id: BatchId,
        shelf: Shelf,
        rows: &[Row],
    ) {
        let answer = self.server.insert(shelf.table, rows, self.now, &mut self.rng);
        if answer.happened {
            for row in rows {
                let record = &mut self.logs[row.log].records[row.index];
                if shelf.table == LETTERS {
                    record.is_letter = true;
                } else {
                    record.is_row = true;
                }
            }
        }
        self.counts.inserts += 1;
        if !self.is_alive(who, life) {
            return;
        }
        let instance = &mut self.instances[who];
        let batch = instance.batches.get_mut(&id).expect("a batch in flight is known");
        batch.in_flight = false;
        instance.flying.remove(&id);
        instance.bytes -= ROW_BYTES * rows.len() as u64;
        let root = batch.root;
        let Some(failure) = answer.failure else {
            batch.is_done = true;
            self.progress += 1;
            for row in rows {
                instance.settle(row.chunk);
            }
            instance.advance();
            instance.failing.remove(&id);
            if let Some(root) = instance.roots.get_mut(&root) {
                root.inserts += 1;
            }
            self.tell(who, Input::Durable { batch: id });
            return;
        };
        if is_about_rows(&failure) && shelf.table != LETTERS {
            instance.failing.remove(&id);
            if let Some(root) = instance.roots.get_mut(&root) {
                root.inserts += 1;
            }
        } else {
            self.counts.lost_answers += u64::from(answer.happened);
            instance.failing.insert(id);
        }
        self.tell(who, Input::Failed { batch: id, failure });
    }

    pub(super) fn commit_ends(&mut self, who: usize, life: u32, positions: &[(LaneId, Position)]) {
        if !self.is_alive(who, life) {
            return;
        }
        let instance = &mut self.instances[who];
        instance.commit_under_way = false;
        let owned = positions.iter().all(|(id, _)| {
            let lane = &instance.lanes[id];
            self.logs[lane.log].owner == Some((who, *id))
        });
        if !owned || self.rng.f64() < self.server.unrest {
            self.counts.commits_failed += 1;
            self.tell(who, Input::CommitFailed);
            return;
        }
        for (id, position) in positions {
            let lane = instance.lanes.get_mut(id).expect("a lane that is committed is known");
            lane.confirmed = position.0;
            let log = &mut self.logs[lane.log];
            assert!(position.0 > log.committed, "commit of {position} after {}", log.committed);
            log.committed = position.0;
        }
        self.progress += 1;
        self.tell(who, Input::Committed);
    }
}
