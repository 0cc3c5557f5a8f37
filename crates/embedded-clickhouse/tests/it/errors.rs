//! What is refused, and how.

use crate::client::{self, encoded};
use crate::server::{Data, Server, Variant, runs, wait_until, wait_until_runs};

#[test]
fn errors_have_code_name_and_status() {
    let client = Server::shared().database("errors");
    client.ok("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    for (query, code, name, status) in [
        ("SELECT * FROM nope", 60, "UNKNOWN_TABLE", 404),
        ("SELECT * FROM nodb.nope", 81, "UNKNOWN_DATABASE", 404),
        ("SELECT nope", 47, "UNKNOWN_IDENTIFIER", 404),
        ("SELECT nope()", 46, "UNKNOWN_FUNCTION", 404),
        ("SELEC 1", 62, "SYNTAX_ERROR", 400),
        ("", 62, "SYNTAX_ERROR", 400),
        ("SELECT 1 SETTINGS nope = 1", 115, "UNKNOWN_SETTING", 404),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 500),
        (
            "SELECT sleep(3) SETTINGS max_execution_time = 1, function_sleep_max_microseconds_per_block = 0",
            159,
            "TIMEOUT_EXCEEDED",
            408,
        ),
        ("INSERT INTO nope VALUES (1)", 60, "UNKNOWN_TABLE", 404),
        ("INSERT INTO t FORMAT Nope\n1", 73, "UNKNOWN_FORMAT", 404),
        (
            "INSERT INTO t FORMAT JSONEachRow {\"a\": \"x\"}",
            27,
            "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
            400,
        ),
        ("INSERT INTO t (b) FORMAT CSV\n1\n", 16, "NO_SUCH_COLUMN_IN_TABLE", 500),
        ("CREATE USER alice", 497, "ACCESS_DENIED", 403),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR", 400),
        ("INSERT INTO t VALUES (1); SELECT 1", 62, "SYNTAX_ERROR", 400),
    ] {
        let response = client.post(query);
        let text = response.text();
        assert_eq!((response.code(), response.status), (Some(code), status), "{query}: {text}");
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{query}: {text}");
        assert!(text.contains(&format!("({name}) (version ")), "{query}: {text}");
    }
    assert_eq!(client.ok("SELECT count() FROM t"), "0");
}

#[test]
fn unknown_settings_and_databases_of_the_url_are_refused() {
    let client = Server::shared();
    assert_eq!(client.with("nope", "1").post("SELECT 1").code(), Some(115));
    assert_eq!(client.with("a'b", "1").post("SELECT 1").code(), Some(115));
    assert_eq!(client.with("database", "nope").post("SELECT 1").code(), Some(81));
    assert_eq!(client.with("role", "r").post("SELECT 1").code(), Some(511));
    let session = client.with("session_id", "s").with("session_timeout", "4000");
    assert_eq!(session.post("SELECT 1").code(), Some(374));
}

#[test]
fn get_only_reads() {
    let client = Server::shared().database("readonly");
    client.ok("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    for query in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t SELECT 1",
        "DROP TABLE t",
        "CREATE TABLE u (a UInt8) ENGINE = Memory",
    ] {
        assert_eq!(client.get(query).code(), Some(164), "{query}");
        let target = format!("/?query={}", encoded(query));
        assert_eq!(client.send("HEAD", &target, &[], b"").code(), Some(164), "{query}");
    }
    assert_eq!(client.get("SELECT count() FROM t").text(), "0\n");
    assert_eq!(client.get("SHOW TABLES").text(), "t\n");
}

#[test]
fn error_in_the_middle_of_an_answer_breaks_it_off() {
    let client = Server::shared();
    let query = "SELECT toString(number), throwIf(number = 3000000) FROM numbers(4000000)";
    let broken = client.post(query);
    assert_eq!(broken.status, 200);
    assert!(!broken.complete, "the answer looks whole");
    let tag = broken.header("x-clickhouse-exception-tag").unwrap();
    let text = broken.text();
    let end = &text[text.len() - 600..];
    assert!(end.contains(&format!("\r\n__exception__\r\n{tag}\r\nCode: 395. ")), "{end}");
    let waited = client.with("wait_end_of_query", "1").post(query);
    assert_eq!((waited.status, waited.code()), (500, Some(395)));
}

