//! Four requests of Kafka's protocol and their answers, each in the last version with plain encoding.

/// What is asked for, and in which version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    pub(super) key: i16,
    pub(super) version: i16,
}

pub(super) const FIND_COORDINATOR: Api = Api { key: 10, version: 1 };
/// The first version that names members by their `group.instance.id` (KIP-345).
pub(super) const LEAVE_GROUP: Api = Api { key: 13, version: 3 };
pub(super) const SASL_HANDSHAKE: Api = Api { key: 17, version: 1 };
pub(super) const SASL_AUTHENTICATE: Api = Api { key: 36, version: 1 };

/// Error codes of a group whose coordinator starts or moves.
pub(super) const COORDINATOR_LOADS: i16 = 14;
pub(super) const NO_COORDINATOR: i16 = 15;
pub(super) const NOT_COORDINATOR: i16 = 16;
/// The error code of a member that is not in the group.
pub(super) const UNKNOWN_MEMBER: i16 = 25;

pub(super) fn find_coordinator(group: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, group);
    // Of a group, not of a transaction.
    body.push(0);
    body
}

/// Host and port, or an error code.
pub(super) fn read_coordinator(answer: &[u8]) -> Option<Result<String, i16>> {
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
pub(super) fn leave_group(group: &str, static_ids: &[String]) -> Vec<u8> {
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
pub(super) fn read_left(answer: &[u8]) -> Option<i16> {
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

pub(super) fn sasl_handshake(mechanism: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, mechanism);
    body
}

/// The mechanisms that the broker takes, when ours is none of them.
pub(super) fn read_handshake(answer: &[u8]) -> Option<Result<(), Vec<String>>> {
    let mut answer = Reader(answer);
    let code = answer.int16()?;
    let mechanisms =
        (0..answer.int32()?).map(|_| answer.text()).collect::<Option<Vec<String>>>()?;
    Some(if code == 0 { Ok(()) } else { Err(mechanisms) })
}

pub(super) fn sasl_authenticate(said: &[u8]) -> Vec<u8> {
    let length = i32::try_from(said.len()).unwrap_or(i32::MAX);
    [&length.to_be_bytes(), said].concat()
}

/// What the broker says in return, or why it refuses.
pub(super) fn read_authenticated(answer: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let mut answer = Reader(answer);
    let code = answer.int16()?;
    let message = answer.text()?;
    let said = answer.bytes()?;
    Some(match (code, message.is_empty()) {
        (0, _) => Ok(said.to_vec()),
        (_, false) => Err(message),
        (code, true) => Err(format!("error {code} of Kafka's protocol")),
    })
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    // Names in Kafka's protocol end at 32,767 bytes; those of groups and instances end long before.
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(text.bytes().take(usize::from(length.unsigned_abs())));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
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
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Bytes; none where they are null.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.int32()?).unwrap_or(0);
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
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
        assert_eq!(sasl_handshake("PLAIN"), b"\x00\x05PLAIN");
        assert_eq!(sasl_authenticate(b"\0u\0p"), b"\x00\x00\x00\x04\0u\0p");
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

        assert_eq!(read_handshake(b"\0\0\0\0\0\0"), Some(Ok(())));
        let others = Err(vec!["A".to_owned(), "B".to_owned()]);
        assert_eq!(read_handshake(b"\0\x21\0\0\0\x02\0\x01A\0\x01B"), Some(others));
        let said = b"\0\0\xff\xff\0\0\0\x02ok\0\0\0\0\0\0\0\0";
        assert_eq!(read_authenticated(said), Some(Ok(b"ok".to_vec())));
        assert_eq!(read_authenticated(&said[..9]), None);
        let refused = b"\0\x3a\0\x02no\xff\xff\xff\xff\0\0\0\0\0\0\0\0";
        assert_eq!(read_authenticated(refused), Some(Err("no".to_owned())));
    }
}
