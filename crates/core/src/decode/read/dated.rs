//! Columns that are times.

use crate::block::Cell;
use crate::catalog::{ExcessDigits, TimeForm};

use super::super::fault::{Fault, Reason};
use super::super::number::{self, POW10};
use super::super::plan::{ColumnPlan, TimePlan};
use super::super::scanner::Kind;
use super::super::time::{self, Instant};
use super::given::Given;

/// Ends the sentence about a text that is no time.
const WANT: &str = "is not a time; right would be 1706198400123 or \"2024-01-25T16:00:00.123Z\"";
/// Ends the sentence about a time that no row may have.
const BEYOND: &str = "is outside of the times that this route takes";

impl TimePlan {
    /// The cell of a time, written as a number or as a text.
    #[inline]
    pub(super) fn cell<'m>(
        self,
        column: &ColumnPlan,
        given: Given<'m>,
        now_ms: i64,
    ) -> Result<Cell<'m>, Fault> {
        let unit = match self.form {
            TimeForm::Milliseconds => Some(3),
            TimeForm::Seconds => Some(0),
            TimeForm::Microseconds => Some(6),
            TimeForm::Iso => None,
        };
        let numeric = !given.is_text() || number::is_number(given.text.as_bytes());
        match (unit, numeric) {
            (Some(unit), true) => self.counted(column, given, unit, now_ms),
            (None, true) if !given.is_text() => {
                Err(given.fault(Reason::BadTime, "is not a text in ISO 8601"))
            }
            (_, _) => {
                given.required_is_not_empty(column)?;
                let instant = time::instant(given.text.as_bytes());
                self.written(given, instant, now_ms)
            }
        }
    }

    /// The cell of a date and a time of day, both texts.
    pub(super) fn cell_of_two<'m>(
        self,
        column: &ColumnPlan,
        date: Given<'m>,
        time: Given<'m>,
        now_ms: i64,
    ) -> Result<Cell<'m>, Fault> {
        date.required_is_not_empty(column)?;
        let readable = date.is_text() && time::instant(date.text.as_bytes()).is_some();
        if !readable {
            return Err(date.fault(
                Reason::BadTime,
                "is not a date; right would be \"2024-01-25\"",
            ));
        }
        let instant = time::date_and_time(date.text.as_bytes(), time.text.as_bytes());
        if !time.is_text() || instant.is_none() {
            let want = "is not a time of day; right would be \"13:30\"";
            return Err(time.fault(Reason::BadTime, want));
        }
        self.written(date, instant, now_ms)
    }

    /// A count of units of 10^-`unit` s since 1970.
    fn counted<'m>(
        self,
        column: &ColumnPlan,
        given: Given<'m>,
        unit: i32,
        now_ms: i64,
    ) -> Result<Cell<'m>, Fault> {
        if let (Kind::Small, Some(raw), 3, 3) = (given.kind, given.raw, unit, self.precision)
            && raw.fraction_digits == 0
        {
            return self.in_range(given, raw.small.into(), now_ms);
        }
        let scaled = |scale| {
            given
                .number(column, scale)
                .map_err(|fault| match fault.reason {
                    Reason::OutOfRange => given.fault(Reason::TimeOutOfRange, BEYOND),
                    _ => given.fault(Reason::BadTime, WANT),
                })
        };
        if unit != 0 && !scaled(0)?.is_exact() {
            return Err(given.fault(Reason::BadTime, "is not a whole number of time units"));
        }
        let scaled = scaled(i32::from(self.precision) - unit)?;
        self.not_too_fine(given, scaled.is_exact())?;
        self.in_range(given, scaled.floor(), now_ms)
    }

    fn written(
        self,
        given: Given<'_>,
        instant: Option<Instant>,
        now_ms: i64,
    ) -> Result<Cell<'static>, Fault> {
        let instant = instant.ok_or_else(|| given.fault(Reason::BadTime, WANT))?;
        let (units, exact) = instant.at_precision(self.precision);
        self.not_too_fine(given, exact)?;
        self.in_range(given, units, now_ms)
    }

    fn not_too_fine(self, given: Given<'_>, exact: bool) -> Result<(), Fault> {
        if self.excess == ExcessDigits::Reject && !exact {
            return Err(given.fault(Reason::ExcessDigits, "is finer than the column keeps"));
        }
        Ok(())
    }

    /// The cell of a time in units of the column, when it lies in the range.
    #[inline]
    fn in_range(self, given: Given<'_>, units: i128, now_ms: i64) -> Result<Cell<'static>, Fault> {
        let fitting = i64::try_from(units).ok().filter(|units| {
            let ms = match self.precision {
                3 => Some(*units),
                0..=2 => units.checked_mul(POW10[usize::from(3 - self.precision)]),
                _ => Some(units.div_euclid(POW10[usize::from(self.precision.min(9) - 3)])),
            };
            let latest = self.range.latest_ms(now_ms);
            ms.is_some_and(|ms| (self.range.earliest_ms..=latest).contains(&ms))
        });
        fitting
            .map(Cell::Int)
            .ok_or_else(|| given.fault(Reason::TimeOutOfRange, BEYOND))
    }
}
