//! The values of one column, in the bytes that `ClickHouse` reads.

use std::cmp::Ordering;
use std::ops::Range;

use super::cell::{Cell, Wide};
use super::keywords::Keywords;
use super::texts::Texts;
use crate::catalog::{Column, ColumnType};

/// Values of a column and which of them are NULL.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) nullable: bool,
    /// 1 where the row is NULL; empty for columns without NULL, and for keywords, which have a
    /// code for it.
    nulls: Vec<u8>,
    pub(super) store: Store,
}

/// Little-endian values by what they are and by their width in bytes.
#[derive(Debug)]
pub(super) enum Store {
    Keyword(Keywords),
    Text(Texts),
    Map(Maps),
    Bool(Vec<[u8; 1]>),
    Int1(Vec<[u8; 1]>),
    Int2(Vec<[u8; 2]>),
    Int4(Vec<[u8; 4]>),
    Int8(Vec<[u8; 8]>),
    UInt1(Vec<[u8; 1]>),
    UInt2(Vec<[u8; 2]>),
    UInt4(Vec<[u8; 4]>),
    UInt8(Vec<[u8; 8]>),
    Float4(Vec<[u8; 4]>),
    Float8(Vec<[u8; 8]>),
    /// Decimals with the first integer that has too many digits.
    Decimal4(Vec<[u8; 4]>, i64),
    Decimal8(Vec<[u8; 8]>, i64),
    Decimal16(Vec<[u8; 16]>, i128),
}

/// A map column: where each row's entries end, and all keys and values.
#[derive(Debug, Default)]
pub(super) struct Maps {
    ends: Vec<usize>,
    keys: Texts,
    values: Texts,
}

/// Runs the same lines on the vector of any fixed-width store.
macro_rules! match_store {
    ($store:expr, $fixed:ident => $do_fixed:expr, $($other:tt)*) => {
        match $store {
            Store::Bool($fixed) | Store::Int1($fixed) | Store::UInt1($fixed) => $do_fixed,
            Store::Int2($fixed) | Store::UInt2($fixed) => $do_fixed,
            Store::Int4($fixed)
            | Store::UInt4($fixed)
            | Store::Float4($fixed)
            | Store::Decimal4($fixed, _) => $do_fixed,
            Store::Int8($fixed)
            | Store::UInt8($fixed)
            | Store::Float8($fixed)
            | Store::Decimal8($fixed, _) => $do_fixed,
            Store::Decimal16($fixed, _) => $do_fixed,
            $($other)*
        }
    };
}

/// The cell is not a value of the column.
#[derive(Debug)]
pub(super) struct Unfit;

impl Values {
    pub(super) fn new(column: &Column) -> Self {
        let store = match column.kind {
            ColumnType::Keyword => Store::Keyword(Keywords::default()),
            ColumnType::Text => Store::Text(Texts::default()),
            ColumnType::TextMap => Store::Map(Maps::default()),
            ColumnType::Bool => Store::Bool(Vec::new()),
            ColumnType::Int8 => Store::Int1(Vec::new()),
            ColumnType::Int16 => Store::Int2(Vec::new()),
            ColumnType::Int32 => Store::Int4(Vec::new()),
            ColumnType::Int64 | ColumnType::Time { .. } => Store::Int8(Vec::new()),
            ColumnType::UInt8 => Store::UInt1(Vec::new()),
            ColumnType::UInt16 => Store::UInt2(Vec::new()),
            ColumnType::UInt32 => Store::UInt4(Vec::new()),
            ColumnType::UInt64 => Store::UInt8(Vec::new()),
            ColumnType::Float32 => Store::Float4(Vec::new()),
            ColumnType::Float64 => Store::Float8(Vec::new()),
            // Widths of ClickHouse's Decimal32, Decimal64 and Decimal128.
            ColumnType::Decimal {
                precision: precision @ 0..=9,
                ..
            } => Store::Decimal4(Vec::new(), 10_i64.pow(precision.into())),
            ColumnType::Decimal {
                precision: precision @ 10..=18,
                ..
            } => Store::Decimal8(Vec::new(), 10_i64.pow(precision.into())),
            ColumnType::Decimal { precision, .. } => {
                Store::Decimal16(Vec::new(), 10_i128.pow(precision.into()))
            }
        };
        Self {
            nullable: column.nullable,
            nulls: Vec::new(),
            store,
        }
    }

    /// Bytes that each row takes, whatever its value.
    pub(super) fn row_bytes(&self) -> usize {
        let value = match_store!(&self.store,
            fixed => bytes_of_one(fixed),
            Store::Keyword(_) => return size_of::<u32>(),
            Store::Text(_) => Texts::OVERHEAD,
            Store::Map(_) => size_of::<usize>(),
        );
        value + usize::from(self.nullable)
    }

