//! What an engine says in a world: obeyed, and judged.

use data_bridge_core::engine::{Input, Output};
use data_bridge_core::units::{BatchId, LaneId, Position, Shelf};
use data_bridge_core::verdict::Failure;

use super::group::Kind;
use super::instance::{Lane, ROW_BYTES, Tenure};
use super::server::is_about_rows;
use super::world::{Event, LETTERS, MILLISECOND, SECOND, World, micros, moment};

impl World {
    pub(super) fn tell(&mut self, who: usize, input: Input) {
        self.counts.inputs += 1;
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.clear();
        // A clock that is read by two threads may seem to step back a little.
        let back = if self.rng.u8(..) < 5 { self.rng.u64(0..50 * MILLISECOND) } else { 0 };
        let told = moment(self.now.saturating_sub(back));
        let instance = &mut self.instances[who];
        let flooded = instance.letters_in(&input);
        if self.told {
            println!("{:>12} {who} <- {input:?}", self.now);
        }
        instance.engine.handle(input, told, &mut outputs);
        if self.told {
            for output in &outputs {
                println!("{:>12} {who} -> {output:?}", "");
            }
        }
        let wake = instance.engine.next_wake();
        instance.wake = wake;
        assert!(wake.is_none_or(|wake| wake > told), "woken for nothing at {wake:?}");
        for output in outputs.drain(..) {
            self.obey(who, output);
        }
        self.outputs = outputs;
        let instance = &mut self.instances[who];
        if !instance.is_up {
            return;
        }
        instance.assert_within_budget();
        if let Some(table) = flooded {
            self.counts.held_by_flood += u64::from(instance.assert_flood_waits(table));
        }
        for (lanes, deadline) in &instance.revocations {
            assert!(*deadline > micros(told), "lanes {lanes:?} are not closed at their deadline");
        }
        if self.counts.inputs.is_multiple_of(16) {
            let snapshot = instance.engine.snapshot();
            assert_eq!((snapshot.bytes, snapshot.rows), (instance.bytes, instance.rows));
            assert_eq!(snapshot.batches_in_flight, instance.in_flight(|_| true));
        }
    }

