//! The order of the tests, and those that do no harm.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bench::warm_up;
use super::report::{Line, Outcome, Report};
use super::rows::{Rows, Visible};
use super::seen::{Place, Seen, look};
use super::shares::{Spread, problems, shown};
use super::ticks::{ProduceError, Ticks};
use crate::config::{Assignor, Backpressure, Config};
use crate::hub::{Client, Command, Fleet, Life};
use crate::sink::clickhouse::ClickHouse;

/// A hub answers from memory.
const HUB_LIMIT: Duration = Duration::from_secs(5);
/// A group has settled by then: a session and a rebalance.
pub(super) const SETTLE: Duration = Duration::from_secs(30);
/// Rows that are not visible by then are lost, as far as anyone can wait for them.
pub(super) const ROWS_LIMIT: Duration = Duration::from_mins(1);
/// Instances count within a second what they have written …
const COUNTED_AFTER: Duration = Duration::from_millis(1_200);
/// … and this is long enough to wait for it.
const COUNTED_LIMIT: Duration = Duration::from_secs(5);
/// Time between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Instances send a heartbeat each 30 s; two may be on their way.
const OLDEST_HEARTBEAT_MS: i64 = 65_000;
/// Share of an instance's part by which it may be off.
const UNEVEN: f64 = 0.1;
/// Messages that are sent twice.
const TWICE: u64 = 1_000;

/// Where the fleet is, and what may be done to it.
#[derive(Debug)]
pub struct Reach {
    /// Shows the fleet's token.
    pub client: Client,
    /// The fleet's hub; without one, `instances`.
    pub hub: Option<String>,
    /// URLs of instances.
    pub instances: Vec<String>,
    /// Whether its processes run on this machine.
    pub is_local: bool,
    /// Whether an instance may be stopped and ClickHouse slowed down.
    pub may_harm: bool,
}

/// How much, and what must come of it.
#[derive(Clone, Copy, Debug)]
pub struct Objectives {
    /// Messages of the test of distribution.
    pub messages: u64,
    /// Messages per second of the benchmarks.
    pub rate: u64,
    /// How long they last; zero leaves them out.
    pub lasts: Duration,
    /// Longest p99 from produce to durable.
    pub p99: Duration,
}

/// What has to be put back.
#[derive(Debug, Default)]
pub(super) struct Undo {
    pub(super) instances: Option<u32>,
    pub(super) view: Option<String>,
}

/// One validation of one fleet.
#[derive(Debug)]
pub struct Validation {
    pub(super) reach: Reach,
    pub(super) objectives: Objectives,
    pub(super) topics: BTreeMap<String, i32>,
    pub(super) rows: Rows,
    pub(super) ticks: Ticks,
    pub(super) backpressure: Backpressure,
    pub(super) insert_timeout: Duration,
    pub(super) undo: Mutex<Undo>,
    group: String,
    spread: Spread,
    next: AtomicU64,
}

impl Validation {
    /// A validation of the fleet at `reach`, whose configuration is `config`; `topics` are those
    /// it reads with their partitions, `tick_topic` one whose messages become rows of `ticks`.
    #[must_use]
    pub fn new(
        config: &Config,
        clickhouse: ClickHouse,
        (topics, tick_topic): (BTreeMap<String, i32>, String),
        (reach, objectives): (Reach, Objectives),
    ) -> Self {
        let time_ms = jiff::Timestamp::now().as_millisecond();
        // Runs that begin in different milliseconds have other events: for 24 days.
        let run = u64::try_from(time_ms).unwrap_or(0) & 0x7fff_ffff;
        let symbol = format!("VALIDATE.{run:08X}");
        let first_id = run << 32;
        let even = config.kafka.assignor == Assignor::Range;
        let rows = Rows { clickhouse, table: "ticks".to_owned(), symbol: symbol.clone(), first_id };
        let partitions = topics.get(&tick_topic).copied().unwrap_or(1);
        let kafka = config.kafka.clone();
        let ticks = Ticks { kafka, topic: tick_topic, partitions, symbol, first_id, time_ms };
        Self {
            reach,
            objectives,
            topics,
            rows,
            ticks,
            backpressure: config.backpressure,
            insert_timeout: config.clickhouse.insert_timeout,
            undo: Mutex::default(),
            group: config.kafka.group_id.clone(),
            spread: if even { Spread::EachTopic } else { Spread::InAll },
            next: AtomicU64::new(0),
        }
    }

