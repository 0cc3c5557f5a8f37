//! A dead letter: a message that cannot become a row of its table, as a row of `dead_letters`.

use super::Reason;
use super::read::version;
use crate::arena::Record;
use crate::block::{Blocks, Cell};
use crate::catalog::{Catalog, Column, ColumnType, TimeRange};
use crate::engine::Part;

/// A message and why it is refused.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The message, byte for byte.
    pub record: Record<'a>,
    /// Partition or stream it came from, such as `kafka:tick_archive:3`.
    pub origin: &'a str,
    /// Name of its route; empty when there is none.
    pub route: &'a str,
    /// Why it is refused.
    pub reason: Reason,
    /// The same for people.
    pub error: &'a str,
    /// ClickHouse's error code; 0 when it was not ClickHouse that refused.
    pub clickhouse_code: i32,
    /// How often it was tried.
    pub attempts: u32,
    /// The first refusal, in ms since 1970.
    pub first_failed_ms: i64,
    /// The last refusal.
    pub last_failed_ms: i64,
}

/// Header under which a dead letter keeps the NATS subject, by JetStream's own name for it: a
/// replay needs it to find route and symbol.
pub const SUBJECT_HEADER: &str = "Nats-Subject";

/// Puts a dead letter onto its shelf of `dead_letters`. `catalog` is the one of `blocks`.
pub fn bury(letter: &DeadLetter<'_>, catalog: &Catalog, blocks: &mut Blocks) -> Part {
    let id = catalog.dead_letters();
    let headers = letter.headers();
    let columns = &catalog.table(id).columns;
    let cells: Vec<_> = columns.iter().map(|column| letter.cell(column, &headers)).collect();
    let pushed = blocks.push(id, &cells);
    Part { shelf: pushed.shelf, rows: 1, bytes: pushed.bytes }
}

impl<'a> DeadLetter<'a> {
    pub(super) fn headers(&self) -> Vec<(&'a [u8], &'a [u8])> {
        let subject = self.record.subject.map(str::as_bytes);
        let subject = subject.map(|subject| (SUBJECT_HEADER.as_bytes(), subject));
        let headers = self.record.headers.into_iter();
        let headers = headers.map(|(name, value)| (name, value.unwrap_or_default()));
        headers.chain(subject).collect()
    }

    pub(super) fn cell<'c>(
        &'c self,
        column: &Column,
        headers: &'c [(&'a [u8], &'a [u8])],
    ) -> Cell<'c> {
        match column.name.as_str() {
            "received_at" => Cell::Int(storable(self.record.time_ms)),
            "route" => Cell::Text(self.route),
            "reason" => Cell::Text(self.reason.name()),
            "error" => Cell::Text(self.error),
            "clickhouse_code" => Cell::Int(self.clickhouse_code.into()),
            "key" => Cell::Bytes(self.record.key.unwrap_or_default()),
            "payload" => Cell::Bytes(self.record.payload.unwrap_or_default()),
            "headers" => Cell::Map(headers),
            "attempts" => Cell::UInt(self.attempts.into()),
            "first_failed_at" => Cell::Int(storable(self.first_failed_ms)),
            "last_failed_at" => Cell::Int(storable(self.last_failed_ms)),
            "origin" => Cell::Text(self.origin),
            "origin_position" => Cell::UInt(self.record.position.0),
            "version" => Cell::UInt(version(self.record.time_ms, self.record.position.0)),
            _ => empty(column),
        }
    }
}

/// A time that `DateTime64(3)` can hold: no record time (-1) is 1970, one of the producer's fancy
/// the nearest end.
fn storable(time_ms: i64) -> i64 {
    time_ms.clamp(0, TimeRange::ANY.latest_ms(0))
}

/// What a column holds that is not for the bridge to fill, such as `replayed_at`.
fn empty(column: &Column) -> Cell<'static> {
    match column.kind {
        _ if column.nullable => Cell::Null,
        ColumnType::Keyword | ColumnType::Text => Cell::Text(""),
        ColumnType::TextMap => Cell::Map(&[]),
        ColumnType::Float32 | ColumnType::Float64 => Cell::Float(0.0),
        ColumnType::Decimal { .. } => Cell::scaled(0_i64),
        ColumnType::Int8
        | ColumnType::Int16
        | ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::Time { .. } => Cell::Int(0),
        ColumnType::UInt8
        | ColumnType::UInt16
        | ColumnType::UInt32
        | ColumnType::UInt64
        | ColumnType::Bool => Cell::UInt(0),
    }
}
