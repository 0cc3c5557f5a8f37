//! Messages that were deleted before they were delivered, as the consumer's metadata remembers them:
//! an audit names them long after the instance that noticed is gone.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The note's key.
pub(super) const KEY: &str = "data_bridge_lost";
/// Ranges that are told apart; beyond, the closest become one.
const MOST: usize = 200;

/// Sequences of which nobody was given all messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSequences {
    /// From the first to behind the last.
    pub sequences: Range<u64>,
    /// Messages among them that were never delivered.
    pub messages: u64,
}

/// All of a consumer, in order; none touches another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses(Vec<LostSequences>);

impl Losses {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_ranges(self) -> Vec<LostSequences> {
        self.0
    }

    /// Adds what was lost. Instances notice the same loss each on its own and with edges of their
    /// own, so what overlaps is one loss, and the larger count holds.
    pub(super) fn add(&mut self, lost: LostSequences) {
        self.0.push(lost);
        self.0.sort_by_key(|lost| lost.sequences.start);
        let mut merged: Vec<LostSequences> = Vec::with_capacity(self.0.len());
        for next in self.0.drain(..) {
            match merged.last_mut() {
                Some(last) if next.sequences.start < last.sequences.end => {
                    last.sequences.end = last.sequences.end.max(next.sequences.end);
                    last.messages = last.messages.max(next.messages);
                }
                Some(last) if next.sequences.start == last.sequences.end => {
                    last.sequences.end = next.sequences.end;
                    last.messages += next.messages;
                }
                Some(_) | None => merged.push(next),
            }
        }
        while merged.len() > MOST {
            let gap = |at: &usize| merged[at + 1].sequences.start - merged[*at].sequences.end;
            let Some(closest) = (0..merged.len() - 1).min_by_key(gap) else {
                break;
            };
            let next = merged.remove(closest + 1);
            merged[closest].sequences.end = next.sequences.end;
            merged[closest].messages += next.messages;
        }
        self.0 = merged;
    }

    pub(super) fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|lost| self.add(lost));
    }

    /// Whether this loss is known already.
    pub(super) fn covers(&self, sequences: &Range<u64>) -> bool {
        self.0.iter().any(|known| {
            known.sequences.start <= sequences.start && known.sequences.end >= sequences.end
        })
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, LostSequences { sequences, messages }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}-{}:{messages}", sequences.start, sequences.end)?;
        }
        Ok(())
    }
}

impl FromStr for Losses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut losses = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let read = || {
                let (range, messages) = part.split_once(':')?;
                let (start, end) = range.split_once('-')?;
                let sequences = start.parse().ok()?..end.parse().ok()?;
                Some(LostSequences { sequences, messages: messages.parse().ok()? })
            };
            losses.add(read().ok_or_else(|| format!("`{part}` is no lost range"))?);
        }
        Ok(losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(start: u64, end: u64, messages: u64) -> LostSequences {
        LostSequences { sequences: start..end, messages }
    }

    #[test]
    fn the_same_loss_is_one_and_two_that_touch_add_up() {
        let mut losses: Losses = "101-501:400,900-910:10".parse().unwrap();
        losses.add(lost(121, 501, 380));
        assert_eq!(losses.to_string(), "101-501:400,900-910:10");
        losses.add(lost(501, 511, 7));
        assert_eq!(losses.to_string(), "101-511:407,900-910:10");
        assert!(losses.covers(&(101..511)) && losses.covers(&(900..901)));
        assert!(!losses.covers(&(500..512)) && !losses.covers(&(511..512)));
        assert_eq!(losses.to_string().parse(), Ok(losses));
        assert_eq!("".parse(), Ok(Losses::default()));
        for bad in ["x", "1-2", "1:2", "1-x:3"] {
            assert!(bad.parse::<Losses>().is_err(), "{bad}");
        }
    }

    #[test]
    fn of_very_many_the_closest_become_one() {
        let mut losses = Losses::default();
        for at in 0..1_000 {
            losses.add(lost(at * 10, at * 10 + 3, 3));
        }
        let ranges = losses.into_ranges();
        assert_eq!(ranges.len(), MOST);
        assert_eq!(ranges.iter().map(|lost| lost.messages).sum::<u64>(), 3_000);
    }
}