#[test]
fn wrong_password_is_refused() {
    let data = Data::new("password");
    let server =
        Server::start(data.path(), &Variant { password: Some("secret"), ..Variant::default() });
    let client = server.client();
    let no = client.post("SELECT 1");
    assert_eq!((no.status, no.code()), (403, Some(516)));
    assert!(no.text().contains("AUTHENTICATION_FAILED"), "{}", no.text());
    for headers in [
        [("Authorization", "Basic ZGVmYXVsdDpzZWNyZXQ="), ("X", "x")],
        [("X-ClickHouse-User", "default"), ("X-ClickHouse-Key", "secret")],
    ] {
        assert_eq!(client.insert_with("SELECT 1", &headers, b"").text(), "1\n");
    }
    assert_eq!(client.with("password", "secret").ok("SELECT 1"), "1");
    assert_eq!(client.with("password", "Secret").post("SELECT 1").code(), Some(516));
    assert_eq!(client.send("GET", "/ping", &[], b"").status, 200);
    assert_eq!(Server::shared().with("password", "any").ok("SELECT 1"), "1");
}

#[test]
fn too_many_statements_at_once_are_refused_after_a_wait() {
    let data = Data::new("busy");
    let server = Server::start(data.path(), &Variant { concurrent: Some(1), ..Variant::default() });
    let client = server.client();
    let slow = client.open("SELECT sleep(2)");
    let mut refused = None;
    wait_until("a refusal while another statement runs", || {
        let response = client.post("SELECT 1");
        refused = response.code();
        refused.is_some()
    });
    assert_eq!(refused, Some(202));
    assert_eq!(client::read(slow).status, 200);
    assert_eq!(client.ok("SELECT 1"), "1");
}

#[test]
fn query_whose_client_left_is_cancelled() {
    let client = Server::shared();
    for (mark, query) in [
        (
            "left_aggregate",
            "SELECT count() AS left_aggregate FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))",
        ),
        ("left_stream", "SELECT number AS left_stream FROM numbers(1000000000000)"),
        (
            "left_json",
            "SELECT sum(sipHash64(number)) AS left_json FROM numbers(1000000000000) FORMAT JSON",
        ),
    ] {
        let stream = client.open(query);
        wait_until_runs(&client, mark);
        drop(stream);
        wait_until(&format!("{mark} is cancelled"), || !runs(&client, mark));
    }
}

#[test]
fn query_ids_are_unique_while_they_run_and_cannot_be_killed_by() {
    let client = Server::shared();
    let slow = client.with("query_id", "slow one").open("SELECT sleep(2) AS slow_id");
    wait_until_runs(&client, "slow_id");
    wait_until("the second is refused", || {
        client.with("query_id", "slow one").post("SELECT 1").code() == Some(216)
    });
    let kill = client.post("KILL QUERY WHERE query_id = 'slow one'");
    assert_eq!((kill.status, kill.code()), (501, Some(48)), "{}", kill.text());
    assert_eq!(client::read(slow).text(), "0\n");
    assert_eq!(client.with("query_id", "slow one").ok("SELECT 1"), "1");
}

#[test]
fn what_a_server_has_and_this_has_not_is_refused_in_words() {
    let client = Server::shared().database("limits");
    client.ok("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    let replicated =
        client.post("CREATE TABLE r (a UInt8) ENGINE = ReplicatedMergeTree('/r', '1') ORDER BY a");
    assert_eq!(replicated.code(), Some(225));
    let outfile = client.post("SELECT 1 INTO OUTFILE '/tmp/never'");
    assert_eq!(outfile.code(), Some(358), "{}", outfile.text());
    for query in [
        "INSERT INTO t SELECT * FROM input('a UInt8') FORMAT CSV
1
",
        "INSERT INTO t FROM INFILE '/tmp/never' FORMAT CSV",
    ] {
        assert_eq!(client.post(query).code(), Some(48), "{query}");
    }
    assert_eq!(client.post("SELECT * FROM system.query_log").code(), Some(60));
    assert!(embedded_clickhouse::LIMITS.contains("loopback"));
    let ping = client.send("GET", "/ping", &[], b"");
    assert_eq!(ping.status, 200);
}
