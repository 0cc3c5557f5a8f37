//! Compression both ways, and bodies that break.

use std::io::{Read, Write};

use crate::client::Client;
use crate::server::{Server, wait_until};

const ROWS: usize = 50_000;

fn table(name: &str) -> Client {
    let client = Server::shared().database(name);
    client.ok("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a");
    client
}

fn rows() -> Vec<u8> {
    (0..ROWS).flat_map(|row| format!("{row},text {row}\n").into_bytes()).collect()
}

fn count(client: &Client) -> usize {
    client.ok("SELECT count() FROM t").parse().unwrap()
}

fn packed(encoding: &str, data: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::bulk::compress(data, 1).unwrap(),
        "lz4" => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

fn unpacked(encoding: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => flate2::read::GzDecoder::new(data).read_to_end(&mut out).unwrap(),
        "deflate" => flate2::read::ZlibDecoder::new(data).read_to_end(&mut out).unwrap(),
        "zstd" => zstd::Decoder::new(data).unwrap().read_to_end(&mut out).unwrap(),
        "lz4" => lz4_flex::frame::FrameDecoder::new(data).read_to_end(&mut out).unwrap(),
        other => panic!("{other}"),
    };
    out
}

const ENCODINGS: [&str; 4] = ["gzip", "deflate", "zstd", "lz4"];

#[test]
fn compressed_bodies_are_taken_with_the_insert_outside_or_inside() {
    let client = table("content_encoding");
    for encoding in ENCODINGS {
        client.ok("TRUNCATE TABLE t");
        let headers = [("Content-Encoding", encoding)];
        let outside =
            client.insert_with("INSERT INTO t FORMAT CSV", &headers, &packed(encoding, &rows()));
        assert_eq!(outside.status, 200, "{encoding}: {}", outside.text());
        let mut text = b"INSERT INTO t FORMAT CSV\n".to_vec();
        text.extend(rows());
        let inside = client.insert_with("", &headers, &packed(encoding, &text));
        assert_eq!(inside.status, 200, "{encoding}: {}", inside.text());
        assert_eq!(count(&client), 2 * ROWS, "{encoding}");
    }
    let brotli = client.insert_with("SELECT 1", &[("Content-Encoding", "br")], b"x");
    assert_eq!(brotli.code(), Some(89));
    assert!(brotli.text().contains("Content-Encoding br is not supported"), "{}", brotli.text());
}

#[test]
fn cut_or_broken_compressed_bodies_insert_nothing() {
    let client = table("cut_encoding");
    for encoding in ENCODINGS {
        let whole = packed(encoding, &rows());
        let headers = [("Content-Encoding", encoding)];
        for end in [whole.len() - 1, whole.len() / 2, 3] {
            let response = client.insert_with("INSERT INTO t FORMAT CSV", &headers, &whole[..end]);
            assert_ne!(response.status, 200, "{encoding} cut at {end}");
            assert!(response.code().is_some(), "{encoding}");
        }
        let mut broken = whole.clone();
        let middle = broken.len() / 2;
        broken[middle..middle + 40].fill(0xee);
        let response = client.insert_with("INSERT INTO t FORMAT CSV", &headers, &broken);
        assert_ne!(response.status, 200, "{encoding} broken");
        assert_eq!(count(&client), 0, "{encoding}");
    }
}

#[test]
fn answers_are_compressed_as_accepted_errors_too() {
    let client = Server::shared();
    let query = "SELECT number, 'text' FROM numbers(300000)";
    let plain = client.post(query).body;
    for encoding in ENCODINGS {
        let accept = [("Accept-Encoding", encoding)];
        let response = client.insert_with(query, &accept, b"");
        assert_eq!(response.header("content-encoding"), Some(encoding));
        assert!(response.complete && response.body.len() < plain.len() / 2, "{encoding}");
        assert!(unpacked(encoding, &response.body) == plain, "{encoding}");
        let error = client.insert_with("SELECT nope", &accept, b"");
        assert_eq!((error.status, error.header("content-encoding")), (404, Some(encoding)));
        assert!(unpacked(encoding, &error.body).starts_with(b"Code: 47."), "{encoding}");
    }
    let off = client.with("enable_http_compression", "0");
    let off = off.insert_with("SELECT 1", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!((off.header("content-encoding"), off.text().as_str()), (None, "1\n"));
}

/// A block as `compress=1` gives it: 16 bytes of checksum, the method, two sizes, the data.
fn block_sizes(block: &[u8]) -> (u8, usize, usize) {
    let size = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap()) as usize;
    (block[16], size(17), size(21))
}

