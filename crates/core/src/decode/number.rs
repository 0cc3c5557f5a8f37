//! Numbers from their text, never through a binary float: digits into a scaled integer.

/// Ten to the power of the index, as far as an `i64` goes.
pub(super) const POW10: [i64; 19] = {
    let mut powers = [1; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// What lies behind the digits that were kept, compared with half a unit of the last kept digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    BelowHalf,
    Half,
    AboveHalf,
}

/// A number cut to a scale: `kept` towards zero, `rest` what was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scaled {
    pub(super) kept: i128,
    pub(super) rest: Rest,
    pub(super) negative: bool,
}

impl Scaled {
    /// Rounded half to even (IEEE 754's default; the rounding of Python's `Decimal`).
    pub(super) fn half_even(self) -> i128 {
        let up = match self.rest {
            Rest::Nothing | Rest::BelowHalf => false,
            Rest::Half => self.kept % 2 != 0,
            Rest::AboveHalf => true,
        };
        match (up, self.negative) {
            (false, _) => self.kept,
            (true, false) => self.kept.saturating_add(1),
            (true, true) => self.kept.saturating_sub(1),
        }
    }

    /// Rounded towards the past, which for times is what "cut" means.
    pub(super) fn floor(self) -> i128 {
        if self.negative && self.rest != Rest::Nothing {
            self.kept.saturating_sub(1)
        } else {
            self.kept
        }
    }

    pub(super) fn is_exact(self) -> bool {
        self.rest == Rest::Nothing
    }
}

/// Why a text gave no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    /// Not a number by the grammar of JSON.
    Grammar,
    /// More than 38 digits before the scale's end.
    TooLarge,
}

/// `mantissa` × 10^-`fraction_digits`, as a multiple of 10^-`scale`.
#[inline]
pub(super) fn scale_small(mantissa: i64, fraction_digits: u8, scale: i32) -> Scaled {
    let negative = mantissa < 0;
    let shift = scale - i32::from(fraction_digits);
    if shift >= 0 {
        let kept = if let Some(factor) = POW10.get(shift.unsigned_abs() as usize) {
            i128::from(mantissa) * i128::from(*factor)
        } else {
            // At most 18 digits: only scales beyond those of any column could overflow.
            let factor = 10_i128.checked_pow(shift.unsigned_abs());
            i128::from(mantissa).saturating_mul(factor.unwrap_or(i128::MAX))
        };
        return Scaled { kept, rest: Rest::Nothing, negative };
    }
    let Some(&divisor) = POW10.get(shift.unsigned_abs() as usize) else {
        let rest = if mantissa == 0 { Rest::Nothing } else { Rest::BelowHalf };
        return Scaled { kept: 0, rest, negative };
    };
    let cut = (mantissa % divisor).unsigned_abs();
    let half = divisor.unsigned_abs() / 2;
    let rest = match cut.cmp(&half) {
        _ if cut == 0 => Rest::Nothing,
        std::cmp::Ordering::Less => Rest::BelowHalf,
        std::cmp::Ordering::Equal => Rest::Half,
        std::cmp::Ordering::Greater => Rest::AboveHalf,
    };
    Scaled { kept: i128::from(mantissa / divisor), rest, negative }
}

/// The parts of a number's text: sign, digits before and behind the point, exponent.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Reads a number of any length by the grammar of JSON, with exponent.
pub(super) fn scale_text(text: &[u8], scale: i32) -> Result<Scaled, NumberError> {
    let parts = split(text).ok_or(NumberError::Grammar)?;
    let negative = parts.negative;
    let digits = || parts.whole.iter().chain(parts.fraction).copied();
    let leading_zeros = digits().take_while(|digit| *digit == b'0').count();
    let significant = parts.whole.len() + parts.fraction.len() - leading_zeros;
    if significant == 0 {
        return Ok(Scaled { kept: 0, rest: Rest::Nothing, negative });
    }
    // Digits that stand before the end of the scale; negative when the number is far smaller.
    let length = |digits: usize| i64::try_from(digits).unwrap_or(i64::MAX);
    let kept_digits = (length(significant) - length(parts.fraction.len()))
        .saturating_add(i64::from(scale))
        .saturating_add(parts.exponent);
    if kept_digits > 38 {
        return Err(NumberError::TooLarge);
    }
    let Ok(kept_digits) = usize::try_from(kept_digits) else {
        return Ok(Scaled { kept: 0, rest: Rest::BelowHalf, negative });
    };
    let mut rest_digits = digits().skip(leading_zeros);
    let mut kept: i128 = 0;
    for _ in 0..kept_digits {
        // 38 digits fit an i128; digits that the text does not have are zeros.
        kept = kept * 10 + i128::from(rest_digits.next().unwrap_or(b'0') - b'0');
    }
    let rest = match rest_digits.next() {
        None => Rest::Nothing,
        Some(first) => {
            let more = rest_digits.any(|digit| digit != b'0');
            match (first, more) {
                (b'0', false) => Rest::Nothing,
                (b'5', false) => Rest::Half,
                (b'0'..=b'4', _) => Rest::BelowHalf,
                (_, _) => Rest::AboveHalf,
            }
        }
    };
    Ok(Scaled { kept: if negative { -kept } else { kept }, rest, negative })
}

