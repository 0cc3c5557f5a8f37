//! Kafka, as a member of a consumer group: records in, commits out.
//!
//! Built on librdkafka's batch call. One thread owns a [`KafkaSource`] and calls
//! [`fetch`](KafkaSource::fetch) again and again: everything happens within, in an order that one
//! can follow, and comes out as [`Event`]s. Nothing is committed but by
//! [`commit`](KafkaSource::commit), except the start of a partition that the group does not know
//! yet: that is committed before its first record is handed out.

mod assignment;
#[expect(unsafe_code, reason = "librdkafka is a C library")]
mod client;
mod double;
mod event;
mod intake;
mod join;
mod lane;
mod leave;
mod mark;
mod membership;
mod partition;
mod placement;
mod properties;
mod sightings;
mod standstill;
mod start;
pub mod terms;
pub mod topics;
mod watch;
pub mod window;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_bridge_core::arena::Arena;
use data_bridge_core::units::{LaneId, Position};

pub use event::{Event, LaneInfo, LostRange, SourceError, SourceStatus};
pub use placement::HasRows;

use super::{Waker, Woken};
use crate::config;
use client::{Client, Code, Messages, Notice, Offsets, Trouble};
use double::{Doubt, OwnIds};
use intake::Intake;
use join::Join;
use lane::{Lane, Lanes, State};
use leave::{end_by, join_thread, leave};
use membership::Membership;
use partition::TopicPartition;
use placement::Terms;
use sightings::Sightings;
use standstill::Reading;
use watch::Watch;

/// Longest time between two looks at what only time brings: answers on other queues, retries.
const TURN: Duration = Duration::from_millis(100);
/// Longest wait for the answer to a commit. Above the 10 s after which librdkafka gives an
/// unanswered request up by itself, so that it is taken only for what librdkafka forgets.
const COMMIT_ANSWER: Duration = Duration::from_secs(15);
/// How often positions are compared, for control records that are never handed out.
const POSITIONS_EVERY: Duration = Duration::from_millis(250);

/// A commit that is not answered yet.
#[derive(Debug)]
struct Commit {
    positions: Vec<(LaneId, Position)>,
    until: Instant,
}

/// One member of the consumer group.
#[derive(Debug)]
pub struct KafkaSource {
    /// `None` once closed, and while there is a doubt.
    client: Option<Arc<Client>>,
    join: Join,
    /// After the broker has taken this member for one of two.
    doubt: Option<Doubt>,
    /// Since when the broker refuses this member's static id.
    refused_since: Option<Instant>,
    /// Ids under which the broker knew this process.
    own_ids: OwnIds,
    waker: Waker,
    topics: Vec<String>,
    lanes: Lanes,
    membership: Membership,
    watch: Watch,
    messages: Messages,
    intake: Intake,
    /// Answers that are known before librdkafka is asked.
    answers: Vec<Event>,
    commits: BTreeMap<usize, Commit>,
    next_ticket: usize,
    next_positions: Option<Instant>,
    is_dead: bool,
}

