//! A value of a row.

use std::fmt;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A text, which need not be UTF-8.
    Text(Vec<u8>),
    /// A whole number; times in units of their column.
    Whole(i128),
    /// A decimal.
    Decimal {
        /// The value × 10^`scale`.
        scaled: i128,
        /// Digits after the point.
        scale: u32,
    },
    /// A float.
    Float(f64),
    /// Keys and values.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// A text value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

/// As ClickHouse would print it, without escapes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("\\N"),
            Self::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Decimal { scaled, scale } => {
                let sign = if *scaled < 0 { "-" } else { "" };
                let unit = 10_u128.pow(*scale);
                let (whole, rest) = (scaled.unsigned_abs() / unit, scaled.unsigned_abs() % unit);
                let rest = format!("{rest:0width$}", width = *scale as usize);
                let rest = rest.trim_end_matches('0');
                let point = if rest.is_empty() { "" } else { "." };
                write!(f, "{sign}{whole}{point}{rest}")
            }
            Self::Map(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}'{key}':'{value}'")?;
                }
                f.write_str("}")
            }
        }
    }
}
