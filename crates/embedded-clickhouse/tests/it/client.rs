//! A client small enough to misbehave: raw HTTP/1.1, one connection per request.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    parameters: String,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// All of the body came: the length that was said, or the last chunk.
    pub(crate) complete: bool,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, parameters: String::new() }
    }

    /// A new database, current for all that follows.
    pub(crate) fn database(&self, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let database = format!("{name}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.ok(&format!("CREATE DATABASE {database}"));
        self.with("database", &database)
    }

    /// With one more parameter in the URL.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let parameters = format!("{}&{name}={}", self.parameters, encoded(value));
        Self { address: self.address, parameters }
    }

    fn target(&self, query: &str) -> String {
        let query =
            if query.is_empty() { String::new() } else { format!("query={}", encoded(query)) };
        format!("/?{query}{}", self.parameters)
    }

    /// POST, the query in the body.
    pub(crate) fn post(&self, query: &str) -> Response {
        self.send("POST", &self.target(""), &[], query.as_bytes())
    }

    /// POST that must succeed; its answer as text.
    #[track_caller]
    pub(crate) fn ok(&self, query: &str) -> String {
        let response = self.post(query);
        assert_eq!(response.status, 200, "{query}: {}", response.text());
        assert!(response.complete, "{query}: cut");
        response.text().trim_end().to_owned()
    }

    /// GET, the query in the URL.
    pub(crate) fn get(&self, query: &str) -> Response {
        self.send("GET", &self.target(query), &[], b"")
    }

    /// POST, the query in the URL and data in the body.
    pub(crate) fn insert(&self, query: &str, data: &[u8]) -> Response {
        self.insert_with(query, &[], data)
    }

    /// As `insert`; `None`: nobody listens.
    pub(crate) fn try_insert(&self, query: &str, data: &[u8]) -> Option<Response> {
        let length = data.len().to_string();
        let mut message = self.head("POST", &self.target(query), &[("Content-Length", &length)]);
        message.extend_from_slice(data);
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.write_all(&message).ok()?;
        Some(read(stream))
    }

    /// As `insert`, with headers.
    pub(crate) fn insert_with(
        &self,
        query: &str,
        headers: &[(&str, &str)],
        data: &[u8],
    ) -> Response {
        self.send("POST", &self.target(query), headers, data)
    }

    /// As `insert`, in chunks of `size`; without the last one when `cut`.
    pub(crate) fn insert_chunked(
        &self,
        query: &str,
        data: &[u8],
        size: usize,
        cut: bool,
    ) -> Response {
        let mut message =
            self.head("POST", &self.target(query), &[("Transfer-Encoding", "chunked")]);
        for chunk in data.chunks(size) {
            message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            message.extend_from_slice(chunk);
            message.extend_from_slice(b"\r\n");
        }
        if !cut {
            message.extend_from_slice(b"0\r\n\r\n");
        }
        self.exchange(&message)
    }

    /// As `insert`, but says a length that never comes.
    pub(crate) fn insert_short(&self, query: &str, data: &[u8]) -> Response {
        let length = (data.len() + 1).to_string();
        let mut message = self.head("POST", &self.target(query), &[("Content-Length", &length)]);
        message.extend_from_slice(data);
        self.exchange(&message)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let length = body.len().to_string();
        let mut all = headers.to_vec();
        if method == "POST" {
            all.push(("Content-Length", &length));
        }
        let mut message = self.head(method, target, &all);
        message.extend_from_slice(body);
        self.exchange(&message)
    }

    /// A query under way; the connection can be read or dropped.
    pub(crate) fn open(&self, query: &str) -> TcpStream {
        let length = query.len().to_string();
        let mut message = self.head("POST", &self.target(""), &[("Content-Length", &length)]);
        message.extend_from_slice(query.as_bytes());
        let mut stream = self.connect();
        stream.write_all(&message).unwrap();
        stream
    }

    fn head(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        stream
    }

    /// Writes the message, closes the writing half, reads to the end.
    fn exchange(&self, message: &[u8]) -> Response {
        let mut stream = self.connect();
        // A server that answers early may close; its answer is what counts.
        if stream.write_all(message).is_ok() && is_cut(message) {
            drop(stream.shutdown(Shutdown::Write));
        }
        read(stream)
    }
}

/// Only a body that is not whole needs the half-close; a whole one would look as if its client
/// left.
fn is_cut(message: &[u8]) -> bool {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&message[..end]).to_lowercase();
    match head.split("content-length: ").nth(1) {
        Some(rest) => {
            let length: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
            length > message.len() - end
        }
        None => head.contains("chunked") && !message.ends_with(b"0\r\n\r\n"),
    }
}

/// Reads one response; a broken connection gives what came.
pub(crate) fn read(mut stream: TcpStream) -> Response {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        all.extend_from_slice(&buffer[..length]);
    }
    let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Response { status: 0, headers: Vec::new(), body: all, complete: false };
    };
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let mut response = Response { status, headers, body: Vec::new(), complete: false };
    let rest = &all[end + 4..];
    if response.header("transfer-encoding") == Some("chunked") {
        (response.body, response.complete) = dechunked(rest);
    } else {
        response.body = rest.to_vec();
        response.complete = response.header("content-length") == Some(&rest.len().to_string());
    }
    response
}

fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        rest = &rest[end + 2..];
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..rest.len().min(size)]);
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `X-ClickHouse-Exception-Code`.
    pub(crate) fn code(&self) -> Option<i32> {
        self.header("x-clickhouse-exception-code")?.parse().ok()
    }
}

pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}
