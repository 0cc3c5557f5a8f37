//! What is read again, whichever source keeps it.

use std::sync::Arc;

use data_bridge_core::catalog::Catalog;
use tokio::runtime::Handle;

use super::plan::{self, Plan, Reach, Window, WindowError};
use super::{Bound, Rows};
use crate::config::{Config, NatsMode};
use crate::source::kafka::LostRange;
use crate::source::kafka::window::{Piece, QUEUE_BYTES, Span, WindowReader};
use crate::source::nats::window::{self, StreamError, StreamReader};

/// Sources that keep what they have delivered.
#[derive(Debug)]
pub struct Log {
    kafka: Option<WindowReader>,
    stream: Option<StreamReader>,
    /// The span that is open; the stream when there is none.
    span: Option<Span>,
}

/// Which sources are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The topics.
    pub kafka: bool,
    /// The stream.
    pub nats: bool,
}

/// A part of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of a partition.
    Partition(Span),
    /// Of the stream: from the first sequence to behind the last.
    Stream(std::ops::Range<u64>),
}

/// What came next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Records became rows.
    Read {
        /// How many records.
        records: u64,
        /// How many of them are dead letters.
        letters: u64,
        /// The position behind them.
        next: u64,
    },
    /// Retention overtook the reader.
    Gone {
        /// How many offsets.
        offsets: u64,
        /// The position behind them.
        next: u64,
    },
    /// The part is read to its end.
    End,
}

impl Sources {
    /// Those of a configuration that keep something.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let keeps = config.nats.mode == NatsMode::JetStream;
        Self { kafka: config.kafka.enabled, nats: config.nats.enabled && keeps }
    }

    /// Whether none is meant.
    #[must_use]
    pub fn is_empty(self) -> bool {
        !self.kafka && !self.nats
    }

    /// Those of them that have such a bound: offsets are Kafka's, sequences the stream's.
    #[must_use]
    pub fn with(self, bound: Option<Bound>) -> Self {
        match bound {
            Some(Bound::Offset(_)) => Self { nats: false, ..self },
            Some(Bound::Sequence(_)) => Self { kafka: false, ..self },
            Some(Bound::Time(_)) | None => self,
        }
    }
}

impl Part {
    /// The first position, and the one behind the last.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<u64> {
        match self {
            Self::Partition(span) => span.offsets.clone(),
            Self::Stream(sequences) => sequences.clone(),
        }
    }
}

impl Log {
    /// Readers of these sources.
    ///
    /// # Errors
    /// When a client cannot be made, or NATS cannot be reached.
    pub fn new(
        config: &Config,
        sources: Sources,
        catalog: &Arc<Catalog>,
        runtime: &Handle,
    ) -> Result<Self, WindowError> {
        let kafka = sources
            .kafka
            .then(|| WindowReader::new(&config.kafka, &config.instance, QUEUE_BYTES))
            .transpose()?;
        let stream = sources
            .nats
            .then(|| StreamReader::connect(&config.nats, Arc::clone(catalog), runtime))
            .transpose()
            .map_err(StreamError::from)?;
        Ok(Self { kafka, stream, span: None })
    }

    /// Finds out what a window comes to.
    ///
    /// # Errors
    /// When it names what is not there, or a source cannot be asked.
    pub fn plan(&self, window: &Window, reach: Reach) -> Result<Plan, WindowError> {
        let mut plan = match &self.kafka {
            Some(reader) => plan::of_topics(reader, window, reach)?,
            None => Plan::default(),
        };
        if let Some(reader) = &self.stream {
            plan::of_stream(reader, window, reach, &mut plan)?;
        }
        Ok(plan)
    }

    /// Begins to read a part; what was left of another is forgotten.
    ///
    /// # Errors
    /// When librdkafka refuses it.
    pub fn open(&mut self, part: Part) -> Result<(), WindowError> {
        match (part, &mut self.kafka, &mut self.stream) {
            (Part::Partition(span), Some(reader), _) => {
                self.span = Some(span.clone());
                reader.open(span)?;
            }
            (Part::Stream(sequences), _, Some(reader)) => {
                self.span = None;
                reader.open(sequences);
            }
            (Part::Partition(_), None, _) | (Part::Stream(_), _, None) => {}
        }
        Ok(())
    }

    /// Decodes what comes next, at most so many records; waits for it.
    ///
    /// # Errors
    /// When nothing can be read for 30 s.
    pub fn read(&mut self, most: usize, rows: &mut Rows) -> Result<Step, WindowError> {
        if let (Some(span), Some(reader)) = (&self.span, &mut self.kafka) {
            return Ok(match reader.read(most)? {
                Piece::Records(arena, next) => {
                    let letters = u64::from(rows.add(span, &arena));
                    Step::Read { records: arena.len() as u64, letters, next }
                }
                Piece::Gone(LostRange { offsets, .. }) => {
                    Step::Gone { offsets: offsets.end - offsets.start, next: offsets.end }
                }
                Piece::End => Step::End,
            });
        }
        let Some(reader) = &mut self.stream else {
            return Ok(Step::End);
        };
        Ok(match reader.read(most)? {
            window::Piece::Messages(pieces, next) => {
                let (mut records, mut letters) = (0, 0);
                for (route, arena) in pieces {
                    letters += u64::from(rows.add_messages(route, &arena));
                    records += arena.len() as u64;
                }
                Step::Read { records, letters, next }
            }
            window::Piece::End => Step::End,
        })
    }
}
