//! A world: time, chance, and everything that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use data_bridge_core::engine::{Input, Limits, Output};
use data_bridge_core::units::{BatchId, LaneId, Moment, Position, Shelf, TableId};

use super::group::{Log, Make};
use super::instance::{Instance, Lane, Row, Tenure, table_of};
use super::server::Server;
use super::trouble::Trouble;

pub(super) const LETTERS: TableId = TableId(9);
pub(super) const MILLISECOND: u64 = 1_000;
pub(super) const SECOND: u64 = 1_000_000;

/// What happens at a moment that was fixed before.
#[derive(Debug)]
pub(super) enum Event {
    Fetch {
        who: usize,
        life: u32,
    },
    InsertEnds {
        who: usize,
        life: u32,
        batch: BatchId,
        shelf: Shelf,
        rows: Vec<Row>,
    },
    CommitEnds {
        who: usize,
        life: u32,
        positions: Vec<(LaneId, Position)>,
    },
    Buried {
        who: usize,
        life: u32,
        batch: BatchId,
    },
    Assign {
        log: usize,
    },
    Lose {
        who: usize,
        life: u32,
        lanes: Vec<LaneId>,
    },
    Start {
        who: usize,
    },
    /// In a calm world people look after floods.
    Accept {
        who: usize,
        life: u32,
    },
    Trouble,
}

macro_rules! counts {
    ($($name:ident),+ $(,)?) => {
        /// What happened, over all worlds.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub(super) struct Counts { $(pub(super) $name: u64),+ }

        impl Counts {
            pub(super) fn add(&mut self, more: &Self) { $(self.$name += more.$name;)+ }

            /// A simulation in which something never happens proves nothing about it.
            pub(super) fn assert_everything_happened(&self) {
                $(assert!(self.$name > 0, concat!("never happened: ", stringify!($name)));)+
            }
        }
    };
}
counts! {
    inputs, records, inserts, lost_answers, retries, splits, seals, buried, pauses, resumes,
    tables_paused, tables_resumed, floods, floods_ended, floods_accepted, held_by_flood, commits,
    commits_failed, revocations, closed_in_time,
    closed_by_deadline, lost, crashes, stops, clean_stops, unclean_stops, clock_jumps, late_answers,
    refused_fetches, empty_chunks, assigned_while_full, acks, given_back, working, refused_pulls,
    redelivered, late_acks, streams_lost, mended, let_go,
    buried_from_the_log,
}

pub(super) struct World {
    pub(super) rng: fastrand::Rng,
    pub(super) now: u64,
    pub(super) queue: BTreeMap<(u64, u64), Event>,
    pub(super) queued: u64,
    pub(super) logs: Vec<Log>,
    pub(super) server: Server,
    pub(super) instances: Vec<Instance>,
    pub(super) last_lane: u32,
    pub(super) make: Make,
    /// Messages of streams that one instance gave back while another holds them, since time jumped:
    /// each may be delivered once more.
    pub(super) given_by_one_of_several: BTreeSet<(usize, usize)>,
    /// Inserts that were durable, and commits that were accepted.
    pub(super) progress: u64,
    pub(super) is_calm: bool,
    pub(super) without: BTreeSet<Trouble>,
    /// Everything that engines are told and say is shown.
    pub(super) told: bool,
    /// When the clock last jumped.
    pub(super) jumped: u64,
    pub(super) outputs: Vec<Output>,
    pub(super) counts: Counts,
}

