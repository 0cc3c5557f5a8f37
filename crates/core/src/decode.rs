//! From messages to rows: JSON in, columns out, by the definition of a route.
//!
//! What cannot become a row of its table becomes a row of `dead_letters`; nothing is dropped.

mod cursor;
mod event_id;
mod fault;
mod letter;
mod map;
mod number;
mod plan;
mod read;
mod rows;
mod scanner;
mod shapes;
mod tally;
mod time;
mod unrouted;

#[cfg(test)]
mod tests;

pub use cursor::MAX_DEPTH;
pub use event_id::MsgId;
pub use fault::Reason;
pub use letter::{DeadLetter, SUBJECT_HEADER, bury};
pub use tally::Tally;
pub use unrouted::bury_unrouted;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::arena::{Arena, Record};
use crate::block::{Blocks, Cell, LONGEST, Stage, Words};
use crate::catalog::{Catalog, ColumnType, Table};
use crate::units::{RouteId, TableId};

use fault::Fault;
use map::Maps;
use plan::Plan;
use read::Message;
use rows::{Computed, Rows};
use scanner::Scanner;
use shapes::{Memo, Reading, Shapes};

/// Decodes the messages of one lane, one route. Keeps scratch memory and what it learned of the
/// messages' shape, so that a message costs no allocation.
#[derive(Debug)]
pub struct Decoder {
    catalog: Arc<Catalog>,
    route: RouteId,
    table: TableId,
    origin: String,
    msg_id: MsgId,
    plan: Plan,
    scanner: Scanner,
    maps: Maps,
    /// Known shapes of messages; `None` where the table or the origin cannot be served by them.
    shapes: Option<Shapes>,
    computed: Computed,
    /// Texts of keyword columns; one for each column, those of other columns unused.
    words: Vec<Words>,
    memo: Memo,
    /// Unknown keys of the staged rows.
    unknown: u64,
    /// Memory of the row's cells between two messages; empty.
    cells: Vec<Cell<'static>>,
    /// Memory of the canonical form of an event.
    canonical: Vec<u8>,
    /// Memory of the sentence about a dead letter.
    error: String,
    #[cfg(test)]
    panic_at: Option<crate::units::Position>,
    /// Rows that a known shape has read.
    #[cfg(test)]
    quick_rows: u64,
    /// Failures that were caught.
    #[cfg(test)]
    panics: u32,
}

