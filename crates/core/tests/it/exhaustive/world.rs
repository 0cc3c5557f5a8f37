//! One small world, and every step that can be taken in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use data_bridge_core::engine::{Engine, Input, Limits, Output, Part};
use data_bridge_core::units::{BatchId, LaneId, Moment, Partition, Position, Shelf, TableId};
use data_bridge_core::verdict::Failure;
use xxhash_rust::xxh3::Xxh3;

const TABLE: TableId = TableId(0);
const LETTERS: TableId = TableId(9);
const ROWS: Shelf = Shelf { table: TABLE, partition: Partition(202_601) };
const GRAVE: Shelf = Shelf { table: LETTERS, partition: Partition(202_601) };

/// Records per partition: three chunks of one record each.
const RECORDS: [u64; 2] = [2, 1];

/// How often each thing may go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// Answers that get lost, and inserts that never happened.
    pub(super) lost: u8,
    pub(super) refused_commits: u8,
    pub(super) revokes: u8,
    /// Sessions that end before their instance hears of it.
    pub(super) losses: u8,
    pub(super) crashes: u8,
    /// The first record is a row that the server refuses.
    pub(super) bad: bool,
}

/// A record: its partition and its position.
type Record = (usize, u64);

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Fetch {
        who: usize,
        lane: LaneId,
    },
    /// The insert happens, and its answer arrives.
    Insert {
        who: usize,
        batch: BatchId,
    },
    /// The insert happens, its answer does not arrive.
    LoseAnswer {
        who: usize,
        batch: BatchId,
    },
    /// Neither.
    LoseInsert {
        who: usize,
        batch: BatchId,
    },
    Commit {
        who: usize,
    },
    RefuseCommit {
        who: usize,
    },
    Revoke {
        who: usize,
        lane: LaneId,
    },
    /// The deadline of the oldest revoke passes, or whatever else only waits for time.
    Wait {
        who: usize,
    },
    /// The partition is another's, and its instance does not know.
    Lose {
        who: usize,
        lane: LaneId,
    },
    /// Now it does.
    Hear {
        who: usize,
        lane: LaneId,
    },
    Crash {
        who: usize,
    },
    /// An insert of an instance that is gone happens after all.
    Straggle {
        insert: usize,
    },
}

#[derive(Debug)]
struct Lane {
    partition: usize,
    /// Position of the next record.
    next: u64,
    paused: bool,
    tenure: Tenure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenure {
    Live,
    /// Another owns the partition, and the instance has not heard of it.
    Stale,
    /// Revoked: takes nothing more.
    Ending,
    /// Closed, or lost: nothing of it may be committed.
    Gone,
}

#[derive(Debug)]
struct Instance {
    engine: Engine,
    now: Moment,
    lanes: BTreeMap<LaneId, Lane>,
    open: BTreeMap<Shelf, Vec<Record>>,
    batches: BTreeMap<BatchId, (Shelf, Vec<Record>)>,
    flying: Vec<BatchId>,
    commit: Option<Vec<(LaneId, Position)>>,
    graves: Vec<BatchId>,
}

#[derive(Debug)]
pub(super) struct World {
    left: Bounds,
    /// Commits of partitions that are another's; without a bound they could go on for ever.
    vain_commits: u8,
    committed: [u64; 2],
    owner: [Option<(usize, LaneId)>; 2],
    rows: Vec<Record>,
    letters: Vec<Record>,
    instances: [Instance; 2],
    last_lane: u32,
    stragglers: Vec<(Shelf, Vec<Record>)>,
}

impl World {
    /// The world after these steps.
    pub(super) fn along(bounds: Bounds, way: &[Step]) -> Self {
        let mut world = Self {
            left: bounds,
            vain_commits: 1,
            committed: [0; 2],
            owner: [None; 2],
            rows: Vec::new(),
            letters: Vec::new(),
            instances: [Instance::new(), Instance::new()],
            last_lane: 0,
            stragglers: Vec::new(),
        };
        world.assign(0, 0);
        world.assign(1, 1);
        for step in way {
            world.take(*step);
        }
        world
    }

