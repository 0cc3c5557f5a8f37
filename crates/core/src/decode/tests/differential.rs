//! Held against other readers: `serde_json` decides what is JSON, a decimal arithmetic on texts and
//! `rust_decimal` what a number is worth, `jiff` what a time is. Nothing valid is refused, nothing
//! invalid is accepted, no accepted value differs.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::chunks::damage;
use super::{Bench, NOW_MS};

/// The fields of an object, duplicates included.
struct Fields<'p>(Vec<(String, &'p RawValue)>);

impl<'p> Deserialize<'p> for Fields<'p> {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'p> Visitor<'p> for Pairs {
            type Value = Fields<'p>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Fields<'p>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// What a message says, or `None` when it is to be a dead letter. Independent of the decoder:
/// fields by `serde_json`, values below.
fn oracle(payload: &[u8], subject: &str) -> Option<BTreeMap<&'static str, String>> {
    let text = str::from_utf8(payload).ok()?;
    let fields: Fields<'_> = serde_json::from_str(text).ok()?;
    fields.0.iter().all(|(_, value)| sound(value)).then_some(())?;
    // Of duplicates the last wins.
    let fields: BTreeMap<_, _> = fields.0.into_iter().collect();
    let field = |names: &[&str]| {
        let values = names.iter().filter_map(|name| fields.get(*name));
        values.map(|raw| raw.get()).find(|raw| *raw != "null")
    };
    let string = |names: &[&str]| match field(names) {
        None => Some(String::new()),
        Some(raw) => serde_json::from_str(raw).ok(),
    };
    let symbol = if field(&["symbol", "pair"]).is_none() {
        subject.split('.').nth(1)?.to_owned()
    } else {
        string(&["symbol", "pair"])?
    };
    let mut row = BTreeMap::new();
    row.insert("symbol", Some(symbol).filter(|symbol| !symbol.is_empty())?);
    row.insert("timestamp", timestamp(field(&["timestamp_ms", "t", "timestamp"])?)?);
    row.insert("bid", price(field(&["bid", "b"])?)?);
    row.insert("ask", price(field(&["ask", "a"])?)?);
    row.insert("volume", field(&["volume", "s"]).map_or(Some("NULL".to_owned()), price)?);
    row.insert("exchange", field(&["exchange", "x"]).map_or(Some("NULL".to_owned()), exchange)?);
    row.insert("source", string(&["source"])?);
    row.insert("event_type", string(&["event_type", "ev"])?);
    Some(row)
}

/// `RawValue` skips texts without looking at their surrogates: look at every one.
fn sound(raw: &RawValue) -> bool {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(text).is_ok(),
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text)
            .is_ok_and(|inside| inside.into_iter().all(sound)),
        Some(b'{') => serde_json::from_str::<Fields<'_>>(text)
            .is_ok_and(|inside| inside.0.into_iter().all(|(_, value)| sound(value))),
        _ => true,
    }
}

/// The text of a number, written as one or as a text.
fn number(raw: &str) -> Option<String> {
    let text = if raw.starts_with('"') { serde_json::from_str(raw).ok()? } else { raw.to_owned() };
    let grammar = serde_json::from_str::<&RawValue>(&text).ok()?.get() == text;
    (grammar && text.starts_with(|c: char| c == '-' || c.is_ascii_digit())).then_some(text)
}

/// Rounds half to even on the text alone: moves the point, cuts, adds one from the right. The
/// digits of the result are an integer at `scale`; `None` beyond 60 digits.
fn round(number: &str, scale: usize) -> Option<(bool, String, bool)> {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.bytes().all(|digit| digit == b'0') {
        return Some((false, "0".to_owned(), true));
    }
    let exponent: i64 =
        exponent.parse().unwrap_or(if exponent.starts_with('-') { -9_999 } else { 9_999 });
    let length = |digits: usize| i64::try_from(digits).unwrap();
    let point = length(whole.len()) + exponent.clamp(-9_999, 9_999) + length(scale);
    let leading = length(digits.bytes().take_while(|digit| *digit == b'0').count());
    if point - leading > 60 {
        return None;
    }
    let (padded, point) = if let Ok(point) = usize::try_from(point) {
        (digits + &"0".repeat(60), point)
    } else {
        let missing = usize::try_from(-point).unwrap();
        (format!("{}{digits}", "0".repeat(missing)), 0)
    };
    let (kept, cut) = padded.split_at(point);
    let exact = cut.bytes().all(|digit| digit == b'0');
    let half = cut.starts_with('5') && cut[1..].bytes().all(|digit| digit == b'0');
    let odd = kept.bytes().next_back().is_some_and(|digit| digit % 2 == 1);
    let up = if half { odd } else { cut.as_bytes().first().is_some_and(|digit| *digit >= b'5') };
    let mut kept: Vec<u8> = format!("0{kept}").into_bytes();
    if up {
        for digit in kept.iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
    }
    let kept = String::from_utf8(kept).unwrap();
    let kept = kept.trim_start_matches('0');
    let kept = if kept.is_empty() { "0" } else { kept };
    Some((negative && kept != "0", kept.to_owned(), exact))
}