impl Decoder {
    /// A decoder for messages of `route` that come from `origin`, such as `kafka:tick_archive:3`.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, route: RouteId, origin: String) -> Self {
        let plan = Plan::new(&catalog, catalog.route(route));
        let table = catalog.table(catalog.route(route).table);
        let served = Shapes::can_serve(&plan, table) && origin.len() <= LONGEST;
        Self {
            shapes: served.then(Shapes::default),
            computed: Computed::new(&plan, table),
            words: words(&plan, table),
            memo: Memo::default(),
            unknown: 0,
            table: catalog.route(route).table,
            route,
            origin,
            msg_id: MsgId::default(),
            scanner: Scanner::new(&plan),
            maps: Maps::new(&plan),
            plan,
            cells: Vec::new(),
            canonical: Vec::new(),
            error: String::new(),
            catalog,
            #[cfg(test)]
            panic_at: None,
            #[cfg(test)]
            quick_rows: 0,
            #[cfg(test)]
            panics: 0,
        }
    }

    /// Says what a `Nats-Msg-Id` means.
    #[must_use]
    pub fn with_msg_id(self, msg_id: MsgId) -> Self {
        Self { msg_id, ..self }
    }

    /// Leaves every message to the general decoder, which the known shapes are held against.
    #[must_use]
    pub fn without_shapes(self) -> Self {
        Self { shapes: None, ..self }
    }

    /// Decodes every record of a chunk into `blocks`, which have the decoder's catalog, and adds to
    /// `tally`. A record that does not decode becomes a dead letter, even when the decoder itself
    /// fails on it. `now_ms` is the time of day in ms since 1970.
    pub fn decode(&mut self, arena: &Arena, now_ms: i64, blocks: &mut Blocks, tally: &mut Tally) {
        let mut stage = blocks.lend_stage(self.table);
        let mut at = Place::default();
        loop {
            // Around the loop, not around each record: as long as nothing fails it costs nothing.
            let rest = AssertUnwindSafe(|| {
                self.decode_from(&mut at, arena, now_ms, &mut stage, blocks, tally);
            });
            if catch_unwind(rest).is_ok() {
                break;
            }
            // Cells, scanner and maps are rebuilt from nothing by the next message. A row is put
            // into its block as a whole or not at all.
            blocks.mend(self.table);
            #[cfg(test)]
            {
                self.panics += 1;
            }
            let failed = at.next - 1;
            if failed >= at.careful {
                // It may have been any of the rows that were staged: all of them once more, by the
                // general decoder alone.
                at.careful = at.next;
                at.next = if stage.rows() > 0 { at.staged } else { failed };
            } else if let Some(record) = arena.get(failed) {
                let error = "the decoder failed on this message; this is an error of data-bridge";
                let letter = self.letter(record, Reason::Panic, error, now_ms);
                tally.add_dead(Reason::Panic, bury(&letter, &self.catalog, blocks));
            }
            stage.clear();
            self.unknown = 0;
        }
        blocks.return_stage(self.table, stage);
    }

    /// Decodes the records from `next` on; `next` is always one past the record in work.
    fn decode_from(
        &mut self,
        at: &mut Place,
        arena: &Arena,
        now_ms: i64,
        stage: &mut Stage,
        blocks: &mut Blocks,
        tally: &mut Tally,
    ) {
        while at.next < arena.len() {
            let index = at.next;
            at.next += 1;
            if index >= at.careful && self.quick(arena, index, now_ms, stage) {
                if stage.rows() == 1 {
                    at.staged = index;
                }
                if stage.is_full() {
                    self.put_staged(at, arena, stage, blocks, tally);
                }
                continue;
            }
            // In the order of the records, also where they part ways.
            self.put_staged(at, arena, stage, blocks, tally);
            let Some(record) = arena.get(index) else {
                return;
            };
            let table = self.table;
            match self.row(record, now_ms, |cells| blocks.push(table, cells)) {
                Ok(pushed) => {
                    tally.add_row(pushed);
                    tally.decoded += 1;
                    tally.unknown_fields += u64::from(self.scanner.unknown);
                    if index >= at.careful {
                        self.learn(record);
                    }
                }
                Err(fault) => self.refuse(record, fault, now_ms, blocks, tally),
            }
        }
        self.put_staged(at, arena, stage, blocks, tally);
    }

    /// Reads a record by a known shape into the stage; false when it has none, or is not sound.
    #[inline]
    fn quick(&mut self, arena: &Arena, index: usize, now_ms: i64, stage: &mut Stage) -> bool {
        #[cfg(test)]
        self.fail_on_purpose(arena.get(index).map(|record| record.position));
        let (Some(shapes), Some(payload)) = (&mut self.shapes, arena.payload(index)) else {
            return false;
        };
        let unknown = shapes.read(&mut Reading {
            plan: &self.plan,
            padded: payload.padded,
            length: payload.length,
            place: payload.place,
            arena,
            index,
            now_ms,
            words: &mut self.words,
            stage,
            memo: &mut self.memo,
        });
        self.unknown += u64::from(unknown.unwrap_or(0));
        unknown.is_some()
    }

    #[cfg(test)]
    fn fail_on_purpose(&self, position: Option<crate::units::Position>) {
        assert!(position.is_none() || self.panic_at != position, "a failure on purpose");
    }

    /// Puts the staged rows onto their shelves.
    fn put_staged(
        &mut self,
        at: &mut Place,
        arena: &Arena,
        stage: &mut Stage,
        blocks: &mut Blocks,
        tally: &mut Tally,
    ) {
        let count = stage.rows();
        if count == 0 {
            return;
        }
        let (origin, msg_id) = (self.origin.as_str(), self.msg_id);
        let words = self.words.as_mut_slice();
        let mut rows = Rows { arena, first: at.staged, stage, words, origin, msg_id };
        self.computed.fill(&mut rows);
        let bytes = arena.as_bytes();
        blocks.append(self.table, stage, &mut self.words, bytes, |rows, pushed| {
            tally.add_rows(rows, pushed);
            tally.decoded += rows;
            at.staged += rows as usize;
        });
        tally.unknown_fields += std::mem::take(&mut self.unknown);
        if let Some(shapes) = &mut self.shapes {
            shapes.count_known(count);
        }
        #[cfg(test)]
        {
            self.quick_rows += count as u64;
        }
        for (words, column) in self.words.iter_mut().zip(&self.plan.columns) {
            if words.is_full() {
                words.clear(!column.required);
                // They hold words by number.
                self.shapes.iter_mut().for_each(Shapes::drop_tracks);
            }
        }
    }

    #[cold]
    fn learn(&mut self, record: Record<'_>) {
        if let (Some(shapes), Some(payload)) = (&mut self.shapes, record.payload) {
            let table = self.catalog.table(self.table);
            shapes.learn(record.padded_payload(), payload.len(), &self.plan, table);
        }
    }

    /// Decodes one record and gives the cells of its row to `put`.
    #[inline]
    fn row<R>(
        &mut self,
        record: Record<'_>,
        now_ms: i64,
        put: impl FnOnce(&[Cell<'_>]) -> R,
    ) -> Result<R, Fault> {
        #[cfg(test)]
        self.fail_on_purpose(Some(record.position));
        let payload = record.payload.ok_or_else(|| {
            let want = "the message is a tombstone: it has no value";
            Fault::message(Reason::Tombstone, 0, want)
        })?;
        if payload.is_empty() {
            let want = "the value is empty";
            return Err(Fault::message(Reason::EmptyValue, 0, want));
        }
        let text = str::from_utf8(payload).map_err(|error| {
            let want = "the value is not UTF-8";
            Fault::message(Reason::InvalidUtf8, error.valid_up_to(), want)
        })?;
        let padded = record.padded_payload();
        self.scanner.scan(padded, payload.len(), &self.plan)?;
        self.maps.read(&mut self.scanner, padded, payload.len())?;
        let pairs = self.maps.pairs(text, &self.scanner.scratch);
        let message = Message {
            plan: &self.plan,
            scanner: &self.scanner,
            text,
            record,
            origin: &self.origin,
            now_ms,
            msg_id: self.msg_id,
            pairs: &pairs,
        };
        let mut cells = emptied(std::mem::take(&mut self.cells));
        let filled = message.cells(&mut cells, &mut self.canonical);
        let put = filled.map(|()| put(&cells));
        self.cells = emptied(cells);
        put
    }

    #[cold]
    fn refuse(
        &mut self,
        record: Record<'_>,
        fault: Fault,
        now_ms: i64,
        blocks: &mut Blocks,
        tally: &mut Tally,
    ) {
        let column = fault.column.and_then(|column| self.plan.columns.get(usize::from(column)));
        let (name, keys) = column.map_or(("", ""), |column| (&column.name, &column.keys));
        let mut error = std::mem::take(&mut self.error);
        error.clear();
        fault.write(record.payload.unwrap_or_default(), name, keys, &mut error);
        if let Some(subject) = record.subject {
            error.push_str("; subject `");
            error.push_str(subject);
            error.push('`');
        }
        let letter = self.letter(record, fault.reason, &error, now_ms);
        tally.add_dead(fault.reason, bury(&letter, &self.catalog, blocks));
        self.error = error;
    }

    fn letter<'a>(
        &'a self,
        record: Record<'a>,
        reason: Reason,
        error: &'a str,
        now_ms: i64,
    ) -> DeadLetter<'a> {
        DeadLetter {
            record,
            origin: &self.origin,
            route: &self.catalog.route(self.route).name,
            reason,
            error,
            clickhouse_code: 0,
            attempts: 1,
            first_failed_ms: now_ms,
            last_failed_ms: now_ms,
        }
    }
}

/// How far a chunk is decoded.
#[derive(Debug, Default)]
struct Place {
    /// One past the record in work.
    next: usize,
    /// The record of the first staged row.
    staged: usize,
    /// Records before this one are read by the general decoder.
    careful: usize,
}

/// Words of the keyword columns, none of the others.
fn words(plan: &Plan, table: &Table) -> Vec<Words> {
    let columns = plan.columns.iter().zip(&table.columns);
    let words = columns.map(|(planned, column)| match column.kind {
        ColumnType::Keyword => Words::new(!planned.required),
        _ => Words::default(),
    });
    words.collect()
}

/// The memory of a row of cells for a row of another lifetime: collecting in place keeps the
/// allocation (a test counts them).
fn emptied<'b>(mut cells: Vec<Cell<'_>>) -> Vec<Cell<'b>> {
    cells.clear();
    cells.into_iter().map(|_| Cell::Null).collect()
}
