//! A `LowCardinality` column: a dictionary in order of appearance, and a code per row.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::texts::Texts;

/// Codes of the rows of a column and the dictionary they point into.
#[derive(Debug, Default)]
pub(super) struct Keywords {
    pub(super) codes: Vec<u32>,
    dictionary: Dictionary,
}

/// Code of a row that is NULL.
const NULL: u32 = u32::MAX;

impl Keywords {
    /// Bytes a dictionary entry takes beside its text: where it ends, and twice its slot, since at
    /// most half of them are filled.
    const ENTRY: usize = Texts::OVERHEAD + 2 * size_of::<Slot>();

    /// Appends a row; returns the bytes of a dictionary entry it made, 0 when there was one.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) -> usize {
        let before = self.dictionary.texts.len();
        let code = self.dictionary.code(text);
        self.codes.push(code);
        if self.dictionary.texts.len() == before {
            0
        } else {
            text.len() + 1 + Self::ENTRY
        }
    }

    pub(super) fn push_null(&mut self) {
        self.codes.push(NULL);
    }

    /// The text of a row; empty for NULL.
    pub(super) fn get(&self, row: usize) -> &[u8] {
        match self.codes[row] {
            NULL => &[],
            code => self.dictionary.texts.get(code as usize),
        }
    }

    /// Per row, the rank of its text in byte order; NULL comes last, as in `ClickHouse`.
    pub(super) fn ranks(&self) -> (Vec<u32>, u32) {
        let texts = &self.dictionary.texts;
        let count = u32::try_from(texts.len()).expect("a block has at most 2^32 rows");
        let mut by_text: Vec<u32> = (0..count).collect();
        by_text.sort_unstable_by_key(|code| texts.get(*code as usize));
        let mut rank_of = vec![0; texts.len()];
        for (rank, code) in (0..count).zip(&by_text) {
            rank_of[*code as usize] = rank;
        }
        let rank = |code: &u32| {
            if *code == NULL {
                count
            } else {
                rank_of[*code as usize]
            }
        };
        (self.codes.iter().map(rank).collect(), count + 1)
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.codes.truncate(rows);
    }

    pub(super) fn clear(&mut self) {
        self.codes.clear();
        self.dictionary.clear();
    }

    pub(super) fn held(&self) -> usize {
        self.codes.capacity() * size_of::<u32>() + self.dictionary.held()
    }

    /// Appends rows as `ClickHouse` writes them: one dictionary of its own per block.
    ///
    /// Layout from `SerializationLowCardinality`: version of the keys (1), then the width of the
    /// codes with flags, count and texts of the dictionary, count and codes of the rows. In a
    /// nullable column the first entry of the dictionary stands for NULL.
    pub(super) fn encode(&self, rows: Range<usize>, nullable: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&1_u64.to_le_bytes());
        let whole = rows == (0..self.codes.len()) && !nullable;
        let codes = &self.codes[rows];
        let compact = (!whole).then(|| Compact::new(codes, self.dictionary.texts.len(), nullable));
        let entries = compact
            .as_ref()
            .map_or(self.dictionary.texts.len(), Compact::entries);
        let width = if u8::try_from(entries - 1).is_ok() {
            Width::One
        } else if u16::try_from(entries - 1).is_ok() {
            Width::Two
        } else {
            Width::Four
        };

        out.extend_from_slice(&(OWN_DICTIONARY | width as u64).to_le_bytes());
        out.extend_from_slice(&(entries as u64).to_le_bytes());
        match &compact {
            None => self.dictionary.texts.encode(0..entries, out),
            Some(compact) => {
                if nullable {
                    out.push(0);
                }
                for code in &compact.used {
                    let code = *code as usize;
                    self.dictionary.texts.encode(code..code + 1, out);
                }
            }
        }

        out.extend_from_slice(&(codes.len() as u64).to_le_bytes());
        match &compact {
            None => width.write(codes.iter().copied(), out),
            Some(compact) => width.write(codes.iter().map(|code| compact.code(*code)), out),
        }
    }
}

/// `HasAdditionalKeysBit` and `NeedUpdateDictionary` of `SerializationLowCardinality`.
const OWN_DICTIONARY: u64 = 1 << 9 | 1 << 10;

