//! What the tasks of the source have in common.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::acks::Counts;
use super::connect::Link;
use super::mailbox::Mailbox;
use super::routing::Routing;

/// Whether messages may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gate {
    /// The pipeline wants no more now.
    pub(super) held: bool,
    /// The instance stops: nothing more is asked for.
    pub(super) stopping: bool,
    /// Stream and consumer are as they must be.
    pub(super) ready: bool,
    /// Connections made so far: a pull does not outlive its connection.
    pub(super) connects: u64,
}

impl Gate {
    pub(super) fn is_open(self) -> bool {
        !self.held && self.ready
    }
}

/// What the watch found out.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Why nothing can be pulled.
    pub(super) reasons: Vec<String>,
    /// Messages that were never delivered, by all instances together.
    pub(super) pending: u64,
    /// Messages that all instances together hold.
    pub(super) ack_pending: u64,
    /// Of these, messages that were delivered more than once.
    pub(super) redelivered: u64,
    pub(super) max_ack_pending: u64,
    /// Ranges deleted before they were delivered, and the messages in them.
    pub(super) lost_ranges: u64,
    pub(super) lost_messages: u64,
    pub(super) made_anew: u64,
}

/// Shared by source and tasks.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) gate: watch::Sender<Gate>,
    pub(super) mailbox: Mailbox,
    pub(super) link: Link,
    pub(super) counts: Arc<Counts>,
    pub(super) routing: Arc<Routing>,
    /// Counts the lives of the stream: what came from an earlier one is not acked.
    pub(super) epoch: AtomicU32,
    /// The highest sequence that this life of the stream has brought.
    highest: AtomicU64,
    /// Something happened to the consumer: look at once.
    pub(super) look: Notify,
    /// Messages dropped by core NATS for want of room, by slot.
    pub(super) dropped: Vec<AtomicU64>,
    view: Mutex<View>,
}

impl Shared {
    pub(super) fn new(mailbox: Mailbox, link: Link, routing: Arc<Routing>) -> Self {
        let dropped = std::iter::repeat_with(AtomicU64::default).take(routing.slots());
        Self {
            // Until the pipeline says that it can take messages.
            gate: watch::Sender::new(Gate { held: true, ..Gate::default() }),
            mailbox,
            link,
            counts: Arc::default(),
            dropped: dropped.collect(),
            routing,
            epoch: AtomicU32::new(0),
            highest: AtomicU64::new(0),
            look: Notify::new(),
            view: Mutex::default(),
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The stream was made anew.
    pub(super) fn begin_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.highest.store(0, Ordering::Release);
    }

    /// The stream of this epoch has brought this sequence.
    pub(super) fn brought(&self, epoch: u32, sequence: u64) {
        if epoch == self.epoch() {
            self.highest.fetch_max(sequence, Ordering::AcqRel);
        }
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Acquire)
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the gate; tells nobody when nothing changed.
    pub(super) fn set_gate(&self, change: impl Fn(&mut Gate)) {
        self.gate.send_if_modified(|gate| {
            let before = *gate;
            change(gate);
            *gate != before
        });
    }
}
