//! Many at once, and much at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::client;
use crate::server::{Data, Server, Variant};

#[test]
fn sixteen_clients_insert_and_query_at_the_same_time() {
    const CLIENTS: u64 = 16;
    const INSERTS: u64 = 10;
    let client = Server::shared().database("parallel");
    client.ok("CREATE TABLE t (client UInt64, n UInt64) ENGINE = MergeTree ORDER BY (client, n)");
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let client = &client;
            scope.spawn(move || {
                for insert in 0..INSERTS {
                    let rows: Vec<_> = (0..100)
                        .map(|row| {
                            format!(
                                "{number},{}
",
                                insert * 100 + row
                            )
                        })
                        .collect();
                    let rows = rows.concat();
                    let response = client.insert("INSERT INTO t FORMAT CSV", rows.as_bytes());
                    assert_eq!(response.status, 200, "{}", response.text());
                    let query =
                        format!("SELECT count(), uniqExact(n) FROM t WHERE client = {number}");
                    let rows = (insert + 1) * 100;
                    assert_eq!(client.ok(&query), format!("{rows}\t{rows}"));
                }
            });
        }
    });
    assert_eq!(client.ok("SELECT count(), uniqExact(client, n) FROM t"), "16000\t16000");
}

/// 200 MB into the engine and 400 MB out of it; the process stays small because neither is held.
#[test]
fn large_insert_and_large_select_need_little_memory() {
    const ROWS: u64 = 5_000_000;
    let data = Data::new("large");
    let server = Server::start(data.path(), &Variant::default());
    let client = server.client();
    client.ok("CREATE DATABASE large");
    client.ok("CREATE TABLE large.t (a UInt64, b UInt64, c Float64, d FixedString(16)) ENGINE = MergeTree ORDER BY a");
    let idle = server.memory_mib("VmRSS");
    let started = Instant::now();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = "POST /?query=INSERT+INTO+large.t+FORMAT+RowBinary HTTP/1.1\r\nHost: x\r\n\
        Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut chunk = Vec::new();
    for row in 0..ROWS {
        chunk.extend_from_slice(&row.to_le_bytes());
        chunk.extend_from_slice(&row.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        chunk.extend_from_slice(&1.25_f64.to_le_bytes());
        chunk.extend_from_slice(&u128::from(row).wrapping_mul(0x1234_5678_9abc_def1).to_le_bytes());
        if chunk.len() >= 1 << 20 || row + 1 == ROWS {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).unwrap();
            stream.write_all(&chunk).unwrap();
            stream.write_all(b"\r\n").unwrap();
            chunk.clear();
        }
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let response = client::read(stream);
    assert_eq!(response.status, 200, "{}", response.text());
    let (insert_took, insert_peak) = (started.elapsed(), server.memory_mib("VmHWM"));
    assert_eq!(client.ok("SELECT count(), sum(a) FROM large.t"), "5000000\t12499997500000");

    let started = Instant::now();
    let mut stream = client.open("SELECT * FROM large.t, numbers(2) AS n FORMAT RowBinary");
    let (mut total, mut first) = (0, None);
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        first.get_or_insert_with(|| started.elapsed());
        total += length;
    }
    let select_took = started.elapsed();
    assert!(total as u64 > ROWS * 2 * 48, "only {total} bytes came");
    let peak = server.memory_mib("VmHWM");
    println!(
        "idle {idle} MiB; insert of 200 MB: {insert_took:?}, peak {insert_peak} MiB; \
         select of {} MB: first byte after {:?}, all after {select_took:?}, peak {peak} MiB",
        total / 1_000_000,
        first.unwrap()
    );
    assert!(first.unwrap() < select_took / 2, "the answer was held back");
    // The engine sorts a block of a million rows (41 MB) several times over; what must not be
    // held is the body or the answer.
    assert!(insert_peak < idle + 400, "insert: {idle} MiB, then {insert_peak}");
    assert!(peak < insert_peak + 150, "select: {insert_peak} MiB, then {peak}");
}
