//! What goes wrong in a world.

use data_bridge_core::engine::Input;
use data_bridge_core::units::{BatchId, LaneId, Position, TableId};

use super::instance::Tenure;
use super::server::{Fault, refused};
use super::world::{Event, LETTERS, MILLISECOND, SECOND, World, moment};

/// A kind of trouble; how often each comes is in [`Trouble::pick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    Produce,
    Faults,
    Revoke,
    Lose,
    Crash,
    Stop,
    ClockJump,
    LateAnswer,
    Accept,
    FetchRevoked,
    Mend,
}

impl Trouble {
    pub(super) const ALL: [Self; 11] = [
        Self::Produce,
        Self::Faults,
        Self::Revoke,
        Self::Lose,
        Self::Crash,
        Self::Stop,
        Self::ClockJump,
        Self::LateAnswer,
        Self::Accept,
        Self::FetchRevoked,
        Self::Mend,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Faults => "faults",
            Self::Revoke => "revoke",
            Self::Lose => "lose",
            Self::Crash => "crash",
            Self::Stop => "stop",
            Self::ClockJump => "clock-jump",
            Self::LateAnswer => "late-answer",
            Self::Accept => "accept",
            Self::FetchRevoked => "fetch-revoked",
            Self::Mend => "mend",
        }
    }

    fn pick(percent: u8) -> Self {
        match percent {
            0..40 => Self::Produce,
            40..60 => Self::Faults,
            60..72 => Self::Revoke,
            72..78 => Self::Lose,
            78..82 => Self::Crash,
            82..85 => Self::Stop,
            85..90 => Self::ClockJump,
            90..93 => Self::LateAnswer,
            93..95 => Self::Accept,
            95..97 => Self::Mend,
            _ => Self::FetchRevoked,
        }
    }
}

impl World {
    pub(super) fn trouble(&mut self) {
        let who = self.rng.usize(..self.instances.len());
        let trouble = Trouble::pick(self.rng.u8(..100));
        if self.without.contains(&trouble) {
            return;
        }
        match trouble {
            Trouble::Produce => self.produce(),
            Trouble::Faults => self.break_server(),
            Trouble::Revoke => self.revoke(who),
            Trouble::Lose => self.lose(who),
            Trouble::Crash => self.crash(who),
            Trouble::Stop => self.stop(who),
            Trouble::ClockJump => {
                self.counts.clock_jumps += 1;
                self.now += self.rng.u64(0..120 * SECOND);
                self.jumped = self.now;
            }
            Trouble::LateAnswer => self.answer_late(who),
            Trouble::Accept => self.accept_floods(who),
            Trouble::FetchRevoked => self.fetch_revoked(who),
            Trouble::Mend => self.mend(who),
        }
    }

    pub(super) fn produce(&mut self) {
        for log in 0..self.logs.len() {
            let most = *self.rng.choice(&[0, 5, 50, 300]).unwrap_or(&0);
            if self.logs[log].backlog() > 400 {
                continue;
            }
            for _ in 0..self.below(most) {
                self.logs[log].produce(&mut self.rng, &self.make);
                self.counts.records += 1;
            }
        }
    }

    pub(super) fn break_server(&mut self) {
        let code =
            *self.rng.choice(&[0, 252, 999, 242, 516, 60, 241, 241, 1001, 469]).unwrap_or(&0);
        let table = match (code, self.rng.u8(..6)) {
            // Letters may be refused for what they hold; other rows would be buried for it.
            (469, _) | (_, 4) => Some(LETTERS),
            (_, 3) => None,
            (_, of) => Some(TableId(u16::from(of % 3))),
        };
        let until = self.now + self.rng.u64(0..8 * SECOND);
        self.server.faults.push(Fault { table, code, until });
    }

    pub(super) fn some_lanes(&mut self, who: usize, tenure: Tenure) -> Vec<LaneId> {
        let all = self.rng.bool();
        let lanes = self.instances[who].lanes.iter().filter(|(_, lane)| lane.tenure == tenure);
        lanes.filter(|_| all || self.rng.bool()).map(|(id, _)| *id).collect()
    }

    pub(super) fn revoke(&mut self, who: usize) {
        let lanes = self.some_lanes(who, Tenure::Live);
        if !self.instances[who].is_up || lanes.is_empty() {
            return;
        }
        let instance = &mut self.instances[who];
        for lane in &lanes {
            if let Some(lane) = instance.lanes.get_mut(lane) {
                lane.tenure = Tenure::Revoked;
            }
        }
        let most = *self.rng.choice(&[0, 20 * MILLISECOND, SECOND, 20 * SECOND]).unwrap_or(&0);
        let deadline = self.now + self.below(most);
        self.instances[who].revocations.push((lanes.clone(), deadline));
        self.counts.revocations += 1;
        self.tell(who, Input::Revoked { lanes, deadline: moment(deadline) });
    }

