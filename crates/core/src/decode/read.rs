//! From the values of a message to the cells of a row.

use super::event_id::{self, MsgId};
use super::fault::{Fault, Reason};
use super::number::{self, NumberError, Rest, Scaled};
use super::plan::{ColumnPlan, Input, Plan, Read, Slot};
use super::scanner::{Kind, Raw, Scanner};
use super::time;
use crate::arena::Record;
use crate::block::Cell;
use crate::catalog::{ExcessDigits, TextForm, TimeForm, TimeRange};

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

/// A value that a column was given, from the message or from its subject.
#[derive(Clone, Copy)]
struct Given<'m> {
    kind: Kind,
    raw: Option<Raw>,
    text: &'m str,
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
            let cell = match &column.input {
                Input::Slots {
                    slots,
                    subject_token,
                } => self.json(column, slots, *subject_token, &mut maps),
                Input::DateAndTime { date, time } => self.date_and_time(column, *date, *time),
                Input::Origin => Ok(Cell::Text(self.origin)),
                Input::OriginPosition => Ok(Cell::UInt(self.record.position.0)),
                Input::Version => Ok(Cell::UInt(version(
                    self.record.time_ms,
                    self.record.position.0,
                ))),
                Input::EventId(identity) => {
                    event_id = Some((index, identity));
                    Ok(Cell::UInt(0))
                }
            };
            match cell {
                Ok(cell) => cells.push(cell),
                Err(fault) => {
                    return Err(Fault {
                        column: u16::try_from(index).ok(),
                        ..fault
                    });
                }
            }
        }
        if let Some((index, identity)) = event_id {
            let id = event_id::from_headers(&self.record, self.msg_id).unwrap_or_else(|| {
                let values = identity
                    .iter()
                    .filter_map(|column| cells.get(*column).copied());
                event_id::from_values(values, canonical)
            });
            if let Some(cell) = cells.get_mut(index) {
                *cell = Cell::UInt(id);
            }
        }
        Ok(())
    }

    #[inline]
    fn json(
        &self,
        column: &ColumnPlan,
        slots: &[Slot],
        subject_token: Option<usize>,
        maps: &mut &'m [(&'m [u8], &'m [u8])],
    ) -> Result<Cell<'m>, Fault> {
        let given = slots.iter().find_map(|slot| self.scanner.value(*slot));
        let given = given.map(|raw| self.given(raw)).or_else(|| {
            let token = self.record.subject?.split('.').nth(subject_token?)?;
            Some(Given {
                kind: Kind::Text,
                raw: None,
                text: token,
            })
        });
        let Some(given) = given else {
            return absent(column);
        };
        match column.read {
            Read::Decimal {
                scale,
                limit,
                excess,
            } => {
                let scaled = self.number(column, given, scale)?;
                if excess == ExcessDigits::Reject && !scaled.is_exact() {
                    return Err(given.fault(
                        Reason::ExcessDigits,
                        "has more digits than the column keeps",
                    ));
                }
                let value = scaled.half_even();
                if value.unsigned_abs() > limit.unsigned_abs() {
                    return Err(
                        given.fault(Reason::OutOfRange, "is beyond the range of the column")
                    );
                }
                Ok(Cell::scaled(value))
            }
            Read::Text(form) => self.text(column, given, form).map(Cell::Text),
            Read::Time {
                precision,
                form,
                excess,
                range,
            } => self.time(column, given, precision, form, excess, range),
            Read::Int { min, max } => {
                let value = self.whole(column, given)?;
                let value = i64::try_from(value)
                    .ok()
                    .filter(|value| (min..=max).contains(value));
                value.map(Cell::Int).ok_or_else(|| given.out_of_range())
            }
            Read::UInt { max } => {
                let value = match given.kind {
                    Kind::True if max == u64::from(u8::MAX) => 1,
                    Kind::False if max == u64::from(u8::MAX) => 0,
                    _ => self.whole(column, given)?,
                };
                let value = u64::try_from(value).ok().filter(|value| *value <= max);
                value.map(Cell::UInt).ok_or_else(|| given.out_of_range())
            }
            Read::Bool => match given.kind {
                Kind::True => Ok(Cell::UInt(1)),
                Kind::False => Ok(Cell::UInt(0)),
                _ => match self.whole(column, given)? {
                    0 => Ok(Cell::UInt(0)),
                    1 => Ok(Cell::UInt(1)),
                    _ => Err(given.out_of_range()),
                },
            },
            Read::Float32 => self.float(column, given, |text| {
                text.parse::<f32>().map(f64::from).ok()
            }),
            Read::Float64 => self.float(column, given, |text| text.parse().ok()),
            Read::Map if given.kind == Kind::Object => {
                let length = given
                    .raw
                    .map_or(0, |raw| usize::try_from(raw.small).unwrap_or(0));
                let (own, rest) = maps.split_at(length.min(maps.len()));
                *maps = rest;
                Ok(Cell::Map(own))
            }
            Read::Map => Err(given.fault(Reason::WrongType, "is not an object")),
        }
    }

    fn given(&self, raw: Raw) -> Given<'m> {
        let text = if raw.kind == Kind::Escaped {
            self.scanner.scratch.get(raw.scratch())
        } else {
            self.text.get(raw.start as usize..raw.end as usize)
        };
        // The scanner cuts at quotes and other ASCII bytes only.
        Given {
            kind: raw.kind,
            raw: Some(raw),
            text: text.expect("values end at characters"),
        }
    }

    fn text(
        &self,
        column: &ColumnPlan,
        given: Given<'m>,
        form: TextForm,
    ) -> Result<&'m str, Fault> {
        let is_text = matches!(given.kind, Kind::Text | Kind::Escaped);
        match form {
            TextForm::Json if is_text => {
                let raw = given
                    .raw
                    .map(|raw| raw.start as usize - 1..raw.end as usize + 1);
                return Ok(raw
                    .and_then(|quoted| self.text.get(quoted))
                    .unwrap_or(given.text));
            }
            TextForm::Json | TextForm::TextOrJson if !is_text => return Ok(given.text),
            TextForm::Text | TextForm::OneOf(_) if !is_text => {
                return Err(given.fault(Reason::WrongType, "is not a text"));
            }
            TextForm::Text | TextForm::TextOrJson | TextForm::Json | TextForm::OneOf(_) => {}
        }
        if given.text.is_empty() && column.required {
            return Err(given.fault(Reason::EmptyField, "is required and empty"));
        }
        match form {
            TextForm::OneOf(list) if !list.contains(&given.text) => {
                let want = "is not a timeframe; right would be 1s 1m 5m 15m 30m 1h 4h 1d 1w";
                Err(given.fault(Reason::UnknownTimeframe, want))
            }
            _ => Ok(given.text),
        }
    }

    /// A number at a scale, exactly, whatever its text.
    #[inline]
    fn number(&self, column: &ColumnPlan, given: Given<'m>, scale: i32) -> Result<Scaled, Fault> {
        match (given.kind, given.raw) {
            (Kind::Small, Some(raw)) => {
                return Ok(number::scale_small(raw.small, raw.fraction_digits, scale));
            }
            (Kind::Long | Kind::Text | Kind::Escaped, _) => {}
            _ => return Err(given.fault(Reason::WrongType, "is not a number")),
        }
        number::scale_text(given.text.as_bytes(), scale).map_err(|error| match error {
            NumberError::TooLarge => given.out_of_range(),
            NumberError::Grammar if given.text.is_empty() && column.required => {
                given.fault(Reason::EmptyField, "is required and empty")
            }
            NumberError::Grammar => given.fault(
                Reason::BadNumber,
                "is not a number; right would be 1.5 or \"1.5\"",
            ),
        })
    }

    fn whole(&self, column: &ColumnPlan, given: Given<'m>) -> Result<i128, Fault> {
        let scaled = self.number(column, given, 0)?;
        if scaled.is_exact() {
            return Ok(scaled.kept);
        }
        Err(given.fault(Reason::BadNumber, "is not a whole number"))
    }

    fn float(
        &self,
        column: &ColumnPlan,
        given: Given<'m>,
        parse: impl Fn(&str) -> Option<f64>,
    ) -> Result<Cell<'m>, Fault> {
        let fits = !matches!(given.kind, Kind::Text | Kind::Escaped)
            || number::is_number(given.text.as_bytes());
        if !fits || !matches!(given.kind, Kind::Small | Kind::Long) {
            // Says what is wrong; a text that is a number passes.
            match self.number(column, given, 0) {
                Err(fault) if fault.reason != Reason::OutOfRange => return Err(fault),
                Ok(_) | Err(_) => {}
            }
        }
        let value = parse(given.text).filter(|value| value.is_finite());
        value.map(Cell::Float).ok_or_else(|| given.out_of_range())
    }

    fn time(
        &self,
        column: &ColumnPlan,
        given: Given<'m>,
        precision: u8,
        form: TimeForm,
        excess: ExcessDigits,
        range: TimeRange,
    ) -> Result<Cell<'m>, Fault> {
        const WANT: &str =
            "is not a time; right would be 1706198400123 or \"2024-01-25T16:00:00.123Z\"";
        let is_text = matches!(given.kind, Kind::Text | Kind::Escaped);
        if is_text && given.text.is_empty() && column.required {
            return Err(given.fault(Reason::EmptyField, "is required and empty"));
        }
        let unit = match form {
            TimeForm::Milliseconds => Some(3),
            TimeForm::Seconds => Some(0),
            TimeForm::Microseconds => Some(6),
            TimeForm::Iso => None,
        };
        let (units, exact) =
            if is_text && (unit.is_none() || !number::is_number(given.text.as_bytes())) {
                let instant = time::instant(given.text.as_bytes());
                instant
                    .ok_or_else(|| given.fault(Reason::BadTime, WANT))?
                    .at_precision(precision)
            } else {
                let Some(unit) = unit else {
                    return Err(given.fault(Reason::BadTime, "is not a text in ISO 8601"));
                };
                let scaled = |scale| match self.number(column, given, scale) {
                    Err(fault) if fault.reason == Reason::OutOfRange => {
                        Err(given.fault(Reason::TimeOutOfRange, BEYOND))
                    }
                    Err(_) => Err(given.fault(Reason::BadTime, WANT)),
                    Ok(scaled) => Ok(scaled),
                };
                if unit != 0 && !scaled(0)?.is_exact() {
                    return Err(given.fault(Reason::BadTime, "is not a whole number of time units"));
                }
                let scaled = scaled(i32::from(precision) - unit)?;
                (scaled.floor(), scaled.rest == Rest::Nothing)
            };
        if excess == ExcessDigits::Reject && !exact {
            return Err(given.fault(Reason::ExcessDigits, "is finer than the column keeps"));
        }
        self.in_range(units, precision, range)
            .ok_or_else(|| given.fault(Reason::TimeOutOfRange, BEYOND))
    }

    fn date_and_time(
        &self,
        column: &ColumnPlan,
        date: Slot,
        time: Slot,
    ) -> Result<Cell<'m>, Fault> {
        const WANT: &str = "is not a date and time; right would be \"2024-01-25\" and \"13:30\"";
        let Some(date) = self.scanner.value(date) else {
            return absent(column);
        };
        let (date, time) = (
            self.given(date),
            self.scanner.value(time).map(|raw| self.given(raw)),
        );
        let Read::Time {
            precision,
            form,
            excess,
            range,
        } = column.read
        else {
            return Err(date.fault(Reason::WrongType, "goes to a column that is not a time"));
        };
        let Some(time) = time else {
            return self.time(column, date, precision, form, excess, range);
        };
        for part in [date, time] {
            if !matches!(part.kind, Kind::Text | Kind::Escaped) {
                return Err(part.fault(Reason::BadTime, WANT));
            }
        }
        if date.text.is_empty() && column.required {
            return Err(date.fault(Reason::EmptyField, "is required and empty"));
        }
        if time::instant(date.text.as_bytes()).is_none() {
            return Err(date.fault(Reason::BadTime, WANT));
        }
        let instant = time::date_and_time(date.text.as_bytes(), Some(time.text.as_bytes()));
        let (units, exact) = instant
            .ok_or_else(|| time.fault(Reason::BadTime, WANT))?
            .at_precision(precision);
        if excess == ExcessDigits::Reject && !exact {
            return Err(time.fault(Reason::ExcessDigits, "is finer than the column keeps"));
        }
        self.in_range(units, precision, range)
            .ok_or_else(|| date.fault(Reason::TimeOutOfRange, BEYOND))
    }

    /// A time in units of 10^-`precision` s, when it lies in the range.
    #[inline]
    fn in_range(&self, units: i128, precision: u8, range: TimeRange) -> Option<Cell<'m>> {
        let units = i64::try_from(units).ok()?;
        let ms = match precision {
            3 => units,
            0..=2 => units.checked_mul(number::POW10[usize::from(3 - precision)])?,
            _ => units.div_euclid(number::POW10[usize::from(precision.min(9) - 3)]),
        };
        let allowed = range.earliest_ms..=range.latest_ms(self.now_ms);
        allowed.contains(&ms).then_some(Cell::Int(units))
    }
}

