//! Numbers and times from their text, eight bytes at a time and without a branch per digit.
//!
//! Whatever is not a plain number or the usual form of a time is left to the general reader: these
//! functions answer `None` for it, which says nothing about its soundness.

use super::super::number::POW10;
use super::super::time;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES * 0x80;
const ZEROS: u64 = ONES * 0x30;

/// Bytes that a number is read from: a sign, sixteen digits, a point, sixteen digits, and what comes
/// behind them.
pub(super) type Window = [u8; 40];

/// The next eight bytes, the first in the lowest place.
#[inline]
pub(super) fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

#[inline]
pub(super) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Digits that eight bytes begin with, and the bytes with `0` taken off each.
#[inline]
fn digits(word: u64) -> (u32, u64) {
    let values = word ^ ZEROS;
    (others(values).trailing_zeros() / 8, values)
}

/// The high bit of each byte that is above nine.
#[inline]
fn others(values: u64) -> u64 {
    (((values & !HIGH) + ONES * 0x76) | values) & HIGH
}

/// The number that eight digits make, the first in the lowest byte: pairs, fours, eight.
#[inline]
fn join(values: u64) -> u64 {
    const MASK: u64 = 0x0000_00ff_0000_00ff;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & MASK).wrapping_mul(100 + (1_000_000 << 32));
    let high = (pairs >> 16 & MASK).wrapping_mul(1 + (10_000 << 32));
    low.wrapping_add(high) >> 32
}

/// The number that the first `count` digits make; `count` is 1 to 8.
#[inline]
fn whole(values: u64, count: u32) -> u64 {
    join(values << ((64 - 8 * count) & 63))
}

/// The first `count` digits with zeros behind them up to eight; `count` is 1 to 8.
#[inline]
fn fraction(values: u64, count: u32) -> u64 {
    join(values & u64::MAX >> ((64 - 8 * count) & 63))
}

/// Ten to the power of a number of digits.
#[inline]
fn power(digits: u32) -> u64 {
    const POWERS: [u64; 16] = {
        let mut powers = [1; 16];
        let mut i = 1;
        while i < 16 {
            powers[i] = powers[i - 1] * 10;
            i += 1;
        }
        powers
    };
    POWERS[digits as usize & 15]
}

/// An unsigned number of at most 16 digits, and where it ends.
#[inline]
fn natural(window: &Window, at: usize) -> Option<(u64, usize)> {
    let (count, values) = digits(eight(window, at)?);
    if count == 0 || (count > 1 && values.trailing_zeros() >= 8) {
        return None;
    }
    let number = whole(values, count);
    if count < 8 {
        return Some((number, at + count as usize));
    }
    let at = at + 8;
    let (count, values) = digits(eight(window, at)?);
    match count {
        0 => Some((number, at)),
        8 if byte(window, at + 8).is_ascii_digit() => None,
        _ => Some((number * power(count) + whole(values, count), at + count as usize)),
    }
}

/// Whether a number goes on behind its whole digits.
#[inline]
fn goes_on(byte: u8) -> bool {
    matches!(byte, b'.' | b'e' | b'E')
}

/// A whole number, and its length.
#[inline]
pub(super) fn integer(window: &Window) -> Option<(i64, usize)> {
    let negative = window[0] == b'-';
    let (number, end) = natural(window, usize::from(negative))?;
    // Sixteen digits fit.
    let number = i64::try_from(number).ok()?;
    let done = !goes_on(byte(window, end));
    done.then_some((if negative { -number } else { number }, end))
}

/// The length of a whole number of at most 16 digits.
#[inline]
pub(super) fn integer_length(window: &Window) -> Option<usize> {
    let (count, values) = digits(eight(window, 0)?);
    if count == 0 || (count > 1 && values.trailing_zeros() >= 8) {
        return None;
    }
    let mut length = count as usize;
    if count == 8 {
        length += digits(eight(window, 8)?).0 as usize;
    }
    let end = byte(window, length);
    (!goes_on(end) && !end.is_ascii_digit()).then_some(length)
}

/// A number in units of 10^-8, rounded half to even, its length, and whether it is exact.
#[inline]
pub(super) fn decimal(window: &Window) -> Option<(i64, usize, bool)> {
    // Most prices end within eight bytes, point included.
    let word = eight(window, 0)?;
    let values = word ^ ZEROS;
    let others = others(values);
    let (point, rest) = (others.trailing_zeros() / 8, others & others.wrapping_sub(1));
    let end = rest.trailing_zeros() / 8;
    let has_point = (word >> ((8 * point) & 63)) & 0xff == u64::from(b'.');
    if rest == 0 || point == 0 || !has_point || end == point + 1 {
        return any_decimal(window);
    }
    if point > 1 && values.trailing_zeros() >= 8 || word >> (8 * end) & 0xdf == 0x45 {
        return None;
    }
    let before = (1 << (8 * point)) - 1;
    let joined = values & before | values >> 8 & !before;
    let mantissa = whole(joined, end - 1);
    let scaled = mantissa * power(8 + point + 1 - end);
    Some((i64::try_from(scaled).ok()?, end as usize, true))
}

