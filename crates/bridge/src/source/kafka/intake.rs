//! From one batch of the client to one arena per lane.

use std::time::{Duration, Instant};

use data_bridge_core::arena::{Arena, PADDING};
use data_bridge_core::units::{LaneId, Position};

use super::client::{Code, Messages, Trouble};
use super::event::Event;
use super::lane::{Lanes, State};
use super::partition::TopicPartition;

/// How long a lane rests before it tries again what could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Reused between batches.
#[derive(Debug, Default)]
pub(super) struct Intake {
    shares: Vec<Share>,
    /// Per message, the share that takes it.
    takers: Vec<Option<u32>>,
}

/// What one lane takes of a batch.
#[derive(Debug)]
struct Share {
    lane: LaneId,
    /// The lane's next offset once this is taken.
    next: u64,
    records: usize,
    bytes: usize,
    arena: Arena,
}

impl Share {
    /// Counts a record in unless it was handed out before.
    fn accept(&mut self, offset: u64, size: usize) -> bool {
        if offset < self.next {
            return false;
        }
        self.next = offset + 1;
        self.records += 1;
        self.bytes += size;
        true
    }
}

/// An error that came in the place of a record and concerns no lane's position.
pub(super) type Report = (Option<TopicPartition>, Trouble);

impl Intake {
    /// Hands out what open lanes take, and answers with errors that concern the source as a whole.
    ///
    /// A lane takes nothing below its next offset: librdkafka rewinds to an older position when it
    /// pauses during a rebalance. It takes nothing behind an error either, so that nothing that
    /// cannot be read now is skipped.
    pub(super) fn take(
        &mut self,
        messages: &Messages,
        lanes: &mut Lanes,
        events: &mut Vec<Event>,
    ) -> Vec<Report> {
        let reports = self.weigh(messages, lanes);
        for share in &mut self.shares {
            if share.records > 0 {
                let bytes = share.bytes + share.records * PADDING;
                share.arena = Arena::with_capacity(share.records, bytes);
            }
        }
        for (message, taker) in messages.iter().zip(&self.takers) {
            let Some(taker) = taker else { continue };
            let position = Position(message.offset().cast_unsigned());
            self.shares[*taker as usize].arena.push(
                position,
                message.time_ms(),
                message.key(),
                message.payload(),
                None,
                message.headers(),
            );
        }
        self.takers.clear();
        for share in self.shares.drain(..) {
            if share.records == 0 {
                continue;
            }
            if let Some(lane) = lanes.get_mut(share.lane) {
                lane.next = share.next;
                // An error behind these records has moved the position on.
                lane.is_position_ours = lane.is_open();
            }
            events.push(Event::Fetched {
                lane: share.lane,
                arena: share.arena,
                next: Position(share.next),
            });
        }
        reports
    }

    /// Decides which lane takes each message, and how much room that needs.
    fn weigh(&mut self, messages: &Messages, lanes: &mut Lanes) -> Vec<Report> {
        let mut reports = Vec::new();
        // Records come in runs of one partition.
        let mut run: Option<((usize, i32), Option<u32>)> = None;
        for message in messages.iter() {
            if !message.is_record() {
                if let Some(trouble) = message.error() {
                    let topic = message.topic();
                    reports.extend(stop(
                        lanes,
                        topic,
                        message.partition(),
                        message.offset(),
                        trouble,
                    ));
                }
                run = None;
                self.takers.push(None);
                continue;
            }
            let partition = (message.topic_handle(), message.partition());
            let taker = match run {
                Some((of, taker)) if of == partition => taker,
                _ => {
                    let taker = self.share(lanes, message.topic(), message.partition());
                    run = Some((partition, taker));
                    taker
                }
            };
            let offset = message.offset().cast_unsigned();
            let taker =
                taker.filter(|taker| self.shares[*taker as usize].accept(offset, message.size()));
            self.takers.push(taker);
        }
        reports
    }

    fn share(&mut self, lanes: &Lanes, topic: &str, partition: i32) -> Option<u32> {
        let lane = lanes.get(lanes.find(topic, partition)?)?;
        if !lane.is_open() {
            return None;
        }
        let known = self.shares.iter().position(|share| share.lane == lane.id);
        let index = known.unwrap_or_else(|| {
            self.shares.push(Share {
                lane: lane.id,
                next: lane.next,
                records: 0,
                bytes: 0,
                arena: Arena::new(),
            });
            self.shares.len() - 1
        });
        u32::try_from(index).ok()
    }
}

/// Takes an error that came in the place of a record to its lane; what is not a lane's, or does
/// not touch its position, is handed back.
fn stop(
    lanes: &mut Lanes,
    topic: &str,
    partition: i32,
    offset: i64,
    trouble: Trouble,
) -> Option<Report> {
    let of = (!topic.is_empty()).then(|| TopicPartition { topic: topic.into(), number: partition });
    let lane = lanes.find_mut(topic, partition).filter(|lane| lane.is_open());
    match (trouble.code, lane) {
        (Code::PartitionEOF, _) => None,
        (Code::AutoOffsetReset | Code::OffsetOutOfRange, Some(lane)) => {
            tracing::warn!(lane = %lane.id, partition = %lane.partition, next = lane.next,
                error = %trouble, "the next offset does not exist");
            lane.is_position_ours = false;
            lane.state = State::OutOfRange { reason: trouble.text };
            None
        }
        // An error that names an offset stands in the place of records.
        (_, Some(lane)) if offset >= 0 => {
            tracing::warn!(lane = %lane.id, partition = %lane.partition, next = lane.next,
                error = %trouble, "records cannot be read, trying again");
            lane.is_position_ours = false;
            lane.state = State::Stuck { until: Instant::now() + RETRY_AFTER, reason: trouble.text };
            None
        }
        _ => Some((of, trouble)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// librdkafka rewinds when it pauses for a rebalance between a batch and the note of its end.
    #[test]
    fn a_record_is_handed_out_once_and_holes_are_passed() {
        let mut share =
            Share { lane: LaneId(1), next: 10, records: 0, bytes: 0, arena: Arena::new() };
        let offsets = [8, 9, 10, 11, 10, 11, 12, 40, 12];
        let taken = offsets.map(|offset| share.accept(offset, 5));
        let once = [false, false, true, true, false, false, true, true, false];
        assert_eq!(taken, once);
        assert_eq!((share.next, share.records, share.bytes), (41, 4, 20));
    }
}
