//! Times: ISO 8601 texts and dates of the proleptic Gregorian calendar, in UTC.

/// A time as a text gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(super) seconds: i64,
    /// Nanoseconds within the second.
    pub(super) nanos: u32,
    /// Whether the text had digits behind the ninth that are not zero.
    finer: bool,
}

impl Instant {
    /// In units of 10^-`precision` seconds, cut towards the past; and whether nothing was cut.
    pub(super) fn at_precision(self, precision: u8) -> (i128, bool) {
        let precision = u32::from(precision.min(9));
        let unit = 10_u32.pow(9 - precision);
        let whole = i128::from(self.seconds) * 10_i128.pow(precision);
        let exact = self.nanos.is_multiple_of(unit) && !self.finer;
        (whole + i128::from(self.nanos / unit), exact)
    }
}

/// Reads a date with or without a time of day: `2024-01-25`, `2024-01-25T16:00:00Z`,
/// `2024-01-25 16:00:00.123456+02:00`, `2024-01-25T16:00`. Without a zone it is UTC.
///
/// Any number of fraction digits behind `.` or `,`; offsets `±HH:MM`, `±HHMM`, `±HH` below 24 h.
/// No leap seconds and no hour 24: a `DateTime64` has neither.
pub(super) fn instant(text: &[u8]) -> Option<Instant> {
    let (days, rest) = date(text)?;
    match rest.split_first() {
        None => Some(Instant { seconds: days * 86_400, nanos: 0, finer: false }),
        Some((b'T' | b't' | b' ', time)) => {
            let clock = clock(time)?;
            Some(Instant { seconds: days * 86_400 + clock.seconds, ..clock })
        }
        Some(_) => None,
    }
}

/// Reads `YYYY-MM-DD` as days since 1970.
pub(super) fn whole_day(text: &[u8; 10]) -> Option<i64> {
    date(text).map(|(days, _)| days)
}

/// Reads a date and the time of day that belongs to it; an empty time is midnight. A date that
/// has a time of day already must have midnight when there is another one.
pub(super) fn date_and_time(date: &[u8], time: &[u8]) -> Option<Instant> {
    let start = instant(date)?;
    if time.is_empty() {
        return Some(start);
    }
    let clock = clock(time)?;
    let midnight = start.seconds.rem_euclid(86_400) == 0 && start.nanos == 0 && !start.finer;
    midnight.then_some(Instant { seconds: start.seconds + clock.seconds, ..clock })
}

/// `YYYY-MM-DD` as days since 1970, and what follows it.
fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_first_chunk::<10>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *head else {
        return None;
    };
    let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
    let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
    let sound = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    sound.then(|| (days_since_1970(year, month, day), rest))
}

