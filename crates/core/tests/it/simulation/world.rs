//! A world: time, chance, and everything that happens.

use std::collections::BTreeMap;
use std::time::Duration;

use data_bridge_core::engine::{Input, Limits, Output, Part};
use data_bridge_core::units::{BatchId, LaneId, Moment, Position, Shelf, TableId};

use super::group::{Kind, Log};
use super::instance::{Chunk, Instance, Lane, ROW_BYTES, Row, Tenure};
use super::server::{Fault, Server, is_about_rows, refused};

const LETTERS: TableId = TableId(9);
const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// What happens at a moment that was fixed before.
#[derive(Debug)]
enum Event {
    Fetch {
        who: usize,
        life: u32,
    },
    InsertEnds {
        who: usize,
        life: u32,
        batch: BatchId,
        shelf: Shelf,
        rows: Vec<Row>,
    },
    CommitEnds {
        who: usize,
        life: u32,
        positions: Vec<(LaneId, Position)>,
    },
    Buried {
        who: usize,
        life: u32,
        batch: BatchId,
    },
    Assign {
        log: usize,
    },
    Lose {
        who: usize,
        life: u32,
        lanes: Vec<LaneId>,
    },
    Start {
        who: usize,
    },
    Trouble,
}

macro_rules! counts {
    ($($name:ident),+ $(,)?) => {
        /// What happened, over all worlds.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Counts { $(pub(super) $name: u64),+ }

        impl Counts {
            pub(super) fn add(&mut self, more: &Self) { $(self.$name += more.$name;)+ }

            /// A simulation in which something never happens proves nothing about it.
            pub(super) fn assert_everything_happened(&self) {
                $(assert!(self.$name > 0, concat!("never happened: ", stringify!($name)));)+
            }
        }
    };
}
counts! {
    inputs, records, inserts, lost_answers, retries, splits, seals, buried, pauses, resumes,
    tables_paused, tables_resumed, commits, commits_failed, revocations, closed_in_time,
    closed_by_deadline, lost, crashes, stops, clean_stops, unclean_stops, clock_jumps, late_answers,
    refused_fetches, empty_chunks, assigned_while_full,
}

