//! What is a dead letter, and for which reason.

use super::{Bench, NOW_MS};
use crate::decode::{MAX_DEPTH, Reason};

/// A tick with one field replaced or added; the last of duplicates wins.
fn tick(field: &str) -> String {
    format!(
        r#"{{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":1706198400123,{field}}}"#
    )
}

#[track_caller]
fn refused(reason: Reason, payloads: &[&str]) {
    for payload in payloads {
        assert_eq!(Bench::new("ticks").reason(payload), reason, "{payload}");
        // With the keys of a sound message learned, the answer is the same.
        let mut bench = Bench::new("ticks");
        bench.row(&tick(r#""volume":1"#));
        assert_eq!(bench.reason(payload), reason, "learned: {payload}");
    }
}

/// Each of these as the last field of a tick that is sound otherwise.
#[track_caller]
fn refused_fields(reason: Reason, fields: &[&str]) {
    let payloads: Vec<_> = fields.iter().map(|field| tick(field)).collect();
    refused(reason, &payloads.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn truncated_json() {
    let whole = tick(r#""source":"a\"b","o":{"a":[1,true,null,{"b":"\u00e9"}]}"#);
    for length in 1..whole.len() {
        refused(Reason::Truncated, &[&whole[..length]]);
    }
    refused(Reason::Truncated, &[" ", "{", r#"{"symbol":nul"#, r#"{"bid":1."#, r#"{"bid":-"#]);
}

#[test]
fn broken_json() {
    refused(
        Reason::NotJson,
        &[
            r#"{"symbol":"EUR/USD","bid":1.0,}"#,
            r#"{,"symbol":"EUR/USD"}"#,
            r#"{"symbol" "EUR/USD"}"#,
            r#"{"symbol":"EUR/USD" "bid":1}"#,
            r#"{"symbol":"EUR/USD","bid":1]"#,
            r#"{symbol:"EUR/USD"}"#,
            "{'symbol':'EUR/USD'}",
            r#"{"symbol":EUR}"#,
            r#"{"symbol"::"EUR"}"#,
            r#"{"bid":01}"#,
            r#"{"bid":-01}"#,
            r#"{"bid":+1}"#,
            r#"{"bid":.5}"#,
            r#"{"bid":5.}"#,
            r#"{"bid":1e}"#,
            r#"{"bid":1e+}"#,
            r#"{"bid":0x10}"#,
            r#"{"bid":1_000}"#,
            r#"{"bid":--1}"#,
            r#"{"bid":True}"#,
            r#"{"bid":truex}"#,
            r#"{"bid":}"#,
            r#"{"o":[1,]}"#,
            r#"{"o":[,1]}"#,
            r#"{"o":[1 2]}"#,
            r#"{"o":{"a":1,}}"#,
            r#"{"o":{"a"}}"#,
            r#"{"o":{1:2}}"#,
            r#"{"o":[1}}"#,
            r#"{"o":{"a":1]}"#,
            r#"{"o":[01]}"#,
            r#"{"o":"\x"}"#,
            r#"{"o":"\u12g4"}"#,
            r#"{"o":"\u123"}"#,
            r#"{"o":"\ud800"}"#,
            r#"{"o":"\udc00"}"#,
            r#"{"o":"\ud800\u0041"}"#,
            r#"{"o":"\ud800\ud800"}"#,
            r#"{"o":["\ud83d\ude00","\ud83d"]}"#,
            r#"{"\ud800":1}"#,
            "\u{feff}{}",
            "garbage",
            "// comment\n{}",
            "\0",
            "{\0}",
            "{\"bid\":\u{a0}1}",
            "{\"bid\":\u{b}1}",
        ],
    );
}

#[test]
fn something_other_than_one_object() {
    refused(Reason::TrailingBytes, &["{} x", "{}{}", "{}\0", "{}]", "{},", "{}\n\n1"]);
    refused(Reason::NotAnObject, &["[]", "[1,2", "\"text\"", "1", "null", " true", "-1"]);
}

#[test]
fn raw_control_characters() {
    refused(
        Reason::ControlCharacter,
        &[
            "{\"symbol\":\"EUR\nUSD\"}",
            "{\"symbol\":\"EUR\u{0}USD\"}",
            "{\"symbol\":\"\u{1f}\"}",
            "{\"o\":[\"a long text with a tab\tin it\"]}",
            "{\"k\ty\":1}",
            "{\"o\":{\"k\r\":1}}",
        ],
    );
}

#[test]
fn required_fields_that_are_missing_or_empty() {
    refused(
        Reason::MissingField,
        &[
            "{}",
            r#"{"symbol":"A","bid":1,"ask":2}"#,
            r#"{"bid":1,"ask":2,"t":0}"#,
            r#"{"symbol":"A","ask":2,"t":0}"#,
            r#"{"symbol":"A","bid":2,"t":0}"#,
        ],
    );
    refused_fields(
        Reason::MissingField,
        &[r#""symbol":null"#, r#""bid":null"#, r#""ask":null"#, r#""timestamp_ms":null"#],
    );
    refused_fields(
        Reason::EmptyField,
        &[r#""symbol":"""#, r#""bid":"""#, r#""ask":"""#, r#""timestamp_ms":"""#],
    );
}

#[test]
fn numbers_that_are_none() {
    refused_fields(
        Reason::BadNumber,
        &[
            r#""bid":NaN"#,
            r#""bid":-Infinity"#,
            r#""bid":Infinity"#,
            r#""volume":nan"#,
            r#""unknown":[NaN]"#,
            r#""volume":"""#,
            r#""bid":"abc""#,
            r#""bid":"NaN""#,
            r#""bid":"Infinity""#,
            r#""bid":"inf""#,
            r#""bid":" 1""#,
            r#""bid":"+1""#,
            r#""bid":"1,5""#,
            r#""bid":"0x1""#,
            r#""exchange":1.5"#,
            r#""exchange":"1.5""#,
            r#""exchange":1e-1"#,
            r#""exchange":"x""#,
        ],
    );
    refused_fields(
        Reason::WrongType,
        &[
            r#""symbol":5"#,
            r#""symbol":["A"]"#,
            r#""symbol":false"#,
            r#""source":{}"#,
            r#""bid":true"#,
            r#""bid":{"value":1}"#,
            r#""bid":[1]"#,
            r#""exchange":true"#,
        ],
    );
}

#[test]
fn numbers_beyond_their_column() {
    refused_fields(
        Reason::OutOfRange,
        &[
            r#""bid":10000000000"#,
            r#""bid":-10000000000"#,
            r#""bid":9999999999.999999995"#,
            r#""bid":1e400"#,
            r#""bid":"1e400""#,
            r#""bid":123456789012345678901234567890123456789012345678901234567890"#,
            r#""exchange":2147483648"#,
            r#""exchange":-2147483649"#,
            r#""exchange":1e30"#,
        ],
    );
}

#[test]
fn times_that_are_none_or_out_of_range() {
    refused_fields(
        Reason::BadTime,
        &[
            r#""timestamp_ms":"yesterday""#,
            r#""timestamp_ms":true"#,
            r#""timestamp_ms":{}"#,
            r#""timestamp_ms":1706198400123.5"#,
            r#""timestamp_ms":"1706198400123.5""#,
            r#""timestamp_ms":"2023-02-29T00:00:00Z""#,
            r#""timestamp_ms":"2024-01-25T16:00:00 UTC""#,
        ],
    );
    refused_fields(
        Reason::TimeOutOfRange,
        &[
            r#""timestamp_ms":-1"#,
            r#""timestamp_ms":1706198400123000000"#,
            r#""timestamp_ms":1e300"#,
            r#""timestamp_ms":"1969-12-31T23:59:59Z""#,
            r#""timestamp_ms":"9999-12-31T23:59:59Z""#,
        ],
    );
}

#[test]
fn the_largest_values_pass() {
    let mut bench = Bench::new("ticks");
    let row = bench.row(&tick(r#""bid":9999999999.99999999,"ask":"-9999999999.999999994""#));
    assert_eq!(row["bid"], "9999999999.99999999");
    assert_eq!(row["ask"], "-9999999999.99999999");
    for exchange in ["2147483647", "-2147483648"] {
        assert_eq!(bench.row(&tick(&format!(r#""exchange":{exchange}"#)))["exchange"], exchange);
    }
    let mut bench = Bench::new("external_fred_economic");
    let nines = "9".repeat(30);
    let row =
        bench.row(&format!(r#"{{"data":{{"date":"2024-01-01","value":-{nines}.99999999}}}}"#));
    assert_eq!(row["value"], format!("-{nines}.99999999"));
    let zeros = "0".repeat(30);
    let beyond = format!(r#"{{"data":{{"date":"2024-01-01","value":1{zeros}}}}}"#);
    assert_eq!(bench.reason(beyond), Reason::OutOfRange);
}

#[test]
fn the_time_range_of_live_data_ends_a_day_from_now_and_that_of_series_in_2199() {
    let mut ticks = Bench::new("ticks");
    let at = |ms: i64| tick(&format!(r#""timestamp_ms":{ms}"#));
    let latest = NOW_MS + 86_400_000;
    assert_eq!(ticks.row(&at(latest))["timestamp"], latest.to_string());
    assert_eq!(ticks.reason(at(latest + 1)), Reason::TimeOutOfRange);
    assert_eq!(ticks.row(&at(0))["timestamp"], "0");
    let mut series = Bench::new("external_fred_economic");
    let dated = |date: &str| format!(r#"{{"data":{{"date":"{date}"}}}}"#);
    assert_eq!(series.row(&dated("1900-01-01"))["event_time"], "-2208988800000");
    assert_eq!(series.row(&dated("2199-12-31T23:59:59.999"))["event_time"], "7258118399999");
    assert_eq!(series.reason(dated("1899-12-31T23:59:59.999")), Reason::TimeOutOfRange);
    assert_eq!(series.reason(dated("2200-01-01")), Reason::TimeOutOfRange);
}

/// A weekly candle that is not over yet ends in the future: only the time that dates the row is
/// held against the route's range.
#[test]
fn the_end_of_an_open_candle_may_lie_ahead() {
    let mut bench = Bench::new("aggregates");
    let candle = |end: &str| {
        format!(
            r#"{{"symbol":"A","timeframe":"1w","t":{NOW_MS},"o":1,"h":1,"l":1,"c":1,"end_time":"{end}"}}"#
        )
    };
    assert_eq!(bench.row(&candle("2024-02-08"))["end_time"], "1707350400000");
    assert_eq!(bench.reason(candle("2300-01-01")), Reason::TimeOutOfRange);
}

#[test]
fn timeframes_are_a_closed_list() {
    let candle = |timeframe: &str| {
        format!(r#"{{"symbol":"A","timeframe":{timeframe},"t":0,"o":1,"h":1,"l":1,"c":1}}"#)
    };
    let mut bench = Bench::new("aggregates");
    for known in crate::catalog::TIMEFRAMES {
        assert_eq!(&bench.row(&candle(&format!("{known:?}")))["timeframe"], known);
    }
    for (written, reason) in [
        (r#""2m""#, Reason::UnknownTimeframe),
        (r#""5M""#, Reason::UnknownTimeframe),
        (r#"" 5m""#, Reason::UnknownTimeframe),
        (r#""""#, Reason::EmptyField),
        ("5", Reason::WrongType),
        ("null", Reason::MissingField),
    ] {
        assert_eq!(bench.reason(candle(written)), reason, "{written}");
    }
    let mut from_subject = Bench::new("aggregates").subject("market.EURUSD.7m");
    assert_eq!(from_subject.reason(candle("null")), Reason::UnknownTimeframe);
    assert_eq!(from_subject.row(&candle(r#""5m""#))["timeframe"], "5m");
}

#[test]
fn an_envelope_without_data_is_refused() {
    let mut bench = Bench::new("external_commodity_prices");
    let metadata = r#""metadata":{"timestamp":"2024-01-25T16:00:00Z"}"#;
    for (payload, reason) in [
        (format!("{{{metadata}}}"), Reason::MissingField),
        (format!(r#"{{"data":null,{metadata}}}"#), Reason::MissingField),
        (format!(r#"{{"data":"x",{metadata}}}"#), Reason::WrongType),
        (r#"{"data":{},"metadata":5}"#.to_owned(), Reason::WrongType),
        (r#"{"data":{}}"#.to_owned(), Reason::MissingField),
    ] {
        assert_eq!(bench.reason(&payload), reason, "{payload}");
    }
    assert_eq!(bench.row(&format!(r#"{{"data":{{}},{metadata}}}"#))["price"], "NULL");
}

#[test]
fn calendar_times_that_are_none() {
    let mut bench = Bench::new("external_economic_calendar");
    for (data, reason) in [
        (r#"{"date":"2024-01-25","time":"All Day"}"#, Reason::BadTime),
        (r#"{"date":"25.01.2024","time":"10:00"}"#, Reason::BadTime),
        (r#"{"date":"25.01.2024"}"#, Reason::BadTime),
        (r#"{"time":"10:00"}"#, Reason::MissingField),
        (r#"{"date":"","time":"10:00"}"#, Reason::EmptyField),
        (r#"{"date":"2024-01-25","time":10}"#, Reason::BadTime),
    ] {
        assert_eq!(bench.reason(format!(r#"{{"data":{data}}}"#)), reason, "{data}");
    }
    let row = bench.row(r#"{"data":{"date":"2024-01-25","time":""}}"#);
    assert_eq!(row["event_time"], "1706140800000");
}

#[test]
fn bytes_that_are_not_utf8() {
    let mut bench = Bench::new("ticks");
    for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"] {
        let symbol = [br#"{"symbol":"A"#, bad, br#"","bid":1,"ask":2,"t":0}"#].concat();
        assert_eq!(bench.reason(symbol), Reason::InvalidUtf8);
        let unknown = [br#"{"symbol":"A","bid":1,"ask":2,"t":0,"x1":""#, bad, br#""}"#].concat();
        assert_eq!(bench.reason(unknown), Reason::InvalidUtf8);
    }
}

/// Ten thousand levels are refused without recursion; as many as the limit says are fine.
#[test]
fn nesting_has_a_limit() {
    let mut bench = Bench::new("ticks");
    let nested = |levels: usize, open: &str, close: &str| {
        tick(&format!(r#""o":{}1{}"#, open.repeat(levels), close.repeat(levels)))
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        bench.row(&nested(MAX_DEPTH - 1, open, close));
        assert_eq!(bench.reason(nested(MAX_DEPTH, open, close)), Reason::TooDeep);
        assert_eq!(bench.reason(nested(10_000, open, close)), Reason::TooDeep);
        assert_eq!(
            bench.reason(tick(&open.repeat(100_000).replacen(open, r#""o":["#, 1))),
            Reason::TooDeep
        );
    }
}

#[test]
fn twenty_megabytes_of_garbage() {
    let mut bench = Bench::new("ticks");
    let mut random = fastrand::Rng::with_seed(20);
    let garbage: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(20_000_000).collect();
    assert_eq!(bench.reason(&garbage), Reason::InvalidUtf8);
    assert_eq!(bench.reason(vec![b'x'; 20_000_000]), Reason::NotJson);
    let long = tick(&format!(r#""o":"{}""#, "x".repeat(20_000_000)));
    assert_eq!(bench.row(&long)["bid"], "1.09551000");
    assert_eq!(bench.reason(&long[..long.len() - 2]), Reason::Truncated);
}

#[test]
fn the_sentence_names_field_value_and_remedy() {
    let sentence = |payload: &str| Bench::new("ticks").decode(payload.as_bytes()).unwrap_err().1;
    assert_eq!(
        sentence(&tick(r#""bid":"abc""#)),
        r#"field `bid` (from bid|b): "abc" is not a number; right would be 1.5 or "1.5""#
    );
    assert_eq!(
        sentence(&tick(r#""symbol":null"#)),
        "field `symbol` (from symbol|pair): is required and absent or null"
    );
    assert_eq!(
        sentence(r#"{"symbol":"A" "bid":1}"#),
        r#"`,` or `}` is missing at byte 14, near "bid":1}"#
    );
    assert_eq!(
        sentence(r#"{"bid":-Infinity}"#),
        "field `bid` (from bid|b): Infinity is not a number: JSON has neither NaN nor infinities"
    );
}
