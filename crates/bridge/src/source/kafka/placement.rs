//! Finds out where newly assigned partitions start, and commits it, before anything is read.
//!
//! That takes a handful of requests, so it runs on a thread of its own while the driver goes on
//! turning; the group waits meanwhile, at most [`PATIENCE`]. What could not be placed by then is
//! asked for again, apart from the group's own waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::super::Waker;
use super::client::{Client, Code, Offsets, OffsetsAt, Trouble};
use super::mark::Mark;
use super::partition::TopicPartition;
use super::sightings::Sightings;
use super::start::{Commit, Facts, Reason, Start, decide};
use crate::config::OffsetReset;

/// How long the group is kept waiting for starts.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers whether ClickHouse has rows of a Kafka topic; `None` when it cannot be asked. Called on
/// a thread of its own, while the group waits: an answer that takes long delays the assignment.
pub type HasRows = Arc<dyn Fn(&str) -> Option<bool> + Send + Sync>;

/// What placements need to know besides the cluster.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) reset: OffsetReset,
    pub(super) has_rows: HasRows,
    pub(super) sightings: Sightings,
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("reset", &self.reset).finish_non_exhaustive()
    }
}

/// A partition that needs a start.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) partition: TopicPartition,
    /// For a lane whose next offset does not exist: that offset. It stands for the commit, and the
    /// new start is not committed, since records before it are not all durable yet.
    pub(super) reading: Option<(u64, Mark)>,
}

/// A start that was found, and committed unless a lane reads there already.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) partition: TopicPartition,
    pub(super) start: Start,
    /// End of the partition.
    pub(super) end: u64,
}

/// What a placement has come to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) placed: Vec<Placed>,
    pub(super) left: Vec<Ask>,
    /// Why something is left.
    pub(super) trouble: Option<String>,
}

/// A placement under way.
#[derive(Debug)]
pub(super) struct Placement {
    asked: Vec<Ask>,
    outcome: Receiver<Outcome>,
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Placement {
    pub(super) fn begin(
        client: &Arc<Client>,
        terms: &Terms,
        asked: Vec<Ask>,
        waker: &Waker,
    ) -> Self {
        let (send, outcome) = mpsc::sync_channel(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut task = Task {
            client: Arc::clone(client),
            terms: terms.clone(),
            cancelled: Arc::clone(&cancelled),
            trouble: None,
        };
        let (left, waker) = (asked.clone(), waker.clone());
        let thread = thread::spawn(move || {
            let outcome = task.run(left);
            // The client goes before the answer: whoever has the answer may close it.
            drop(task);
            if send.send(outcome).is_ok() {
                waker.queued();
            }
        });
        Self { asked, outcome, cancelled, thread }
    }

    /// The outcome once it is there.
    pub(super) fn try_finish(&mut self) -> Option<Outcome> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Outcome {
                placed: Vec::new(),
                left: self.asked.clone(),
                trouble: Some("the placement ended without an answer".into()),
            }),
        }
    }

    /// Ends it at its next step; gives back what was asked for.
    pub(super) fn cancel(self) -> (Vec<Ask>, JoinHandle<()>) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        (self.asked, self.thread)
    }
}

#[derive(Debug)]
struct Task {
    client: Arc<Client>,
    terms: Terms,
    cancelled: Arc<AtomicBool>,
    trouble: Option<String>,
}

/// What is known of a topic's rows in ClickHouse: asked once, and only where it matters.
#[derive(Clone, Copy, Debug)]
enum Rows {
    NotAsked,
    Answered(Option<bool>),
}

/// What the group has committed for one topic, and what the cluster says about it.
#[derive(Debug)]
struct Topic {
    id: Option<String>,
    partitions: i32,
    commits: BTreeMap<i32, Commit>,
    has_rows: Rows,
}