#[inline(never)]
fn any_decimal(window: &Window) -> Option<(i64, usize, bool)> {
    const UNIT: u64 = 100_000_000;
    let negative = window[0] == b'-';
    let (number, mut end) = natural(window, usize::from(negative))?;
    let mut scaled = number.checked_mul(UNIT)?;
    let mut exact = true;
    if byte(window, end) == b'.' {
        let (count, values) = digits(eight(window, end + 1)?);
        if count == 0 {
            return None;
        }
        scaled = scaled.checked_add(fraction(values, count))?;
        end += 1 + count as usize;
        if count == 8 {
            let (count, values) = digits(eight(window, end)?);
            if count > 0 {
                if count == 8 && byte(window, end + 8).is_ascii_digit() {
                    return None;
                }
                let rest = fraction(values, count);
                end += count as usize;
                exact = rest == 0;
                scaled += u64::from(rest > UNIT / 2 || rest == UNIT / 2 && scaled % 2 == 1);
            }
        }
    }
    if matches!(byte(window, end), b'e' | b'E') {
        return None;
    }
    let scaled = i64::try_from(scaled).ok()?;
    Some((if negative { -scaled } else { scaled }, end, exact))
}

/// The date that was read last: messages of one minute are of one day.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day {
    text: [u8; 10],
    days: i64,
}

impl Day {
    #[inline]
    fn read(&mut self, bytes: &[u8], at: usize) -> Option<i64> {
        let text: &[u8; 10] = bytes.get(at..)?.first_chunk()?;
        if *text != self.text {
            *self = Self { text: *text, days: time::whole_day(text)? };
        }
        Some(self.days)
    }
}

/// A time written `2024-01-25`, `2024-01-25T16:00:00`, with or without a fraction of up to eight
/// digits, with `Z`, `+00:00` or nothing behind it: units of 10^-`precision` s since 1970, where
/// the text ends (at its closing quote), and whether nothing was cut.
#[inline]
pub(super) fn iso(
    bytes: &[u8],
    at: usize,
    precision: u8,
    day: &mut Day,
) -> Option<(i64, usize, bool)> {
    let days = day.read(bytes, at)?;
    let power = POW10.get(usize::from(precision)).copied()?;
    let mut end = at + 10;
    let (mut second, mut fine) = (0, 0);
    if byte(bytes, end) != b'"' {
        if !matches!(byte(bytes, end), b'T' | b' ' | b't') {
            return None;
        }
        second = clock(eight(bytes, end + 1)?)?;
        end += 9;
        if byte(bytes, end) == b'.' {
            let (count, values) = digits(eight(bytes, end + 1)?);
            if count == 0 || count == 8 && byte(bytes, end + 9).is_ascii_digit() {
                return None;
            }
            fine = fraction(values, count);
            end += 1 + count as usize;
        }
        end += match byte(bytes, end) {
            b'"' => 0,
            b'Z' => 1,
            b'+' if bytes.get(end..end + 6) == Some(b"+00:00") => 6,
            _ => return None,
        };
    }
    let fine = i64::try_from(fine).ok()?;
    let (fine, exact) = match precision {
        0..=8 => {
            let unit = POW10[usize::from(8 - precision)];
            (fine / unit, fine % unit == 0)
        }
        _ => (fine * 10, true),
    };
    let units = (days * 86_400 + second).checked_mul(power)?.checked_add(fine)?;
    (byte(bytes, end) == b'"').then_some((units, end, exact))
}

