//! What the engine promises, one small scene each. Whole lives are in the simulation.

mod batches;
mod budget;
mod closing;
mod commits;
mod failures;
mod floods;
mod growing;
mod isolation;
mod pace;
mod streams;

use std::time::Duration;

use super::*;
use crate::units::{ChunkId, Partition};
use crate::verdict::Failure;

const TICKS: TableId = TableId(0);
const CANDLES: TableId = TableId(1);
const LETTERS: TableId = TableId(9);
const JANUARY: Shelf = Shelf { table: TICKS, partition: Partition(202_601) };
const FEBRUARY: Shelf = Shelf { table: TICKS, partition: Partition(202_602) };
const GRAVE: Shelf = Shelf { table: LETTERS, partition: Partition(202_601) };
const LANE: LaneId = LaneId(1);
const OTHER: LaneId = LaneId(2);

/// An engine, its clock, and what it said.
struct Scene {
    engine: Engine,
    now: Moment,
    said: Vec<Output>,
}

impl Scene {
    fn new(mut limits: Limits) -> Self {
        limits.dead_letters = LETTERS;
        let engine = Engine::new(limits, 7);
        Self { engine, now: Moment::default(), said: Vec::new() }
    }

    /// Two lanes, one per table, and the default limits.
    fn usual() -> Self {
        let mut scene = Self::new(Limits::default());
        scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
        scene.tell(Input::Assigned { lane: OTHER, start: Position(0), table: CANDLES });
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

    /// Waits as the engine says until it sends something.
    fn wait_for_send(&mut self) -> (BatchId, u32) {
        for _ in 0..100 {
            self.now = self.engine.next_wake().expect("something is due");
            let said = self.tell(Input::Tick);
            if let Some(Output::Send { batch, attempt, .. }) =
                said.iter().find(|output| matches!(output, Output::Send { .. }))
            {
                return (*batch, *attempt);
            }
        }
        panic!("nothing was sent");
    }

    fn fetch(&mut self, lane: LaneId, next: u64, parts: &[(Shelf, u32)]) -> Vec<Output> {
        let receipt = self.engine.open(lane, Position(next), 100).expect("the lane is ours");
        let parts = parts.iter().map(|(shelf, rows)| Part {
            shelf: *shelf,
            rows: *rows,
            bytes: u64::from(*rows),
        });
        self.tell(Input::Decoded { receipt, parts: parts.collect() })
    }

    fn durable(&mut self, batch: BatchId) -> Vec<Output> {
        self.tell(Input::Durable { batch })
    }

    fn fail(&mut self, batch: BatchId, code: i32) -> Vec<Output> {
        self.tell(Input::Failed { batch, failure: refused(code) })
    }
}

fn refused(code: i32) -> Failure {
    Failure::Server { code, name: String::new(), message: String::new(), row: None }
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