    /// Appends a row; returns the bytes it takes beyond [`row_bytes`](Self::row_bytes).
    ///
    /// After `Unfit` the column may have a row too many.
    #[inline]
    pub(super) fn push(&mut self, cell: Cell<'_>) -> Result<usize, Unfit> {
        if self.nullable {
            let null = cell == Cell::Null;
            if let Store::Keyword(keywords) = &mut self.store {
                if null {
                    keywords.push_null();
                    return Ok(0);
                }
            } else {
                self.nulls.push(null.into());
                if null {
                    return Ok(self.push_default());
                }
            }
        }
        Ok(match (&mut self.store, cell) {
            (Store::Keyword(keywords), Cell::Text(text)) => keywords.push(text.as_bytes()),
            (Store::Keyword(keywords), Cell::Bytes(text)) => keywords.push(text),
            (Store::Text(texts), Cell::Text(text)) => texts.push(text.as_bytes()),
            (Store::Text(texts), Cell::Bytes(text)) => texts.push(text),
            (Store::Map(maps), Cell::Map(entries)) => maps.push(entries),
            (Store::Int8(values), Cell::Int(value)) => add(values, value.to_le_bytes()),
            (Store::UInt8(values), Cell::UInt(value)) => add(values, value.to_le_bytes()),
            (Store::Decimal8(values, beyond), Cell::Scaled(value)) => {
                add(values, within(value, *beyond)?.to_le_bytes())
            }
            (Store::Decimal4(values, beyond), Cell::Scaled(value)) => add(
                values,
                fit::<_, i32>(within(value, *beyond)?)?.to_le_bytes(),
            ),
            (Store::Decimal16(values, beyond), Cell::Scaled(value)) => {
                let value = i128::from(value);
                if value.unsigned_abs() >= beyond.unsigned_abs() {
                    return Err(Unfit);
                }
                add(values, value.to_le_bytes())
            }
            (Store::Int4(values), Cell::Int(value)) => {
                add(values, fit::<_, i32>(value)?.to_le_bytes())
            }
            (Store::Int2(values), Cell::Int(value)) => {
                add(values, fit::<_, i16>(value)?.to_le_bytes())
            }
            (Store::Int1(values), Cell::Int(value)) => {
                add(values, fit::<_, i8>(value)?.to_le_bytes())
            }
            (Store::UInt4(values), Cell::UInt(value)) => {
                add(values, fit::<_, u32>(value)?.to_le_bytes())
            }
            (Store::UInt2(values), Cell::UInt(value)) => {
                add(values, fit::<_, u16>(value)?.to_le_bytes())
            }
            (Store::UInt1(values), Cell::UInt(value)) => {
                add(values, fit::<_, u8>(value)?.to_le_bytes())
            }
            (Store::Bool(values), Cell::UInt(value @ 0..=1)) => add(values, [u8::from(value == 1)]),
            (Store::Float8(values), Cell::Float(value)) => add(values, value.to_le_bytes()),
            #[expect(clippy::cast_possible_truncation, reason = "a Float32 column rounds")]
            (Store::Float4(values), Cell::Float(value)) => {
                add(values, (value as f32).to_le_bytes())
            }
            _ => return Err(Unfit),
        })
    }

    /// Appends what stands under a NULL.
    fn push_default(&mut self) -> usize {
        match_store!(&mut self.store,
            fixed => {
                push_zero(fixed);
                0
            },
            Store::Text(texts) => texts.push(&[]),
            Store::Keyword(keywords) => keywords.push(&[]),
            Store::Map(maps) => maps.push(&[]),
        )
    }

    /// Order of two rows as `ClickHouse` sorts them, NULL last.
    pub(super) fn compare(&self, left: usize, right: usize) -> Ordering {
        if !self.nulls.is_empty() {
            let nulls = self.nulls[left].cmp(&self.nulls[right]);
            if nulls.is_ne() || self.nulls[left] == 1 {
                return nulls;
            }
        }
        match &self.store {
            Store::Text(texts) => texts.get(left).cmp(texts.get(right)),
            Store::Keyword(keywords) => keywords.compare(left, right),
            Store::Bool(values) | Store::UInt1(values) => values[left].cmp(&values[right]),
            Store::Int1(values) => by(values, i8::from_le_bytes, left, right),
            Store::Int2(values) => by(values, i16::from_le_bytes, left, right),
            Store::Int4(values) | Store::Decimal4(values, _) => {
                by(values, i32::from_le_bytes, left, right)
            }
            Store::Int8(values) | Store::Decimal8(values, _) => {
                by(values, i64::from_le_bytes, left, right)
            }
            Store::Decimal16(values, _) => by(values, i128::from_le_bytes, left, right),
            Store::UInt2(values) => by(values, u16::from_le_bytes, left, right),
            Store::UInt4(values) => by(values, u32::from_le_bytes, left, right),
            Store::UInt8(values) => by(values, u64::from_le_bytes, left, right),
            Store::Float4(values) => {
                f32::from_le_bytes(values[left]).total_cmp(&f32::from_le_bytes(values[right]))
            }
            Store::Float8(values) => {
                f64::from_le_bytes(values[left]).total_cmp(&f64::from_le_bytes(values[right]))
            }
            // ClickHouse does not sort by maps.
            Store::Map(_) => Ordering::Equal,
        }
    }

