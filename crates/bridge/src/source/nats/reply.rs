//! The reply subject of a JetStream message: which message it is, and where its ack goes.

use bytes::Bytes;

/// What the reply subject says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// Its number among the deliveries of the consumer.
    pub(super) ordinal: u64,
    /// When the stream stored it, in ms since 1970.
    pub(super) time_ms: i64,
    /// How often it was delivered, this time included.
    pub(super) deliveries: u32,
}

/// Reads `$JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING`, or the form
/// with `DOMAIN.ACCOUNT` after `ACK` and more tokens behind (ADR-15 of NATS).
pub(super) fn read(reply: &str) -> Option<Delivery> {
    let tokens = reply.as_bytes().strip_prefix(b"$JS.ACK.")?;
    let count = tokens.split(|byte| *byte == b'.').count();
    let skipped = match count {
        7 => 2,
        9.. => 4,
        _ => return None,
    };
    let mut numbers = tokens.split(|byte| *byte == b'.').skip(skipped).map(number);
    let deliveries = numbers.next()??;
    let sequence = numbers.next()??;
    let ordinal = numbers.next()??;
    let nanos = numbers.next()??;
    Some(Delivery {
        sequence,
        ordinal,
        time_ms: i64::try_from(nanos / 1_000_000).ok()?,
        deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
    })
}

fn number(token: &[u8]) -> Option<u64> {
    let (first, rest) = token.split_first()?;
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    rest.iter()
        .try_fold(digit(first)?, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?))
}

/// Where the acks of a chunk's messages go. Empty for messages that nobody acks.
#[derive(Debug, Default)]
pub struct Replies {
    subjects: Bytes,
    ends: Vec<u32>,
    deliveries: u32,
}

impl Replies {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nobody waits for an ack.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Memory it holds, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.subjects.len() + self.ends.capacity() * size_of::<u32>()) as u64
    }

    /// The most that any of the messages was delivered.
    pub(super) fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// All subjects, in the order of the messages.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Bytes> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges: Vec<_> = starts.zip(self.ends.iter().copied()).collect();
        ranges.into_iter().map(|(start, end)| self.subjects.slice(start as usize..end as usize))
    }
}

/// Gathers [`Replies`].
#[derive(Debug, Default)]
pub(super) struct Gather {
    subjects: Vec<u8>,
    ends: Vec<u32>,
    deliveries: u32,
}

impl Gather {
    pub(super) fn push(&mut self, reply: &str, deliveries: u32) {
        self.subjects.extend_from_slice(reply.as_bytes());
        // A chunk is closed far below 4 GiB.
        self.ends.push(u32::try_from(self.subjects.len()).unwrap_or(u32::MAX));
        self.deliveries = self.deliveries.max(deliveries);
    }

    pub(super) fn take(&mut self) -> Replies {
        Replies {
            subjects: Bytes::from(std::mem::take(&mut self.subjects)),
            ends: std::mem::take(&mut self.ends),
            deliveries: std::mem::take(&mut self.deliveries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_reply_subject_are_read() {
        let wanted = Some(Delivery {
            sequence: 1_234,
            ordinal: 77,
            time_ms: 1_706_198_400_123,
            deliveries: 2,
        });
        let old = "$JS.ACK.MARKET.data-bridge.2.1234.77.1706198400123456789.9";
        assert_eq!(read(old), wanted);
        let new = "$JS.ACK._.ACCHASH.MARKET.data-bridge.2.1234.77.1706198400123456789.9.rnd";
        assert_eq!(read(new), wanted);
        for other in
            ["", "_INBOX.x.y", "$JS.ACK.a.b", "$JS.ACK.a.b.x.1.1.1.1", "$JS.ACK.a.b..1.1.1.1"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn replies_come_out_as_they_went_in() {
        let mut gather = Gather::default();
        for (reply, deliveries) in [("a.b", 1), ("", 3), ("c.d.e", 2)] {
            gather.push(reply, deliveries);
        }
        let replies = gather.take();
        let texts: Vec<_> = replies.iter().collect();
        assert_eq!(texts, ["a.b", "", "c.d.e"]);
        assert_eq!((replies.len(), replies.deliveries()), (3, 3));
        assert!(gather.take().is_empty());
    }
}
