//! Decimals by long division of their text: no floats, no library.

use std::fmt;

/// A decimal of eight digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(pub i128);

/// Digits after the point in every decimal column.
const SCALE: i64 = 8;

/// Reads a number as JSON writes it and rounds it half to even to eight digits after the point.
/// `None` when it is no number or has more than `precision` digits in all.
#[must_use]
pub fn decimal(text: &[u8], precision: u32) -> Option<Decimal> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() || (mantissa.len() > whole.len() && fraction.is_empty()) {
        return None;
    }
    let mut digits = Vec::with_capacity(mantissa.len());
    for byte in whole.iter().chain(fraction) {
        digits.push(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    if digits.iter().all(|digit| *digit == 0) {
        return Some(Decimal(0));
    }
    // The number is 0.d1d2d3… × 10^point; digits before `keep` are kept.
    let point = i64::try_from(whole.len()).ok()?.saturating_add(exponent);
    let keep = point.saturating_add(SCALE);
    let limit = 10_i128.pow(precision);
    let scaled = match usize::try_from(keep) {
        // Less than a tenth of the last place.
        Err(_) => 0,
        Ok(keep) => rounded(&digits, keep, limit)?,
    };
    (scaled < limit).then_some(Decimal(if negative { -scaled } else { scaled }))
}

/// The first `keep` digits as a number, missing ones as zeros, rounded by what follows.
fn rounded(digits: &[u8], keep: usize, limit: i128) -> Option<i128> {
    let mut scaled: i128 = 0;
    for index in 0..keep {
        if index >= digits.len() && scaled == 0 {
            break;
        }
        scaled = scaled * 10 + i128::from(digits.get(index).copied().unwrap_or(0));
        if scaled >= limit {
            return None;
        }
    }
    let rest = digits.get(keep..).unwrap_or_default();
    let Some((first, others)) = rest.split_first() else {
        return Some(scaled);
    };
    let more = others.iter().any(|digit| *digit != 0);
    let up = *first > 5 || (*first == 5 && (more || scaled % 2 == 1));
    Some(scaled + i128::from(up))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] | rest => (1, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value = (value * 10 + digit).min(1_000_000_000);
    }
    Some(sign * value)
}

/// As ClickHouse prints it: no zeros at the end.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, mut fraction) = (size / 100_000_000, size % 100_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let mut width = 8;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{sign}{whole}.{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        decimal(text.as_bytes(), 18).map(|decimal| decimal.to_string())
    }

    #[test]
    fn ties_go_to_the_even_digit() {
        for (text, value) in [
            ("0.000000005", "0"),
            ("0.000000015", "0.00000002"),
            ("0.000000025", "0.00000002"),
            ("0.0000000250000000000000000000000000000000000000001", "0.00000003"),
            ("0.000000024999999999999999999999999999999999999999", "0.00000002"),
            ("1.123456785", "1.12345678"),
            ("1.123456775", "1.12345678"),
            ("-1.123456785", "-1.12345678"),
            ("-1.123456775", "-1.12345678"),
            ("0.999999995", "1"),
            ("12.000000000000011", "12"),
            ("1.0955300000000003", "1.09553"),
        ] {
            assert_eq!(read(text).as_deref(), Some(value), "{text}");
        }
    }

    #[test]
    fn exponents_move_the_point() {
        for (text, value) in [
            ("8e-05", "0.00008"),
            ("1.5E+3", "1500"),
            ("5e-9", "0"),
            ("15e-9", "0.00000002"),
            ("1e-400", "0"),
            ("0e999999999999", "0"),
            ("109551e-05", "1.09551"),
            ("0.00000000001e9", "0.01"),
            ("100000000000000000000e-20", "1"),
        ] {
            assert_eq!(read(text).as_deref(), Some(value), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(read("9999999999.99999999").as_deref(), Some("9999999999.99999999"));
        assert_eq!(read("9999999999.999999994999").as_deref(), Some("9999999999.99999999"));
        for text in ["9999999999.999999995", "10000000000", "-1e10", "1e999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
        let wide = decimal(b"123456789012345678901234567890.123456785", 38);
        assert_eq!(
            wide.expect("fits 38 digits").to_string(),
            "123456789012345678901234567890.12345678"
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", "-", "abc", "1.", ".5", "1e", "1e+", "1.2.3", "0x10", "NaN", "+1", " 1", "1 "]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("-0.0").as_deref(), Some("0"));
    }
}
