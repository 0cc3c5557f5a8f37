//! Bad messages among good ones: exactly they become dead letters, byte for byte. And good ones:
//! every value as its text says.

use std::fmt::Write as _;

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;

use crate::by_hand::{Sender, assert_tables_exact, create_topic, drain, wait_tables};
use crate::world::{PATIENCE, Scenario, clickhouse, kafka};

const TICK: &str = r#""symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp_ms":1706198400123"#;
const CANDLE: &str =
    r#""symbol":"EUR/USD","timestamp_ms":1706198400000,"open":1,"high":2,"low":1,"close":2"#;
/// Larger than what a broker takes by default, and than what one fetch brings.
const HUGE: usize = 20_000_000;

struct Bad {
    kind: Kind,
    reason: &'static str,
    payload: Option<Vec<u8>>,
}

/// One message of every class, and the reason it must get.
fn one_of_each() -> Vec<Bad> {
    let mut all = Vec::new();
    let mut add = |kind, reason, payload: Vec<u8>| {
        all.push(Bad { kind, reason, payload: Some(payload) });
    };
    let texts = |with: &str| format!("{{{TICK},{with}}}").into_bytes();
    let nested = |open: &str, close: &str| {
        let mut text = format!("{{{TICK},\"x\":").into_bytes();
        text.extend(open.repeat(10_000).bytes());
        text.push(b'1');
        text.extend(close.repeat(10_000).bytes());
        text.push(b'}');
        text
    };
    let truncated = format!("{{{TICK}");
    let of = |text: &str| text.as_bytes().to_vec();
    add(Kind::Tick, "truncated", truncated.into_bytes());
    add(Kind::Tick, "not_json", texts("x:1"));
    add(Kind::Tick, "bad_number", texts("\"bid\":NaN"));
    add(Kind::Tick, "not_json", texts("\"bid\":01.5"));
    add(Kind::Tick, "not_json", texts(r#""symbol":"\ud800""#));
    add(Kind::Tick, "wrong_type", texts("\"bid\":true"));
    add(Kind::Tick, "wrong_type", texts("\"ask\":{}"));
    add(Kind::Tick, "bad_number", texts(r#""bid":"abc""#));
    add(Kind::Tick, "bad_number", texts(r#""bid":"NaN""#));
    add(Kind::Tick, "bad_number", texts(r#""bid":"-Infinity""#));
    add(Kind::Tick, "bad_number", texts("\"exchange\":4.5"));
    add(Kind::Tick, "out_of_range", texts("\"bid\":10000000000"));
    add(Kind::Tick, "out_of_range", texts("\"bid\":1e999999999"));
    add(Kind::Tick, "out_of_range", texts("\"exchange\":2147483648"));
    let long = format!("\"ask\":{}", "9".repeat(1_000_000));
    add(Kind::Tick, "out_of_range", texts(&long));
    let symbolless = r#"{"bid":1.1,"ask":1.2,"timestamp_ms":1706198400123}"#;
    add(Kind::Tick, "missing_field", of(symbolless));
    add(Kind::Tick, "missing_field", texts("\"ask\":null"));
    add(Kind::Tick, "empty_field", texts(r#""symbol":"""#));
    add(Kind::Tick, "bad_time", texts(r#""timestamp_ms":"today""#));
    add(Kind::Tick, "time_out_of_range", texts("\"timestamp_ms\":-1"));
    add(Kind::Tick, "time_out_of_range", texts("\"timestamp_ms\":4102444800000"));
    add(Kind::Tick, "control_character", texts("\"source\":\"a\nb\""));
    add(Kind::Tick, "trailing_bytes", format!("{{{TICK}}}{{}}").into_bytes());
    add(Kind::Tick, "not_an_object", of("[1,2]"));
    add(Kind::Tick, "too_deep", nested("[", "]"));
    add(Kind::Tick, "too_deep", nested("{\"a\":", "}"));
    add(Kind::Tick, "empty_value", Vec::new());
    let mut latin = texts(r#""source":"caf_""#);
    *latin.iter_mut().rfind(|byte| **byte == b'_').unwrap() = 0xE9;
    add(Kind::Tick, "invalid_utf8", latin);
    add(Kind::Tick, "invalid_utf8", garbage());
    let mut endless = texts(r#""source":""#);
    endless.truncate(endless.len() - 1);
    endless.resize(HUGE, b'a');
    add(Kind::Tick, "truncated", endless);
    let candle = |with: &str| format!("{{{CANDLE}{with}}}").into_bytes();
    add(Kind::Candle, "missing_field", candle(""));
    add(Kind::Candle, "unknown_timeframe", candle(r#","timeframe":"7m""#));
    add(Kind::Candle, "missing_field", candle(r#","timeframe":"5m","low":null"#));
    let dataless = r#"{"metadata":{"type":"fred_economic"}}"#;
    add(Kind::FredEconomic, "missing_field", of(dataless));
    let undated = r#"{"data":{"series_id":"GDP","date":"24 May","value":1}}"#;
    add(Kind::FredEconomic, "bad_time", of(undated));
    for kind in [Kind::Tick, Kind::Candle, Kind::MarketSessions] {
        all.push(Bad { kind, reason: "tombstone", payload: None });
    }
    all
}

/// 20 MB that nobody meant; the same in every run.
fn garbage() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(20);
    let mut bytes = vec![0; HUGE];
    random.fill(&mut bytes);
    bytes
}

#[test]
fn one_bad_message_of_each_class_is_a_dead_letter_with_its_bytes_key_and_headers() {
    let scenario = Scenario::new("bad_data", &clickhouse().url());
    let large = [("max.message.bytes", "33554432")];
    create_topic(&format!("{}tick_archive", scenario.prefix()), 6, &large);
    scenario.init();
    let mut plan = scenario.plan(25, 6_000);
    plan.mix.bad = 0.0;
    let generator = Generator::try_new(plan).unwrap();
    let expected = Expected::of(&generator).unwrap();

    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    let bad = one_of_each();
    let count = bad.len() as u64;
    producer.produce(&generator, 0..3_000, Pace::Full, |_| {}).unwrap();
    let sender = Sender::new();
    for (number, bad) in bad.iter().enumerate() {
        let topic = generator.plan().topic(bad.kind);
        let partition = i32::try_from(number % 6).unwrap();
        let key = format!("key-{number}\0\u{ff}");
        // What is in a header is bytes, not text.
        let headers = [("trace", &[0xFF, 0, u8::try_from(number).unwrap()][..]), ("empty", b"")];
        sender.send(&topic, partition, Some(key.as_bytes()), bad.payload.as_deref(), &headers);
    }
    sender.flush();
    producer.produce(&generator, 3_000..6_000, Pace::Full, |_| {}).unwrap();

    let bridge = scenario.start(1);
    wait_tables(&scenario, &expected);
    scenario.wait_rows("dead_letters", count);
    scenario.assert_committed();
    assert_tables_exact(&scenario, &expected, count);

    let query = format!(
        "SELECT hex(key), origin, route, reason, clickhouse_code, \
         arrayStringConcat(arrayMap((k, v) -> k || '=' || hex(v), mapKeys(headers), \
         mapValues(headers)), ','), error != '', hex(payload) \
         FROM {}.dead_letters FINAL FORMAT TabSeparated",
        scenario.database()
    );
    let found = scenario.query(&query).unwrap();
    let mut found: Vec<_> = found.lines().collect();
    found.sort_unstable();
    let mut wanted: Vec<_> = bad
        .iter()
        .enumerate()
        .map(|(number, bad)| {
            format!(
                "{}\tkafka:{}:{}\t{}\t{}\t0\ttrace=FF00{number:02X},empty=\t1\t{}",
                hex(format!("key-{number}\0\u{ff}").as_bytes()),
                generator.plan().topic(bad.kind),
                number % 6,
                bad.kind.table(),
                bad.reason,
                hex(bad.payload.as_deref().unwrap_or_default()),
            )
        })
        .collect();
    wanted.sort_unstable();
    let differing: Vec<_> = found
        .iter()
        .zip(&wanted)
        .filter(|(found, wanted)| found != wanted)
        .map(|(found, wanted)| format!("found  {found:.200}\nwanted {wanted:.200}\n"))
        .collect();
    assert!(differing.is_empty(), "{}", differing.concat());
    assert_eq!(found.len(), wanted.len());
    drain(&bridge);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").expect("writing to a string");
        text
    })
}

#[test]
fn flaws_of_every_kind_of_message_are_dead_letters_and_nothing_else_is() {
    let scenario = Scenario::new("many_bad", &clickhouse().url());
    scenario.init();
    let mut plan = scenario.plan(2_525, 8_000);
    // Every kind as often, so that every flaw of every kind is met; below a flood.
    plan.mix.kinds = [1; 8];
    plan.mix.bad = 0.1;
    let generator = Generator::try_new(plan).unwrap();
    let expected = Expected::of(&generator).unwrap();
    let producer = Producer::connect(&kafka().bootstrap()).unwrap();
    producer.produce(&generator, 0..8_000, Pace::Full, |_| {}).unwrap();
    let bridge = scenario.start(1);
    let verdict = scenario.assert_exact(&expected, PATIENCE);
    assert!(verdict.letters.found > 500, "{verdict}");
    scenario.assert_committed();
    drain(&bridge);
}

/// Messages, and the row of each as text.
const TICKS: [(&str, &str); 7] = [
    (
        r#"{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp":1706198400123,"timestamp_ms":1706198400123,"exchange":48,"source":"polygon_websocket","event_type":"quote","_transport":"nats"}"#,
        "EUR/USD|2024-01-25 16:00:00.123|1.09551|1.09553|-|48|polygon_websocket|quote",
    ),
    (
        r#"{"ev":"C","pair":"EUR/USD","x":48,"b":1.09551,"a":1.09553,"s":2,"t":1706198400123}"#,
        "EUR/USD|2024-01-25 16:00:00.123|1.09551|1.09553|2|48||C",
    ),
    (
        r#"{"timestamp":"2024-01-02 15:36:39.034000","symbol":"EUR/USD","bid":1.0999,"ask":1.1,"volume":2.0,"source":"dukascopy_historical"}"#,
        "EUR/USD|2024-01-02 15:36:39.034|1.0999|1.1|2|-|dukascopy_historical|",
    ),
    // Texts for numbers, and no binary float in between: 0.1 + 0.2 is not 0.3 there.
    (
        r#"{"symbol":"A","bid":"0.30000000","ask":"9999999999.99999999","timestamp_ms":"1706198400001"}"#,
        "A|2024-01-25 16:00:00.001|0.3|9999999999.99999999|-|-||",
    ),
    // Half goes to even; more than half goes up, however far behind.
    (
        r#"{"symbol":"B","bid":0.000000005,"ask":0.000000015,"volume":0.0000000050000000000000000001,"timestamp":"2024-01-25T17:00:00.002+01:00"}"#,
        "B|2024-01-25 16:00:00.002|0|0.00000002|0.00000001|-||",
    ),
    (
        r#"{"symbol":"C","bid":-1.5e-3,"ask":12E2,"volume":1.0955300000000001,"t":0}"#,
        "C|1970-01-01 00:00:00.000|-0.0015|1200|1.09553|-||",
    ),
    (
        r#"{"symbol":"\u00c9\ud83d\ude00\t","bid":1,"ask":2,"bid":3,"timestamp_ms":1706198400003,"exchange":null,"source":"a\"b"}"#,
        "É😀\t|2024-01-25 16:00:00.003|3|2|-|-|a\"b|",
    ),
];

const CANDLES: [(&str, &str); 3] = [
    (
        r#"{"symbol":"EUR/USD","timeframe":"5m","timestamp_ms":1706198400000,"open":1.0955,"high":1.0961,"low":1.0949,"close":1.0957,"volume":1250,"vwap":1.09552,"range_pips":12.000000000000011,"start_time":"2024-01-25T16:00:00+00:00","end_time":"2024-01-25T16:05:00+00:00","source":"polygon_historical","event_type":"ohlcv"}"#,
        "EUR/USD|5m|2024-01-25 16:00:00.000|1.0955|1.0961|1.0949|1.0957|1250|1.09552|12|-|-|-|-|-|-|-|2024-01-25 16:00:00.000|2024-01-25 16:05:00.000|polygon_historical|ohlcv|",
    ),
    (
        r#"{"symbol":"EUR/USD","timeframe":"1h","timestamp_ms":1706198400000,"open":1.0955,"high":1.0961,"low":1.0949,"close":1.0957,"tick_count":842,"avg_spread":0.00012,"max_spread":0.0004,"min_spread":0.00008,"price_range":0.0012,"pct_change":0.018,"is_complete":1,"indicators":{"rsi_14":55.1}}"#,
        r#"EUR/USD|1h|2024-01-25 16:00:00.000|1.0955|1.0961|1.0949|1.0957|-|-|-|0.00012|0.0004|0.00008|0.0012|0.018|842|1|-|-|||{"rsi_14":55.1}"#,
    ),
    (
        r#"{"s":"GBP/USD","timeframe":"1w","t":1706198400000,"o":1,"h":2.5,"l":0.5,"c":2,"v":"123456789012345678901234567890.12345678","vw":1.25,"n":18446744073709551615,"is_complete":0}"#,
        "GBP/USD|1w|2024-01-25 16:00:00.000|1|2.5|0.5|2|123456789012345678901234567890.12345678|1.25|-|-|-|-|-|-|18446744073709551615|0|-|-|||",
    ),
];

const EXTERNALS: [(Kind, &str, &str); 6] = [
    (
        Kind::EconomicCalendar,
        r#"{"data":{"date":"2024-01-25","time":"13:30","currency":"USD","event":"GDP","impact":"high","forecast":"2.0%","previous":"4.9%","actual":null},"metadata":{"type":"economic_calendar","timestamp":"2024-01-25T16:00:00Z","version":"1.0.0","source":"mql5"}}"#,
        "2024-01-25 13:30:00.000|mql5|2024-01-25|13:30|USD|GDP|high|2.0%|4.9%|",
    ),
    (
        Kind::FredEconomic,
        r#"{"data":{"series_id":"GNPCA","date":"1929-01-01","value":"1202.659"},"metadata":{"type":"fred_economic","timestamp":"2024-01-25T16:00:00Z","version":"1.0.0","source":"fred"}}"#,
        "1929-01-01 00:00:00.000|fred|GNPCA|1929-01-01|1202.659",
    ),
    (
        Kind::CryptoSentiment,
        r#"{"data":{"coin_id":"bitcoin","name":"Bitcoin","symbol":"btc","price_usd":39987.123456789,"price_change_24h":-0.25,"market_cap_rank":1,"sentiment_votes_up_percentage":81.5,"community_score":null,"twitter_followers":6500000,"reddit_subscribers":0},"metadata":{"type":"crypto_sentiment","timestamp":"2024-01-25T16:00:00.5Z","source":"coingecko"}}"#,
        "2024-01-25 16:00:00.500|coingecko|bitcoin|Bitcoin|btc|39987.12345679|-0.25|1|81.5|-|6500000|0",
    ),
    (
        Kind::FearGreedIndex,
        r#"{"data":{"value":49,"classification":"Neutral","sentiment_score":-0.02,"timestamp":"2024-01-25T00:00:00Z"},"metadata":{"type":"fear_greed_index","timestamp":"2024-01-25T16:00:00Z","source":"alternative.me"}}"#,
        "2024-01-25 00:00:00.000|alternative.me|49|Neutral|-0.02|2024-01-25T00:00:00Z",
    ),
    (
        Kind::CommodityPrices,
        r#"{"data":{"symbol":"GC=F","name":"Gold","price":2014.300048828125,"currency":"USD","change_percent":0.1,"volume":1e5},"metadata":{"type":"commodity_prices","timestamp":"2024-01-25T16:00:00Z","source":"yahoo"}}"#,
        "2024-01-25 16:00:00.000|yahoo|GC=F|Gold|2014.30004883|USD|0.1|100000",
    ),
    (
        Kind::MarketSessions,
        r#"{"data":{"current_utc_time":"2024-01-25T16:00:00Z","active_sessions_count":2,"active_sessions":["london", "new_york"],"liquidity_level":"very_high"},"metadata":{"type":"market_sessions","timestamp":"2024-01-25T16:00:01Z","source":"clock"}}"#,
        r#"2024-01-25 16:00:00.000|clock|2024-01-25T16:00:00Z|2|["london", "new_york"]|very_high"#,
    ),
];

#[test]
fn every_dialect_arrives_with_the_values_of_its_text() {
    let scenario = Scenario::new("dialects", &clickhouse().url());
    scenario.init();
    let mut wanted: Vec<(Kind, Vec<String>)> = Vec::new();
    let sender = Sender::new();
    let mut send = |kind: Kind, messages: &[(&str, &str)]| {
        let topic = format!("{}{}", scenario.prefix(), kind.topic());
        for (number, (message, _)) in (0..6).cycle().zip(messages) {
            sender.text(&topic, number, message);
        }
        let mut rows: Vec<_> = messages.iter().map(|(_, row)| (*row).to_owned()).collect();
        rows.sort_unstable();
        wanted.push((kind, rows));
    };
    send(Kind::Tick, &TICKS);
    send(Kind::Candle, &CANDLES);
    for (kind, message, row) in EXTERNALS {
        send(kind, &[(message, row)]);
    }
    sender.flush();
    let bridge = scenario.start(1);
    for (kind, rows) in &wanted {
        scenario.wait_rows(kind.table(), rows.len() as u64);
        let query = format!(
            "SELECT * EXCEPT (origin, origin_position, version{}) FROM {}.{} FINAL FORMAT \
             CustomSeparated SETTINGS format_custom_field_delimiter = '|', \
             format_custom_escaping_rule = 'Raw', format_tsv_null_representation = '-'",
            if *kind == Kind::Tick { ", event_id" } else { "" },
            scenario.database(),
            kind.table(),
        );
        let found = scenario.query(&query).unwrap();
        let mut found: Vec<_> = found.lines().collect();
        found.sort_unstable();
        assert_eq!(found, *rows, "{kind}");
    }
    scenario.wait_rows("dead_letters", 0);
    scenario.assert_committed();
    drain(&bridge);
}