fn price(raw: &str) -> Option<String> {
    let text = number(raw)?;
    let (negative, digits, _) = round(&text, 8)?;
    if digits.len() > 18 {
        return None;
    }
    let digits = format!("{digits:0>9}");
    let (whole, fraction) = digits.split_at(digits.len() - 8);
    let value = format!("{}{whole}.{fraction}", if negative { "-" } else { "" });
    // What rust_decimal can hold exactly, it must round to the same.
    let plain = Decimal::from_str_exact(&text).ok();
    if let Some(known) =
        plain.or_else(|| Decimal::from_scientific(&text).ok().filter(|_| text.len() < 20))
    {
        let rounded = known.round_dp_with_strategy(8, RoundingStrategy::MidpointNearestEven);
        assert_eq!(rounded, Decimal::from_str(&value).unwrap(), "{text}");
    }
    Some(value)
}

fn whole(raw: &str) -> Option<i64> {
    let (negative, digits, exact) = round(&number(raw)?, 0)?;
    let digits = if negative { format!("-{digits}") } else { digits };
    exact.then(|| digits.parse().ok())?
}

fn exchange(raw: &str) -> Option<String> {
    Some(i32::try_from(whole(raw)?).ok()?.to_string())
}

fn timestamp(raw: &str) -> Option<String> {
    let ms = if number(raw).is_some() {
        whole(raw)?
    } else {
        iso(&serde_json::from_str::<String>(raw).ok()?)?
    };
    (0..=NOW_MS + 86_400_000).contains(&ms).then(|| ms.to_string())
}

/// Milliseconds by jiff; only for texts of the grammar of `time::instant`.
fn iso(text: &str) -> Option<i64> {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let shaped: String = text.chars().map(shape).collect();
    let date = shaped.get(..10)?;
    (date == "0000-00-00").then_some(())?;
    let separator = shaped.get(10..11);
    separator.is_none_or(|s| matches!(s, "T" | "t" | " ")).then_some(())?;
    if let Some(time) = shaped.get(11..) {
        let digits = time.strip_prefix("00:00")?;
        let digits = digits.strip_prefix(":00").map_or(digits, |rest| {
            let fraction = rest.strip_prefix(['.', ',']).map(|f| f.trim_start_matches('0'));
            fraction.filter(|f| f.len() + 1 < rest.len()).unwrap_or(rest)
        });
        let zones = ["", "Z", "z", "+00", "-00", "+0000", "-0000", "+00:00", "-00:00"];
        zones.contains(&digits).then_some(())?;
        // jiff knows offsets beyond a day; RFC 3339 does not.
        let zone = text.get(11..)?.split(['+', '-']).nth(1);
        let hours = zone.and_then(|zone| zone.get(..2)?.parse().ok());
        hours.is_none_or(|hours: u8| hours < 24).then_some(())?;
        if text.get(17..19) == Some("60") && shaped.get(16..19) == Some(":00") {
            return None;
        }
    }
    // jiff takes nine digits of a fraction; what lies behind them is cut anyway.
    let mut text = text.to_owned();
    if let Some(point) = text.find(['.', ',']) {
        let digits = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 9 {
            text.replace_range(point + 10..point + 1 + digits, "");
        }
    }
    let utc = |time: jiff::civil::DateTime| time.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let nanos = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.as_nanosecond(),
        Err(_)
            if text.len() > 10
                && (text.ends_with(['Z', 'z']) || text[11..].contains(['+', '-'])) =>
        {
            return None;
        }
        Err(_) => utc(text.parse().ok()?)?.timestamp().as_nanosecond(),
    };
    i64::try_from(nanos.div_euclid(1_000_000)).ok()
}

