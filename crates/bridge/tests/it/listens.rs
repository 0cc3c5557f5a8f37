//! Who can reach us, and what they may do: loopback only unless configured, looking only without a
//! token, and no secret in anything that is said.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use data_bridge_stack::port;
use data_bridge_stack::process::{Lifetime, Process};

use crate::hub::Hub;
use crate::world::{
    Instance, PATIENCE, Scenario, binary, clickhouse, folder, http, until, wait_for,
};

/// Where a process listens, as the kernel says.
fn listens(pid: u32) -> Vec<(IpAddr, u16)> {
    const LISTEN: &str = "0A";
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let sockets: BTreeSet<String> = descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| {
            let link = link.to_string_lossy().into_owned();
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields = line.split_whitespace().collect::<Vec<_>>();
            if fields[3] == LISTEN && sockets.contains(fields[9]) {
                let (address, port) = fields[1].split_once(':').expect("address and port");
                let port = u16::from_str_radix(port, 16).expect("hexadecimal");
                found.push((address_of(address), port));
            }
        }
    }
    found
}

/// The kernel writes words of four bytes, each in its own order.
fn address_of(hexadecimal: &str) -> IpAddr {
    let bytes = (0..hexadecimal.len() / 8).flat_map(|word| {
        let word = u32::from_str_radix(&hexadecimal[word * 8..word * 8 + 8], 16);
        word.expect("hexadecimal").to_ne_bytes()
    });
    let bytes = bytes.collect::<Vec<_>>();
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).expect("16 bytes")),
    }
}

#[track_caller]
fn assert_loopback(what: &str, pid: u32) {
    let found = listens(pid);
    assert!(!found.is_empty(), "{what} listens nowhere");
    let beyond = found.iter().filter(|(address, _)| !address.is_loopback()).collect::<Vec<_>>();
    assert!(beyond.is_empty(), "{what} listens on {beyond:?}");
}

/// A free port that is an instance's own by default, and the number of that instance.
fn numbered() -> (u32, u16) {
    loop {
        let number = fastrand::u16(100..1_000);
        let port = 9_400 + number;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return (number.into(), port);
        }
    }
}

fn spawn(folder: &Path, arguments: &[&str], number: u32, port: u16) -> Instance {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1");
    command.env("INSTANCE_NUMBER", number.to_string());
    let log = folder.join(format!("{}.log", arguments[0]));
    let process = Process::spawn("data-bridge", command, &log, Lifetime::WithStarter);
    Instance { process: process.expect("data-bridge starts"), port }
}

/// Neither Kafka nor ClickHouse need be there.
const ALONE: &str = "kafka: { brokers: \"127.0.0.1:1\" }\n\
    nats: { enabled: false }\n\
    clickhouse: { urls: [\"http://127.0.0.1:1\"] }\n";

#[test]
fn nothing_listens_beyond_loopback_unless_configured() {
    let folder = folder("listens");
    fs::write(folder.join("bridge.yaml"), ALONE).unwrap();
    let (number, port) = numbered();
    let run = spawn(&folder, &["run"], number, port);
    until(PATIENCE, "the instance to answer", || run.get("/healthz"));
    assert_loopback("run", run.process.pid());
    run.kill();

    let everywhere = format!("http.listen=0.0.0.0:{port}");
    let open = spawn(&folder, &["run", "--set", &everywhere], number, port);
    until(PATIENCE, "the instance to answer", || open.get("/healthz"));
    assert!(listens(open.process.pid()).iter().any(|(address, _)| address.is_unspecified()));
    open.kill();

    let hub = Hub::start(&folder, port::free().unwrap());
    assert_loopback("hub", hub.process.pid());

    let (_, port) = numbered();
    let listen = format!("hub.listen=127.0.0.1:{port}");
    let state = folder.join("state").display().to_string();
    let up = ["up", "--instances", "1", "--state-dir", &state, "--set", &listen];
    let up = spawn(&folder, &up, 1, port);
    until(PATIENCE, "the fleet's hub to answer", || {
        up.get("/healthz").map_err(|error| format!("{error}\n{}", up.tail()))
    });
    let children = || {
        let pid = up.process.pid();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let texts = threads.filter_map(|one| fs::read_to_string(one.path().join("children")).ok());
        let pids = texts.flat_map(|text| {
            text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        });
        pids.filter(|pid| !listens(*pid).is_empty()).collect::<Vec<_>>()
    };
    until(PATIENCE, "its instance to listen", || match children()[..] {
        [_] => Ok(()),
        ref found => Err(format!("{found:?}\n{}", up.tail())),
    });
    assert_loopback("up", up.process.pid());
    for child in children() {
        assert_loopback("an instance of up", child);
    }
    assert_eq!(ask(&reqwest::Method::POST, up.port, CONTROL), 401);
    let status = up.terminate(Duration::from_secs(40));
    assert!(status.success(), "{status}\n{}", up.tail());

    assert_loopback("clickhouse", clickhouse().process().pid());
}

