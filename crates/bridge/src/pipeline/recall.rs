//! Payloads that were let go, read from the log again when a row turns out to need its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use data_bridge_core::arena::Arena;
use data_bridge_core::units::{Position, origin};
use tracing::warn;

use super::answers::Burial;
use crate::config::{Config, Instance, Kafka};
use crate::source::Waker;
use crate::source::kafka::SourceError;
use crate::source::kafka::window::{Piece, Span, WindowReader};

/// What the reader may fetch ahead of the one record that is wanted, in bytes.
const QUEUE_BYTES: u64 = 1 << 20;
/// A reader without questions for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Pause before a broker that could not be read is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where a record lies.
#[derive(Clone)]
pub(super) struct Place {
    topic: String,
    partition: i32,
    position: Position,
}

impl Place {
    /// None for an origin that is no partition of Kafka.
    pub(super) fn of(origin: &str, position: Position) -> Option<Self> {
        let (topic, partition) = origin::parse(origin)?;
        Some(Self { topic: topic.to_owned(), partition, position })
    }
}

/// A row that is to be buried, and the record it came as.
pub(super) struct Recalled {
    pub(super) burial: Burial,
    /// Empty when retention, or compaction, has deleted the record meanwhile.
    pub(super) arena: Arena,
}

/// Asks for records and has the answers; one thread reads, from the first question on.
pub(super) struct Recall {
    kafka: Kafka,
    instance: Instance,
    waker: Waker,
    questions: Option<Sender<(Burial, Place)>>,
    answers: (Sender<Recalled>, Receiver<Recalled>),
    /// Somebody waits for answers as long as it is held.
    awaited: Arc<()>,
}

impl Recall {
    pub(super) fn new(config: &Config, waker: Waker) -> Self {
        let (kafka, instance) = (config.kafka.clone(), config.instance.clone());
        Self {
            kafka,
            instance,
            waker,
            questions: None,
            answers: channel(),
            awaited: Arc::default(),
        }
    }

    /// Asks for the record of a row. Answered however long the broker is away.
    pub(super) fn ask(&mut self, burial: Burial, place: Place) {
        let questions = self.questions.get_or_insert_with(|| {
            let (questions, asked) = channel();
            let desk = Desk {
                kafka: self.kafka.clone(),
                instance: self.instance.clone(),
                asked,
                answers: self.answers.0.clone(),
                waker: self.waker.clone(),
                awaited: Arc::downgrade(&self.awaited),
            };
            let thread = std::thread::Builder::new().name("recall".into());
            thread.spawn(move || desk.serve()).expect("a thread of a process that has a few");
            questions
        });
        // The thread ends only when this is gone.
        questions.send((burial, place)).ok();
    }

    /// The next answer, if there is one.
    pub(super) fn take(&mut self) -> Option<Recalled> {
        self.answers.1.try_recv().ok()
    }
}

/// The thread that reads.
struct Desk {
    kafka: Kafka,
    instance: Instance,
    asked: Receiver<(Burial, Place)>,
    answers: Sender<Recalled>,
    waker: Waker,
    awaited: Weak<()>,
}

impl Desk {
    fn serve(self) {
        let mut reader = None;
        loop {
            match self.asked.recv_timeout(IDLE) {
                Ok((burial, place)) => {
                    let Some(arena) = self.find(&mut reader, &place) else {
                        return;
                    };
                    if self.answers.send(Recalled { burial, arena }).is_err() {
                        return;
                    }
                    self.waker.wake();
                }
                Err(RecvTimeoutError::Timeout) => reader = None,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// The record at a place, empty when it was deleted; None when nobody waits for it any more.
    fn find(&self, reader: &mut Option<WindowReader>, place: &Place) -> Option<Arena> {
        let Place { topic, partition, position } = place;
        while self.awaited.strong_count() > 0 {
            match self.read(reader, place) {
                Ok(arena) => return Some(arena),
                Err(error) => {
                    warn!(topic, partition, %position, %error, "a row was refused, and its record \
                         cannot be read for the dead letter; asking again");
                    *reader = None;
                    std::thread::park_timeout(AGAIN);
                }
            }
        }
        None
    }

    fn read(&self, reader: &mut Option<WindowReader>, at: &Place) -> Result<Arena, SourceError> {
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(WindowReader::new(&self.kafka, &self.instance, QUEUE_BYTES)?),
        };
        let Place { topic, partition, position } = at.clone();
        reader.open(Span { topic, partition, offsets: position.0..position.0 + 1 })?;
        let mut found = Arena::new();
        loop {
            match reader.read(1)? {
                Piece::Records(arena, _) => found = arena,
                Piece::Gone(_) => {}
                Piece::End => return Ok(found),
            }
        }
    }
}