    /// Writes per row a number that orders rows as their values do. False, and nothing written,
    /// for types that do not fit in one, and for columns with NULL.
    pub(super) fn ordinals(&self, rows: &[u32], out: &mut Vec<(u64, u32)>) -> bool {
        out.clear();
        if self.nullable {
            return false;
        }
        match &self.store {
            Store::Int8(values) | Store::Decimal8(values, _) => {
                number(rows, out, values, |value| {
                    ascending(i64::from_le_bytes(value))
                });
            }
            Store::UInt8(values) => number(rows, out, values, u64::from_le_bytes),
            Store::Int4(values) | Store::Decimal4(values, _) => {
                number(rows, out, values, |value| {
                    ascending(i32::from_le_bytes(value).into())
                });
            }
            Store::Int2(values) => {
                number(rows, out, values, |value| {
                    ascending(i16::from_le_bytes(value).into())
                });
            }
            Store::Int1(values) => {
                number(rows, out, values, |value| {
                    ascending(i8::from_le_bytes(value).into())
                });
            }
            Store::UInt4(values) => {
                number(rows, out, values, |value| u32::from_le_bytes(value).into());
            }
            Store::UInt2(values) => {
                number(rows, out, values, |value| u16::from_le_bytes(value).into());
            }
            Store::UInt1(values) | Store::Bool(values) => {
                number(rows, out, values, |[value]| value.into());
            }
            Store::Float8(values) => {
                number(rows, out, values, |value| {
                    ascending_float(f64::from_le_bytes(value))
                });
            }
            Store::Float4(values) => {
                number(rows, out, values, |value| {
                    ascending_float(f32::from_le_bytes(value).into())
                });
            }
            Store::Keyword(_) | Store::Text(_) | Store::Map(_) | Store::Decimal16(..) => {
                return false;
            }
        }
        true
    }

    /// Puts row `order[i]` at place `i`.
    pub(super) fn reorder(&mut self, order: &[u32], scratch: &mut Scratch) {
        if !self.nulls.is_empty() {
            gather(&mut self.nulls, order, &mut scratch.nulls);
        }
        match &mut self.store {
            Store::Bool(values) | Store::Int1(values) | Store::UInt1(values) => {
                gather(values, order, &mut scratch.one);
            }
            Store::Int2(values) | Store::UInt2(values) => gather(values, order, &mut scratch.two),
            Store::Int4(values)
            | Store::UInt4(values)
            | Store::Float4(values)
            | Store::Decimal4(values, _) => gather(values, order, &mut scratch.four),
            Store::Int8(values)
            | Store::UInt8(values)
            | Store::Float8(values)
            | Store::Decimal8(values, _) => gather(values, order, &mut scratch.eight),
            Store::Decimal16(values, _) => gather(values, order, &mut scratch.sixteen),
            Store::Keyword(keywords) => gather(&mut keywords.codes, order, &mut scratch.codes),
            Store::Text(texts) => reorder_texts(texts, order),
            Store::Map(maps) => maps.reorder(order),
        }
    }

    /// Appends rows as the wire has them, behind name and type of the column.
    pub(super) fn encode(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        if let Store::Keyword(keywords) = &self.store {
            return keywords.encode(rows, self.nullable, out);
        }
        if self.nullable {
            out.extend_from_slice(&self.nulls[rows.clone()]);
        }
        match_store!(&self.store,
            fixed => out.extend_from_slice(fixed[rows].as_flattened()),
            Store::Text(texts) => texts.encode(rows, out),
            Store::Map(maps) => maps.encode(rows, out),
            Store::Keyword(_) => (),
        );
    }

