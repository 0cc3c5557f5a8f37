//! NATS: a JetStream stream read by pulls and acked message by message, or core NATS.
//!
//! Tasks on the runtime talk to the server; the pipeline's thread owns a [`NatsSource`] and takes
//! what they gathered. Nothing is acked but by [`ack`](NatsSource::ack).

mod acks;
mod api;
mod connect;
mod gather;
mod live;
mod losses;
mod mailbox;
mod pull;
mod reply;
mod routing;
mod shared;
mod status;
pub mod stream;
mod watch;
pub mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{Client, Subject};
use data_bridge_core::arena::Arena;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::units::{LaneId, RouteId};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

pub use connect::{NatsError, client_options};
pub use losses::LostSequences;
pub use reply::Replies;
use routing::roots;
pub use routing::tables;
pub use status::{Drops, NatsStatus};

use super::Waker;
use crate::config::{self, NatsMode};
use crate::telemetry::pulse::Pulses;
use acks::Job;
use connect::Link;
use live::Clock;
use mailbox::{Mailbox, Room};
use pull::{Batch, Puller};
use routing::Routing;
use shared::Shared;

/// Pull loops: while one waits for the answer to its next pull, the others are served.
const PULLS: usize = 3;
/// Messages of one pull at most; more brings nothing (measured from 500 to 5,000).
const PULL_MESSAGES: u64 = 5_000;
/// Bytes of one pull at most.
const PULL_BYTES: u64 = 4 << 20;
/// Jobs for the task that acks; what finds no room waits here. A job is a whole batch of acks.
const JOBS: usize = 1_024;
/// Lanes of NATS are numbered from here; those of Kafka from 1.
const FIRST_LANE: u32 = 1 << 31;

/// What the source may hold that the pipeline has not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Messages.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Reserve {
    /// A part of a budget of so many rows and bytes.
    #[must_use]
    pub fn of(rows: u64, bytes: u64) -> Self {
        let pulls = PULLS as u64;
        // What is asked for, and as much that waits to be taken.
        let shares = 2 * pulls;
        Self {
            rows: shares * (rows / 8 / shares).clamp(1, PULL_MESSAGES),
            bytes: shares * (bytes / 8 / shares).clamp(64 << 10, PULL_BYTES),
        }
    }
}

/// What the source tells its driver.
#[derive(Debug)]
pub enum Event {
    /// A lane begins; its messages are acked each on its own, or not at all.
    Begun {
        /// The new lane.
        lane: LaneId,
        /// Its route; none for messages of subjects that no route takes.
        route: Option<RouteId>,
        /// What to call where its messages come from.
        origin: String,
    },
    /// The stream was made anew: nothing of these lanes may be acked.
    Ended {
        /// The lanes.
        lanes: Vec<LaneId>,
    },
    /// Messages of a lane.
    Fetched {
        /// The lane.
        lane: LaneId,
        /// The messages.
        arena: Arena,
        /// Where their acks go.
        replies: Arc<Replies>,
    },
}

/// One reader of the stream, or one member of the queue group.
#[derive(Debug)]
pub struct NatsSource {
    config: config::Nats,
    shared: Arc<Shared>,
    client: Client,
    /// One thread for all tasks of NATS: what comes and what is acked changes hands between them
    /// without waking another.
    runtime: Runtime,
    /// The tasks that acks and the watch run in: they end with the runtime.
    background: Vec<JoinHandle<()>>,
    /// Those that bring messages: they end when told to.
    readers: Vec<JoinHandle<()>>,
    jobs: mpsc::Sender<Job>,
    /// Acks of this turn, sent together.
    acks: Vec<Arc<Replies>>,
    /// Jobs that found no room.
    waiting: VecDeque<Job>,
    /// Generation of the lanes the driver knows.
    epoch: Option<u32>,
}

