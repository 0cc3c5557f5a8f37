//! Whatever a client sends: no panic in what reads URLs, headers, multipart bodies, statements and
//! compressed bodies, and nothing comes out that did not come in.

use std::io::Read;

use data_bridge_lab::mutate::{Corpus, campaign};

use crate::codec::blocks::{BlockReader, pack};
use crate::codec::cityhash::checksum;
use crate::codec::decode::{ContentEncoding, reader};
use crate::codec::encode::AnswerEncoding;
use crate::exception::Exception;
use crate::http::multipart;
use crate::http::request::Request;
use crate::statement::{self, Statement, ValuesGuard};

/// A reader that gives more than this for 16 KiB of input is a bomb or a loop: Zstandard and LZ4
/// reach some thousandfold, gzip a thousandfold.
const MOST: u64 = 1 << 28;

#[test]
fn no_statement_makes_the_reader_panic_and_data_is_the_end_of_the_text() {
    const INPUTS: &[&[u8]] = &[
        b"INSERT INTO `a`.b (x, \"y\") SETTINGS async_insert = 0 FORMAT Native\n\x01\x02",
        b"INSERT INTO t VALUES (1, 'it''s', '\\'');",
        b"insert into table function null('x Int8') FORMAT JSONEachRow SETTINGS a=1\n{\"x\":1}",
        b"SELECT 1 -- one\n/* two /* nested */ */ FORMAT TSV",
        b"WITH x AS (SELECT ';') SELECT * FROM x FORMAT JSON;",
        b"KILL QUERY WHERE query_id = 'a'",
        b"SET a = 'b'",
        "SELECT 'é€😀' AS `naïve`".as_bytes(),
    ];
    const WORDS: &[&[u8]] = &[
        b"INSERT",
        b" INTO ",
        b"VALUES",
        b"FORMAT ",
        b"SETTINGS ",
        b"SELECT",
        b"INFILE",
        b"--",
        b"/*",
        b"*/",
        b"'",
        b"\"",
        b"`",
        b"\\",
        b";",
        b"(",
        b")",
        b"\n",
        b"$$",
        b"#!",
        b".",
        b"{",
    ];
    let fuzzed = campaign(Corpus { inputs: INPUTS, words: WORDS }, |input| {
        let mut whole = ValuesGuard::default();
        let mut pieces = ValuesGuard::default();
        let cut = input.len() / 2;
        let by_pieces = pieces.check(&input[..cut]).and_then(|()| pieces.check(&input[cut..]));
        assert_eq!(whole.check(input).is_ok(), by_pieces.is_ok(), "it matters where data is cut");
        match statement::parse(input) {
            Ok(Statement::Insert { data_at, format, .. }) => {
                assert!(data_at <= input.len() && !format.is_empty(), "{data_at} {format}");
                true
            }
            Ok(Statement::Query { .. }) => true,
            Err(refused) => {
                assert!(matches!(refused.code, 48 | 62), "{refused:?}");
                false
            }
        }
    });
    println!("{fuzzed:?}");
    assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
}

#[test]
fn no_url_and_no_header_make_the_reader_panic() {
    const INPUTS: &[&[u8]] = &[
        b"/?query=SELECT%201&database=d&param_x=%FF+1&session_id=s&session_timeout=60\nx-clickhouse-user: u",
        b"/?compress=1&decompress=1&wait_end_of_query=1&user=&password=\ncontent-type: multipart/form-data; boundary=\"x y\"; q=1",
        b"/?%=%&%2=%zz&=&&a\nauthorization: Basic dTpw\naccept-encoding: gzip;q=0, br, *;q=0.5, lz4",
        b"/\nauthorization: Basic !\ncontent-encoding: zstd\nx-clickhouse-format: JSON",
    ];
    const WORDS: &[&[u8]] = &[
        b"query=",
        b"&",
        b"=",
        b"%",
        b"%00",
        b"%C3",
        b"+",
        b"session_timeout=",
        b"param_",
        b"99999999999999999999",
        b"boundary=",
        b"Basic ",
        b"q=",
        b";",
        b",",
        b"\n",
        b": ",
        b"\"",
        b"http_zlib_compression_level=-1",
        b"enable_http_compression=",
        b"accept-encoding: ",
    ];
    let fuzzed = campaign(Corpus { inputs: INPUTS, words: WORDS }, |input| {
        let mut lines = input.split(|byte| *byte == b'\n');
        let mut builder = hyper::Request::builder().uri(lines.next().unwrap_or_default());
        for line in lines {
            let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            builder = builder.header(&line[..at], line[at..].get(2..).unwrap_or_default());
        }
        // What hyper itself refuses never comes here.
        let Ok(request) = builder.body(()) else {
            return false;
        };
        let (parts, ()) = request.into_parts();
        match Request::parse(&parts) {
            Ok(request) => {
                assert!(!request.query_id.is_empty());
                // Neither may panic, whatever was sent.
                let may = request.authenticate(Some("secret"));
                assert!(may.is_ok() || !may.is_err_and(|no| no.to_string().contains("secret")));
                request.answer_encoding() != AnswerEncoding::Blocks
            }
            Err(refused) => {
                assert!(refused.code > 0 && !refused.name.is_empty(), "{refused:?}");
                false
            }
        }
    });
    println!("{fuzzed:?}");
    assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
}

