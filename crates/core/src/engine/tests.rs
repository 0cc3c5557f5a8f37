//! What the engine promises, one small scene each. Whole lives are in the simulation.

use std::time::Duration;

use super::*;
use crate::units::{ChunkId, Partition};
use crate::verdict::Failure;

const TICKS: TableId = TableId(0);
const CANDLES: TableId = TableId(1);
const LETTERS: TableId = TableId(9);
const JANUARY: Shelf = Shelf {
    table: TICKS,
    partition: Partition(202_601),
};
const FEBRUARY: Shelf = Shelf {
    table: TICKS,
    partition: Partition(202_602),
};
const GRAVE: Shelf = Shelf {
    table: LETTERS,
    partition: Partition(202_601),
};
const LANE: LaneId = LaneId(1);
const OTHER: LaneId = LaneId(2);

/// An engine, its clock, and what it said.
struct Scene {
    engine: Engine,
    now: Moment,
    said: Vec<Output>,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let engine = Engine::new(
            Limits {
                dead_letters: LETTERS,
                ..limits
            },
            7,
        );
        Self {
            engine,
            now: Moment::default(),
            said: Vec::new(),
        }
    }

    /// Two lanes, one per table, and the default limits.
    fn usual() -> Self {
        let mut scene = Self::new(Limits::default());
        scene.tell(Input::Assigned {
            lane: LANE,
            start: Position(0),
            table: TICKS,
        });
        scene.tell(Input::Assigned {
            lane: OTHER,
            start: Position(0),
            table: CANDLES,
        });
        scene
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.said.clear();
        self.engine.handle(input, self.now, &mut self.said);
        assert!(self.engine.next_wake().is_none_or(|wake| wake > self.now));
        self.said.clone()
    }

    fn wait(&mut self, ms: u64) -> Vec<Output> {
        self.now = self.now.after(Duration::from_millis(ms));
        self.tell(Input::Tick)
    }

    /// Waits as long as the engine says, at most `times`, until it sends something.
    fn wait_for_send(&mut self) -> (BatchId, u32) {
        for _ in 0..100 {
            self.now = self.engine.next_wake().expect("something is due");
            let said = self.tell(Input::Tick);
            if let Some(Output::Send { batch, attempt, .. }) = said
                .iter()
                .find(|output| matches!(output, Output::Send { .. }))
            {
                return (*batch, *attempt);
            }
        }
        panic!("nothing was sent");
    }

    fn fetch(&mut self, lane: LaneId, next: u64, parts: &[(Shelf, u32)]) -> Vec<Output> {
        let receipt = self
            .engine
            .open(lane, Position(next), 100)
            .expect("the lane is ours");
        let parts = parts.iter().map(|(shelf, rows)| Part {
            shelf: *shelf,
            rows: *rows,
            bytes: u64::from(*rows),
        });
        self.tell(Input::Decoded {
            receipt,
            parts: parts.collect(),
        })
    }

    fn durable(&mut self, batch: BatchId) -> Vec<Output> {
        self.tell(Input::Durable { batch })
    }

    fn fail(&mut self, batch: BatchId, code: i32) -> Vec<Output> {
        self.tell(Input::Failed {
            batch,
            failure: refused(code),
        })
    }
}

fn refused(code: i32) -> Failure {
    Failure::Server {
        code,
        name: String::new(),
        message: String::new(),
    }
}

fn sent(outputs: &[Output]) -> Vec<BatchId> {
    let send = |output: &Output| match output {
        Output::Send { batch, .. } => Some(*batch),
        _ => None,
    };
    outputs.iter().filter_map(send).collect()
}

fn committed(outputs: &[Output]) -> Vec<(LaneId, Position)> {
    let commit = |output: &Output| match output {
        Output::Commit { positions } => Some(positions.clone()),
        _ => None,
    };
    outputs.iter().filter_map(commit).flatten().collect()
}

#[test]
fn a_row_waits_for_the_linger_and_is_then_sent_committed_and_freed() {
    let mut scene = Scene::usual();
    assert_eq!(scene.fetch(LANE, 10, &[(JANUARY, 10)]), []);
    assert_eq!(
        scene.engine.next_wake(),
        Some(Moment(Duration::from_millis(30)))
    );
    assert_eq!(scene.wait(29), []);
    let batch = BatchId(1);
    assert_eq!(
        scene.wait(1),
        [Output::Send {
            batch,
            shelf: JANUARY,
            attempt: 1
        }]
    );
    assert_eq!(scene.engine.next_wake(), None);
    assert_eq!(
        scene.durable(batch),
        [
            Output::Forget { batch },
            Output::Free { chunk: ChunkId(1) },
            Output::Commit {
                positions: vec![(LANE, Position(10))]
            },
        ]
    );
    assert_eq!(scene.tell(Input::Committed), []);
    let snapshot = scene.engine.snapshot();
    assert_eq!(
        (snapshot.rows, snapshot.bytes, snapshot.open_chunks),
        (0, 0, 0)
    );
}

#[test]
fn commit_never_passes_an_open_chunk() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let first = scene.wait_for_send().0;
    scene.fetch(LANE, 20, &[(FEBRUARY, 10)]);
    let second = scene.wait_for_send().0;
    assert_eq!(committed(&scene.durable(second)), []);
    assert_eq!(committed(&scene.durable(first)), [(LANE, Position(20))]);
}
