//! Clients that nobody here wrote: curl, and the Python package clickhouse-connect.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::server::Server;

const CLICKHOUSE_CONNECT: &str = "clickhouse-connect==1.12.0";

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn curl_pings_creates_inserts_and_queries() {
    let client = Server::shared().database("curl");
    let database = client.ok("SELECT currentDatabase()");
    let base = format!("http://{}", client.address);
    let curl = |arguments: &[&str]| {
        let output =
            Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).output();
        let output = output.expect("curl is needed by this test");
        assert!(output.status.success(), "curl {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl(&[&format!("{base}/ping")]), "Ok.\n");
    let here = format!("{base}/?database={database}");
    curl(&[&here, "-d", "CREATE TABLE t (a UInt8, b String) ENGINE = MergeTree ORDER BY a"]);
    curl(&[&here, "-d", "INSERT INTO t VALUES (1, 'x'), (2, 'y')"]);
    let insert = format!("{here}&query=INSERT+INTO+t+FORMAT+JSONEachRow");
    curl(&[&insert, "--data-binary", "{\"a\":3,\"b\":\"z\"}"]);
    curl(&[&insert, "-H", "Transfer-Encoding: chunked", "--data-binary", "{\"a\":4,\"b\":\"w\"}"]);
    assert_eq!(curl(&["-G", &here, "--data-urlencode", "query=SELECT sum(a) FROM t"]), "10\n");
    assert_eq!(curl(&["--compressed", &here, "-d", "SELECT count() FROM t"]), "4\n");
    assert_eq!(curl(&["-u", "default:", &here, "-d", "SELECT max(b) FROM t"]), "z\n");
    let error = curl(&["-o", "/dev/null", "-w", "%{http_code}", &here, "-d", "SELECT * FROM u"]);
    assert_eq!(error, "404");
}

/// A Python with the client in it, made once and kept in the cache.
fn python() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("DATA_BRIDGE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("data-bridge")))
        .or_else(|| Some(variable("HOME")?.join(".cache/data-bridge")))
        .expect("HOME or DATA_BRIDGE_CACHE is set");
    let home = cache.join(format!("python-{}", CLICKHOUSE_CONNECT.replace("==", "-")));
    let python = home.join("bin/python");
    if !home.join("complete").is_file() {
        std::fs::create_dir_all(&cache).unwrap();
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home));
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            CLICKHOUSE_CONNECT,
            "pyarrow==24.0.0",
        ]));
        std::fs::write(home.join("complete"), CLICKHOUSE_CONNECT).unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().expect("python3 with venv is needed by this test");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

#[test]
fn python_client_does_what_it_does_with_a_server() {
    let client = Server::shared().database("python");
    let database = client.ok("SELECT currentDatabase()");
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clickhouse_connect_client.py");
    let output = Command::new(python())
        .arg(script)
        .args(["127.0.0.1", &client.address.port().to_string(), &database])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).ends_with("all good\n"), "{}", said(&output));
}