/// Decodes and compares; says whether the message was accepted.
pub(super) fn agree(bench: &mut Bench, payload: &[u8]) -> bool {
    let expected = oracle(payload, "market.SUBJ.tick");
    let shown = String::from_utf8_lossy(payload);
    match (bench.decode(payload), expected) {
        (Ok(row), Some(expected)) => {
            for (column, value) in &expected {
                assert_eq!(&row[*column], value, "{column} of {shown}");
            }
            true
        }
        (Err(_), None) => false,
        (Ok(row), None) => panic!("accepted, and should not be: {shown}\n{row:?}"),
        (Err(refusal), Some(_)) => panic!("refused, and should not be: {shown}\n{refusal:?}"),
    }
}

/// A writer of messages, good and bad, in any layout.
struct Writer(fastrand::Rng);

impl Writer {
    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.usize(0..of.len())]
    }

    fn message(&mut self) -> String {
        let mut fields = vec![
            (self.one_of(&["symbol", "pair", "symbol"]), self.text()),
            (self.one_of(&["bid", "b"]), self.price()),
            (self.one_of(&["ask", "a"]), self.price()),
            (self.one_of(&["timestamp_ms", "t", "timestamp"]), self.time()),
        ];
        for _ in 0..self.0.usize(0..6) {
            let optional = match self.0.u8(0..7) {
                0 => (self.one_of(&["volume", "s"]), self.price()),
                1 => (self.one_of(&["exchange", "x"]), self.integer()),
                2 => ("source", self.text()),
                3 => (self.one_of(&["event_type", "ev"]), self.text()),
                4 => (self.one_of(&["unknown", "_transport", "", "bid ", "Bid"]), self.value(3)),
                5 => (
                    self.one_of(&["symbol", "bid", "a", "timestamp", "volume", "source"]),
                    self.value(0),
                ),
                _ => ("ask", self.price()),
            };
            fields.push(optional);
        }
        if self.0.u8(0..20) == 0 {
            fields.remove(self.0.usize(0..4));
        }
        self.0.shuffle(&mut fields);
        let fields: Vec<_> =
            fields.iter().map(|(key, value)| (self.key(key), value.clone())).collect();
        self.object(&fields)
    }

    fn object(&mut self, fields: &[(String, String)]) -> String {
        let (comma, colon) =
            [(",", ":"), (", ", ": "), (" ,\n\t", " :\r\n ")][self.0.usize(0..20).min(2) % 3];
        let fields: Vec<_> =
            fields.iter().map(|(key, value)| format!("{key}{colon}{value}")).collect();
        format!("{{{}}}", fields.join(comma))
    }

    fn key(&mut self, key: &str) -> String {
        if self.0.u8(0..12) > 0 || key.is_empty() {
            return format!("\"{key}\"");
        }
        let first = key.chars().next().unwrap();
        format!("\"\\u{:04x}{}\"", first as u32, &key[first.len_utf8()..])
    }

    fn text(&mut self) -> String {
        let known = self.one_of(&[
            r#""EUR/USD""#,
            r#""EUR\/USD""#,
            r#""XAU""#,
            r#""é€😀""#,
            r#""\ud83d\ude00x""#,
            r#""\u0041\n\"""#,
            r#""a text of more than sixteen bytes, \\ with an escape""#,
            r#""""#,
            "null",
            "5",
            r#""\ud83d""#,
            r#""\udc00""#,
            "\"\t\"",
            "\"a control character behind sixteen \u{1}\"",
            "[]",
            r#""\u00zz""#,
        ]);
        if self.0.u8(0..3) > 0 { r#""EUR/USD""#.to_owned() } else { known.to_owned() }
    }

    fn price(&mut self) -> String {
        let digits = |writer: &mut Self, most: usize| {
            let count = writer.0.usize(1..=most);
            (0..count).map(|_| char::from(b'0' + writer.0.u8(0..10))).collect::<String>()
        };
        let plain = match self.0.u8(0..10) {
            0..4 => format!("{}.{:05}", self.0.u8(0..3), self.0.u32(0..100_000)),
            4 => format!("{}.{}", self.0.u32(..), digits(self, 22)),
            5 => format!(
                "0.00000000{}",
                self.one_of(&["5", "50", "500000000000000000000001", "49", "51", "15"])
            ),
            6 => format!("{}.{:08}5", self.0.u8(..), self.0.u32(0..100_000_000)),
            7 => format!("{}e{}", self.0.u16(..), self.0.i8(-30..8)),
            8 => format!(
                "{}.{}E{}{}",
                self.0.u8(..),
                digits(self, 25),
                self.one_of(&["", "+", "-"]),
                self.0.u8(0..12)
            ),
            _ => self
                .one_of(&[
                    "0",
                    "-0",
                    "-0.0",
                    "9999999999.99999999",
                    "9999999999.999999995",
                    "9999999999.9999999949",
                    "10000000000",
                    "1e400",
                    "1e-400",
                    "0e999999999999",
                    "1e99999999999999999999",
                    "01",
                    "1.",
                    ".5",
                    "+1",
                    "1e",
                    "NaN",
                    "Infinity",
                    "abc",
                    "\"abc\"",
                    "\"\"",
                    "null",
                    "true",
                    "{}",
                    "0.1e1",
                    "--1",
                    "999999999999999999",
                    "9999999999999999999",
                    "0.000000000000000000000000000000000000001",
                ])
                .to_owned(),
        };
        let plain = if self.0.u8(0..8) == 0 { format!("-{plain}") } else { plain };
        if self.0.u8(0..6) == 0 && !plain.contains('"') { format!("\"{plain}\"") } else { plain }
    }

    fn integer(&mut self) -> String {
        let known = self.one_of(&[
            "48",
            "0",
            "-1",
            "2147483647",
            "2147483648",
            "-2147483648",
            "-2147483649",
            "48.0",
            "48.5",
            "4.8e1",
            "480e-1",
            "481e-1",
            "1e30",
            "\"48\"",
            "\"48.0\"",
            "\"x\"",
            "true",
            "null",
            "1e-400",
            "0.0e5",
        ]);
        known.to_owned()
    }

    fn time(&mut self) -> String {
        let ms = self.0.i64(0..NOW_MS);
        match self.0.u8(0..10) {
            0..4 => ms.to_string(),
            4 => format!("\"{ms}\""),
            5 => format!("{ms}.0"),
            6 => self
                .one_of(&[
                    "-1",
                    "0",
                    "1706832000000",
                    "1706832000001",
                    "1e12",
                    "1.5",
                    "null",
                    "\"\"",
                    "\"now\"",
                    "true",
                    "17061984001230000",
                    "1e300",
                    "\"2024-02-30\"",
                    "\"2024-02-29\"",
                    "\"2023-02-29\"",
                    "\"2024-01-25\"",
                    "\"1969-12-31T23:59:59.9999Z\"",
                    "\"1970-01-01T00:30:00+01:00\"",
                ])
                .to_owned(),
            _ => {
                let (month, day) = (self.0.u8(0..14), self.0.u8(0..33));
                let (hour, minute, second) = (self.0.u8(0..25), self.0.u8(0..61), self.0.u8(0..61));
                let separator = self.one_of(&["T", " ", "t", "_"]);
                let fraction = self.one_of(&[
                    "",
                    ".5",
                    ".034000",
                    ",123",
                    ".1239999999999",
                    ".",
                    ".000000001",
                ]);
                let zone = self.one_of(&[
                    "", "Z", "+00:00", "+0530", "-08", "z", "+24:00", "+5", " Z", "-00:30",
                ]);
                format!(
                    "\"20{:02}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}\"",
                    self.0.u8(0..24)
                )
            }
        }
    }

    fn value(&mut self, depth: u8) -> String {
        match self.0.u8(0..if depth == 0 { 4 } else { 7 }) {
            0 => self.text(),
            1 => self.price(),
            2 => self.one_of(&["true", "false", "null", "nul", "tru", "True"]).to_owned(),
            3 => self.integer(),
            4 => {
                let inside: Vec<_> = (0..self.0.u8(0..4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", inside.join(self.one_of(&[",", ", ", " , "])))
            }
            _ => {
                let mut fields = Vec::new();
                for _ in 0..self.0.u8(0..4) {
                    fields.push((self.key("bid"), self.value(depth - 1)));
                }
                self.object(&fields)
            }
        }
    }
}

/// Whatever a publisher writes, and whatever damage it takes on the way.
#[test]
fn ticks_decode_as_other_readers_read_them() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3);
    println!("SEED={seed}");
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40_000);
    let mut writer = Writer(fastrand::Rng::with_seed(seed));
    let mut bench = Bench::new("ticks").subject("market.SUBJ.tick");
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for _ in 0..rounds {
        let mut payload = writer.message().into_bytes();
        for damaged in [false, true] {
            if damaged {
                for _ in 0..writer.0.usize(1..3) {
                    damage(&mut payload, &mut writer.0);
                }
            }
            if !payload.is_empty() {
                let counter =
                    if agree(&mut bench, &payload) { &mut accepted } else { &mut refused };
                *counter += 1;
            }
        }
    }
    assert!(
        accepted > rounds / 3 && refused > rounds / 3,
        "{accepted} accepted, {refused} refused"
    );
}
