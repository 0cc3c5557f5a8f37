//! A record as it lies in an arena.

use super::ABSENT;
use crate::units::Position;

/// One record of an [`Arena`](super::Arena).
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset or sequence number.
    pub position: Position,
    /// Record time in ms since 1970 as the broker returned it, -1 when there is none.
    pub time_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The NATS subject.
    pub subject: Option<&'a str>,
    /// Its headers, in order.
    pub headers: Headers<'a>,
    pub(super) padded: &'a [u8],
}

impl<'a> Record<'a> {
    /// The payload with [`PADDING`](super::PADDING) zero bytes behind it; only the padding for a tombstone.
    #[must_use]
    pub fn padded_payload(&self) -> &'a [u8] {
        self.padded
    }
}

/// Headers of a record, in order: name and value, `None` for a header without a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Headers as an arena holds them: length of name and of value, name, value.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// From the first to the last.
    #[must_use]
    pub fn iter(self) -> HeadersIter<'a> {
        HeadersIter { bytes: self.bytes }
    }

    /// Value of the last header with this name; the inner `None` is a header without a value.
    #[must_use]
    pub fn last(self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(header, _)| *header == name).last().map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Headers`].
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    bytes: &'a [u8],
}

impl<'a> HeadersIter<'a> {
    fn part(&mut self, length: u32) -> &'a [u8] {
        let (part, rest) = self.bytes.split_at(length as usize);
        self.bytes = rest;
        part
    }

    fn length(&mut self) -> Option<u32> {
        let (length, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u32::from_le_bytes(*length))
    }
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.length()?;
        let value = self.length()?;
        let name = self.part(name);
        Some((name, (value != ABSENT).then(|| self.part(value))))
    }
}
