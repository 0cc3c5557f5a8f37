//! Members of a group that behave as the bridge does, with everything they see on one board.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use data_bridge::config::Config;
use data_bridge::source::Waker;
use data_bridge::source::kafka::{Event, HasRows, KafkaSource, SourceError, SourceStatus};
use data_bridge_core::units::{LaneId, Position};

use crate::kafka_stage::PATIENCE;

/// A partition by topic and number.
pub(crate) type Place = (String, i32);

/// ClickHouse has rows of no topic.
pub(crate) fn no_rows() -> HasRows {
    Arc::new(|_| Some(false))
}

/// What all members of a test have seen.
#[derive(Debug, Default)]
pub(crate) struct Board {
    view: Mutex<View>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct View {
    /// Every record, in the order it was handed out: member, partition, offset, value.
    pub(crate) records: Vec<(String, Place, u64, String)>,
    /// Starts of partitions in the order they were assigned.
    pub(crate) starts: Vec<(String, Place, u64)>,
    /// Lanes that were lost without a chance to finish.
    pub(crate) lost: usize,
    /// Errors of commits that were refused.
    pub(crate) refused: Vec<String>,
    pub(crate) members: BTreeMap<String, MemberView>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MemberView {
    pub(crate) lanes: BTreeMap<LaneId, Place>,
    pub(crate) status: SourceStatus,
    pub(crate) fatal: Option<SourceError>,
}

impl View {
    /// How many partitions the member has.
    pub(crate) fn held(&self, member: &str) -> usize {
        self.members.get(member).map_or(0, |member| member.lanes.len())
    }

    pub(crate) fn status(&self, member: &str) -> SourceStatus {
        let member = self.members.get(member);
        member.map(|member| member.status.clone()).unwrap_or_default()
    }

    /// Offsets of one partition in the order they were handed out.
    pub(crate) fn offsets(&self, topic: &str, partition: i32) -> Vec<u64> {
        let of_partition =
            self.records.iter().filter(|(_, place, ..)| place.0 == topic && place.1 == partition);
        of_partition.map(|(_, _, offset, _)| *offset).collect()
    }

    pub(crate) fn values(&self, topic: &str) -> BTreeSet<String> {
        let of_topic = self.records.iter().filter(|(_, place, ..)| place.0 == topic);
        of_topic.map(|(.., value)| value.clone()).collect()
    }
}

impl Board {
    pub(crate) fn look<T>(&self, at: impl FnOnce(&View) -> T) -> T {
        at(&self.view())
    }

    /// Waits until it is so; panics with `what` when it does not become so.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&View) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut view = self.view();
        while !is_so(&view) {
            let left = until.saturating_duration_since(Instant::now());
            let View { starts, lost, refused, members, records } = &*view;
            assert!(
                left > Duration::ZERO,
                "{what}: never\n{} records, starts {starts:?}, lost {lost}, refused {refused:?}\n{members:#?}",
                records.len()
            );
            let waited = self.changed.wait_timeout(view, left);
            view = waited.expect("no member panicked").0;
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().expect("no member panicked")
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view());
        self.changed.notify_all();
    }
}

/// What a member is told to do.
#[derive(Debug)]
enum Order {
    Pause,
    Resume,
    /// Commits no more.
    Withhold,
    /// Stops polling until the sender is dropped.
    Freeze(Receiver<()>),
    Close,
}

/// A member of a group on a thread of its own: commits what it was handed at once, and releases
/// what is revoked when that is committed.
#[derive(Debug)]
pub(crate) struct Member {
    orders: Sender<Order>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// How a member behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) commits: bool,
    /// Pauses all lanes after so many fetches that brought something, resumes them after as many.
    pub(crate) toggle_every: Option<u32>,
    /// Most records of one fetch.
    pub(crate) batch: usize,
    /// Longest wait of one fetch.
    pub(crate) wait: Duration,
}

impl Default for Manners {
    fn default() -> Self {
        Self { commits: true, toggle_every: None, batch: 5_000, wait: Duration::from_millis(50) }
    }
}

impl Member {
    pub(crate) fn join(name: &str, config: &Config, board: &Arc<Board>) -> Self {
        Self::join_as(name, config, board, no_rows(), Manners::default())
    }

    pub(crate) fn join_as(
        name: &str,
        config: &Config,
        board: &Arc<Board>,
        has_rows: HasRows,
        manners: Manners,
    ) -> Self {
        let mut instance = config.instance.clone();
        name.clone_into(&mut instance.id);
        let source = KafkaSource::connect(&config.kafka, &instance, 16 << 20, has_rows)
            .expect("the configuration is sound");
        let waker = source.waker();
        let (orders, inbox) = mpsc::channel();
        let mut driver = Driver {
            name: name.to_owned(),
            source,
            board: Arc::clone(board),
            next: BTreeMap::new(),
            committed: BTreeMap::new(),
            revoked: Vec::new(),
            under_way: false,
            is_paused: false,
            turns: 0,
            manners,
        };
        let thread = thread::spawn(move || driver.run(&inbox));
        Self { orders, waker, thread: Some(thread) }
    }

    pub(crate) fn pause(&self) {
        self.order(Order::Pause);
    }

    pub(crate) fn resume(&self) {
        self.order(Order::Resume);
    }

    pub(crate) fn withhold_commits(&self) {
        self.order(Order::Withhold);
    }

