//! Takes static members out of their consumer group, which librdkafka cannot: it sends no
//! `LeaveGroup` for them, and has no call to remove others. Without it their partitions idle until
//! the session is over.
//!
//! Two requests of Kafka's protocol are enough, in versions that brokers from 2.4 to 4.x take:
//! `FindCoordinator` 1 and `LeaveGroup` 3 (KIP-345), the last ones with plain encoding.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::state::Target;

/// A broker answers within milliseconds, or it is of no use in time.
const LIMIT: Duration = Duration::from_secs(3);
/// Largest answer: a few names.
const MOST_BYTES: i32 = 1 << 20;

const FIND_COORDINATOR: i16 = 10;
const LEAVE_GROUP: i16 = 13;
const CORRELATION: i32 = 1;
const CLIENT: &str = "data-bridge-supervisor";
/// Error codes of the protocol.
const UNKNOWN_MEMBER: i16 = 25;

/// Why members could not be taken out.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// Only plain connections are spoken here.
    #[error("the brokers want TLS or SASL, which the supervisor does not speak")]
    Secured,
    /// No broker of the list answered.
    #[error("no broker of {brokers} answers: {last}")]
    Unreachable {
        /// `kafka.brokers`.
        brokers: String,
        /// What the last one did.
        last: String,
    },
    /// The coordinator refused.
    #[error("the group's coordinator refuses: error {code} of Kafka's protocol")]
    Refused {
        /// Kafka's error code.
        code: i16,
    },
}

/// Takes members out of a group.
#[derive(Clone, Debug)]
pub struct Leaver {
    target: Target,
}

impl Leaver {
    /// For the group of a fleet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target }
    }

    /// Takes these instances out; those that are not in the group any more are no error.
    ///
    /// # Errors
    /// [`LeaveError`]: then their partitions move when the session is over.
    pub async fn leave(&self, instance_ids: &[String]) -> Result<(), LeaveError> {
        if self.target.brokers.is_empty() || instance_ids.is_empty() {
            return Ok(());
        }
        if !self.target.plaintext {
            return Err(LeaveError::Secured);
        }
        let mut last = "no broker is named".to_owned();
        for broker in self.target.brokers.split(',').map(str::trim).filter(|name| !name.is_empty())
        {
            let attempt = self.leave_by(broker, instance_ids);
            match tokio::time::timeout(LIMIT, attempt).await {
                Ok(Ok(0 | UNKNOWN_MEMBER)) => return Ok(()),
                Ok(Ok(code)) => return Err(LeaveError::Refused { code }),
                Ok(Err(error)) => last = format!("{broker}: {error}"),
                Err(_elapsed) => last = format!("{broker}: no answer within {LIMIT:?}"),
            }
        }
        Err(LeaveError::Unreachable { brokers: self.target.brokers.clone(), last })
    }

    /// The worst error code of the answer.
    async fn leave_by(&self, broker: &str, instance_ids: &[String]) -> std::io::Result<i16> {
        let group = &self.target.group_id;
        let found = call(broker, FIND_COORDINATOR, 1, &find_coordinator(group)).await?;
        let coordinator = match read_coordinator(&found).ok_or_else(cut)? {
            Ok(address) => address,
            Err(code) => return Ok(code),
        };
        let static_ids = instance_ids.iter().map(|id| format!("{group}-{id}")).collect::<Vec<_>>();
        let answer = call(&coordinator, LEAVE_GROUP, 3, &leave_group(group, &static_ids)).await?;
        read_left(&answer).ok_or_else(cut)
    }
}

fn cut() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "an answer that is none of Kafka's")
}

/// One request on a connection of its own; the body of the answer.
async fn call(broker: &str, key: i16, version: i16, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(broker).await?;
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    put_text(&mut request, CLIENT);
    request.extend_from_slice(body);
    let length = i32::try_from(request.len()).map_err(std::io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&request).await?;
    let length = stream.read_i32().await?;
    if !(4..=MOST_BYTES).contains(&length) {
        return Err(cut());
    }
    if stream.read_i32().await? != CORRELATION {
        return Err(cut());
    }
    let mut answer = vec![0; usize::try_from(length - 4).map_err(std::io::Error::other)?];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn find_coordinator(group: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, group);
    // Of a group, not of a transaction.
    body.push(0);
    body
}

/// Host and port, or an error code.
fn read_coordinator(answer: &[u8]) -> Option<Result<String, i16>> {
    let mut answer = Reader(answer);
    let _throttled = answer.int32()?;
    let code = answer.int16()?;
    let _message = answer.text()?;
    let _node = answer.int32()?;
    let host = answer.text()?;
    let port = answer.int32()?;
    Some(if code == 0 { Ok(address(&host, port)) } else { Err(code) })
}

fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Members named by their `group.instance.id` alone, as an administrator does.
fn leave_group(group: &str, static_ids: &[String]) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, group);
    let count = i32::try_from(static_ids.len()).unwrap_or(i32::MAX);
    body.extend(count.to_be_bytes());
    for id in static_ids {
        put_text(&mut body, "");
        put_text(&mut body, id);
    }
    body
}

/// The answer's error code, else the worst of a member; that a member is not there any more is the
/// least of them.
fn read_left(answer: &[u8]) -> Option<i16> {
    let mut answer = Reader(answer);
    let _throttled = answer.int32()?;
    let mut worst = answer.int16()?;
    for _ in 0..answer.int32()? {
        let (_member, _instance) = (answer.text()?, answer.text()?);
        let code = answer.int16()?;
        if code != 0 && matches!(worst, 0 | UNKNOWN_MEMBER) {
            worst = code;
        }
    }
    Some(worst)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Names in Kafka's protocol end at 32,767 bytes; those of groups and instances end long before.
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(text.bytes().take(usize::from(length.unsigned_abs())));
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn int16(&mut self) -> Option<i16> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*head))
    }

    fn int32(&mut self) -> Option<i32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*head))
    }

    /// A text; an empty one where it is null.
    fn text(&mut self) -> Option<String> {
        // Null has the length -1.
        let length = usize::try_from(self.int16()?).unwrap_or(0);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of Kafka's protocol guide for these versions.
    #[test]
    fn requests_are_written_as_the_protocol_says() {
        assert_eq!(find_coordinator("g"), b"\x00\x01g\x00");
        assert_eq!(
            leave_group("g", &["g-a".to_owned(), "g-b".to_owned()]),
            b"\x00\x01g\x00\x00\x00\x02\x00\x00\x00\x03g-a\x00\x00\x00\x03g-b"
        );
    }

    #[test]
    fn answers_are_read_to_their_end_and_not_beyond() {
        let good = b"\0\0\0\0\0\0\xff\xff\0\0\0\x01\0\x01h\0\0\x23\x84";
        assert_eq!(read_coordinator(good), Some(Ok("h:9092".to_owned())));
        let busy = b"\0\0\0\0\0\x0f\xff\xff\xff\xff\xff\xff\0\0\xff\xff\xff\xff";
        assert_eq!(read_coordinator(busy), Some(Err(15)));
        let left = b"\0\0\0\0\0\0\0\0\0\x02\0\0\0\x01a\0\x19\0\0\0\x01b\0\x10";
        assert_eq!(read_left(left), Some(16));
        for length in 0..left.len() {
            assert_eq!(read_left(&left[..length]), None, "{length}");
        }
        assert_eq!(address("::1", 9092), "[::1]:9092");
    }
}
