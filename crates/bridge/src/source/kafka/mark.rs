//! What every commit says beside its offset: the metadata text of Kafka's `OffsetCommit`.
//!
//! Form, version 1: `b1;<topic id>;<partitions>;<began>`, for example
//! `b1;qXv3F0cJT1ad7yDn2mPZ5g;6;104200`.
//! - topic id: Kafka's own base64 text of the id, `-` where the broker has none
//! - partitions: how many the topic had when the group first saw it
//! - began: offset of the first record that the bridge was to move
//!
//! Where retention was faster than the bridge, a fifth part names the offsets that were deleted
//! unread, so that an audit can tell of them later: `b1;qXv3F0cJT1ad7yDn2mPZ5g;6;104200;300-450,700-800`
//! (the second number of each is the first offset that is not lost).
//!
//! A commit without such a text was written by another program: its offset counts, the rest is
//! taken from what the topic is now.

use std::fmt;
use std::ops::Range;
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
    /// Offsets that were deleted before they could be read: apart from each other, in order.
    pub(super) lost: Vec<Range<u64>>,
}

/// Ranges that a mark keeps; the oldest go first. Brokers take 4,096 bytes of metadata by default,
/// and a range takes at most 42.
const MOST_LOST: usize = 64;

impl Mark {
    /// Remembers a range that was lost; one that touches a known range becomes one with it.
    pub(super) fn lose(&mut self, range: Range<u64>) {
        self.lost.push(range);
        self.lost.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<u64>> = Vec::with_capacity(self.lost.len());
        for range in self.lost.drain(..) {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                Some(_) | None => apart.push(range),
            }
        }
        let too_many = apart.len().saturating_sub(MOST_LOST);
        apart.drain(..too_many);
        self.lost = apart;
    }
}

/// A text that is not a mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAMark;

const VERSION: &str = "b1";
const NO_ID: &str = "-";

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.topic_id.as_deref().unwrap_or(NO_ID);
        write!(f, "{VERSION};{id};{};{}", self.partitions, self.began)?;
        for (index, lost) in self.lost.iter().enumerate() {
            let before = if index == 0 { ';' } else { ',' };
            write!(f, "{before}{}-{}", lost.start, lost.end)?;
        }
        Ok(())
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
        let lost = match parts.next() {
            Some(list) => list.split(',').map(range).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        if partitions < 1 || parts.next().is_some() {
            return Err(NotAMark);
        }
        Ok(Self { topic_id, partitions, began, lost })
    }
}

fn range(text: &str) -> Result<Range<u64>, NotAMark> {
    let (start, end) = text.split_once('-').ok_or(NotAMark)?;
    let range = number(start)?..number(end)?;
    if range.is_empty() { Err(NotAMark) } else { Ok(range) }
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
        let mut mark = Mark {
            topic_id: Some("qXv3F0cJT1ad7yDn2mPZ5g".into()),
            partitions: 6,
            began: 104_200,
            lost: Vec::new(),
        };
        assert_eq!(mark.to_string(), "b1;qXv3F0cJT1ad7yDn2mPZ5g;6;104200");
        mark.lose(200_000..200_500);
        mark.lose(150_000..150_001);
        let text = "b1;qXv3F0cJT1ad7yDn2mPZ5g;6;104200;150000-150001,200000-200500";
        assert_eq!(mark.to_string(), text);
    }

    /// A crash between the loss and its commit finds the same loss again, and more of it.
    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
    fn ranges_that_touch_become_one_and_the_oldest_are_forgotten_first() {
        let mut mark = Mark { topic_id: None, partitions: 1, began: 0, lost: Vec::new() };
        mark.lose(10..20);
        mark.lose(30..40);
        mark.lose(15..25);
        assert_eq!(mark.lost, [10..25, 30..40]);
        mark.lose(25..30);
        assert_eq!(mark.lost, [10..40]);
        for start in 1_u64..200 {
            mark.lose(start * 100..start * 100 + 1);
        }
        assert_eq!(mark.lost.len(), MOST_LOST);
        assert_eq!(mark.lost.last(), Some(&(19_900..19_901)));
        let most = u64::MAX - 1_000;
        for start in 0..200 {
            mark.lose(most + start * 3..most + start * 3 + 1);
        }
        assert!(mark.to_string().len() < 4_096, "what a broker takes");
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
            "b1;x;6;0;7",
            "b1;x;6;0;7-7",
            "b1;x;6;0;7-8,",
            "b1;x;6;0;7-8;",
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
            let mut mark = Mark {
                topic_id: random.bool().then_some(id),
                partitions: random.i32(1..),
                began: random.u64(..) >> random.u32(..64),
                lost: Vec::new(),
            };
            for _ in 0..random.u32(..4) {
                let start = random.u64(..1 << 40);
                mark.lose(start..start + random.u64(1..1 << 40));
            }
            assert_eq!(mark.to_string().parse::<Mark>(), Ok(mark));
        }
    }
}