/// `HH:MM`, `HH:MM:SS`, `HH:MM:SS.fraction`, each with or without a zone: the time since midnight
/// of the day before or after, when the zone says so.
fn clock(text: &[u8]) -> Option<Instant> {
    let (&[h1, h2, b':', m1, m2], mut rest) = text.split_first_chunk::<5>()? else {
        return None;
    };
    let (hour, minute, mut second) = (pair(h1, h2)?, pair(m1, m2)?, 0);
    let (mut nanos, mut finer) = (0, false);
    if let Some((&[b':', s1, s2], behind)) = rest.split_first_chunk::<3>() {
        second = pair(s1, s2)?;
        rest = behind;
        if let Some((b'.' | b',', behind)) = rest.split_first() {
            let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let (fraction, behind) = behind.split_at(digits);
            for place in 0..9 {
                nanos = nanos * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'));
            }
            finer = fraction.iter().skip(9).any(|digit| *digit != b'0');
            rest = behind;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second - offset(rest)?;
    Some(Instant { seconds, nanos, finer })
}

/// Seconds that a zone is ahead of UTC; nothing is UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first() {
        None | Some((b'Z' | b'z', [])) => return Some(0),
        Some((b'+', digits)) => (1, digits),
        Some((b'-', digits)) => (-1, digits),
        Some(_) => return None,
    };
    let (hours, minutes) = match *digits {
        [h1, h2] => (pair(h1, h2)?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (pair(h1, h2)?, pair(m1, m2)?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn pair(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant, "chrono-compatible low-level date algorithms": `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Option<i128> {
        instant(text.as_bytes()).map(|instant| instant.at_precision(3).0)
    }

    #[test]
    fn iso_texts_in_every_allowed_form() {
        for (text, want) in [
            ("1970-01-01", 0),
            ("2024-01-25T16:00:00Z", 1_706_198_400_000),
            ("2024-01-25T16:00:00+00:00", 1_706_198_400_000),
            ("2024-01-25T16:00:00", 1_706_198_400_000),
            ("2024-01-25 16:00:00", 1_706_198_400_000),
            ("2024-01-25t16:00z", 1_706_198_400_000),
            ("2024-01-25T18:30:00+0230", 1_706_198_400_000),
            ("2024-01-25T18:30:00+02:30", 1_706_198_400_000),
            ("2024-01-25T08:00:00-08", 1_706_198_400_000),
            ("2024-01-26T01:00:00+09:00", 1_706_198_400_000),
            ("2024-01-02 15:36:39.034000", 1_704_209_799_034),
            ("2024-01-02 15:36:39.0349999999999", 1_704_209_799_034),
            ("2024-01-02 15:36:39,5", 1_704_209_799_500),
            ("1969-12-31T23:59:59.9999", -1),
            ("1900-01-01", -2_208_988_800_000),
            ("2199-12-31T23:59:59.999Z", 7_258_118_399_999),
            ("2000-02-29", 951_782_400_000),
            ("0000-01-01", -62_167_219_200_000),
        ] {
            assert_eq!(ms(text), Some(want), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "2024",
            "2024-01",
            "2024-1-25",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "2024-01-32",
            "2023-02-29",
            "1900-02-29",
            "2024-04-31",
            "2024-01-25T",
            "2024-01-25T16",
            "2024-01-25T24:00:00",
            "2024-01-25T16:60",
            "2024-01-25T16:00:60",
            "2024-01-25T16:00:00.",
            "2024-01-25T16:00:00.Z",
            "2024-01-25T16:00:00+",
            "2024-01-25T16:00:00+24:00",
            "2024-01-25T16:00:00+00:60",
            "2024-01-25T16:00:00 Z",
            "2024-01-25T16:00:00Zx",
            "2024-01-25x16:00:00",
            "25/01/2024",
            "20240125",
            "yesterday",
            "-2024-01-25",
            "2024-01-25T16:00:00+1:00",
            "２０２４-01-25",
        ] {
            assert_eq!(ms(text), None, "{text}");
        }
    }

    /// Walks every day of 1800 to 2300: each is one day after the other.
    #[test]
    fn days_follow_each_other() {
        let mut expected = days_since_1970(1800, 1, 1);
        for year in 1800..2300 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(days_since_1970(2024, 1, 25), 19_747);
    }

    #[test]
    fn a_date_and_a_time_make_an_instant() {
        let ms = |date: &str, time: &str| {
            date_and_time(date.as_bytes(), time.as_bytes()).map(|i| i.at_precision(3).0)
        };
        assert_eq!(ms("2024-01-25", ""), Some(1_706_140_800_000));
        assert_eq!(ms("2024-01-25", "16:00"), Some(1_706_198_400_000));
        assert_eq!(ms("2024-01-25", "16:00:00.5"), Some(1_706_198_400_500));
        assert_eq!(ms("2024-01-25T00:00:00Z", "16:00"), Some(1_706_198_400_000));
        assert_eq!(ms("2024-01-25T01:00:00Z", "16:00"), None);
        assert_eq!(ms("2024-01-25", "All Day"), None);
        assert_eq!(ms("2024-01-25", "4pm"), None);
    }

    #[test]
    fn precision_cuts_and_says_so() {
        let fine = instant(b"2024-01-25T16:00:00.123456789").unwrap();
        assert_eq!(fine.at_precision(9), (1_706_198_400_123_456_789, true));
        assert_eq!(fine.at_precision(3), (1_706_198_400_123, false));
        assert_eq!(fine.at_precision(0), (1_706_198_400, false));
        let padded = instant(b"2024-01-25T16:00:00.123000000000").unwrap();
        assert_eq!(padded.at_precision(3), (1_706_198_400_123, true));
        let finer = instant(b"2024-01-25T16:00:00.1230000000001").unwrap();
        assert_eq!(finer.at_precision(9), (1_706_198_400_123_000_000, false));
    }
}
