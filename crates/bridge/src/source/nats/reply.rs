//! The reply subject of a JetStream message: which message it is, and where its ack goes.

/// Tokens behind `$JS.ACK.` that are looked at: up to the time, in the longer form.
const TOKENS: usize = 8;

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
    let mut starts = [0; TOKENS];
    let mut count = 1;
    for (at, byte) in tokens.iter().enumerate() {
        match byte {
            b'.' => {
                if let Some(start) = starts.get_mut(count) {
                    *start = at + 1;
                }
                count += 1;
            }
            // Such a subject would be read as something else when it is published to.
            ..=b' ' | 0x7f => return None,
            _ => {}
        }
    }
    let first = match count {
        7 => 2,
        9.. => 4,
        _ => return None,
    };
    let from = |token: usize| tokens.get(*starts.get(first + token)?..);
    let nanos = number(from(3)?)?;
    Some(Delivery {
        deliveries: u32::try_from(number(from(0)?)?).unwrap_or(u32::MAX),
        sequence: number(from(1)?)?,
        ordinal: number(from(2)?)?,
        time_ms: i64::try_from(nanos / 1_000_000).ok()?,
    })
}

/// The number up to the next dot.
fn number(bytes: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            }
            b'.' if at > 0 => return Some(number),
            _ => return None,
        }
    }
    // At the end of the subject.
    (!bytes.is_empty()).then_some(number)
}

/// Where the acks of a chunk's messages go. Empty for messages that nobody acks.
#[derive(Debug, Default)]
pub struct Replies {
    subjects: String,
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
        (self.subjects.capacity() + self.ends.capacity() * size_of::<u32>()) as u64
    }

    /// The most that any of the messages was delivered.
    pub(super) fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// All subjects, in the order of the messages.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &str> {
        (0..self.ends.len()).filter_map(|index| {
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            self.subjects.get(start as usize..self.ends[index] as usize)
        })
    }
}

/// Gathers [`Replies`].
#[derive(Debug, Default)]
pub(super) struct Gather {
    replies: Replies,
    /// Bytes and number of the subjects that were taken last: about what the next ones need.
    last: (usize, usize),
}

impl Gather {
    pub(super) fn push(&mut self, reply: &str, deliveries: u32) {
        let Replies { subjects, ends, deliveries: most } = &mut self.replies;
        if ends.capacity() == 0 {
            subjects.reserve_exact(self.last.0);
            ends.reserve_exact(self.last.1);
        }
        subjects.push_str(reply);
        // A chunk is closed far below 4 GiB.
        ends.push(u32::try_from(subjects.len()).unwrap_or(u32::MAX));
        *most = deliveries.max(*most);
    }

    pub(super) fn take(&mut self) -> Replies {
        let replies = std::mem::take(&mut self.replies);
        self.last = (replies.subjects.len(), replies.ends.len());
        replies
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
        for other in [
            "",
            "_INBOX.x.y",
            "$JS.ACK.a.b",
            "$JS.ACK.a.b.x.1.1.1.1",
            "$JS.ACK.a.b..1.1.1.1",
            "$JS.ACK.a.b.1.1.1.99999999999999999999.1",
            "$JS.ACK.a.b.1.1.1.1",
            "$JS.ACK.a.b.1.1.1.1.1\r",
            "$JS.ACK.a .b.1.1.1.1.1",
        ] {
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
