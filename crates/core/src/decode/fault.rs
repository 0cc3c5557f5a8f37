//! Why a message is a dead letter: a stable name for programs, a sentence for people.

use std::fmt::Write as _;

/// Why a message did not become a row of its table. The names are stable: they are part of the
/// sort key of `dead_letters`, and labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The message has no value at all (Kafka's null value).
    Tombstone,
    /// The value has no bytes.
    EmptyValue,
    /// The bytes are not UTF-8, which JSON must be.
    InvalidUtf8,
    /// The JSON text ends in the middle.
    Truncated,
    /// The bytes break the grammar of JSON (RFC 8259).
    NotJson,
    /// JSON, but an array or a single value where an object is due.
    NotAnObject,
    /// A raw control character inside a JSON text, where it must be escaped.
    ControlCharacter,
    /// Something other than white space behind the object.
    TrailingBytes,
    /// Nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// A required field is absent or `null`.
    MissingField,
    /// A required text is empty.
    EmptyField,
    /// A JSON type that the column cannot hold, such as an object for a price.
    WrongType,
    /// Not a number, an infinity, or a fraction where a whole number is due.
    BadNumber,
    /// A number beyond the range of its column.
    OutOfRange,
    /// More digits than the column keeps, in a column that refuses to round.
    ExcessDigits,
    /// Not a time.
    BadTime,
    /// A time outside of the route's range.
    TimeOutOfRange,
    /// A timeframe that is not one of the list.
    UnknownTimeframe,
    /// No route takes the subject.
    NoRoute,
    /// ClickHouse refused the row for its content.
    ClickhouseRefused,
    /// The decoder itself failed on this message: an error of ours.
    Panic,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 21] = [
        Self::Tombstone,
        Self::EmptyValue,
        Self::InvalidUtf8,
        Self::Truncated,
        Self::NotJson,
        Self::NotAnObject,
        Self::ControlCharacter,
        Self::TrailingBytes,
        Self::TooDeep,
        Self::MissingField,
        Self::EmptyField,
        Self::WrongType,
        Self::BadNumber,
        Self::OutOfRange,
        Self::ExcessDigits,
        Self::BadTime,
        Self::TimeOutOfRange,
        Self::UnknownTimeframe,
        Self::NoRoute,
        Self::ClickhouseRefused,
        Self::Panic,
    ];

    /// The name in the column `reason` and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::EmptyValue => "empty_value",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Truncated => "truncated",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::ControlCharacter => "control_character",
            Self::TrailingBytes => "trailing_bytes",
            Self::TooDeep => "too_deep",
            Self::MissingField => "missing_field",
            Self::EmptyField => "empty_field",
            Self::WrongType => "wrong_type",
            Self::BadNumber => "bad_number",
            Self::OutOfRange => "out_of_range",
            Self::ExcessDigits => "excess_digits",
            Self::BadTime => "bad_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::UnknownTimeframe => "unknown_timeframe",
            Self::NoRoute => "no_route",
            Self::ClickhouseRefused => "clickhouse_refused",
            Self::Panic => "panic",
        }
    }
}

/// A refusal while it is still cheap: no text is built unless the message is really buried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    /// Index of the column that could not be filled; `None` for the message as a whole.
    pub(super) column: Option<u16>,
    /// Bytes of the payload that are at fault.
    pub(super) span: (u32, u32),
    /// What would have been right, or what is wrong: ends the sentence.
    pub(super) want: &'static str,
}

impl Fault {
    /// A fault of the message as a whole, seen at byte `at`.
    #[cold]
    pub(super) fn message(reason: Reason, at: usize, want: &'static str) -> Self {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        Self { reason, column: None, span: (at, at), want }
    }

    /// The sentence for people. `column` is the name of the column at fault, `keys` the names the
    /// message may give it.
    pub(super) fn write(self, payload: &[u8], column: &str, keys: &str, out: &mut String) {
        let (start, end) = (self.span.0 as usize, self.span.1 as usize);
        let quoted = |out: &mut String| shorten(payload.get(start..end).unwrap_or_default(), out);
        let infallible = "writing into a String cannot fail";
        if self.column.is_none() {
            match self.reason {
                Reason::Tombstone | Reason::EmptyValue => out.push_str(self.want),
                _ => {
                    write!(out, "{} at byte {start}", self.want).expect(infallible);
                    let around = payload.get(start..payload.len().min(start + 40));
                    if let Some(rest) = around.filter(|rest| !rest.is_empty()) {
                        out.push_str(", near ");
                        shorten(rest, out);
                    }
                }
            }
            return;
        }
        write!(out, "field `{column}`").expect(infallible);
        if keys != column && !keys.is_empty() {
            write!(out, " (from {keys})").expect(infallible);
        }
        out.push_str(": ");
        if start < end {
            quoted(out);
            out.push(' ');
        }
        out.push_str(self.want);
    }
}

/// Writes at most 60 characters of `bytes`, printable, with `…` when cut.
fn shorten(bytes: &[u8], out: &mut String) {
    const KEPT: usize = 60;
    // Four bytes per character at most; a character cut in two at the end is dropped with the rest.
    let head = bytes.get(..bytes.len().min(KEPT * 4)).unwrap_or_default();
    let mut written = 0;
    for piece in head.utf8_chunks() {
        for character in piece.valid().chars() {
            if written == KEPT {
                break;
            }
            out.extend(Some(character).filter(|c| !c.is_control()));
            if character.is_control() {
                out.extend(character.escape_default());
            }
            written += 1;
        }
        for byte in piece.invalid().iter().take(KEPT - written) {
            out.extend(std::ascii::escape_default(*byte).map(char::from));
            written += 1;
        }
    }
    if written == KEPT && bytes.len() > KEPT {
        out.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_snake_case() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert!(
            names
                .iter()
                .all(|n| { n.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '8') })
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn long_values_are_shortened_and_unprintable_bytes_shown() {
        let mut out = String::new();
        shorten(&[b'x'; 500], &mut out);
        assert_eq!(out, format!("{}…", "x".repeat(60)));
        out.clear();
        shorten(b"a\xff\n\xc3\xa9", &mut out);
        assert_eq!(out, "a\\xff\\né");
    }

    #[test]
    fn a_field_fault_names_field_value_and_remedy() {
        let payload = br#"{"bid":"abc"}"#;
        let fault = Fault {
            reason: Reason::BadNumber,
            column: Some(3),
            span: (7, 12),
            want: "is not a number",
        };
        let mut out = String::new();
        fault.write(payload, "bid", "bid|b", &mut out);
        assert_eq!(out, r#"field `bid` (from bid|b): "abc" is not a number"#);
    }
}
