use super::*;

#[test]
fn sizes_are_read_with_and_without_unit() {
    for (text, bytes) in [
        ("67108864", 67_108_864),
        ("64MiB", 67_108_864),
        ("64 MiB", 67_108_864),
        ("1.5GiB", 1_610_612_736),
        ("500MB", 500_000_000),
        ("10kB", 10_000),
        ("0", 0),
        ("512B", 512),
        ("3KiB", 3072),
        ("2TiB", 2 << 40),
        ("2TB", 2_000_000_000_000),
        ("2GB", 2_000_000_000),
        ("2KB", 2000),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
}

#[test]
fn bad_sizes_are_refused_and_a_likely_unit_is_named() {
    for text in
        ["", "MiB", "-1", "64 megs", ".5MiB", "1.MiB", "0.3B", "9999999999TiB", "1e6", "1.2.3MiB"]
    {
        assert!(parse_size(text).is_err(), "{text}");
    }
    assert_eq!(size("64M").unwrap_err(), "has the unit `M`, which is none: `MiB` is meant?");
    assert_eq!(size("64mib").unwrap_err(), "has the unit `mib`, which is none: `MiB` is meant?");
}

#[test]
fn a_shown_size_reads_as_the_same_size() {
    for bytes in [0, 1, 1023, 1024, 1536, 64 << 20, 3 << 30, 1_000_000] {
        assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
    }
    assert_eq!(show_size(64 << 20), "64MiB");
}

#[test]
fn spans_have_units() {
    assert_eq!(span("7d"), Ok(Duration::from_hours(168)));
    assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(span("0"), Ok(Duration::ZERO));
    assert_eq!(span("7"), Err(Some("has no unit".to_owned())));
    for text in ["", "d", "7 days", "-1d", "1.5h", "99999999999999999d"] {
        assert!(span(text).is_err(), "{text}");
    }
    for text in ["7d", "12h", "90s", "1500ms", "0"] {
        assert_eq!(show_span(span(text).unwrap()), text);
    }
}

#[test]
fn numbers_are_digits_within_their_range() {
    assert_eq!(whole("-1", -1, 5), Ok(-1));
    assert_eq!(whole("6", -1, 5), Err(Some("is out of range".to_owned())));
    assert_eq!(whole("99999999999999999999", 0, i64::MAX), Err(Some("is out of range".to_owned())));
    for text in ["", "-", "1.5", "1_000", "8s", "0x10", " 1", "+1"] {
        assert_eq!(whole(text, 0, 100), Err(None), "{text}");
    }
    assert_eq!(share("0.8"), Ok(0.8));
    for text in ["0", "1.01", "-0.5", "NaN", "inf", "80%"] {
        assert!(share(text).is_err(), "{text}");
    }
}

#[test]
fn urls_are_checked_and_lose_their_final_slash() {
    let http: &[&str] = &["http", "https"];
    assert_eq!(url("http://ch:8123/", http).as_deref(), Ok("http://ch:8123"));
    assert_eq!(url("https://ch.example/click/", http).as_deref(), Ok("https://ch.example/click"));
    assert_eq!(url("http://[::1]:8123", http).as_deref(), Ok("http://[::1]:8123"));
    assert_eq!(url("nats-1:4222", &["nats", "tls"]).as_deref(), Ok("nats://nats-1:4222"));
    for text in [
        "ch:8123",
        "ftp://ch",
        "http://",
        "http://ch:99999",
        "http://ch:0",
        "http://a b",
        "http://ch/?user=x",
    ] {
        assert!(url(text, http).is_err(), "{text}");
    }
}

#[test]
fn addresses_are_numbers_and_the_usual_slips_are_named() {
    assert!(address("127.0.0.1:9401").is_ok());
    assert!(address("[::1]:9401").is_ok());
    assert!(
        address("localhost:9401").unwrap_err().is_some_and(|reason| reason.contains("127.0.0.1"))
    );
    assert!(address(":9401").unwrap_err().is_some_and(|reason| reason.contains("0.0.0.0")));
    assert!(address("127.0.0.1").unwrap_err().is_some());
}
