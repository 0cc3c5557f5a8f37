//! Reads a part of the log again: by explicit offsets, without joining the group or committing.
//!
//! The client carries the group's id, which is all it needs to ask what the group has committed; a
//! client that never subscribes is no member of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use data_bridge_core::arena::{Arena, PADDING};
use data_bridge_core::units::Position;

use super::super::Waker;
use super::client::{Client, Code, Message, Messages, Notice, Offsets, OffsetsAt, Trouble};
use super::event::{LostRange, SourceError};
use super::partition::TopicPartition;
use super::start::Commit;
use super::{mark, properties, topics};
use crate::config::{Instance, Kafka};

/// How long one question may take; a broker that just started needs a few seconds.
const ANSWER: Duration = Duration::from_secs(10);
/// Without anything from the broker for this long, it is away.
const SILENCE: Duration = Duration::from_secs(30);
/// Pause before asking again what could not be answered.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause before reading again what could not be read.
const AGAIN: Duration = Duration::from_secs(1);
/// What a client that reads whole windows may hold of fetched records, in bytes.
pub const QUEUE_BYTES: u64 = 32 << 20;

/// A partition as the cluster and the group know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offsets that are retained, up to the last stable one.
    pub retained: Range<u64>,
    /// What the group has moved, by its commit; `None` when it has none for this topic as it is.
    pub moved: Option<Moved>,
}

/// What a group's commit says about a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// From where the bridge began to the next record it reads.
    pub offsets: Range<u64>,
    /// Parts of it that were deleted unread.
    pub lost: Vec<Range<u64>>,
}

/// Offsets of one partition that are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offsets, as far as there are records under them.
    pub offsets: Range<u64>,
}

/// What came next.
#[derive(Debug)]
pub enum Piece {
    /// Records, in order; the position behind them.
    Records(Arena, u64),
    /// Retention overtook the reader.
    Gone(LostRange),
    /// The span is read to its end.
    End,
}

/// Reads spans, one after the other.
#[derive(Debug)]
pub struct WindowReader {
    client: Client,
    waker: Waker,
    brokers: String,
    group: String,
    topics: Vec<String>,
    messages: Messages,
    span: Option<Span>,
    halt: Option<Halt>,
}

