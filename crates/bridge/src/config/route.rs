//! `routes`: a user's own routes, as data. Column names and types come from the live table.

use std::collections::BTreeMap;
use std::time::Duration;

/// One route of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteConfig {
    /// Its name; never that of a shipped route.
    pub name: String,
    /// Kafka topics that it reads.
    pub topics: Vec<String>,
    /// NATS subjects that it reads.
    pub subjects: Vec<String>,
    /// The table it writes.
    pub table: String,
    /// What differs from the table's own names, by column.
    pub columns: BTreeMap<String, ColumnRule>,
    /// Columns whose absence makes a message a dead letter.
    pub required: Vec<String>,
    /// Times outside are dead letters; `None`: 1970-01-01 to 24 hours from now.
    pub time_range: Option<TimeRange>,
}

/// How a column is filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ColumnRule {
    /// JSON keys, first match wins; empty: the column's own name.
    pub keys: Vec<String>,
    /// What happens to digits beyond the column's scale.
    pub excess_digits: ExcessDigits,
    /// Unit of a time; `None`: integer milliseconds, or an ISO 8601 text.
    pub time: Option<TimeUnit>,
}

/// What happens to digits beyond a column's scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExcessDigits {
    /// Rounded half-even.
    #[default]
    Round,
    /// A dead letter.
    Reject,
}

/// Unit of a time in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// An ISO 8601 text.
    Iso,
}

/// Times that a route accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeRange {
    /// The earliest.
    pub from: TimeBound,
    /// The latest.
    pub to: TimeBound,
}

/// An end of a time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBound {
    /// Milliseconds since 1970.
    At(i64),
    /// This long after the moment of decoding.
    AfterNow(Duration),
}