    /// Everything it holds, as one number.
    pub(super) fn hash(&self) -> u128 {
        struct Hasher(Xxh3);
        impl std::fmt::Write for Hasher {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.update(text.as_bytes());
                Ok(())
            }
        }
        let mut hasher = Hasher(Xxh3::new());
        write!(hasher, "{self:?}").expect("hashing does not fail");
        hasher.0.digest128()
    }

    /// Everything that can happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (who, instance) in self.instances.iter().enumerate() {
            for batch in &instance.flying {
                steps.push(Step::Insert { who, batch: *batch });
                if self.left.lost > 0 {
                    steps.push(Step::LoseAnswer { who, batch: *batch });
                    steps.push(Step::LoseInsert { who, batch: *batch });
                }
            }
            if let Some(positions) = &instance.commit {
                if self.vain_commits > 0 || self.owns(who, positions) {
                    steps.push(Step::Commit { who });
                }
                if self.left.refused_commits > 0 {
                    steps.push(Step::RefuseCommit { who });
                }
            }
            for (lane, of) in &instance.lanes {
                let lane = *lane;
                match of.tenure {
                    Tenure::Live => {}
                    Tenure::Stale => steps.push(Step::Hear { who, lane }),
                    Tenure::Ending | Tenure::Gone => continue,
                }
                if !of.paused && of.next < RECORDS[of.partition] {
                    steps.push(Step::Fetch { who, lane });
                }
                if self.left.revokes > 0 && of.tenure == Tenure::Live {
                    steps.push(Step::Revoke { who, lane });
                }
                if self.left.losses > 0 && of.tenure == Tenure::Live {
                    steps.push(Step::Lose { who, lane });
                }
            }
            if instance.engine.next_wake().is_some() {
                steps.push(Step::Wait { who });
            }
            if self.left.crashes > 0 {
                steps.push(Step::Crash { who });
            }
        }
        steps.extend((0..self.stragglers.len()).map(|insert| Step::Straggle { insert }));
        steps
    }

    /// Nothing more breaks: every row is there in the end, and committed.
    pub(super) fn assert_ends_well(mut self) {
        let bad = self.left.bad;
        self.left = Bounds { bad, ..Bounds::default() };
        for _ in 0..200 {
            let step = self.steps().into_iter().find(|step| !matches!(step, Step::Straggle { .. }));
            let Some(step) = step else {
                break;
            };
            self.take(step);
        }
        assert_eq!(self.committed, RECORDS, "not all is committed: {self:#?}");
        for (partition, records) in RECORDS.iter().enumerate() {
            for position in 0..*records {
                self.assert_durable((partition, position));
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Fetch { who, lane } => self.fetch(who, lane),
            Step::Insert { who, batch } => {
                let failure = self.insert(who, batch);
                self.answer(who, batch, failure);
            }
            Step::LoseAnswer { who, batch } => {
                self.left.lost -= 1;
                self.insert(who, batch);
                self.answer(who, batch, Some(Failure::Cut("reset".to_owned())));
            }
            Step::LoseInsert { who, batch } => {
                self.left.lost -= 1;
                self.answer(who, batch, Some(Failure::Cut("reset".to_owned())));
            }
            Step::Commit { who } => self.commit(who),
            Step::RefuseCommit { who } => {
                self.left.refused_commits -= 1;
                self.instances[who].commit = None;
                self.tell(who, Input::CommitFailed);
            }
            Step::Revoke { who, lane } => {
                self.left.revokes -= 1;
                if let Some(lane) = self.instances[who].lanes.get_mut(&lane) {
                    lane.tenure = Tenure::Ending;
                }
                let deadline = self.instances[who].now.after(Duration::from_secs(1));
                self.tell(who, Input::Revoked { lanes: vec![lane], deadline });
            }
            Step::Wait { who } => {
                let instance = &mut self.instances[who];
                instance.now = instance.engine.next_wake().expect("looked at before");
                self.tell(who, Input::Tick);
            }
            Step::Lose { who, lane } => {
                self.left.losses -= 1;
                let lane = self.instances[who].lanes.get_mut(&lane).expect("a lane of ours");
                lane.tenure = Tenure::Stale;
                let partition = lane.partition;
                self.assign(1 - who, partition);
            }
            Step::Hear { who, lane } => {
                if let Some(lane) = self.instances[who].lanes.get_mut(&lane) {
                    lane.tenure = Tenure::Gone;
                }
                self.tell(who, Input::Lost { lanes: vec![lane] });
            }
            Step::Crash { who } => {
                self.left.crashes -= 1;
                let dead = std::mem::replace(&mut self.instances[who], Instance::new());
                for batch in dead.flying {
                    self.stragglers.extend(dead.batches.get(&batch).cloned());
                }
                for partition in 0..RECORDS.len() {
                    if self.owner[partition].is_some_and(|(owner, _)| owner == who) {
                        self.assign(1 - who, partition);
                    }
                }
            }
            Step::Straggle { insert } => {
                let (shelf, records) = self.stragglers.remove(insert);
                self.write(shelf, &records);
            }
        }
    }

    fn assign(&mut self, who: usize, partition: usize) {
        self.last_lane += 1;
        let lane = LaneId(self.last_lane);
        let start = self.committed[partition];
        self.owner[partition] = Some((who, lane));
        let state = Lane { partition, next: start, paused: false, tenure: Tenure::Live };
        self.instances[who].lanes.insert(lane, state);
        self.tell(who, Input::Assigned { lane, start: Position(start), table: TABLE });
    }

    fn fetch(&mut self, who: usize, id: LaneId) {
        let instance = &mut self.instances[who];
        let lane = instance.lanes.get_mut(&id).expect("a lane of ours");
        let record = (lane.partition, lane.next);
        lane.next += 1;
        let receipt = instance.engine.open(id, Position(lane.next), 10).expect("it is ours");
        instance.open.entry(ROWS).or_default().push(record);
        let parts = vec![Part { shelf: ROWS, rows: 1, bytes: 10 }];
        self.tell(who, Input::Decoded { receipt, parts });
    }

    /// The server's side of an insert.
    fn insert(&mut self, who: usize, batch: BatchId) -> Option<Failure> {
        let (shelf, records) = self.instances[who].batches[&batch].clone();
        self.write(shelf, &records)
    }

    fn write(&mut self, shelf: Shelf, records: &[Record]) -> Option<Failure> {
        if shelf == ROWS && self.left.bad && records.contains(&(0, 0)) {
            let (name, message) = ("VIOLATED_CONSTRAINT".to_owned(), String::new());
            return Some(Failure::Server { code: 469, name, message, row: None });
        }
        let table = if shelf == ROWS { &mut self.rows } else { &mut self.letters };
        table.extend(records);
        // What is sent twice collapses.
        table.sort_unstable();
        table.dedup();
        None
    }

    fn answer(&mut self, who: usize, batch: BatchId, failure: Option<Failure>) {
        self.instances[who].flying.retain(|flying| *flying != batch);
        let input = match failure {
            None => Input::Durable { batch },
            Some(failure) => Input::Failed { batch, failure },
        };
        self.tell(who, input);
    }

    /// The broker takes a commit of those only who own what they commit.
    fn commit(&mut self, who: usize) {
        let positions = self.instances[who].commit.take().expect("looked at before");
        if !self.owns(who, &positions) {
            self.vain_commits -= 1;
            return self.tell(who, Input::CommitFailed);
        }
        for (lane, position) in positions {
            let partition = self.instances[who].lanes[&lane].partition;
            assert!(position.0 > self.committed[partition], "a commit goes back: {self:#?}");
            self.committed[partition] = position.0;
        }
        self.tell(who, Input::Committed);
    }

    fn owns(&self, who: usize, positions: &[(LaneId, Position)]) -> bool {
        positions.iter().all(|(lane, _)| {
            let partition = self.instances[who].lanes[lane].partition;
            self.owner[partition] == Some((who, *lane))
        })
    }

    fn assert_durable(&self, record: Record) {
        let table = if self.left.bad && record == (0, 0) { &self.letters } else { &self.rows };
        assert!(table.contains(&record), "{record:?} is not durable: {self:#?}");
    }

    fn tell(&mut self, who: usize, input: Input) {
        let mut outputs = Vec::new();
        let instance = &mut self.instances[who];
        instance.engine.handle(input, instance.now, &mut outputs);
        for output in outputs {
            self.obey(who, output);
        }
        while let Some(batch) = self.instances[who].graves.pop() {
            let instance = &mut self.instances[who];
            let records = instance.batches[&batch].1.clone();
            instance.open.entry(GRAVE).or_default().extend(records);
            self.tell(
                who,
                Input::Buried { batch, part: Part { shelf: GRAVE, rows: 1, bytes: 10 } },
            );
        }
    }

    fn obey(&mut self, who: usize, output: Output) {
        let instance = &mut self.instances[who];
        match output {
            Output::Seal { batch, shelf } => instance.seal(batch, shelf),
            Output::Send { batch, shelf, .. } => {
                if !instance.batches.contains_key(&batch) {
                    instance.seal(batch, shelf);
                }
                instance.flying.push(batch);
                instance.flying.sort_unstable();
            }
            Output::Split { batch, at, left, right } => {
                let (shelf, mut rows) = instance.batches.remove(&batch).expect("it is held");
                let rest = rows.split_off(at as usize);
                instance.batches.insert(left, (shelf, rows));
                instance.batches.insert(right, (shelf, rest));
            }
            Output::Bury { batch, .. } => instance.graves.push(batch),
            Output::Forget { batch } => {
                instance.batches.remove(&batch).expect("it is held");
            }
            Output::Commit { positions } => {
                for (lane, position) in &positions {
                    let lane = &self.instances[who].lanes[lane];
                    assert_ne!(
                        lane.tenure,
                        Tenure::Gone,
                        "a commit for a lane that is gone: {self:#?}"
                    );
                    for before in 0..position.0 {
                        self.assert_durable((lane.partition, before));
                    }
                }
                let before = self.instances[who].commit.replace(positions);
                assert!(before.is_none(), "two commits at once");
            }
            Output::Pause { lanes } | Output::Resume { lanes } => {
                for lane in lanes {
                    let lane = instance.lanes.get_mut(&lane).expect("a lane of ours");
                    lane.paused = !lane.paused;
                }
            }
            Output::Closed { lanes } => {
                let mut free = Vec::new();
                for id in lanes {
                    let lane = instance.lanes.get_mut(&id).expect("a lane of ours");
                    lane.tenure = Tenure::Gone;
                    free.push(lane.partition);
                }
                for partition in free {
                    self.assign(1 - who, partition);
                }
            }
            Output::Free { .. } | Output::TablePaused { .. } | Output::TableResumed { .. } => {}
            other => unreachable!("{other:?} in a small world"),
        }
    }
}

impl Instance {
    /// Waits for nothing: time has no part in these worlds but for deadlines and back-offs.
    fn new() -> Self {
        let limits = Limits {
            dead_letters: LETTERS,
            batch_age: Duration::ZERO,
            old_partition_age: Duration::ZERO,
            retry_initial: Duration::ZERO,
            retry_max: Duration::ZERO,
            commit_interval: Duration::ZERO,
            ..Limits::default()
        };
        Self {
            engine: Engine::new(limits, 1),
            now: Moment::default(),
            lanes: BTreeMap::new(),
            open: BTreeMap::new(),
            batches: BTreeMap::new(),
            flying: Vec::new(),
            commit: None,
            graves: Vec::new(),
        }
    }

    fn seal(&mut self, batch: BatchId, shelf: Shelf) {
        let rows = self.open.remove(&shelf).expect("rows lie there");
        self.batches.insert(batch, (shelf, rows));
    }
}
