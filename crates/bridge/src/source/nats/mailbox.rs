//! Chunks that the tasks of the source have gathered and the pipeline has not taken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_bridge_core::arena::Arena;
use tokio::sync::Notify;

use super::super::Waker;
use super::reply::Replies;
use super::routing::Slot;

/// Messages of one lane that came together.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The generation of the stream they came from.
    pub(super) epoch: u32,
    pub(super) slot: Slot,
    pub(super) arena: Arena,
    pub(super) replies: Arc<Replies>,
}

impl Arrival {
    fn bytes(&self) -> u64 {
        self.arena.bytes() + self.replies.bytes()
    }
}

/// How much may lie in a mailbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: usize,
    pub(super) bytes: u64,
}

/// The queue between the tasks and the pipeline.
#[derive(Debug)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    room: Room,
    taken: Notify,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Arrival>,
    rows: usize,
    bytes: u64,
}

impl Mailbox {
    pub(super) fn new(room: Room, waker: Waker) -> Self {
        Self { inner: Mutex::default(), room, taken: Notify::new(), waker }
    }

    /// Puts a chunk in. Whoever asks for more looks at [`Self::has_room`] first.
    pub(super) fn put(&self, arrival: Arrival) {
        self.inner().put(arrival);
        self.waker.wake();
    }

    /// Puts a chunk in, or gives it back when there is no room.
    pub(super) fn try_put(&self, arrival: Arrival) -> Result<(), Arrival> {
        let mut inner = self.inner();
        if inner.is_over(self.room) {
            return Err(arrival);
        }
        inner.put(arrival);
        drop(inner);
        self.waker.wake();
        Ok(())
    }

    /// Waits until there is room.
    pub(super) async fn has_room(&self) {
        loop {
            let taken = self.taken.notified();
            if !self.inner().is_over(self.room) {
                return;
            }
            taken.await;
        }
    }

    /// Takes all that lies in it.
    pub(super) fn take(&self) -> VecDeque<Arrival> {
        let inner = std::mem::take(&mut *self.inner());
        if !inner.queue.is_empty() {
            self.taken.notify_waiters();
        }
        inner.queue
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, arrival: Arrival) {
        self.rows += arrival.arena.len();
        self.bytes += arrival.bytes();
        self.queue.push_back(arrival);
    }

    fn is_over(&self, room: Room) -> bool {
        self.rows >= room.rows || self.bytes >= room.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_bridge_core::units::Position;

    fn arrival(rows: u64) -> Arrival {
        let mut arena = Arena::new();
        for position in 0..rows {
            arena.push(Position(position), 0, None, Some(b"x"), None, []);
        }
        Arrival { epoch: 0, slot: 0, arena, replies: Arc::default() }
    }

    #[test]
    fn what_has_no_room_is_given_back_and_room_comes_with_taking() {
        let mailbox = Mailbox::new(Room { rows: 5, bytes: 1 << 20 }, Waker::default());
        assert!(mailbox.try_put(arrival(4)).is_ok());
        assert!(mailbox.try_put(arrival(4)).is_ok(), "a chunk passes as a whole");
        assert_eq!(mailbox.try_put(arrival(1)).map_err(|refused| refused.arena.len()), Err(1));
        assert_eq!(mailbox.take().len(), 2);
        assert!(mailbox.try_put(arrival(1)).is_ok());
    }
}
