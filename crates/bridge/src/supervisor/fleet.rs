//! The task that owns all members.

mod leave;
mod lives;
mod size;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::kafka::{LeaveError, Leaver};
use super::launch::Launch;
use super::member::{Member, Stage, Then};
use super::process::Identity;
use super::roll::{Roll, Standing, Step};
use super::state::{Recorded, State, Target};
use crate::autoscale::Autoscaler;
use crate::config::{Assignor, Autoscale, GroupProtocol, Secret};
use crate::hub::{Ask, Change, Command, Refusal, Shared, Supervised};

/// Time between two looks at what only time brings.
const TURN: Duration = Duration::from_millis(100);
/// Time between two decisions of the autoscaler: the hub sees each instance as often.
const DECIDE_EVERY: Duration = Duration::from_secs(1);
/// What a process may take beyond `shutdown.grace` before it is killed.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// Ends and answers that wait for the supervisor: one for each member and request.
const EVENTS: usize = 64;
/// Changes that `status` shows.
const CHANGES: usize = 20;
/// `instance.number` ends there.
const MOST_INSTANCES: u32 = 1023;

/// How a fleet is run.
#[derive(Debug)]
pub struct Options {
    /// Where `fleet.json` lies.
    pub folder: PathBuf,
    /// Where the hub of this process answers.
    pub hub_url: String,
    /// How instances are started.
    pub launch: Launch,
    /// How many; none: as many as there were, else three.
    pub instances: Option<u32>,
    /// `shutdown.grace`.
    pub grace: Duration,
    /// The fleet's group.
    pub kafka: Target,
    /// `kafka.properties`: how its brokers are reached.
    pub properties: BTreeMap<String, Secret>,
    /// Who assigns partitions.
    pub group_protocol: GroupProtocol,
    /// How they are spread.
    pub assignor: Assignor,
    /// When it scales by itself.
    pub autoscale: Option<Autoscale>,
    /// What commands have to show.
    pub token: String,
    /// What an earlier supervisor left.
    pub before: Option<State>,
}

/// Instances of a fleet whose size nobody said.
const DEFAULT_INSTANCES: u32 = 3;

/// How a supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All instances drained.
    Down,
    /// So many had to be killed.
    Killed(usize),
}

