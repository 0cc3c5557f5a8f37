//! The records of one chunk, copied out of the client's buffers.

mod record;

pub use record::{Headers, HeadersIter, Record};

use std::ops::Range;

use crate::units::Position;

/// Zero bytes behind each payload, so that a wide read at its last byte stays inside.
pub const PADDING: usize = 64;

/// Records of one chunk, in order: one growing buffer and one index.
#[derive(Debug, Default)]
pub struct Arena {
    bytes: Vec<u8>,
    index: Vec<Entry>,
    unordered: bool,
    content: u64,
}

/// The payload of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    /// Its bytes and [`PADDING`] zero bytes behind them.
    pub(crate) padded: &'a [u8],
    pub(crate) length: usize,
    /// Where it lies in the arena.
    pub(crate) place: usize,
}

/// Where the parts of a record lie: headers, subject, key, payload, one behind the other.
#[derive(Clone, Copy, Debug)]
struct Entry {
    position: Position,
    time_ms: i64,
    start: usize,
    headers: u32,
    subject: u32,
    key: u32,
    payload: u32,
}

/// Length of a part that is absent.
const ABSENT: u32 = u32::MAX;

impl Arena {
    /// An empty arena that holds no memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty arena with room for `records` of `bytes` in all, padding included.
    #[must_use]
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            index: Vec::with_capacity(records),
            unordered: false,
            content: 0,
        }
    }

    /// Copies a record in.
    ///
    /// # Panics
    /// When a part is 4 GiB long: neither broker can send one.
    pub fn push<'h>(
        &mut self,
        position: Position,
        time_ms: i64,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        subject: Option<&str>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) {
        let start = self.bytes.len();
        for (name, value) in headers {
            self.bytes.extend_from_slice(&length(Some(name)).to_le_bytes());
            self.bytes.extend_from_slice(&length(value).to_le_bytes());
            self.bytes.extend_from_slice(name);
            self.bytes.extend_from_slice(value.unwrap_or_default());
            self.content += (name.len() + value.map_or(0, <[u8]>::len)) as u64;
        }
        let headers = length(Some(&self.bytes[start..]));
        let subject = subject.map(str::as_bytes);
        for part in [key, payload].into_iter().flatten() {
            self.content += part.len() as u64;
        }
        for part in [subject, key, payload].into_iter().flatten() {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.extend_from_slice(&[0; PADDING]);
        self.unordered |= self.index.last().is_some_and(|last| last.position >= position);
        self.index.push(Entry {
            position,
            time_ms,
            start,
            headers,
            subject: length(subject),
            key: length(key),
            payload: length(payload),
        });
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Memory it holds, in bytes, used or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.bytes.capacity() + self.index.capacity() * size_of::<Entry>()) as u64
    }

    /// Bytes of the records with their padding: what [`with_capacity`](Self::with_capacity) wants to
    /// hold as many again.
    #[must_use]
    pub fn used(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of keys, headers and payloads, as the broker sent them.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content
    }

    /// The record at an index below [`len`](Self::len).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        self.index.get(index).map(|entry| self.record(*entry))
    }

    /// All records, in the order they were pushed.
    #[must_use]
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.index.iter().map(|entry| self.record(*entry))
    }

    /// The record at this position.
    #[must_use]
    pub fn find(&self, position: Position) -> Option<Record<'_>> {
        let index = if self.unordered {
            self.index.iter().position(|entry| entry.position == position)?
        } else {
            self.index.binary_search_by_key(&position, |entry| entry.position).ok()?
        };
        self.get(index)
    }

    /// All bytes, which [`Payload::place`] points into.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The payload of a record that has one, without a look at its other parts.
    #[inline]
    pub(crate) fn payload(&self, index: usize) -> Option<Payload<'_>> {
        let entry = self.index.get(index).filter(|entry| entry.payload != ABSENT)?;
        let part = |length: u32| if length == ABSENT { 0 } else { length as usize };
        let subject = entry.start + entry.headers as usize;
        let place = subject + part(entry.subject) + part(entry.key);
        let length = entry.payload as usize;
        let padded = self.bytes.get(place..place + length + PADDING)?;
        Some(Payload { padded, length, place })
    }

    /// Position and record time of some records.
    pub(crate) fn stamps(
        &self,
        records: Range<usize>,
    ) -> impl ExactSizeIterator<Item = (Position, i64)> + Clone {
        let entries = self.index.get(records).unwrap_or_default();
        entries.iter().map(|entry| (entry.position, entry.time_ms))
    }

    /// Whether a record has headers.
    #[inline]
    pub(crate) fn has_headers(&self, index: usize) -> bool {
        self.index.get(index).is_some_and(|entry| entry.headers != 0)
    }

    /// Drops all records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
        self.unordered = false;
        self.content = 0;
    }

    fn record(&self, entry: Entry) -> Record<'_> {
        let mut rest = &self.bytes[entry.start..];
        let mut take = |length: u32| {
            (length != ABSENT).then(|| {
                let (part, behind) = rest.split_at(length as usize);
                rest = behind;
                part
            })
        };
        let headers = Headers::new(take(entry.headers).unwrap_or_default());
        let subject = take(entry.subject)
            .map(|bytes| str::from_utf8(bytes).expect("a subject was pushed as a str"));
        let key = take(entry.key);
        let present = if entry.payload == ABSENT { 0 } else { entry.payload as usize };
        let padded = &rest[..present + PADDING];
        let payload = (entry.payload != ABSENT).then(|| &padded[..present]);
        Record {
            position: entry.position,
            time_ms: entry.time_ms,
            key,
            payload,
            subject,
            headers,
            padded,
        }
    }
}

