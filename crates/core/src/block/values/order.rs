//! The order of values, as ClickHouse sorts them.

use std::cmp::Ordering;

use super::{Store, Values};

impl Values {
    /// Order of two rows NULL last.
    pub(in crate::block) fn compare(&self, left: usize, right: usize) -> Ordering {
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
    pub(in crate::block) fn ordinals(&self, rows: &[u32], out: &mut Vec<(u64, u32)>) -> bool {
        out.clear();
        if self.nullable {
            return false;
        }
        match &self.store {
            Store::Int8(values) | Store::Decimal8(values, _) => {
                number(rows, out, values, |value| ascending(i64::from_le_bytes(value)));
            }
            Store::UInt8(values) => number(rows, out, values, u64::from_le_bytes),
            Store::Int4(values) | Store::Decimal4(values, _) => {
                number(rows, out, values, |value| ascending(i32::from_le_bytes(value).into()));
            }
            Store::Int2(values) => {
                number(rows, out, values, |value| ascending(i16::from_le_bytes(value).into()));
            }
            Store::Int1(values) => {
                number(rows, out, values, |value| ascending(i8::from_le_bytes(value).into()));
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
                number(rows, out, values, |value| ascending_float(f64::from_le_bytes(value)));
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
}

/// Numbers of rows, from their bytes.
fn number<const N: usize>(
    rows: &[u32],
    out: &mut Vec<(u64, u32)>,
    values: &[[u8; N]],
    ordinal: impl Fn([u8; N]) -> u64,
) {
    out.extend(rows.iter().map(|row| (ordinal(values[*row as usize]), *row)));
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

#[expect(clippy::cast_sign_loss, reason = "flips the sign bit, so that order is kept")]
fn ascending(value: i64) -> u64 {
    value as u64 ^ 1 << 63
}

/// Order of `f64::total_cmp`.
fn ascending_float(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits ^ 1 << 63 }
}
