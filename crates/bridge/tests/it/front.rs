//! What stands before a real ClickHouse and refuses what a scenario wants refused.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse, Request};

use crate::world::wait_for;

/// A fake that decides by the request, and passes the rest on to a server on loopback. Requests
/// pass one at a time.
pub(crate) struct Front {
    fake: FakeClickHouse,
}

impl Front {
    /// Asks `decide` first; `None` from it passes the request on to the server at `port`.
    pub(crate) fn start(
        port: u16,
        mut decide: impl FnMut(&Request) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let fake = wait_for(FakeClickHouse::start()).expect("a port is free");
        fake.script(move |request| {
            let decided = decide(request);
            Some(decided.unwrap_or_else(|| {
                // The server is away: so is the front.
                pass(port, request).unwrap_or(Answer::Close)
            }))
        });
        Self { fake }
    }

    pub(crate) fn url(&self) -> String {
        self.fake.url()
    }
}

/// Sends a request on and takes the answer.
fn pass(port: u16, request: &Request) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(head(request).as_bytes())?;
    stream.write_all(&request.body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).map_err(io::Error::other)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("an answer without an end of its head"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = body.to_owned();
    Ok(match status {
        Some(200) => Answer::Text(body),
        status => Answer::Http { status: status.unwrap_or(502), body },
    })
}

/// HTTP/1.0, so that the answer ends with the connection.
fn head(request: &Request) -> String {
    let mut head = format!("{} {}", request.method, request.path);
    for (index, (name, value)) in request.params.iter().enumerate() {
        head.push(if index == 0 { '?' } else { '&' });
        encode(name, &mut head);
        head.push('=');
        encode(value, &mut head);
    }
    head.push_str(" HTTP/1.0\r\n");
    let ours = ["host", "connection", "content-length", "transfer-encoding"];
    for (name, value) in &request.headers {
        if !ours.contains(&name.as_str()) {
            write!(head, "{name}: {value}\r\n").expect("writing to a string");
        }
    }
    let bytes = request.body.len();
    write!(head, "host: 127.0.0.1\r\ncontent-length: {bytes}\r\n\r\n")
        .expect("writing to a string");
    head
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string");
        }
    }
}
