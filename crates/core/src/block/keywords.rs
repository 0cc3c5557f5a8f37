//! A `LowCardinality` column: a dictionary in order of appearance, and a code per row.

use std::cmp::Ordering;
use std::ops::Range;

use super::dictionary::Dictionary;

/// Codes of the rows of a column and the dictionary they point into.
#[derive(Debug, Default)]
pub(super) struct Keywords {
    pub(super) codes: Vec<u32>,
    dictionary: Dictionary,
}

/// Code of a row that is NULL.
pub(super) const NULL: u32 = u32::MAX;

impl Keywords {
    /// Appends a row; returns the bytes of a dictionary entry it made, 0 when there was one.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) -> usize {
        let (code, bytes) = self.code(text);
        self.codes.push(code);
        bytes
    }

    /// The code of a text, and the bytes of the entry that was made for it.
    #[inline]
    pub(super) fn code(&mut self, text: &[u8]) -> (u32, usize) {
        let before = self.dictionary.len();
        let code = self.dictionary.code(text);
        (code, if self.dictionary.len() == before { 0 } else { text.len() + Dictionary::OVERHEAD })
    }

    pub(super) fn push_null(&mut self) {
        self.codes.push(NULL);
    }

    /// The text of a row; empty for NULL.
    pub(super) fn get(&self, row: usize) -> &[u8] {
        match self.codes[row] {
            NULL => &[],
            code => self.dictionary.get(code),
        }
    }

    /// The texts, by code.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.dictionary.len()).map(|code| {
            self.dictionary.get(u32::try_from(code).expect("a block has below 2^32 rows"))
        })
    }

    /// Order of two rows by text; NULL comes last, as in ClickHouse.
    pub(super) fn compare(&self, left: usize, right: usize) -> Ordering {
        let (left, right) = (self.codes[left], self.codes[right]);
        if left == right || left == NULL || right == NULL {
            return left.cmp(&right);
        }
        self.dictionary.get(left).cmp(self.dictionary.get(right))
    }

    /// Per row, the rank of its text in byte order, NULL last; and how many ranks there are.
    pub(super) fn ranks(&self) -> (Vec<u32>, u32) {
        let texts = &self.dictionary;
        let count = u32::try_from(texts.len()).expect("a block has below 2^32 rows");
        let mut by_text: Vec<u32> = (0..count).collect();
        by_text.sort_unstable_by_key(|code| texts.get(*code));
        let mut rank_of = vec![0; texts.len()];
        for (rank, code) in (0..count).zip(&by_text) {
            rank_of[*code as usize] = rank;
        }
        let rank = |code: &u32| {
            if *code == NULL { count } else { rank_of[*code as usize] }
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

    /// Appends rows as ClickHouse writes them: one dictionary of its own per block.
    ///
    /// Layout from `SerializationLowCardinality`: version of the keys (1), then the width of the
    /// codes with flags, count and texts of the dictionary, count and codes of the rows. In a
    /// nullable column the first entry of the dictionary stands for NULL.
    pub(super) fn encode(&self, rows: Range<usize>, nullable: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&1_u64.to_le_bytes());
        let whole = rows == (0..self.codes.len()) && !nullable;
        let codes = &self.codes[rows];
        let compact = (!whole).then(|| Compact::new(codes, self.dictionary.len(), nullable));
        let entries = compact.as_ref().map_or(self.dictionary.len(), Compact::entries);
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
            None => self.dictionary.encode_all(out),
            Some(compact) => {
                if nullable {
                    out.push(0);
                }
                for code in &compact.used {
                    self.dictionary.encode(*code, out);
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

/// Width of the codes on the wire; the number is the one ClickHouse gives it.
#[derive(Clone, Copy)]
enum Width {
    One = 0,
    Two = 1,
    Four = 2,
}

impl Width {
    #[expect(clippy::cast_possible_truncation, reason = "the width holds the greatest code")]
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
        Self { used, new_code, shift }
    }

    fn entries(&self) -> usize {
        self.used.len() + self.shift as usize
    }

    fn code(&self, code: u32) -> u32 {
        if code == NULL { 0 } else { self.new_code[code as usize] }
    }
}
