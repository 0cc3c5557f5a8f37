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
mod scanner;
mod tally;
mod time;

#[cfg(test)]
mod tests;

pub use cursor::MAX_DEPTH;
pub use event_id::MsgId;
pub use fault::Reason;
pub use letter::{DeadLetter, SUBJECT_HEADER, bury};
pub use tally::Tally;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::arena::{Arena, Record};
use crate::block::{Blocks, Cell};
use crate::catalog::Catalog;
use crate::units::{RouteId, TableId};

use fault::Fault;
use map::Maps;
use plan::Plan;
use read::Message;
use scanner::Scanner;

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
    /// Memory of the row's cells between two messages; empty.
    cells: Vec<Cell<'static>>,
    /// Memory of the canonical form of an event.
    canonical: Vec<u8>,
    /// Memory of the sentence about a dead letter.
    error: String,
    #[cfg(test)]
    panic_at: Option<crate::units::Position>,
}

impl Decoder {
    /// A decoder for messages of `route` that come from `origin`, such as `kafka:tick_archive:3`.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, route: RouteId, origin: String) -> Self {
        let plan = Plan::new(&catalog, catalog.route(route));
        Self {
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
        }
    }

    /// Says what a `Nats-Msg-Id` means.
    #[must_use]
    pub fn with_msg_id(self, msg_id: MsgId) -> Self {
        Self { msg_id, ..self }
    }

    /// Decodes every record of a chunk into `blocks`, which have the decoder's catalog, and adds to
    /// `tally`. A record that does not decode becomes a dead letter, even when the decoder itself
    /// fails on it. `now_ms` is the time of day in ms since 1970.
    pub fn decode(&mut self, arena: &Arena, now_ms: i64, blocks: &mut Blocks, tally: &mut Tally) {
        let mut next = 0;
        while next < arena.len() {
            // Around the loop, not around each record: as long as nothing fails it costs nothing.
            let rest =
                AssertUnwindSafe(|| self.decode_from(&mut next, arena, now_ms, blocks, tally));
            if catch_unwind(rest).is_ok() {
                return;
            }
            // Cells, scanner and maps are rebuilt from nothing by the next message. A row is put
            // into its block as a whole or not at all.
            if let Some(record) = arena.get(next - 1) {
                let error = "the decoder failed on this message; this is an error of data-bridge";
                let letter = self.letter(record, Reason::Panic, error, now_ms);
                tally.add_dead(Reason::Panic, bury(&letter, &self.catalog, blocks));
            }
        }
    }

    /// Decodes the records from `next` on; `next` is always one past the record in work.
    fn decode_from(
        &mut self,
        next: &mut usize,
        arena: &Arena,
        now_ms: i64,
        blocks: &mut Blocks,
        tally: &mut Tally,
    ) {
        while let Some(record) = arena.get(*next) {
            *next += 1;
            let table = self.table;
            match self.row(record, now_ms, |cells| blocks.push(table, cells)) {
                Ok(pushed) => {
                    tally.add_row(pushed);
                    tally.decoded += 1;
                    tally.unknown_fields += u64::from(self.scanner.unknown);
                }
                Err(fault) => self.refuse(record, fault, now_ms, blocks, tally),
            }
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
        assert_ne!(self.panic_at, Some(record.position), "a failure on purpose");
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

/// The memory of a row of cells for a row of another lifetime: collecting in place keeps the
/// allocation (a test counts them).
fn emptied<'b>(mut cells: Vec<Cell<'_>>) -> Vec<Cell<'b>> {
    cells.clear();
    cells.into_iter().map(|_| Cell::Null).collect()
}