impl World {
    /// A world from its seed, in which these kinds of trouble never come.
    pub(super) fn new(seed: u64, without: BTreeSet<Trouble>, told: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let buffer_bytes = rng.u64(10_000..300_000);
        let limits = Limits {
            dead_letters: LETTERS,
            batch_rows: rng.u32(5..200),
            batch_bytes: rng.u64(1_000..50_000),
            batch_age: Duration::from_millis(rng.u64(1..100)),
            old_partition_age: Duration::from_millis(rng.u64(100..1_500)),
            inserts_per_table: rng.usize(1..5),
            inserts_per_second: *rng.choice(&[1, 20, 1_000]).unwrap_or(&20),
            longest_stretch: Duration::from_millis(rng.u64(0..2_000)),
            buffer_rows: *rng.choice(&[50, 500, 2_000, 20_000]).unwrap_or(&50),
            buffer_bytes,
            stream_rows: *rng.choice(&[10, 1_000]).unwrap_or(&10),
            pause_at: 0.8,
            resume_at: 0.4,
            retry_initial: Duration::from_millis(rng.u64(10..1_000)),
            retry_max: Duration::from_millis(rng.u64(1_000..32_000)),
            commit_interval: Duration::from_millis(rng.u64(0..200)),
            progress_interval: Duration::from_millis(rng.u64(200..2_000)),
            keep: Duration::from_millis(rng.u64(1_000..10_000)),
            flood_rows: *rng.choice(&[5, 50, 1_000]).unwrap_or(&50),
            flood_share: *rng.choice(&[0.0, 0.1, 0.5]).unwrap_or(&0.5),
            flood_window: Duration::from_secs(rng.u64(1..60)),
        };
        let members = rng.usize(1..4);
        let logs = rng.usize(1..7);
        let streams = rng.u16(0..3);
        let server = Server {
            letters: LETTERS,
            faults: Vec::new(),
            unrest: *rng.choice(&[0.0, 0.02, 0.2]).unwrap_or(&0.0),
            slowest: *rng.choice(&[5 * MILLISECOND, 200 * MILLISECOND, 5 * SECOND]).unwrap_or(&1),
        };
        let bad = *rng.choice(&[0.0, 0.0, 0.005, 0.005, 0.05, 0.05, 0.4]).unwrap_or(&0.0);
        let instances =
            (0..members).map(|_| Instance::new(limits.clone(), rng.u64(..), 0)).collect();
        let make = Make {
            bad,
            payload: *rng.choice(&[4, 200]).unwrap_or(&200),
            giant: if rng.u8(..) < 30 { buffer_bytes * 2 } else { 200 },
        };
        let mut world = Self {
            rng,
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            logs: (0..logs)
                .map(|log| Log::new(table_of(log)))
                .chain((0..streams).map(|log| Log::stream(TableId(log % 3))))
                .collect(),
            server,
            instances,
            last_lane: 0,
            make,
            given_by_one_of_several: BTreeSet::new(),
            progress: 0,
            is_calm: false,
            without,
            told,
            jumped: 0,
            outputs: Vec::new(),
            counts: Counts::default(),
        };
        for log in 0..logs {
            world.later(0, Event::Assign { log });
        }
        for who in 0..members {
            world.later(1, Event::Fetch { who, life: 0 });
        }
        world.later(10, Event::Trouble);
        world
    }

    /// Lives through `events` inputs, calms down, and ends with a stop.
    pub(super) fn live(mut self, events: u64) -> Counts {
        while self.counts.inputs < events {
            self.step();
        }
        self.calm();
        let (mut steps, mut all, mut progress) = (0, 0, self.progress);
        while !self.is_consumed() {
            self.step();
            (steps, all) = (steps + 1, all + 1);
            assert!(all < 1_000_000, "no end in a calm world: {}", self.state());
            if self.progress > progress {
                (steps, progress) = (0, self.progress);
            }
            assert!(steps < 5_000, "no progress in a calm world: {}", self.state());
        }
        for log in &self.logs {
            log.assert_complete();
        }
        self.end();
        self.counts
    }

    /// What comes first: an event, or what an engine is waiting for.
    fn step(&mut self) {
        let wake = self.instances.iter().enumerate().filter(|(_, instance)| instance.is_up);
        let wake = wake.filter_map(|(who, instance)| Some((instance.wake?, who))).min();
        let event = self.queue.first_key_value().map(|((at, _), _)| *at);
        match (wake, event) {
            (Some((wake, who)), event) if event.is_none_or(|at| micros(wake) <= at) => {
                self.now = self.now.max(micros(wake));
                self.tell(who, Input::Tick);
            }
            (_, Some(at)) => {
                self.now = self.now.max(at);
                if let Some((_, event)) = self.queue.pop_first() {
                    self.happen(event);
                }
            }
            (_, None) => unreachable!("the world stands still: {}", self.state()),
        }
    }