impl WindowReader {
    /// A reader for the configured topics whose client fetches so many bytes ahead. Connects when
    /// first asked.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(config: &Kafka, instance: &Instance, queue_bytes: u64) -> Result<Self, SourceError> {
        topics::check_names(config)?;
        let waker = Waker::default();
        let properties = properties::reader(config, instance, queue_bytes);
        Ok(Self {
            client: Client::consumer(&properties, waker.clone())?,
            waker,
            brokers: config.brokers.clone(),
            group: config.group_id.clone(),
            topics: config.topics.keys().cloned().collect(),
            messages: Messages::default(),
            span: None,
            halt: None,
        })
    }

    /// Every partition of these topics that exist, by topic and number.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub fn standings(&self, topics: &[&str]) -> Result<Vec<Standing>, SourceError> {
        self.patiently(|| self.standings_now(topics))
    }

    fn standings_now(&self, topics: &[&str]) -> Result<Vec<Standing>, SourceError> {
        let failed = |trouble: Trouble| self.unreachable("partitions and commits", &trouble);
        let mut ids = BTreeMap::new();
        let mut partitions = Vec::new();
        for facts in self.client.topics(topics, ANSWER).map_err(failed)? {
            match facts.error {
                Some(trouble) if trouble.code == Code::UnknownTopicOrPartition => continue,
                Some(trouble) => return Err(failed(trouble)),
                None => {}
            }
            for number in 0..facts.partitions {
                partitions.push(TopicPartition { topic: facts.name.as_str().into(), number });
            }
            ids.insert(facts.name, facts.id);
        }
        partitions.sort();
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let lows = self.offsets(&partitions, OffsetsAt::Start)?;
        let highs = self.offsets(&partitions, OffsetsAt::End)?;
        let mut list = Offsets::of(&partitions);
        self.client.committed(&mut list, ANSWER).map_err(failed)?;
        let mut moved = BTreeMap::new();
        for entry in list.entries() {
            if let Some(trouble) = entry.error {
                return Err(failed(trouble));
            }
            let id = ids.get(entry.topic).and_then(Option::as_deref);
            let found = commit(entry.offset, entry.metadata).and_then(|commit| of(commit, id));
            moved.insert((entry.topic.to_owned(), entry.partition), found);
        }
        let standing = |partition: TopicPartition| {
            let (low, high) = (lows.get(&partition)?, highs.get(&partition)?);
            let topic = partition.topic.to_string();
            let moved = moved.get(&(topic.clone(), partition.number)).cloned().flatten();
            let retained = *low..*high.max(low);
            Some(Standing { topic, partition: partition.number, retained, moved })
        };
        Ok(partitions.into_iter().filter_map(standing).collect())
    }

    /// Per partition, the offset of the first record of this time or later; the partition's end
    /// when there is none. Times are ms since 1970.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub fn offsets_from(
        &self,
        standings: &[Standing],
        time_ms: i64,
    ) -> Result<Vec<u64>, SourceError> {
        let partition = |standing: &Standing| TopicPartition {
            topic: standing.topic.as_str().into(),
            number: standing.partition,
        };
        let partitions = standings.iter().map(partition).collect::<Vec<_>>();
        let at = OffsetsAt::Time(time_ms.max(0));
        let found = self.patiently(|| self.offsets(&partitions, at))?;
        let offsets = standings.iter().zip(&partitions).map(|(standing, partition)| {
            found.get(partition).copied().unwrap_or(standing.retained.end)
        });
        Ok(offsets.collect())
    }

    /// Begins a span; what was left of another is forgotten.
    ///
    /// # Errors
    /// When librdkafka refuses it.
    pub fn open(&mut self, span: Span) -> Result<(), SourceError> {
        // Nothing is assigned for an empty span: librdkafka up to 2.15 aborts the process when a
        // partition is assigned and taken away again while it still stops fetching it from before
        // (its issue 5573).
        if !span.offsets.is_empty() {
            let mut list = Offsets::new();
            let from = i64::try_from(span.offsets.start).unwrap_or(i64::MAX);
            list.add(&span.topic, span.partition, Some(from), None);
            self.client.assign(Some(&list)).map_err(|trouble| SourceError::Client(trouble.text))?;
        }
        self.span = Some(span);
        self.halt = None;
        Ok(())
    }

    /// The next piece of the span that is open, at most so many records; waits for it.
    ///
    /// # Errors
    /// When nothing can be read for 30 s.
    pub fn read(&mut self, most: usize) -> Result<Piece, SourceError> {
        let until = Instant::now() + SILENCE;
        loop {
            let Some(span) = &mut self.span else {
                return Ok(Piece::End);
            };
            if span.offsets.is_empty() {
                return self.end();
            }
            let now = Instant::now();
            match &self.halt {
                None => {}
                Some(Halt::OutOfRange) => return self.out_of_range(),
                Some(Halt::Trouble(trouble)) if now >= until => {
                    let trouble = trouble.clone();
                    return Err(self.unreachable("records", &trouble));
                }
                // The client's position may be behind what could not be read: from there again.
                Some(Halt::Trouble(_)) => {
                    let span = span.clone();
                    self.waker.wait(until.min(now + AGAIN));
                    self.open(span)?;
                    continue;
                }
            }
            if now >= until {
                let code = Code::OperationTimedOut;
                let trouble = Trouble { code, text: "no answer for 30 s".into() };
                return Err(self.unreachable("records", &trouble));
            }
            self.waker.looking();
            self.client.consume(&mut self.messages, most);
            let (arena, halt) = take(&self.messages, span);
            self.halt = halt;
            self.messages.clear();
            if let Some(arena) = arena {
                return Ok(Piece::Records(arena, span.offsets.start));
            }
            if self.halt.is_none() && !span.offsets.is_empty() {
                self.waker.wait(until.min(now + super::TURN));
            }
        }
    }

    fn end(&mut self) -> Result<Piece, SourceError> {
        self.span = None;
        self.client.assign(None).map_err(|trouble| SourceError::Client(trouble.text))?;
        Ok(Piece::End)
    }

    /// Retention has deleted what comes next: goes on at the oldest record that is left.
    fn out_of_range(&mut self) -> Result<Piece, SourceError> {
        let Some(span) = self.span.take() else {
            return Ok(Piece::End);
        };
        let partition =
            TopicPartition { topic: span.topic.as_str().into(), number: span.partition };
        let asked = std::slice::from_ref(&partition);
        let lows = self.patiently(|| self.offsets(asked, OffsetsAt::Start))?;
        let low = lows.get(&partition).copied().unwrap_or(span.offsets.end);
        let (from, to) = (span.offsets.start, span.offsets.end);
        // The log was cut below what is asked for: nothing is left of it.
        let gone = if low > from { from..low.min(to) } else { from..to };
        let lost = LostRange {
            topic: span.topic.clone(),
            partition: span.partition,
            offsets: gone.clone(),
        };
        self.open(Span { offsets: gone.end..to, ..span })?;
        Ok(Piece::Gone(lost))
    }

    fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetsAt,
    ) -> Result<BTreeMap<TopicPartition, u64>, SourceError> {
        let list = Offsets::of(partitions);
        let ends = self.client.offsets_at(&list, at, ANSWER);
        let ends = ends.map_err(|trouble| self.unreachable("offsets", &trouble))?;
        let mut offsets = BTreeMap::new();
        for (topic, number, offset) in ends {
            let offset = offset.map_err(|trouble| self.unreachable("offsets", &trouble))?;
            // -1: no record is that young.
            if let Ok(offset) = u64::try_from(offset) {
                offsets.insert(TopicPartition { topic: topic.into(), number }, offset);
            }
        }
        Ok(offsets)
    }

    /// Asks until there is an answer or time is over: a partition may just be getting its leader.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T, SourceError>) -> Result<T, SourceError> {
        let until = Instant::now() + ANSWER;
        loop {
            match ask() {
                Err(SourceError::Unreachable { .. }) if Instant::now() + PAUSE < until => {
                    self.waker.wait(Instant::now() + PAUSE);
                }
                answer => return answer,
            }
        }
    }

    fn unreachable(&self, about: &str, trouble: &Trouble) -> SourceError {
        // librdkafka's own words for "no broker" say less than what it met on the way.
        let met = self.client.take_notices().into_iter().find_map(|notice| match notice {
            Notice::Error(met) if met.code != Code::AllBrokersDown => Some(met.text),
            _ => None,
        });
        SourceError::Unreachable {
            brokers: self.brokers.clone(),
            about: about.into(),
            reason: met.unwrap_or_else(|| trouble.text.clone()),
        }
    }

    /// The group whose commits count.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The configured topics.
    #[must_use]
    pub fn topics(&self) -> Vec<&str> {
        self.topics.iter().map(String::as_str).collect()
    }
}

