//! `event_id` and `version`.

use xxhash_rust::xxh3::xxh3_64;

use super::Bench;
use crate::decode::MsgId;
use crate::decode::read::version;

const TICK: &str = r#"{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":1706198400123,"exchange":48,"source":"polygon_websocket","event_type":"quote"}"#;

fn id(bench: &mut Bench, payload: &str) -> u64 {
    bench.row(payload)["event_id"].parse().unwrap()
}

/// Every row of the table of `docs/event-id.md`: message, canonical form, id.
#[test]
fn the_test_vectors_of_the_documentation_hold() {
    let page = include_str!("../../../../../docs/event-id.md");
    let mut vectors = 0;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(message) = line.strip_prefix("message   `").and_then(|l| l.strip_suffix('`'))
        else {
            continue;
        };
        let mut field = |name: &str| {
            let line = lines.next().expect("a line for each part of a vector");
            let value = line.strip_prefix(name).expect("parts in order").trim();
            value.trim_matches('`').to_owned()
        };
        let (canonical, expected) = (field("canonical"), field("event_id"));
        let bytes: Vec<u8> = (0..canonical.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&canonical[at..at + 2], 16).unwrap())
            .collect();
        let mut bench = Bench::new("ticks");
        assert_eq!(id(&mut bench, message).to_string(), expected, "{message}");
        assert_eq!(bench.decoder.canonical, bytes, "{message}");
        assert_eq!(xxh3_64(&bytes).to_string(), expected);
        vectors += 1;
    }
    assert!(vectors >= 6, "{vectors} vectors");
}

/// The layout as `docs/event-id.md` describes it, written here once more.
#[test]
fn the_canonical_form_is_tag_and_bytes_of_eight_values() {
    let mut canonical = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(1);
        out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(text.as_bytes());
    };
    let number = |out: &mut Vec<u8>, tag: u8, value: i64| {
        out.push(tag);
        out.extend(value.to_le_bytes());
    };
    text(&mut canonical, "EUR/USD");
    number(&mut canonical, 2, 1_706_198_400_123);
    number(&mut canonical, 4, 109_551_000);
    number(&mut canonical, 4, 109_553_000);
    canonical.push(0);
    number(&mut canonical, 2, 48);
    text(&mut canonical, "polygon_websocket");
    text(&mut canonical, "quote");
    assert_eq!(id(&mut Bench::new("ticks"), TICK), xxh3_64(&canonical));
}

#[test]
fn the_same_values_written_otherwise_are_the_same_event() {
    let mut bench = Bench::new("ticks").subject("market.EUR/USD.tick");
    let expected = id(&mut bench, TICK);
    for other in [
        r#"{"_transport":"nats","symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":1706198400123,"exchange":48,"source":"polygon_websocket","event_type":"quote"}"#,
        r#"{"pair":"EUR\/USD","b":"1.0955100","a":1095530e-6,"t":"1706198400123","x":48.0,"source":"polygon_websocket","ev":"quote","volume":null}"#,
        r#"{"timestamp":"2024-01-25T16:00:00.123Z","bid":1.095510000000000001,"ask":1.09553,"exchange":48,"source":"polygon_websocket","event_type":"quote"}"#,
    ] {
        assert_eq!(id(&mut bench, other), expected, "{other}");
    }
    for different in [
        TICK.replace("EUR/USD", "EUR/USE"),
        TICK.replace("400123", "400124"),
        TICK.replace("1.09551", "1.09552"),
        TICK.replace("1.09553", "1.09554"),
        TICK.replace("48", "49"),
        TICK.replace("\"exchange\":48", "\"exchange\":null"),
        TICK.replace("\"exchange\":48", "\"exchange\":0"),
        TICK.replace('{', r#"{"volume":0,"#),
        TICK.replace("quote", "trade"),
        // Moved from one text to its neighbour.
        TICK.replace("polygon_websocket", "polygon_websocke").replace("quote", "tquote"),
    ] {
        assert_ne!(id(&mut bench, &different), expected, "{different}");
    }
}

#[test]
fn headers_carry_the_id_of_the_publisher() {
    let mut bench = Bench::new("ticks");
    let computed = id(&mut bench, TICK);
    for (headers, expected) in [
        (vec![(&b"event-id"[..], Some(&b"42"[..]))], 42),
        (vec![(b"Event-Id", Some(b"18446744073709551615"))], u64::MAX),
        (vec![(b"event-id", Some(b"18446744073709551616"))], xxh3_64(b"18446744073709551616")),
        (vec![(b"event-id", Some(b"0007"))], 7),
        (vec![(b"event-id", Some(b"-1"))], xxh3_64(b"-1")),
        (vec![(b"event-id", Some(b"abc"))], xxh3_64(b"abc")),
        (vec![(b"event-id", Some(b"\xff"))], xxh3_64(b"\xff")),
        (vec![(b"event-id", Some(b"1")), (b"x", Some(b"9")), (b"event-id", Some(b"2"))], 2),
        (vec![(b"event-id", Some(b""))], computed),
        (vec![(b"event-id", None)], computed),
        (vec![(b"Nats-Msg-Id", Some(b"5"))], computed),
    ] {
        bench.headers = headers;
        assert_eq!(id(&mut bench, TICK), expected, "{:?}", bench.headers);
    }
    bench.decoder.msg_id = MsgId::IsEventId;
    bench.headers = vec![(b"Nats-Msg-Id", Some(b"5"))];
    assert_eq!(id(&mut bench, TICK), 5);
    bench.headers = vec![(b"event-id", Some(b"6")), (b"Nats-Msg-Id", Some(b"5"))];
    assert_eq!(id(&mut bench, TICK), 6);
}

#[test]
fn version_grows_with_time_and_at_equal_times_with_the_position() {
    assert_eq!(version(0, 5), 5);
    assert_eq!(version(-1, 5), 5);
    assert_eq!(version(1, 5), (1 << 22) + 5);
    assert_eq!(version(1_706_198_400_123, (1 << 22) + 5), (1_706_198_400_123 << 22) + 5);
    assert_eq!(version(i64::MAX, u64::MAX), u64::MAX);
    assert!(version(2, 0) > version(1, u64::MAX));
}