pub(super) struct World {
    rng: fastrand::Rng,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    logs: Vec<Log>,
    server: Server,
    instances: Vec<Instance>,
    last_lane: u32,
    bad: f64,
    is_calm: bool,
    outputs: Vec<Output>,
    counts: Counts,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let buffer_bytes = rng.u64(10_000..300_000);
        let limits = Limits {
            dead_letters: LETTERS,
            batch_rows: rng.u32(5..200),
            batch_bytes: rng.u64(1_000..50_000),
            batch_age: Duration::from_millis(rng.u64(1..100)),
            old_partition_age: Duration::from_millis(rng.u64(100..1_500)),
            inserts_per_table: rng.usize(1..5),
            buffer_rows: rng.u64(50..2_000),
            buffer_bytes,
            pause_at: 0.8,
            resume_at: 0.4,
            retry_initial: Duration::from_millis(rng.u64(10..1_000)),
            retry_max: Duration::from_millis(rng.u64(1_000..32_000)),
            commit_interval: Duration::from_millis(rng.u64(0..200)),
        };
        let members = rng.usize(1..4);
        let logs = rng.usize(1..7);
        let server = Server {
            letters: LETTERS,
            faults: Vec::new(),
            unrest: *rng.choice(&[0.0, 0.02, 0.2]).unwrap_or(&0.0),
            slowest: *rng
                .choice(&[5 * MILLISECOND, 200 * MILLISECOND, 5 * SECOND])
                .unwrap_or(&1),
        };
        let bad = *rng.choice(&[0.0, 0.005, 0.05]).unwrap_or(&0.0);
        let instances = (0..members)
            .map(|_| Instance::new(limits.clone(), rng.u64(..), 0))
            .collect();
        let mut world = Self {
            rng,
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            logs: (0..logs)
                .map(|log| Log::new(TableId(u16::try_from(log % 3).unwrap_or(0))))
                .collect(),
            server,
            instances,
            last_lane: 0,
            bad,
            is_calm: false,
            outputs: Vec::new(),
            counts: Counts::default(),
        };
        for log in 0..logs {
            world.later(0, Event::Assign { log });
        }
        for who in 0..members {
            world.later(1, Event::Fetch { who, life: 0 });
        }
        world.later(10, Event::Trouble);
        world
    }

    /// Lives through `events` inputs, calms down, and ends with a stop.
    pub(super) fn live(mut self, events: u64) -> Counts {
        while self.counts.inputs < events {
            self.step();
        }
        self.calm();
        let mut steps = 0;
        while !self.is_consumed() {
            self.step();
            steps += 1;
            assert!(steps < 20_000, "no end in sight: {}", self.state());
        }
        for log in &self.logs {
            log.assert_complete();
        }
        self.end();
        self.counts
    }

    /// What comes first: an event, or what an engine is waiting for.
    fn step(&mut self) {
        let wake = self
            .instances
            .iter()
            .enumerate()
            .filter(|(_, instance)| instance.is_up);
        let wake = wake
            .filter_map(|(who, instance)| Some((instance.engine.next_wake()?, who)))
            .min();
        let event = self.queue.first_key_value().map(|((at, _), _)| *at);
        match (wake, event) {
            (Some((wake, who)), event) if event.is_none_or(|at| micros(wake) <= at) => {
                self.now = self.now.max(micros(wake));
                self.tell(who, Input::Tick);
            }
            (_, Some(at)) => {
                self.now = self.now.max(at);
                if let Some((_, event)) = self.queue.pop_first() {
                    self.happen(event);
                }
            }
            (_, None) => unreachable!("the world stands still: {}", self.state()),
        }
    }

    fn later(&mut self, wait: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + wait, self.queued), event);
    }

    fn below(&mut self, most: u64) -> u64 {
        self.rng.u64(0..=most)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Fetch { who, life } => {
                if self.is_alive(who, life) {
                    self.fetch(who);
                    let wait = self.below(40 * MILLISECOND);
                    self.later(wait, Event::Fetch { who, life });
                }
            }
            Event::InsertEnds {
                who,
                life,
                batch,
                shelf,
                rows,
            } => {
                self.insert_ends(who, life, batch, shelf, &rows);
            }
            Event::CommitEnds {
                who,
                life,
                positions,
            } => self.commit_ends(who, life, &positions),
            Event::Buried { who, life, batch } => {
                if self.is_alive(who, life) {
                    self.bury(who, batch);
                }
            }
            Event::Assign { log } => self.assign(log),
            Event::Lose { who, life, lanes } => {
                if self.is_alive(who, life) {
                    let instance = &mut self.instances[who];
                    for lane in &lanes {
                        if let Some(lane) = instance.lanes.get_mut(lane) {
                            lane.tenure = Tenure::Gone;
                        }
                    }
                    self.counts.lost += 1;
                    self.tell(who, Input::Lost { lanes });
                }
            }
            Event::Start { who } => {
                let instance = &self.instances[who];
                let (limits, life) = (instance.limits.clone(), instance.life + 1);
                self.instances[who] = Instance::new(limits, self.rng.u64(..), life);
                self.later(0, Event::Fetch { who, life });
            }
            Event::Trouble => {
                if !self.is_calm {
                    self.trouble();
                    let wait = self.below(300 * MILLISECOND);
                    self.later(wait, Event::Trouble);
                }
            }
        }
    }

    fn is_alive(&self, who: usize, life: u32) -> bool {
        self.instances[who].is_up && self.instances[who].life == life
    }

    // What goes wrong.

    fn trouble(&mut self) {
        let who = self.rng.usize(..self.instances.len());
        match self.rng.u8(..100) {
            0..40 => self.produce(),
            40..60 => self.break_server(),
            60..72 => self.revoke(who),
            72..78 => self.lose(who),
            78..82 => self.crash(who),
            82..85 => self.stop(who),
            85..90 => {
                self.counts.clock_jumps += 1;
                self.now += self.rng.u64(0..120 * SECOND);
            }
            90..95 => self.answer_late(who),
            _ => self.fetch_revoked(who),
        }
    }

    fn produce(&mut self) {
        for log in 0..self.logs.len() {
            let most = *self.rng.choice(&[0, 5, 50, 300]).unwrap_or(&0);
            let backlog = &self.logs[log];
            if backlog.records.len() - backlog.index_of(backlog.committed) > 400 {
                continue;
            }
            let giant = self.instances[0].limits.buffer_bytes * 2;
            for _ in 0..self.below(most) {
                self.logs[log].produce(&mut self.rng, self.bad, giant);
                self.counts.records += 1;
            }
        }
    }

    fn break_server(&mut self) {
        let code = *self
            .rng
            .choice(&[0, 252, 999, 242, 516, 60, 241, 241, 1001, 469])
            .unwrap_or(&0);
        let table = match (code, self.rng.u8(..6)) {
            // Letters may be refused for what they hold; other rows would be buried for it.
            (469, _) | (_, 4) => Some(LETTERS),
            (_, 3) => None,
            (_, of) => Some(TableId(u16::from(of % 3))),
        };
        let until = self.now + self.rng.u64(0..8 * SECOND);
        self.server.faults.push(Fault { table, code, until });
    }

    fn some_lanes(&mut self, who: usize, tenure: Tenure) -> Vec<LaneId> {
        let all = self.rng.bool();
        let lanes = self.instances[who]
            .lanes
            .iter()
            .filter(|(_, lane)| lane.tenure == tenure);
        lanes
            .filter(|_| all || self.rng.bool())
            .map(|(id, _)| *id)
            .collect()
    }

    fn revoke(&mut self, who: usize) {
        let lanes = self.some_lanes(who, Tenure::Live);
        if !self.instances[who].is_up || lanes.is_empty() {
            return;
        }
        let instance = &mut self.instances[who];
        for lane in &lanes {
            if let Some(lane) = instance.lanes.get_mut(lane) {
                lane.tenure = Tenure::Revoked;
            }
        }
        let most = *self
            .rng
            .choice(&[0, 20 * MILLISECOND, SECOND, 20 * SECOND])
            .unwrap_or(&0);
        let deadline = self.now + self.below(most);
        self.instances[who]
            .revocations
            .push((lanes.clone(), deadline));
        self.counts.revocations += 1;
        self.tell(
            who,
            Input::Revoked {
                lanes,
                deadline: moment(deadline),
            },
        );
    }

    /// The session expires: others own the partitions before this instance learns of it.
    fn lose(&mut self, who: usize) {
        if !self.instances[who].is_up {
            return;
        }
        let owned = self.instances[who]
            .lanes
            .iter()
            .filter(|(_, lane)| lane.tenure != Tenure::Gone);
        let owned: Vec<_> = owned.map(|(id, lane)| (*id, lane.log)).collect();
        for (lane, log) in &owned {
            if self.logs[*log].owner == Some((who, *lane)) {
                self.logs[*log].owner = None;
                self.later(0, Event::Assign { log: *log });
            }
        }
        let most = *self
            .rng
            .choice(&[0, 100 * MILLISECOND, 10 * SECOND])
            .unwrap_or(&0);
        let (life, wait) = (self.instances[who].life, self.below(most));
        let lanes = owned.into_iter().map(|(lane, _)| lane).collect();
        self.later(wait, Event::Lose { who, life, lanes });
    }

    fn crash(&mut self, who: usize) {
        if !self.instances[who].is_up {
            return;
        }
        self.counts.crashes += 1;
        self.down(who);
    }

    fn down(&mut self, who: usize) {
        self.instances[who].is_up = false;
        for log in 0..self.logs.len() {
            if self.logs[log].owner.is_some_and(|(owner, _)| owner == who) {
                self.logs[log].owner = None;
                let wait = self.below(SECOND);
                self.later(wait, Event::Assign { log });
            }
        }
        let wait = self.below(2 * SECOND);
        self.later(wait, Event::Start { who });
    }

    fn stop(&mut self, who: usize) {
        if !self.instances[who].is_up || self.instances[who].is_stopping {
            return;
        }
        self.instances[who].is_stopping = true;
        self.counts.stops += 1;
        let most = *self.rng.choice(&[0, SECOND, 30 * SECOND]).unwrap_or(&0);
        let deadline = self.now + self.below(most);
        self.instances[who].stop_deadline = deadline;
        self.tell(
            who,
            Input::Stop {
                deadline: moment(deadline),
            },
        );
    }

    /// An answer for a batch nobody waits for, or that never was.
    fn answer_late(&mut self, who: usize) {
        let batch = BatchId(self.rng.u64(0..500));
        let is_awaited = self.instances[who]
            .batches
            .get(&batch)
            .is_some_and(|batch| batch.in_flight);
        if !self.instances[who].is_up || is_awaited {
            return;
        }
        self.counts.late_answers += 1;
        let input = if self.rng.bool() {
            Input::Durable { batch }
        } else {
            Input::Failed {
                batch,
                failure: refused(*self.rng.choice(&[6, 241, 516]).unwrap_or(&6)),
            }
        };
        self.tell(who, input);
    }

    /// Records of a lane that is not ours any more are not taken.
    fn fetch_revoked(&mut self, who: usize) {
        let instance = &mut self.instances[who];
        let lanes = instance
            .lanes
            .iter()
            .filter(|(_, lane)| lane.tenure != Tenure::Live);
        let lane = lanes.map(|(id, lane)| (*id, lane.fetched)).last();
        if let Some((lane, fetched)) = lane.filter(|_| instance.is_up) {
            let receipt = instance.engine.open(lane, Position(fetched + 10), 100);
            assert!(
                receipt.is_none(),
                "lane {lane} takes records after it ended"
            );
            self.counts.refused_fetches += 1;
        }
    }

    // What goes right.

    fn assign(&mut self, log: usize) {
        if self.logs[log].owner.is_some() {
            return;
        }
        let able = |instance: &Instance| instance.is_up && !instance.is_stopping;
        let able: Vec<_> = (0..self.instances.len())
            .filter(|who| able(&self.instances[*who]))
            .collect();
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
            chunks: std::collections::VecDeque::new(),
            front: start,
            confirmed: start,
        };
        let instance = &mut self.instances[who];
        instance.lanes.insert(id, lane);
        self.counts.assigned_while_full += u64::from(instance.engine.snapshot().is_full);
        let table = self.logs[log].table;
        self.tell(
            who,
            Input::Assigned {
                lane: id,
                start: Position(start),
                table,
            },
        );
    }

    /// One fetch: a chunk for each lane that has records and is not paused.
    fn fetch(&mut self, who: usize) {
        let instance = &self.instances[who];
        if instance.is_stopping {
            return;
        }
        let lanes = instance.lanes.iter();
        let lanes: Vec<_> = lanes
            .filter(|(_, lane)| lane.tenure == Tenure::Live && !lane.paused)
            .map(|(id, _)| *id)
            .collect();
        let mut weight = 0;
        for id in lanes {
            if self.rng.bool() {
                weight += self.fetch_lane(who, id, weight);
            }
        }
    }

    /// Opens, decodes and tells one chunk. What it and its rows weigh.
    fn fetch_lane(&mut self, who: usize, id: LaneId, weight: u64) -> u64 {
        let instance = &mut self.instances[who];
        let Some(lane) = instance.lanes.get_mut(&id) else {
            return 0;
        };
        let log = &self.logs[lane.log];
        if lane.fetched >= log.end {
            return 0;
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
        let entry = Chunk {
            bytes,
            rows_left: records.len(),
        };
        assert!(
            instance.chunks.insert(chunk, entry).is_none(),
            "chunk {chunk} twice"
        );
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
            instance.put(
                shelf,
                Row {
                    log: log_index,
                    index,
                    chunk,
                    kind,
                    buried: false,
                },
            );
            *parts.entry(shelf).or_default() += 1;
        }
        instance.advance();
        let weighs = bytes + 2 * ROW_BYTES * records.len() as u64;
        instance.largest_fetch = instance.largest_fetch.max(weight + weighs);
        self.tell(
            who,
            Input::Decoded {
                receipt,
                parts: Instance::parts(&parts),
            },
        );
        weighs
    }

    fn bury(&mut self, who: usize, batch: BatchId) {
        let instance = &mut self.instances[who];
        let shelf = instance.letters();
        let row = instance.batches.get_mut(&batch).map(|batch| {
            batch.is_done = true;
            batch.rows[0]
        });
        if let Some(row) = row {
            instance.put(
                shelf,
                Row {
                    buried: true,
                    ..row
                },
            );
            let part = Part {
                shelf,
                rows: 1,
                bytes: ROW_BYTES,
            };
            self.tell(who, Input::Buried { batch, part });
        }
    }

    fn insert_ends(&mut self, who: usize, life: u32, id: BatchId, shelf: Shelf, rows: &[Row]) {
        let answer = self
            .server
            .insert(shelf.table, rows, self.now, &mut self.rng);
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
        let batch = instance
            .batches
            .get_mut(&id)
            .expect("a batch in flight is known");
        batch.in_flight = false;
        instance.bytes -= ROW_BYTES * rows.len() as u64;
        let root = batch.root;
        let Some(failure) = answer.failure else {
            batch.is_done = true;
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

    fn commit_ends(&mut self, who: usize, life: u32, positions: &[(LaneId, Position)]) {
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
            let lane = instance
                .lanes
                .get_mut(id)
                .expect("a lane that is committed is known");
            lane.confirmed = position.0;
            let log = &mut self.logs[lane.log];
            assert!(
                position.0 > log.committed,
                "commit of {position} after {}",
                log.committed
            );
            log.committed = position.0;
        }
        self.tell(who, Input::Committed);
    }

    // What the engine says.

    fn tell(&mut self, who: usize, input: Input) {
        self.counts.inputs += 1;
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.clear();
        // A clock that is read by two threads may seem to step back a little.
        let back = if self.rng.u8(..) < 5 {
            self.rng.u64(0..50 * MILLISECOND)
        } else {
            0
        };
        let told = moment(self.now.saturating_sub(back));
        let instance = &mut self.instances[who];
        instance.engine.handle(input, told, &mut outputs);
        let wake = instance.engine.next_wake();
        assert!(
            wake.is_none_or(|wake| wake > told),
            "woken for nothing at {wake:?}"
        );
        for output in outputs.drain(..) {
            self.obey(who, output);
        }
        self.outputs = outputs;
        let instance = &mut self.instances[who];
        if !instance.is_up {
            return;
        }
        instance.assert_within_budget();
        for (lanes, deadline) in &instance.revocations {
            assert!(
                *deadline > micros(told),
                "lanes {lanes:?} are not closed at their deadline"
            );
        }
        if self.counts.inputs.is_multiple_of(16) {
            let snapshot = instance.engine.snapshot();
            assert_eq!(
                (snapshot.bytes, snapshot.rows),
                (instance.bytes, instance.rows)
            );
            assert_eq!(snapshot.batches_in_flight, instance.in_flight(|_| true));
        }
    }

    fn obey(&mut self, who: usize, output: Output) {
        let now = self.now;
        let instance = &mut self.instances[who];
        let life = instance.life;
        match output {
            Output::Seal { batch, shelf } => {
                self.counts.seals += 1;
                instance.seal(batch, shelf, &mut self.rng);
            }
            Output::Send {
                batch: id,
                shelf,
                attempt,
            } => self.send(who, id, shelf, attempt),
            Output::Split {
                batch,
                at,
                left,
                right,
            } => {
                self.counts.splits += 1;
                instance.split(batch, at, [left, right]);
            }
            Output::Bury {
                batch: id,
                failure,
                attempts,
            } => {
                self.counts.buried += 1;
                let batch = &instance.batches[&id];
                assert!(
                    is_about_rows(&failure) && batch.shelf.table != LETTERS,
                    "{failure}"
                );
                assert_eq!((batch.rows.len(), batch.sent), (1, attempts));
                let row = batch.rows[0];
                assert_eq!(row.kind, Kind::Bad, "a row is buried that is not bad");
                assert!(
                    instance.chunks.contains_key(&row.chunk),
                    "its bytes are gone"
                );
                let wait = self.below(1) * self.below(5 * MILLISECOND);
                self.later(
                    wait,
                    Event::Buried {
                        who,
                        life,
                        batch: id,
                    },
                );
            }
            Output::Forget { batch } => instance.forget(batch),
            Output::Free { chunk } => {
                let chunk = instance
                    .chunks
                    .remove(&chunk)
                    .expect("a chunk is freed once");
                assert_eq!(
                    chunk.rows_left, 0,
                    "a chunk is freed while rows are not durable"
                );
                instance.bytes -= chunk.bytes;
            }
            Output::Commit { positions } => self.commit(who, positions),
            Output::Pause { lanes } => {
                self.counts.pauses += 1;
                for id in lanes {
                    let lane = instance
                        .lanes
                        .get_mut(&id)
                        .expect("a lane that pauses is known");
                    assert!(
                        !lane.paused && lane.tenure == Tenure::Live,
                        "pause of lane {id}"
                    );
                    lane.paused = true;
                }
            }
            Output::Resume { lanes } => {
                self.counts.resumes += 1;
                for id in lanes {
                    let lane = instance
                        .lanes
                        .get_mut(&id)
                        .expect("a lane that resumes is known");
                    assert!(
                        lane.paused && lane.tenure == Tenure::Live,
                        "resume of lane {id}"
                    );
                    lane.paused = false;
                }
            }
            Output::Closed { lanes } => {
                let place = instance.revocations.iter().position(|(of, _)| *of == lanes);
                let place = place.expect("lanes are closed as they were revoked, once");
                let (_, deadline) = instance.revocations.remove(place);
                if deadline <= now {
                    self.counts.closed_by_deadline += 1;
                } else if !instance.is_stopping {
                    self.counts.closed_in_time += 1;
                }
                for id in lanes {
                    let Some(lane) = instance.lanes.get_mut(&id) else {
                        continue;
                    };
                    let is_done = lane.chunks.is_empty() && lane.confirmed == lane.fetched;
                    assert!(
                        deadline <= now
                            || is_done
                            || lane.tenure == Tenure::Gone
                            || instance.is_stopping,
                        "lane {id} is closed early"
                    );
                    lane.tenure = Tenure::Gone;
                    let log = lane.log;
                    if self.logs[log].owner == Some((who, id)) {
                        self.logs[log].owner = None;
                        let wait = self.rng.u64(0..100 * MILLISECOND);
                        self.queued += 1;
                        self.queue
                            .insert((now + wait, self.queued), Event::Assign { log });
                    }
                }
            }
            Output::TablePaused { table, failure } => {
                self.counts.tables_paused += 1;
                assert!(failure.code().is_some(), "{failure}");
                assert!(
                    instance.tables_paused.insert(table),
                    "table {table} is paused twice"
                );
            }
            Output::TableResumed { table } => {
                self.counts.tables_resumed += 1;
                assert!(
                    instance.tables_paused.remove(&table),
                    "table {table} was not paused"
                );
            }
            Output::Stopped { open_chunks } => {
                assert!(instance.is_stopping, "a stop nobody asked for");
                let lanes = instance
                    .lanes
                    .values()
                    .filter(|lane| lane.tenure != Tenure::Gone);
                let open: Vec<_> = lanes
                    .filter(|lane| lane.confirmed != lane.fetched)
                    .collect();
                if open_chunks == 0 && open.is_empty() {
                    self.counts.clean_stops += 1;
                } else {
                    self.counts.unclean_stops += 1;
                    assert!(
                        instance.stop_deadline <= now,
                        "given up before the deadline"
                    );
                }
                self.down(who);
            }
        }
    }

    fn send(&mut self, who: usize, id: BatchId, shelf: Shelf, attempt: u32) {
        let instance = &mut self.instances[who];
        if !instance.batches.contains_key(&id) {
            instance.seal(id, shelf, &mut self.rng);
        }
        assert_eq!(
            instance.in_flight(|of| of == shelf),
            0,
            "two inserts into {shelf:?}"
        );
        let of_table = instance.in_flight(|of| of.table == shelf.table);
        assert!(
            of_table < instance.limits.inserts_per_table,
            "too many inserts"
        );
        let batch = instance.batches.get_mut(&id).expect("sealed above");
        assert_eq!(batch.shelf, shelf);
        assert!(!batch.is_done, "a durable batch is sent again");
        batch.in_flight = true;
        batch.sent += 1;
        assert_eq!(batch.sent, attempt);
        self.counts.retries += u64::from(attempt > 1);
        let rows = batch.rows.clone();
        instance.bytes += ROW_BYTES * rows.len() as u64;
        let life = instance.life;
        let wait = MILLISECOND + self.below(self.server.slowest);
        self.later(
            wait,
            Event::InsertEnds {
                who,
                life,
                batch: id,
                shelf,
                rows,
            },
        );
    }

    fn commit(&mut self, who: usize, positions: Vec<(LaneId, Position)>) {
        self.counts.commits += 1;
        let instance = &mut self.instances[who];
        assert!(!instance.commit_under_way, "two commits at a time");
        instance.commit_under_way = true;
        let waits = !instance.is_stopping && instance.revocations.is_empty();
        let interval = u64::try_from(instance.limits.commit_interval.as_micros()).unwrap_or(0);
        if waits && let Some(last) = instance.last_commit {
            // The engine may have been told a moment that is a little behind.
            assert!(
                self.now + 50 * MILLISECOND >= last + interval,
                "commits follow too fast"
            );
        }
        instance.last_commit = Some(self.now);
        for (id, position) in &positions {
            let lane = instance
                .lanes
                .get(id)
                .expect("a lane that is committed is known");
            assert_ne!(
                lane.tenure,
                Tenure::Gone,
                "commit for lane {id}, which is closed or lost"
            );
            assert!(
                position.0 > lane.confirmed,
                "lane {id} goes back to {position}"
            );
            assert!(
                position.0 <= lane.front,
                "lane {id}: {position} passes an open chunk"
            );
            self.logs[lane.log].assert_durable_before(*position);
        }
        let life = instance.life;
        let wait = self.below(20 * MILLISECOND);
        self.later(
            wait,
            Event::CommitEnds {
                who,
                life,
                positions,
            },
        );
    }

    // The end.

    fn calm(&mut self) {
        self.is_calm = true;
        self.server.faults.clear();
        self.server.unrest = 0.0;
        self.server.slowest = 5 * MILLISECOND;
    }

    fn state(&self) -> String {
        let logs = self
            .logs
            .iter()
            .map(|log| (log.committed, log.end, log.owner));
        let engines = self
            .instances
            .iter()
            .map(|instance| instance.engine.snapshot());
        format!(
            "at {} µs: {:?} {:#?}",
            self.now,
            logs.collect::<Vec<_>>(),
            engines.collect::<Vec<_>>()
        )
    }

    fn is_consumed(&self) -> bool {
        self.logs.iter().all(|log| log.committed == log.end)
    }

    /// All instances stop, and nothing is left in them.
    fn end(&mut self) {
        for who in 0..self.instances.len() {
            while self.instances[who].is_up && !self.is_idle(who) {
                self.step();
            }
            let instance = &self.instances[who];
            if instance.is_up && !instance.is_stopping {
                let before = self.counts.clean_stops;
                self.instances[who].is_stopping = true;
                let deadline = moment(self.now + 60 * SECOND);
                self.tell(who, Input::Stop { deadline });
                assert_eq!(
                    self.counts.clean_stops,
                    before + 1,
                    "an idle engine stops at once"
                );
            }
        }
    }

    fn is_idle(&self, who: usize) -> bool {
        let instance = &self.instances[who];
        let is_done = |lane: &Lane| lane.tenure == Tenure::Gone || lane.confirmed == lane.fetched;
        instance.bytes == 0
            && instance.rows == 0
            && !instance.commit_under_way
            && instance.lanes.values().all(is_done)
    }
}

fn moment(micros: u64) -> Moment {
    Moment(Duration::from_micros(micros))
}

fn micros(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}