impl Task {
    fn run(&mut self, asked: Vec<Ask>) -> Outcome {
        let until = Instant::now() + PATIENCE;
        let mut placed = Vec::new();
        let mut left = asked;
        while !left.is_empty() && !self.cancelled.load(Ordering::SeqCst) {
            self.trouble = None;
            left = self.attempt(left, &mut placed);
            if left.is_empty() || Instant::now() >= until {
                break;
            }
            thread::park_timeout(PAUSE);
        }
        Outcome { placed, left, trouble: self.trouble.take() }
    }

    /// Places what it can and gives back the rest.
    fn attempt(&mut self, asked: Vec<Ask>, placed: &mut Vec<Placed>) -> Vec<Ask> {
        let mut topics = match self.topics(&asked) {
            Ok(topics) => topics,
            Err(trouble) => {
                self.trouble = Some(trouble.text);
                return asked;
            }
        };
        let ends = match self.ends(&asked, &topics) {
            Ok(ends) => ends,
            Err(trouble) => {
                self.trouble = Some(trouble.text);
                return asked;
            }
        };
        let mut left = Vec::new();
        let mut found = Vec::new();
        for ask in asked {
            let topic = topics.get_mut(&ask.partition.topic);
            match (topic, ends.get(&ask.partition)) {
                (Some(topic), Some(&(low, high))) => {
                    let start = self.start(&ask, topic, low, high);
                    found.push((ask, start, high));
                }
                _ => left.push(ask),
            }
        }
        if let Err(trouble) = self.commit(&found) {
            self.trouble = Some(format!("the start cannot be committed: {trouble}"));
            found.retain(|(ask, start, _)| {
                let is_known = !must_commit(ask, start);
                if !is_known {
                    left.push(ask.clone());
                }
                is_known
            });
        }
        placed.extend(found.into_iter().map(|(ask, start, end)| {
            tell(&ask.partition, &start, end);
            Placed { partition: ask.partition, start, end }
        }));
        left
    }

    /// The topics that exist, each with all its commits.
    fn topics(&mut self, asked: &[Ask]) -> Result<BTreeMap<Arc<str>, Topic>, Trouble> {
        let names =
            asked.iter().map(|ask| Arc::clone(&ask.partition.topic)).collect::<BTreeSet<_>>();
        let list = names.iter().map(|name| &**name).collect::<Vec<_>>();
        let mut topics = BTreeMap::new();
        let mut all = Offsets::new();
        for facts in self.client.topics(&list, ANSWER)? {
            if let Some(trouble) = facts.error {
                if trouble.code == Code::UnknownTopicOrPartition {
                    self.terms.sightings.missing(&facts.name);
                }
                self.trouble = Some(format!("topic {}: {trouble}", facts.name));
                continue;
            }
            let sightings = &self.terms.sightings;
            sightings.present(&facts.name, facts.id.as_deref());
            for partition in 0..facts.partitions {
                all.add(&facts.name, partition, None, None);
            }
            let topic = Topic {
                id: facts.id,
                partitions: facts.partitions,
                commits: BTreeMap::new(),
                has_rows: Rows::NotAsked,
            };
            topics.insert(Arc::from(facts.name), topic);
        }
        if topics.is_empty() {
            return Ok(topics);
        }
        self.client.committed(&mut all, ANSWER)?;
        for entry in all.entries() {
            if let Some(trouble) = entry.error {
                return Err(trouble);
            }
            let Ok(offset) = u64::try_from(entry.offset) else {
                continue;
            };
            let mark = str::from_utf8(entry.metadata).ok();
            let mark = mark.and_then(|text| text.parse().ok());
            if let Some(topic) = topics.get_mut(entry.topic) {
                topic.commits.insert(entry.partition, Commit { offset, mark });
            }
        }
        Ok(topics)
    }