impl NatsSource {
    /// Begins to connect and to read, in the background: no server need be there.
    ///
    /// # Errors
    /// When the settings make no client.
    pub fn start(
        config: &config::Nats,
        instance: &config::Instance,
        catalog: Arc<Catalog>,
        waker: Waker,
        reserve: Reserve,
        pulses: &Pulses,
    ) -> Result<Self, NatsError> {
        let routing = Routing::new(config, catalog)
            .map_err(|bad| NatsError::Client(format!("nats.subjects: {bad}")))?;
        let room = Room {
            rows: usize::try_from(reserve.rows / 2).unwrap_or(usize::MAX),
            bytes: reserve.bytes / 2,
        };
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bridge-nats")
            .enable_all()
            .build()
            .map_err(|error| NatsError::Client(format!("cannot start its thread: {error}")))?;
        let link = Link::default();
        let shared =
            Arc::new(Shared::new(Mailbox::new(room, waker), link.clone(), Arc::new(routing)));
        let name = format!("data-bridge {}", instance.id);
        let connected = {
            let shared = Arc::clone(&shared);
            move || {
                shared.set_gate(|gate| gate.connects += 1);
                shared.look.notify_one();
            }
        };
        let client = runtime.block_on(connect::open(config, &name, &link, connected))?;
        let (jobs, queue) = mpsc::channel(JOBS);
        let counts = Arc::clone(&shared.counts);
        let pulse = pulses.watch("the acks of NATS", acks::LONGEST_JOB);
        let acks = acks::run(client.clone(), queue, counts, link, pulse);
        let mut background = vec![runtime.spawn(acks)];
        let mut readers = Vec::new();
        match config.mode {
            NatsMode::JetStream => {
                let pulse = pulses.watch("the look at the stream", watch::LONGEST_LOOK);
                let watch = watch::run(client.clone(), config.clone(), Arc::clone(&shared), pulse);
                background.push(runtime.spawn(watch));
                let (stream, consumer) = (&config.stream, &config.consumer);
                let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
                let pulls = 2 * PULLS as u64;
                let batch = Batch {
                    messages: usize::try_from(reserve.rows / pulls).unwrap_or(1),
                    bytes: reserve.bytes / pulls,
                };
                for _ in 0..PULLS {
                    let puller = Puller {
                        client: client.clone(),
                        shared: Arc::clone(&shared),
                        jobs: jobs.clone(),
                        batch,
                        subject: Subject::from(subject.clone()),
                        pulse: pulses.watch("a pull of NATS", pull::SILENCE),
                    };
                    readers.push(runtime.spawn(puller.run()));
                }
            }
            NatsMode::Core => {
                warn!(
                    "core NATS delivers at most once: what is published while no instance listens, \
                     or faster than it is taken, is lost; nats.mode: jetstream loses nothing"
                );
                let clock = Arc::new(Clock::new(instance.number.clone()));
                for root in roots(config) {
                    let group = config.queue_group.clone();
                    let (shared, clock) = (Arc::clone(&shared), Arc::clone(&clock));
                    let pulse = pulses.watch("a subscription of NATS", Duration::ZERO);
                    let live = live::run(client.clone(), shared, root.into(), group, clock, pulse);
                    readers.push(runtime.spawn(live));
                }
            }
        }
        Ok(Self {
            config: config.clone(),
            shared,
            client,
            runtime,
            background,
            readers,
            jobs,
            acks: Vec::new(),
            waiting: VecDeque::new(),
            epoch: None,
        })
    }

    /// Appends what happened. Waits for nothing.
    pub fn take(&mut self, events: &mut Vec<Event>) {
        self.send_jobs();
        let epoch = self.shared.epoch();
        if self.epoch != Some(epoch) {
            if let Some(old) = self.epoch {
                let lanes = (0..self.shared.routing.slots()).map(|slot| self.lane(old, slot));
                events.push(Event::Ended { lanes: lanes.collect() });
            }
            self.epoch = Some(epoch);
            events.extend((0..self.shared.routing.slots()).map(|slot| Event::Begun {
                lane: self.lane(epoch, slot),
                route: self.shared.routing.routes().get(slot).copied(),
                origin: self.origin(slot),
            }));
        }
        // What core NATS cannot leave with the server stays in the mailbox while it is held.
        let gate = *self.shared.gate.borrow();
        if self.config.mode == NatsMode::Core && gate.held && !gate.stopping {
            return;
        }
        let current = self.shared.mailbox.take().into_iter().filter(|one| one.epoch == epoch);
        events.extend(current.map(|arrival| Event::Fetched {
            lane: self.lane(epoch, usize::from(arrival.slot)),
            arena: arrival.arena,
            replies: arrival.replies,
        }));
    }

    /// The messages of this chunk are durable. Sent by [`Self::flush`].
    pub fn ack(&mut self, replies: &Arc<Replies>) {
        if !replies.is_empty() {
            self.acks.push(Arc::clone(replies));
        }
    }

    /// The messages of this chunk are being worked on.
    pub fn working(&mut self, replies: &Arc<Replies>) {
        if !replies.is_empty() {
            self.waiting.push_back(Job::Progress(Arc::clone(replies)));
        }
    }