    pub(super) fn later(&mut self, wait: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + wait, self.queued), event);
    }

    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.rng.u64(0..=most)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Fetch { who, life } => {
                if self.is_alive(who, life) {
                    self.pull(who);
                    self.fetch(who);
                    let wait = self.below(40 * MILLISECOND);
                    self.later(wait, Event::Fetch { who, life });
                }
            }
            Event::InsertEnds { who, life, batch, shelf, rows } => {
                self.insert_ends(who, life, batch, shelf, &rows);
            }
            Event::CommitEnds { who, life, positions } => self.commit_ends(who, life, &positions),
            Event::Buried { who, life, batch } => {
                if self.is_alive(who, life) {
                    self.bury(who, batch);
                }
            }
            Event::Assign { log } => self.assign(log),
            Event::Lose { who, life, lanes } => {
                if self.is_alive(who, life) {
                    let instance = &mut self.instances[who];
                    for lane in &lanes {
                        if let Some(lane) = instance.lanes.get_mut(lane) {
                            lane.tenure = Tenure::Gone;
                        }
                    }
                    self.counts.lost += 1;
                    self.tell(who, Input::Lost { lanes });
                }
            }
            Event::Start { who } => {
                let instance = &self.instances[who];
                let (limits, life) = (instance.limits.clone(), instance.life + 1);
                self.instances[who] = Instance::new(limits, self.rng.u64(..), life);
                self.later(0, Event::Fetch { who, life });
            }
            Event::Accept { who, life } => {
                if self.is_alive(who, life) {
                    self.accept_floods(who);
                }
            }
            Event::Trouble => {
                if !self.is_calm {
                    self.trouble();
                    let wait = self.below(300 * MILLISECOND);
                    self.later(wait, Event::Trouble);
                }
            }
        }
    }

    pub(super) fn is_alive(&self, who: usize, life: u32) -> bool {
        self.instances[who].is_up && self.instances[who].life == life
    }

    fn calm(&mut self) {
        self.is_calm = true;
        self.server.faults.clear();
        self.server.unrest = 0.0;
        self.server.slowest = 5 * MILLISECOND;
        for who in 0..self.instances.len() {
            let life = self.instances[who].life;
            self.later(0, Event::Accept { who, life });
        }
    }

    fn state(&self) -> String {
        let logs = self.logs.iter().map(|log| (log.committed, log.end, log.owner));
        let engines = self.instances.iter().map(|instance| instance.engine.snapshot());
        format!(
            "at {} µs: {:?} {:#?}",
            self.now,
            logs.collect::<Vec<_>>(),
            engines.collect::<Vec<_>>()
        )
    }

    fn is_consumed(&self) -> bool {
        self.logs.iter().all(Log::is_consumed)
    }

    /// All instances stop, and nothing is left in them.
    fn end(&mut self) {
        for who in 0..self.instances.len() {
            let mut steps = 0;
            while self.instances[who].is_up && !self.is_idle(who) {
                self.step();
                steps += 1;
                assert!(steps < 20_000, "something is held for ever: {}", self.state());
            }
            let instance = &self.instances[who];
            if instance.is_up && instance.stopping.is_none() {
                let before = self.counts.clean_stops;
                self.instances[who].stopping = Some(u64::MAX);
                let deadline = moment(self.now + 60 * SECOND);
                self.tell(who, Input::Stop { deadline });
                assert_eq!(self.counts.clean_stops, before + 1, "an idle engine stops at once");
            }
        }
    }

    fn is_idle(&self, who: usize) -> bool {
        let instance = &self.instances[who];
        let is_done = |lane: &Lane| lane.tenure == Tenure::Gone || lane.confirmed == lane.fetched;
        instance.bytes == 0
            && instance.rows == 0
            && !instance.commit_under_way
            && instance.lanes.values().all(is_done)
    }
}

pub(super) fn moment(micros: u64) -> Moment {
    Moment(Duration::from_micros(micros))
}

pub(super) fn micros(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}
