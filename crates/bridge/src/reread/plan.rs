//! From a window to what is read: offsets partition by partition, and sequences of the stream.

use std::ops::Range;

use super::{Bound, Part};
use crate::source::kafka::window::{Span, Standing, WindowReader};
use crate::source::kafka::{LostRange, SourceError};
use crate::source::nats::LostSequences;
use crate::source::nats::window::{self, StreamError, StreamReader};

/// What is to be read again. Without any part: everything that is retained since the bridge began,
/// up to what the group has committed.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Only this topic.
    pub topic: Option<String>,
    /// Only this partition of it.
    pub partition: Option<i32>,
    /// From here on.
    pub from: Option<Bound>,
    /// Up to here, not included.
    pub to: Option<Bound>,
}

/// How far a window may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Over what the bridge has moved: before it there need be no rows, behind it not yet.
    Moved,
    /// Over all that is retained.
    Retained,
}

/// What a window comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What can be read of topics; none is empty.
    pub spans: Vec<Span>,
    /// What can be read of the stream.
    pub sequences: Range<u64>,
    /// What was deleted before the bridge read it.
    pub lost: Vec<LostRange>,
    /// The same of the stream.
    pub lost_sequences: Vec<LostSequences>,
    /// What the window names and retention has deleted, lost ranges included: nobody can read it.
    pub expired: Vec<LostRange>,
    /// The same of the stream.
    pub expired_sequences: u64,
    /// Partitions of which the group has moved nothing.
    pub untouched: usize,
    /// Topics that do not exist.
    pub missing: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// The window names what is not there.
    #[error("{what}")]
    Unknown {
        /// What is wrong.
        what: String,
        /// What would be right.
        hint: String,
    },
    /// There is nothing that could be read, which is no good news.
    #[error("{what}")]
    Nothing {
        /// Why.
        what: String,
        /// What would help.
        hint: String,
    },
    /// Kafka cannot be asked.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The stream cannot be asked.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Finds out what a window comes to, of topics.
///
/// # Errors
/// When it names a topic or partition that is not there, or Kafka cannot be asked.
pub(super) fn of_topics(
    reader: &WindowReader,
    window: &Window,
    reach: Reach,
) -> Result<Plan, WindowError> {
    let topics = reader.topics();
    let wanted = match &window.topic {
        None => topics.clone(),
        Some(topic) if topics.contains(&topic.as_str()) => vec![topic.as_str()],
        Some(topic) => {
            return Err(WindowError::Unknown {
                what: format!("topic {topic} is not among kafka.topics"),
                hint: format!("these are: {}", topics.join(", ")),
            });
        }
    };
    let mut standings = reader.standings(&wanted)?;
    if let (Some(topic), true) = (&window.topic, standings.is_empty()) {
        let what = format!("topic {topic} does not exist");
        return Err(WindowError::Unknown { what, hint: "`data-bridge init` creates it".into() });
    }
    if let Some(partition) = window.partition {
        let count = standings.len();
        standings.retain(|standing| standing.partition == partition);
        if standings.is_empty() {
            let what = format!("topic {} has no partition {partition}", wanted.join(", "));
            let hint = format!("it has {count} partitions, counted from 0");
            return Err(WindowError::Unknown { what, hint });
        }
    }
    let nothing = standings.iter().all(|standing| standing.moved.is_none());
    if reach == Reach::Moved && nothing {
        return Err(nothing_moved(reader, &standings, wanted.len()));
    }
    let from = offsets(reader, &standings, window.from)?;
    let to = offsets(reader, &standings, window.to)?;
    let mut plan = Plan { missing: missing(&wanted, &standings), ..Plan::default() };
    for ((standing, from), to) in standings.iter().zip(from).zip(to) {
        // A time before everything that is left reaches back over what is gone.
        let is_time = matches!(window.from, Some(Bound::Time(_)));
        let from = from.filter(|from| !is_time || *from > standing.retained.start);
        plan.add(standing, from, to, reach);
    }
    Ok(plan)
}

/// Another cluster or another group than meant must not look like good news.
fn nothing_moved(reader: &WindowReader, standings: &[Standing], topics: usize) -> WindowError {
    let group = reader.group();
    let what = if standings.is_empty() {
        format!("none of the {topics} topics exists")
    } else {
        format!("the group {group} has committed nothing of {} partitions", standings.len())
    };
    let hint = "kafka.brokers and kafka.group_id must be those of the instances".into();
    WindowError::Nothing { what, hint }
}

fn missing(wanted: &[&str], standings: &[Standing]) -> Vec<String> {
    let is_missing = |topic: &&&str| !standings.iter().any(|standing| standing.topic == **topic);
    wanted.iter().filter(is_missing).map(|topic| (*topic).to_owned()).collect()
}