/// Ends the sentence about a time that no row may have.
const BEYOND: &str = "is outside of the times that this route takes";

/// The cell of a column that the message says nothing about.
fn absent<'m>(column: &ColumnPlan) -> Result<Cell<'m>, Fault> {
    let honest = match column.read {
        _ if column.required => None,
        _ if column.nullable => Some(Cell::Null),
        Read::Text(_) => Some(Cell::Text("")),
        Read::Map => Some(Cell::Map(&[])),
        // A zero would be a value that nobody sent.
        Read::Decimal { .. }
        | Read::Int { .. }
        | Read::UInt { .. }
        | Read::Float32
        | Read::Float64
        | Read::Bool
        | Read::Time { .. } => None,
    };
    honest.ok_or(Fault {
        reason: Reason::MissingField,
        column: None,
        span: (0, 0),
        want: "is required and absent or null",
    })
}

impl Given<'_> {
    /// The fault that this value is.
    #[cold]
    fn fault(self, reason: Reason, want: &'static str) -> Fault {
        let span = self.raw.map_or((0, 0), |raw| match raw.kind {
            // With the quotes.
            Kind::Text | Kind::Escaped => (raw.start - 1, raw.end + 1),
            _ => (raw.start, raw.end),
        });
        Fault {
            reason,
            column: None,
            span,
            want,
        }
    }

    #[cold]
    fn out_of_range(self) -> Fault {
        self.fault(Reason::OutOfRange, "is beyond the range of the column")
    }
}

impl Fault {
    /// The fault of an object that should hold fields of the route.
    #[cold]
    fn object(reason: Reason, span: (u32, u32)) -> Self {
        let want = match reason {
            Reason::MissingField => "the message has no object `data`",
            _ => "an object with fields of the route is something else",
        };
        Self {
            reason,
            column: None,
            span,
            want,
        }
    }
}