    /// What will be done, a line each.
    #[must_use]
    pub fn plan(&self) -> Vec<String> {
        let Objectives { messages, rate, lasts, p99 } = self.objectives;
        let harm = if self.reach.may_harm { "" } else { "left out without --disruptive: " };
        let ticks = &self.ticks;
        let mut plan = vec![
            "partition assignment: each partition is read once, as many by each instance".into(),
            "heartbeats: each instance reports figures of its own".into(),
            format!("message distribution: {messages} ticks, to each instance its part"),
            format!("duplicates: {TWICE} ticks twice, each visible once"),
            format!("fail-over: {harm}one instance is stopped under load and comes back"),
            format!("back-pressure: {harm}inserts are slowed down until all instances pause"),
        ];
        if lasts.is_zero() {
            plan.push("benchmarks: left out".into());
        } else {
            plan.push(format!(
                "benchmarks: {rate} msg/s for {} s after {} s of warm-up, p99 below {} ms",
                lasts.as_secs(),
                warm_up(lasts).as_secs(),
                p99.as_millis()
            ));
        }
        plan.push(format!(
            "all of it by topic {} under the symbol {}; its rows stay in {}.{}, since the log \
             keeps the messages too",
            ticks.topic,
            ticks.symbol,
            self.rows.clickhouse.database(),
            self.rows.table
        ));
        plan
    }

    /// What came of it so far.
    #[must_use]
    pub fn report(&self, lines: Vec<Line>) -> Report {
        Report { symbol: self.ticks.symbol.clone(), lines }
    }

    /// Runs all tests, and shows each line that is known. Afterwards, also when it was interrupted,
    /// [`Self::restore`] puts back what is not as it was.
    pub async fn run(&self, mut progress: impl FnMut(&Line)) -> Report {
        let mut report = self.report(Vec::new());
        let mut note = |report: &mut Report, lines: Vec<Line>| {
            for line in lines {
                progress(&line);
                report.lines.push(line);
            }
        };
        let line = self.assignment().await;
        let is_whole = line.outcome == Outcome::Passed;
        note(&mut report, vec![line]);
        note(&mut report, vec![self.heartbeats().await]);
        note(&mut report, vec![self.distribution().await]);
        note(&mut report, vec![self.duplicates().await]);
        let lines = if is_whole && report.holds() {
            let mut lines = self.fail_over().await;
            lines.push(self.back_pressure().await);
            lines
        } else {
            Self::without_harm("the tests above failed: nothing is stopped on top of that")
        };
        note(&mut report, lines);
        if !self.objectives.lasts.is_zero() {
            note(&mut report, self.benchmarks().await);
        }
        report
    }

    /// Puts back what a test has changed and could not put back itself, because it was
    /// interrupted; what stays as it should not, a sentence each.
    pub async fn restore(&self) -> Vec<String> {
        let undo = std::mem::take(&mut *self.undo.lock().unwrap_or_else(PoisonError::into_inner));
        let mut left = Vec::new();
        if let Some(view) = undo.view
            && let Err(failure) = self.rows.quick(&view).await
        {
            let database = self.rows.clickhouse.database();
            left.push(format!("the view {database}.{view} makes inserts slow, drop it: {failure}"));
        }
        if let Some(instances) = undo.instances
            && let Err(why) = self.scale(instances).await
        {
            left.push(format!("the fleet had {instances} instances, scale it back: {why}"));
        }
        left
    }

    async fn assignment(&self) -> Line {
        let name = "partition assignment";
        let (seen, problems) = self.settled(None, SETTLE).await;
        let shares = shown(&seen, &self.ticks.topic);
        let wanted = format!("{} evenly, each read once", self.ticks.partitions);
        Line::judged(name, wanted, format!("{shares} of {}", self.ticks.topic), problems)
    }

