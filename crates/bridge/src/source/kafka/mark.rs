//! What every commit says beside its offset: the metadata text of Kafka's `OffsetCommit`.
//!
//! Form, version 1: `b1;<topic id>;<partitions>;<began>`, for example
//! `b1;qXv3F0cJT1ad7yDn2mPZ5g;6;104200`.
//! - topic id: Kafka's own base64 text of the id, `-` where the broker has none
//! - partitions: how many the topic had when the group first saw it
//! - began: offset of the first record that the bridge was to move
//!
//! A commit without such a text was written by another program: its offset counts, the rest is
//! taken from what the topic is now.

use std::fmt;
use std::str::FromStr;

/// The metadata of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// `None`: the broker knows no topic ids.
    pub(super) topic_id: Option<String>,
    /// Partitions of the topic when the group first saw it.
    pub(super) partitions: i32,
    /// Offset where the bridge began.
    pub(super) began: u64,
}

/// A text that is not a mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAMark;

const VERSION: &str = "b1";
const NO_ID: &str = "-";

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.topic_id.as_deref().unwrap_or(NO_ID);
        write!(f, "{VERSION};{id};{};{}", self.partitions, self.began)
    }
}

impl FromStr for Mark {
    type Err = NotAMark;

    fn from_str(text: &str) -> Result<Self, NotAMark> {
        let mut parts = text.split(';');
        let mut part = || parts.next().ok_or(NotAMark);
        if part()? != VERSION {
            return Err(NotAMark);
        }
        let topic_id = match part()? {
            "" => return Err(NotAMark),
            NO_ID => None,
            id => Some(id.to_owned()),
        };
        let partitions = number(part()?)?;
        let began = number(part()?)?;
        if partitions < 1 || parts.next().is_some() {
            return Err(NotAMark);
        }
        Ok(Self { topic_id, partitions, began })
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, NotAMark> {
    // `FromStr` of integers takes a plus sign, which is never written.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotAMark);
    }
    text.parse().or(Err(NotAMark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_form_is_the_documented_one() {
        let mark =
            Mark { topic_id: Some("qXv3F0cJT1ad7yDn2mPZ5g".into()), partitions: 6, began: 104_200 };
        assert_eq!(mark.to_string(), "b1;qXv3F0cJT1ad7yDn2mPZ5g;6;104200");
    }

    #[test]
    fn what_another_program_wrote_is_not_a_mark() {
        for text in [
            "",
            "b1",
            "b2;x;6;0",
            "b1;;6;0",
            "b1;x;0;0",
            "b1;x;-6;0",
            "b1;x;6;-1",
            "b1;x;+6;1",
            "b1;x;6;",
            "b1;x;6;0;",
            "b1;x;6;18446744073709551616",
            "some consumer's own words; with; four; parts",
        ] {
            assert_eq!(text.parse::<Mark>(), Err(NotAMark), "{text:?}");
        }
    }

    /// What was written is read back as it was.
    #[test]
    fn a_mark_survives_its_text() {
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..10_000 {
            let id: String = std::iter::repeat_with(|| random.alphanumeric()).take(22).collect();
            let mark = Mark {
                topic_id: random.bool().then_some(id),
                partitions: random.i32(1..),
                began: random.u64(..) >> random.u32(..64),
            };
            assert_eq!(mark.to_string().parse::<Mark>(), Ok(mark));
        }
    }
}
