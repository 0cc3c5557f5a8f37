//! Whether a second process runs under the static id of a member that the broker has fenced.
//!
//! A fenced member is not always one of two. When its coordinator is away for longer than its
//! session, librdkafka forgets its member id and joins anew under the same static id; a commit of
//! its old membership that is sent again after that is refused like that of a double, and
//! librdkafka takes the refusal for final. So does a process take the place of one that was killed
//! or that gave up. Whether there is a double shows in the group: a double stays in it, and what is
//! only remembered goes when its session ends.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::client::{Client, Trouble};
use super::event::{Event, SourceError};
use super::leave::{abandon, join_thread};
use super::{KafkaSource, membership, properties, terms};
use crate::config::{GroupProtocol, Kafka};
use crate::source::waker::Waker;

/// Time beyond its session in which the broker forgets a member.
const MARGIN: Duration = Duration::from_secs(2);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Pause between two looks, and before a member of the consumer protocol tries again.
const PAUSE: Duration = Duration::from_millis(500);

/// What the group shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody else uses the id, as far as is known: join again.
    Alone,
    /// Another process uses it.
    Double,
}

/// Member ids under which the broker knew this process, the latest last. librdkafka forgets its id
/// when its session runs out, and the broker may remember it longer.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnIds(VecDeque<String>);

impl OwnIds {
    /// So many are kept: one that is older was followed by assignments under the later ones.
    const KEPT: usize = 8;

