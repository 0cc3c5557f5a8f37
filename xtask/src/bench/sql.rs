//! Statements for ClickHouse over its HTTP interface.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_bridge_stack::health;

/// A checksum over ten million rows takes seconds; a drop waits for merges.
const LIMIT: Duration = Duration::from_mins(3);

/// The answer to a statement, without its last line end.
///
/// # Errors
/// When there is no answer, or it is an exception.
pub(super) fn run(port: u16, statement: &str) -> Result<String> {
    let mut stream = health::connect(port)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // 1.0: the answer ends with the connection, so nothing has to be put together from chunks.
    write!(
        stream,
        "POST / HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n\r\n{statement}",
        statement.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("no answer to {statement}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") || body.starts_with("Code: ") {
        bail!("ClickHouse answers {status:?} {body} to {statement}");
    }
    Ok(body.trim_end().to_owned())
}

/// A number.
///
/// # Errors
/// As [`run`].
pub(super) fn number(port: u16, query: &str) -> Result<u64> {
    let answer = run(port, query)?;
    answer.parse().with_context(|| format!("{answer:?} is no number; asked {query}"))
}
