//! Whether a second process runs under the static id of a member that the broker has fenced.
//!
//! A fenced member is not always one of two. When its coordinator is away for longer than its
//! session, librdkafka forgets its member id and joins anew under the same static id; a commit of
//! its old membership that is sent again after that is refused like that of a double, and
//! librdkafka takes the refusal for final. So does a process take the place of one that was killed
//! or that gave up. Whether there is a double shows in the group: a double stays in it, and what is
//! only remembered goes when its session ends.

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
    /// The id under which the broker knew this member.
    pub(super) member_id: String,
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
        let fenced = Fenced { static_id: id, member_id: client.member_id(), since };
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

    /// The newer of two takes the place of the older, and stays. What is only remembered stays too
    /// while the group waits for members to join, among them this one: then joining is the way out,
    /// and a double would find itself fenced in turn.
    fn at_members(&self) -> Option<Verdict> {
        let client = Client::admin(&properties::administrator(&self.config)).ok()?;
        let enough = self.config.session_timeout + MARGIN;
        let (mut stays_since, mut rebalances_since) = (None, None);
        while !self.cancelled.load(Ordering::SeqCst) {
            match self.holder(&client) {
                Ok((None, _)) => return Some(Verdict::Alone),
                Ok((Some(holder), _)) if holder == self.fenced.member_id => {
                    return Some(Verdict::Alone);
                }
                Ok((Some(_), true)) => {
                    stays_since = None;
                    if rebalances_since.get_or_insert_with(Instant::now).elapsed() > enough {
                        return Some(Verdict::Alone);
                    }
                }
                Ok((Some(_), false)) => {
                    if stays_since.get_or_insert_with(Instant::now).elapsed() > enough {
                        return Some(Verdict::Double);
                    }
                }
                // Sessions begin anew when a coordinator comes back.
                Err(trouble) => {
                    tracing::debug!(error = %trouble, "the group cannot be looked at");
                    (stays_since, rebalances_since) = (None, None);
                }
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

    /// The member id of whoever has the static id, and whether the group rebalances.
    fn holder(&self, client: &Client) -> Result<(Option<String>, bool), Trouble> {
        let found = client.static_members(&self.config.group_id, ANSWER)?;
        let holder = found.members.into_iter().find(|(id, _)| *id == self.fenced.static_id);
        Ok((holder.map(|(_, member)| member), found.rebalances))
    }
}
