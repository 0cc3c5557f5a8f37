//! The engine in this process, asked by the plainest HTTP there is.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use embedded_clickhouse::{Options, serve};
use tokio::sync::oneshot;

/// Longest wait for an answer that normally takes milliseconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server with a folder of its own; stopped when dropped.
pub(super) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native-round-trip");
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the folder of an earlier run can be removed");
        }
        let mut options = Options::new(folder);
        options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .expect("a runtime starts");
            let ready = |address| ready.send(address).expect("the test waits");
            // A sender that is dropped means the same as one that sends.
            let stopped = async { drop(stopped.await) };
            runtime.block_on(serve(options, ready, stopped)).expect("the engine serves");
        });
        let address = address.recv_timeout(PATIENCE).expect("the engine starts");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// The answer to a statement.
    pub(super) fn query(&self, statement: &str) -> String {
        self.post("/", statement.as_bytes()).expect("the engine accepts the statement")
    }

    /// Inserts a body in the format that the statement names.
    pub(super) fn insert(&self, statement: &str, body: &[u8]) {
        let mut path = "/?async_insert=0&query=".to_owned();
        for byte in statement.bytes() {
            write!(path, "%{byte:02X}").expect("a String takes all");
        }
        self.post(&path, body).expect("the engine accepts the insert");
    }

    /// The body of an answer; an error when its status is not 200.
    fn post(&self, path: &str, body: &[u8]) -> Result<String, String> {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        // HTTP 1.0: the answer ends with the connection.
        let head = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).expect("the server reads");
        stream.write_all(body).expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers");
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let good = head.split(' ').nth(1) == Some("200");
        if good { Ok(body.to_owned()) } else { Err(body.to_owned()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server ends when told to");
        }
    }
}