    /// The session expires: others own the partitions before this instance learns of it.
    pub(super) fn lose(&mut self, who: usize) {
        if !self.instances[who].is_up {
            return;
        }
        let owned =
            self.instances[who].lanes.iter().filter(|(_, lane)| lane.tenure != Tenure::Gone);
        let owned: Vec<_> = owned.map(|(id, lane)| (*id, lane.log)).collect();
        self.lose_streams(who);
        for (lane, log) in &owned {
            if self.logs[*log].owner == Some((who, *lane)) {
                self.logs[*log].owner = None;
                self.later(0, Event::Assign { log: *log });
            }
        }
        let most = *self.rng.choice(&[0, 100 * MILLISECOND, 10 * SECOND]).unwrap_or(&0);
        let (life, wait) = (self.instances[who].life, self.below(most));
        let lanes = owned.into_iter().map(|(lane, _)| lane).collect();
        self.later(wait, Event::Lose { who, life, lanes });
    }

    pub(super) fn crash(&mut self, who: usize) {
        if !self.instances[who].is_up {
            return;
        }
        self.counts.crashes += 1;
        self.down(who);
    }

    pub(super) fn down(&mut self, who: usize) {
        self.instances[who].is_up = false;
        for log in 0..self.logs.len() {
            if self.logs[log].owner.is_some_and(|(owner, _)| owner == who) {
                self.logs[log].owner = None;
                let wait = self.below(SECOND);
                self.later(wait, Event::Assign { log });
            }
        }
        let wait = self.below(2 * SECOND);
        self.later(wait, Event::Start { who });
    }

    pub(super) fn stop(&mut self, who: usize) {
        if !self.instances[who].is_up || self.instances[who].stopping.is_some() {
            return;
        }
        self.counts.stops += 1;
        let most = *self.rng.choice(&[0, SECOND, 30 * SECOND]).unwrap_or(&0);
        let deadline = self.now + self.below(most);
        self.instances[who].stopping = Some(deadline);
        self.tell(who, Input::Stop { deadline: moment(deadline) });
    }

    /// An answer for a batch nobody waits for, or that never was.
    pub(super) fn answer_late(&mut self, who: usize) {
        let batch = BatchId(self.rng.u64(0..500));
        let is_awaited =
            self.instances[who].batches.get(&batch).is_some_and(|batch| batch.in_flight);
        if !self.instances[who].is_up || is_awaited {
            return;
        }
        self.counts.late_answers += 1;
        let input = if self.rng.bool() {
            Input::Durable { batch }
        } else {
            Input::Failed {
                batch,
                failure: refused(*self.rng.choice(&[6, 241, 516]).unwrap_or(&6)),
            }
        };
        self.tell(who, input);
    }

    /// People let the letters of all floods through.
    pub(super) fn accept_floods(&mut self, who: usize) {
        if !self.instances[who].is_up {
            return;
        }
        for table in self.instances[who].floods.clone() {
            self.counts.floods_accepted += 1;
            self.tell(who, Input::Accept { table });
        }
    }

    /// A table was looked at and is said to be well; it may be, or be refused again.
    pub(super) fn mend(&mut self, who: usize) {
        if !self.instances[who].is_up {
            return;
        }
        for table in self.instances[who].tables_paused.clone() {
            self.counts.mended += 1;
            if self.rng.bool() {
                self.server.faults.retain(|fault| fault.table != Some(table));
            }
            self.tell(who, Input::Mended { table });
        }
    }

    /// Records of a lane that is not ours any more are not taken.
    pub(super) fn fetch_revoked(&mut self, who: usize) {
        let instance = &mut self.instances[who];
        let lanes = instance.lanes.iter().filter(|(_, lane)| lane.tenure != Tenure::Live);
        let lane = lanes.map(|(id, lane)| (*id, lane.fetched)).next_back();
        if let Some((lane, fetched)) = lane.filter(|_| instance.is_up) {
            let receipt = instance.engine.open(lane, Position(fetched + 10), 100);
            assert!(receipt.is_none(), "lane {lane} takes records after it ended");
            self.counts.refused_fetches += 1;
        }
    }
}
