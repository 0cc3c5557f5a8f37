//! Our part in the group: takes what it assigns, gives back what it revokes.
//!
//! librdkafka asks by its rebalance callback and then waits, with every partition of ours paused,
//! until it is answered by `assign` or `unassign`. The callback only records; the answer is given
//! between two batch calls: for an assignment once the starts are known and committed, for a
//! revocation once the driver has released the lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use data_bridge_core::units::{LaneId, Position};

use super::super::Waker;
use super::assignment::Assignment;
use super::client::{Change, Client, Offsets, Rebalance};
use super::event::{Event, LostRange};
use super::lane::{Lane, Lanes, State};
use super::partition::TopicPartition;
use super::placement::{Ask, Outcome, Placed, Placement, Terms};
use super::standstill::{Reading, Standstill};
use super::start::Reason;
use crate::config::GroupProtocol;

/// Pause before what could not be placed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Membership {
    terms: Terms,
    waker: Waker,
    assignment: Assignment,
    placement: Option<(Placement, Purpose)>,
    revocation: Option<Revocation>,
    /// Assigned by the group and without a start yet.
    unplaced: Vec<Ask>,
    retry_at: Option<Instant>,
    /// Partitions that librdkafka keeps paused, even when they are assigned anew.
    paused: BTreeSet<TopicPartition>,
    pub(super) standstill: Standstill,
    pub(super) trouble: Option<String>,
    pub(super) rebalances: u64,
    pub(super) lost_ranges: Vec<LostRange>,
    pub(super) made_anew: u64,
    pub(super) added: u64,
}

/// Whether the group waits for a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It is the answer to an assignment.
    Answer,
    /// The group was answered; this mends what was left.
    Mend,
}

/// Lanes that the driver has not released yet, and what is given back once it has.
#[derive(Debug)]
struct Revocation {
    waiting: BTreeSet<LaneId>,
    partitions: Vec<TopicPartition>,
}

impl Membership {
    pub(super) fn new(terms: Terms, protocol: GroupProtocol, waker: Waker) -> Self {
        Self {
            terms,
            waker,
            assignment: Assignment::default(),
            placement: None,
            revocation: None,
            unplaced: Vec::new(),
            retry_at: None,
            paused: BTreeSet::new(),
            standstill: Standstill::new(protocol),
            trouble: None,
            rebalances: 0,
            lost_ranges: Vec::new(),
            made_anew: 0,
            added: 0,
        }
    }

    /// Whether the group waits for us, or we for what it assigns.
    pub(super) fn is_rebalancing(&self) -> bool {
        self.standstill.is_on() || !self.unplaced.is_empty()
    }

    pub(super) fn rebalance(
        &mut self,
        client: &Arc<Client>,
        lanes: &mut Lanes,
        rebalance: Rebalance,
        events: &mut Vec<Event>,
    ) {
        let Rebalance { change, partitions } = rebalance;
        tracing::info!(?change, partitions = partitions.len(), "the group rebalances");
        self.standstill.asked();
        if let Some((placement, _)) = self.placement.take() {
            let (asked, _) = placement.cancel();
            // Lanes that read already are asked for again by their state.
            self.unplaced.extend(asked.into_iter().filter(|ask| ask.reading.is_none()));
        }
        match change {
            Change::Assign => self.assign(client, lanes, partitions, events),
            Change::Revoke => self.revoke(client, lanes, partitions, events),
            Change::Lost => self.lose(client, lanes, &partitions, events),
        }
    }

    fn assign(
        &mut self,
        client: &Arc<Client>,
        lanes: &mut Lanes,
        partitions: Vec<TopicPartition>,
        events: &mut Vec<Event>,
    ) {
        self.rebalances += 1;
        // What is assigned has no lane yet, and under an eager protocol there is none at all:
        // anything else was taken from us without a word.
        if client.is_cooperative() {
            end_of(&partitions, lanes, events);
        } else {
            self.unplaced.clear();
            end_all(lanes, events);
        }
        if partitions.is_empty() {
            let answer = self.assignment.place(client, &[], lanes);
            self.answered(Reading::Goes, answer.err().map(|trouble| trouble.text));
            return;
        }
        let asked = partitions.into_iter().map(|partition| Ask { partition, reading: None });
        let placement = Placement::begin(client, &self.terms, asked.collect(), &self.waker);
        self.placement = Some((placement, Purpose::Answer));
    }