    /// Until the answer is dropped, the member does not poll.
    pub(crate) fn freeze(&self) -> Sender<()> {
        let (thaw, frozen) = mpsc::channel();
        self.order(Order::Freeze(frozen));
        thaw
    }

    /// Leaves the group.
    pub(crate) fn close(mut self) {
        self.order(Order::Close);
        self.end();
    }

    /// Ends without a word, as a killed process does.
    pub(crate) fn crash(mut self) {
        self.end();
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the member still runs");
        self.waker.wake();
    }

    fn end(&mut self) {
        // Without a sender of orders it ends.
        self.orders = mpsc::channel().0;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the member did not panic");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.thread.is_some() && !thread::panicking() {
            self.end();
        }
    }
}

struct Driver {
    name: String,
    source: KafkaSource,
    board: Arc<Board>,
    next: BTreeMap<LaneId, Position>,
    committed: BTreeMap<LaneId, Position>,
    revoked: Vec<LaneId>,
    under_way: bool,
    is_paused: bool,
    turns: u32,
    manners: Manners,
}

impl Driver {
    fn run(&mut self, inbox: &Receiver<Order>) {
        let mut events = Vec::new();
        loop {
            match inbox.try_recv() {
                Ok(Order::Pause) => self.pause(true),
                Ok(Order::Resume) => self.pause(false),
                Ok(Order::Withhold) => self.manners.commits = false,
                Ok(Order::Freeze(frozen)) => drop(frozen.recv()),
                Ok(Order::Close) => {
                    self.source.close(Instant::now() + Duration::from_secs(10));
                    self.show();
                    return;
                }
                Err(mpsc::TryRecvError::Disconnected) => return,
                Err(mpsc::TryRecvError::Empty) => {}
            }
            let Manners { wait, batch, .. } = self.manners;
            self.source.fetch(wait, batch, &mut events);
            let brings = |event: &Event| matches!(event, Event::Fetched { .. });
            self.turns += u32::from(self.is_paused || events.iter().any(brings));
            for event in events.drain(..) {
                self.take(event);
            }
            let every = self.manners.toggle_every;
            if every.is_some_and(|every| self.turns >= every) {
                self.turns = 0;
                self.pause(!self.is_paused);
            }
            self.commit();
            self.show();
        }
    }

    fn take(&mut self, event: Event) {
        let name = self.name.clone();
        match event {
            Event::Assigned { lane, topic, partition, start } => {
                self.next.insert(lane, start);
                self.committed.insert(lane, start);
                if self.is_paused {
                    self.source.pause(&[lane]);
                }
                self.board.change(|view| {
                    let place = (topic, partition);
                    view.starts.push((name.clone(), place.clone(), start.0));
                    view.members.entry(name).or_default().lanes.insert(lane, place);
                });
            }
            Event::Fetched { lane, arena, next } => {
                assert!(next > self.next[&lane], "a fetch moves on");
                self.next.insert(lane, next);
                self.board.change(|view| {
                    let place = view.members[&name].lanes[&lane].clone();
                    view.records.extend(arena.records().map(|record| {
                        let value = record.payload.unwrap_or_default();
                        let value = String::from_utf8_lossy(value).into_owned();
                        (name.clone(), place.clone(), record.position.0, value)
                    }));
                });
            }
            Event::Revoked { lanes } => self.revoked.extend(lanes),
            Event::Lost { lanes } => {
                self.revoked.retain(|lane| !lanes.contains(lane));
                self.forget(&lanes);
                self.board.change(|view| view.lost += lanes.len());
            }
            Event::Committed { ok, error } => {
                self.under_way = false;
                if !ok {
                    self.committed.clear();
                    self.board.change(|view| view.refused.extend(error));
                }
            }
            Event::Fatal(error) => self.board.change(|view| {
                view.members.entry(name).or_default().fatal = Some(error);
            }),
        }
    }

    /// One commit at a time; what is revoked is released when it is committed.
    fn commit(&mut self) {
        if self.under_way {
            return;
        }
        let open = self
            .next
            .iter()
            .filter(|(lane, next)| self.manners.commits && self.committed.get(lane) != Some(next));
        let positions = open.map(|(lane, next)| (*lane, *next)).collect::<Vec<_>>();
        if positions.is_empty() {
            let released = std::mem::take(&mut self.revoked);
            if !released.is_empty() {
                self.forget(&released);
                self.source.release(&released);
            }
            return;
        }
        self.source.commit(&positions);
        self.committed.extend(positions);
        self.under_way = true;
    }

    fn forget(&mut self, lanes: &[LaneId]) {
        for lane in lanes {
            self.next.remove(lane);
            self.committed.remove(lane);
        }
        let name = &self.name;
        self.board.change(|view| {
            if let Some(member) = view.members.get_mut(name) {
                member.lanes.retain(|lane, _| !lanes.contains(lane));
            }
        });
    }

    fn pause(&mut self, pause: bool) {
        let lanes = self.next.keys().copied().collect::<Vec<_>>();
        if pause {
            self.source.pause(&lanes);
        } else {
            self.source.resume(&lanes);
        }
        self.is_paused = pause;
    }

    fn show(&self) {
        let status = self.source.status();
        self.board.change(|view| {
            view.members.entry(self.name.clone()).or_default().status = status;
        });
    }
}