    /// Waits until the partitions are spread as they must be, among so many instances.
    pub(super) async fn settled(
        &self,
        instances: Option<usize>,
        limit: Duration,
    ) -> (Vec<Seen>, Vec<String>) {
        let began = Instant::now();
        loop {
            let (seen, mut found) = match self.look().await {
                Ok(seen) => {
                    let found = problems(&seen, &self.group, &self.topics, self.spread);
                    (seen, found)
                }
                Err(why) => (Vec::new(), vec![why]),
            };
            if let Some(wanted) = instances
                && seen.len() != wanted
            {
                found.push(format!("there are {} instances, not {wanted}", seen.len()));
            }
            if found.is_empty() || began.elapsed() > limit {
                return (seen, found);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn heartbeats(&self) -> Line {
        let name = "heartbeats";
        let wanted = "own figures, not older than 65 s".to_owned();
        let seen = match self.look().await {
            Ok(seen) => seen,
            Err(why) => return Line::judged(name, wanted, String::new(), vec![why]),
        };
        let mut why = Vec::new();
        let mut numbers: BTreeMap<u32, &str> = BTreeMap::new();
        for one in &seen {
            if let Ok(status) = &one.status
                && let Some(other) = numbers.insert(status.instance_number, one.name())
            {
                let number = status.instance_number;
                why.push(format!("{other} and {} both carry number {number}", one.name()));
            }
        }
        if self.reach.hub.is_none() {
            let measured = format!("{} instances answer; no hub was named", numbers.len());
            return Line::judged(name, wanted, measured, why);
        }
        let mut oldest = 0;
        match self.fleet().await {
            Err(error) => why.push(error),
            Ok(fleet) => {
                for member in fleet.instances.iter().filter(|one| one.life != Life::Left) {
                    let age = fleet.at_ms - member.heartbeat_ms;
                    let id = &member.instance_id;
                    if member.heartbeat_ms == 0 {
                        why.push(format!("{id} has never sent a heartbeat: see its hub.url"));
                    } else if age > OLDEST_HEARTBEAT_MS {
                        why.push(format!("{id} sent its last heartbeat {} s ago", age / 1000));
                    }
                    if member.life == Life::Dead {
                        why.push(format!("{id} does not answer the hub"));
                    }
                    let said = member.metrics["instance_id"].as_str().unwrap_or(id);
                    if said != id {
                        why.push(format!("{id} reports the figures of {said}"));
                    }
                    oldest = oldest.max(age);
                }
            }
        }
        let measured = format!("{} instances, the oldest {} s", numbers.len(), oldest / 1000);
        Line::judged(name, wanted, measured, why)
    }

    async fn distribution(&self) -> Line {
        let name = "message distribution";
        let wanted = "each its part ± 10 %, all visible once".to_owned();
        let numbers = self.take(self.objectives.messages);
        let before = match self.at_rest().await {
            Ok(before) => before,
            Err(why) => return Line::judged(name, wanted, String::new(), vec![why]),
        };
        let sent = self.send(numbers.clone()).await;
        let visible = self.visible(&numbers, ROWS_LIMIT).await;
        let after = self.counted(&before).await;
        let mut why = Vec::new();
        why.extend(sent.err().map(|error| with_causes(&error)));
        why.extend(self.not_exact(&numbers, &visible).await);
        let mut parts = Vec::new();
        for (before, after) in before.iter().zip(&after) {
            let rows = after.ticks_saved().saturating_sub(before.ticks_saved());
            let is_of = |topic: &str| topic == self.ticks.topic;
            let own = after.partitions().iter().filter(|one| is_of(&one.topic)).count();
            let part = ratio(rows, self.objectives.messages);
            let fair = ratio(own as u64, u64::try_from(self.ticks.partitions).unwrap_or(1));
            parts.push(format!("{:.0} %", part * 100.0));
            if (part - fair).abs() > UNEVEN * fair {
                why.push(format!(
                    "{} reads {own} of {} partitions and wrote {rows} of {} rows",
                    after.name(),
                    self.ticks.partitions,
                    self.objectives.messages
                ));
            }
        }
        Line::judged(name, wanted, parts.join(" + "), why)
    }

    /// Looks at the instances once they have counted what came before; others may send for ever.
    async fn at_rest(&self) -> Result<Vec<Seen>, String> {
        let began = Instant::now();
        let mut before = self.look().await?;
        loop {
            tokio::time::sleep(COUNTED_AFTER).await;
            let now = self.look().await?;
            let saved = |all: &[Seen]| all.iter().map(Seen::ticks_saved).sum::<u64>();
            if saved(&now) == saved(&before) || began.elapsed() > COUNTED_LIMIT {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Looks at the instances once they have counted what is visible: they do so a moment later.
    async fn counted(&self, before: &[Seen]) -> Vec<Seen> {
        let sum = |all: &[Seen]| all.iter().map(Seen::ticks_saved).sum::<u64>();
        let (wanted, began) = (sum(before) + self.objectives.messages, Instant::now());
        loop {
            let now = self.look().await.unwrap_or_default();
            if sum(&now) >= wanted || began.elapsed() > COUNTED_LIMIT {
                return now;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn duplicates(&self) -> Line {
        let name = "duplicates";
        let wanted = "sent twice, visible once".to_owned();
        let twice = self.take(TWICE);
        // Behind them in each partition: when these are visible, so are both copies.
        let behind = self.take(u64::try_from(self.ticks.partitions).unwrap_or(1));
        let mut why = Vec::new();
        for numbers in [twice.clone(), twice.clone(), behind.clone()] {
            why.extend(self.send(numbers).await.err().map(|error| with_causes(&error)));
        }
        let marks = self.visible(&behind, ROWS_LIMIT).await;
        why.extend(self.not_exact(&behind, &marks).await);
        let visible = self.visible(&twice, ROWS_LIMIT).await;
        why.extend(self.not_exact(&twice, &visible).await);
        why.extend(self.rows.keeps_copies().await);
        why.dedup();
        let rows = visible.map_or(0, |visible| visible.rows);
        Line::judged(name, wanted, format!("{} sent, {rows} visible", 2 * TWICE), why)
    }

    /// Numbers that no other test has.
    pub(super) fn take(&self, count: u64) -> Range<u64> {
        // Whole rounds, so that each range begins at partition 0.
        let round = u64::try_from(self.ticks.partitions).unwrap_or(1).max(1);
        let start = self.next.fetch_add(count.next_multiple_of(round), Ordering::Relaxed);
        start..start + count
    }

    async fn send(&self, numbers: Range<u64>) -> Result<u64, ProduceError> {
        let producing = self.ticks.produce(numbers, None)?;
        while !producing.is_over() {
            tokio::time::sleep(LOOK_EVERY / 4).await;
        }
        producing.end()
    }

    /// Waits until all of these are visible; what is, in the end.
    pub(super) async fn visible(
        &self,
        numbers: &Range<u64>,
        limit: Duration,
    ) -> Result<Visible, String> {
        let began = Instant::now();
        loop {
            let visible = self.rows.visible(numbers).await;
            let all = visible.as_ref().is_ok_and(|one| one.events >= numbers.end - numbers.start);
            if all || began.elapsed() > limit {
                return visible.map_err(|failure| format!("ClickHouse: {failure}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Why these are not all visible once.
    pub(super) async fn not_exact(
        &self,
        numbers: &Range<u64>,
        visible: &Result<Visible, String>,
    ) -> Vec<String> {
        let wanted = numbers.end - numbers.start;
        let mut why = Vec::new();
        match visible {
            Err(error) => why.push(error.clone()),
            Ok(Visible { rows, events }) => {
                if *events < wanted {
                    let missing = wanted - events;
                    why.push(format!("{missing} of {wanted} messages are not visible"));
                }
                if rows > events {
                    why.push(format!("{} rows are visible twice or more", rows - events));
                    why.extend(self.rows.keeps_copies().await);
                }
            }
        }
        why
    }

    pub(super) async fn look(&self) -> Result<Vec<Seen>, String> {
        let places = if self.reach.hub.is_some() {
            let fleet = self.fleet().await?;
            let there = fleet.instances.into_iter().filter(|member| member.life != Life::Left);
            there.map(|one| Place { name: one.instance_id, url: one.url }).collect()
        } else {
            let place = |url: &String| Place { name: url.clone(), url: url.clone() };
            self.reach.instances.iter().map(place).collect::<Vec<_>>()
        };
        if places.is_empty() {
            return Err("no instance is known".to_owned());
        }
        Ok(look(&self.reach.client, &places).await)
    }

    pub(super) async fn fleet(&self) -> Result<Fleet, String> {
        let Some(hub) = &self.reach.hub else {
            return Err("no hub was named".to_owned());
        };
        let fleet = self.reach.client.get(&format!("{hub}/api/fleet"), HUB_LIMIT).await;
        fleet.map_err(|error| format!("the hub at {hub}: {error}"))
    }

    pub(super) async fn scale(&self, instances: u32) -> Result<(), String> {
        let Some(hub) = &self.reach.hub else {
            return Err("no hub was named".to_owned());
        };
        let url = format!("{hub}/api/fleet/control");
        let command = Command::Scale { instances };
        let answer = self.reach.client.post(&url, &command, HUB_LIMIT).await;
        answer.map(drop).map_err(|error| format!("the hub at {hub}: {error}"))
    }
}

/// An error with what caused it.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "a share has no use for 53 bits")]
fn ratio(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}
