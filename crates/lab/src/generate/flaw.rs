//! What can be wrong with a message.

use std::fmt;

use crate::plan::Kind;

/// Why a planted message is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// The payload ends too early.
    Truncated,
    /// The payload breaks the grammar of JSON: a trailing comma, `01.5`, a key without quotes.
    Syntax,
    /// Bytes after the object.
    TrailingBytes,
    /// JSON, but not an object.
    NotAnObject,
    /// Random bytes.
    Garbage,
    /// A payload of no bytes.
    EmptyValue,
    /// No payload.
    Tombstone,
    /// Objects in arrays in objects, 10,000 deep.
    DeepNesting,
    /// Bytes that are not UTF-8 inside a text.
    InvalidUtf8,
    /// A raw control character inside a text.
    ControlCharacter,
    /// An escape that does not exist, or half of a surrogate pair.
    BadEscape,
    /// A required field is not there.
    MissingRequired,
    /// A required field is null.
    NullRequired,
    /// A required field is an empty text.
    EmptyRequired,
    /// A field is `true`, an object or an array where a number is wanted.
    WrongType,
    /// A number is `NaN` or an infinity.
    NotFinite,
    /// A number is a text that is no number.
    NotANumber,
    /// A number does not fit its column.
    OutOfRange,
    /// A whole number has a fraction.
    Fraction,
    /// A time that is none.
    UnreadableTime,
    /// A time outside of what the route takes.
    TimeRange,
    /// A timeframe that nobody knows.
    UnknownTimeframe,
    /// An envelope without `data`.
    NoData,
}

impl Flaw {
    /// All flaws.
    pub const ALL: [Self; 23] = [
        Self::Truncated,
        Self::Syntax,
        Self::TrailingBytes,
        Self::NotAnObject,
        Self::Garbage,
        Self::EmptyValue,
        Self::Tombstone,
        Self::DeepNesting,
        Self::InvalidUtf8,
        Self::ControlCharacter,
        Self::BadEscape,
        Self::MissingRequired,
        Self::NullRequired,
        Self::EmptyRequired,
        Self::WrongType,
        Self::NotFinite,
        Self::NotANumber,
        Self::OutOfRange,
        Self::Fraction,
        Self::UnreadableTime,
        Self::TimeRange,
        Self::UnknownTimeframe,
        Self::NoData,
    ];

    /// Flaws that a message of `kind` can have.
    #[must_use]
    pub fn of(kind: Kind) -> &'static [Self] {
        match kind {
            // All but the timeframe and the envelope.
            Kind::Tick => &Self::ALL[..21],
            Kind::Candle => &Self::ALL[..22],
            // Nothing but the time of an external is required; it may be absent, too.
            Kind::EconomicCalendar
            | Kind::FredEconomic
            | Kind::CryptoSentiment
            | Kind::FearGreedIndex
            | Kind::CommodityPrices
            | Kind::MarketSessions => &EXTERNAL,
        }
    }
}

impl Flaw {
    /// This flaw, or another where NATS cannot carry it: it has no tombstones, and what is absent
    /// may stand in the subject.
    pub(super) fn by_nats(self) -> Self {
        match self {
            Self::Tombstone => Self::EmptyValue,
            Self::MissingRequired | Self::NullRequired | Self::EmptyRequired => Self::Truncated,
            other => other,
        }
    }

    /// What the column `reason` may say of it, the best first.
    #[must_use]
    pub fn reasons(self) -> &'static [&'static str] {
        match self {
            // Cut inside a number or a literal, the rest of it is no JSON either.
            Self::Truncated => &["truncated", "not_json"],
            Self::TrailingBytes => &["trailing_bytes", "invalid_utf8"],
            Self::NotAnObject => &["not_an_object", "truncated", "not_json"],
            Self::Garbage => &["invalid_utf8", "not_json", "not_an_object"],
            Self::EmptyValue => &["empty_value"],
            Self::Tombstone => &["tombstone"],
            Self::DeepNesting => &["too_deep"],
            Self::InvalidUtf8 => &["invalid_utf8"],
            Self::ControlCharacter => &["control_character"],
            Self::Syntax | Self::BadEscape => &["not_json"],
            Self::MissingRequired | Self::NullRequired => &["missing_field"],
            Self::EmptyRequired => &["empty_field"],
            Self::WrongType => &["wrong_type"],
            // Without quotes it is no JSON.
            Self::NotFinite => &["bad_number", "not_json"],
            Self::NotANumber | Self::Fraction => &["bad_number"],
            Self::OutOfRange => &["out_of_range"],
            Self::UnreadableTime => &["bad_time"],
            Self::TimeRange => &["time_out_of_range"],
            Self::UnknownTimeframe => &["unknown_timeframe"],
            Self::NoData => &["missing_field", "wrong_type"],
        }
    }
}

static EXTERNAL: [Flaw; 17] = [
    Flaw::Truncated,
    Flaw::Syntax,
    Flaw::TrailingBytes,
    Flaw::NotAnObject,
    Flaw::Garbage,
    Flaw::EmptyValue,
    Flaw::Tombstone,
    Flaw::DeepNesting,
    Flaw::InvalidUtf8,
    Flaw::ControlCharacter,
    Flaw::BadEscape,
    Flaw::MissingRequired,
    Flaw::NullRequired,
    Flaw::EmptyRequired,
    Flaw::UnreadableTime,
    Flaw::TimeRange,
    Flaw::NoData,
];

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
