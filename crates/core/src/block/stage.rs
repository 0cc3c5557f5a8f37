//! Rows on their way into a block: a few at a time, each column's values side by side.
//!
//! A row counts when it is finished; one that is given up is written over by the next. So a decoder
//! may write values before it knows that the message is sound, and a block's columns are appended
//! to by loops over many values of one type.

use std::ops::Range;

use super::keywords::Keywords;
use super::values::{Store, Values};
use super::words::Words;

/// Rows that are gathered at most: the values of a wide table stay in the first cache.
pub(crate) const STAGED: usize = 64;

/// Values of at most [`STAGED`] rows of one table.
#[derive(Debug)]
pub(crate) struct Stage {
    columns: Vec<Staged>,
    rows: usize,
}

/// Values of one column in 64 bits: an integer, a decimal at the column's scale, the bits of an
/// `f64`, the number of a [word](Words), or a [`span`] of bytes.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub(crate) values: [u64; STAGED],
    /// 1 for NULL; the value is then 0.
    pub(crate) nulls: [u8; STAGED],
}

impl Stage {
    pub(super) fn with_columns(columns: usize) -> Self {
        let empty = Staged { values: [0; STAGED], nulls: [0; STAGED] };
        Self { columns: vec![empty; columns], rows: 0 }
    }

    /// Finished rows.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= STAGED
    }

    /// Writes a value of the row in work.
    #[inline]
    pub(crate) fn put(&mut self, column: u16, value: u64) {
        if let Some(staged) = self.columns.get_mut(usize::from(column)) {
            staged.values[self.rows % STAGED] = value;
            staged.nulls[self.rows % STAGED] = 0;
        }
    }

    /// Writes the NULL of a nullable column, the empty text of another.
    #[inline]
    pub(crate) fn put_nothing(&mut self, column: u16, nullable: bool) {
        if let Some(staged) = self.columns.get_mut(usize::from(column)) {
            staged.values[self.rows % STAGED] = 0;
            staged.nulls[self.rows % STAGED] = nullable.into();
        }
    }

    /// Writes a value that is known to be one of the column.
    #[inline]
    pub(crate) fn put_known(&mut self, column: u16, value: u64, null: bool) {
        if let Some(staged) = self.columns.get_mut(usize::from(column)) {
            staged.values[self.rows % STAGED] = value;
            staged.nulls[self.rows % STAGED] = null.into();
        }
    }

    /// The value of a row, and whether it is NULL.
    pub(crate) fn get(&self, column: u16, row: usize) -> Option<(u64, bool)> {
        let staged = self.columns.get(usize::from(column))?;
        Some((staged.values[row % STAGED], staged.nulls[row % STAGED] == 1))
    }

    /// The row in work is finished.
    #[inline]
    pub(crate) fn finish(&mut self) {
        self.rows += 1;
    }

    /// Gives up all rows.
    pub(crate) fn clear(&mut self) {
        self.rows = 0;
    }

    /// A column's values of the finished rows, to be written before they are appended.
    pub(crate) fn column_mut(&mut self, column: usize) -> &mut [u64] {
        let rows = self.rows.min(STAGED);
        self.columns.get_mut(column).map_or(&mut [], |staged| &mut staged.values[..rows])
    }

    pub(super) fn columns(&self) -> &[Staged] {
        &self.columns
    }

    /// A column.
    #[inline]
    pub(crate) fn column(&self, column: usize) -> Option<&Staged> {
        self.columns.get(column)
    }
}

/// Bytes of an arena as a value: 40 bits of place, 24 of length; `None` for what lies beyond.
#[inline]
pub(crate) fn span(start: usize, length: usize) -> Option<u64> {
    let (start, length) = (start as u64, length as u64);
    (start < 1 << 40 && length < 1 << 24).then_some(start << 24 | length)
}

/// The bytes that a span names.
#[inline]
pub(crate) fn spanned(bytes: &[u8], span: u64) -> &[u8] {
    let start = usize::try_from(span >> 24).unwrap_or(usize::MAX);
    let length = usize::try_from(span & 0xff_ffff).unwrap_or(0);
    bytes.get(start..).and_then(|rest| rest.get(..length)).unwrap_or_default()
}

/// Where staged values are looked up.
pub(super) struct Lookup<'a> {
    pub(super) words: &'a mut Words,
    /// Of the block: see [`Words::code`].
    pub(super) generation: u64,
    /// What spans point into.
    pub(super) bytes: &'a [u8],
}

impl Values {
    /// Appends staged rows; returns the bytes they take beyond what every row takes.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a value was staged within its column's range"
    )]
    pub(super) fn append(
        &mut self,
        staged: &Staged,
        rows: Range<usize>,
        lookup: &mut Lookup<'_>,
    ) -> usize {
        let values = &staged.values[rows.clone()];
        let nulls = &staged.nulls[rows];
        if self.nullable && !matches!(self.store, Store::Keyword(_)) {
            self.nulls.extend_from_slice(nulls);
        }
        match &mut self.store {
            Store::Keyword(keywords) => {
                return keywords.append(values, self.nullable.then_some(nulls), lookup);
            }
            Store::Text(texts) => {
                let push = |value: &u64| texts.push(spanned(lookup.bytes, *value));
                return values.iter().map(push).sum();
            }
            // A message that has a map is read by the general decoder.
            Store::Map(maps) => return values.iter().map(|_| maps.push(&[])).sum(),
            Store::Int8(store)
            | Store::UInt8(store)
            | Store::Float8(store)
            | Store::Decimal8(store, _) => {
                store.extend(values.iter().map(|value| value.to_le_bytes()));
            }
            Store::Decimal16(store, _) => {
                store.extend(values.iter().map(|value| i128::from(signed(*value)).to_le_bytes()));
            }
            Store::Int4(store) | Store::UInt4(store) | Store::Decimal4(store, _) => {
                store.extend(values.iter().map(|value| (*value as u32).to_le_bytes()));
            }
            Store::Float4(store) => {
                let float = |value: &u64| (f64::from_bits(*value) as f32).to_le_bytes();
                store.extend(values.iter().map(float));
            }
            Store::Int2(store) | Store::UInt2(store) => {
                store.extend(values.iter().map(|value| (*value as u16).to_le_bytes()));
            }
            Store::Bool(store) | Store::Int1(store) | Store::UInt1(store) => {
                store.extend(values.iter().map(|value| [*value as u8]));
            }
        }
        0
    }
}

impl Keywords {
    fn append(&mut self, words: &[u64], nulls: Option<&[u8]>, lookup: &mut Lookup<'_>) -> usize {
        let mut bytes = 0;
        // Its own memory apart, since new texts go into the dictionary meanwhile.
        let mut codes = std::mem::take(&mut self.codes);
        match nulls {
            None => codes.extend(
                words.iter().map(|w| lookup.words.code(*w, lookup.generation, self, &mut bytes)),
            ),
            Some(nulls) => codes.extend(words.iter().zip(nulls).map(|(word, null)| {
                if *null == 1 {
                    super::keywords::NULL
                } else {
                    lookup.words.code(*word, lookup.generation, self, &mut bytes)
                }
            })),
        }
        self.codes = codes;
        bytes
    }
}

#[expect(clippy::cast_possible_wrap, reason = "bit for bit")]
fn signed(value: u64) -> i64 {
    value as i64
}
