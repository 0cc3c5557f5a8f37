//! The fake answers as it is told and keeps what it got.

use std::time::Duration;

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse};
use data_bridge_lab::verify::{Server, ServerError};

async fn insert(
    fake: &FakeClickHouse,
    body: &'static [u8],
) -> Result<(u16, Option<String>, String), reqwest::Error> {
    let url =
        format!("{}/?query=INSERT%20INTO%20market.ticks%20(a,%20b)%20FORMAT%20Native", fake.url());
    let _loaded = Server::new(&fake.url(), "market");
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    let response = client.post(url).header("X-Test", "yes").body(body).send().await?;
    let status = response.status().as_u16();
    let code = response.headers().get("X-ClickHouse-Exception-Code");
    let code = code.map(|code| code.to_str().expect("digits").to_owned());
    Ok((status, code, response.text().await?))
}

#[tokio::test]
async fn inserts_are_kept_and_answered_in_order() {
    let fake = FakeClickHouse::start().await.expect("a free port");
    fake.next_insert(Answer::too_many_parts());
    let (status, code, text) = insert(&fake, b"one").await.expect("an answer");
    assert_eq!((status, code.as_deref()), (500, Some("252")));
    assert!(text.starts_with("Code: 252. DB::Exception: Too many parts"), "{text}");
    assert!(text.contains("(TOO_MANY_PARTS)"), "{text}");
    let (status, code, text) = insert(&fake, b"two").await.expect("an answer");
    assert_eq!((status, code, text.as_str()), (200, None, ""));

    let inserts = fake.wait_for_inserts(2, Duration::from_secs(5)).await.expect("both");
    assert_eq!(&inserts[1].body[..], b"two");
    assert_eq!(inserts[1].table().as_deref(), Some("ticks"));
    assert_eq!(inserts[1].header("x-test"), Some("yes"));
    assert_eq!(inserts[1].sql(), "INSERT INTO market.ticks (a, b) FORMAT Native");
    let error = fake.wait_for_inserts(3, Duration::from_millis(60)).await.expect_err("only two");
    assert!(error.to_string().contains("2 inserts"), "{error}");
}

#[tokio::test]
async fn queries_get_what_was_programmed_and_the_script_comes_first() {
    let fake = FakeClickHouse::start().await.expect("a free port");
    let server = Server::new(&fake.url(), "market");
    fake.program("system.columns", Answer::Text("symbol\tString\n".to_owned()));
    assert_eq!(
        server.query("SELECT name FROM system.columns").await.expect("rows"),
        "symbol\tString\n"
    );
    assert_eq!(server.query("SELECT 1").await.expect("nothing"), "");
    fake.script(|request| {
        request.sql().contains("SELECT 1").then(|| Answer::exception(60, "UNKNOWN_TABLE", "no"))
    });
    let refused = server.query("SELECT 1").await.expect_err("scripted");
    assert!(matches!(&refused, ServerError::Refused { status: 404, .. }), "{refused}");
    assert_eq!(
        server.query("SELECT name FROM system.columns").await.expect("rows").lines().count(),
        1
    );
    assert_eq!(fake.requests().len(), 4);
}

#[tokio::test]
async fn broken_answers_are_broken() {
    let fake = FakeClickHouse::start().await.expect("a free port");
    for answer in [Answer::Close, Answer::CutBody { before: "half".to_owned() }] {
        fake.next_insert(answer.clone());
        assert!(insert(&fake, b"x").await.is_err(), "{answer:?}");
    }
    fake.next_insert(Answer::ExceptionInBody {
        before: "1\n".to_owned(),
        code: 241,
        name: "MEMORY_LIMIT_EXCEEDED".to_owned(),
        message: "Memory limit exceeded".to_owned(),
    });
    let (status, code, text) = insert(&fake, b"x").await.expect("an answer");
    assert_eq!((status, code), (200, None));
    assert!(text.contains("Code: 241. DB::Exception: Memory limit exceeded"), "{text}");

    fake.next_insert(Answer::Hang);
    let hung = tokio::time::timeout(Duration::from_millis(150), insert(&fake, b"x")).await;
    assert!(hung.is_err(), "{hung:?}");
    assert_eq!(fake.inserts().len(), 4, "what is not answered is kept, too");

    let start = std::time::Instant::now();
    fake.next_insert(Answer::Ok.after(Duration::from_millis(100)));
    insert(&fake, b"x").await.expect("a late answer");
    assert!(start.elapsed() >= Duration::from_millis(100));
}

mod native {
    use data_bridge_lab::fake_clickhouse::native::{Value, read};

    /// Two rows of every kind of column, laid out by hand from ClickHouse's description of the
    /// format.
    fn block() -> Vec<u8> {
        let mut bytes = vec![5, 2];
        let mut column = |name: &str, kind: &str, data: &[u8]| {
            bytes.push(u8::try_from(name.len()).expect("short"));
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(u8::try_from(kind.len()).expect("short"));
            bytes.extend_from_slice(kind.as_bytes());
            bytes.extend_from_slice(data);
        };
        let word = |number: u64| number.to_le_bytes();
        let keyword = [&word(1)[..], &word(0x200), &word(3), b"\0\x01a\x02bc", &word(2), &[2, 1]];
        column("keyword", "LowCardinality(String)", &keyword.concat());
        column(
            "price",
            "Nullable(Decimal(18, 8))",
            &[&[0, 1][..], &(-150_000_000_i64).to_le_bytes(), &word(0)].concat(),
        );
        column(
            "time",
            "DateTime64(3, 'UTC')",
            &[(-1_i64).to_le_bytes(), 1_706_198_400_123_i64.to_le_bytes()].concat(),
        );
        column(
            "wide",
            "Decimal(38, 8)",
            &[(-5_i128).to_le_bytes(), 10_i128.pow(37).to_le_bytes()].concat(),
        );
        column(
            "map",
            "Map(String, String)",
            &[&word(0)[..], &word(1), b"\x01k", b"\x02vv"].concat(),
        );
        bytes
    }

    #[test]
    fn blocks_are_read() {
        let blocks = read(&[block(), block()].concat()).expect("whole blocks");
        assert_eq!(blocks.len(), 2);
        let rows = &blocks[1].rows;
        let decimal = |scaled| Value::Decimal { scaled, scale: 8 };
        assert_eq!(
            rows[0],
            [
                Value::text("bc"),
                decimal(-150_000_000),
                Value::Whole(-1),
                decimal(-5),
                Value::Map(vec![])
            ]
        );
        let map = Value::Map(vec![(Value::text("k"), Value::text("vv"))]);
        assert_eq!(
            rows[1],
            [
                Value::text("a"),
                Value::Null,
                Value::Whole(1_706_198_400_123),
                decimal(10_i128.pow(37)),
                map
            ]
        );
        assert_eq!(rows[0][1].to_string(), "-1.5");
        assert_eq!(rows[0][3].to_string(), "-0.00000005");
        assert_eq!(blocks[0].value(1, "keyword"), Some(&Value::text("a")));
    }

    #[test]
    fn a_cut_block_is_refused_wherever_it_is_cut() {
        let whole = block();
        for end in 1..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(read(b"").map(|blocks| blocks.len()), Ok(0));
    }
}
