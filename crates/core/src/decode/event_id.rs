//! Which event a message reports: the same number for its Kafka copy and its NATS copy.
//!
//! The canonical form is frozen; `docs/event-id.md` describes it byte by byte, with test vectors.

use xxhash_rust::xxh3::xxh3_64;

use crate::arena::Record;
use crate::block::Cell;

/// Header that carries an id of the publisher's own.
const EVENT_ID: &[u8] = b"event-id";
/// Header by which JetStream recognises a message published twice.
const MSG_ID: &[u8] = b"Nats-Msg-Id";

/// Whether `Nats-Msg-Id` names the event when there is no `event-id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MsgId {
    /// It names a publication: ignored.
    #[default]
    Ignored,
    /// It names the event (`nats.msg_id_is_event_id: true`).
    IsEventId,
}

/// The id that the headers of a record carry. Header names are compared without case; of several
/// the last counts; one without a value, or with an empty one, counts as absent.
pub(super) fn from_headers(record: &Record<'_>, msg_id: MsgId) -> Option<u64> {
    let (mut event, mut message) = (None, None);
    for (name, value) in record.headers {
        let value = value.filter(|value| !value.is_empty());
        if name.eq_ignore_ascii_case(EVENT_ID) {
            event = value.or(event);
        } else if msg_id == MsgId::IsEventId && name.eq_ignore_ascii_case(MSG_ID) {
            message = value.or(message);
        }
    }
    event.or(message).map(from_text)
}

/// A decimal number that fits 64 bits as it is, anything else by its hash.
fn from_text(text: &[u8]) -> u64 {
    let number = text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.unwrap_or_else(|| xxh3_64(text))
}

/// The hash over stored values, given in the order of the route's definition. `canonical` is
/// scratch memory.
pub(super) fn from_values<'a>(
    values: impl Iterator<Item = Cell<'a>>,
    canonical: &mut Vec<u8>,
) -> u64 {
    canonical.clear();
    for value in values {
        append(value, canonical);
    }
    xxh3_64(canonical)
}

/// Appends the canonical form of one value: a tag, then its bytes.
fn append(value: Cell<'_>, out: &mut Vec<u8>) {
    let mut number = |tag: u8, value: [u8; 8]| {
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&value);
        out.extend_from_slice(&bytes);
    };
    match value {
        Cell::Null => out.push(0),
        Cell::Int(value) => number(2, value.to_le_bytes()),
        Cell::UInt(value) => number(3, value.to_le_bytes()),
        Cell::Float(value) => number(5, value.to_le_bytes()),
        Cell::Scaled(value) => {
            let value = i128::from(value);
            if let Ok(value) = i64::try_from(value) {
                number(4, value.to_le_bytes());
            } else {
                out.push(6);
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        Cell::Text(text) => append_text(text.as_bytes(), out),
        Cell::Bytes(bytes) => append_text(bytes, out),
        Cell::Map(pairs) => {
            out.push(7);
            out.extend_from_slice(&length(pairs.len()));
            for (key, value) in pairs {
                append_text(key, out);
                append_text(value, out);
            }
        }
    }
}

fn append_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(1);
    out.extend_from_slice(&length(text.len()));
    out.extend_from_slice(text);
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
