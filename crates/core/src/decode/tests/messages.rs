//! Every kind and dialect of message, with the exact row that comes of it.

use super::Bench;

/// Columns that are not named must be NULL or empty; `version` is 5 × 2²² + 7.
#[track_caller]
fn expect(bench: &mut Bench, payload: &str, want: &[(&str, &str)]) {
    let mut row = bench.row(payload);
    assert_eq!(row.remove("origin").as_deref(), Some("kafka:t:3"));
    assert_eq!(row.remove("origin_position").as_deref(), Some("7"));
    assert_eq!(row.remove("version").as_deref(), Some("20971527"));
    row.remove("event_id");
    row.retain(|_, value| value != "NULL" && !value.is_empty());
    let want = want.iter().map(|(column, value)| ((*column).to_owned(), (*value).to_owned()));
    assert_eq!(row, want.collect(), "{payload}");
}

#[test]
fn ticks_in_three_dialects() {
    let mut bench = Bench::new("ticks");
    // Twice around, so that each dialect is met with the keys of another one learned.
    for _ in 0..2 {
        expect(
            &mut bench,
            r#"{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp":1706198400123,"timestamp_ms":1706198400123,"exchange":48,"source":"polygon_websocket","event_type":"quote","_transport":"nats"}"#,
            &[
                ("symbol", "EUR/USD"),
                ("timestamp", "1706198400123"),
                ("bid", "1.09551000"),
                ("ask", "1.09553000"),
                ("exchange", "48"),
                ("source", "polygon_websocket"),
                ("event_type", "quote"),
            ],
        );
        expect(
            &mut bench,
            r#"{"ev":"C","pair":"EUR/USD","x":48,"b":1.09551,"a":1.09553,"s":2,"t":1706198400123}"#,
            &[
                ("symbol", "EUR/USD"),
                ("timestamp", "1706198400123"),
                ("bid", "1.09551000"),
                ("ask", "1.09553000"),
                ("volume", "2.00000000"),
                ("exchange", "48"),
                ("event_type", "C"),
            ],
        );
        expect(
            &mut bench,
            r#"{"timestamp":"2024-01-02 15:36:39.034000","symbol":"EUR/USD","bid":1.0999,"ask":1.1,"volume":2.0,"source":"dukascopy_historical"}"#,
            &[
                ("symbol", "EUR/USD"),
                ("timestamp", "1704209799034"),
                ("bid", "1.09990000"),
                ("ask", "1.10000000"),
                ("volume", "2.00000000"),
                ("source", "dukascopy_historical"),
            ],
        );
    }
}