impl KafkaSource {
    /// Joins the group in the background: neither a broker nor the topics need be there.
    /// `queue_budget_bytes` is what fetched records may take inside the client, `has_rows` answers
    /// whether ClickHouse has rows of a topic.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn connect(
        config: &config::Kafka,
        instance: &config::Instance,
        queue_budget_bytes: u64,
        has_rows: HasRows,
    ) -> Result<Self, SourceError> {
        topics::check_names(config)?;
        let waker = Waker::default();
        let join = Join { config: config.clone(), instance: instance.clone(), queue_budget_bytes };
        let client = join.client(&waker)?;
        let topics = config.topics.keys().cloned().collect::<Vec<_>>();
        let sightings = Sightings::default();
        let terms =
            Terms { reset: config.auto_offset_reset, has_rows, sightings: sightings.clone() };
        let mut membership = Membership::new(terms, config.group_protocol, waker.clone());
        if topics.is_empty() {
            // Nothing will ever be assigned.
            membership.standstill.answered(Reading::Goes);
        }
        Ok(Self {
            client: Some(Arc::new(client)),
            join,
            doubt: None,
            refused_since: None,
            own_ids: OwnIds::default(),
            topics,
            lanes: Lanes::default(),
            membership,
            waker,
            watch: Watch::new(sightings),
            messages: Messages::default(),
            intake: Intake::default(),
            answers: Vec::new(),
            commits: BTreeMap::new(),
            next_ticket: 0,
            next_positions: None,
            is_dead: false,
        })
    }

    /// Appends what happened, with at most `batch` records; with 0 whatever lies behind records waits,
    /// a change of the assignment too. Returns as soon as there is something,
    /// somebody [wakes](Waker::wake) it, or `wait` is over. Must be called again within
    /// `kafka.max_poll_interval`, or the group takes the partitions away.
    pub fn fetch(&mut self, wait: Duration, batch: usize, events: &mut Vec<Event>) {
        let until = Instant::now() + wait;
        let before = events.len();
        loop {
            self.waker.looking();
            self.turn(batch, events);
            let now = Instant::now();
            if events.len() > before || now >= until {
                return;
            }
            match self.waker.wait(until.min(now + TURN)) {
                Woken::Asked => return,
                Woken::Queued | Woken::TimedOut => {}
            }
        }
    }

    /// Commits these positions, the next records to read. Answered by one [`Event::Committed`];
    /// lanes that have ended are left out.
    pub fn commit(&mut self, positions: &[(LaneId, Position)]) {
        let mut list = Offsets::new();
        let mut of_lanes = Vec::new();
        for (id, position) in positions {
            if let Some(lane) = self.lanes.get(*id) {
                let mark = lane.mark.to_string();
                let offset = position.0.cast_signed();
                let partition = &lane.partition;
                list.add(&partition.topic, partition.number, Some(offset), Some(&mark));
                of_lanes.push((*id, *position));
            }
        }
        let Some(client) = self.client.as_deref().filter(|_| !list.is_empty()) else {
            self.answers.push(Event::Committed {
                ok: of_lanes.is_empty(),
                error: (!of_lanes.is_empty()).then(|| "not in the group".into()),
            });
            return;
        };
        self.next_ticket += 1;
        match client.commit(&list, self.next_ticket) {
            Ok(()) => {
                let until = Instant::now() + COMMIT_ANSWER;
                self.commits.insert(self.next_ticket, Commit { positions: of_lanes, until });
            }
            Err(trouble) => {
                self.answers.push(Event::Committed { ok: false, error: Some(trouble.text) });
            }
        }
    }

    /// Brings nothing more of these lanes, nor of what is fetched already. The group is not
    /// concerned. A partition that is assigned anew is not paused.
    pub fn pause(&mut self, lanes: &[LaneId]) {
        if let Some(client) = self.client.as_deref() {
            self.membership.pause(client, &mut self.lanes, lanes);
        }
    }

    /// Goes on with these lanes, behind the last record they brought.
    pub fn resume(&mut self, lanes: &[LaneId]) {
        if let Some(client) = self.client.as_deref() {
            self.membership.resume(client, &mut self.lanes, lanes);
        }
    }

    /// The driver is done with revoked lanes; when it is with all of them, the group goes on.
    pub fn release(&mut self, lanes: &[LaneId]) {
        if let Some(client) = self.client.as_deref() {
            self.membership.release(client, &mut self.lanes, lanes);
        }
    }

    /// Leaves the group, so that others take over at once. What is to be committed must have been.
    /// Returns by `deadline`, then the group finds out by its session time-out.
    pub fn close(&mut self, deadline: Instant) {
        if let Some(doubt) = self.doubt.take() {
            end_by(deadline, move || join_thread(doubt.cancel(), "the look for a double"));
        }
        let Some(client) = self.client.take() else {
            return;
        };
        let (owes_answer, placing) = self.membership.end();
        self.messages.clear();
        for id in self.lanes.ids() {
            self.lanes.close(id);
        }
        end_by(deadline, move || {
            leave(&client, owes_answer, deadline);
            if let Some(placing) = placing {
                join_thread(placing, "the placement");
            }
        });
    }

    /// Makes a waiting fetch return early, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// One lane as it is now.
    #[must_use]
    pub fn lane(&self, lane: LaneId) -> Option<LaneInfo> {
        self.lanes.get(lane).map(|lane| self.info(lane))
    }

    /// Records behind those that were brought, as far as the last answers of the brokers say.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let Some(client) = self.client.as_deref() else {
            return 0;
        };
        let waits = |lane: &Lane| {
            let (_, high) = client.watermarks(&lane.c_topic, lane.partition.number)?;
            Some(high.cast_unsigned().saturating_sub(lane.next))
        };
        self.lanes.iter().filter(|lane| lane.is_open()).filter_map(waits).sum()
    }

    /// How many partitions this member reads, and how many its topics have; 0 when nobody knows.
    #[must_use]
    pub fn share(&self) -> (u32, u32) {
        let mine = u32::try_from(self.lanes.iter().count()).unwrap_or(u32::MAX);
        (mine, self.watch.partitions.values().sum())
    }

    /// The source as it is now; asks no broker.
    #[must_use]
    pub fn status(&self) -> SourceStatus {
        let mut lanes = self.lanes.iter().map(|lane| self.info(lane)).collect::<Vec<_>>();
        lanes.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let membership = &self.membership;
        SourceStatus {
            connected: self.watch.connected,
            error: membership.trouble.clone().or_else(|| self.watch.error.clone()),
            rebalancing: membership.is_rebalancing(),
            lanes,
            missing_topics: self.watch.missing.clone(),
            partitions: self.watch.partitions.clone(),
            rebalances: membership.rebalances,
            rebalancing_time: membership.standstill.total,
            lost_ranges: membership.lost_ranges.clone(),
            made_anew: membership.made_anew,
            added: membership.added,
        }
    }

    fn info(&self, lane: &Lane) -> LaneInfo {
        let partition = lane.partition.number;
        let client = self.client.as_deref();
        let fetched = client.and_then(|client| client.watermarks(&lane.c_topic, partition));
        let end = fetched.map_or(0, |(_, high)| high.cast_unsigned()).max(lane.end);
        LaneInfo {
            lane: lane.id,
            topic: lane.partition.topic.to_string(),
            partition,
            next: Position(lane.next),
            committed: Position(lane.committed),
            lag: end.saturating_sub(lane.committed),
            paused: lane.paused,
            error: match &lane.state {
                State::Stuck { reason, .. } | State::OutOfRange { reason } => Some(reason.clone()),
                State::Open | State::Ending => None,
            },
        }
    }

    /// One look at everything that may have happened; waits for nothing.
    fn turn(&mut self, batch: usize, events: &mut Vec<Event>) {
        events.append(&mut self.answers);
        self.clear_doubt(events);
        let Some(client) = self.client.clone().filter(|_| !self.is_dead) else {
            return;
        };
        if batch > 0 {
            client.consume(&mut self.messages, batch);
        }
        // Before the records: a lane that was revoked while they were collected takes none.
        for notice in client.take_notices() {
            if self.doubt.is_some() {
                break;
            }
            self.take_notice(&client, notice, events);
        }
        if !self.messages.is_empty() {
            let reports = self.intake.take(&self.messages, &mut self.lanes, events);
            self.messages.clear();
            for (of, trouble) in reports {
                self.report(&client, of.as_ref(), &trouble, events);
            }
        }
        if self.is_dead || self.doubt.is_some() {
            return;
        }
        let now = Instant::now();
        if self.refused_since.is_some() && client.is_in_group() {
            self.refused_since = None;
        }
        self.membership.turn(&client, &mut self.lanes, events, now);
        self.give_up_commits(now, events);
        if self.next_positions.is_none_or(|next| next <= now) {
            self.next_positions = Some(now + POSITIONS_EVERY);
            self.pass_control_records(&client, events);
        }
        let topics = self.topics.iter().map(String::as_str).collect::<Vec<_>>();
        let ids = self.watch.turn(&client, &topics, now);
        membership::end_of_old_topics(&mut self.lanes, &ids, events);
    }

    fn take_notice(&mut self, client: &Arc<Client>, notice: Notice, events: &mut Vec<Event>) {
        match notice {
            Notice::Rebalance(rebalance) => {
                self.watch.answered();
                if self.join.static_id().is_some() {
                    self.own_ids.add(client.member_id());
                }
                self.membership.rebalance(client, &mut self.lanes, rebalance, events);
            }
            Notice::Committed { ticket, result } => {
                let Some(commit) = self.commits.remove(&ticket) else {
                    tracing::debug!(ticket, "the answer to a commit that was given up");
                    return;
                };
                if result.is_ok() {
                    for (id, position) in commit.positions {
                        if let Some(lane) = self.lanes.get_mut(id) {
                            lane.committed = position.0;
                        }
                    }
                }
                events.push(Event::Committed {
                    ok: result.is_ok(),
                    error: result.err().map(|trouble| trouble.text),
                });
            }
            Notice::Error(trouble) => self.report(client, None, &trouble, events),
        }
    }

    /// An error that concerns no lane's position.
    fn report(
        &mut self,
        client: &Client,
        of: Option<&TopicPartition>,
        trouble: &Trouble,
        events: &mut Vec<Event>,
    ) {
        match trouble.code {
            Code::Fatal => {
                let cause = client.fatal_error().unwrap_or_else(|| trouble.clone());
                let twice =
                    matches!(cause.code, Code::FencedInstanceId | Code::UnreleasedInstanceId);
                match self.join.static_id().filter(|_| twice) {
                    Some(static_id) => self.doubt(client, static_id, &cause, events),
                    None => self.die(SourceError::Refused(cause.text), events),
                }
            }
            Code::PollExceeded => tracing::warn!(error = %trouble, "too long between two fetches"),
            // The watch asks for missing topics by itself.
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                let topic = of.map(|of| &*of.topic);
                tracing::debug!(topic, error = %trouble, "a topic is missing");
            }
            _ => self.watch.note(trouble),
        }
    }

    fn die(&mut self, cause: SourceError, events: &mut Vec<Event>) {
        if mem::replace(&mut self.is_dead, true) {
            return;
        }
        membership::end_all(&mut self.lanes, events);
        self.watch.error = Some(cause.to_string());
        events.push(Event::Fatal(cause));
    }

    /// Takes commits for refused that were not answered for too long.
    fn give_up_commits(&mut self, now: Instant, events: &mut Vec<Event>) {
        let late = self.commits.extract_if(.., |_, commit| commit.until <= now);
        events.extend(late.map(|_| Event::Committed {
            ok: false,
            error: Some(format!("no answer for {} s", COMMIT_ANSWER.as_secs())),
        }));
    }

    /// Control records and aborted transactions are passed without being handed out; behind the
    /// last of them a position must still become one that can be committed.
    fn pass_control_records(&mut self, client: &Client, events: &mut Vec<Event>) {
        for (id, position) in self.lanes.positions(client) {
            let lane = self.lanes.get_mut(id);
            if let Some(lane) = lane.filter(|lane| lane.next < position) {
                lane.next = position;
                events.push(Event::Fetched {
                    lane: id,
                    arena: Arena::new(),
                    next: Position(position),
                });
            }
        }
    }
}
