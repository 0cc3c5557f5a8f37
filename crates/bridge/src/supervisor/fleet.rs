//! The task that owns all members.

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
use super::member::{Member, Running, Stage, Then, describe};
use super::process::Identity;
use super::restart::Next;
use super::roll::{Roll, Standing, Step};
use super::state::{Recorded, State, Target};
use crate::autoscale::{Autoscaler, Sight};
use crate::config::Autoscale;
use crate::hub::{Ask, Change, Command, Expected, Refusal, Shared, Supervised};

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
    /// Why the autoscaler keeps the size, as logged last.
    kept: String,
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
            leaver: Leaver::new(options.kafka.clone()),
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
            kept: String::new(),
            is_written: false,
        };
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

    /// Takes over a process that an earlier supervisor started.
    fn adopt(&mut self, recorded: Recorded) {
        let Recorded { number, id, port, process } = recorded;
        let Some(identity) = process else {
            return;
        };
        info!(instance = id, pid = identity.pid, "adopted: it runs since before");
        let mut member = Member::new(number, id, port, self.options.launch.log(number));
        self.watch_stranger(number, identity.clone());
        member.process = Some(Running { identity, since: Instant::now(), since_ms: now_ms() });
        (member.stage, member.starts) = (Stage::Up, 1);
        self.members.insert(number, member);
    }

    fn watch_stranger(&mut self, number: u32, identity: Identity) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            identity.ended().await;
            let event = Event::Exited { number, pid: identity.pid, status: None };
            // A supervisor that is gone need not know.
            events.send(event).await.ok();
        });
    }

    fn check_size(&self, instances: u32) -> Result<(), String> {
        if instances == 0 {
            return Err("a fleet has at least one instance; `data-bridge down` stops it".to_owned());
        }
        let base = self.options.launch.base_port;
        if instances > MOST_INSTANCES || self.options.launch.port(instances).is_none() {
            return Err(format!(
                "{instances} instances are too many: at most {MOST_INSTANCES}, and instance n \
                 listens on port {base} + n"
            ));
        }
        Ok(())
    }

    fn check_port(&self, number: u32) -> Result<(), SupervisorError> {
        let launch = &self.options.launch;
        let port = launch.port(number).unwrap_or(0);
        if self.members.contains_key(&number) {
            return Ok(());
        }
        launch.is_free(port).map_err(|cause| SupervisorError::Port { number, port, cause })
    }

    /// Adds the members that are missing.
    fn fill(&mut self) {
        for number in 1..=self.target {
            let launch = &self.options.launch;
            let Some(port) = launch.port(number) else {
                continue;
            };
            self.members.entry(number).or_insert_with(|| {
                Member::new(number, launch.id(number), port, launch.log(number))
            });
        }
        self.expect();
    }

    /// Stops the members that are too many.
    fn empty(&mut self) {
        let surplus = self.members.range(self.target + 1..).map(|(number, _)| *number);
        for number in surplus.collect::<Vec<_>>() {
            self.stop(number, Then::Leave);
        }
    }

    /// Tells the hub whom to look at.
    fn expect(&mut self) {
        self.is_written = false;
        let launch = &self.options.launch;
        let expected = self.members.values().map(|member| Expected {
            id: member.id.clone(),
            number: member.number,
            url: launch.url(member.port),
        });
        self.shared.expect(&expected.collect::<Vec<_>>());
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

    fn exited(&mut self, number: u32, pid: u32, status: Option<ExitStatus>) {
        let going_down = self.going_down;
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        if member.process.as_ref().is_none_or(|process| process.identity.pid != pid) {
            return;
        }
        self.is_written = false;
        let uptime = member.uptime();
        member.process = None;
        match &member.stage {
            Stage::Stopping { then: Then::Start, .. } if !going_down => {
                member.stage =
                    Stage::Waiting { until: Instant::now(), why: "is started again".to_owned() };
            }
            Stage::Stopping { .. } => {
                info!(instance = member.id, pid, "stopped");
                member.stage = Stage::Ended;
                if !going_down {
                    self.take_out(vec![number]);
                }
            }
            Stage::Up
            | Stage::Waiting { .. }
            | Stage::Held { .. }
            | Stage::Leaving
            | Stage::Ended => {
                let why = describe(status, &member.log);
                let code = status.and_then(|status| status.code());
                let now = Instant::now();
                member.stage = match member.restarts.ended(uptime, code) {
                    Next::Start(pause) => {
                        warn!(instance = member.id, pid, why, ?pause, "ended; starting it again");
                        Stage::Waiting { until: now + pause, why }
                    }
                    Next::Hold(pause) => {
                        let log = member.log.display();
                        warn!(instance = member.id, pid, why, %log, ?pause, "held: it does not get going");
                        Stage::Held { until: now + pause, why }
                    }
                };
            }
        }
    }

    /// Asks the group to take ended members out, in a task of its own.
    fn take_out(&mut self, numbers: Vec<u32>) {
        let mut ids = Vec::new();
        for number in &numbers {
            if let Some(member) = self.members.get_mut(number) {
                member.stage = Stage::Leaving;
                ids.push(member.id.clone());
            }
        }
        let (leaver, events) = (self.leaver.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let result = leaver.leave(&ids).await;
            events.send(Event::Left { numbers, result }).await.ok();
        });
    }

    fn taken_out(&mut self, numbers: &[u32], result: &Result<(), LeaveError>) {
        match result {
            Ok(()) => info!(?numbers, "taken out of the group: their partitions move now"),
            Err(error) => warn!(
                ?numbers,
                %error,
                session_ms = self.options.kafka.session_ms,
                "not taken out of the group: their partitions move when the session is over"
            ),
        }
        for number in numbers {
            if *number <= self.target && !self.going_down {
                // Asked for again meanwhile.
                if let Some(member) = self.members.get_mut(number) {
                    let why = "starting".to_owned();
                    member.stage = Stage::Waiting { until: Instant::now(), why };
                }
            } else {
                self.members.remove(number);
            }
        }
        self.left = self.going_down && self.members.is_empty();
        self.expect();
    }

    fn interrupted(&mut self) {
        if self.going_down {
            warn!("second signal: instances end without waiting; what is open is read again later");
            for member in self.members.values() {
                if let Some(process) = &member.process {
                    process.identity.signal(Signal::TERM);
                }
            }
        } else {
            self.go_down();
        }
    }

    fn go_down(&mut self) {
        info!("stopping all instances");
        (self.going_down, self.target, self.roll) = (true, 0, None);
        self.autoscaler = None;
        for number in self.members.keys().copied().collect::<Vec<_>>() {
            self.stop(number, Then::Leave);
        }
    }

    fn stop(&mut self, number: u32, then: Then) {
        let kill_at = Instant::now() + self.options.grace + KILL_AFTER;
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        match (&member.process, &member.stage) {
            (_, Stage::Leaving) => {}
            (Some(_), Stage::Stopping { then: already, kill_at }) => {
                let then = if *already == Then::Leave { Then::Leave } else { then };
                member.stage = Stage::Stopping { kill_at: *kill_at, then };
            }
            (Some(process), _) => {
                process.identity.signal(Signal::TERM);
                member.stage = Stage::Stopping { kill_at, then };
            }
            (None, _) if then == Then::Start => {
                member.stage =
                    Stage::Waiting { until: Instant::now(), why: "is started again".to_owned() };
            }
            (None, _) => {
                member.stage = Stage::Ended;
                if !self.going_down {
                    self.take_out(vec![number]);
                }
            }
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

    fn scale(&mut self, instances: u32, why: &str) -> Result<String, Refusal> {
        self.check_size(instances).map_err(Refusal)?;
        self.refuse_while_rolling()?;
        let from = self.target;
        for number in 1..=instances {
            if let Err(error) = self.check_port(number) {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                return Err(Refusal(format!(
                    "{error}: {}; nothing was changed",
                    cause.unwrap_or_default()
                )));
            }
        }
        if instances == from {
            return Ok(format!("there are {from} instances already"));
        }
        self.target = instances;
        info!(from, to = instances, why, "scaling");
        if self.changes.len() == CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change {
            at_ms: now_ms(),
            from,
            to: instances,
            why: why.to_owned(),
        });
        self.fill();
        self.empty();
        let partitions = self.partitions();
        let idle = if partitions > 0 && instances > partitions {
            format!(
                "; warning: a topic has at most {partitions} partitions, so instances {} to \
                 {instances} have nothing to read",
                partitions + 1
            )
        } else {
            String::new()
        };
        Ok(format!("{from} → {instances} instances{idle}"))
    }

    /// Partitions of the topic that has the most; 0 while nobody reads any.
    fn partitions(&self) -> u32 {
        let fleet = self.shared.fleet();
        let numbers = fleet.instances.iter().flat_map(|member| &member.partitions);
        let highest = numbers.map(|partition| partition.partition).max();
        highest.map_or(0, |highest| u32::try_from(highest + 1).unwrap_or(0))
    }

    /// What time brings: starts, kills, the next step of a restart, a decision.
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

    /// The last step down: when all have ended, one request takes all out.
    fn leave_together(&mut self) {
        if self.members.is_empty() {
            self.left = true;
        } else if self.members.values().all(|member| member.stage == Stage::Ended) {
            self.take_out(self.members.keys().copied().collect());
        }
    }

    fn start(&mut self, number: u32) {
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        match self.options.launch.start(number, member.port) {
            Ok(mut child) => {
                let pid = child.id().unwrap_or(0);
                info!(instance = member.id, pid, port = member.port, "started");
                // A child that is not waited for keeps its pid: it is there.
                let identity = Identity::of(pid).unwrap_or_default();
                member.process =
                    Some(Running { identity, since: Instant::now(), since_ms: now_ms() });
                member.stage = Stage::Up;
                let events = self.events.clone();
                self.tasks.spawn(async move {
                    let status = child.wait().await.ok();
                    events.send(Event::Exited { number, pid, status }).await.ok();
                });
            }
            Err(error) => {
                warn!(instance = member.id, %error, "cannot be started");
                let until = Instant::now() + KILL_AFTER;
                member.stage = Stage::Held { until, why: format!("cannot be started: {error}") };
            }
        }
        member.starts += 1;
        self.is_written = false;
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

    fn autoscale(&mut self) {
        if self.roll.is_some() {
            return;
        }
        let partitions = self.partitions();
        let Some(autoscaler) = &mut self.autoscaler else {
            return;
        };
        let totals = self.shared.fleet().totals;
        let decision = autoscaler.decide(Sight {
            at: self.began.elapsed(),
            instances: self.target,
            ready: u32::try_from(totals.ready).unwrap_or(u32::MAX),
            partitions,
            lag: totals.lag,
            rows_per_second: totals.rows_per_second,
        });
        if decision.instances == self.target {
            // Figures change each second: the words before them say what is new.
            let kind = decision.why.split(|letter: char| letter.is_ascii_digit()).next_back();
            let kind = kind.unwrap_or_default().to_owned();
            if kind != self.kept {
                info!(instances = self.target, why = decision.why, "not scaling");
                self.kept = kind;
            }
        } else if let Err(refusal) = self.scale(decision.instances, &decision.why) {
            warn!(to = decision.instances, why = decision.why, %refusal, "cannot scale");
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
