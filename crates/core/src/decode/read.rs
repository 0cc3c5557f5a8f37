//! From the values of a message to the cells of a row.

mod dated;
mod given;

use super::event_id::{self, MsgId};
use super::fault::{Fault, Reason};
use super::number::{self, Scaled};
use super::plan::{ColumnPlan, DecimalPlan, Input, Plan, Read, Slot};
use super::scanner::{Kind, Raw, Scanner};
use crate::arena::Record;
use crate::block::Cell;
use crate::catalog::{ExcessDigits, TextForm};

pub(super) use given::Given;

/// A message that was scanned, with all that its row needs.
pub(super) struct Message<'m> {
    pub(super) plan: &'m Plan,
    pub(super) scanner: &'m Scanner,
    pub(super) text: &'m str,
    pub(super) record: Record<'m>,
    pub(super) origin: &'m str,
    pub(super) now_ms: i64,
    pub(super) msg_id: MsgId,
    /// Pairs of the map columns, one column behind the other.
    pub(super) pairs: &'m [(&'m [u8], &'m [u8])],
}

/// Record time and position in one number, so that the newest copy of a row has the greatest: 42
/// bits of milliseconds (until 2109), 22 bits of position.
pub(super) fn version(time_ms: i64, position: u64) -> u64 {
    const POSITION_BITS: u32 = 22;
    const LATEST: u64 = (1 << (64 - POSITION_BITS)) - 1;
    // -1 stands for "no time"; a time of the producer's fancy must not wrap around.
    let time = u64::try_from(time_ms).unwrap_or(0).min(LATEST);
    time << POSITION_BITS | position & ((1 << POSITION_BITS) - 1)
}

impl<'m> Message<'m> {
    /// Appends the cells of the row, in the table's order.
    pub(super) fn cells(
        &self,
        cells: &mut Vec<Cell<'m>>,
        canonical: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        for object in &self.plan.objects {
            match self.scanner.value(object.slot) {
                Some(raw) if raw.kind != Kind::Object => {
                    return Err(Fault::object(Reason::WrongType, (raw.start, raw.end)));
                }
                None if object.required => return Err(Fault::object(Reason::MissingField, (0, 0))),
                Some(_) | None => {}
            }
        }
        let mut event_id = None;
        let mut maps = self.pairs;
        for (index, column) in self.plan.columns.iter().enumerate() {
            let pushed = match &column.input {
                Input::Slots { slots, subject_token } => {
                    self.json(column, slots, *subject_token, &mut maps, cells)
                }
                Input::DateAndTime { date, time } => {
                    self.date_and_time(column, *date, *time).map(|cell| cells.push(cell))
                }
                Input::Origin => {
                    cells.push(Cell::Text(self.origin));
                    Ok(())
                }
                Input::OriginPosition => {
                    cells.push(Cell::UInt(self.record.position.0));
                    Ok(())
                }
                Input::Version => {
                    let version = version(self.record.time_ms, self.record.position.0);
                    cells.push(Cell::UInt(version));
                    Ok(())
                }
                Input::EventId(identity) => {
                    event_id = Some((index, identity));
                    cells.push(Cell::UInt(0));
                    Ok(())
                }
            };
            if let Err(fault) = pushed {
                return Err(Fault { column: u16::try_from(index).ok(), ..fault });
            }
        }
        if let Some((index, identity)) = event_id {
            let id = event_id::from_headers(&self.record, self.msg_id).unwrap_or_else(|| {
                let values = identity.iter().filter_map(|column| cells.get(*column).copied());
                event_id::from_values(values, canonical)
            });
            if let Some(cell) = cells.get_mut(index) {
                *cell = Cell::UInt(id);
            }
        }
        Ok(())
    }

    /// Pushes the cell of a column that is filled from the message. What nearly every value is goes
    /// first and straight into its place: a cell handed on by value costs more than reading it.
    #[inline]
    fn json(
        &self,
        column: &ColumnPlan,
        slots: &[Slot],
        subject_token: Option<usize>,
        maps: &mut &'m [(&'m [u8], &'m [u8])],
        cells: &mut Vec<Cell<'m>>,
    ) -> Result<(), Fault> {
        let raw = slots.iter().find_map(|slot| self.scanner.value(*slot));
        match (raw, column.read) {
            (Some(raw), Read::Decimal(plan)) if raw.kind == Kind::Small => {
                let scaled = number::scale_small(raw.small, raw.fraction_digits, plan.scale);
                let value = plan.value(scaled).map_err(|reason| self.given(raw).unfit(reason))?;
                cells.push(Cell::scaled(value));
            }
            (Some(raw), Read::Time(plan)) if raw.kind == Kind::Small && plan.counts_ms(raw) => {
                let given = || self.given(raw);
                cells.push(Cell::Int(plan.in_range(given, raw.small, self.now_ms)?));
            }
            (Some(raw), Read::Text(TextForm::Text)) if raw.kind == Kind::Text => {
                let given = self.given(raw);
                given.required_is_not_empty(column)?;
                cells.push(Cell::Text(given.text));
            }
            (None, _) if column.nullable && !column.required && subject_token.is_none() => {
                cells.push(Cell::Null);
            }
            (raw, _) => {
                let cell = self.any_json(column, raw, subject_token, maps)?;
                cells.push(cell);
            }
        }
        Ok(())
    }

