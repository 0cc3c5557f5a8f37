//! The values of one column, in the bytes that ClickHouse reads.

mod order;

use std::ops::Range;

use super::cell::{Cell, Wide};
use super::keywords::Keywords;
use super::maps::Maps;
use super::texts::Texts;
use crate::catalog::{Column, ColumnType};

/// Values of a column and which of them are NULL.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) nullable: bool,
    /// 1 where the row is NULL; empty for columns without NULL, and for keywords, which have a
    /// code for it.
    pub(super) nulls: Vec<u8>,
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
            ColumnType::Decimal { precision: precision @ 0..=9, .. } => {
                Store::Decimal4(Vec::new(), 10_i64.pow(precision.into()))
            }
            ColumnType::Decimal { precision: precision @ 10..=18, .. } => {
                Store::Decimal8(Vec::new(), 10_i64.pow(precision.into()))
            }
            ColumnType::Decimal { precision, .. } => {
                Store::Decimal16(Vec::new(), 10_i128.pow(precision.into()))
            }
        };
        Self { nullable: column.nullable, nulls: Vec::new(), store }
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
            (Store::Decimal4(values, beyond), Cell::Scaled(value)) => {
                add(values, fit::<_, i32>(within(value, *beyond)?)?.to_le_bytes())
            }
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
    if value.unsigned_abs() < beyond.unsigned_abs() { Ok(value) } else { Err(Unfit) }
}

/// The integer in the column's width.
#[inline]
fn fit<From, To: TryFrom<From>>(value: From) -> Result<To, Unfit> {
    To::try_from(value).ok().ok_or(Unfit)
}
