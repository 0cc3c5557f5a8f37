//! The tests that do harm: an instance is stopped, inserts are made slow. Both are undone.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::report::Line;
use super::rows::Gaps;
use super::run::{LOOK_EVERY, ROWS_LIMIT, SETTLE, Undo, Validation, with_causes};
use super::ticks::Producing;
use crate::hub::{ProcessState, Supervised};

/// Messages per second while an instance is stopped: enough that a second without a row of some
/// partition says something.
const LOAD: f64 = 1_500.0;
/// Messages that are set aside for it: an hour of them.
const LOAD_MESSAGES: u64 = 5_400_000;
/// Longest fail-over in any case.
const FAIL_OVER: Duration = Duration::from_secs(30);
/// A partition that had a row so lately flows.
const LATELY: Duration = Duration::from_secs(1);
/// Longest that inserts are slow for.
const SLOW_FOR: Duration = Duration::from_mins(2);
/// How long an insert takes then; less where the bridge would give it up.
const SLOW: Duration = Duration::from_secs(20);
/// How long instances have to fill up.
const FILL_LIMIT: Duration = Duration::from_mins(1);

const KILLED: &str = "fail-over, killed";
const STOPPED: &str = "fail-over, stopped";
const PRESSURE: &str = "back-pressure";

impl Validation {
    /// The lines of the tests of this page when they are not run.
    pub(super) fn without_harm(why: &str) -> Vec<Line> {
        [(KILLED, killed_wanted()), (STOPPED, stopped_wanted()), (PRESSURE, pressure_wanted())]
            .map(|(name, wanted)| Line::not_run(name, wanted, why))
            .into()
    }

    pub(super) async fn fail_over(&self) -> Vec<Line> {
        let none = |why: &str| {
            let mut lines = Self::without_harm(why);
            lines.pop();
            lines
        };
        if !self.reach.may_harm {
            return none("not on this machine: --disruptive allows it");
        }
        let supervisor = match self.fleet().await {
            Ok(fleet) => fleet.supervisor,
            Err(why) => return none(&why),
        };
        let Some(supervisor) = supervisor.filter(|one| one.target > 1) else {
            return none(
                "no supervisor with two instances or more: stop one by your platform's means and \
                 watch `data-bridge status`",
            );
        };
        let numbers = self.take(LOAD_MESSAGES);
        let producing = match self.ticks.produce(numbers.clone(), Some(LOAD)) {
            Ok(producing) => producing,
            Err(error) => return none(&with_causes(&error)),
        };
        let topic = &self.ticks.topic;
        let origins = (0..self.ticks.partitions).map(|one| format!("kafka:{topic}:{one}"));
        let mut gaps = Gaps::of(origins);
        let mut lines = Vec::new();
        if let Err(why) = self.flowing(&mut gaps, async || Ok(())).await {
            lines = vec![
                Line::judged(KILLED, killed_wanted(), "rows before".into(), vec![why]),
                Line::not_run(STOPPED, stopped_wanted(), "no rows came before it"),
            ];
        } else {
            lines.push(self.killed(&mut gaps, &supervisor).await);
            lines.push(self.stopped(&mut gaps, supervisor.target).await);
        }
        self.end_load(numbers, producing, &mut lines).await;
        lines
    }

    /// All that was sent meanwhile is visible once, or the last test failed.
    async fn end_load(&self, numbers: Range<u64>, producing: Producing, lines: &mut [Line]) {
        let mut why = Vec::new();
        match producing.end() {
            Err(error) => why.push(with_causes(&error)),
            Ok(sent) => {
                let numbers = numbers.start..numbers.start + sent;
                let visible = self.visible(&numbers, ROWS_LIMIT).await;
                why.extend(self.not_exact(&numbers, &visible).await);
            }
        }
        if let Some(line) = lines.last_mut()
            && !why.is_empty()
        {
            let why = [std::mem::take(&mut line.why), why].concat();
            *line = Line::judged(line.name, line.wanted.clone(), line.measured.clone(), why);
        }
    }