    /// The cell of any value.
    fn any_json(
        &self,
        column: &ColumnPlan,
        raw: Option<Raw>,
        subject_token: Option<usize>,
        maps: &mut &'m [(&'m [u8], &'m [u8])],
    ) -> Result<Cell<'m>, Fault> {
        let given = raw.map(|raw| self.given(raw)).or_else(|| {
            let token = self.record.subject?.split('.').nth(subject_token?)?;
            Some(Given { kind: Kind::Text, raw: None, text: token })
        });
        let Some(given) = given else {
            return absent(column);
        };
        if matches!(column.read, Read::Map) && given.kind == Kind::Object {
            let length = raw.map_or(0, |raw| usize::try_from(raw.small).unwrap_or(0));
            let (own, rest) = maps.split_at(length.min(maps.len()));
            *maps = rest;
            return Ok(Cell::Map(own));
        }
        column_value(column, given, self.text, self.now_ms)
    }

    fn date_and_time(
        &self,
        column: &ColumnPlan,
        date: Slot,
        time: Slot,
    ) -> Result<Cell<'m>, Fault> {
        let Some(date) = self.scanner.value(date).map(|raw| self.given(raw)) else {
            return absent(column);
        };
        let Read::Time(plan) = column.read else {
            return Err(date.fault(Reason::WrongType, "goes to a column that is not a time"));
        };
        match self.scanner.value(time).map(|raw| self.given(raw)) {
            Some(time) => plan.value_of_two(column, date, time, self.now_ms),
            None => plan.value(column, date, self.now_ms),
        }
        .map(Cell::Int)
    }

    #[inline]
    fn given(&self, raw: Raw) -> Given<'m> {
        let text = if raw.kind == Kind::Escaped {
            self.scanner.scratch.get(raw.scratch())
        } else {
            self.text.get(raw.start as usize..raw.end as usize)
        };
        // The scanner cuts at quotes and other ASCII bytes only.
        let text = text.expect("values end at characters");
        Given { kind: raw.kind, raw: Some(raw), text }
    }
}

/// The cell of a value that is there; `payload` is what the value is a part of. Maps are not read
/// here.
pub(super) fn column_value<'m>(
    column: &ColumnPlan,
    given: Given<'m>,
    payload: &'m str,
    now_ms: i64,
) -> Result<Cell<'m>, Fault> {
    match column.read {
        Read::Decimal(plan) => {
            let scaled = given.number(column, plan.scale)?;
            let value = plan.value(scaled).map_err(|reason| given.unfit(reason))?;
            Ok(Cell::scaled(value))
        }
        Read::Text(form) => given.text(column, form, payload).map(Cell::Text),
        Read::Time(plan) => plan.value(column, given, now_ms).map(Cell::Int),
        Read::Int { min, max } => {
            let value = i64::try_from(given.whole(column)?).ok();
            let value = value.filter(|value| (min..=max).contains(value));
            value.map(Cell::Int).ok_or_else(|| given.out_of_range())
        }
        Read::UInt { max } => {
            let value = match given.kind {
                // `UInt8` is how ClickHouse users write a boolean.
                Kind::True if max == u64::from(u8::MAX) => 1,
                Kind::False if max == u64::from(u8::MAX) => 0,
                _ => given.whole(column)?,
            };
            let value = u64::try_from(value).ok().filter(|value| *value <= max);
            value.map(Cell::UInt).ok_or_else(|| given.out_of_range())
        }
        Read::Bool => {
            let value = match given.kind {
                Kind::True => 1,
                Kind::False => 0,
                _ => given.whole(column)?,
            };
            let value = u64::try_from(value).ok().filter(|value| *value <= 1);
            value.map(Cell::UInt).ok_or_else(|| given.out_of_range())
        }
        Read::Float32 => given.float(column, |text| text.parse::<f32>().map(f64::from).ok()),
        Read::Float64 => given.float(column, |text| text.parse().ok()),
        Read::Map => Err(given.fault(Reason::WrongType, "is not an object")),
    }
}

impl DecimalPlan {
    /// A number at the column's scale, or why the column cannot hold it.
    #[inline]
    fn value(self, scaled: Scaled) -> Result<i128, Reason> {
        if self.excess == ExcessDigits::Reject && !scaled.is_exact() {
            return Err(Reason::ExcessDigits);
        }
        let value = scaled.half_even();
        if value.unsigned_abs() > self.limit.unsigned_abs() {
            return Err(Reason::OutOfRange);
        }
        Ok(value)
    }
}

/// The cell of a column that the message says nothing about.
fn absent<'m>(column: &ColumnPlan) -> Result<Cell<'m>, Fault> {
    let honest = match column.read {
        _ if column.required => None,
        _ if column.nullable => Some(Cell::Null),
        Read::Text(_) => Some(Cell::Text("")),
        Read::Map => Some(Cell::Map(&[])),
        // A zero would be a value that nobody sent.
        Read::Decimal(_)
        | Read::Int { .. }
        | Read::UInt { .. }
        | Read::Float32
        | Read::Float64
        | Read::Bool
        | Read::Time(_) => None,
    };
    honest.ok_or(Fault {
        reason: Reason::MissingField,
        column: None,
        span: (0, 0),
        want: "is required and absent or null",
    })
}

impl Fault {
    /// The fault of an object that should hold fields of the route.
    #[cold]
    fn object(reason: Reason, span: (u32, u32)) -> Self {
        let want = match reason {
            Reason::MissingField => "the message has no object `data`",
            _ => "an object with fields of the route is something else",
        };
        Self { reason, column: None, span, want }
    }
}
