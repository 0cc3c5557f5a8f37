//! Numbers and times as publishers write them.

use std::io::Write;

use crate::chance::Chance;

/// `unscaled` / 10^`digits` as Python prints the float nearest to it.
pub(crate) fn push_scaled(out: &mut Vec<u8>, unscaled: u64, digits: u32) {
    let unit = 10_u64.pow(digits);
    if unscaled != 0 && unscaled < unit / 10_000 {
        // Python turns to exponents below 0.0001.
        push_python_float(out, ratio(unscaled, digits));
        return;
    }
    write!(out, "{}", unscaled / unit).expect("writing to memory");
    out.push(b'.');
    let mut rest = unscaled % unit;
    let mut place = unit;
    loop {
        place /= 10;
        if place == 0 {
            // A whole number has a zero behind the point; so has one of no digits at all.
            if out.last() == Some(&b'.') {
                out.push(b'0');
            }
            return;
        }
        out.push(b'0' + u8::try_from(rest / place).expect("one digit"));
        rest %= place;
        if rest == 0 {
            return;
        }
    }
}

/// A float as Python's `repr` prints it: shortest text that reads back, exponents of two digits
/// below 1e-4 and from 1e16 on.
pub(crate) fn push_python_float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').expect("scientific notation has an e");
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        write!(out, "{digits}e{sign}{exponent:0>2}").expect("writing to memory");
    } else {
        write!(out, "{value:?}").expect("writing to memory");
    }
}

/// A price, mostly as it should be and sometimes as floats, rounding and other writers make it.
pub(crate) fn push_price(out: &mut Vec<u8>, chance: &mut Chance, unscaled: u64, digits: u32) {
    let lot = chance.below(1_000);
    if lot < 940 {
        push_scaled(out, unscaled, digits);
    } else if lot < 970 {
        push_artefact(out, chance, unscaled, digits);
    } else {
        push_rare(out, chance, lot - 970, unscaled, digits);
    }
}

/// What is left when floats are added and divided: 12.000000000000011.
pub(crate) fn push_artefact(out: &mut Vec<u8>, chance: &mut Chance, unscaled: u64, digits: u32) {
    let part = u64::from(chance.below(97)).min(unscaled);
    let sum = ratio(unscaled - part, digits) + ratio(part, digits + 1) * 10.0;
    push_python_float(out, sum * 3.0 / 3.0);
}