    /// Drops the rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match_store!(&mut self.store,
            fixed => fixed.truncate(rows),
            Store::Text(texts) => texts.truncate(rows),
            Store::Keyword(keywords) => keywords.truncate(rows),
            Store::Map(maps) => maps.truncate(rows),
        );
    }

    /// Drops all rows and the dictionary.
    pub(super) fn clear(&mut self) {
        if let Store::Keyword(keywords) = &mut self.store {
            keywords.clear();
        }
        self.truncate(0);
    }

    /// Memory it holds, in bytes, used or not.
    pub(super) fn held(&self) -> usize {
        let store = match_store!(&self.store,
            fixed => fixed.capacity() * bytes_of_one(fixed),
            Store::Text(texts) => texts.held(),
            Store::Keyword(keywords) => keywords.held(),
            Store::Map(maps) => maps.held(),
        );
        store + self.nulls.capacity()
    }
}

impl Maps {
    fn push(&mut self, entries: &[(&[u8], &[u8])]) -> usize {
        let bytes = |(key, value): &(&[u8], &[u8])| {
            self.keys.push(key) + self.values.push(value) + 2 * Texts::OVERHEAD
        };
        let bytes = entries.iter().map(bytes).sum();
        self.ends.push(self.keys.len());
        bytes
    }

    fn entries(&self, rows: Range<usize>) -> Range<usize> {
        let at = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        at(rows.start)..at(rows.end)
    }

    fn encode(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        let entries = self.entries(rows.clone());
        for end in &self.ends[rows] {
            out.extend_from_slice(&((end - entries.start) as u64).to_le_bytes());
        }
        self.keys.encode(entries.clone(), out);
        self.values.encode(entries, out);
    }

    fn reorder(&mut self, order: &[u32]) {
        let mut sorted = Self::default();
        for row in order {
            let row = *row as usize;
            for entry in self.entries(row..row + 1) {
                sorted.keys.push_from(&self.keys, entry);
                sorted.values.push_from(&self.values, entry);
            }
            sorted.ends.push(sorted.keys.len());
        }
        *self = sorted;
    }

    fn truncate(&mut self, rows: usize) {
        let entries = self.entries(0..rows.min(self.ends.len())).end;
        self.keys.truncate(entries);
        self.values.truncate(entries);
        self.ends.truncate(rows);
    }

    fn held(&self) -> usize {
        self.ends.capacity() * size_of::<usize>() + self.keys.held() + self.values.held()
    }
}

/// Buffers that columns are gathered into; each column leaves its old one for the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    nulls: Vec<u8>,
    codes: Vec<u32>,
    one: Vec<[u8; 1]>,
    two: Vec<[u8; 2]>,
    four: Vec<[u8; 4]>,
    eight: Vec<[u8; 8]>,
    sixteen: Vec<[u8; 16]>,
}

fn gather<T: Copy>(values: &mut Vec<T>, order: &[u32], scratch: &mut Vec<T>) {
    scratch.clear();
    scratch.extend(order.iter().map(|row| values[*row as usize]));
    std::mem::swap(values, scratch);
}

fn reorder_texts(texts: &mut Texts, order: &[u32]) {
    let mut sorted = Texts::default();
    for row in order {
        sorted.push_from(texts, *row as usize);
    }
    *texts = sorted;
}

/// Numbers of rows, from their bytes.
fn number<const N: usize>(
    rows: &[u32],
    out: &mut Vec<(u64, u32)>,
    values: &[[u8; N]],
    ordinal: impl Fn([u8; N]) -> u64,
) {
    out.extend(
        rows.iter()
            .map(|row| (ordinal(values[*row as usize]), *row)),
    );
}

#[inline]
fn by<T: Ord, const N: usize>(
    values: &[[u8; N]],
    read: impl Fn([u8; N]) -> T,
    left: usize,
    right: usize,
) -> Ordering {
    read(values[left]).cmp(&read(values[right]))
}

#[inline]
fn add<const N: usize>(values: &mut Vec<[u8; N]>, value: [u8; N]) -> usize {
    values.push(value);
    0
}

fn push_zero<const N: usize>(values: &mut Vec<[u8; N]>) {
    values.push([0; N]);
}

fn bytes_of_one<const N: usize>(_: &[[u8; N]]) -> usize {
    N
}

/// The decimal, when it has no more digits than `beyond` has zeros.
#[inline]
fn within(value: Wide, beyond: i64) -> Result<i64, Unfit> {
    let value = i64::try_from(value).ok().ok_or(Unfit)?;
    if value.unsigned_abs() < beyond.unsigned_abs() {
        Ok(value)
    } else {
        Err(Unfit)
    }
}

/// The integer in the column's width.
#[inline]
fn fit<From, To: TryFrom<From>>(value: From) -> Result<To, Unfit> {
    To::try_from(value).ok().ok_or(Unfit)
}

#[expect(
    clippy::cast_sign_loss,
    reason = "flips the sign bit, so that order is kept"
)]
fn ascending(value: i64) -> u64 {
    value as u64 ^ 1 << 63
}

/// Order of `f64::total_cmp`.
fn ascending_float(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits ^ 1 << 63
    }
}