/// Splits a text that is a number of JSON's grammar: no plus, no leading zero, no bare point.
fn split(text: &[u8]) -> Option<Parts<'_>> {
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let (whole, text) = take_digits(text)?;
    if whole.len() > 1 && whole.first() == Some(&b'0') {
        return None;
    }
    let (fraction, text) = match text.split_first() {
        Some((b'.', rest)) => take_digits(rest)?,
        _ => (&text[..0], text),
    };
    let exponent = match text.split_first() {
        None => 0,
        Some((b'e' | b'E', rest)) => {
            let (sign, rest) = match rest.split_first()? {
                (b'-', rest) => (-1, rest),
                (b'+', rest) => (1, rest),
                _ => (1, rest),
            };
            let (digits, rest) = take_digits(rest)?;
            if !rest.is_empty() {
                return None;
            }
            // An exponent too long to count is as good as this one: everything or nothing.
            let size = digits.iter().try_fold(0_i64, |sum, digit| {
                sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
            });
            sign * size.unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
        }
        Some(_) => return None,
    };
    Some(Parts { negative, whole, fraction, exponent })
}

/// One or more digits, and what follows them.
fn take_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then(|| text.split_at(count))
}

/// Whether `text` is a number by the grammar of JSON.
pub(super) fn is_number(text: &[u8]) -> bool {
    split(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(text: &str, scale: i32) -> i128 {
        scale_text(text.as_bytes(), scale).unwrap().half_even()
    }

    #[test]
    fn half_goes_to_the_even_neighbour() {
        for (text, scale, want) in [
            ("0.5", 0, 0),
            ("1.5", 0, 2),
            ("2.5", 0, 2),
            ("-0.5", 0, 0),
            ("-1.5", 0, -2),
            ("-2.5", 0, -2),
            ("2.50000000000000000000000000000000000001", 0, 3),
            ("2.49999999999999999999999999999999999999", 0, 2),
            ("0.000000005", 8, 0),
            ("0.000000015", 8, 2),
            ("0.0000000050000000000000000000001", 8, 1),
            ("12.000000000000011", 8, 1_200_000_000),
            ("1.09551", 8, 109_551_000),
            ("1e-5", 8, 1000),
            ("1.5E3", 8, 150_000_000_000),
            ("1.5e+3", 0, 1500),
            ("0e999999999999999999999999", 8, 0),
            ("1e-999999999999999999999999", 8, 0),
            ("0.05e1", 0, 0),
            ("0.15e1", 0, 2),
            ("6e-1", 0, 1),
            ("5e-2", 0, 0),
            ("99e-2", 0, 1),
            ("-0", 8, 0),
        ] {
            assert_eq!(rounded(text, scale), want, "{text} at scale {scale}");
        }
    }

    #[test]
    fn what_json_does_not_call_a_number_is_refused() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1.5e-",
            "abc",
            "NaN",
            "Infinity",
            "-Infinity",
            "1 ",
            " 1",
            "1,5",
            "0x10",
            "1_000",
            "1e5.5",
            "--1",
            "1.2.3",
            "１",
        ] {
            assert_eq!(scale_text(text.as_bytes(), 8), Err(NumberError::Grammar), "{text:?}");
        }
    }

    #[test]
    fn more_than_38_digits_is_too_large() {
        assert_eq!(scale_text(b"1e400", 8), Err(NumberError::TooLarge));
        assert_eq!(scale_text(b"1e31", 8), Err(NumberError::TooLarge));
        let largest = scale_text(b"999999999999999999999999999999.99999999", 8).unwrap();
        assert_eq!(largest.kept, 10_i128.pow(38) - 1);
    }

    #[test]
    fn the_short_path_agrees_with_the_long_one() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200_000 {
            let mantissa = random.i64(-POW10[18] + 1..POW10[18]) / POW10[random.usize(0..19)];
            let fraction_digits = random.u8(0..=18);
            let scale = random.i32(-6..=20);
            let text = format!("{mantissa}e-{fraction_digits}");
            let mut long = scale_text(text.as_bytes(), scale).unwrap();
            // "-0" keeps its sign in a text and has none in an integer.
            long.negative = mantissa < 0;
            assert_eq!(scale_small(mantissa, fraction_digits, scale), long, "{text} {scale}");
        }
    }

    #[test]
    fn cut_times_go_towards_the_past() {
        assert_eq!(scale_small(-1, 3, 0).floor(), -1);
        assert_eq!(scale_small(-1000, 3, 0).floor(), -1);
        assert_eq!(scale_small(1999, 3, 0).floor(), 1);
    }
}
