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
mod value;

use self::digits::Day;
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
    pace: learn::Pace,
}

/// No node, no end.
const NONE: u16 = u16::MAX;

/// A literal and the value behind it.
#[derive(Clone, Debug)]
struct Node {
    /// The first 16 bytes of the literal, zeros behind a shorter one; and which of them count.
    head: [u64; 2],
    mask: [u64; 2],
    /// The last 16 bytes of a literal longer than that.
    tail: [u64; 2],
    length: u32,
    /// Where the literal's bytes lie.
    literal: u32,
    act: Act,
    /// Place and number of further acts.
    more: (u16, u16),
    /// The next alternative to this node.
    sibling: u16,
    /// The first of the nodes that may follow.
    child: u16,
    /// What is left to do when this node ends the message; it has no value then.
    end: u16,
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
    pub(super) fn read(&self, reading: &mut Reading<'_>) -> Option<u32> {
        let (mut at, mut candidates) = (0, self.first);
        reading.memo.nulled = 0;
        reading.memo.held = [None; 2];
        loop {
            let mut index = candidates;
            let node = loop {
                let node = self.nodes.get(usize::from(index))?;
                if self.fits(node, reading.padded, at) {
                    let value = at + node.length as usize;
                    if node.end != NONE {
                        if value == reading.length {
                            return self.finish(node, reading);
                        }
                    } else if let Some(end) = self.act(node, reading, value) {
                        at = end;
                        break node;
                    }
                }
                index = node.sibling;
            };
            candidates = node.child;
        }
    }

    #[inline]
    fn fits(&self, node: &Node, padded: &[u8], at: usize) -> bool {
        let Some(head) = halves(padded, at) else {
            return false;
        };
        let differs =
            ((head[0] ^ node.head[0]) & node.mask[0]) | ((head[1] ^ node.head[1]) & node.mask[1]);
        if differs != 0 {
            return false;
        }
        let length = node.length as usize;
        if length <= 16 {
            return true;
        }
        if halves(padded, at + length - 16) != Some(node.tail) {
            return false;
        }
        length <= 32 || {
            let literal = node.literal as usize;
            let middle = self.literals.get(literal + 16..literal + length - 16);
            middle == padded.get(at + 16..at + length - 16)
        }
    }

    #[inline]
    fn act(&self, node: &Node, reading: &mut Reading<'_>, at: usize) -> Option<usize> {
        let end = reading.act(&node.act, at)?;
        if node.more.1 > 0 {
            let (first, count) = (usize::from(node.more.0), usize::from(node.more.1));
            for act in self.more.get(first..first + count)? {
                reading.act(act, at).filter(|other| *other == end)?;
            }
        }
        Some(end)
    }

    #[inline]
    fn finish(&self, node: &Node, reading: &mut Reading<'_>) -> Option<u32> {
        let end = self.ends.get(usize::from(node.end))?;
        for (column, nullable) in &end.nothing {
            reading.stage.put_nothing(*column, *nullable);
        }
        if end.dated.is_some() || !end.subject.is_empty() {
            reading.finish(end)?;
        }
        reading.stage.finish();
        Some(end.unknown)
    }
}

/// Sixteen bytes as two numbers.
#[inline]
fn halves(bytes: &[u8], at: usize) -> Option<[u64; 2]> {
    let chunk: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
    let (low, high) = chunk.split_at(8);
    let half = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
    Some([half(low), half(high)])
}
