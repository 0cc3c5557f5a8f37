//! Times by counting days: no library.

/// Milliseconds since 1970 of a time as a message writes it: whole milliseconds, or an ISO-8601
/// text of a date with or without a time of day and a zone (none is UTC). `None` when it is
/// neither, or finer than a millisecond.
#[must_use]
pub fn millis(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let mut rest = Rest(text);
    let year = rest.number(4)?;
    rest.expect(b'-')?;
    let month = rest.number(2)?;
    rest.expect(b'-')?;
    let day = rest.number(2)?;
    let date = days(year, month, day)? * 86_400_000;
    if rest.0.is_empty() {
        return Some(date);
    }
    rest.expect(b'T').or_else(|| rest.expect(b' '))?;
    let hour = rest.number(2)?;
    rest.expect(b':')?;
    let minute = rest.number(2)?;
    let second = if rest.expect(b':').is_some() { rest.number(2)? } else { 0 };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = if rest.expect(b'.').is_some() { rest.fraction()? } else { 0 };
    let zone = rest.zone()?;
    Some(date + ((hour * 60 + minute - zone) * 60 + second) * 1_000 + fraction)
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn expect(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == byte).then(|| self.0 = rest)
    }

    fn number(&mut self, width: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(width)?;
        let mut value = 0;
        for byte in digits {
            value = value * 10 + byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        }
        self.0 = rest;
        Some(value)
    }

    fn fraction(&mut self) -> Option<i64> {
        let width = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(width);
        self.0 = rest;
        let mut value = 0;
        for place in 0..3 {
            value = value * 10 + i64::from(digits.get(place).map_or(0, |byte| byte - b'0'));
        }
        let finer = digits.get(3..).unwrap_or_default().iter().any(|byte| *byte != b'0');
        (width > 0 && !finer).then_some(value)
    }

    /// Minutes east of Greenwich.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.0 == b"Z" {
            return Some(0);
        }
        let sign = if self.expect(b'+').is_some() {
            1
        } else {
            self.expect(b'-')?;
            -1
        };
        let hours = self.number(2)?;
        self.expect(b':')?;
        let minutes = self.number(2)?;
        (self.0.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
    }
}

/// Days from 1970-01-01 to a date, by counting the leap years between.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = *BEFORE.get(usize::try_from(month - 1).ok()?)?;
    let next = BEFORE.get(usize::try_from(month).ok()?).copied().unwrap_or(365);
    let length = next - before + i64::from(leap && month == 2);
    if day < 1 || day > length {
        return None;
    }
    let last = year - 1;
    let leaps = last / 4 - last / 100 + last / 400 - 477; // 477 leap years before 1970
    let into_year = before + i64::from(leap && month > 2) + day - 1;
    Some((year - 1970) * 365 + leaps + into_year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_dialect_are_read() {
        // Values from `date -u -d … +%s`.
        for (text, ms) in [
            ("1706198400123", 1_706_198_400_123),
            ("0", 0),
            ("2024-01-25T16:00:00+00:00", 1_706_198_400_000),
            ("2024-01-25T16:00:00Z", 1_706_198_400_000),
            ("2024-01-25T18:00:00.5+02:00", 1_706_198_400_500),
            ("2024-01-25T10:30:00.007-05:30", 1_706_198_400_007),
            ("2024-01-02 15:36:39.034000", 1_704_209_799_034),
            ("2024-02-29 23:59", 1_709_251_140_000),
            ("2024-03-01", 1_709_251_200_000),
            ("1900-01-01", -2_208_988_800_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2199-12-31T23:59:59Z", 7_258_118_399_000),
            ("2000-02-29", 951_782_400_000),
        ] {
            assert_eq!(millis(text.as_bytes()), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "yesterday",
            "2024-13-01T00:00:00Z",
            "2024-00-10",
            "2024-02-30 00:00:00",
            "2023-02-29T12:00:00Z",
            "1900-02-29",
            "2024-01-25T24:01:00Z",
            "2024-01-25T12:60:00Z",
            "2024-01-25T12:00:00+99:00",
            "2024-01-25T12:00:00Zulu",
            "24-01-25",
            "2024-01-25T",
            "2024-01-25T12:00:00.",
            "2024-01-25 12:00:00.0001",
            "2024-01-32",
            "1706198400.5",
        ] {
            assert_eq!(millis(text.as_bytes()), None, "{text}");
        }
    }
}