/// The fleet cannot be started; nothing was.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A port is taken.
    #[error("instance {number} cannot listen on port {port}")]
    Port {
        /// `instance.number`.
        number: u32,
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// Too many, or too few.
    #[error("{0}")]
    Size(String),
    /// `fleet.json` cannot be written.
    #[error(transparent)]
    State(#[from] crate::hub::StoreError),
}

/// What other tasks tell the supervisor.
enum Event {
    /// A process ended; the status of a child.
    Exited { number: u32, pid: u32, status: Option<ExitStatus> },
    /// Members were taken out of the group, or not.
    Left { numbers: Vec<u32>, result: Result<(), LeaveError> },
}

/// Runs a fleet until it is told to stop: by [`Command::Down`], or by a word on `stop`; the second
/// word ends instances without waiting.
///
/// # Errors
/// When it cannot start: then nothing was started.
pub async fn run(
    options: Options,
    shared: Arc<Shared>,
    mut asks: mpsc::Receiver<Ask>,
    mut stop: mpsc::Receiver<()>,
) -> Result<Ended, SupervisorError> {
    let (events, mut happened) = mpsc::channel(EVENTS);
    let mut supervisor = Supervisor::try_new(options, shared, events)?;
    let mut ticks = tokio::time::interval(TURN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !supervisor.is_over() {
        tokio::select! {
            Some(event) = happened.recv() => supervisor.take(event),
            Some(ask) = asks.recv() => {
                let answer = supervisor.command(&ask.command);
                // Whoever asked may be gone.
                ask.answer.send(answer).ok();
            }
            Some(()) = stop.recv() => supervisor.interrupted(),
            _ = ticks.tick() => {}
        }
        supervisor.turn();
    }
    let killed = supervisor.killed;
    Ok(if killed == 0 { Ended::Down } else { Ended::Killed(killed) })
}

struct Supervisor {
    options: Options,
    shared: Arc<Shared>,
    leaver: Leaver,
    events: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
    members: BTreeMap<u32, Member>,
    target: u32,
    going_down: bool,
    /// All were taken out of the group, or it was tried.
    left: bool,
    killed: usize,
    roll: Option<Roll>,
    done: String,
    done_count: u64,
    changes: VecDeque<Change>,
    autoscaler: Option<Autoscaler>,
    began: Instant,
    decided: Instant,
    /// What the autoscaler last gave as its reason; empty without one.
    decision: String,
    /// The words of the reason to keep the size, as logged last.
    kept: String,
    /// The size for which it was looked whether all have something to read.
    weighed: u32,
    is_written: bool,
}

impl Supervisor {
    fn try_new(
        options: Options,
        shared: Arc<Shared>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, SupervisorError> {
        let running = options.before.iter().flat_map(State::running).cloned().collect::<Vec<_>>();
        let before = options.before.as_ref().filter(|_| !running.is_empty());
        let target = options
            .instances
            .or(before.map(|before| before.target).filter(|target| *target > 0))
            .unwrap_or(DEFAULT_INSTANCES);
        let now = Instant::now();
        let mut supervisor = Self {
            leaver: Leaver::new(options.kafka.clone(), options.properties.clone()),
            autoscaler: options.autoscale.map(Autoscaler::new),
            options,
            shared,
            events,
            tasks: JoinSet::new(),
            members: BTreeMap::new(),
            target,
            going_down: false,
            left: false,
            killed: 0,
            roll: None,
            done: String::new(),
            done_count: 0,
            changes: VecDeque::new(),
            began: now,
            decided: now,
            decision: String::new(),
            kept: String::new(),
            weighed: 0,
            is_written: false,
        };
        if let Err(error) = supervisor.leaver.check() {
            warn!(
                %error,
                session_ms = supervisor.options.kafka.session_ms,
                "members that leave for good cannot be taken out of the group: their partitions \
                 will wait for the end of the session"
            );
        }
        for recorded in running {
            supervisor.adopt(recorded);
        }
        supervisor.check_size(target).map_err(SupervisorError::Size)?;
        for number in 1..=target {
            supervisor.check_port(number)?;
        }
        // Before anything is started: a fleet that cannot be found again must not be.
        supervisor.state().write(&supervisor.options.folder)?;
        supervisor.fill();
        supervisor.empty();
        Ok(supervisor)
    }

    fn is_over(&self) -> bool {
        self.going_down && self.members.is_empty() && self.left
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Exited { number, pid, status } => self.exited(number, pid, status),
            Event::Left { numbers, result } => self.taken_out(&numbers, &result),
        }
    }

    fn command(&mut self, command: &Command) -> Result<String, Refusal> {
        if self.going_down {
            return Err(Refusal("the fleet is being stopped".to_owned()));
        }
        match command {
            Command::Scale { instances } => self.scale(*instances, "asked for"),
            Command::Restart => {
                self.refuse_while_rolling()?;
                self.roll = Some(Roll::of(1..=self.target));
                Ok(format!("restarting {} instances, one after the other", self.target))
            }
            Command::Down => {
                let said = format!("stopping {} instances", self.members.len());
                self.go_down();
                Ok(said)
            }
        }
    }

    fn refuse_while_rolling(&self) -> Result<(), Refusal> {
        match &self.roll {
            Some(roll) => Err(Refusal(format!("busy: {}", roll.progress()))),
            None => Ok(()),
        }
    }

    fn turn(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let now = Instant::now();
        let mut due = Vec::new();
        for member in self.members.values_mut() {
            match &member.stage {
                Stage::Waiting { until, .. } | Stage::Held { until, .. } if *until <= now => {
                    due.push(member.number);
                }
                Stage::Stopping { kill_at, then } if *kill_at <= now => {
                    if let Some(process) = &member.process {
                        warn!(instance = member.id, "killed: it did not end in time");
                        process.identity.signal(Signal::KILL);
                        self.killed += 1;
                    }
                    let then = *then;
                    member.stage = Stage::Stopping { kill_at: now + KILL_AFTER, then };
                }
                Stage::Up
                | Stage::Waiting { .. }
                | Stage::Held { .. }
                | Stage::Stopping { .. }
                | Stage::Leaving
                | Stage::Ended => {}
            }
        }
        for number in due {
            self.start(number);
        }
        self.roll_on();
        if self.decided.elapsed() >= DECIDE_EVERY {
            self.decided = now;
            self.warn_of_idle();
            self.autoscale();
        }
        if self.going_down && !self.left {
            self.leave_together();
        }
        if !self.is_written {
            self.write();
        }
        self.publish();
    }

    fn roll_on(&mut self) {
        let Some(mut roll) = self.roll.take() else {
            return;
        };
        let fleet = self.shared.fleet();
        let member = roll.current().and_then(|number| self.members.get(&number));
        let standing = member.map(|member| Standing {
            id: &member.id,
            started_ms: member
                .process
                .as_ref()
                .filter(|_| member.stage == Stage::Up)
                .map(|process| process.since_ms),
            held: if let Stage::Held { why, .. } = &member.stage { Some(why) } else { None },
        });
        let done = match roll.step(standing, &fleet) {
            Step::Wait => None,
            Step::Restart(number) => {
                info!(number, "restarting");
                self.stop(number, Then::Start);
                None
            }
            Step::Done => Some(format!("restarted {} instances", self.target)),
            Step::Failed(why) => Some(format!("failed: {why}")),
        };
        match done {
            None => self.roll = Some(roll),
            Some(done) => {
                info!(done, "the restart has ended");
                self.done = done;
                self.done_count += 1;
            }
        }
    }

    fn state(&self) -> State {
        State {
            supervisor: Identity::of(std::process::id()).unwrap_or_default(),
            hub_url: self.options.hub_url.clone(),
            token: self.options.token.clone(),
            target: self.target,
            members: self
                .members
                .values()
                .map(|member| Recorded {
                    number: member.number,
                    id: member.id.clone(),
                    port: member.port,
                    process: member.process.as_ref().map(|process| process.identity.clone()),
                })
                .collect(),
            kafka: self.options.kafka.clone(),
        }
    }

    fn write(&mut self) {
        self.is_written = true;
        if let Err(error) = self.state().write(&self.options.folder) {
            let error = format!("{:#}", anyhow::Error::from(error));
            warn!(error, "a killed supervisor would not find its instances again");
        }
    }

    fn publish(&self) {
        let doing = match (&self.roll, self.going_down) {
            (_, true) => "stopping".to_owned(),
            (Some(roll), false) => roll.progress(),
            (None, false) => String::new(),
        };
        self.shared.publish(Supervised {
            pid: std::process::id(),
            target: self.target,
            auto: self.autoscaler.is_some(),
            decision: self.decision.clone(),
            doing,
            done: self.done.clone(),
            done_count: self.done_count,
            processes: self.members.values().map(Member::shown).collect(),
            changes: self.changes.iter().cloned().collect(),
        });
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