#[test]
fn blocks_of_clickhouse_go_both_ways() {
    let client = table("blocks");
    // Several blocks: one holds a mebibyte.
    let query = "SELECT number AS a, toString(number) AS b FROM numbers(200000) FORMAT Native";
    let packed = client.with("compress", "1").post(query);
    let plain = client.post(query);
    assert_eq!(block_sizes(&packed.body).0, 0x82);
    assert!(packed.body.len() < plain.body.len());
    let unpacking = client.with("decompress", "1");
    let whole = unpacking.insert_chunked("INSERT INTO t FORMAT Native", &packed.body, 1009, false);
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(count(&client), 200_000);

    client.ok("TRUNCATE TABLE t");
    let mut broken = packed.body.clone();
    broken[40] ^= 1;
    let broken = unpacking.insert("INSERT INTO t FORMAT Native", &broken);
    assert_eq!((broken.status, broken.code()), (400, Some(40)), "{}", broken.text());
    let first = 16 + block_sizes(&packed.body).1;
    for end in [packed.body.len() - 1, first + 7, first - 1, 5] {
        let cut = unpacking.insert("INSERT INTO t FORMAT Native", &packed.body[..end]);
        assert_eq!(cut.code(), Some(33), "cut at {end}: {}", cut.text());
    }
    let mut method = packed.body.clone();
    method[16] = 0x91;
    assert_eq!(unpacking.insert("INSERT INTO t FORMAT Native", &method).code(), Some(40));
    assert_eq!(count(&client), 0);

    let error = client.with("compress", "1").post("SELECT nope");
    let (method, _, raw) = block_sizes(&error.body);
    assert_eq!(method, 0x82);
    let text = lz4_flex::block::decompress(&error.body[25..], raw).unwrap();
    assert!(text.starts_with(b"Code: 47. DB::Exception: "), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn cut_bodies_insert_nothing() {
    let client = table("cut");
    client.insert("INSERT INTO t FORMAT CSV", &rows());
    let formats = ["Native", "CSV", "JSONEachRow", "RowBinary", "Parquet", "Values"];
    let bodies = formats.map(|format| {
        // Several blocks, more than the server holds before it asks the engine.
        client
            .post(&format!(
                "SELECT a + n.number * {ROWS} AS a, b FROM t, numbers(4) AS n FORMAT {format}"
            ))
            .body
    });
    for (format, body) in formats.into_iter().zip(bodies) {
        client.ok("TRUNCATE TABLE t");
        let query = format!("INSERT INTO t FORMAT {format}");
        for end in [body.len() - 1, body.len() * 3 / 5, 100] {
            let cut = &body[..end];
            let chunked = client.insert_chunked(&query, cut, 40_000, true);
            assert_ne!(chunked.status, 200, "{format} cut at {end}, chunked");
            let short = client.insert_short(&query, cut);
            assert_ne!(short.status, 200, "{format} cut at {end}, short");
        }
        // Whole rows, but the length that was announced did not come: not inserted either.
        assert_ne!(client.insert_short(&query, &body).status, 200, "{format}");
        assert_ne!(client.insert_chunked(&query, &body, 40_000, true).status, 200, "{format}");
        assert_eq!(count(&client), 0, "{format}");
        assert_eq!(client.insert(&query, &body).status, 200, "{format}");
        assert_eq!(count(&client), 4 * ROWS, "{format}");
    }
}

#[test]
fn insert_whose_client_vanishes_inserts_nothing() {
    let client = table("vanish");
    let head = format!(
        "POST /?database={}&query=INSERT+INTO+t+FORMAT+CSV HTTP/1.1\r\nHost: x\r\n\
         Content-Length: 100000000\r\n\r\n",
        client.ok("SELECT currentDatabase()")
    );
    let inserts = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' \
        AND current_database = currentDatabase()";
    let mut stream = std::net::TcpStream::connect(client.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..4 {
        stream.write_all(&rows()).unwrap();
    }
    wait_until("the insert runs", || client.ok(inserts) == "1");
    drop(stream);
    wait_until("the insert is cancelled", || client.ok(inserts) == "0");
    assert_eq!(count(&client), 0);
}
