//! What the engine answers, done: blocks sent, positions committed, lanes paused, rows buried.

use data_bridge_core::arena::{Arena, Record};
use data_bridge_core::decode::{DeadLetter, Reason, bury};
use data_bridge_core::engine::{Input, Output};
use data_bridge_core::units::{BatchId, Position, Shelf};
use data_bridge_core::verdict::Failure;
use tracing::{error, info, warn};

use super::recall::{Place, Recalled};
use super::{Ended, Held, Pipeline, wall_clock_ms};

/// A row that only ClickHouse refuses, on its way to the dead letters.
pub(super) struct Burial {
    batch: BatchId,
    failure: Failure,
    attempts: u32,
}

impl Pipeline {
    /// Tells the engine and acts on its answers, and on the answers to these.
    ///
    /// A letter lies on its shelf from the moment it is written, so the engine must hear of it before
    /// anything seals that shelf: one row is buried at a time, and the engine told at once.
    pub(super) fn tell(&mut self, input: Input) {
        let mut next = Some(input);
        let mut outputs = Vec::new();
        while let Some(input) = next {
            self.engine.handle(input, self.now(), &mut outputs);
            for output in outputs.drain(..) {
                self.act(output);
            }
            next = None;
            while next.is_none()
                && let Some(burial) = self.burials.pop_front()
            {
                next = self.bury(burial);
            }
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Seal { batch, shelf } => self.seal(batch, shelf),
            Output::Send { batch, shelf, .. } => self.send(batch, shelf),
            Output::Split { batch, at, left, right } => self.batches.split(batch, at, left, right),
            Output::Bury { batch, failure, attempts } => {
                self.burials.push_back(Burial { batch, failure, attempts });
            }
            Output::Forget { batch } => self.batches.forget(batch),
            Output::Free { chunk } => {
                if let Some(held) = self.arenas.remove(&chunk) {
                    self.report.settled(held.fetched.elapsed());
                }
            }
            Output::LetGo { chunk } => {
                if let Some(held) = self.arenas.get_mut(&chunk) {
                    held.arena = Arena::new();
                }
            }
            Output::Commit { positions } => {
                if let Some(kafka) = &mut self.kafka {
                    kafka.commit(&positions);
                }
            }
            Output::Ack { chunk } => self.ack(chunk),
            Output::Working { chunk } => self.working(chunk),
            Output::GiveBack { chunk, when } => self.give_back(chunk, when),
            Output::Pause { lanes } => {
                self.lanes.hold_for_engine(&lanes, true);
                self.streams.hold_for_engine(&lanes, true);
            }
            Output::Resume { lanes } => {
                self.lanes.hold_for_engine(&lanes, false);
                self.streams.hold_for_engine(&lanes, false);
            }
            Output::Closed { lanes } => {
                info!(lanes = lanes.len(), "partitions given back");
                if let Some(kafka) = &mut self.kafka {
                    kafka.release(&lanes);
                }
                self.lanes.remove(&lanes);
            }
            Output::TablePaused { table, failure } => {
                self.report.table_paused(table);
                self.streams.table_paused(table, true);
                let table = &self.catalog.table(table).name;
                error!(table, error = %failure, "table cannot be written; its route is paused");
            }
            Output::TableResumed { table } => {
                self.gate.written(table);
                self.report.table_resumed(table);
                self.streams.table_paused(table, false);
                info!(table = self.catalog.table(table).name, "table can be written again");
            }
            Output::FloodBegan { table, letters, messages } => {
                self.report.flood_began(table, letters, messages);
            }
            Output::FloodEnded { table } => self.report.flood_ended(table),
            Output::Stopped { open_chunks: 0 } => self.ended = Some(Ended::Drained),
            Output::Stopped { open_chunks } => {
                self.ended = Some(Ended::Abandoned { open_chunks });
            }
        }
    }

    /// Lets through what people accepted.
    pub(super) fn accept_floods(&mut self) {
        for route in self.report.take_accepted() {
            if let Some(id) = self.catalog.route_id(&route) {
                info!(route, "dead letters accepted: read at full speed until their share falls");
                self.tell(Input::Accept { table: self.catalog.route(id).table });
            }
        }
    }

    fn seal(&mut self, batch: BatchId, shelf: Shelf) {
        let Some(block) = self.blocks.take(shelf) else {
            unreachable!("{shelf:?} was sealed as batch {batch} without rows on it")
        };
        self.report.sealed(batch, shelf);
        self.batches.seal(batch, block);
    }

    fn send(&mut self, batch: BatchId, shelf: Shelf) {
        let rows = self.batches.take(batch).or_else(|| {
            self.seal(batch, shelf);
            self.batches.take(batch)
        });
        if let Some(rows) = rows {
            self.writers.send(batch, shelf.table, rows);
        }
    }

    /// Buries the row that only ClickHouse refuses with the bytes it came as; None when these were let
    /// go and must be read from the log first.
    fn bury(&mut self, burial: Burial) -> Option<Input> {
        let (origin, position) = self.origin(&burial);
        let arenas = std::mem::take(&mut self.arenas);
        let mut held = arenas.values().filter(|held| held.origin == origin);
        let found = held.find_map(|held| Some((held, held.arena.find(position)?)));
        let buried = if let Some((Held { route, .. }, record)) = found {
            Some(self.write_letter(&burial, &burial.failure.to_string(), &origin, route, record))
        } else if let Some(place) = Place::of(&origin, position) {
            info!(origin, %position, "row refused: its record is read from the log again");
            self.recall.ask(burial, place);
            None
        } else {
            unreachable!("the arena of {origin} at {position} lives until its chunk settles")
        };
        self.arenas = arenas;
        buried
    }

    /// Buries the rows whose bytes were read from the log again.
    pub(super) fn take_recalled(&mut self) {
        while let Some(Recalled { burial, mut arena }) = self.recall.take() {
            let (origin, position) = self.origin(&burial);
            let mut error = burial.failure.to_string();
            if arena.find(position).is_none() {
                error.push_str(
                    "; its record was deleted from the log before it could be read again",
                );
                arena.push(position, -1, None, None, None, []);
            }
            let route = self.arenas.values().find(|held| held.origin == origin);
            let route = route.map(|held| held.route.clone()).unwrap_or_default();
            if let Some(record) = arena.find(position) {
                let input = self.write_letter(&burial, &error, &origin, &route, record);
                self.tell(input);
            }
        }
    }

    fn origin(&self, burial: &Burial) -> (String, Position) {
        self.batches.origin(burial.batch).unwrap_or_else(|| {
            unreachable!("{} is buried while no writer has it, and knows its origin", burial.batch)
        })
    }

    fn write_letter(
        &mut self,
        Burial { batch, failure, attempts }: &Burial,
        error: &str,
        origin: &str,
        route: &str,
        record: Record<'_>,
    ) -> Input {
        let now_ms = wall_clock_ms();
        let letter = DeadLetter {
            record,
            origin,
            route,
            reason: Reason::ClickhouseRefused,
            error,
            clickhouse_code: failure.code().unwrap_or(0),
            attempts: *attempts,
            first_failed_ms: now_ms,
            last_failed_ms: now_ms,
        };
        warn!(origin, position = %record.position, error, "row refused: now a dead letter");
        let part = bury(&letter, &self.catalog, &mut self.blocks);
        self.report.refused(route);
        Input::Buried { batch: *batch, part }
    }
}
