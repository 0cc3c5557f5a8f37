//! The different texts of a column, found by hash.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::texts::write_length;

/// Different texts in order of appearance; a text's code is its index.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// As they go over the wire: length, bytes, length, bytes.
    encoded: Vec<u8>,
    /// Where the bytes of each text lie in `encoded`.
    spans: Vec<Range<usize>>,
    /// Open addressing with linear probing; a power of two, at most half full.
    slots: Vec<Slot>,
    last: u32,
}

/// An entry of the hash table.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Half of the text's hash.
    tag: u32,
    code: u32,
}

/// Code in a slot without an entry.
const NONE: u32 = u32::MAX;

const FREE: Slot = Slot { tag: 0, code: NONE };

impl Dictionary {
    /// Bytes an entry takes beside its text and the length of it; two slots, since at most half of
    /// them are filled.
    pub(super) const OVERHEAD: usize = size_of::<Range<usize>>() + 2 * size_of::<Slot>();

    /// The code of a text, a new one for a new text.
    #[inline]
    pub(super) fn code(&mut self, text: &[u8]) -> u32 {
        // Most columns repeat: one source, one event type, runs of one symbol.
        if !self.is(self.last, text) {
            self.last = self.find_or_add(text);
        }
        self.last
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn get(&self, code: u32) -> &[u8] {
        &self.encoded[self.spans[code as usize].clone()]
    }

    /// Appends an entry as the wire has it.
    pub(super) fn encode(&self, code: u32, out: &mut Vec<u8>) {
        let before = code.checked_sub(1).map_or(0, |before| self.spans[before as usize].end);
        out.extend_from_slice(&self.encoded[before..self.spans[code as usize].end]);
    }

    /// Appends all entries as the wire has them.
    pub(super) fn encode_all(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encoded);
    }

    pub(super) fn clear(&mut self) {
        self.encoded.clear();
        self.spans.clear();
        self.slots.fill(FREE);
        self.last = 0;
    }

    /// Memory it holds, in bytes, used or not.
    pub(super) fn held(&self) -> usize {
        self.encoded.capacity()
            + self.spans.capacity() * size_of::<Range<usize>>()
            + self.slots.capacity() * size_of::<Slot>()
    }

    #[inline]
    fn is(&self, code: u32, text: &[u8]) -> bool {
        self.spans.get(code as usize).is_some_and(|span| same(&self.encoded[span.clone()], text))
    }

    /// The code of a text that is there.
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let tag = tag(text);
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots.get(at).filter(|slot| slot.code != NONE)?;
            if slot.tag == tag && self.is(slot.code, text) {
                return Some(slot.code);
            }
            at = (at + 1) & mask;
        }
    }

    fn find_or_add(&mut self, text: &[u8]) -> u32 {
        if self.spans.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let tag = tag(text);
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.code == NONE {
                let code = u32::try_from(self.spans.len()).expect("a block has below 2^32 rows");
                self.slots[at] = Slot { tag, code };
                write_length(text.len(), &mut self.encoded);
                self.encoded.extend_from_slice(text);
                let end = self.encoded.len();
                self.spans.push(end - text.len()..end);
                return code;
            }
            if slot.tag == tag && self.is(slot.code, text) {
                return slot.code;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let capacity = (self.slots.len() * 2).max(64);
        let old = std::mem::replace(&mut self.slots, vec![FREE; capacity]);
        for slot in old.into_iter().filter(|slot| slot.code != NONE) {
            let mut at = slot.tag as usize & (capacity - 1);
            while self.slots[at].code != NONE {
                at = (at + 1) & (capacity - 1);
            }
            self.slots[at] = slot;
        }
    }
}

/// The low half of the hash: enough for 2^31 entries.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn tag(text: &[u8]) -> u32 {
    xxh3_64(text) as u32
}

/// Equality that for symbols and origins costs no call: by first and last word, which overlap.
#[inline]
fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    match left.len() {
        4..8 => ends::<4>(left) == ends::<4>(right),
        8..=16 => ends::<8>(left) == ends::<8>(right),
        17..=32 => ends::<16>(left) == ends::<16>(right),
        _ => left == right,
    }
}

#[inline]
fn ends<const N: usize>(text: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (text.first_chunk(), text.last_chunk())
}
