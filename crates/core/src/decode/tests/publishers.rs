//! Publishers of all kinds: messages of one layout each, whose values change and now and then are
//! not what they nearly always are.

use std::sync::Arc;

use super::chunks::damage;
use crate::catalog::{
    Catalog, Column, ColumnSettings, ExcessDigits, PartitionKey, Route, RouteSettings, Table,
    TimeForm,
};

/// Layouts by route. `$` and a letter stand for a value: see [`Publisher::value`].
const LAYOUTS: &[(&str, &str)] = &[
    ("named", r#"{"id":$I,"name":"$T"}"#),
    (
        "ticks",
        r#"{"symbol":"$S","bid":$P,"ask":$P,"timestamp":$M,"timestamp_ms":$M,"exchange":$I,"source":"$K","event_type":"$K","_transport":"$K"}"#,
    ),
    (
        "ticks",
        r#"{"symbol": "$S", "bid": $P, "ask": $P, "timestamp": $M, "timestamp_ms": $M, "exchange": $I, "source": "$K", "event_type": "$K", "_transport": "$K"}"#,
    ),
    ("ticks", r#"{"ev":"C","pair":"$S","x":$I,"b":$P,"a":$P,"s":$I,"t":$M}"#),
    ("ticks", r#"{"timestamp":"$Z","symbol":"$S","bid":$P,"ask":$P,"volume":$P,"source":"$K"}"#),
    ("ticks", r#"{"bid":"$P","ask":"$P","t":"$M","seq":$I,"note":"$T","deep":$J,"x":$I}"#),
    (
        "ticks",
        "{ \"t\" : $M ,\n\t\"symbol\" : \"$S\" , \"bid\" : $P , \"ask\" : $P, \"volume\": null, \"s\": $I }\r\n",
    ),
    ("ticks", r#"{"s\u0079mbol":"$S","b":$P,"a":$P,"timestamp":"$Z","volume":$N,"exchange":$N}"#),
    (
        "aggregates",
        r#"{"symbol":"$S","timeframe":"5m","timestamp_ms":$M,"open":$P,"high":$P,"low":$P,"close":$P,"volume":$I,"vwap":$P,"range_pips":$P,"start_time":"$Z","end_time":"$Z","source":"$K","event_type":"$K"}"#,
    ),
    (
        "aggregates",
        r#"{"symbol":"$S","timeframe":"1h","timestamp_ms":$M,"open":$P,"high":$P,"low":$P,"close":$P,"tick_count":$I,"avg_spread":$P,"max_spread":$P,"min_spread":$P,"price_range":$P,"pct_change":$P,"is_complete":$B,"indicators":$J}"#,
    ),
    (
        "aggregates",
        r#"{"s":"$S","timeframe":"$F","t":$M,"o":$P,"h":$P,"l":$P,"c":$P,"v":$P,"vw":$P,"n":$I}"#,
    ),
    ("aggregates", r#"{"pair":"$S","t":$M,"o":$P,"h":$P,"l":$P,"c":$P,"n":$N,"indicators":"$T"}"#),
    (
        "external_economic_calendar",
        r#"{"data":{"date":"$D","time":"13:30","currency":"$K","event":"$T","impact":"$K","forecast":$J,"previous":"$T","actual":$N},"metadata":{"type":"economic_calendar","timestamp":"$Z","version":"1.0.0","source":"$K"}}"#,
    ),
    (
        "external_economic_calendar",
        r#"{"metadata":{"source":"$K","more":$J},"data":{"date":"$D","currency":"$K","event":"$T"}}"#,
    ),
    (
        "external_fred_economic",
        r#"{"data":{"series_id":"$S","date":"$D","value":$P},"metadata":{"type":"fred_economic","timestamp":"$Z","version":"1.0.0","source":"$K"}}"#,
    ),
    (
        "external_crypto_sentiment",
        r#"{"data":{"coin_id":"$K","name":"$T","symbol":"$S","price_usd":$P,"price_change_24h":$P,"market_cap_rank":$I,"sentiment_votes_up_percentage":$P,"community_score":$N,"twitter_followers":$I,"reddit_subscribers":$I},"metadata":{"timestamp":"$Z","source":"$K"}}"#,
    ),
    (
        "external_fear_greed_index",
        r#"{"data":{"value":$I,"classification":"$T","sentiment_score":$P,"timestamp":"$Z"},"metadata":{"source":"$K"}}"#,
    ),
    (
        "external_commodity_prices",
        r#"{"data":{"symbol":"$S","name":"$T","price":$P,"currency":"$K","change_percent":$P,"volume":$I},"metadata":{"timestamp":"$Z","source":"$K"}}"#,
    ),
    (
        "external_market_sessions",
        r#"{"data":{"current_utc_time":"$Z","active_sessions_count":$I,"active_sessions":["$T","$K"],"liquidity_level":"$T"},"metadata":{}}"#,
    ),
    (
        "own",
        r#"{"at":"$Z","id":$I,"key":"$K","maybe":"$K","any":$J,"i8":$B,"i16":$I,"i32":$I,"u8":$B,"u16":$I,"u32":$I,"u64":$I,"f32":$P,"f64":$P,"flag":true,"d4":$P,"d16":$P,"s":$I,"us":$M,"ns":"$Z","note":"$T","a":{"b":{"c":$I}},"rejects":$P}"#,
    ),
    (
        "own",
        r#"{"at":"$Z","id":$I,"key":$J,"flag":$B,"u8":false,"f64":"$P","d4":"$P","a":{"b":{"c":$J,"d":$J},"e":"$T"},"s":$P,"us":"$M","ns":"$Z"}"#,
    ),
    (
        "own",
        r#"{"at":"$Z","id":$I,"worst":$I,"worse":$N,"best":$N,"flag":1,"map":{"k":"$T","n":$J}}"#,
    ),
    ("own", r#"{"at":"$Z","id":$I,"best":$N,"worse":$I,"worst":$N,"flag":0}"#),
];

pub(super) const ROUTES: [&str; 10] = [
    "named",
    "ticks",
    "aggregates",
    "external_economic_calendar",
    "external_fred_economic",
    "external_crypto_sentiment",
    "external_fear_greed_index",
    "external_commodity_prices",
    "external_market_sessions",
    "own",
];

/// The shipped routes, one with columns of every type and with settings of every kind, and one whose
/// text must not be empty.
pub(super) fn catalog() -> Arc<Catalog> {
    let columns = [
        ("at", "DateTime64(3, 'UTC')"),
        ("id", "Int64"),
        ("key", "LowCardinality(String)"),
        ("maybe", "LowCardinality(Nullable(String))"),
        ("any", "Nullable(String)"),
        ("i8", "Nullable(Int8)"),
        ("i16", "Nullable(Int16)"),
        ("i32", "Nullable(Int32)"),
        ("u8", "Nullable(UInt8)"),
        ("u16", "Nullable(UInt16)"),
        ("u32", "Nullable(UInt32)"),
        ("u64", "Nullable(UInt64)"),
        ("f32", "Nullable(Float32)"),
        ("f64", "Nullable(Float64)"),
        ("flag", "Bool"),
        ("d4", "Nullable(Decimal(9, 2))"),
        ("d16", "Nullable(Decimal(38, 12))"),
        ("s", "Nullable(DateTime64(0, 'UTC'))"),
        ("us", "Nullable(DateTime64(6, 'UTC'))"),
        ("ns", "Nullable(DateTime64(9, 'UTC'))"),
        ("note", "String"),
        ("deep", "Nullable(Int32)"),
        ("rejects", "Nullable(Decimal(18, 4))"),
        ("preferred", "Nullable(Int32)"),
        ("map", "Map(String, String)"),
        ("origin", "LowCardinality(String)"),
        ("origin_position", "UInt64"),
        ("version", "UInt64"),
    ];
    let table = Table {
        name: "own".to_owned(),
        columns: columns.iter().map(|(name, kind)| Column::parse(name, kind).unwrap()).collect(),
        sort_key: vec!["id".to_owned(), "at".to_owned()],
        partition: PartitionKey::parse("toYYYYMMDD(at)"),
    };
    let settings = |keys: &[&str], time, excess_digits| ColumnSettings {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        excess_digits,
        time,
    };
    let settings = RouteSettings {
        columns: [
            ("s", settings(&[], Some(TimeForm::Seconds), None)),
            ("us", settings(&[], Some(TimeForm::Microseconds), None)),
            ("ns", settings(&[], Some(TimeForm::Iso), Some(ExcessDigits::Reject))),
            ("deep", settings(&["a.b.c"], None, None)),
            ("rejects", settings(&[], None, Some(ExcessDigits::Reject))),
            ("preferred", settings(&["best", "worse", "worst"], None, None)),
        ]
        .map(|(name, settings)| (name.to_owned(), settings))
        .into(),
        required: vec!["id".to_owned()],
        time_range: None,
    };
    let mut catalog = Catalog::shipped();
    let id = catalog.add_table(table.clone());
    catalog.add_route(Route::from_settings("own", id, &table, &settings).unwrap());
    let columns = [("id", "Int32"), ("name", "String")];
    let named = Table {
        name: "named".to_owned(),
        columns: columns.map(|(name, kind)| Column::parse(name, kind).unwrap()).into(),
        sort_key: vec!["id".to_owned()],
        partition: None,
    };
    let required = vec!["name".to_owned()];
    let settings = RouteSettings { required, ..RouteSettings::default() };
    let id = catalog.add_table(named.clone());
    catalog.add_route(Route::from_settings("named", id, &named, &settings).unwrap());
    Arc::new(catalog)
}

/// A writer of messages; `odd` in a thousand of its values and layouts are unusual.
pub(super) struct Publisher {
    pub(super) random: fastrand::Rng,
    pub(super) odd: u32,
    /// Whether most values that may well stay the same do so.
    pub(super) steady: bool,
}

impl Publisher {
    /// A message of one of the route's layouts.
    pub(super) fn message(&mut self, route: &str) -> Vec<u8> {
        let count = LAYOUTS.iter().filter(|(of, _)| *of == route).count();
        let chosen = self.random.usize(0..count);
        let mut layouts = LAYOUTS.iter().filter(|(of, _)| *of == route);
        let layout = layouts.nth(chosen).map_or("", |(_, layout)| *layout);
        let mut message = String::new();
        let mut rest = layout;
        while let Some(place) = rest.find('$') {
            message.push_str(&rest[..place]);
            let kind = rest.as_bytes()[place + 1];
            let quoted = rest[..place].ends_with('"');
            self.value(kind, quoted, &mut message);
            rest = &rest[place + 2..];
        }
        message.push_str(rest);
        let mut message = message.into_bytes();
        if self.is_odd() {
            self.rearrange(&mut message);
        }
        if self.is_odd() {
            for _ in 0..self.random.usize(1..3) {
                damage(&mut message, &mut self.random);
            }
        }
        message
    }

    fn is_odd(&mut self) -> bool {
        self.random.u32(0..1_000) < self.odd
    }

    fn one_of<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.random.usize(0..of.len())]
    }

    /// Moves, doubles or drops whole fields; puts something behind the message.
    fn rearrange(&mut self, message: &mut Vec<u8>) {
        let commas: Vec<usize> = (0..message.len()).filter(|at| message[*at] == b',').collect();
        let [from, to] = [0, 1].map(|_| self.random.choice(&commas).copied().unwrap_or(1));
        let field = message[from.min(to)..from.max(to)].to_vec();
        match self.random.u8(0..5) {
            0 => {
                let at = self.random.choice(&commas).copied().unwrap_or(1);
                message.splice(at..at, field);
            }
            1 => drop(message.drain(from.min(to)..from.max(to))),
            2 => message.extend_from_slice(self.one_of(&[" ", "\n", "}", "x", "\0"]).as_bytes()),
            3 => message.insert(from, b' '),
            _ => message.insert(0, b' '),
        }
    }

    /// A value: `S` symbol, `K` one of few texts, `T` any text, `P` price, `I` integer, `N` number
    /// or `null`, `B` a small number or boolean, `M` milliseconds, `Z` time, `D` date, `F`
    /// timeframe, `J` any JSON.
    fn value(&mut self, kind: u8, quoted: bool, out: &mut String) {
        if self.is_odd() {
            let odd = if quoted { self.odd_text() } else { self.odd_value() };
            out.push_str(&odd);
            return;
        }
        let steady = self.steady && self.random.u8(0..100) > 0;
        let text = match kind {
            b'S' | b'K' if steady => "polygon_websocket".to_owned(),
            b'I' if steady => "48".to_owned(),
            b'B' if steady => "1".to_owned(),
            b'N' if steady => "7".to_owned(),
            b'S' => self
                .one_of(&[
                    "EUR/USD",
                    "GBP/USD",
                    "XAU",
                    "BTCUSDT-PERPETUAL-2024",
                    "é",
                    "12345678901234",
                    "123456789012345",
                ])
                .to_owned(),
            b'K' => self
                .one_of(&[
                    "quote",
                    "polygon_websocket",
                    "polygon_websockets",
                    "dukascopy_historical",
                    "a",
                    "1",
                ])
                .to_owned(),
            b'T' => {
                let length = self.random.usize(0..40);
                (0..length).map(|_| self.random.char('a'..='z')).collect()
            }
            b'P' => self.price(),
            b'I' => match self.random.u8(0..4) {
                0 => self.random.u8(..).to_string(),
                1 => self.random.i16(..).to_string(),
                2 => self.random.u32(..).to_string(),
                _ => self.random.u8(0..9).to_string(),
            },
            b'N' => {
                if self.random.bool() {
                    "null".to_owned()
                } else {
                    self.random.u16(..).to_string()
                }
            }
            b'B' => self.one_of(&["0", "1", "true", "false", "2"]).to_owned(),
            b'M' => (1_703_000_000_000 + self.random.i64(0..4_000_000_000)).to_string(),
            b'D' => format!("2024-01-{:02}", self.random.u8(1..32)),
            b'Z' => {
                let time = [0, 1, 2].map(|_| self.random.u8(0..24));
                let fraction = self.one_of(&["", ".034000", ".5", ""]);
                let zone = self.one_of(&["", "Z", "+00:00"]);
                let separator = self.one_of(&["T", " "]);
                let day = self.random.u8(1..32);
                format!(
                    "2024-01-{day:02}{separator}{:02}:{:02}:{:02}{fraction}{zone}",
                    time[0], time[1], time[2]
                )
            }
            b'F' => self.one_of(&["1m", "5m", "1d", "2m"]).to_owned(),
            _ => self.json(2),
        };
        out.push_str(&text);
    }

    fn price(&mut self) -> String {
        match self.random.u8(0..8) {
            0 => format!("{}", self.random.u16(..)),
            1 => {
                format!("{}.{:015}", self.random.u8(..), self.random.u64(0..1_000_000_000_000_000))
            }
            2 => format!("-{}.{:03}", self.random.u16(..), self.random.u16(0..1_000)),
            3 => format!("{}.{:08}", self.random.u32(..), self.random.u32(0..100_000_000)),
            _ => format!("{}.{:05}", self.random.u8(0..4), self.random.u32(0..100_000)),
        }
    }

    fn json(&mut self, depth: u8) -> String {
        match self.random.u8(0..if depth == 0 { 5 } else { 8 }) {
            0 => self.price(),
            1 => self.one_of(&["null", "true", "false"]).to_owned(),
            2 => format!(
                "\"{}\"",
                self.one_of(&["", "x", "EUR/USD", "1.5", "a text of more than sixteen bytes"])
            ),
            3 => self.random.u32(..).to_string(),
            4 => self.one_of(&["[]", "{}", "[ ]", "{ }"]).to_owned(),
            5 => format!("[{},{}]", self.json(depth - 1), self.json(depth - 1)),
            _ => {
                format!("{{\"rsi_14\":{},\"sma\":{}}}", self.json(depth - 1), self.json(depth - 1))
            }
        }
    }

    fn odd_value(&mut self) -> String {
        match self.random.u8(0..4) {
            0 => self.json(2),
            1 => format!("\"{}\"", self.odd_text()),
            2 => {
                let digits = self.random.usize(0..26);
                let digit = |_| char::from(b'0' + self.random.u8(0..10));
                let digits: String = (0..digits).map(digit).collect();
                let point = self.random.usize(0..=digits.len());
                format!(
                    "{}.{}{}",
                    &digits[..point],
                    &digits[point..],
                    self.one_of(&["", "", "e3", "E-9", "e+300"])
                )
            }
            _ => self
                .one_of(&[
                    "0",
                    "-0",
                    "00",
                    "01",
                    "-01.5",
                    "0.",
                    ".5",
                    "+1",
                    "1e5",
                    "1E400",
                    "NaN",
                    "nul",
                    "nullx",
                    "12345678",
                    "123456789",
                    "1234567890123456",
                    "12345678901234567",
                    "99999999999999999999",
                    "9999999999.99999999",
                    "9999999999.999999995",
                    "10000000000",
                    "0.000000005",
                    "0.000000015",
                    "0.0000000150000000",
                    "0.00000001500000001",
                    "0.0000000049999999999999",
                    "-0.000000015",
                    "2147483648",
                    "-2147483649",
                    "256",
                    "65536",
                    "4294967296",
                    "18446744073709551615",
                    "18446744073709551616",
                    "9223372036854775807",
                    "48.0",
                    "48.5",
                    "1.0e1",
                    "253402300799999",
                    "-1",
                    "1706832000000",
                    "1706832000001",
                    "{}",
                    "[]",
                    "tru",
                    "\"\"",
                    "\"\\u0041\"",
                    "\"5\"",
                    "\"-0\"",
                    "\"1.\"",
                    "[[[[]]]]",
                    "{\"a\":{\"a\":1}}",
                    "{\"a\" 1}",
                ])
                .to_owned(),
        }
    }

    fn odd_text(&mut self) -> String {
        self.one_of(&[
            "",
            "EUR/USD\0",
            "a\0",
            "\\n",
            "\\\"",
            "\\",
            "\\u00e9",
            "\\ud83d",
            "\t",
            "\u{1}",
            "é€😀",
            "EUR\\/USD",
            "\u{7f}",
            "a text of exactly 31 bytes, true",
            "sixteen bytes ok",
            "sixteen bytes 1\u{1}",
            "fifteen bytes o",
            "2024-02-30",
            "2024-01-25",
            "2024-01-25T16:00",
            "2024-01-25T16:00:60",
            "2024-01-25T24:00:00Z",
            "2024-01-25T16:00:00,5",
            "2024-01-25T16:00:00.1234567890",
            "2024-01-25t16:00:00z",
            "2024-01-25T16:00:00+01:00",
            "1969-12-31T23:59:59.9999Z",
            "2262-04-12T00:00:00Z",
            "1899-12-31",
            "2300-01-01",
            "1706198400123",
            "1e12",
            "abc",
            "null",
            "5",
            "1.5",
            "-",
            "1.5x",
            "1w",
            "7m",
            "[1,2]",
            "0000-00-00",
            "12:60",
            "4pm",
        ])
        .to_owned()
    }
}