    pub(super) fn obey(&mut self, who: usize, output: Output) {
        let instance = &mut self.instances[who];
        let life = instance.life;
        match output {
            Output::Seal { batch, shelf } => {
                self.counts.seals += 1;
                instance.seal(batch, shelf, &mut self.rng);
            }
            Output::Send { batch: id, shelf, attempt } => self.send(who, id, shelf, attempt),
            Output::Split { batch, at, left, right } => {
                self.counts.splits += 1;
                instance.split(batch, at, [left, right]);
            }
            Output::Bury { batch, failure, attempts } => {
                self.judge_burial(who, batch, &failure, attempts);
                // Payloads that were let go are read from the log first.
                let slow = if self.is_let_go(who, batch) { 2 * SECOND } else { 5 * MILLISECOND };
                let wait = self.below(1) * self.below(slow);
                self.later(wait, Event::Buried { who, life, batch });
            }
            Output::Forget { batch } => instance.forget(batch),
            Output::Free { chunk } => {
                for stream in instance.streams.values_mut() {
                    stream.chunks.remove(&chunk);
                }
                let chunk = instance.chunks.remove(&chunk).expect("a chunk is freed once");
                assert_eq!(chunk.rows_left, 0, "a chunk is freed while rows are not durable");
                instance.bytes -= chunk.bytes;
            }
            Output::LetGo { chunk } => {
                self.counts.let_go += 1;
                let is_lane = instance
                    .lanes
                    .values()
                    .any(|lane| lane.chunks.iter().any(|(id, _)| *id == chunk));
                assert!(is_lane, "chunk {chunk} of no lane is let go");
                let chunk =
                    instance.chunks.get_mut(&chunk).expect("a chunk that is let go is held");
                assert!(chunk.rows_left > 0 && chunk.bytes > 0, "it is let go once, with rows");
                instance.bytes -= std::mem::take(&mut chunk.bytes);
            }
            Output::Commit { positions } => self.commit(who, positions),
            Output::Ack { chunk } => self.ack(who, chunk),
            Output::Working { chunk } => self.working(who, chunk),
            Output::GiveBack { chunk, when } => self.give_back(who, chunk, when),
            Output::Pause { lanes } => {
                self.counts.pauses += 1;
                for id in lanes {
                    if let Some(stream) = instance.streams.get_mut(&id) {
                        assert!(!stream.paused && !stream.is_gone, "pause of stream {id}");
                        stream.paused = true;
                        continue;
                    }
                    let lane = instance.lanes.get_mut(&id).expect("a lane that pauses is known");
                    assert!(!lane.paused && lane.tenure == Tenure::Live, "pause of lane {id}");
                    lane.paused = true;
                }
            }
            Output::Resume { lanes } => {
                self.counts.resumes += 1;
                for id in lanes {
                    if let Some(stream) = instance.streams.get_mut(&id) {
                        assert!(stream.paused && !stream.is_gone, "resume of stream {id}");
                        stream.paused = false;
                        continue;
                    }
                    let lane = instance.lanes.get_mut(&id).expect("a lane that resumes is known");
                    assert!(lane.paused && lane.tenure == Tenure::Live, "resume of lane {id}");
                    lane.paused = false;
                }
            }
            Output::Closed { lanes } => self.closed(who, &lanes),
            Output::TablePaused { table, failure } => {
                self.counts.tables_paused += 1;
                assert!(failure.code().is_some(), "{failure}");
                assert!(instance.tables_paused.insert(table), "table {table} is paused twice");
            }
            Output::TableResumed { table } => {
                self.counts.tables_resumed += 1;
                assert!(instance.tables_paused.remove(&table), "table {table} was not paused");
            }
            Output::FloodBegan { table, letters, messages } => {
                self.counts.floods += 1;
                assert!(letters > instance.limits.flood_rows && messages > 0);
                assert!(instance.floods.insert(table), "table {table} is in flood twice");
                if self.is_calm {
                    let wait = self.below(20 * SECOND);
                    self.later(wait, Event::Accept { who, life });
                }
            }
            Output::FloodEnded { table } => {
                self.counts.floods_ended += 1;
                assert!(instance.floods.remove(&table), "table {table} was not in flood");
            }
            Output::Stopped { open_chunks } => self.stopped(who, open_chunks),
        }
    }

    /// Whether the payload of a row that is to be buried was let go.
    fn is_let_go(&mut self, who: usize, id: BatchId) -> bool {
        let instance = &self.instances[who];
        let let_go = instance.chunks[&instance.batches[&id].rows[0].chunk].bytes == 0;
        self.counts.buried_from_the_log += u64::from(let_go);
        let_go
    }

    /// Only a bad row stands alone, and its chunk is still known.
    fn judge_burial(&mut self, who: usize, id: BatchId, failure: &Failure, attempts: u32) {
        self.counts.buried += 1;
        let instance = &self.instances[who];
        let batch = &instance.batches[&id];
        assert!(is_about_rows(failure) && batch.shelf.table != LETTERS, "{failure}");
        assert_eq!((batch.rows.len(), batch.sent), (1, attempts));
        let row = batch.rows[0];
        assert_eq!(row.kind, Kind::Bad, "a row is buried that is not bad");
        assert!(instance.chunks.contains_key(&row.chunk), "its chunk is gone");
    }

