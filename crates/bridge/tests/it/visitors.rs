//! Whoever knocks at the HTTP port of an instance, however he behaves: rows flow, pages are answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_bridge_lab::fake_clickhouse::Answer;
use data_bridge_lab::kafka::Pace;
use data_bridge_stack::health;

use crate::fake_tables::{fake_with_tables, rows_of};
use crate::flow::ticks;
use crate::world::{Instance, PATIENCE, Scenario, produce, until};

const ROWS: usize = 2_000;
/// Fewer than there are places.
const SLOW: usize = 200;

/// Sends bytes and reads what comes until the connection ends; the first line of the answer.
fn knock(bridge: &Instance, bytes: &[u8]) -> String {
    let mut stream = health::connect(bridge.port).expect("it listens");
    // A server that has had enough closes while we still send.
    stream.write_all(bytes).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

/// A request that is never finished.
fn linger(bridge: &Instance) -> TcpStream {
    let mut stream = health::connect(bridge.port).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ").expect("it reads");
    stream
}

#[test]
fn rude_visitors_are_answered_or_shown_out_and_rows_flow() {
    let fake = fake_with_tables();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    fake.script(move |request| {
        request.is_insert().then(|| {
            count.fetch_add(rows_of(request), Ordering::Relaxed);
            Answer::Ok
        })
    });
    let scenario = Scenario::new("visitors", &fake.url());
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let before = bridge.rss();
    let slow: Vec<_> = (0..SLOW).map(|_| linger(&bridge)).collect();
    produce(&ticks(&scenario, 809, ROWS as u64), 0..ROWS as u64, Pace::Full);

    let request = |line: &str, headers: &str| {
        knock(
            &bridge,
            format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n").as_bytes(),
        )
    };
    for method in ["POST", "DELETE", "PUT", "OPTIONS", "<script>"] {
        let answer = request(&format!("{method} /metrics"), "");
        assert!(answer.contains(" 405 ") || answer.contains(" 400 "), "{method}: {answer}");
    }
    for path in ["/nothing", "/../../etc/passwd", "/%00", "/metrics/%1b[31m"] {
        assert!(request(&format!("GET {path}"), "").contains(" 404 "), "{path}");
    }
    let huge = format!("X: {}\r\n", "a".repeat(1 << 20));
    let many = "X: a\r\n".repeat(10_000);
    for headers in [huge, many] {
        let answer = request("GET /metrics", &headers);
        assert!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
    }
    for bytes in [&b"\x16\x03\x01\x02\x00"[..], b"\x1b[31m\r\n\r\n", &[0; 4_096]] {
        let answer = knock(&bridge, bytes);
        assert!(answer.is_empty() || answer.contains(" 400 "), "{answer}");
    }
    let answer =
        request("POST /api/dead-letters/accept?route=ticks", "Content-Length: 99999999999\r\n");
    assert!(answer.contains(" 401 "), "without the token: {answer}");

    until(PATIENCE, "the rows", || match taken.load(Ordering::Relaxed) {
        ROWS => Ok(()),
        rows => Err(rows.to_string()),
    });
    for page in ["/metrics", "/healthz", "/readyz", "/api/status"] {
        bridge.get(page).expect("places are left");
    }
    let grown = bridge.rss().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    // Who lingers does not hold up the end.
    bridge.end();
    drop(slow);
}
