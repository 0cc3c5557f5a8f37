//! Clients that nobody here wrote: curl, Python's clickhouse-connect, JavaScript's @clickhouse/client,
//! Java's client-v2.

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

fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("DATA_BRIDGE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("data-bridge")))
        .or_else(|| Some(variable("HOME")?.join(".cache/data-bridge")))
        .expect("HOME or DATA_BRIDGE_CACHE is set")
}

/// A folder of the cache, filled once.
fn kept(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let home = cache().join(name);
    if !home.join("complete").is_file() {
        std::fs::create_dir_all(&home).unwrap();
        fill(&home);
        std::fs::write(home.join("complete"), name).unwrap();
    }
    home
}

fn run(command: &mut Command) {
    let output =
        command.output().expect("python3 with venv, npm and Maven are needed by these tests");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

fn source(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(language)
}

/// The program has `HOST PORT DATABASE` as its arguments, and says so when all was well.
fn succeeds(program: &mut Command, database: &str) {
    let client = Server::shared().database(database);
    let database = client.ok("SELECT currentDatabase()");
    let program = program.args(["127.0.0.1", &client.address.port().to_string(), &database]);
    let output = program.stdin(Stdio::null()).output();
    let output = output.expect("python, node and java are there: they brought the client");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).ends_with("all good\n"), "{}", said(&output));
}

#[test]
fn python_client_does_what_it_does_with_a_server() {
    let client = format!("python-{}", CLICKHOUSE_CONNECT.replace("==", "-"));
    let home = kept(&client, |home| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home));
        let install = ["-m", "pip", "install", "--quiet", CLICKHOUSE_CONNECT, "pyarrow==24.0.0"];
        run(Command::new(home.join("bin/python")).args(install));
    });
    let script = source("it").join("clickhouse_connect_client.py");
    succeeds(Command::new(home.join("bin/python")).arg(script), "python");
}

#[test]
fn javascript_client_does_what_it_does_with_a_server() {
    let source = source("javascript");
    let home = kept("javascript-clickhouse-client-1.23.1", |home| {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(source.join(file), home.join(file)).unwrap();
        }
        let install = ["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(install).current_dir(home));
    });
    // Modules are looked for beside the script.
    let script = home.join("client.mjs");
    std::fs::copy(source.join("client.mjs"), &script).unwrap();
    succeeds(Command::new("node").arg(script), "javascript");
}

#[test]
fn java_client_does_what_it_does_with_a_server() {
    let source = source("java");
    let home = kept("java-client-v2-0.11.0", |home| {
        let copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
        let target = format!("-DoutputDirectory={}", home.display());
        let pom = source.join("pom.xml");
        run(Command::new("mvn").args(["-q", "-B", copy, &target, "-f"]).arg(pom));
    });
    let jars = home.join("*");
    let script = source.join("EmbeddedClient.java");
    // A short life is not worth the better compiler.
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-cp"]).arg(jars).arg(script);
    succeeds(&mut java, "java");
}
