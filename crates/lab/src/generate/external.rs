//! The six external kinds: an envelope of `data` and `metadata`.

use std::io::Write;

use super::draft::{Draft, Place, Written};
use super::literal::{
    TimeStyle, push_artefact, push_date, push_hours, push_price, push_python_float, push_scaled,
    push_time,
};
use super::{Message, Source};
use crate::chance::Chance;
use crate::plan::Kind;

const DAY: i64 = 86_400_000;

static CURRENCIES: [&str; 8] = ["USD", "EUR", "JPY", "GBP", "CHF", "AUD", "CAD", "NZD"];
static PUBLICATIONS: [&str; 8] = [
    "Non-Farm Payrolls",
    "CPI y/y",
    "FOMC Statement",
    "Unemployment Rate",
    "GDP q/q (2nd est.)",
    "Retail Sales m/m",
    "Décision de taux d'intérêt",
    "日銀 Policy Rate",
];
static SERIES: [&str; 10] = [
    "GDP", "CPIAUCSL", "UNRATE", "DGS10", "FEDFUNDS", "M2SL", "PAYEMS", "T10Y2Y", "VIXCLS",
    "DEXUSEU",
];
static COINS: [(&str, &str, &str, u64, u32); 6] = [
    ("bitcoin", "Bitcoin", "btc", 4_283_115, 2),
    ("ethereum", "Ethereum", "eth", 251_207, 2),
    ("solana", "Solana", "sol", 9_877, 2),
    ("dogecoin", "Dogecoin", "doge", 8_123_455, 8),
    ("shiba-inu", "Shiba Inu", "shib", 943, 8),
    ("tether", "Tether", "usdt", 100_012, 5),
];
static COMMODITIES: [(&str, &str, u64); 6] = [
    ("GC=F", "Gold", 202_155),
    ("SI=F", "Silver", 2_281),
    ("CL=F", "Crude Oil", 7_712),
    ("NG=F", "Natural Gas", 271),
    ("HG=F", "Copper", 385),
    ("ZW=F", "Wheat \"SRW\"", 61_025),
];

pub(super) fn draft(source: Source<'_>, message: &mut Message) {
    let Source { plan, event_ms, mut which, mut values, mut shape, .. } = source;
    let partitions = plan.partitions.get();
    // Whole seconds, so that some events meet.
    let ms = event_ms / 1_000 * 1_000;
    let (draft, key) = (&mut message.draft, &mut message.key);
    let data = Data { draft, values: &mut values, which: &mut which, ms };
    let identity = match message.kind {
        Kind::EconomicCalendar => data.economic_calendar(key),
        Kind::FredEconomic => data.fred_economic(key),
        Kind::CryptoSentiment => data.crypto_sentiment(key, &mut shape),
        Kind::FearGreedIndex => data.fear_greed_index(key),
        Kind::CommodityPrices => data.commodity_prices(key, &mut shape),
        Kind::MarketSessions | Kind::Tick | Kind::Candle => data.market_sessions(key),
    };
    message.partition = i32::try_from(identity % partitions).expect("few partitions");
    let draft = &mut message.draft;
    draft.go_to(Place::Metadata);
    draft.extra("type", Written::Text, message.kind.external_type().unwrap_or_default());
    if !draft.fields.iter().any(|field| field.place == Place::Metadata && field.key == "timestamp")
    {
        // Of no use for these kinds: their time is in the data.
        draft.put("timestamp", None, Written::Text, |out| {
            push_time(out, ms + 7_000, TimeStyle::Zulu);
        });
    }
    draft.extra("version", Written::Text, "1.0.0");
    let (publisher, source_column) = match message.kind {
        Kind::EconomicCalendar => ("forexfactory", 9),
        Kind::FredEconomic => ("fred", 4),
        Kind::CryptoSentiment => ("coingecko", 11),
        Kind::FearGreedIndex => ("alternative.me", 5),
        Kind::CommodityPrices => ("yahoo", 7),
        Kind::MarketSessions | Kind::Tick | Kind::Candle => ("internal", 5),
    };
    match values.below(20) {
        0 => {}
        1 => draft.null("source"),
        _ => draft.text("source", source_column, publisher),
    }
}