fn push_rare(out: &mut Vec<u8>, chance: &mut Chance, lot: u32, unscaled: u64, digits: u32) {
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (unscaled / unit, unscaled % unit);
    let width = digits as usize;
    let fill = 8_usize.saturating_sub(width);
    let mut put = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to memory");
    match lot {
        // A tie at the ninth digit: half-even looks at the eighth.
        0..=7 => {
            let tail = chance.below(10_u32.pow(u32::try_from(fill).expect("at most 8")));
            let fraction = if width == 0 { String::new() } else { format!("{rest:0width$}") };
            let tail = if fill == 0 { String::new() } else { format!("{tail:0fill$}") };
            let after =
                chance.pick(&["5", "50", "5000000000", "500000000000000000000001", "499999"]);
            put(format_args!("{whole}.{fraction}{tail}{after}"));
        }
        // Scientific, as other writers do.
        8..=12 => put(format_args!("{unscaled}{}{digits}", chance.pick(&["e-", "E-", "e-0"]))),
        // Multiplied, for a number may not begin with a zero that is not its only digit.
        13..=15 => put(format_args!("{}E-{}", u128::from(unscaled) * 100, digits + 2)),
        // More zeros than are needed.
        16..=20 if width > 0 => put(format_args!("{whole}.{rest:0width$}000000000000")),
        // A whole number.
        21..=24 => put(format_args!("{}", whole.max(1))),
        // The ends of the range and what rounds to nothing.
        25 => put(format_args!("9999999999.99999999")),
        26 => put(format_args!("9999999999.999999994999")),
        27 => {
            put(format_args!(
                "{}",
                chance.pick(&["0.000000005", "0.000000015", "5e-09", "1e-400"])
            ));
        }
        28 => put(format_args!("{}", chance.pick(&["-0.0", "0", "0.0", "0e10", "-0"]))),
        _ => put(format_args!("-{whole}.{:0w$}", rest, w = width.max(1))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float is what is wanted, as publishers have it")]
fn ratio(unscaled: u64, digits: u32) -> f64 {
    unscaled as f64 / 10_u64.pow(digits) as f64
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeStyle {
    /// Milliseconds since 1970.
    Millis,
    /// `2024-01-25T16:00:00+00:00`, Python's `isoformat` of an aware time.
    Offset,
    /// `2024-01-25T16:00:00.123Z`.
    Zulu,
    /// `2024-01-02 15:36:39.034000`, no zone: UTC is meant.
    Naive,
    /// Another zone than UTC, minutes east.
    East(i32),
}

/// Writes a time of `ms` since 1970.
pub(crate) fn push_time(out: &mut Vec<u8>, ms: i64, style: TimeStyle) {
    let mut put = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("writing to memory");
    let millis = ms.rem_euclid(1_000);
    match style {
        TimeStyle::Millis => put(format_args!("{ms}")),
        TimeStyle::Offset => {
            push_clock(out, ms, 'T');
            if millis != 0 {
                write!(out, ".{millis:03}000").expect("writing to memory");
            }
            out.extend_from_slice(b"+00:00");
        }
        TimeStyle::Zulu => {
            push_clock(out, ms, 'T');
            if millis != 0 {
                write!(out, ".{millis:03}").expect("writing to memory");
            }
            out.push(b'Z');
        }
        TimeStyle::Naive => {
            push_clock(out, ms, ' ');
            if millis != 0 {
                write!(out, ".{millis:03}000").expect("writing to memory");
            }
        }
        TimeStyle::East(minutes) => {
            push_clock(out, ms + i64::from(minutes) * 60_000, 'T');
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.abs();
            write!(out, ".{millis:03}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
                .expect("writing to memory");
        }
    }
}

/// `YYYY-MM-DD`.
pub(crate) fn push_date(out: &mut Vec<u8>, ms: i64) {
    let (year, month, day) = date_of(ms.div_euclid(86_400_000));
    write!(out, "{year:04}-{month:02}-{day:02}").expect("writing to memory");
}

/// `HH:MM` or `HH:MM:SS`.
pub(crate) fn push_hours(out: &mut Vec<u8>, ms: i64, seconds: bool) {
    let second = ms.rem_euclid(86_400_000) / 1_000;
    write!(out, "{:02}:{:02}", second / 3_600, second / 60 % 60).expect("writing to memory");
    if seconds {
        write!(out, ":{:02}", second % 60).expect("writing to memory");
    }
}

fn push_clock(out: &mut Vec<u8>, ms: i64, between: char) {
    push_date(out, ms);
    write!(out, "{between}").expect("writing to memory");
    push_hours(out, ms, true);
}

/// Year, month and day of a day since 1970, counted through the Gregorian cycle of 400 years.
fn date_of(day: i64) -> (i64, i64, i64) {
    let mut year = 1970 + day.div_euclid(146_097) * 400;
    let mut rest = day.rem_euclid(146_097);
    // Jump close, then walk: a year has at least 365 days.
    let mut jump = rest / 366;
    while jump > 0 {
        rest -= days_of_years(year, jump);
        year += jump;
        jump = rest / 366;
    }
    while rest >= year_days(year) {
        rest -= year_days(year);
        year += 1;
    }
    let mut month = 1;
    while rest >= month_days(year, month) {
        rest -= month_days(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

fn days_of_years(from: i64, years: i64) -> i64 {
    let leaps = |year: i64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    years * 365 + leaps(from + years) - leaps(from)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_days(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is meant to be read is a number of JSON: no zero before other digits, a digit on each
    /// side of the point. Prices near zero are where it goes wrong first.
    #[test]
    fn every_price_is_a_number_of_json() {
        for seed in 0..2_000 {
            let mut chance = Chance::new(seed, 0, 0);
            let digits = chance.below(9);
            for unscaled in [0, 1, 9, 10, u64::from(chance.below(1_000_000)), 99_999_999_999] {
                for lot in 0..30 {
                    let mut text = Vec::new();
                    push_rare(&mut text, &mut chance, lot, unscaled, digits);
                    let text = String::from_utf8(text).expect("digits are text");
                    let read = serde_json::from_str::<serde_json::Value>(&text);
                    assert!(read.is_ok(), "{unscaled} / 10^{digits} as {lot}: {text}");
                }
            }
        }
    }
}
