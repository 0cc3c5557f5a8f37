//! A value that a message gives a column, read as a text or as a number.

use crate::block::Cell;
use crate::catalog::TextForm;

use super::super::fault::{Fault, Reason};
use super::super::number::{self, NumberError, Scaled};
use super::super::plan::ColumnPlan;
use super::super::scanner::{Kind, Raw};

/// A value that a column was given, from the message or from its subject.
#[derive(Clone, Copy)]
pub(in crate::decode) struct Given<'m> {
    pub(in crate::decode) kind: Kind,
    /// Absent for a token of the subject.
    pub(in crate::decode) raw: Option<Raw>,
    /// A text without quotes and escapes, the JSON of anything else.
    pub(in crate::decode) text: &'m str,
}

impl<'m> Given<'m> {
    pub(in crate::decode) fn is_text(self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Escaped)
    }

    /// The value for a text column; `payload` is the whole message.
    pub(in crate::decode) fn text(
        self,
        column: &ColumnPlan,
        form: TextForm,
        payload: &'m str,
    ) -> Result<&'m str, Fault> {
        match form {
            TextForm::Json if self.is_text() => {
                let quoted = self.raw.map(|raw| raw.start as usize - 1..raw.end as usize + 1);
                return Ok(quoted.and_then(|range| payload.get(range)).unwrap_or(self.text));
            }
            TextForm::Json | TextForm::TextOrJson if !self.is_text() => return Ok(self.text),
            TextForm::Text | TextForm::OneOf(_) if !self.is_text() => {
                return Err(self.fault(Reason::WrongType, "is not a text"));
            }
            TextForm::Text | TextForm::TextOrJson | TextForm::Json | TextForm::OneOf(_) => {}
        }
        self.required_is_not_empty(column)?;
        match form {
            TextForm::OneOf(list) if !list.contains(&self.text) => {
                let want = "is not a timeframe; right would be 1s 1m 5m 15m 30m 1h 4h 1d 1w";
                Err(self.fault(Reason::UnknownTimeframe, want))
            }
            TextForm::Text | TextForm::TextOrJson | TextForm::Json | TextForm::OneOf(_) => {
                Ok(self.text)
            }
        }
    }

    /// The number at a scale, exactly, whether written as a number or as a text.
    pub(in crate::decode) fn number(
        self,
        column: &ColumnPlan,
        scale: i32,
    ) -> Result<Scaled, Fault> {
        const WANT: &str = "is not a number; right would be 1.5 or \"1.5\"";
        match (self.kind, self.raw) {
            (Kind::Small, Some(raw)) => {
                return Ok(number::scale_small(raw.small, raw.fraction_digits, scale));
            }
            (Kind::Long, _) => {}
            (Kind::Text | Kind::Escaped, _) => self.required_is_not_empty(column)?,
            (
                Kind::Small | Kind::Null | Kind::True | Kind::False | Kind::Array | Kind::Object,
                _,
            ) => {
                return Err(self.fault(Reason::WrongType, "is not a number"));
            }
        }
        number::scale_text(self.text.as_bytes(), scale).map_err(|error| match error {
            NumberError::TooLarge => self.out_of_range(),
            NumberError::Grammar => self.fault(Reason::BadNumber, WANT),
        })
    }

    pub(in crate::decode) fn whole(self, column: &ColumnPlan) -> Result<i128, Fault> {
        let scaled = self.number(column, 0)?;
        if scaled.is_exact() {
            return Ok(scaled.kept);
        }
        Err(self.fault(Reason::BadNumber, "is not a whole number"))
    }

    /// The number as a binary float: for columns that are one in the table.
    pub(in crate::decode) fn float(
        self,
        column: &ColumnPlan,
        parse: impl Fn(&str) -> Option<f64>,
    ) -> Result<Cell<'m>, Fault> {
        // Only for its verdict on the text: 1e300 is beyond an integer and fine for a float.
        match self.number(column, 0) {
            Err(fault) if fault.reason != Reason::OutOfRange => return Err(fault),
            Ok(_) | Err(_) => {}
        }
        let value = parse(self.text).filter(|value| value.is_finite());
        value.map(Cell::Float).ok_or_else(|| self.out_of_range())
    }

    pub(in crate::decode) fn required_is_not_empty(self, column: &ColumnPlan) -> Result<(), Fault> {
        if column.required && self.is_text() && self.text.is_empty() {
            return Err(self.fault(Reason::EmptyField, "is required and empty"));
        }
        Ok(())
    }

    /// The fault that this value is.
    #[cold]
    pub(in crate::decode) fn fault(self, reason: Reason, want: &'static str) -> Fault {
        let span = self.raw.map_or((0, 0), |raw| match raw.kind {
            // With the quotes.
            Kind::Text | Kind::Escaped => (raw.start - 1, raw.end + 1),
            Kind::Null
            | Kind::True
            | Kind::False
            | Kind::Small
            | Kind::Long
            | Kind::Array
            | Kind::Object => (raw.start, raw.end),
        });
        Fault { reason, column: None, span, want }
    }

    #[cold]
    pub(in crate::decode) fn out_of_range(self) -> Fault {
        self.fault(Reason::OutOfRange, "is beyond the range of the column")
    }

    #[cold]
    pub(in crate::decode) fn unfit(self, reason: Reason) -> Fault {
        match reason {
            Reason::ExcessDigits => self.fault(reason, "has more digits than the column keeps"),
            _ => self.out_of_range(),
        }
    }
}