    /// Lanes are let go when all is committed, or at the deadline.
    fn closed(&mut self, who: usize, lanes: &[LaneId]) {
        let now = self.now;
        let instance = &mut self.instances[who];
        let place = instance.revocations.iter().position(|(of, _)| of == lanes);
        let place = place.expect("lanes are closed as they were revoked, once");
        let (_, deadline) = instance.revocations.remove(place);
        let may_be_open = deadline <= now || instance.stopping.is_some();
        if deadline <= now {
            self.counts.closed_by_deadline += 1;
        } else {
            self.counts.closed_in_time += 1;
        }
        let mut free = Vec::new();
        for id in lanes {
            let lane = instance.lanes.get_mut(id).expect("a lane that is closed is known");
            let is_done = lane.chunks.is_empty() && lane.confirmed == lane.fetched;
            let is_gone = lane.tenure == Tenure::Gone;
            assert!(may_be_open || is_done || is_gone, "lane {id} is closed early");
            lane.tenure = Tenure::Gone;
            if self.logs[lane.log].owner == Some((who, *id)) {
                self.logs[lane.log].owner = None;
                free.push(lane.log);
            }
        }
        for log in free {
            let wait = self.below(100 * MILLISECOND);
            self.later(wait, Event::Assign { log });
        }
    }

    /// All is committed, or the deadline has passed.
    fn stopped(&mut self, who: usize, open_chunks: usize) {
        let instance = &self.instances[who];
        let deadline = instance.stopping.expect("a stop somebody asked for");
        let is_open = |lane: &Lane| lane.tenure != Tenure::Gone && lane.confirmed != lane.fetched;
        if open_chunks == 0 && !instance.lanes.values().any(is_open) {
            self.counts.clean_stops += 1;
        } else {
            self.counts.unclean_stops += 1;
            assert!(deadline <= self.now, "given up before the deadline");
        }
        self.down(who);
    }

    pub(super) fn send(&mut self, who: usize, id: BatchId, shelf: Shelf, attempt: u32) {
        let instance = &mut self.instances[who];
        if !instance.batches.contains_key(&id) {
            instance.seal(id, shelf, &mut self.rng);
        }
        assert_eq!(instance.in_flight(|of| of == shelf), 0, "two inserts into {shelf:?}");
        let of_table = instance.in_flight(|of| of.table == shelf.table);
        assert!(of_table < instance.limits.inserts_per_table, "too many inserts");
        let batch = instance.batches.get_mut(&id).expect("sealed above");
        assert_eq!(batch.shelf, shelf);
        assert!(!batch.is_done, "a durable batch is sent again");
        batch.in_flight = true;
        instance.flying.insert(id, shelf);
        batch.sent += 1;
        assert_eq!(batch.sent, attempt);
        self.counts.retries += u64::from(attempt > 1);
        let rows = batch.rows.clone();
        instance.bytes += ROW_BYTES * rows.len() as u64;
        let life = instance.life;
        let wait = MILLISECOND + self.below(self.server.slowest);
        self.later(wait, Event::InsertEnds { who, life, batch: id, shelf, rows });
    }

    pub(super) fn commit(&mut self, who: usize, positions: Vec<(LaneId, Position)>) {
        self.counts.commits += 1;
        let instance = &mut self.instances[who];
        assert!(!instance.commit_under_way, "two commits at a time");
        instance.commit_under_way = true;
        let waits = instance.stopping.is_none() && instance.revocations.is_empty();
        let interval = u64::try_from(instance.limits.commit_interval.as_micros()).unwrap_or(0);
        if waits && let Some(last) = instance.last_commit {
            // The engine may have been told a moment that is a little behind.
            assert!(self.now + 50 * MILLISECOND >= last + interval, "commits follow too fast");
        }
        instance.last_commit = Some(self.now);
        for (id, position) in &positions {
            let lane = instance.lanes.get(id).expect("a lane that is committed is known");
            assert_ne!(lane.tenure, Tenure::Gone, "commit for lane {id}, which is closed or lost");
            assert!(position.0 > lane.confirmed, "lane {id} goes back to {position}");
            assert!(position.0 <= lane.front, "lane {id}: {position} passes an open chunk");
            self.logs[lane.log].assert_durable_before(*position);
        }
        let life = instance.life;
        let wait = self.below(20 * MILLISECOND);
        self.later(wait, Event::CommitEnds { who, life, positions });
    }
}
