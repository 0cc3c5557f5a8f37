//! A server in a process of its own: this test binary, started again as [`process`].
//!
//! It ends when its standard input does, so that none outlives the tests, whatever ends them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use embedded_clickhouse::{Options, find_library, serve};

use crate::client::Client;

const DATA: &str = "EMBEDDED_CLICKHOUSE_TEST_DATA";
const CONCURRENT: &str = "EMBEDDED_CLICKHOUSE_TEST_CONCURRENT";
const PASSWORD: &str = "EMBEDDED_CLICKHOUSE_TEST_PASSWORD";
const LIBRARY: &str = "EMBEDDED_CLICKHOUSE_TEST_LIBRARY";
const REMOVE: &str = "EMBEDDED_CLICKHOUSE_TEST_REMOVE";
const ANNOUNCED: &str = "listening on ";

/// The server of the child process; nothing when the tests are run as tests.
#[test]
#[ignore = "not a test: the server process, which the tests start themselves"]
fn process() {
    let Some(data) = std::env::var_os(DATA) else {
        return;
    };
    let mut options = Options::new(data);
    options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    options.library = std::env::var_os(LIBRARY).map(PathBuf::from);
    options.password = std::env::var(PASSWORD).ok();
    if let Ok(concurrent) = std::env::var(CONCURRENT) {
        options.max_concurrent = concurrent.parse().unwrap();
        options.max_queue_wait = Duration::from_millis(200);
    }
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        drop(ended);
    });
    let ready = |address| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{ANNOUNCED}{address}").and_then(|()| out.flush()).unwrap();
    };
    let shutdown = async { drop(end.await) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Err(error) = runtime.block_on(serve(options, ready, shutdown)) {
        eprintln!("refused: {error}");
        std::process::exit(3);
    }
    if let Some(data) = std::env::var_os(REMOVE) {
        std::fs::remove_dir_all(data).unwrap();
    }
}

/// How a server differs from the usual one.
#[derive(Default)]
pub(crate) struct Variant {
    pub(crate) concurrent: Option<u32>,
    pub(crate) password: Option<&'static str>,
    pub(crate) library: Option<PathBuf>,
    /// The server removes its data at its end.
    pub(crate) remove: bool,
}

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts one on `data`.
    pub(crate) fn start(data: &Path, variant: &Variant) -> Self {
        Self::try_start(data, variant).unwrap_or_else(|output| panic!("no server: {output}"))
    }

    /// `Err` holds what the process said before it ended.
    pub(crate) fn try_start(data: &Path, variant: &Variant) -> Result<Self, String> {
        if let Err(error) = find_library(None) {
            panic!("these tests need the engine: {error}");
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "server::process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(DATA, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(concurrent) = variant.concurrent {
            command.env(CONCURRENT, concurrent.to_string());
        }
        if let Some(password) = variant.password {
            command.env(PASSWORD, password);
        }
        if let Some(library) = &variant.library {
            command.env(LIBRARY, library);
        }
        if variant.remove {
            command.env(REMOVE, data);
        }
        let mut child = command.spawn().unwrap();
        let (sender, announced) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            // The test that waited may have given up.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix(ANNOUNCED) {
                    drop(sender.send(address.to_owned()));
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).map(|_| said).unwrap_or_default()
        });
        match announced.recv_timeout(Duration::from_mins(1)) {
            Ok(address) => Ok(Self { child, address: address.parse().unwrap() }),
            Err(waited) => {
                drop(child.kill());
                child.wait().unwrap();
                Err(format!("{waited}: {}", said.join().unwrap()))
            }
        }
    }

    /// The one server of all tests that do not need one of their own; each uses a database of
    /// its own.
    pub(crate) fn shared() -> Client {
        static SHARED: LazyLock<(Server, Data)> = LazyLock::new(|| {
            let data = Data::new("shared");
            // Nothing static is dropped: the server, which outlives the tests a little, cleans up.
            let variant = Variant { remove: true, ..Variant::default() };
            (Server::start(data.path(), &variant), data)
        });
        SHARED.0.client()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }

    /// A line of `/proc/PID/status` in MiB: `VmRSS` now, `VmHWM` at its peak.
    pub(crate) fn memory_mib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|text| text.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A directory that goes with the test.
pub(crate) struct Data(PathBuf);

impl Data {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("embedded-clickhouse-{}-{number}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Asks `done` again and again until it says yes; it asks a server, which paces the loop.
///
/// # Panics
/// When it does not within two minutes, which is for machines that do much else.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
    }
}

/// Whether a statement with `mark` in its text runs.
pub(crate) fn runs(client: &Client, mark: &str) -> bool {
    let others = client.ok(&format!(
        "SELECT count() FROM system.processes \
         WHERE position(query, '{mark}') > 0 AND position(query, 'processes') = 0"
    ));
    others != "0"
}

pub(crate) fn wait_until_runs(client: &Client, mark: &str) {
    wait_until(&format!("{mark} runs"), || runs(client, mark));
}
