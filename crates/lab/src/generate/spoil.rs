//! Bad messages: a good draft with one thing wrong.

use super::draft::{Draft, Written};
use super::render::{DUMPS, write_message};
use super::{Flaw, candle, tick};
use crate::chance::Chance;
use crate::plan::Kind;

/// How deep is too deep: what breaks recursive parsers.
const DEPTH: usize = 10_000;

/// A flaw to be written.
pub(super) struct Spoiled {
    pub(super) flaw: Flaw,
    pub(super) garbage_bytes: u32,
}

/// A field and its first name.
type Named = (&'static str, usize);

/// Required fields of a kind: texts, time, numbers.
struct Required {
    texts: &'static [Named],
    time: Named,
    numbers: &'static [Named],
}

fn required(kind: Kind) -> Required {
    const TICK_TEXTS: &[Named] = &[("symbol", tick::SYMBOL)];
    const TICK_NUMBERS: &[Named] = &[("bid", tick::BID), ("ask", tick::ASK)];
    const CANDLE_TEXTS: &[Named] = &[("symbol", candle::SYMBOL), ("timeframe", candle::TIMEFRAME)];
    const CANDLE_NUMBERS: &[Named] =
        &[("open", candle::OPEN), ("high", 4), ("low", 5), ("close", candle::CLOSE)];
    let external = |time| Required { texts: &[], time, numbers: &[] };
    match kind {
        Kind::Tick => Required {
            texts: TICK_TEXTS,
            time: ("timestamp", tick::TIMESTAMP),
            numbers: TICK_NUMBERS,
        },
        Kind::Candle => Required {
            texts: CANDLE_TEXTS,
            time: ("timestamp", candle::TIMESTAMP),
            numbers: CANDLE_NUMBERS,
        },
        Kind::EconomicCalendar => external(("date", 3)),
        Kind::FredEconomic => external(("date", 2)),
        Kind::CryptoSentiment | Kind::CommodityPrices => external(("timestamp", 1)),
        Kind::FearGreedIndex => external(("timestamp", 4)),
        Kind::MarketSessions => external(("current_utc_time", 1)),
    }
}

impl Spoiled {
    /// Writes the bad message; true when it has no payload at all.
    pub(super) fn write(
        &self,
        kind: Kind,
        draft: &mut Draft,
        mut chance: Chance,
        out: &mut Vec<u8>,
    ) -> bool {
        let chance = &mut chance;
        let whole =
            |draft: &Draft, out: &mut Vec<u8>| write_message(kind, draft, DUMPS, false, out);
        match self.flaw {
            Flaw::Tombstone => return true,
            Flaw::EmptyValue => {}
            Flaw::Truncated => {
                whole(draft, out);
                // Behind the last brace nothing is missing.
                let end = u32::try_from(out.len()).expect("a short message");
                out.truncate(chance.between(1, end - 1) as usize);
            }
            Flaw::Syntax => {
                whole(draft, out);
                break_syntax(chance, out);
            }
            Flaw::TrailingBytes => {
                whole(draft, out);
                let tail =
                    *chance.pick::<&[u8]>(&[b"x", b" {}", b"\0", b"}", b",", b"\n\n1", b"\xFF"]);
                out.extend_from_slice(tail);
            }
            Flaw::NotAnObject => {
                let text = *chance.pick(&[
                    "[]",
                    "\"EUR/USD\"",
                    "42",
                    "null",
                    "true",
                    "[{\"bid\": 1}]",
                    " ",
                ]);
                out.extend_from_slice(text.as_bytes());
            }
            Flaw::Garbage => {
                // Never an opening brace at the start: nothing of it is JSON.
                out.push(0xC0);
                while out.len() < self.garbage_bytes as usize {
                    out.extend_from_slice(&chance.next().to_le_bytes());
                }
            }
            Flaw::DeepNesting => {
                let (open, close) = *chance.pick(&[("[", "]"), ("{\"a\":", "}")]);
                let middle = if open == "[" { "" } else { "1" };
                let value = format!("{}{middle}{}", open.repeat(DEPTH), close.repeat(DEPTH));
                draft.extra("meta", Written::Bare, &value);
                whole(draft, out);
            }
            Flaw::InvalidUtf8 => {
                let bytes = *chance.pick::<&[u8]>(&[
                    b"\xFF",
                    b"E\xC3",
                    b"\xC0\x80",
                    b"\xED\xA0\x80",
                    b"a\x80b",
                    b"\xF5\x80\x80\x80",
                ]);
                quote(kind, draft, chance, bytes);
                whole(draft, out);
            }
            Flaw::ControlCharacter => {
                let bytes =
                    *chance.pick::<&[u8]>(&[b"a\nb", b"\t", b"a\0b", b"\x1F", b"\r", b"\x01"]);
                quote(kind, draft, chance, bytes);
                whole(draft, out);
            }
            Flaw::BadEscape => {
                let bytes = *chance.pick::<&[u8]>(&[
                    br"\x41",
                    br"\u12G4",
                    br"\ud83d",
                    br"\ude00",
                    br"\ud83dA",
                    br"\a",
                ]);
                quote(kind, draft, chance, bytes);
                whole(draft, out);
            }
            Flaw::NoData => no_data(chance, out),
            Flaw::MissingRequired
            | Flaw::NullRequired
            | Flaw::EmptyRequired
            | Flaw::WrongType
            | Flaw::NotFinite
            | Flaw::NotANumber
            | Flaw::OutOfRange
            | Flaw::Fraction
            | Flaw::UnreadableTime
            | Flaw::TimeRange
            | Flaw::UnknownTimeframe => {
                self.spoil_field(kind, draft, chance);
                whole(draft, out);
            }
        }
        false
    }

    fn spoil_field(&self, kind: Kind, draft: &mut Draft, chance: &mut Chance) {
        let required = required(kind);
        let any = |chance: &mut Chance| {
            let number = chance.below(
                u32::try_from(required.texts.len() + required.numbers.len() + 1)
                    .expect("few fields"),
            ) as usize;
            let mut fields = required.texts.iter().chain(required.numbers);
            fields.nth(number).copied().unwrap_or(required.time)
        };
        let number = |chance: &mut Chance| match required.numbers {
            [] => required.time,
            numbers => *chance.pick(numbers),
        };
        match self.flaw {
            Flaw::MissingRequired => {
                let (_, column) = any(chance);
                draft.remove(column);
            }
            Flaw::NullRequired => {
                let (key, column) = any(chance);
                draft.replace(key, column, Written::Bare, b"null");
            }
            Flaw::EmptyRequired => {
                let (key, column) = any(chance);
                draft.replace(key, column, Written::Text, b"");
            }
            Flaw::WrongType => {
                let (key, column) = number(chance);
                let value = *chance.pick::<&[u8]>(&[
                    b"true",
                    b"false",
                    b"{}",
                    b"[1.1]",
                    b"{\"value\": 1.1}",
                ]);
                draft.replace(key, column, Written::Bare, value);
            }
            Flaw::NotFinite => {
                let (key, column) = number(chance);
                let value =
                    *chance.pick::<&[u8]>(&[b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf"]);
                let written = if chance.one_in(2) { Written::Text } else { Written::Bare };
                draft.replace(key, column, written, value);
            }
            Flaw::NotANumber => {
                let (key, column) = number(chance);
                let value = *chance.pick::<&[u8]>(&[
                    b"abc", b"1.2.3", b"1,5", b"0x10", b"12 USD", b"--1", b"1e", b"-", b"null",
                ]);
                draft.replace(key, column, Written::Text, value);
            }
            Flaw::OutOfRange => out_of_range(kind, draft, chance),
            Flaw::Fraction => {
                let (key, column) = whole_field(kind);
                let value = *chance.pick::<&[u8]>(&[b"1.5", b"0.0001", b"15e-1"]);
                draft.replace(key, column, Written::Bare, value);
            }
            Flaw::UnreadableTime => unreadable_time(kind, required.time, draft, chance),
            Flaw::TimeRange => {
                let (key, column) = required.time;
                let value = match (kind, chance.below(4)) {
                    (Kind::Tick | Kind::Candle, 0) => "1969-12-31T23:59:59.999Z",
                    (Kind::Tick | Kind::Candle, 1) => "2199-01-01 00:00:00",
                    (Kind::Tick | Kind::Candle, 2) => "-1",
                    (Kind::Tick | Kind::Candle, _) => "7226582400000",
                    (Kind::EconomicCalendar | Kind::FredEconomic, lot) => {
                        if lot < 2 {
                            "1899-12-31"
                        } else {
                            "2200-01-01"
                        }
                    }
                    (_, lot) => {
                        if lot < 2 {
                            "1899-12-31T23:59:59Z"
                        } else {
                            "2200-01-01T00:00:00Z"
                        }
                    }
                };
                let written = if value.len() > 3 && value.as_bytes()[4] == b'-' {
                    Written::Text
                } else {
                    Written::Bare
                };
                draft.replace(key, column, written, value.as_bytes());
            }
            _ => {
                let value = *chance
                    .pick::<&[u8]>(&[b"7m", b"1M", b"5 m", b"60", b"m5", b"2w", b"1mm", b"5m "]);
                draft.replace("timeframe", candle::TIMEFRAME, Written::Text, value);
            }
        }
    }
}

fn whole_field(kind: Kind) -> Named {
    match kind {
        Kind::Candle => ("tick_count", candle::TICK_COUNT),
        _ => ("exchange", tick::EXCHANGE),
    }
}

fn out_of_range(kind: Kind, draft: &mut Draft, chance: &mut Chance) {
    if chance.one_in(3) {
        let (key, column) = whole_field(kind);
        let value: &[u8] = match kind {
            Kind::Candle if chance.one_in(2) => b"-1",
            Kind::Candle => b"18446744073709551616",
            _ if chance.one_in(2) => b"-2147483649",
            _ => b"2147483648",
        };
        draft.replace(key, column, Written::Bare, value);
        return;
    }
    if kind == Kind::Candle && chance.one_in(3) {
        draft.replace("is_complete", candle::IS_COMPLETE, Written::Bare, b"256");
        return;
    }
    let (key, column) = *chance.pick(required(kind).numbers);
    // The second rounds up to what no longer fits.
    let value = *chance.pick::<&[u8]>(&[
        b"10000000000",
        b"9999999999.999999995",
        b"-1e10",
        b"1e300",
        b"1e999999999999",
        b"123456789012345678901234567890",
    ]);
    draft.replace(key, column, Written::Bare, value);
}

fn unreadable_time(kind: Kind, (key, column): Named, draft: &mut Draft, chance: &mut Chance) {
    let dates = matches!(kind, Kind::EconomicCalendar | Kind::FredEconomic);
    let value = if dates {
        *chance.pick(&["soon", "2024-13-01", "2024-02-30", "2023-02-29", "24-01-25"])
    } else {
        *chance.pick(&[
            "yesterday",
            "2024-13-01T00:00:00Z",
            "2024-02-30 00:00:00",
            "2023-02-29T12:00:00Z",
            "2024-01-25T24:01:00Z",
            "2024-01-25T12:60:00Z",
            "2024-01-25T12:00:00+99:00",
            "2024-01-25T12:00:00Zulu",
        ])
    };
    draft.replace(key, column, Written::Text, value.as_bytes());
}

/// Puts raw bytes between the quotes of a text.
fn quote(kind: Kind, draft: &mut Draft, chance: &mut Chance, bytes: &[u8]) {
    let (key, column) = match kind {
        Kind::Tick => *chance.pick(&[
            ("symbol", tick::SYMBOL),
            ("source", tick::SOURCE),
            ("event_type", tick::EVENT_TYPE),
        ]),
        Kind::Candle => *chance.pick(&[("symbol", candle::SYMBOL), ("source", candle::SOURCE)]),
        Kind::EconomicCalendar => ("event", 2),
        Kind::FredEconomic => ("series_id", 0),
        Kind::CryptoSentiment | Kind::CommodityPrices => ("name", 2),
        Kind::FearGreedIndex => ("classification", 2),
        Kind::MarketSessions => ("liquidity_level", 4),
    };
    draft.replace(key, column, Written::Quoted, bytes);
}

fn no_data(chance: &mut Chance, out: &mut Vec<u8>) {
    let text = *chance.pick(&[
        r#"{"metadata": {"type": "x", "timestamp": "2024-01-25T16:00:00Z", "version": "1.0.0", "source": "s"}}"#,
        r#"{"data": null, "metadata": {"timestamp": "2024-01-25T16:00:00Z"}}"#,
        r#"{"data": [1, 2], "metadata": {"timestamp": "2024-01-25T16:00:00Z"}}"#,
        "{}",
    ]);
    out.extend_from_slice(text.as_bytes());
}

/// Where the first comma is that stands in no text.
fn first_comma(json: &[u8]) -> Option<usize> {
    let (mut in_text, mut escaped) = (false, false);
    json.iter().position(|byte| {
        let is_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' => escaped = in_text && !is_escaped,
            b'"' => in_text ^= !is_escaped,
            b',' => return !in_text,
            _ => {}
        }
        false
    })
}

fn break_syntax(chance: &mut Chance, out: &mut Vec<u8>) {
    match chance.below(7) {
        0 => {
            out.pop();
            out.extend_from_slice(b", }");
        }
        1 => {
            for byte in out.iter_mut().filter(|byte| **byte == b'"') {
                *byte = b'\'';
            }
        }
        2 => {
            let colon = out.iter().position(|byte| *byte == b':').expect("an object has a colon");
            out[colon] = b' ';
        }
        3 => {
            let comma = first_comma(out).expect("an object of several members");
            out[comma] = b' ';
        }
        lot => {
            // A number that JSON does not know, under a name that nobody reads.
            out.pop();
            let number = ["01.5", ".5", "1.", "+1"][lot as usize % 4];
            out.extend_from_slice(b", \"zz\": ");
            out.extend_from_slice(number.as_bytes());
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_within_a_text_is_none_of_the_syntax() {
        let json = br#"{"note": "a, \"b\", \\", "x": 1}"#;
        let wanted = json.len() - r#", "x": 1}"#.len();
        assert_eq!(first_comma(json), Some(wanted));
        assert_eq!(first_comma(br#"{"note": "a, b"}"#), None);
    }
}