    fn revoke(
        &mut self,
        client: &Client,
        lanes: &mut Lanes,
        partitions: Vec<TopicPartition>,
        events: &mut Vec<Event>,
    ) {
        self.unplaced.retain(|ask| !partitions.contains(&ask.partition));
        let mut waiting = BTreeSet::new();
        let mut told = Vec::new();
        for partition in &partitions {
            let Some(lane) = lanes.find_mut(&partition.topic, partition.number) else {
                continue;
            };
            waiting.insert(lane.id);
            if mem::replace(&mut lane.state, State::Ending) != State::Ending {
                told.push(lane.id);
            }
        }
        if !told.is_empty() {
            events.push(Event::Revoked { lanes: told });
        }
        self.revocation = Some(Revocation { waiting, partitions });
        self.give_back_if_released(client);
    }

    fn lose(
        &mut self,
        client: &Client,
        lanes: &mut Lanes,
        partitions: &[TopicPartition],
        events: &mut Vec<Event>,
    ) {
        self.unplaced.retain(|ask| !partitions.contains(&ask.partition));
        self.revocation = None;
        tracing::warn!(partitions = partitions.len(), "the group gave partitions to others");
        end_of(partitions, lanes, events);
        let answer = self.assignment.give_back(client, partitions);
        self.answered(Reading::Stands, answer.err().map(|trouble| trouble.text));
    }

    /// The driver is done with lanes that were revoked.
    pub(super) fn release(&mut self, client: &Client, lanes: &mut Lanes, released: &[LaneId]) {
        for id in released {
            if lanes.get(*id).is_none_or(|lane| lane.state != State::Ending) {
                continue;
            }
            let Some(lane) = lanes.close(*id) else {
                continue;
            };
            let revocation = self.revocation.as_mut();
            if !revocation.is_some_and(|revocation| revocation.waiting.remove(id)) {
                // It ended because its topic is another one: the partition is still ours.
                self.unplaced.push(Ask { partition: lane.partition, reading: None });
            }
        }
        self.give_back_if_released(client);
    }

    fn give_back_if_released(&mut self, client: &Client) {
        let done = |revocation: &mut Revocation| revocation.waiting.is_empty();
        if let Some(revocation) = self.revocation.take_if(done) {
            let answer = self.assignment.give_back(client, &revocation.partitions);
            // An eager member gives back all it has, and gets all anew.
            let reading = if client.is_cooperative() { Reading::Goes } else { Reading::Stands };
            self.answered(reading, answer.err().map(|trouble| trouble.text));
        }
    }

    /// Takes the result of a placement, and begins the next one where something is to be mended.
    pub(super) fn turn(
        &mut self,
        client: &Arc<Client>,
        lanes: &mut Lanes,
        events: &mut Vec<Event>,
        now: Instant,
    ) {
        self.standstill.look(client, now);
        if let Some((placement, purpose)) = &mut self.placement {
            let Some(outcome) = placement.try_finish() else {
                return;
            };
            let purpose = *purpose;
            self.placement = None;
            self.take(client, lanes, outcome, purpose, events, now);
        }
        if self.revocation.is_some() || self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        self.retry_at = None;
        self.read_again(client, lanes, now);
        let mut asked = mem::take(&mut self.unplaced);
        asked.extend(lanes.iter().filter_map(|lane| match lane.state {
            State::OutOfRange { .. } => Some(Ask {
                partition: lane.partition.clone(),
                reading: Some((lane.next, lane.mark.clone())),
            }),
            State::Open | State::Stuck { .. } | State::Ending => None,
        }));
        if !asked.is_empty() {
            let placement = Placement::begin(client, &self.terms, asked, &self.waker);
            self.placement = Some((placement, Purpose::Mend));
        }
    }