    async fn killed(&self, gaps: &mut Gaps, supervisor: &Supervised) -> Line {
        let not_run = |why: &str| Line::not_run(KILLED, killed_wanted(), why);
        if !self.reach.is_local {
            return not_run("its processes are not on this machine");
        }
        let running =
            |one: &&crate::hub::Process| one.state == ProcessState::Running && one.pid > 0;
        let Some(victim) = supervisor.processes.iter().rfind(running) else {
            return not_run("no process runs");
        };
        let pid = i32::try_from(victim.pid).ok().and_then(rustix::process::Pid::from_raw);
        let Some(pid) = pid else {
            return not_run("no process runs");
        };
        gaps.begin();
        if let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
            return not_run(&format!("process {} cannot be killed: {error}", victim.pid));
        }
        let back = self
            .flowing(gaps, async || {
                let fleet = self.fleet().await?;
                let processes = fleet.supervisor.unwrap_or_default().processes;
                let now = processes.iter().find(|one| one.number == victim.number);
                if now.is_none_or(|one| one.pid == victim.pid || one.pid == 0) {
                    return Err(format!("{} was not started again", victim.id));
                }
                self.spread_among(supervisor.target).await
            })
            .await;
        let measured = format!("{} without rows", shown(gaps.longest()));
        Line::judged(KILLED, killed_wanted(), measured, too_long(gaps, back))
    }

    async fn stopped(&self, gaps: &mut Gaps, target: u32) -> Line {
        gaps.begin();
        self.note(|undo| undo.instances = Some(target));
        let mut why = Vec::new();
        if let Err(error) = self.scale(target - 1).await {
            why.push(error);
        }
        let less = self.flowing(gaps, async || self.spread_among(target - 1).await).await;
        let (stopped, shares) = (gaps.longest(), self.shares().await);
        why.extend(too_long(gaps, less));
        gaps.begin();
        if let Err(error) = self.scale(target).await {
            why.push(error);
        }
        let back = self.flowing(gaps, async || self.spread_among(target).await).await;
        if back.is_ok() {
            self.note(|undo| undo.instances = None);
        }
        why.extend(too_long(gaps, back));
        let measured = format!(
            "{shares} after {}, {} again after {}",
            shown(stopped),
            self.shares().await,
            shown(gaps.longest())
        );
        Line::judged(STOPPED, stopped_wanted(), measured, why)
    }

    async fn shares(&self) -> String {
        super::shares::shown(&self.look().await.unwrap_or_default(), &self.ticks.topic)
    }

    async fn spread_among(&self, instances: u32) -> Result<(), String> {
        let wanted = usize::try_from(instances).ok();
        let (_, problems) = self.settled(wanted, Duration::ZERO).await;
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Watches the rows until each partition flows and `done` says so too.
    async fn flowing(
        &self,
        gaps: &mut Gaps,
        done: impl AsyncFn() -> Result<(), String>,
    ) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let fronts =
                self.rows.fronts().await.map_err(|error| format!("ClickHouse: {error}"))?;
            gaps.look(&fronts);
            let why = match done().await {
                Ok(()) if gaps.all_flow(LATELY) => return Ok(()),
                Ok(()) => "rows of some partitions do not come".to_owned(),
                Err(why) => why,
            };
            if began.elapsed() > SETTLE + FAIL_OVER {
                return Err(why);
            }
            tokio::time::sleep(LOOK_EVERY / 2).await;
        }
    }

    pub(super) async fn back_pressure(&self) -> Line {
        if !self.reach.may_harm {
            let why = "not on this machine: --disruptive allows it";
            return Line::not_run(PRESSURE, pressure_wanted(), why);
        }
        let pause = SLOW.min(self.insert_timeout.mul_f64(0.6));
        if let Err(failure) = self.rows.sweep().await {
            let why = format!("ClickHouse: {failure}");
            return Line::judged(PRESSURE, pressure_wanted(), String::new(), vec![why]);
        }
        let view = match self.rows.slow(pause, SLOW_FOR).await {
            Ok(view) => view,
            Err(failure) => {
                let why = format!("inserts cannot be slowed down by a view: {failure}");
                return Line::not_run(PRESSURE, pressure_wanted(), why);
            }
        };
        self.note(|undo| undo.view = Some(view.clone()));
        let mut why = Vec::new();
        let all = self.look().await.unwrap_or_default();
        let cap = 2 * self.backpressure.max_rows.get() * all.len().max(1) as u64;
        let numbers = self.take(cap);
        let mut held = BTreeSet::new();
        let mut sent = 0;
        let began = Instant::now();
        match self.ticks.produce(numbers.clone(), None) {
            Err(error) => why.push(with_causes(&error)),
            Ok(producing) => {
                while held.len() < all.len() && began.elapsed() < FILL_LIMIT {
                    for one in self.look().await.unwrap_or_default() {
                        if one.status.as_ref().is_ok_and(|status| status.backpressure) {
                            held.insert(one.name().to_owned());
                        }
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                match producing.end() {
                    Ok(count) => sent = count,
                    Err(error) => why.push(with_causes(&error)),
                }
            }
        }
        let filled = began.elapsed();
        for one in &all {
            if !held.contains(one.name()) {
                why.push(format!("{} did not pause, though inserts took {pause:?}", one.name()));
            }
        }
        match self.rows.quick(&view).await {
            Ok(()) => self.note(|undo| undo.view = None),
            Err(failure) => why.push(format!("the view {view} cannot be dropped: {failure}")),
        }
        let again = Instant::now();
        let numbers = numbers.start..numbers.start + sent;
        let visible = self.visible(&numbers, 2 * ROWS_LIMIT).await;
        why.extend(self.not_exact(&numbers, &visible).await);
        why.extend(self.still_paused().await);
        let measured = format!(
            "{} of {} paused after {}, all rows {} later",
            held.len(),
            all.len(),
            shown(filled),
            shown(again.elapsed())
        );
        Line::judged(PRESSURE, pressure_wanted(), measured, why)
    }

    /// Waits until none holds fetching back; who still does.
    async fn still_paused(&self) -> Vec<String> {
        let began = Instant::now();
        loop {
            let seen = self.look().await.unwrap_or_default();
            let is_held = |one: &&super::seen::Seen| {
                one.status.as_ref().is_ok_and(|status| status.backpressure)
            };
            let held: Vec<String> =
                seen.iter().filter(is_held).map(|one| one.name().to_owned()).collect();
            if held.is_empty() {
                return Vec::new();
            }
            if began.elapsed() > SETTLE {
                return vec![format!("{} did not resume", held.join(", "))];
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn note(&self, what: impl FnOnce(&mut Undo)) {
        what(&mut self.undo.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn killed_wanted() -> String {
    "started again, flows within 30 s".to_owned()
}

fn stopped_wanted() -> String {
    "the others take over, and back, nothing lost".to_owned()
}

fn pressure_wanted() -> String {
    "all pause, all resume, nothing lost".to_owned()
}

fn too_long(gaps: &Gaps, ended: Result<(), String>) -> Vec<String> {
    let mut why: Vec<String> = ended.err().into_iter().collect();
    if gaps.longest() > FAIL_OVER {
        why.push(format!("a partition was without rows for {}", shown(gaps.longest())));
    }
    why
}

fn shown(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
