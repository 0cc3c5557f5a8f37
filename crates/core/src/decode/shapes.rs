//! Shapes of messages, learned from messages: the bytes between the values, and how each value is
//! read.
//!
//! Publishers write the same keys in the same order. So what the general scanner has read once is
//! kept as a path of a tree: each node holds the literal bytes up to the next value, and what is to
//! be done with that value. A message is read along such a path: one wide compare, one typed read,
//! the next compare. Dialects that share a topic part where their literals differ.
//!
//! As strict as the general scanner: every byte is either equal to a literal that was part of a
//! sound message, or consumed by a typed read that takes no more than the general reader would.
//! Whatever does not fit (another key, an escape, a value that is no value) ends the attempt. It
//! leaves nothing behind, since a [stage](crate::block) counts finished rows only, and the general
//! decoder then reads the message and alone decides what is a dead letter, and why.

mod digits;
mod learn;
mod literal;
mod track;
mod value;

use self::digits::Day;
use self::literal::Literal;
use self::track::{Track, Traffic};
use super::plan::{Plan, TimePlan};
use crate::arena::Arena;
use crate::block::{Stage, Words};

/// What was learned of a route's messages.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    nodes: Vec<Node>,
    /// Bytes of the literals, one behind the other.
    literals: Vec<u8>,
    /// What else is done with values that fill several columns.
    more: Vec<Act>,
    ends: Vec<End>,
    /// The first of the nodes that a message may begin with.
    first: u16,
    /// Paths that are taken often, made straight.
    tracks: Vec<Track>,
    /// One per end.
    traffic: Vec<Traffic>,
    pace: learn::Pace,
    /// Messages that followed a track.
    #[cfg(test)]
    pub(super) tracked: u64,
}

/// No node, no end.
const NONE: u16 = u16::MAX;

/// A place in the tree.
#[derive(Clone, Debug)]
struct Node {
    step: Step,
    parent: u16,
    /// The next alternative to this node.
    sibling: u16,
    /// The first of the nodes that may follow.
    child: u16,
    /// What is left to do when this node ends the message; it has no value then.
    end: u16,
}

/// A literal and the value behind it.
#[derive(Clone, Copy, Debug)]
struct Step {
    literal: Literal,
    act: Act,
    /// Place and number of further acts.
    more: (u16, u16),
}

/// What is done with a value.
#[derive(Clone, Copy, Debug)]
struct Act {
    column: u16,
    /// Objects and arrays that are open around the value.
    depth: u16,
    null: OnNull,
    quick: Quick,
}

/// What `null` means for the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnNull {
    /// It is left to the general decoder.
    Refuse,
    /// The column has NULL; the empty text if it knows none.
    Nothing { nullable: bool, aliased: bool },
    /// The value stays that a less preferred key gave before.
    Keep,
}

/// How a value is read when it is what it nearly always is.
#[derive(Clone, Copy, Debug)]
enum Quick {
    /// It fills no column.
    Skip,
    /// As `Skip`, provided that the more preferred key before was not `null`.
    Covered,
    /// A text of a keyword column.
    Word,
    /// A text of a text column.
    Text,
    Decimal {
        scale: Scale,
        limit: u64,
        reject: bool,
    },
    Int {
        min: i64,
        max: i64,
    },
    Time(TimePlan),
    /// By the general reader.
    Any,
    /// A date (0) or a time of day (1) that make a time together.
    Hold(u8),
}

/// Digits behind the point that a column keeps, against the eight that are read.
#[derive(Clone, Copy, Debug)]
enum Scale {
    Eight,
    /// Fewer: what the eight are divided by.
    Fewer(u64),
    /// More: what the eight are multiplied by.
    More(u64),
}

/// What is left to do behind the last value.
#[derive(Clone, Debug, Default)]
struct End {
    /// The node of the last value, and the literal behind it.
    parent: u16,
    literal: Literal,
    /// Columns of which the message says nothing, and whether they are nullable.
    nothing: Vec<(u16, bool)>,
    /// Columns that a token of the subject fills.
    subject: Vec<(u16, usize)>,
    /// The column that a date and a time of day fill.
    dated: Option<u16>,
    /// Keys that the route does not know.
    unknown: u32,
}