/// Width of the codes on the wire; the number is the one `ClickHouse` gives it.
#[derive(Clone, Copy)]
enum Width {
    One = 0,
    Two = 1,
    Four = 2,
}

impl Width {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the width holds the greatest code"
    )]
    fn write(self, codes: impl ExactSizeIterator<Item = u32>, out: &mut Vec<u8>) {
        match self {
            Self::One => out.extend(codes.map(|code| code as u8)),
            Self::Two => fill(out, codes, |code| (code as u16).to_le_bytes()),
            Self::Four => fill(out, codes, u32::to_le_bytes),
        }
    }
}

/// Appends fixed-width values in one pass over memory that is there already.
fn fill<const N: usize>(
    out: &mut Vec<u8>,
    codes: impl ExactSizeIterator<Item = u32>,
    bytes: impl Fn(u32) -> [u8; N],
) {
    let start = out.len();
    out.resize(start + codes.len() * N, 0);
    let (target, _) = out[start..].as_chunks_mut::<N>();
    for (target, code) in target.iter_mut().zip(codes) {
        *target = bytes(code);
    }
}

/// The part of a dictionary that some rows use, in order of appearance.
struct Compact {
    used: Vec<u32>,
    new_code: Vec<u32>,
    /// 1 when the first entry stands for NULL.
    shift: u32,
}

impl Compact {
    fn new(codes: &[u32], entries: usize, nullable: bool) -> Self {
        let shift = u32::from(nullable);
        let mut used = Vec::new();
        let mut new_code = vec![NULL; entries];
        let mut next = shift;
        for code in codes.iter().filter(|code| **code != NULL) {
            let slot = &mut new_code[*code as usize];
            if *slot == NULL {
                *slot = next;
                next += 1;
                used.push(*code);
            }
        }
        Self {
            used,
            new_code,
            shift,
        }
    }

    fn entries(&self) -> usize {
        self.used.len() + self.shift as usize
    }

    fn code(&self, code: u32) -> u32 {
        if code == NULL {
            0
        } else {
            self.new_code[code as usize]
        }
    }
}

/// Different texts in order of appearance, found by hash.
#[derive(Debug, Default)]
struct Dictionary {
    texts: Texts,
    /// Open addressing with linear probing; a power of two, at most half full.
    slots: Vec<Slot>,
    last: u32,
}

/// An entry of the hash table; `code` is [`NULL`] when it is free.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    code: u32,
}

const FREE: Slot = Slot { tag: 0, code: NULL };

impl Dictionary {
    /// The code of a text, a new one for a new text.
    #[inline]
    fn code(&mut self, text: &[u8]) -> u32 {
        // Most columns repeat: one source, one event type, runs of one symbol.
        if self.texts.len() > 0 && self.texts.get(self.last as usize) == text {
            return self.last;
        }
        self.last = self.find_or_add(text);
        self.last
    }

    fn find_or_add(&mut self, text: &[u8]) -> u32 {
        if self.texts.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let tag = tag(text);
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.code == NULL {
                let code = u32::try_from(self.texts.len()).expect("a block has at most 2^32 rows");
                self.slots[at] = Slot { tag, code };
                self.texts.push(text);
                return code;
            }
            if slot.tag == tag && self.texts.get(slot.code as usize) == text {
                return slot.code;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let capacity = (self.slots.len() * 2).max(64);
        let old = std::mem::replace(&mut self.slots, vec![FREE; capacity]);
        for slot in old.into_iter().filter(|slot| slot.code != NULL) {
            let mut at = slot.tag as usize & (capacity - 1);
            while self.slots[at].code != NULL {
                at = (at + 1) & (capacity - 1);
            }
            self.slots[at] = slot;
        }
    }

    fn clear(&mut self) {
        self.texts.truncate(0);
        self.slots.fill(FREE);
        self.last = 0;
    }

    fn held(&self) -> usize {
        self.texts.held() + self.slots.capacity() * size_of::<Slot>()
    }
}

/// The low half of the hash: enough for 2^31 entries, and half the memory.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn tag(text: &[u8]) -> u32 {
    xxh3_64(text) as u32
}