struct Data<'a> {
    draft: &'a mut Draft,
    values: &'a mut Chance,
    which: &'a mut Chance,
    ms: i64,
}

impl Data<'_> {
    fn economic_calendar(self, key: &mut Vec<u8>) -> u32 {
        let Self { draft, values, which, ms } = self;
        let currency = which.below(8);
        key.extend_from_slice(CURRENCIES[currency as usize].as_bytes());
        // On the quarter of an hour, up to four weeks ahead.
        let ms = (ms + DAY * i64::from(which.below(28))) / 900_000 * 900_000;
        let seconds = which.one_in(8);
        draft.put("date", Some(3), Written::Text, |out| push_date(out, ms));
        draft.put("time", Some(4), Written::Text, |out| {
            push_hours(out, ms, seconds);
        });
        draft.put("", Some(0), Written::Nowhere, |out| {
            push_time(out, ms, TimeStyle::Naive);
        });
        draft.text("currency", 1, CURRENCIES[currency as usize]);
        draft.text("event", 2, which.pick::<&str>(&PUBLICATIONS));
        draft.text("impact", 5, values.pick::<&str>(&["high", "medium", "low", "holiday"]));
        for (name, column) in [("forecast", 6), ("previous", 7), ("actual", 8)] {
            match values.below(8) {
                0 => draft.null(name),
                1 => {}
                2 => draft.text(
                    name,
                    column,
                    values.pick::<&str>(&["", "250K", "<0.10%", "1.2M|1.3M"]),
                ),
                _ => draft.put(name, Some(column), Written::Text, |out| {
                    push_scaled(out, u64::from(values.below(90)), 1);
                    out.push(b'%');
                }),
            }
        }
        currency
    }

    fn fred_economic(self, key: &mut Vec<u8>) -> u32 {
        let Self { draft, values, which, ms } = self;
        let series = which.below(10);
        key.extend_from_slice(SERIES[series as usize].as_bytes());
        // Series go far back.
        let ms = match which.below(60) {
            0 => -2_208_988_800_000 + DAY * i64::from(which.below(300)),
            1 => -718_329_600_000 + DAY * i64::from(which.below(60)),
            2 => 68_169_600_000 + DAY * i64::from(which.below(60)),
            _ => ms,
        };
        draft.text("series_id", 0, SERIES[series as usize]);
        draft.put("date", Some(2), Written::Text, |out| push_date(out, ms));
        draft.put("", Some(1), Written::Nowhere, |out| push_date(out, ms));
        match values.below(16) {
            0 => draft.null("value"),
            1 => draft.put("value", Some(3), Written::Bare, |out| {
                push_python_float(out, 2.785e17);
            }),
            lot => {
                let written = if lot < 6 { Written::Text } else { Written::Bare };
                let value = u64::from(values.below(3_000_000));
                draft.put("value", Some(3), written, |out| {
                    push_price(out, values, value, 3);
                });
            }
        }
        series
    }

    fn crypto_sentiment(self, key: &mut Vec<u8>, shape: &mut Chance) -> u32 {
        let Self { draft, values, which, ms } = self;
        let coin = which.below(6);
        let (id, name, symbol, price, digits) = COINS[coin as usize];
        key.extend_from_slice(id.as_bytes());
        draft.text("coin_id", 0, id);
        draft.text("name", 2, name);
        draft.text("symbol", 3, symbol);
        draft.put("price_usd", Some(4), Written::Bare, |out| {
            push_price(out, values, price, digits);
        });
        draft.put("price_change_24h", Some(5), Written::Bare, |out| {
            out.push(b'-');
            push_artefact(out, values, price / 100 + 1, digits);
        });
        count(draft, "market_cap_rank", 6, u64::from(values.between(1, 3_000)));
        draft.put("sentiment_votes_up_percentage", Some(7), Written::Bare, |out| {
            push_price(out, values, 7_731, 2);
        });
        draft.put("community_score", Some(8), Written::Bare, |out| {
            push_price(out, values, 64_125, 3);
        });
        if values.one_in(4) {
            draft.null("twitter_followers");
        } else {
            count(draft, "twitter_followers", 9, u64::from(values.below(6_000_000)));
        }
        count(draft, "reddit_subscribers", 10, values.next() >> 1);
        metadata_time(draft, 1, ms, shape);
        coin
    }

    fn fear_greed_index(self, key: &mut Vec<u8>) -> u32 {
        let Self { draft, values, ms, which } = self;
        key.extend_from_slice(b"fear_greed_index");
        let value = values.below(101);
        // The index comes as a number or as a text.
        let written = if values.one_in(2) { Written::Text } else { Written::Bare };
        draft.put("value", Some(1), written, |out| {
            write!(out, "{value}").expect("writing to memory");
        });
        draft.text("classification", 2, if value < 50 { "Fear" } else { "Extreme Greed" });
        draft.put("sentiment_score", Some(3), Written::Bare, |out| {
            push_artefact(out, values, u64::from(value), 2);
        });
        // The text is a column of its own, so copies must repeat it.
        let style = any_style(which);
        draft.put("timestamp", Some(4), Written::Text, |out| {
            push_time(out, ms, style);
        });
        draft.put("", Some(0), Written::Nowhere, |out| {
            push_time(out, ms, style);
        });
        u32::try_from(ms / 1_000 % 10_007).expect("a small remainder")
    }

    fn commodity_prices(self, key: &mut Vec<u8>, shape: &mut Chance) -> u32 {
        let Self { draft, values, which, ms } = self;
        let number = which.below(6);
        let (symbol, name, price) = COMMODITIES[number as usize];
        key.extend_from_slice(symbol.as_bytes());
        draft.text("symbol", 0, symbol);
        draft.text("name", 2, name);
        draft.put("price", Some(3), Written::Bare, |out| {
            push_price(out, values, price, 2);
        });
        draft.text("currency", 4, "USD");
        draft.put("change_percent", Some(5), Written::Bare, |out| {
            push_artefact(out, values, price, 4);
        });
        draft.put("volume", Some(6), Written::Bare, |out| {
            write!(out, "{}", values.next() >> 20).expect("writing to memory");
        });
        metadata_time(draft, 1, ms, shape);
        number
    }

    fn market_sessions(self, key: &mut Vec<u8>) -> u32 {
        static SESSIONS: [(&str, &str); 4] = [
            ("0", "[]"),
            ("1", r#"["tokyo"]"#),
            ("2", r#"["london", "new_york"]"#),
            ("3", r#"[{"name": "sydney", "open": true}, "tokyo", "caf\u00e9"]"#),
        ];
        let Self { draft, values, which, ms } = self;
        key.extend_from_slice(b"market_sessions");
        let style = any_style(which);
        draft.put("current_utc_time", Some(1), Written::Text, |out| {
            push_time(out, ms, style);
        });
        draft.put("", Some(0), Written::Nowhere, |out| {
            push_time(out, ms, style);
        });
        let &(number, sessions) = values.pick(&SESSIONS);
        draft.put("active_sessions_count", Some(2), Written::Bare, |out| {
            out.extend_from_slice(number.as_bytes());
        });
        draft.put("active_sessions", Some(3), Written::Bare, |out| {
            out.extend_from_slice(sessions.as_bytes());
        });
        draft.text(
            "liquidity_level",
            4,
            values.pick::<&str>(&["low", "medium", "high", "very_high"]),
        );
        u32::try_from(ms / 1_000 % 10_007).expect("a small remainder")
    }
}

fn metadata_time(draft: &mut Draft, column: usize, ms: i64, shape: &mut Chance) {
    draft.go_to(Place::Metadata);
    let style = any_style(shape);
    draft.put("timestamp", Some(column), Written::Text, |out| {
        push_time(out, ms, style);
    });
}

fn any_style(chance: &mut Chance) -> TimeStyle {
    *chance.pick(&[TimeStyle::Zulu, TimeStyle::Offset, TimeStyle::Naive, TimeStyle::East(330)])
}

fn count(draft: &mut Draft, key: &'static str, column: usize, value: u64) {
    draft.put(key, Some(column), Written::Bare, |out| {
        write!(out, "{value}").expect("writing to memory");
    });
}
