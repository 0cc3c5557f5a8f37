//! Is it up? Waiting for a server with a deadline, and the least HTTP that answers the question.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::Process;

/// Time between two looks at a server that is not up yet.
const PACE: Duration = Duration::from_millis(25);

/// A call to a server on loopback that takes longer than this has failed.
const CALL: Duration = Duration::from_secs(2);

/// Waits until `look` succeeds; returns the time it took.
///
/// # Errors
/// When the process ends or `limit` passes first: with the last reason and the end of its log.
pub fn wait(
    process: &Process,
    limit: Duration,
    mut look: impl FnMut() -> Result<()>,
) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let reason = match look() {
            Ok(()) => return Ok(started.elapsed()),
            Err(reason) => reason,
        };
        if let Some(status) = process.wait_exit(PACE) {
            bail!("{} ended with {status} while starting\n{}", process.name(), process.log_tail());
        }
        if started.elapsed() > limit {
            bail!(
                "{} is not up after {} s: {reason:#}\n{}",
                process.name(),
                limit.as_secs(),
                process.log_tail()
            );
        }
    }
}

/// A connection to a server on loopback whose reads and writes have a time limit.
///
/// # Errors
/// When nobody listens.
pub fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, CALL)
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(CALL))?;
    stream.set_write_timeout(Some(CALL))?;
    Ok(stream)
}

/// One `GET` over a connection of its own; the body of a 200 answer.
///
/// # Errors
/// When there is no connection, no answer in time, or another status than 200.
pub fn http_get(port: u16, path: &str) -> Result<String> {
    let mut stream = connect(port)?;
    // 1.0: the answer ends with the connection, so nothing has to be put together from chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("no answer to GET {path}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("GET {path} was answered by {status:?} {body}");
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answer_once(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn a_200_answer_is_healthy_and_anything_else_is_not() {
        let port = answer_once("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nOk.\n");
        assert_eq!(http_get(port, "/ping").unwrap(), "Ok.\n");
        let port = answer_once("HTTP/1.1 503 Service Unavailable\r\n\r\nrecovering");
        assert!(http_get(port, "/ping").unwrap_err().to_string().contains("recovering"));
        let port = answer_once("");
        assert!(http_get(port, "/ping").is_err());
    }
}