fn offsets(
    reader: &WindowReader,
    standings: &[Standing],
    bound: Option<Bound>,
) -> Result<Vec<Option<u64>>, SourceError> {
    match bound {
        None => Ok(vec![None; standings.len()]),
        Some(Bound::Offset(offset) | Bound::Sequence(offset)) => {
            Ok(vec![Some(offset); standings.len()])
        }
        Some(Bound::Time(time)) => {
            let offsets = reader.offsets_from(standings, time)?;
            Ok(offsets.into_iter().map(Some).collect())
        }
    }
}

/// Finds out what a window comes to, of the stream.
///
/// # Errors
/// When stream or consumer are not there, or NATS cannot be asked.
pub(super) fn of_stream(
    reader: &StreamReader,
    window: &Window,
    reach: Reach,
    plan: &mut Plan,
) -> Result<(), WindowError> {
    let standing = reader.standing()?;
    if reach == Reach::Moved && standing.moved.end <= 1 && !standing.retained.is_empty() {
        let messages = standing.retained.end - standing.retained.start;
        let stream = &standing.stream;
        let what = format!("the consumer has acked none of {messages} messages of stream {stream}");
        let hint = "nats.stream and nats.consumer must be those of the instances".into();
        return Err(WindowError::Nothing { what, hint });
    }
    let sequence = |bound: Option<Bound>| match bound {
        None => Ok(None),
        Some(Bound::Sequence(sequence) | Bound::Offset(sequence)) => Ok(Some(sequence)),
        Some(Bound::Time(time)) => reader.sequence_from(time).map(Some),
    };
    let is_time = matches!(window.from, Some(Bound::Time(_)));
    // A time before everything that is left reaches back over what is gone.
    let from = sequence(window.from)?.filter(|from| !is_time || *from > standing.retained.start);
    plan.add_stream(&standing, from, sequence(window.to)?, reach);
    Ok(())
}

impl Plan {
    /// What can be read, one part after the other.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<_> = self.spans.iter().cloned().map(Part::Partition).collect();
        if !self.sequences.is_empty() {
            parts.push(Part::Stream(self.sequences.clone()));
        }
        parts
    }

    /// Offsets and sequences to be read.
    #[must_use]
    pub fn length(&self) -> u64 {
        let spans = self.spans.iter().map(|span| span.offsets.end - span.offsets.start);
        spans.sum::<u64>() + (self.sequences.end - self.sequences.start)
    }

    /// Offsets and sequences that retention has deleted.
    #[must_use]
    pub fn expired(&self) -> u64 {
        let ranges = self.expired.iter().map(|range| range.offsets.end - range.offsets.start);
        ranges.sum::<u64>() + self.expired_sequences
    }

    fn add_stream(
        &mut self,
        standing: &window::Standing,
        from: Option<u64>,
        to: Option<u64>,
        reach: Reach,
    ) {
        let window::Standing { retained, moved, lost, .. } = standing;
        let most = match reach {
            Reach::Moved => moved.clone(),
            Reach::Retained => 0..retained.end,
        };
        let named = from.unwrap_or(0)..to.unwrap_or(u64::MAX);
        let wanted = common(&(from.unwrap_or(moved.start)..to.unwrap_or(moved.end)), &most);
        self.lost_sequences.extend(lost.iter().filter_map(|lost| {
            let sequences = common(&lost.sequences, &named);
            let messages = lost.messages.min(sequences.end - sequences.start);
            (messages > 0).then_some(LostSequences { sequences, messages })
        }));
        let gone = wanted.start..wanted.end.min(retained.start);
        self.expired_sequences += gone.end.saturating_sub(gone.start);
        self.sequences = common(&wanted, retained);
    }

    fn add(&mut self, standing: &Standing, from: Option<u64>, to: Option<u64>, reach: Reach) {
        let Standing { topic, partition, retained, moved } = standing;
        let named = from.unwrap_or(0)..to.unwrap_or(u64::MAX);
        let range = |offsets| LostRange { topic: topic.clone(), partition: *partition, offsets };
        let (default, most) = match (moved, reach) {
            (None, Reach::Moved) => {
                self.untouched += 1;
                return;
            }
            (Some(moved), Reach::Moved) => (moved.offsets.clone(), moved.offsets.clone()),
            (Some(moved), Reach::Retained) => (moved.offsets.clone(), 0..retained.end),
            (None, Reach::Retained) => (retained.clone(), 0..retained.end),
        };
        let wanted = from.unwrap_or(default.start)..to.unwrap_or(default.end);
        let wanted = common(&wanted, &most);
        if let Some(moved) = moved {
            // Also what is gone already and will be missed by the next read.
            let next = moved.offsets.end..retained.start;
            let lost = moved.lost.iter().chain([&next]).map(|lost| common(lost, &named));
            self.lost.extend(lost.filter(|lost| !lost.is_empty()).map(range));
        }
        let expired = wanted.start..wanted.end.min(retained.start);
        if !expired.is_empty() {
            self.expired.push(range(expired));
        }
        let offsets = common(&wanted, retained);
        if !offsets.is_empty() {
            self.spans.push(Span { topic: topic.clone(), partition: *partition, offsets });
        }
    }
}