/// The length of a part as the index holds it.
fn length(part: Option<&[u8]>) -> u32 {
    part.map_or(ABSENT, |part| {
        let length = u32::try_from(part.len()).ok().filter(|length| *length != ABSENT);
        length.expect("brokers bound a record below 4 GiB")
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Option<String>, Vec<OwnedHeader>);
    type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..100)
    }

    fn record() -> impl Strategy<Value = Owned> {
        let header = (bytes(), option::of(bytes()));
        (
            any::<i64>(),
            option::of(bytes()),
            option::of(bytes()),
            option::of(".*"),
            vec(header, 0..4),
        )
    }

    fn push(arena: &mut Arena, position: u64, (time_ms, key, payload, subject, headers): &Owned) {
        let headers = headers.iter().map(|(name, value)| (&name[..], value.as_deref()));
        let (key, payload) = (key.as_deref(), payload.as_deref());
        arena.push(Position(position), *time_ms, key, payload, subject.as_deref(), headers);
    }

    fn check(record: &Record<'_>, position: u64, wanted: &Owned) {
        assert_eq!(record.position, Position(position));
        let headers: Vec<OwnedHeader> = record
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
            .collect();
        let owned = (
            record.time_ms,
            record.key.map(<[u8]>::to_vec),
            record.payload.map(<[u8]>::to_vec),
            record.subject.map(str::to_owned),
            headers,
        );
        assert_eq!(&owned, wanted);
        let mut padded = wanted.2.clone().unwrap_or_default();
        padded.extend([0; PADDING]);
        assert_eq!(record.padded_payload(), padded);
    }

    proptest! {
        /// Records come out as they went in, by order, by index and by position, in any order of
        /// positions, also from memory that was used before.
        #[test]
        fn records_come_out_as_they_went_in(
            records in vec(record(), 0..20),
            first in 0..1000_u64,
            stride in 1..3_u64,
            ascending in any::<bool>(),
        ) {
            let mut arena = Arena::new();
            push(&mut arena, 5, &(1, Some(vec![1; 300]), None, None, Vec::new()));
            arena.clear();
            prop_assert!(arena.is_empty());
            let count = records.len() as u64;
            let position = |index: u64| first + stride * if ascending { index } else { count - index };
            for (index, record) in (0..).zip(&records) {
                push(&mut arena, position(index), record);
            }
            prop_assert_eq!(arena.len(), records.len());
            prop_assert_eq!(arena.records().len(), records.len());
            for ((index, wanted), record) in (0..).zip(&records).zip(arena.records()) {
                check(&record, position(index), wanted);
                let at = usize::try_from(index).expect("small");
                check(&arena.get(at).expect("is there"), position(index), wanted);
                check(&arena.find(Position(position(index))).expect("is there"), position(index), wanted);
            }
            prop_assert!(arena.get(records.len()).is_none());
            prop_assert!(arena.find(Position(first + stride * (count + 1))).is_none());
        }
    }

    #[test]
    fn bytes_are_the_memory_held_and_stay_when_cleared() {
        assert_eq!(Arena::new().bytes(), 0);
        let mut arena = Arena::with_capacity(10, 10_000);
        let held = arena.bytes();
        assert!(held >= 10_000 + 10 * size_of::<Entry>() as u64);
        for position in 0..10 {
            arena.push(Position(position), -1, None, Some(&[b'x'; 900]), None, []);
        }
        assert_eq!(arena.bytes(), held, "there was room for all");
        arena.push(Position(10), -1, None, Some(&[b'x'; 900]), None, []);
        assert!(arena.bytes() > held);
        let held = arena.bytes();
        arena.clear();
        assert_eq!(arena.bytes(), held);
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let mut arena = Arena::new();
        let headers: [(&[u8], Option<&[u8]>); 3] =
            [(b"event-id", Some(b"1")), (b"other", None), (b"event-id", Some(b"2"))];
        arena.push(Position(0), 0, None, None, None, headers);
        let record = arena.get(0).expect("is there");
        assert_eq!(record.headers.last(b"event-id"), Some(Some(&b"2"[..])));
        assert_eq!(record.headers.last(b"other"), Some(None));
        assert_eq!(record.headers.last(b"none"), None);
    }
}
