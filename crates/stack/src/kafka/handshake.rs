//! The least of Kafka's protocol that tells whether a broker serves: one Metadata request.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};

use crate::health;

/// Metadata, version 1, correlation id 7, client id "up", no topics
/// (<https://kafka.apache.org/protocol>).
const REQUEST: [u8; 20] = [
    0, 0, 0, 16, // bytes that follow
    0, 3, 0, 1, // Metadata, version 1
    0, 0, 0, 7, // correlation id
    0, 2, b'u', b'p', // client id
    0, 0, 0, 0, // an empty list: no topics
];

/// An answer is some dozens of bytes; more is not Kafka.
const LONGEST: u32 = 1 << 16;

/// Succeeds when the broker at `port` lists at least one broker: it is registered and serves.
pub(super) fn metadata(port: u16) -> Result<()> {
    let mut stream = health::connect(port)?;
    stream.write_all(&REQUEST)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size).context("the connection was closed without an answer")?;
    let size = u32::from_be_bytes(size);
    if !(12..=LONGEST).contains(&size) {
        bail!("an answer of {size} bytes is not Kafka's");
    }
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    if head[..4] != REQUEST[8..12] {
        bail!("an answer to another question");
    }
    if head[4..] == [0; 4] {
        bail!("no broker is registered yet");
    }
    Ok(())
}
