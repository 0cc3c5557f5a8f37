//! Messages as they arrive, put into one arena per lane.

use std::sync::Arc;

use async_nats::Message;
use data_bridge_core::arena::Arena;
use data_bridge_core::units::Position;

use super::mailbox::Arrival;
use super::reply::Gather;
use super::routing::{Memo, Slot};

/// Messages at which a chunk is closed: large enough that bookkeeping costs nothing per message.
const CHUNK_ROWS: usize = 5_000;
/// Bytes at which it is closed.
const CHUNK_BYTES: usize = 1 << 20;

/// Chunks that are being gathered by one task.
#[derive(Debug)]
pub(super) struct Sorter {
    memo: Memo,
    open: Vec<Open>,
    rows: usize,
    bytes: usize,
    highest: Position,
}

#[derive(Debug, Default)]
struct Open {
    arena: Arena,
    replies: Gather,
    /// Records and bytes of the arena that was handed over last: about what the next one needs.
    last: (usize, usize),
}

impl Sorter {
    pub(super) fn new(memo: Memo) -> Self {
        let open = std::iter::repeat_with(Open::default).take(memo.slots()).collect();
        Self { memo, open, rows: 0, bytes: 0, highest: Position(0) }
    }

    /// Adds a message; `reply` with the count of its deliveries, when it is to be acked.
    pub(super) fn add(
        &mut self,
        message: &Message,
        position: Position,
        time_ms: i64,
        reply: Option<(&str, u32)>,
    ) {
        let subject = message.subject.as_str();
        let slot = self.memo.slot(subject);
        let Some(open) = self.open.get_mut(usize::from(slot)) else {
            return;
        };
        if open.arena.is_empty() {
            open.arena = Arena::with_capacity(open.last.0, open.last.1);
        }
        let payload = Some(&message.payload[..]);
        match &message.headers {
            None => open.arena.push(position, time_ms, None, payload, Some(subject), []),
            Some(headers) => {
                let headers = headers.iter().flat_map(|(name, values)| {
                    let name: &[u8] = name.as_ref();
                    values.iter().map(move |value| (name, Some(value.as_str().as_bytes())))
                });
                open.arena.push(position, time_ms, None, payload, Some(subject), headers);
            }
        }
        if let Some((reply, deliveries)) = reply {
            open.replies.push(reply, deliveries);
        }
        self.rows += 1;
        self.bytes += message.length;
        self.highest = self.highest.max(position);
    }

    /// The highest position of what was gathered and not handed over.
    pub(super) fn highest(&self) -> Position {
        self.highest
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    /// Hands over what was gathered.
    pub(super) fn flush(&mut self, epoch: u32, mut put: impl FnMut(Arrival)) {
        if self.rows == 0 {
            return;
        }
        for (slot, open) in self.open.iter_mut().enumerate() {
            if open.arena.is_empty() {
                continue;
            }
            let arena = std::mem::take(&mut open.arena);
            open.last = (arena.len(), arena.used());
            let replies = Arc::new(open.replies.take());
            let slot = Slot::try_from(slot).unwrap_or(Slot::MAX);
            put(Arrival { epoch, slot, arena, replies });
        }
        (self.rows, self.bytes, self.highest) = (0, 0, Position(0));
    }
}