/// A message on its way into a stage.
pub(super) struct Reading<'a> {
    pub(super) plan: &'a Plan,
    /// The payload and its padding.
    pub(super) padded: &'a [u8],
    pub(super) length: usize,
    /// Where the payload lies in its arena.
    pub(super) place: usize,
    pub(super) arena: &'a Arena,
    pub(super) index: usize,
    pub(super) now_ms: i64,
    /// One per column.
    pub(super) words: &'a mut [Words],
    pub(super) stage: &'a mut Stage,
    pub(super) memo: &'a mut Memo,
}

/// Memory that readings share.
#[derive(Debug, Default)]
pub(super) struct Memo {
    day: Day,
    scratch: String,
    /// Spans of a date and of a time of day.
    held: [Option<(usize, usize)>; 2],
    /// One bit per column of which a more preferred key was `null`.
    nulled: u64,
}

impl Shapes {
    /// Reads a message into the row in work and finishes it. `None` when it has no known shape or
    /// a value that is not read here; else how many keys the route does not know.
    #[inline]
    pub(super) fn read(&mut self, reading: &mut Reading<'_>) -> Option<u32> {
        reading.memo.begin();
        if let Some(unknown) = self.follow(reading) {
            #[cfg(test)]
            {
                self.tracked += 1;
            }
            return Some(unknown);
        }
        reading.memo.begin();
        let end = self.walk(reading)?;
        self.note(end, reading);
        self.ends.get(usize::from(end)).map(|end| end.unknown)
    }

    /// Reads a message along a path of the tree.
    fn walk(&self, reading: &mut Reading<'_>) -> Option<u16> {
        let (mut at, mut candidates) = (0, self.first);
        loop {
            let mut index = candidates;
            let node = loop {
                let node = self.nodes.get(usize::from(index))?;
                let literal = &node.step.literal;
                if literal.fits(&self.literals, reading.padded, at) {
                    let value = at + literal.length as usize;
                    if node.end != NONE {
                        if value == reading.length {
                            self.finish(node.end, reading)?;
                            return Some(node.end);
                        }
                    } else if let Some(end) = node.step.act(&self.more, reading, value) {
                        at = end;
                        break node;
                    }
                }
                index = node.sibling;
            };
            candidates = node.child;
        }
    }

    fn finish(&self, end: u16, reading: &mut Reading<'_>) -> Option<()> {
        let end = self.ends.get(usize::from(end))?;
        for (column, nullable) in &end.nothing {
            reading.stage.put_nothing(*column, *nullable);
        }
        reading.finish(end)?;
        reading.stage.finish();
        Some(())
    }
}

impl Step {
    /// Does what is to be done with the value at `at`; answers where it ends.
    #[inline]
    fn act(&self, more: &[Act], reading: &mut Reading<'_>, at: usize) -> Option<usize> {
        let end = reading.act(&self.act, at)?;
        if self.more.1 > 0 {
            for act in self.further(more)? {
                reading.act(act, at).filter(|other| *other == end)?;
            }
        }
        Some(end)
    }

    fn further<'m>(&self, more: &'m [Act]) -> Option<&'m [Act]> {
        let (first, count) = (usize::from(self.more.0), usize::from(self.more.1));
        more.get(first..first + count)
    }

    /// All that is done with the value.
    fn acts<'m>(&'m self, more: &'m [Act]) -> Option<impl Iterator<Item = &'m Act>> {
        Some(std::iter::once(&self.act).chain(self.further(more)?))
    }

    /// A step with these acts, of which there is at least one.
    fn new(literal: Literal, acts: &[Act], more: &mut Vec<Act>) -> Option<Self> {
        let (act, further) = acts.split_first()?;
        let place = (u16::try_from(more.len()).ok()?, u16::try_from(further.len()).ok()?);
        more.extend_from_slice(further);
        Some(Self { literal, act: *act, more: place })
    }
}

impl Act {
    /// Passes a value that fills no column, `depth` containers being open around it.
    const fn skip(depth: u16) -> Self {
        Self { column: 0, depth, null: OnNull::Refuse, quick: Quick::Skip }
    }
}

impl Memo {
    #[inline]
    fn begin(&mut self) {
        self.nulled = 0;
        self.held = [None; 2];
    }
}