    /// Reads again where something could not be read. By an assignment: behind what it cannot read,
    /// librdkafka may go on at an offset that does not exist, leaves the partition for that, and
    /// then passes over a seek without a word.
    fn read_again(&mut self, client: &Client, lanes: &mut Lanes, now: Instant) {
        let is_due = |lane: &Lane| matches!(lane.state, State::Stuck { until, .. } if until <= now);
        let due = lanes.iter().filter(|lane| is_due(lane));
        let starts = due.map(|lane| (lane.partition.clone(), lane.next)).collect::<Vec<_>>();
        if starts.is_empty() {
            return;
        }
        if let Err(trouble) = self.assignment.place(client, &starts, lanes) {
            tracing::error!(error = %trouble, "partitions cannot be read again");
            self.retry_at = Some(now + AGAIN);
            return;
        }
        for lane in lanes.iter_mut().filter(|lane| is_due(lane)) {
            lane.state = State::Open;
        }
    }

    fn take(
        &mut self,
        client: &Arc<Client>,
        lanes: &mut Lanes,
        outcome: Outcome,
        purpose: Purpose,
        events: &mut Vec<Event>,
        now: Instant,
    ) {
        let mut starts = Vec::new();
        let mut fresh = Vec::new();
        for placed in outcome.placed {
            self.count(&placed);
            let TopicPartition { topic, number } = &placed.partition;
            match lanes.find_mut(topic, *number) {
                None => {
                    starts.push((placed.partition.clone(), placed.start.offset));
                    fresh.push(placed);
                }
                Some(lane)
                    if matches!(placed.start.reason, Reason::MadeAnew | Reason::Truncated) =>
                {
                    // Positions go back: another lane begins once this one is released.
                    lane.state = State::Ending;
                    events.push(Event::Revoked { lanes: vec![lane.id] });
                }
                Some(lane) => {
                    lane.next = placed.start.offset;
                    // It names what was lost; the next commit carries it.
                    lane.mark = placed.start.mark;
                    lane.state = State::Open;
                    starts.push((placed.partition, placed.start.offset));
                }
            }
        }
        if purpose == Purpose::Answer || !starts.is_empty() {
            self.unpause(client, &fresh);
            let placed = self.assignment.place(client, &starts, lanes);
            if let Err(trouble) = placed {
                tracing::error!(error = %trouble, "partitions cannot be assigned");
                self.trouble = Some(trouble.text);
                self.leave_over(
                    fresh
                        .into_iter()
                        .map(|placed| Ask { partition: placed.partition, reading: None }),
                );
                self.retry_at = Some(now + AGAIN);
                return;
            }
        }
        for placed in fresh {
            let (topic, partition) = (placed.partition.topic.to_string(), placed.partition.number);
            let start = placed.start;
            let lane = lanes.open(placed.partition, start.offset, placed.end, start.mark);
            events.push(Event::Assigned { lane, topic, partition, start: Position(start.offset) });
        }
        // Nothing was read from the new lanes yet, so their positions are still none.
        lanes.positions(client);
        if !outcome.left.is_empty() {
            tracing::warn!(
                partitions = outcome.left.len(),
                error = outcome.trouble,
                "partitions have no start yet"
            );
            self.retry_at = Some(now + AGAIN);
        }
        self.leave_over(outcome.left);
        if purpose == Purpose::Answer {
            self.answered(Reading::Goes, outcome.trouble);
        } else {
            self.trouble = outcome.trouble;
        }
    }

    fn leave_over(&mut self, left: impl IntoIterator<Item = Ask>) {
        let left = left.into_iter().filter(|ask| ask.reading.is_none());
        self.unplaced.extend(left);
    }

    fn count(&mut self, placed: &Placed) {
        if let Some(lost) = &placed.start.lost {
            self.lost_ranges.push(LostRange {
                topic: placed.partition.topic.to_string(),
                partition: placed.partition.number,
                offsets: lost.clone(),
            });
        }
        self.made_anew += u64::from(placed.start.reason == Reason::MadeAnew);
        self.added += u64::from(placed.start.reason == Reason::AddedLater);
    }