/// Why nothing more comes for the span.
#[derive(Clone, Debug)]
enum Halt {
    OutOfRange,
    Trouble(Trouble),
}

/// Takes the records of the span, up to its end or to an error.
fn take(messages: &Messages, span: &mut Span) -> (Option<Arena>, Option<Halt>) {
    let mut wanted = Vec::new();
    let mut bytes = 0;
    let mut halt = None;
    for message in messages.iter() {
        // What was queued for another span, or concerns the client as a whole and mends itself.
        if message.topic() != span.topic || message.partition() != span.partition {
            continue;
        }
        if let Some(trouble) = message.error() {
            match trouble.code {
                Code::PartitionEOF => span.offsets.start = span.offsets.end,
                Code::OffsetOutOfRange | Code::AutoOffsetReset => halt = Some(Halt::OutOfRange),
                _ => halt = Some(Halt::Trouble(trouble)),
            }
            break;
        }
        let offset = message.offset().cast_unsigned();
        if offset >= span.offsets.end {
            span.offsets.start = span.offsets.end;
            break;
        }
        if offset >= span.offsets.start {
            span.offsets.start = offset + 1;
            bytes += message.size() + PADDING;
            wanted.push(message);
        }
    }
    ((!wanted.is_empty()).then(|| arena(&wanted, bytes)), halt)
}

fn arena(messages: &[&Message], bytes: usize) -> Arena {
    let mut arena = Arena::with_capacity(messages.len(), bytes);
    for message in messages {
        let position = Position(message.offset().cast_unsigned());
        let (key, payload) = (message.key(), message.payload());
        arena.push(position, message.time_ms(), key, payload, None, message.headers());
    }
    arena
}

fn commit(offset: i64, metadata: &[u8]) -> Option<Commit> {
    let offset = u64::try_from(offset).ok()?;
    let mark = str::from_utf8(metadata).ok().and_then(|text| text.parse::<mark::Mark>().ok());
    Some(Commit { offset, mark })
}

/// What a commit says about the topic with this id. A commit without a mark was written by another
/// program: the bridge begins there.
fn of(commit: Commit, topic_id: Option<&str>) -> Option<Moved> {
    let Some(mark) = commit.mark else {
        return Some(Moved { offsets: commit.offset..commit.offset, lost: Vec::new() });
    };
    let foreign = topic_id.zip(mark.topic_id.as_deref()).is_some_and(|(now, then)| now != then);
    (!foreign)
        .then(|| Moved { offsets: mark.began.min(commit.offset)..commit.offset, lost: mark.lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_tells_what_was_moved_and_what_was_lost() {
        let commit = |metadata: &str| commit(900, metadata.as_bytes()).expect("an offset");
        let moved = of(commit("b1;now;6;100;300-400"), Some("now")).expect("of this topic");
        assert_eq!((moved.offsets.start, moved.offsets.end), (100, 900));
        assert_eq!(moved.lost, [Range { start: 300, end: 400 }]);
        assert_eq!(of(commit("b1;then;6;100"), Some("now")), None, "another topic of that name");
        let unknown = of(commit("b1;-;6;100"), Some("now")).expect("nobody can tell");
        assert_eq!(unknown.offsets.start, 100);
        let foreign = of(commit("their words"), Some("now")).expect("it counts");
        assert!(foreign.offsets.is_empty(), "the bridge has moved nothing yet");
        assert_eq!(super::commit(-1001, b""), None);
    }
}
