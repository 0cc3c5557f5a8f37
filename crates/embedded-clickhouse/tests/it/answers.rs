//! What a good answer looks like.

use crate::server::Server;

#[test]
fn health_checks_answer() {
    let client = Server::shared();
    for path in ["/ping", "/replicas_status", "/"] {
        let response = client.send("GET", path, &[], b"");
        assert_eq!((response.status, response.text().as_str()), (200, "Ok.\n"), "{path}");
    }
    let head = client.send("HEAD", "/ping", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(client.send("GET", "/nothing", &[], b"").status, 404);
    assert_eq!(client.send("DELETE", "/", &[], b"").status, 405);
}

#[test]
fn query_may_stand_in_url_and_body() {
    let client = Server::shared();
    assert_eq!(client.get("SELECT 1").text(), "1\n");
    assert_eq!(client.post("SELECT 2").text(), "2\n");
    let both = client.insert("SELECT sum(number) -- a comment", b"FROM numbers(5)");
    assert_eq!(both.text(), "10\n");
    let head = client.send("HEAD", "/?query=SELECT%203", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some("2"));
}

#[test]
fn headers_tell_what_a_server_tells() {
    let client = Server::shared();
    let response = client.with("query_id", "my id").post("SELECT number FROM numbers(7)");
    assert_eq!(response.header("x-clickhouse-query-id"), Some("my id"));
    assert_eq!(response.header("x-clickhouse-format"), Some("TabSeparated"));
    assert_eq!(response.header("content-type"), Some("text/tab-separated-values; charset=UTF-8"));
    assert!(
        response.header("x-clickhouse-server-display-name").is_some_and(|name| !name.is_empty())
    );
    assert_eq!(
        response.header("x-clickhouse-timezone"),
        Some(client.ok("SELECT timezone()").as_str())
    );
    let summary = response.header("x-clickhouse-summary").unwrap();
    assert!(
        summary.contains(r#""read_rows":"7""#) && summary.contains(r#""result_rows":"7""#),
        "{summary}"
    );
    let made = client.post("SELECT 1");
    assert_eq!(made.header("x-clickhouse-query-id").map(str::len), Some(36));
}

#[test]
fn format_comes_from_statement_url_or_header() {
    let client = Server::shared();
    let json = client.with("default_format", "JSONEachRow").post("SELECT 1 AS a");
    assert_eq!(json.text(), "{\"a\":1}\n");
    assert_eq!(json.header("x-clickhouse-format"), Some("JSONEachRow"));
    let csv = client.with("default_format", "JSONEachRow").post("SELECT 1 AS a FORMAT CSV");
    assert_eq!((csv.text().as_str(), csv.header("x-clickhouse-format")), ("1\n", Some("CSV")));
    let header = client.insert_with("SELECT 1 AS a", &[("X-ClickHouse-Format", "TSKV")], b"");
    assert_eq!(header.text(), "a=1\n");
    let show = client.with("default_format", "JSONEachRow").post("EXISTS DATABASE system");
    assert_eq!(show.text(), "{\"result\":1}\n");
}

#[test]
fn large_answers_of_every_format_are_what_the_engine_means() {
    let client = Server::shared();
    // More rows than a block of the engine: formats with headers would repeat them.
    for (format, head, rows) in [
        ("TSV", "0\n1\n", 200_000),
        ("TSVWithNames", "number\n0\n", 200_001),
        ("CSVWithNames", "\"number\"\n0\n", 200_001),
        ("JSONEachRow", "{\"number\":0}\n", 200_000),
    ] {
        let response = client.post(&format!("SELECT number FROM numbers(200000) FORMAT {format}"));
        let text = response.text();
        assert!(response.complete && text.starts_with(head), "{format}");
        assert_eq!(text.lines().count(), rows, "{format}");
        assert_eq!(text.matches("number").count() / 200_000, usize::from(format == "JSONEachRow"));
    }
    let array = client
        .with("output_format_json_array_of_rows", "1")
        .ok("SELECT number FROM numbers(200000) FORMAT JSONEachRow");
    assert_eq!(array.matches('[').count(), 1);
    let totals = client.ok("SELECT number AS k FROM numbers(3) GROUP BY k WITH TOTALS ORDER BY k");
    assert_eq!(totals, "0\n1\n2\n\n0");
    let json = client.ok("SELECT number FROM numbers(200000) FORMAT JSON");
    assert_eq!(json.matches("\"meta\"").count(), 1);
}

#[test]
fn settings_and_parameters_of_the_url_reach_the_statement() {
    let client = Server::shared();
    let value = "SELECT value FROM system.settings WHERE name = 'max_threads'";
    assert_eq!(client.with("max_threads", "3").ok(value), "3");
    assert_ne!(client.ok(value), "3");
    let bound = client
        .with("param_n", "41")
        .with("param_s", "it's; \\'")
        .ok("SELECT {n:UInt8} + 1, {s:String}");
    assert_eq!(bound, "42\tit\\'s; \\'");
    let wait = client.with("wait_end_of_query", "1").post("SELECT number FROM numbers(300000)");
    assert!(wait.header("content-length").is_some() && wait.complete);
    for value in ["0", "1"] {
        assert_eq!(client.with("async_insert", value).ok("SELECT 1"), "1");
    }
}

#[test]
fn external_tables_and_parameters_come_in_a_multipart_body() {
    let client = Server::shared();
    let body = "--b\r\nContent-Disposition: form-data; name=\"param_least\"\r\n\r\n2\r\n\
        --b\r\nContent-Disposition: form-data; name=\"ext\"; filename=\"ext\"\r\n\r\n1,a\n2,b\n3,c\n\r\n--b--\r\n";
    let response = client
        .with("ext_format", "CSV")
        .with("ext_structure", "id UInt8, name String")
        .insert_with(
            "SELECT groupArray(name) FROM ext WHERE id >= {least:UInt8}",
            &[("Content-Type", "multipart/form-data; boundary=b")],
            body.as_bytes(),
        );
    assert_eq!(response.text(), "['b','c']\n");
    let types = client.with("ext_types", "UInt8, String").with("ext_format", "CSV").insert_with(
        "SELECT sum(_1) FROM ext",
        &[("Content-Type", "multipart/form-data; boundary=b")],
        body.as_bytes(),
    );
    assert_eq!(types.text(), "6\n");
}