#[test]
fn candles_in_both_forms_and_with_short_names() {
    let mut bench = Bench::new("aggregates");
    let prices = [
        ("symbol", "EUR/USD"),
        ("timestamp", "1706198400000"),
        ("open", "1.09550000"),
        ("high", "1.09610000"),
        ("low", "1.09490000"),
        ("close", "1.09570000"),
    ];
    let first = [
        ("timeframe", "5m"),
        ("volume", "1250.00000000"),
        ("vwap", "1.09552000"),
        ("range_pips", "12.00000000"),
        ("start_time", "1706198400000"),
        ("end_time", "1706198700000"),
        ("source", "polygon_historical"),
        ("event_type", "ohlcv"),
    ];
    expect(
        &mut bench,
        r#"{"symbol":"EUR/USD","timeframe":"5m","timestamp_ms":1706198400000,"open":1.0955,"high":1.0961,"low":1.0949,"close":1.0957,"volume":1250,"vwap":1.09552,"range_pips":12.000000000000011,"start_time":"2024-01-25T16:00:00+00:00","end_time":"2024-01-25T16:05:00+00:00","source":"polygon_historical","event_type":"ohlcv"}"#,
        &[&prices[..], &first].concat(),
    );
    let second = [
        ("timeframe", "1h"),
        ("tick_count", "842"),
        ("avg_spread", "0.00012000"),
        ("max_spread", "0.00040000"),
        ("min_spread", "0.00008000"),
        ("price_range", "0.00120000"),
        ("pct_change", "0.01800000"),
        ("is_complete", "1"),
        ("indicators", r#"{"rsi_14":55.1}"#),
    ];
    expect(
        &mut bench,
        r#"{"symbol":"EUR/USD","timeframe":"1h","timestamp_ms":1706198400000,"open":1.0955,"high":1.0961,"low":1.0949,"close":1.0957,"tick_count":842,"avg_spread":0.00012,"max_spread":0.0004,"min_spread":0.00008,"price_range":0.0012,"pct_change":0.018,"is_complete":1,"indicators":{"rsi_14":55.1}}"#,
        &[&prices[..], &second].concat(),
    );
    expect(
        &mut Bench::new("aggregates").subject("market.EURUSD.15m"),
        r#"{"s":"EUR/USD","t":1706198400000,"o":1.0955,"h":1.0961,"l":1.0949,"c":1.0957,"v":12e2,"vw":-1.5,"n":"9","is_complete":false,"indicators":[1, {"a": "}"}]}"#,
        &[
            &prices[..],
            &[
                ("timeframe", "15m"),
                ("volume", "1200.00000000"),
                ("vwap", "-1.50000000"),
                ("tick_count", "9"),
                ("is_complete", "0"),
                ("indicators", r#"[1, {"a": "}"}]"#),
            ],
        ]
        .concat(),
    );
}

/// The envelope around `data`, as a publisher writes it.
fn envelope(kind: &str, data: &str) -> String {
    format!(
        r#"{{"data":{data},"metadata":{{"type":"{kind}","timestamp":"2024-01-25T16:00:00Z","version":"1.0.0","source":"fred"}}}}"#
    )
}

#[track_caller]
fn expect_external(kind: &str, data: &str, want: &[(&str, &str)]) {
    let want: Vec<_> = want.iter().copied().chain([("source", "fred")]).collect();
    let mut bench = Bench::new(&format!("external_{kind}"));
    expect(&mut bench, &envelope(kind, data), &want);
    expect(&mut bench, &envelope(kind, data), &want);
}

#[test]
fn economic_calendar() {
    expect_external(
        "economic_calendar",
        r#"{"date":"2024-01-25","time":"13:30","currency":"USD","event":"GDP q/q","impact":"High","forecast":"2.0%","previous":4.9,"actual":null}"#,
        &[
            ("event_time", "1706189400000"),
            ("date", "2024-01-25"),
            ("time", "13:30"),
            ("currency", "USD"),
            ("event", "GDP q/q"),
            ("impact", "High"),
            ("forecast", "2.0%"),
            ("previous", "4.9"),
        ],
    );
    expect_external(
        "economic_calendar",
        r#"{"date":"2024-01-25","currency":"USD","event":"Bank holiday"}"#,
        &[
            ("event_time", "1706140800000"),
            ("date", "2024-01-25"),
            ("currency", "USD"),
            ("event", "Bank holiday"),
        ],
    );
}

#[test]
fn series_indices_prices_and_sessions() {
    expect_external(
        "fred_economic",
        r#"{"series_id":"GDP","date":"1947-01-01","value":"243.164"}"#,
        &[
            ("event_time", "-725846400000"),
            ("date", "1947-01-01"),
            ("series_id", "GDP"),
            ("value", "243.16400000"),
        ],
    );
    expect_external(
        "fear_greed_index",
        r#"{"value":55,"classification":"Greed","sentiment_score":0.1,"timestamp":1706140800000}"#,
        &[
            ("event_time", "1706140800000"),
            ("value", "55.00000000"),
            ("classification", "Greed"),
            ("sentiment_score", "0.10000000"),
            ("timestamp", "1706140800000"),
        ],
    );
    expect_external(
        "commodity_prices",
        r#"{"symbol":"XAU","name":"Gold","price":2020.5,"currency":"USD","change_percent":-0.3,"volume":1e6}"#,
        &[
            ("event_time", "1706198400000"),
            ("symbol", "XAU"),
            ("name", "Gold"),
            ("price", "2020.50000000"),
            ("currency", "USD"),
            ("change_percent", "-0.30000000"),
            ("volume", "1000000.00000000"),
        ],
    );
    expect_external(
        "market_sessions",
        r#"{"current_utc_time":"2024-01-25T16:00:00.500+00:00","active_sessions_count":2,"active_sessions":["London", "New York"],"liquidity_level":"high"}"#,
        &[
            ("event_time", "1706198400500"),
            ("current_utc_time", "2024-01-25T16:00:00.500+00:00"),
            ("active_sessions_count", "2"),
            ("active_sessions", r#"["London", "New York"]"#),
            ("liquidity_level", "high"),
        ],
    );
}

#[test]
fn crypto_sentiment() {
    expect_external(
        "crypto_sentiment",
        r#"{"coin_id":"bitcoin","name":"Bitcoin","symbol":"btc","price_usd":39900.123456789,"price_change_24h":-1.25,"market_cap_rank":1,"sentiment_votes_up_percentage":81.5,"community_score":0,"twitter_followers":6000000,"reddit_subscribers":4.0}"#,
        &[
            ("event_time", "1706198400000"),
            ("coin_id", "bitcoin"),
            ("name", "Bitcoin"),
            ("symbol", "btc"),
            ("price_usd", "39900.12345679"),
            ("price_change_24h", "-1.25000000"),
            ("market_cap_rank", "1"),
            ("sentiment_votes_up_percentage", "81.50000000"),
            ("community_score", "0.00000000"),
            ("twitter_followers", "6000000"),
            ("reddit_subscribers", "4"),
        ],
    );
}

#[test]
fn fields_of_the_envelope_are_known_and_others_are_counted() {
    let mut bench = Bench::new("external_fred_economic");
    let data = r#"{"date":"2024-01-25","revision":{"a":{"b":[]}},"note":1}"#;
    bench.row(&envelope("fred_economic", data));
    assert_eq!(bench.decoder.scanner.unknown, 2);
    bench.row(&envelope("fred_economic", r#"{"date":"2024-01-25"}"#));
    assert_eq!(bench.decoder.scanner.unknown, 0);
}

#[test]
fn the_first_alias_that_is_not_null_wins() {
    let mut bench = Bench::new("ticks");
    let row = bench.row(
        r#"{"timestamp":"garbage","t":1706198400001,"timestamp_ms":null,"pair":"B","symbol":"A","b":9,"bid":1,"ask":2}"#,
    );
    assert_eq!((&*row["symbol"], &*row["bid"]), ("A", "1.00000000"));
    assert_eq!(row["timestamp"], "1706198400001");
}

#[test]
fn of_duplicate_keys_the_last_wins() {
    let mut bench = Bench::new("ticks");
    for _ in 0..2 {
        let row = bench.row(
            r#"{"symbol":"A","bid":"abc","bid":1,"ask":2,"ask":3,"t":1706198400001,"symbol":"B","volume":5,"volume":null}"#,
        );
        assert_eq!((&*row["symbol"], &*row["volume"]), ("B", "NULL"));
        assert_eq!((&*row["bid"], &*row["ask"]), ("1.00000000", "3.00000000"));
    }
    let mut bench = Bench::new("external_fred_economic");
    let row = bench.row(
        r#"{"data":{"date":"2024-01-25","value":1,"series_id":"X"},"data":{"date":"2024-01-26","value":2},"data":{"date":"2024-01-27"}}"#,
    );
    assert_eq!((&*row["date"], &*row["value"], &*row["series_id"]), ("2024-01-27", "NULL", ""));
    assert_eq!(bench.row(r#"{"data":5,"data":{"date":"2024-01-27"}}"#)["date"], "2024-01-27");
}

/// The bytes `,"timestamp":` stand third in both messages, once in `metadata` and once in `data`.
#[test]
fn a_learned_key_means_something_else_in_another_object() {
    let mut bench = Bench::new("external_fear_greed_index");
    let first = r#"{"metadata":{"source":"s","timestamp":"2024-01-01"},"data":{"timestamp":5}}"#;
    assert_eq!(bench.row(first)["event_time"], "5");
    let second = r#"{"data":{"value":1,"timestamp":"2024-01-25"}}"#;
    assert_eq!(bench.row(second)["event_time"], "1706140800000");
}

#[test]
fn symbol_and_timeframe_come_from_the_subject_when_the_body_has_none() {
    let mut ticks = Bench::new("ticks").subject("market.EURUSD.tick");
    assert_eq!(ticks.row(r#"{"bid":1,"ask":2,"t":0}"#)["symbol"], "EURUSD");
    assert_eq!(ticks.row(r#"{"bid":1,"ask":2,"t":0,"symbol":null}"#)["symbol"], "EURUSD");
    assert_eq!(ticks.row(r#"{"bid":1,"ask":2,"t":0,"pair":"eur-usd"}"#)["symbol"], "eur-usd");
    let mut bars = Bench::new("aggregates").subject("bars.EURUSD.1w");
    let row = bars.row(r#"{"t":0,"o":1,"h":1,"l":1,"c":1}"#);
    assert_eq!((&*row["symbol"], &*row["timeframe"]), ("EURUSD", "1w"));
}

#[test]
fn texts_are_unescaped_and_keys_too() {
    let mut bench = Bench::new("ticks");
    let row = bench.row(concat!(
        r#"{"\u0073ymbol":"\u0045UR\/USD \ud83d\ude00 \"\\ é","b\u0069d":"1\u002e5","ask":2,"#,
        r#""t":"17061984\u00300123","source":"\n\u0000"}"#
    ));
    assert_eq!(row["symbol"], "EUR/USD 😀 \"\\ é");
    assert_eq!((&*row["bid"], &*row["timestamp"]), ("1.50000000", "1706198400123"));
    assert_eq!(row["source"], "\n\0");
}

#[test]
fn spaces_may_stand_wherever_json_allows_them() {
    let mut bench = Bench::new("ticks");
    let dense = r#"{"symbol":"A","bid":1,"ask":2,"t":0,"o":{"a":[1,{}]}}"#;
    let expected = bench.row(dense);
    let dumps = r#"{"symbol": "A", "bid": 1, "ask": 2, "t": 0, "o": {"a": [1, {}]}}"#;
    assert_eq!(bench.row(dumps), expected);
    let mut loose = String::from(" \t\r\n");
    for character in dense.chars() {
        let structural = "{}[],:".contains(character);
        loose.push_str(if structural { " \n" } else { "" });
        loose.push(character);
        loose.push_str(if structural { "\t " } else { "" });
    }
    for payload in [loose.as_str(), dense, loose.as_str(), dumps] {
        assert_eq!(bench.row(payload), expected, "{payload}");
    }
}

#[test]
fn numbers_may_be_texts_and_whole_numbers_may_be_written_as_decimals() {
    let mut bench = Bench::new("ticks");
    let row = bench.row(
        r#"{"symbol":"A","bid":"1.09551","ask":"-1e-5","t":"1706198400123","exchange":1e3,"volume":"1.5E3"}"#,
    );
    assert_eq!((&*row["bid"], &*row["ask"]), ("1.09551000", "-0.00001000"));
    assert_eq!((&*row["exchange"], &*row["volume"]), ("1000", "1500.00000000"));
    let row = bench.row(r#"{"symbol":"A","bid":1,"ask":2,"t":1.7e12,"exchange":"48.0"}"#);
    assert_eq!((&*row["exchange"], &*row["timestamp"]), ("48", "1700000000000"));
}

#[test]
fn excess_digits_are_rounded_half_to_even() {
    let mut bench = Bench::new("ticks");
    for (written, stored) in [
        ("0.000000005", "0.00000000"),
        ("0.000000015", "0.00000002"),
        ("0.000000025", "0.00000002"),
        ("-0.000000015", "-0.00000002"),
        ("0.0000000150000000000000000000000001", "0.00000002"),
        ("0.0000000250000000000000000000000001", "0.00000003"),
        ("1.0955100000000001", "1.09551000"),
        ("1.09550999999999998", "1.09551000"),
        ("\"0.000000025\"", "0.00000002"),
        ("25e-9", "0.00000002"),
    ] {
        let row = bench.row(&format!(r#"{{"symbol":"A","bid":{written},"ask":1,"t":0}}"#));
        assert_eq!(row["bid"], stored, "{written}");
    }
}

#[test]
fn is_complete_may_be_a_boolean() {
    let mut bench = Bench::new("aggregates");
    for (written, stored) in
        [("true", "1"), ("false", "0"), ("1", "1"), ("0", "0"), ("null", "NULL")]
    {
        let payload = format!(
            r#"{{"symbol":"A","timeframe":"1s","t":0,"o":1,"h":1,"l":1,"c":1,"is_complete":{written}}}"#
        );
        assert_eq!(bench.row(&payload)["is_complete"], stored);
    }
}

#[test]
fn envelopes_with_another_space_than_before_are_read() {
    let mut bench = Bench::new("external_fear_greed_index");
    for text in [
        r#"{"data":{"value":1,"classification":"Fear","sentiment_score":0.35,"timestamp":"2023-12-04T02:05:18Z"},"metadata":{"type":"fear_greed_index","timestamp":"2023-12-04T02:05:25Z","version":"1.0.0","source":"alternative.me"}}"#,
        r#"{"data": {"value": "35", "classification": "Fear", "sentiment_score": 0.35000000000000003, "timestamp": "2023-12-04T02:05:18Z"}, "metadata": {"type": "fear_greed_index", "timestamp": "2023-12-04T02:05:25Z", "version": "1.0.0", "source": "alternative.me"}}"#,
        r#"{"data": {"value": "35", "classification": "Fear", "sentiment_score": 0.35000000000000003, "timestamp": "2023-12-04T02:05:18Z"}, "metadata": {"type": "fear_greed_index", "timestamp": "2023-12-04T02:05:25Z", "version": "1.0.0", "source": "alternative.me"}}"#,
        r#"{"metadata": {"type": "fear_greed_index", "timestamp": "2023-12-04T02:05:25Z", "version": "1.0.0", "source": "alternative.me"}, "data": {"value": "35", "classification": "Fear", "sentiment_score": 0.35000000000000003, "timestamp": "2023-12-04T02:05:18Z"}}"#,
        r#"{"data": {"value": "35", "classification": "Fear", "sentiment_score": 0.35000000000000003, "timestamp": "2023-12-04T02:05:18Z"}, "metadata": {"type": "fear_greed_index", "timestamp": "2023-12-04T02:05:25Z", "version": "1.0.0", "source": "alternative.me"}}"#,
        r#"{"metadata": {"type": "fear_greed_index", "timestamp": "2023-12-04T02:05:25Z", "version": "1.0.0", "source": "alternative.me"}, "data": {"value": "35", "classification": "Fear", "sentiment_score": 0.35000000000000003, "timestamp": "2023-12-04T02:05:18Z"}}"#,
    ] {
        bench.row(text);
    }
}
