//! One end of a window, as people write it.

use std::fmt;
use std::str::FromStr;

/// One end of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The first record of this time or later, in ms since 1970.
    Time(i64),
    /// The record with this offset, in each partition of a topic.
    Offset(u64),
    /// The message with this number in the stream.
    Sequence(u64),
}

/// What would have been right.
const WANTED: &str = "write a time such as 2024-01-25T16:00:00Z, an offset such as offset:104200, \
                      or a sequence such as seq:104200";

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |number: &str, what: &str| {
            number.parse().map_err(|_not_a_number| format!("`{number}` is no {what}: {WANTED}"))
        };
        if let Some(offset) = text.strip_prefix("offset:") {
            return number(offset, "offset").map(Self::Offset);
        }
        if let Some(sequence) = text.strip_prefix("seq:") {
            return number(sequence, "sequence").map(Self::Sequence);
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::Time(time.as_millisecond()));
        }
        // The usual slip: no zone. A window of another hour than meant is worse than a question.
        if text.parse::<jiff::civil::DateTime>().is_ok() {
            return Err(format!("`{text}` has no time zone: {WANTED}"));
        }
        Err(WANTED.to_owned())
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(ms) => match jiff::Timestamp::from_millisecond(*ms) {
                Ok(time) => time.fmt(f),
                Err(_) => write!(f, "{ms} ms"),
            },
            Self::Offset(offset) => write!(f, "offset:{offset}"),
            Self::Sequence(sequence) => write!(f, "seq:{sequence}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_offsets_and_sequences_are_read() {
        assert_eq!("offset:0".parse(), Ok(Bound::Offset(0)));
        assert_eq!("offset:104200".parse(), Ok(Bound::Offset(104_200)));
        assert_eq!("seq:104200".parse(), Ok(Bound::Sequence(104_200)));
        assert_eq!(Bound::Sequence(5).to_string(), "seq:5");
        for text in
            ["2024-01-25T16:00:00Z", "2024-01-25 17:00:00+01:00", "2024-01-25T16:00:00.000Z"]
        {
            assert_eq!(text.parse(), Ok(Bound::Time(1_706_198_400_000)), "{text}");
        }
        assert_eq!(Bound::Time(1_706_198_400_123).to_string(), "2024-01-25T16:00:00.123Z");
    }

    #[test]
    fn what_is_no_bound_is_refused_with_what_would_be_right() {
        for text in [
            "",
            "offset:",
            "offset:-1",
            "offset:1.5",
            "offset:x",
            "offset: 1",
            "12",
            "seq:",
            "seq:-5",
            "yesterday",
            "2024-01-25",
            "2024-01-25T16:00:00",
            "2024-13-01T00:00:00Z",
        ] {
            let refused = text.parse::<Bound>().expect_err(text);
            assert!(refused.contains("2024-01-25T16:00:00Z"), "{text}: {refused}");
        }
        let zoneless = "2024-01-25T16:00:00".parse::<Bound>().expect_err("no zone");
        assert!(zoneless.contains("has no time zone"), "{zoneless}");
    }
}