    /// Adds one, unless it is empty or known.
    pub(super) fn add(&mut self, id: String) {
        if id.is_empty() || self.0.contains(&id) {
            return;
        }
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Doubt {
    verdict: Receiver<Verdict>,
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What is known when the doubt begins.
#[derive(Debug)]
pub(super) struct Fenced {
    pub(super) static_id: String,
    /// Ids under which the broker knew this process.
    pub(super) own: OwnIds,
    /// When it was first refused without having been in the group since.
    pub(super) since: Instant,
}

impl KafkaSource {
    /// The broker says that another has this static id, and librdkafka's handle is of no more use.
    pub(super) fn doubt(
        &mut self,
        client: &Client,
        id: String,
        cause: &Trouble,
        events: &mut Vec<Event>,
    ) {
        let Some(handle) = self.client.take() else {
            return;
        };
        warn!(id, error = %cause, "fenced: looking whether another instance has this id");
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        self.own_ids.add(client.member_id());
        let fenced = Fenced { static_id: id, own: self.own_ids.clone(), since };
        membership::end_all(&mut self.lanes, events);
        let given_up = mem::take(&mut self.commits).into_values();
        events.extend(
            given_up.map(|_| Event::Committed { ok: false, error: Some(cause.text.clone()) }),
        );
        let placing = self.membership.begin_anew();
        self.watch.begin_anew();
        self.watch.error = Some(cause.text.clone());
        self.messages.clear();
        let end = move || {
            if let Some(placing) = placing {
                join_thread(placing, "the placement");
            }
            abandon(handle);
        };
        self.doubt = Some(Doubt::begin(&self.join.config, fenced, &self.waker, end));
    }

    /// Joins again once it is clear that nobody else has the static id.
    pub(super) fn clear_doubt(&mut self, events: &mut Vec<Event>) {
        let Some(verdict) = self.doubt.as_mut().and_then(Doubt::try_finish) else {
            return;
        };
        self.doubt = None;
        let joined = match (verdict, self.join.static_id()) {
            (Verdict::Double, Some(id)) => Err(SourceError::Fenced { id }),
            (Verdict::Alone | Verdict::Double, _) => self.join.client(&self.waker),
        };
        match joined {
            Ok(client) => {
                info!("nobody else has this id: joining the group again");
                self.client = Some(Arc::new(client));
            }
            Err(error) => self.die(error, events),
        }
    }
}

impl Doubt {
    /// Ends `old`, the membership that was refused, and looks at the group.
    pub(super) fn begin(
        config: &Kafka,
        fenced: Fenced,
        waker: &Waker,
        old: impl FnOnce() + Send + 'static,
    ) -> Self {
        let (send, verdict) = mpsc::sync_channel(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let look = Look { config: config.clone(), fenced, cancelled: Arc::clone(&cancelled) };
        let waker = waker.clone();
        let thread = thread::spawn(move || {
            old();
            if let Some(verdict) = look.until_clear()
                && send.send(verdict).is_ok()
            {
                waker.queued();
            }
        });
        Self { verdict, cancelled, thread }
    }

    /// The verdict once it is there.
    pub(super) fn try_finish(&mut self) -> Option<Verdict> {
        match self.verdict.try_recv() {
            Ok(verdict) => Some(verdict),
            Err(TryRecvError::Empty) => None,
            // It ended without an answer: the broker's word holds.
            Err(TryRecvError::Disconnected) => Some(Verdict::Double),
        }
    }

    /// Ends it at its next step.
    pub(super) fn cancel(self) -> JoinHandle<()> {
        self.cancelled.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        self.thread
    }
}

struct Look {
    config: Kafka,
    fenced: Fenced,
    cancelled: Arc<AtomicBool>,
}

impl Look {
    /// `None` when it was cancelled.
    fn until_clear(&self) -> Option<Verdict> {
        match self.config.group_protocol {
            GroupProtocol::Classic => self.at_members(),
            GroupProtocol::Consumer => self.at_time(),
        }
    }

    fn at_members(&self) -> Option<Verdict> {
        let client = Client::admin(&properties::administrator(&self.config)).ok()?;
        let mut sight = Sight::new(self.config.session_timeout + MARGIN);
        while !self.cancelled.load(Ordering::SeqCst) {
            let seen = match self.holder(&client) {
                Ok(seen) => Some(seen),
                Err(trouble) => {
                    tracing::debug!(error = %trouble, "the group cannot be looked at");
                    None
                }
            };
            if let Some(verdict) = sight.take(seen, &self.fenced.own, Instant::now()) {
                return Some(verdict);
            }
            thread::park_timeout(PAUSE);
        }
        None
    }

    /// The newer of two is refused for as long as the older is in the group.
    fn at_time(&self) -> Option<Verdict> {
        let session = terms::describe(&self.config, ANSWER)
            .map_or(self.config.session_timeout, |terms| terms.session);
        if self.fenced.since.elapsed() > session + MARGIN {
            return Some(Verdict::Double);
        }
        thread::park_timeout(PAUSE);
        (!self.cancelled.load(Ordering::SeqCst)).then_some(Verdict::Alone)
    }

    fn holder(&self, client: &Client) -> Result<Holder, Trouble> {
        let found = client.static_members(&self.config.group_id, ANSWER)?;
        let holder = found.members.into_iter().find(|(id, _)| *id == self.fenced.static_id);
        Ok(Holder { member_id: holder.map(|(_, member)| member), rebalances: found.rebalances })
    }
}

/// Who has the static id.
#[derive(Debug)]
struct Holder {
    /// The member's id, when anybody has it.
    member_id: Option<String>,
    /// Whether the group rebalances.
    rebalances: bool,
}

/// What the looks at a group have shown so far.
///
/// The newer of two takes the place of the older, and stays. What is only remembered stays too
/// while the group waits for members to join, among them this one: then joining is the way out,
/// and a double would find itself fenced in turn.
#[derive(Debug)]
struct Sight {
    /// What is only remembered is gone after this.
    enough: Duration,
    stays_since: Option<Instant>,
    rebalances_since: Option<Instant>,
}

impl Sight {
    fn new(enough: Duration) -> Self {
        Self { enough, stays_since: None, rebalances_since: None }
    }

    /// Takes a look at the group; none when it could not be looked at.
    fn take(&mut self, seen: Option<Holder>, own: &OwnIds, now: Instant) -> Option<Verdict> {
        // Sessions begin anew when a coordinator comes back.
        let Some(Holder { member_id, rebalances }) = seen else {
            (self.stays_since, self.rebalances_since) = (None, None);
            return None;
        };
        // A double would have put its own in the place of ours.
        if member_id.is_none_or(|holder| own.0.contains(&holder)) {
            return Some(Verdict::Alone);
        }
        if rebalances {
            self.stays_since = None;
            let since = *self.rebalances_since.get_or_insert(now);
            return (now - since > self.enough).then_some(Verdict::Alone);
        }
        let since = *self.stays_since.get_or_insert(now);
        (now - since > self.enough).then_some(Verdict::Double)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: Duration = Duration::from_secs(8);

    /// Looks, one a second: who has the id, and whether the group rebalances.
    fn verdict(looks: &[Option<(Option<&str>, bool)>], own: &[&str]) -> Option<(usize, Verdict)> {
        let mut ids = OwnIds::default();
        for id in own {
            ids.add((*id).to_owned());
        }
        let (mut sight, began) = (Sight::new(ENOUGH), Instant::now());
        looks.iter().enumerate().find_map(|(second, look)| {
            let holder = look.map(|(holder, rebalances)| Holder {
                member_id: holder.map(str::to_owned),
                rebalances,
            });
            let now = began + Duration::from_secs(second as u64);
            sight.take(holder, &ids, now).map(|verdict| (second, verdict))
        })
    }

    #[test]
    fn who_stays_is_a_double_and_who_goes_was_only_remembered() {
        let other = Some((Some("other"), false));
        assert_eq!(verdict(&[other; 20], &["own"]), Some((9, Verdict::Double)));
        let mut goes = [other; 9];
        goes[8] = Some((None, false));
        assert_eq!(verdict(&goes, &["own"]), Some((8, Verdict::Alone)));
        // The coordinator was away: whoever is remembered has a new session.
        let mut away = [other; 20];
        away[7] = None;
        assert_eq!(verdict(&away, &["own"]), Some((17, Verdict::Double)));
    }

    #[test]
    fn an_id_that_this_process_had_before_is_no_double() {
        let before = Some((Some("before"), false));
        assert_eq!(verdict(&[before; 20], &["before", "now"]), Some((0, Verdict::Alone)));
        // As when librdkafka has forgotten its id and has no new one.
        assert_eq!(verdict(&[before; 20], &["before", ""]), Some((0, Verdict::Alone)));
        assert_eq!(verdict(&[Some((Some(""), false)); 20], &[""]), Some((9, Verdict::Double)));
    }

    #[test]
    fn what_is_seen_while_the_group_rebalances_proves_nothing() {
        let waits = Some((Some("other"), true));
        assert_eq!(verdict(&[waits; 20], &[]), Some((9, Verdict::Alone)));
        let mut mixed = [Some((Some("other"), false)); 20];
        mixed[5] = waits;
        assert_eq!(verdict(&mixed, &[]), Some((15, Verdict::Double)));
    }

    #[test]
    fn the_latest_ids_are_kept() {
        let mut ids = OwnIds::default();
        for number in (0..20).chain([19]) {
            ids.add(number.to_string());
        }
        assert_eq!(ids.0.len(), OwnIds::KEPT);
        assert!(ids.0.contains(&"12".to_owned()) && ids.0.contains(&"19".to_owned()));
    }
}
