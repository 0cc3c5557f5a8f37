//! Columns that are times.

use crate::catalog::{ExcessDigits, TimeForm};

use super::super::fault::{Fault, Reason};
use super::super::number::{self, POW10};
use super::super::plan::{ColumnPlan, TimePlan};
use super::super::scanner::Raw;
use super::super::time::{self, Instant};
use super::given::Given;

/// Ends the sentence about a text that is no time.
const WANT: &str = "is not a time; right would be 1706198400123 or \"2024-01-25T16:00:00.123Z\"";
impl TimePlan {
    /// Whether this number is a count of milliseconds for a column that keeps just those.
    #[inline]
    pub(super) fn counts_ms(self, raw: Raw) -> bool {
        raw.fraction_digits == 0 && self.precision == 3 && self.form == TimeForm::Milliseconds
    }

    /// A time, written as a number or as a text, in units of the column.
    pub(in crate::decode) fn value(
        self,
        column: &ColumnPlan,
        given: Given<'_>,
        now_ms: i64,
    ) -> Result<i64, Fault> {
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

    /// A date and a time of day, both texts.
    pub(in crate::decode) fn value_of_two(
        self,
        column: &ColumnPlan,
        date: Given<'_>,
        time: Given<'_>,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        date.required_is_not_empty(column)?;
        let readable = date.is_text() && time::instant(date.text.as_bytes()).is_some();
        if !readable {
            let want = "is not a date; right would be \"2024-01-25\"";
            return Err(date.fault(Reason::BadTime, want));
        }
        let instant = time::date_and_time(date.text.as_bytes(), time.text.as_bytes());
        if !time.is_text() || instant.is_none() {
            let want = "is not a time of day; right would be \"13:30\"";
            return Err(time.fault(Reason::BadTime, want));
        }
        self.written(date, instant, now_ms)
    }

    /// A count of units of 10^-`unit` s since 1970.
    fn counted(
        self,
        column: &ColumnPlan,
        given: Given<'_>,
        unit: i32,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        let scaled = |scale| {
            given.number(column, scale).map_err(|fault| match fault.reason {
                Reason::OutOfRange => beyond(given),
                _ => given.fault(Reason::BadTime, WANT),
            })
        };
        if unit != 0 && !scaled(0)?.is_exact() {
            return Err(given.fault(Reason::BadTime, "is not a whole number of time units"));
        }
        let scaled = scaled(i32::from(self.precision) - unit)?;
        self.not_too_fine(given, scaled.is_exact())?;
        let units = i64::try_from(scaled.floor()).ok().ok_or_else(|| beyond(given))?;
        self.in_range(|| given, units, now_ms)
    }

    fn written(
        self,
        given: Given<'_>,
        instant: Option<Instant>,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        let instant = instant.ok_or_else(|| given.fault(Reason::BadTime, WANT))?;
        let (units, exact) = instant.at_precision(self.precision);
        self.not_too_fine(given, exact)?;
        let units = i64::try_from(units).ok().ok_or_else(|| beyond(given))?;
        self.in_range(|| given, units, now_ms)
    }

    fn not_too_fine(self, given: Given<'_>, exact: bool) -> Result<(), Fault> {
        if self.excess == ExcessDigits::Reject && !exact {
            return Err(given.fault(Reason::ExcessDigits, "is finer than the column keeps"));
        }
        Ok(())
    }

    /// The same units, when their time lies in the range.
    #[inline]
    pub(super) fn in_range<'m>(
        self,
        given: impl FnOnce() -> Given<'m>,
        units: i64,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        let ms = match self.precision {
            3 => Some(units),
            0..=2 => units.checked_mul(POW10[usize::from(3 - self.precision)]),
            _ => Some(units.div_euclid(POW10[usize::from(self.precision.min(9) - 3)])),
        };
        let latest = self.range.latest_ms(now_ms);
        if ms.is_some_and(|ms| (self.range.earliest_ms..=latest).contains(&ms)) {
            return Ok(units);
        }
        Err(beyond(given()))
    }
}

#[cold]
fn beyond(given: Given<'_>) -> Fault {
    given.fault(Reason::TimeOutOfRange, "is outside of the times that this route takes")
}