    /// First and end offset of each partition that is asked for and known.
    fn ends(
        &mut self,
        asked: &[Ask],
        topics: &BTreeMap<Arc<str>, Topic>,
    ) -> Result<BTreeMap<TopicPartition, (u64, u64)>, Trouble> {
        let known = asked.iter().map(|ask| &ask.partition).filter(|partition| {
            let topic = topics.get(&partition.topic);
            topic.is_some_and(|topic| partition.number < topic.partitions)
        });
        let list = Offsets::of(known);
        if list.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut starts = BTreeMap::new();
        for (topic, number, offset) in self.client.offsets_at(&list, OffsetsAt::Start, ANSWER)? {
            starts.insert((topic, number), offset);
        }
        let mut ends = BTreeMap::new();
        for (topic, number, end) in self.client.offsets_at(&list, OffsetsAt::End, ANSWER)? {
            let partition = TopicPartition { topic: topic.as_str().into(), number };
            match (starts.remove(&(topic, number)), end) {
                (Some(Ok(low)), Ok(high)) => {
                    let (low, high) = (low.max(0).cast_unsigned(), high.max(0).cast_unsigned());
                    ends.insert(partition, (low, high.max(low)));
                }
                (Some(Err(trouble)), _) | (_, Err(trouble)) => {
                    self.trouble = Some(format!("{partition}: {trouble}"));
                }
                (None, Ok(_)) => {}
            }
        }
        Ok(ends)
    }

    fn start(&self, ask: &Ask, topic: &mut Topic, low: u64, high: u64) -> Start {
        let reading = ask
            .reading
            .as_ref()
            .map(|(offset, mark)| Commit { offset: *offset, mark: Some(mark.clone()) });
        let commits = topic.commits.values().cloned().collect::<Vec<_>>();
        let facts = Facts {
            partition: ask.partition.number,
            topic_id: topic.id.as_deref(),
            partitions: topic.partitions,
            low,
            high,
            commit: reading.as_ref().or_else(|| topic.commits.get(&ask.partition.number)),
            commits: &commits,
            came_later: self.terms.sightings.came_later(&ask.partition.topic),
            reset: self.terms.reset,
        };
        let known = &mut topic.has_rows;
        decide(&facts, || match *known {
            Rows::Answered(answer) => answer,
            Rows::NotAsked => {
                let answer = (self.terms.has_rows)(&ask.partition.topic);
                if answer.is_none() {
                    tracing::warn!(topic = %ask.partition.topic,
                        "nobody can say whether ClickHouse has rows of this topic: taken as no");
                }
                *known = Rows::Answered(answer);
                answer
            }
        })
    }

    fn commit(&self, found: &[(Ask, Start, u64)]) -> Result<(), Trouble> {
        let mut list = Offsets::new();
        for (ask, start, _) in found {
            if must_commit(ask, start) {
                let offset = start.offset.cast_signed();
                let mark = start.mark.to_string();
                let TopicPartition { topic, number } = &ask.partition;
                list.add(topic, *number, Some(offset), Some(&mark));
            }
        }
        if list.is_empty() || self.cancelled.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.client.commit_now(&list, ANSWER)
    }
}

fn must_commit(ask: &Ask, start: &Start) -> bool {
    start.to_commit && ask.reading.is_none()
}

/// `end` is that of the partition: what lies before it is read from the start on.
fn tell(partition: &TopicPartition, start: &Start, end: u64) {
    let (offset, reason) = (start.offset, start.reason);
    match (&start.lost, reason) {
        (Some(lost), Reason::Truncated) => tracing::error!(%partition, end = lost.start,
            committed = lost.end, offset, %reason, "read again from the oldest record"),
        (Some(lost), _) => tracing::error!(%partition, lost_from = lost.start, lost_to = lost.end,
            offset, %reason, "records were deleted before they were read"),
        (None, Reason::MadeAnew | Reason::CameLater | Reason::AddedLater | Reason::CommitsGone) => {
            tracing::warn!(%partition, offset, end, %reason, "partition starts");
        }
        (None, Reason::Committed) => {
            tracing::debug!(%partition, offset, %reason, "partition starts");
        }
        (None, _) => tracing::info!(%partition, offset, %reason, "partition starts"),
    }
}