/// Seconds of a day, from `hh:mm:ss`.
#[inline]
fn clock(text: u64) -> Option<i64> {
    // Where the colons are, a colon becomes zero, and nothing else does.
    const SHAPE: u64 = u64::from_le_bytes(*b"00:00:00");
    const COLONS: u64 = 0x0000_ff00_00ff_0000;
    let values = text ^ SHAPE;
    if others(values) != 0 || values & COLONS != 0 {
        return None;
    }
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let pair = |place: u32| i64::try_from(pairs >> (8 * place) & 0xff).unwrap_or(0);
    let (hour, minute, second) = (pair(0), pair(3), pair(6));
    let sound = hour <= 23 && minute <= 59 && second <= 59;
    sound.then_some(hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::super::super::number::{Scaled, scale_text};
    use super::*;

    fn window(text: &str) -> Window {
        *padded(text).first_chunk().unwrap()
    }

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len() + 64, 0);
        bytes
    }

    /// A number of any layout, often broken.
    fn written(random: &mut fastrand::Rng) -> String {
        let digits = |random: &mut fastrand::Rng, most: usize| {
            let count = random.usize(0..=most);
            (0..count).map(|_| char::from(b'0' + random.u8(0..10))).collect::<String>()
        };
        let sign = ["", "", "", "-", "+", "--"][random.usize(0..6)];
        let mut text = format!("{sign}{}", digits(random, 18));
        if random.bool() {
            let fraction = match random.u8(0..4) {
                0 => {
                    format!("{:08}5{}", random.u32(0..100_000_000), "0".repeat(random.usize(0..9)))
                }
                1 => digits(random, 8),
                _ => digits(random, 20),
            };
            text = format!("{text}.{fraction}");
        }
        text + ["", "", "", "e5", "E-3", "x", "\"", ".5"][random.usize(0..8)]
    }

    /// What these functions accept is what the general reader makes of the same bytes; what they
    /// leave to it is never a plain number of up to eight digits on each side of the point.
    #[test]
    fn numbers_are_those_of_the_general_reader() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut accepted = 0;
        for _ in 0..400_000 {
            let text = written(&mut random);
            let bytes = window(&text);
            let read = |end: usize, scale| {
                let scaled: Scaled = scale_text(&text.as_bytes()[..end], scale).expect(&text);
                scaled
            };
            if let Some((value, end, exact)) = decimal(&bytes) {
                let scaled = read(end, 8);
                assert_eq!(
                    (i128::from(value), exact),
                    (scaled.half_even(), scaled.is_exact()),
                    "{text}"
                );
                assert!(!byte(&bytes, end).is_ascii_digit(), "{text}");
                accepted += 1;
            }
            if let Some((value, end)) = integer(&bytes) {
                let scaled = read(end, 0);
                assert_eq!((i128::from(value), true), (scaled.kept, scaled.is_exact()), "{text}");
            }
            if let Some(end) = integer_length(&bytes) {
                assert_eq!(integer(&bytes).map(|(_, end)| end), Some(end), "{text}");
            }
        }
        assert!(accepted > 50_000, "{accepted}");
        for text in ["0", "-0", "1.5", "12345678.87654321", "99999999", "-0.00000001", "0.1"] {
            assert!(decimal(&window(text)).is_some(), "{text}");
        }
        for text in ["", "-", "01", "-01", "00.5", "1.", ".5", "+1", "--1", "1e5", "1.5E3", "x"] {
            assert_eq!(decimal(&window(text)), None, "{text}");
            assert_eq!(integer(&window(text)), None, "{text}");
        }
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        for (text, want, exact) in [
            ("0.000000005", 0, false),
            ("0.000000015", 2, false),
            ("-0.000000015", -2, false),
            ("0.0000000150000001", 2, false),
            ("0.0000000050000001", 1, false),
            ("0.0000000049999999", 0, false),
            ("12.000000000000011", 1_200_000_000, false),
            ("1.0955100000000000", 109_551_000, true),
        ] {
            let (value, _, is_exact) = decimal(&window(text)).expect(text);
            assert_eq!((value, is_exact), (want, exact), "{text}");
        }
    }

    /// Times in all usual forms and in broken ones, at every precision.
    #[test]
    fn times_are_those_of_the_general_reader() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut day = Day::default();
        let mut accepted = 0;
        for _ in 0..400_000 {
            let one_of =
                |of: &[&'static str], random: &mut fastrand::Rng| of[random.usize(0..of.len())];
            let date = format!(
                "20{:02}-{:02}-{:02}",
                random.u8(0..40),
                random.u8(0..14),
                random.u8(0..33)
            );
            let clock =
                format!("{:02}:{:02}:{:02}", random.u8(0..26), random.u8(0..62), random.u8(0..62));
            let separator = one_of(&["T", " ", "t", "_", "T", " "], &mut random);
            let fraction = one_of(
                &["", "", ".5", ".034000", ".00000001", ".123456789", ".", ",5"],
                &mut random,
            );
            let zone =
                one_of(&["", "Z", "+00:00", "+01:00", "z", "-00:00", "Zx", "+00:0"], &mut random);
            let mut text = format!("{date}{separator}{clock}{fraction}{zone}\"").into_bytes();
            if random.u8(0..4) == 0 {
                let at = random.usize(0..text.len() - 1);
                text[at] = *b"0:-T9;".get(random.usize(0..6)).unwrap();
            }
            let shown = String::from_utf8(text.clone()).unwrap();
            let precision = random.u8(0..=9);
            if let Some((units, end, exact)) = iso(&padded(&shown), 0, precision, &mut day) {
                let instant = time::instant(&text[..end]).expect(&shown);
                assert_eq!(instant.at_precision(precision), (units.into(), exact), "{shown}");
                accepted += 1;
            }
        }
        assert!(accepted > 30_000, "{accepted}");
    }
}