    /// A pause outlives the assignment it was made for.
    fn unpause(&mut self, client: &Client, fresh: &[Placed]) {
        let paused = fresh.iter().map(|placed| &placed.partition);
        let paused = paused.filter(|one| self.paused.contains(*one));
        let mut list = Offsets::of(paused);
        if !list.is_empty() {
            client.resume(&mut list);
            for placed in fresh {
                self.paused.remove(&placed.partition);
            }
        }
    }

    pub(super) fn pause(&mut self, client: &Client, lanes: &mut Lanes, pause: &[LaneId]) {
        let mut list = Offsets::new();
        for id in pause {
            if let Some(lane) = lanes.get_mut(*id).filter(|lane| !lane.paused) {
                lane.paused = true;
                self.paused.insert(lane.partition.clone());
                list.add(&lane.partition.topic, lane.partition.number, None, None);
            }
        }
        if !list.is_empty() {
            client.pause(&mut list);
        }
    }

    pub(super) fn resume(&mut self, client: &Client, lanes: &mut Lanes, resume: &[LaneId]) {
        let mut list = Offsets::new();
        for id in resume {
            if let Some(lane) = lanes.get_mut(*id).filter(|lane| lane.paused) {
                lane.paused = false;
                self.paused.remove(&lane.partition);
                list.add(&lane.partition.topic, lane.partition.number, None, None);
            }
        }
        if !list.is_empty() {
            client.resume(&mut list);
        }
    }

    /// Nothing more is asked or answered: whether the group waits for an answer, and the thread
    /// that still asks, if any.
    pub(super) fn end(&mut self) -> (bool, Option<JoinHandle<()>>) {
        self.unplaced.clear();
        self.revocation = None;
        let placing = self.placement.take();
        let thread = placing.map(|(placement, _)| placement.cancel().1);
        (self.standstill.end(), thread)
    }

    /// Forgets the group: a new client joins it. The thread that still asks, if any.
    pub(super) fn begin_anew(&mut self) -> Option<JoinHandle<()>> {
        let (_, thread) = self.end();
        self.assignment = Assignment::default();
        self.paused.clear();
        self.retry_at = None;
        self.trouble = None;
        self.standstill.begin_anew();
        thread
    }

    fn answered(&mut self, reading: Reading, trouble: Option<String>) {
        if let Some(trouble) = &trouble {
            tracing::warn!(error = trouble, "the answer to the group");
        }
        self.trouble = trouble;
        self.standstill.answered(reading);
    }
}

/// Ends lanes whose topic was deleted and made anew: librdkafka reads on in the new topic, at the
/// old topic's offset. They begin anew once the driver has released them.
pub(super) fn end_of_old_topics(
    lanes: &mut Lanes,
    ids: &BTreeMap<String, String>,
    events: &mut Vec<Event>,
) {
    let mut ended = Vec::new();
    for lane in lanes.iter_mut().filter(|lane| lane.state != State::Ending) {
        let then = lane.mark.topic_id.as_ref();
        let now = ids.get(&*lane.partition.topic);
        if then.is_some() && now.is_some() && then != now {
            tracing::warn!(lane = %lane.id, partition = %lane.partition, "the topic was made anew");
            lane.state = State::Ending;
            ended.push(lane.id);
        }
    }
    if !ended.is_empty() {
        events.push(Event::Revoked { lanes: ended });
    }
}

/// Ends the lanes of these partitions at once; the driver is told.
fn end_of(partitions: &[TopicPartition], lanes: &mut Lanes, events: &mut Vec<Event>) {
    let found = partitions
        .iter()
        .filter_map(|partition| lanes.find(&partition.topic, partition.number))
        .collect::<Vec<_>>();
    end(found, lanes, events);
}

/// Ends every lane at once; the driver is told.
pub(super) fn end_all(lanes: &mut Lanes, events: &mut Vec<Event>) {
    end(lanes.ids(), lanes, events);
}

fn end(ids: Vec<LaneId>, lanes: &mut Lanes, events: &mut Vec<Event>) {
    for id in &ids {
        lanes.close(*id);
    }
    if !ids.is_empty() {
        events.push(Event::Lost { lanes: ids });
    }
}