#[test]
fn no_multipart_body_makes_the_reader_panic_and_parts_are_pieces_of_it() {
    const INPUTS: &[&[u8]] = &[
        b"--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT 1\r\n--x--\r\n",
        b"--x\r\nContent-Disposition: form-data; name=\"t\"; filename=\"f\"\r\nContent-Type: a/b\r\n\r\n1\t2\n\r\n--x\r\nContent-Disposition: form-data; name=t_types\r\n\r\nInt8\r\n--x--",
        b"--x--",
    ];
    const WORDS: &[&[u8]] =
        &[b"--x", b"--x--", b"\r\n", b"\r\n\r\n", b"name=", b"filename=", b"\"", b";", b"\r\n--x"];
    let fuzzed =
        campaign(Corpus { inputs: INPUTS, words: WORDS }, |input| {
            match multipart::split(input, "x") {
                Ok(parts) => {
                    let bytes: usize = parts.iter().map(|part| part.data.len()).sum();
                    assert!(bytes <= input.len(), "{bytes} bytes out of {}", input.len());
                    let inside = |part: &multipart::Part| {
                        let data = part.data.as_slice();
                        data.is_empty() || input.windows(data.len()).any(|window| window == data)
                    };
                    assert!(parts.iter().all(inside), "{parts:?}");
                    true
                }
                Err(refused) => {
                    assert_eq!(refused.code, 33);
                    false
                }
            }
        });
    println!("{fuzzed:?}");
    assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
}

#[test]
fn no_compressed_body_makes_the_reader_panic_and_a_cut_one_is_never_whole() {
    let raw = b"1\tone\n2\ttwo\n".repeat(40);
    let mut blocks = Vec::new();
    pack(&raw[..200], &mut blocks);
    pack(&raw[200..], &mut blocks);
    let zstd = zstd::encode_all(raw.as_slice(), 1).unwrap();
    let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut frame, &raw).unwrap();
    let lz4 = frame.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &raw).unwrap();
    let gzip = gzip.finish().unwrap();
    for (encoding, as_blocks, sound) in [
        (ContentEncoding::Identity, true, &blocks),
        (ContentEncoding::Zstd, false, &zstd),
        (ContentEncoding::Lz4, false, &lz4),
        (ContentEncoding::Gzip, false, &gzip),
    ] {
        let read = |input: &[u8]| -> std::io::Result<Vec<u8>> {
            let mut out = Vec::new();
            reader(input, encoding, as_blocks)?.take(MOST).read_to_end(&mut out)?;
            Ok(out)
        };
        assert_eq!(read(sound).unwrap(), raw);
        for end in 1..sound.len() {
            // Blocks that end cleanly are whole: the end of the HTTP body says there are no more.
            let whole = read(&sound[..end]).is_ok_and(|out| out != raw[..200] || !as_blocks);
            assert!(!whole, "{encoding:?} cut at {end} of {}", sound.len());
        }
        let corpus = Corpus { inputs: &[sound.as_slice()], words: &[b"\xff\xff\xff\x7f"] };
        let fuzzed = campaign(corpus, |input| {
            let Ok(out) = read(input) else {
                return false;
            };
            assert!((out.len() as u64) < MOST, "{} bytes out of {}", out.len(), input.len());
            true
        });
        println!("{encoding:?}: {fuzzed:?}");
        assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
    }
}

/// A checksum keeps what is random out; whoever computes it can still lie about everything else.
#[test]
fn no_block_with_a_right_checksum_makes_the_reader_panic() {
    let mut sound = Vec::new();
    pack(&b"1\tone\n".repeat(40), &mut sound);
    let inputs: &[&[u8]] = &[&sound[16..]];
    let fuzzed =
        campaign(Corpus { inputs, words: &[b"\xff\xff\xff\x3f", b"\x90", b"\x02"] }, |input| {
            let mut block = checksum(input).to_vec();
            block.extend_from_slice(input);
            let mut out = Vec::new();
            BlockReader::new(block.as_slice()).take(MOST).read_to_end(&mut out).is_ok()
        });
    println!("{fuzzed:?}");
    assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
}

#[test]
fn no_text_of_the_engine_makes_the_reader_panic() {
    const INPUTS: &[&[u8]] = &[
        b"Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE) (version 26.7.2.1)",
        b"Code: 1. DB::Exception: (UNSUPPORTED_METHOD)",
        "something é without a code".as_bytes(),
    ];
    const WORDS: &[&[u8]] = &[b"Code: ", b"(version ", b"(", b")", b". ", b"-1", b"99999999999"];
    let fuzzed = campaign(Corpus { inputs: INPUTS, words: WORDS }, |input| {
        let exception = Exception::parse(&String::from_utf8_lossy(input));
        assert!(!exception.name.is_empty() && (400..600).contains(&exception.status()));
        assert!(exception.body("26.7").contains("Code: "), "{exception:?}");
        exception.name != "UNKNOWN_EXCEPTION"
    });
    println!("{fuzzed:?}");
    assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
}
