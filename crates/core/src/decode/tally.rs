//! What came of a chunk: rows per shelf, refusals per reason.

use super::Reason;
use crate::block::Pushed;
use crate::engine::Part;

/// What came of one or more chunks; the caller clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Where the rows went, dead letters included; one entry per shelf, in order of first use.
    pub parts: Vec<Part>,
    /// Rows of the route's own table.
    pub decoded: u32,
    /// Dead letters by reason, in order of first use.
    pub dead: Vec<(Reason, u32)>,
    /// Fields that the route does not know.
    pub unknown_fields: u64,
}

impl Tally {
    /// As new, with the memory kept.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.decoded = 0;
        self.dead.clear();
        self.unknown_fields = 0;
    }

    /// Dead letters of all reasons.
    #[must_use]
    pub fn dead_letters(&self) -> u32 {
        self.dead.iter().map(|(_, count)| count).sum()
    }

    /// Counts a row that was put on a shelf. A chunk has few shelves, and mostly the last one is
    /// meant again.
    #[inline]
    pub(super) fn add_row(&mut self, pushed: Pushed) {
        self.add_rows(1, pushed);
    }

    /// Counts rows that were put on one shelf.
    #[inline]
    pub(super) fn add_rows(&mut self, rows: u32, pushed: Pushed) {
        match self.parts.iter_mut().rev().find(|part| part.shelf == pushed.shelf) {
            Some(part) => {
                part.rows += rows;
                part.bytes += pushed.bytes;
            }
            None => self.parts.push(Part { shelf: pushed.shelf, rows, bytes: pushed.bytes }),
        }
    }

    /// Counts a dead letter.
    pub(super) fn add_dead(&mut self, reason: Reason, part: Part) {
        self.add_row(Pushed { shelf: part.shelf, bytes: part.bytes });
        match self.dead.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.dead.push((reason, 1)),
        }
    }
}
