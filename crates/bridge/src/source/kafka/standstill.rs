//! How long nothing is read because of the group: from the start to the first assignment, and from
//! a change that takes everything to the next assignment.

use std::mem;
use std::time::{Duration, Instant};

use super::client::Client;
use crate::config::GroupProtocol;

/// How often the group is looked at while it has assigned nothing.
const LOOK: Duration = Duration::from_millis(100);
/// For how long a member of the consumer protocol has been in the group without a partition before
/// it counts as a spare one: others hear at their next heartbeat, each 5 s by default, what they
/// have to give back for it.
const SPARE_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Standstill {
    protocol: GroupProtocol,
    /// Whether the group waits for our answer.
    owes_answer: bool,
    since: Option<Instant>,
    next_look: Option<Instant>,
    /// Since when this member is in the group, while nothing is assigned to it.
    in_group_since: Option<Instant>,
    /// All of it since the start of the process.
    pub(super) total: Duration,
}

/// Whether partitions are read once the group has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Goes,
    /// The next assignment is waited for.
    Stands,
}

impl Standstill {
    /// Nothing is assigned yet.
    pub(super) fn new(protocol: GroupProtocol) -> Self {
        Self {
            protocol,
            owes_answer: false,
            since: Some(Instant::now()),
            next_look: None,
            in_group_since: None,
            total: Duration::ZERO,
        }
    }

    /// Whether the group waits for us, or we for what it assigns.
    pub(super) fn is_on(&self) -> bool {
        self.owes_answer || self.since.is_some()
    }

    /// The group asks for something, and waits for the answer.
    pub(super) fn asked(&mut self) {
        self.owes_answer = true;
        self.since.get_or_insert_with(Instant::now);
    }

    /// The group has its answer.
    pub(super) fn answered(&mut self, reading: Reading) {
        self.owes_answer = false;
        if reading == Reading::Goes
            && let Some(since) = self.since.take()
        {
            self.total += since.elapsed();
        }
    }

    /// Nothing is assigned any more.
    pub(super) fn begin_anew(&mut self) {
        self.owes_answer = false;
        self.in_group_since = None;
        self.since.get_or_insert_with(Instant::now);
    }

    /// Nothing more is answered: whether the group waits for an answer.
    pub(super) fn end(&mut self) -> bool {
        mem::take(&mut self.owes_answer)
    }

    /// Looks at the group while it has assigned nothing. The question itself matters: it wakes
    /// librdkafka, which by itself looks only once a second whether the group has a coordinator.
    /// And under the consumer protocol the group has no word for a member that gets nothing.
    pub(super) fn look(&mut self, client: &Client, now: Instant) {
        if self.since.is_none() || self.owes_answer {
            self.in_group_since = None;
            return;
        }
        if self.next_look.is_some_and(|next| next > now) {
            return;
        }
        self.next_look = Some(now + LOOK);
        if !client.is_in_group() {
            self.in_group_since = None;
            return;
        }
        let since = *self.in_group_since.get_or_insert(now);
        if self.protocol == GroupProtocol::Consumer && now - since >= SPARE_AFTER {
            self.answered(Reading::Goes);
        }
    }
}
