//! One value on its way into a column.

/// A value of a column. Borrows what has bytes, so that a row of cells costs no allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL, for columns that are nullable.
    Null,
    /// `Keyword` and `Text`.
    Text(&'a str),
    /// `Keyword` and `Text` whose bytes need not be UTF-8, such as the payload of a dead letter.
    Bytes(&'a [u8]),
    /// `Int8` to `Int64`, and `Time` in units of the column's precision.
    Int(i64),
    /// `UInt8` to `UInt64`, and `Bool` as 0 or 1.
    UInt(u64),
    /// `Decimal`, as an integer at the column's scale.
    Scaled(Wide),
    /// `Float32` (rounded) and `Float64`.
    Float(f64),
    /// `TextMap`: keys and values in order.
    Map(&'a [(&'a [u8], &'a [u8])]),
}

/// An `i128` of alignment 8, so that a [`Cell`] takes 24 bytes and not 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wide {
    low: u64,
    high: i64,
}

impl From<i128> for Wide {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "splits in halves")]
    fn from(value: i128) -> Self {
        Self { low: value as u64, high: (value >> 64) as i64 }
    }
}

impl From<i64> for Wide {
    #[expect(clippy::cast_sign_loss, reason = "the low half, bit for bit")]
    fn from(value: i64) -> Self {
        Self { low: value as u64, high: value >> 63 }
    }
}

impl From<Wide> for i128 {
    fn from(value: Wide) -> Self {
        (Self::from(value.high) << 64) | Self::from(value.low)
    }
}

/// A decimal has more digits than 64 bits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooWide;

impl TryFrom<Wide> for i64 {
    type Error = TooWide;

    #[inline]
    #[expect(clippy::cast_possible_wrap, reason = "the low half, bit for bit")]
    fn try_from(value: Wide) -> Result<Self, TooWide> {
        let low = value.low as Self;
        if value.high == low >> 63 { Ok(low) } else { Err(TooWide) }
    }
}

impl Cell<'_> {
    /// A decimal from its integer at the column's scale.
    #[must_use]
    pub fn scaled(value: impl Into<Wide>) -> Self {
        Self::Scaled(value.into())
    }
}

const _: () = assert!(size_of::<Cell<'_>>() == 24, "a row of cells stays within few cache lines");