const CONTROL: &str = "/api/fleet/control";

/// The status of an answer to somebody who guesses the token.
fn ask(method: &reqwest::Method, port: u16, path: &str) -> u16 {
    let http = http();
    let url = format!("http://127.0.0.1:{port}{path}");
    let command = r#"{"command":"down"}"#;
    let asked = http.request(method.clone(), url).bearer_auth("guess").body(command).send();
    wait_for(asked).expect("an answer").status().as_u16()
}

#[test]
fn without_a_token_an_instance_and_a_hub_can_only_be_looked_at() {
    let folder = folder("read-only");
    fs::write(folder.join("bridge.yaml"), ALONE).unwrap();
    let (number, port) = numbered();
    let run = spawn(&folder, &["run"], number, port);
    until(PATIENCE, "the instance to answer", || run.get("/healthz"));
    let hub = Hub::start(&folder, port::free().unwrap());
    let pages = ["/", "/metrics", "/healthz", "/readyz", "/api/status", "/api/fleet"];
    for method in [reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::DELETE] {
        for page in pages {
            for at in [port, hub.port] {
                let status = ask(&method, at, page);
                assert!(matches!(status, 404 | 405), "{method} {page}: {status}");
            }
        }
    }
    let accept = "/api/dead-letters/accept?route=ticks";
    assert_eq!(ask(&reqwest::Method::POST, port, accept), 403);
    // There is nothing that a hub without a fleet could be told to do.
    assert_eq!(ask(&reqwest::Method::POST, hub.port, CONTROL), 409);
    run.kill();
}

/// At the most talkative level, with servers that refuse every secret.
#[test]
fn no_secret_reaches_a_log_a_page_or_a_check() {
    let scenario = Scenario::new("secrets_kept", &clickhouse().url());
    let folder = &scenario.folder;
    let (kafka, clickhouse_url) = (&scenario.brokers, &scenario.clickhouse_url);
    fs::write(folder.join("password"), "hunter2-clickhouse\n").unwrap();
    let port = port::free().unwrap();
    let file = format!(
        "instance: {{ id: secrets, number: 1 }}\n\
         kafka: {{ brokers: \"{kafka}\", properties: {{ security.protocol: SASL_PLAINTEXT, \
         sasl.mechanism: PLAIN, sasl.username: u, sasl.password: hunter2-kafka, debug: \"security,broker\" }} }}\n\
         nats: {{ cluster_urls: [\"nats://127.0.0.1:1\"], auth: {{ token: hunter2-nats }} }}\n\
         clickhouse: {{ urls: [\"{clickhouse_url}\"], password: \"${{file:password}}\" }}\n\
         http: {{ listen: \"127.0.0.1:{port}\", token: hunter2-http }}\n"
    );
    fs::write(folder.join("bridge.yaml"), file).unwrap();
    let mut command = Command::new(binary());
    command.arg("run").current_dir(folder).env("NO_COLOR", "1").env("LOG_LEVEL", "trace");
    command.env("RUST_BACKTRACE", "1");
    let log = folder.join("run.log");
    let process = Process::spawn("data-bridge", command, &log, Lifetime::WithStarter).unwrap();
    let run = Instance { process, port };
    let said = run.wait_reason(&["Kafka is not connected", "market.ticks"]);
    let mut all = vec![("/readyz", said)];
    for page in ["/metrics", "/api/status", "/healthz"] {
        all.push((page, run.get(page).unwrap_or_else(|refused| refused)));
    }
    let status = run.terminate(Duration::from_secs(40));
    println!("{status}");
    all.push(("the log", fs::read_to_string(&log).unwrap()));
    assert!(all.iter().any(|(what, text)| *what == "the log" && text.contains("TRACE")), "quiet");
    for arguments in [&["check"][..], &["check", "--json"], &["config", "show", "--json"]] {
        let output = Command::new(binary()).args(arguments).current_dir(folder).output().unwrap();
        let (out, err) = (output.stdout, output.stderr);
        assert!(!out.is_empty(), "{arguments:?} says nothing");
        all.push(("stdout", String::from_utf8_lossy(&out).into_owned()));
        all.push(("stderr", String::from_utf8_lossy(&err).into_owned()));
    }
    for (what, text) in all {
        // Base64 of `hunter2` at each of the three places where it may stand.
        for secret in ["hunter2", "aHVudGVyMi", "h1bnRlcj", "odW50ZXIy"] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{what} says {secret}");
        }
    }
}