    /// The messages of this chunk may be delivered again, to anybody, at once.
    pub fn give_back(&mut self, replies: &Arc<Replies>) {
        if !replies.is_empty() {
            self.waiting.push_back(Job::GiveBack(Arc::clone(replies)));
        }
    }

    /// They may be delivered again after a while, longer each time.
    pub fn give_back_later(&mut self, replies: &Arc<Replies>) {
        if !replies.is_empty() {
            self.waiting.push_back(Job::GiveBackLater(Arc::clone(replies)));
        }
    }

    /// Sends what was decided in this turn.
    pub fn flush(&mut self) {
        if !self.acks.is_empty() {
            self.waiting.push_back(Job::Ack(std::mem::take(&mut self.acks)));
        }
        self.send_jobs();
    }

    fn send_jobs(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            match self.jobs.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => {
                    self.waiting.push_front(job);
                    return;
                }
                // The client has ended; the server delivers again.
                Err(TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }

    /// Asks for no more messages, or goes on.
    pub fn hold(&self, hold: bool) {
        self.shared.set_gate(|gate| gate.held = hold);
    }

    /// Asks for nothing more. [`Self::take`] brings what is on its way until the source
    /// [is quiet](Self::is_quiet).
    pub fn stop(&self) {
        self.shared.set_gate(|gate| gate.stopping = true);
    }

    /// Whether nothing more comes, after a [`stop`](Self::stop): at the latest when the pulls under
    /// way have expired, after a second.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// Messages of a lane of core NATS that nobody can keep.
    pub fn dropped(&self, lane: LaneId, messages: u64) {
        let slots = u32::try_from(self.shared.routing.slots()).unwrap_or(u32::MAX).max(1);
        let slot = lane.0.wrapping_sub(FIRST_LANE) % slots;
        if let Some(dropped) = usize::try_from(slot).ok().and_then(|at| self.shared.dropped.get(at))
        {
            dropped.fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// Ends: what was decided is sent and confirmed, at most until `deadline`.
    pub fn close(mut self, deadline: Instant) {
        self.stop();
        self.flush();
        let Self { jobs, waiting, readers, background, client, shared, .. } = self;
        let ending = async {
            for job in waiting {
                if jobs.send(job).await.is_err() {
                    return;
                }
            }
            // Pulls give back what still came before they end.
            ended(readers).await;
            // What they brought after the pipeline's last look.
            for arrival in shared.mailbox.take() {
                if jobs.send(Job::GiveBack(arrival.replies)).await.is_err() {
                    return;
                }
            }
            let (done, flushed) = oneshot::channel();
            if jobs.send(Job::Flush(done)).await.is_ok() && flushed.await.is_err() {
                warn!("the acks of NATS ended before they were flushed");
            }
            if let Err(error) = client.drain().await {
                warn!(%error, "the NATS client did not end in order");
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let in_time = async { tokio::time::timeout(left, ending).await };
        if self.runtime.block_on(in_time).is_err() {
            warn!(
                "the NATS client did not end in time; the server delivers again what was not acked"
            );
        } else {
            info!("NATS left");
        }
        for task in background {
            task.abort();
        }
        self.runtime.shutdown_background();
    }

    fn lane(&self, epoch: u32, slot: usize) -> LaneId {
        let slots = u32::try_from(self.shared.routing.slots()).unwrap_or(u32::MAX);
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        LaneId(FIRST_LANE.wrapping_add(epoch.wrapping_mul(slots)).wrapping_add(slot))
    }

    fn origin(&self, slot: usize) -> String {
        match self.config.mode {
            NatsMode::JetStream => format!("nats:{}", self.config.stream),
            NatsMode::Core => match self.shared.routing.name(slot) {
                "" => "nats-core:no_route".to_owned(),
                route => format!("nats-core:{route}"),
            },
        }
    }

    /// The source as it is now; asks no server.
    #[must_use]
    pub fn status(&self) -> NatsStatus {
        status::of(&self.config, &self.shared)
    }

    /// Messages that no instance was given yet, at the last look.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.shared.view().pending
    }

    /// How long the server waits before it delivers again what it hears nothing of.
    #[must_use]
    pub fn ack_wait(&self) -> Duration {
        self.config.ack_wait
    }
}

async fn ended(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        if let Err(error) = task.await {
            warn!(%error, "a task of NATS ended badly");
        }
    }
}
