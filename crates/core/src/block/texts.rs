//! Strings of a column, held as they go over the wire: length, bytes, length, bytes.

use std::ops::Range;

/// Strings one behind the other, each with its length in front (LEB128).
///
/// So a range of rows is encoded by one copy.
#[derive(Debug, Default)]
pub(super) struct Texts {
    encoded: Vec<u8>,
    /// Where each string ends in `encoded`.
    ends: Vec<usize>,
}

impl Texts {
    /// Bytes a string takes beside its text and the length of it.
    pub(super) const OVERHEAD: usize = size_of::<usize>();

    /// Appends a string; returns the bytes it took in `encoded`.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) -> usize {
        let before = self.encoded.len();
        write_length(text.len(), &mut self.encoded);
        self.encoded.extend_from_slice(text);
        self.ends.push(self.encoded.len());
        self.encoded.len() - before
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let encoded = &self.encoded[self.span(index..index + 1)];
        let prefix = encoded.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        &encoded[prefix..]
    }

    /// Appends the strings of a range as the wire has them.
    pub(super) fn encode(&self, range: Range<usize>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encoded[self.span(range)]);
    }

    /// Appends the string at an index of `other`.
    pub(super) fn push_from(&mut self, other: &Self, index: usize) {
        self.encoded.extend_from_slice(&other.encoded[other.span(index..index + 1)]);
        self.ends.push(self.encoded.len());
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.encoded.truncate(self.span(0..len.min(self.len())).end);
        self.ends.truncate(len);
    }

    pub(super) fn held(&self) -> usize {
        self.encoded.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    fn span(&self, range: Range<usize>) -> Range<usize> {
        let at = |index: usize| if index == 0 { 0 } else { self.ends[index - 1] };
        at(range.start)..at(range.end)
    }
}

/// Appends a length as ClickHouse's `VarUInt` (LEB128).
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(super) fn write_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}
