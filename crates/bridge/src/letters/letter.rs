//! One letter: its id, its row without the message, and the whole of it.

use std::fmt;
use std::str::FromStr;

use crate::sink::clickhouse::Given;

use super::LettersError;

/// What makes a letter: the table's sort key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// Such as `kafka:tick_archive:3`.
    pub origin: String,
    /// The offset or sequence number.
    pub position: u64,
    /// When the broker received the message, in ms since 1970.
    pub received_ms: i64,
    /// Why it was refused.
    pub reason: String,
}

/// `kafka:tick_archive:3@104200`; one message may lie there for several reasons.
impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.origin, self.position)
    }
}

/// A letter without its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its id.
    pub id: LetterId,
    /// The route's name; empty where none took the subject.
    pub route: String,
    /// Why it was refused, for people.
    pub error: String,
    /// ClickHouse's error code; 0 when it was not ClickHouse that refused.
    pub clickhouse_code: i32,
    /// Bytes of key, payload and headers.
    pub bytes: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// The first refusal, in ms since 1970.
    pub first_failed_ms: i64,
    /// The last refusal.
    pub last_failed_ms: i64,
    /// When it was replayed.
    pub replayed_ms: Option<i64>,
}

/// A letter with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// All but the message.
    pub letter: Letter,
    /// The message's key.
    pub key: Vec<u8>,
    /// The message's value.
    pub payload: Vec<u8>,
    /// Its headers, in order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The fields that [`Letter::read`] takes.
pub(super) const FIELDS: &str = "toString(origin), toString(origin_position), \
     toString(toUnixTimestamp64Milli(received_at)), toString(reason), toString(route), error, \
     toString(clickhouse_code), \
     toString(length(key) + length(payload) + arraySum(arrayMap(name -> length(name), mapKeys(headers))) \
     + arraySum(arrayMap(value -> length(value), mapValues(headers)))), \
     toString(attempts), toString(toUnixTimestamp64Milli(first_failed_at)), \
     toString(toUnixTimestamp64Milli(last_failed_at)), \
     ifNull(toString(toUnixTimestamp64Milli(replayed_at)), '')";

/// Whether a row is one of those that are sent along with a question; see [`wanted`].
pub(super) const AMONG_WANTED: &str = "(origin, origin_position, received_at, reason) IN \
     (SELECT origin, origin_position, fromUnixTimestamp64Milli(received_ms, 'UTC'), reason FROM wanted)";

/// These ids as a table that is sent along.
pub(super) fn wanted(ids: &[LetterId]) -> Given {
    let mut data = Vec::new();
    let text = |data: &mut Vec<u8>, text: &str| {
        // RowBinary: the length in 7 bits per byte, then the bytes.
        let mut length = text.len();
        while length >= 0x80 {
            data.push(u8::try_from(length & 0x7F).unwrap_or_default() | 0x80);
            length >>= 7;
        }
        data.push(u8::try_from(length).unwrap_or_default());
        data.extend_from_slice(text.as_bytes());
    };
    for id in ids {
        text(&mut data, &id.origin);
        data.extend_from_slice(&id.position.to_le_bytes());
        data.extend_from_slice(&id.received_ms.to_le_bytes());
        text(&mut data, &id.reason);
    }
    Given {
        name: "wanted",
        structure: "origin String, origin_position UInt64, received_ms Int64, reason String".into(),
        format: "RowBinary",
        data,
    }
}

impl Letter {
    pub(super) fn read(fields: [String; 12]) -> Result<Self, String> {
        let [
            origin,
            position,
            received,
            reason,
            route,
            error,
            code,
            bytes,
            tries,
            first,
            last,
            again,
        ] = fields;
        Ok(Self {
            id: LetterId {
                origin,
                position: number(&position)?,
                received_ms: number(&received)?,
                reason,
            },
            route,
            error,
            clickhouse_code: number(&code)?,
            bytes: number(&bytes)?,
            attempts: number(&tries)?,
            first_failed_ms: number(&first)?,
            last_failed_ms: number(&last)?,
            replayed_ms: if again.is_empty() { None } else { Some(number(&again)?) },
        })
    }
}

impl Whole {
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let fields: Vec<serde_json::Value> =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        let [head @ .., key, payload, names, values] = fields.as_slice() else {
            return Err(format!("{} fields", fields.len()));
        };
        let head = head.iter().map(|field| Ok(text(field)?.to_owned()));
        let head = head.collect::<Result<Vec<_>, String>>()?;
        let head = head.try_into().map_err(|head: Vec<_>| format!("{} fields", head.len()))?;
        let list = |field: &serde_json::Value| {
            let items = field.as_array().ok_or_else(|| format!("no list: {field}"))?;
            items.iter().map(|item| unhex(text(item)?)).collect::<Result<Vec<_>, String>>()
        };
        Ok(Self {
            letter: Letter::read(head)?,
            key: unhex(text(key)?)?,
            payload: unhex(text(payload)?)?,
            headers: list(names)?.into_iter().zip(list(values)?).collect(),
        })
    }
}

/// Reads lines of `N` texts, as `JSONCompactEachRow` writes them.
pub(super) fn lines<T, const N: usize>(
    answer: &str,
    read: impl Fn([String; N]) -> Result<T, String>,
) -> Result<Vec<T>, LettersError> {
    let line = |line: &str| {
        let fields: Vec<String> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        read(fields.try_into().map_err(|fields: Vec<_>| format!("{} fields", fields.len()))?)
    };
    answer.lines().map(line).collect::<Result<_, _>>().map_err(LettersError::Answer)
}

pub(super) fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_not_a_number| format!("{text:?} is no number"))
}

fn text(field: &serde_json::Value) -> Result<&str, String> {
    field.as_str().ok_or_else(|| format!("no text: {field}"))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes = text.as_bytes().chunks(2).map(pair).collect::<Option<_>>();
    bytes.ok_or_else(|| "hexadecimal digits that are none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 0xF])
            .map(|digit| {
                char::from_digit(u32::from(digit), 16).expect("below 16").to_ascii_uppercase()
            })
            .collect()
    }

    #[test]
    fn a_letter_is_read_byte_for_byte() {
        let payload: Vec<u8> = (0..=255).collect();
        let line = format!(
            r#"["kafka:t:3","18446744073709551615","-1","bad_number","ticks","a \"b\"","0","300","1","2","3","","{}","{}",["{}",""],["FF00","{}"]]"#,
            hex(b"k\0"),
            hex(&payload),
            hex(b"trace"),
            hex(&payload),
        );
        let whole = Whole::read(&line).expect("sound");
        assert_eq!(whole.letter.id.to_string(), "kafka:t:3@18446744073709551615");
        assert_eq!(whole.letter.id.received_ms, -1);
        assert_eq!(whole.letter.error, "a \"b\"");
        assert_eq!(whole.letter.replayed_ms, None);
        assert_eq!((whole.key, &whole.payload), (b"k\0".to_vec(), &payload));
        let headers = [(b"trace".to_vec(), vec![0xFF, 0]), (Vec::new(), payload)];
        assert_eq!(whole.headers, headers);
        for bad in ["[]", "{}", r#"["a"]"#, ""] {
            assert!(Whole::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_sent_as_values() {
        let id =
            LetterId { origin: "o".repeat(200), position: 1, received_ms: -1, reason: "'".into() };
        let given = wanted(&[id]);
        assert_eq!(given.data[..2], [0xC8, 0x01], "200 in 7 bits per byte");
        assert_eq!(given.data.len(), 2 + 200 + 8 + 8 + 1 + 1);
        assert_eq!(given.data.last(), Some(&b'\''));
    }
}