fn common(left: &Range<u64>, right: &Range<u64>) -> Range<u64> {
    let start = left.start.max(right.start);
    start..left.end.min(right.end).max(start)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::*;
    use crate::source::kafka::window::Moved;

    /// Retained 100..900; the bridge began at 200, has committed 800 and lost 300..320.
    fn standing() -> Standing {
        let moved = Moved { offsets: 200..800, lost: vec![300..320] };
        Standing { topic: "t".into(), partition: 3, retained: 100..900, moved: Some(moved) }
    }

    fn of(standing: &Standing, from: Option<u64>, to: Option<u64>, reach: Reach) -> Plan {
        let mut plan = Plan::default();
        plan.add(standing, from, to, reach);
        plan
    }

    fn spans(plan: &Plan) -> Vec<Range<u64>> {
        plan.spans.iter().map(|span| span.offsets.clone()).collect()
    }

    fn ranges(lost: &[LostRange]) -> Vec<Range<u64>> {
        lost.iter().map(|lost| lost.offsets.clone()).collect()
    }

    #[test]
    fn without_bounds_it_is_what_the_bridge_has_moved() {
        for reach in [Reach::Moved, Reach::Retained] {
            let plan = of(&standing(), None, None, reach);
            assert_eq!(spans(&plan), [200..800]);
            assert_eq!(plan.length(), 600);
            assert_eq!(ranges(&plan.lost), [300..320]);
            assert!(plan.expired.is_empty());
        }
    }

    #[test]
    fn the_first_offset_is_in_and_the_last_is_not() {
        let plan = of(&standing(), Some(250), Some(251), Reach::Moved);
        assert_eq!(spans(&plan), [250..251]);
        assert!(plan.lost.is_empty());
        assert!(spans(&of(&standing(), Some(250), Some(250), Reach::Moved)).is_empty());
        let edges = |from, to| ranges(&of(&standing(), Some(from), Some(to), Reach::Moved).lost);
        assert_eq!(edges(319, 400), [319..320]);
        assert!(edges(320, 400).is_empty());
        assert_eq!(edges(200, 301), [300..301]);
        assert!(edges(200, 300).is_empty());
    }

    #[test]
    fn an_audit_reaches_over_what_was_moved_and_a_replay_over_what_is_there() {
        let wide = |reach| spans(&of(&standing(), Some(0), Some(2_000), reach));
        assert_eq!(wide(Reach::Moved), [200..800]);
        assert_eq!(wide(Reach::Retained), [100..900]);
        let plan = of(&standing(), Some(0), Some(2_000), Reach::Retained);
        assert_eq!(ranges(&plan.expired), [0..100]);
    }

    #[test]
    fn what_retention_has_deleted_is_expired_and_what_it_will_cost_is_lost() {
        let mut standing = standing();
        standing.retained = 500..900;
        let plan = of(&standing, None, None, Reach::Moved);
        assert_eq!(spans(&plan), [500..800]);
        assert_eq!(ranges(&plan.expired), [200..500]);
        assert_eq!(ranges(&plan.lost), [300..320], "the rest was read in time");
        standing.retained = 850..900;
        let plan = of(&standing, None, None, Reach::Moved);
        assert!(spans(&plan).is_empty());
        assert_eq!(ranges(&plan.lost), [300..320, 800..850]);
    }

    #[test]
    fn without_a_commit_there_is_nothing_to_audit() {
        let standing = Standing { moved: None, ..standing() };
        let plan = of(&standing, None, None, Reach::Moved);
        assert_eq!((plan.spans.len(), plan.untouched), (0, 1));
        assert_eq!(spans(&of(&standing, None, None, Reach::Retained)), [100..900]);
    }

    #[test]
    fn a_window_of_the_stream_is_cut_as_one_of_a_partition() {
        let lost = LostSequences { sequences: 301..321, messages: 15 };
        // Retained 100..900; acked up to 800.
        let standing = window::Standing {
            stream: "MARKET".into(),
            retained: 100..900,
            moved: 1..800,
            lost: vec![lost.clone()],
        };
        let of = |from, to, reach| {
            let mut plan = Plan::default();
            plan.add_stream(&standing, from, to, reach);
            plan
        };
        let plan = of(None, None, Reach::Moved);
        assert_eq!((plan.sequences.clone(), plan.expired_sequences), (100..800, 99));
        assert_eq!((plan.lost_sequences.clone(), plan.length()), (vec![lost], 700));
        let plan = of(Some(310), Some(2_000), Reach::Moved);
        assert_eq!((plan.sequences.clone(), plan.expired_sequences), (310..800, 0));
        let cut = LostSequences { sequences: 310..321, messages: 11 };
        assert_eq!(plan.lost_sequences, [cut]);
        assert_eq!(of(Some(310), Some(2_000), Reach::Retained).sequences, 310..900);
        assert_eq!(of(Some(700), Some(701), Reach::Moved).length(), 1);
        assert_eq!(of(Some(700), Some(700), Reach::Moved).length(), 0);
        assert_eq!(of(Some(850), None, Reach::Moved).length(), 0);
    }
}
