//! Who is there: what instances said, and what was seen of them. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fleet::{Fleet, Latency, Life, Member, Partition, Totals, Unread};
use super::judge::{SLOW_FOR_MS, SLOW_MS};
use super::protocol::{Heartbeat, Registration};
use crate::config::Number;

/// Looks without an answer after which an instance is dead.
const MISSES: u32 = 3;
/// A service without a URL is judged by its heartbeats: three of them, each 30 s.
const SILENCE_MS: i64 = 90_000;
/// The dead are shown this long, so that somebody notices.
const FORGET_AFTER_MS: i64 = 24 * 3_600_000;
/// Rates are over this time.
const RATE_MS: i64 = 5_000;
/// A partition that is read by nobody for so long is no rebalance under way.
const UNREAD_FOR_MS: i64 = 30_000;
/// More are refused: a hub that anyone can reach must not grow without end.
const MOST_MEMBERS: usize = 2_000;

/// Everyone that registered or is expected.
#[derive(Debug, Default)]
pub struct Registry {
    members: BTreeMap<String, Entry>,
    /// Partitions that no member reads, and since when.
    unread: BTreeMap<(String, i32), i64>,
    /// Counts what is worth saving.
    changes: u64,
}

/// What is kept of one member over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    registration: Registration,
    heartbeat_ms: i64,
    heartbeats: u64,
    left: bool,
}

/// A member that is expected to be there although it did not register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `instance.id`.
    pub id: String,
    /// `instance.number`.
    pub number: u32,
    /// Where it answers.
    pub url: String,
}

/// The number that a member may carry until its next heartbeat; 0: it carries none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(pub u32);

#[derive(Debug)]
struct Entry {
    saved: Saved,
    is_expected: bool,
    misses: u32,
    /// Why the last look failed.
    trouble: String,
    page: Option<Page>,
    /// Since when each look showed a p99 that is too much.
    slow_since_ms: Option<i64>,
    seen_ms: i64,
    /// When it was first known here, seen or not.
    known_ms: i64,
    rates: VecDeque<(i64, u64)>,
}

/// What is read of an instance's `/api/status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    instance_id: String,
    instance_number: u32,
    version: String,
    uptime_seconds: u64,
    ready: bool,
    reasons: Vec<String>,
    ticks_saved: u64,
    candles_saved_clickhouse: u64,
    external_data_saved: u64,
    other_rows_saved: u64,
    dead_letters: u64,
    buffered_rows: u64,
    backpressure: bool,
    rss_bytes: u64,
    latency: Option<Latency>,
    partitions: Vec<Partition>,
    topics: BTreeMap<String, u32>,
}

impl Page {
    fn rows(&self) -> u64 {
        self.ticks_saved
            + self.candles_saved_clickhouse
            + self.external_data_saved
            + self.other_rows_saved
            + self.dead_letters
    }

    fn lag(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.lag).sum()
    }
}

impl Registry {
    /// A registry as it was saved. What it knows has to be seen again.
    pub(super) fn restored(saved: Vec<Saved>, now_ms: i64) -> Self {
        let members = saved
            .into_iter()
            .filter_map(|saved| {
                let id = saved.registration.id()?.to_owned();
                Some((id, Entry::new(saved, now_ms)))
            })
            .collect();
        Self { members, ..Self::default() }
    }

    pub(super) fn saved(&self) -> Vec<Saved> {
        self.members.values().map(|entry| entry.saved.clone()).collect()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes a registration, and leases it a number; `None` when it names nobody, or there is no room.
    pub fn register(&mut self, mut registration: Registration, now_ms: i64) -> Option<Lease> {
        let id = registration.id().map(str::to_owned)?;
        if self.members.len() >= MOST_MEMBERS && !self.members.contains_key(&id) {
            return None;
        }
        self.changes += 1;
        let wish = registration.instance_number;
        let lease = self.lease(&id, wish, now_ms);
        if lease.0 != wish {
            registration.service_name = format!("data-bridge-{}", lease.0);
            registration.instance_number = lease.0;
        }
        let entry = self.members.entry(id).or_insert_with(|| {
            Entry::new(
                Saved {
                    registration: Registration::default(),
                    heartbeat_ms: 0,
                    heartbeats: 0,
                    left: false,
                },
                now_ms,
            )
        });
        entry.saved = Saved { registration, heartbeat_ms: now_ms, heartbeats: 0, left: false };
        entry.misses = 0;
        entry.seen_ms = 0;
        Some(lease)
    }

    /// Takes a heartbeat, and renews the lease of a number; `None` when its sender is not registered.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat, now_ms: i64) -> Option<Lease> {
        let id = heartbeat.id()?.to_owned();
        let known = self.members.get(&id)?;
        // Expected and never registered: the registration is what tells who it is.
        if known.saved.heartbeat_ms == 0 {
            return None;
        }
        let lease = self.lease(&id, known.saved.registration.instance_number, now_ms);
        let entry = self.members.get_mut(&id)?;
        self.changes += 1;
        let saved = &mut entry.saved;
        saved.registration.instance_number = lease.0;
        if !heartbeat.service_name.is_empty() {
            saved.registration.service_name = heartbeat.service_name;
        }
        saved.heartbeat_ms = now_ms;
        saved.heartbeats += 1;
        saved.left = heartbeat.status == "stopping";
        saved.registration.status = heartbeat.status;
        saved.registration.metrics = heartbeat.metrics;
        saved.registration.timestamp = heartbeat.timestamp;
        if !heartbeat.url.is_empty() {
            saved.registration.url = heartbeat.url;
        }
        Some(lease)
    }

    /// The number that a member may carry: what it asks for, unless another one holds it; then the
    /// one it had, then the lowest that is free.
    fn lease(&self, id: &str, wish: u32, now_ms: i64) -> Lease {
        if wish == 0 {
            // A service that counts no instances.
            return Lease(0);
        }
        let mine = self.members.get(id);
        let number = |entry: &Entry| entry.saved.registration.instance_number;
        // A supervisor has given its instances their numbers: whoever else carries one gives way.
        if mine.is_some_and(|entry| entry.is_expected && number(entry) == wish) {
            return Lease(wish);
        }
        let others = self.members.iter().filter(|(other, _)| *other != id);
        let held = others
            .filter(|(_, entry)| entry.holds_its_number(now_ms))
            .map(|(_, entry)| number(entry))
            .collect::<BTreeSet<_>>();
        let wanted = [Some(wish), mine.map(number).filter(|mine| *mine != 0)];
        let mut free = wanted.into_iter().flatten().chain(1..=Number::MOST);
        // More than a thousand instances: they are told apart by their ids.
        Lease(free.find(|number| !held.contains(number)).unwrap_or(wish))
    }

    /// Looks after these from now on, registered or not, and no longer after others that were
    /// only expected.
    pub fn expect(&mut self, expected: &[Expected], now_ms: i64) {
        let is_named = |id: &str| expected.iter().any(|expected| expected.id == id);
        let before = self.members.len();
        self.members.retain(|id, entry| !entry.is_expected || is_named(id));
        self.changes += u64::from(self.members.len() < before);
        for Expected { id, number, url } in expected {
            let entry = self.members.entry(id.clone()).or_insert_with(|| {
                let registration = Registration {
                    service_name: format!("data-bridge-{number}"),
                    instance_id: id.clone(),
                    instance_number: *number,
                    ..Registration::default()
                };
                let saved = Saved { registration, heartbeat_ms: 0, heartbeats: 0, left: false };
                Entry::new(saved, now_ms)
            });
            entry.is_expected = true;
            entry.saved.registration.url.clone_from(url);
        }
    }

    /// Whom to look at: id and URL.
    pub(super) fn to_look_at(&self) -> Vec<(String, String)> {
        let has_url = |(id, entry): (&String, &Entry)| {
            let url = &entry.saved.registration.url;
            let asked = !url.is_empty() && !entry.saved.left;
            asked.then(|| (id.clone(), url.clone()))
        };
        self.members.iter().filter_map(has_url).collect()
    }

    /// Of these, those that missed the last look and are not given up yet.
    pub(super) fn to_look_at_again(&self) -> Vec<(String, String)> {
        let mut list = self.to_look_at();
        list.retain(|(id, _)| (1..MISSES).contains(&self.members[id].misses));
        list
    }

    /// Notes what a look at a member brought.
    pub(super) fn seen(&mut self, id: &str, look: Result<Page, String>, now_ms: i64) {
        let Some(entry) = self.members.get_mut(id) else {
            return;
        };
        let look = look.and_then(|page| match page.instance_id.as_str() {
            // A service of another kind says no id.
            "" => Ok(page),
            answers if answers == id => Ok(page),
            other => Err(format!("another instance answers there: {other}")),
        });
        match look {
            Ok(page) => {
                entry.misses = 0;
                entry.trouble.clear();
                entry.seen_ms = now_ms;
                let rows = page.rows();
                if entry.rates.back().is_some_and(|(_, before)| *before > rows) {
                    // It began anew.
                    entry.rates.clear();
                }
                entry.rates.push_back((now_ms, rows));
                while entry.rates.front().is_some_and(|(at, _)| now_ms - at > RATE_MS) {
                    entry.rates.pop_front();
                }
                let is_slow = page.latency.is_some_and(|latency| latency.p99_ms > SLOW_MS);
                entry.slow_since_ms = is_slow.then(|| entry.slow_since_ms.unwrap_or(now_ms));
                entry.page = Some(page);
            }
            Err(trouble) => {
                entry.misses = entry.misses.saturating_add(1);
                entry.trouble = trouble;
            }
        }
    }

    /// Notes which partitions of the topics that members subscribe to none of them reads.
    pub(super) fn note_unread(&mut self, now_ms: i64) {
        let up = self.members.values().filter(|entry| entry.life(now_ms) == Life::Up);
        let (mut counts, mut read) = (BTreeMap::new(), BTreeSet::new());
        for page in up.filter_map(|entry| entry.page.as_ref()) {
            for (topic, partitions) in &page.topics {
                let count = counts.entry(topic.as_str()).or_insert(0);
                *count = u32::max(*count, *partitions);
            }
            read.extend(page.partitions.iter().map(|of| (of.topic.as_str(), of.partition)));
        }
        let all = counts.into_iter().flat_map(|(topic, count)| {
            (0..count).filter_map(move |number| Some((topic, i32::try_from(number).ok()?)))
        });
        let unread = all.filter(|partition| !read.contains(partition));
        self.unread = unread
            .map(|(topic, number)| {
                let of = (topic.to_owned(), number);
                let since = self.unread.get(&of).copied().unwrap_or(now_ms);
                (of, since)
            })
            .collect();
    }

    /// Forgets those that are dead or gone for a day.
    pub(super) fn forget_the_old(&mut self, now_ms: i64) {
        let before = self.members.len();
        self.members.retain(|_, entry| {
            let last = entry.seen_ms.max(entry.saved.heartbeat_ms).max(entry.known_ms);
            entry.is_expected || now_ms - last < FORGET_AFTER_MS
        });
        self.changes += u64::from(self.members.len() < before);
    }

    /// The fleet as it is known now; the hub adds who it is.
    #[must_use]
    pub fn fleet(&self, now_ms: i64) -> Fleet {
        let mut instances =
            self.members.iter().map(|(id, entry)| entry.member(id, now_ms)).collect::<Vec<_>>();
        instances.sort_by(|a, b| {
            (a.instance_number, &a.instance_id).cmp(&(b.instance_number, &b.instance_id))
        });
        let mut totals = Totals::default();
        for member in instances.iter().filter(|member| member.life == Life::Up) {
            totals.up += 1;
            totals.ready += usize::from(member.ready);
            totals.partitions += member.partitions.len();
            totals.lag += member.lag;
            totals.rows_per_second += member.rows_per_second;
            totals.rss_bytes += member.rss_bytes;
            totals.dead_letters += member.dead_letters;
            totals.p99_ms = totals.p99_ms.max(member.latency.map(|latency| latency.p99_ms));
        }
        let unread = self.unread.iter().filter(|(_, since)| now_ms - **since >= UNREAD_FOR_MS);
        let unread = unread.map(|((topic, partition), since)| Unread {
            topic: topic.clone(),
            partition: *partition,
            since_ms: *since,
        });
        Fleet { at_ms: now_ms, totals, instances, unread: unread.collect(), ..Fleet::default() }
    }
}

impl Entry {
    fn new(saved: Saved, now_ms: i64) -> Self {
        Self {
            saved,
            is_expected: false,
            misses: 0,
            trouble: String::new(),
            page: None,
            slow_since_ms: None,
            seen_ms: 0,
            known_ms: now_ms,
            rates: VecDeque::new(),
        }
    }

    fn life(&self, now_ms: i64) -> Life {
        let silent = now_ms - self.saved.heartbeat_ms.max(self.known_ms) > SILENCE_MS;
        match () {
            () if self.saved.left => Life::Left,
            () if self.misses >= MISSES => Life::Dead,
            () if self.page.is_some() => Life::Up,
            () if !self.saved.registration.url.is_empty() => Life::Expected,
            () if silent => Life::Dead,
            () => Life::Up,
        }
    }

    /// Whether nobody else may carry its number. One that answered and no longer does is gone;
    /// one that nobody can reach is there as long as its heartbeats are.
    fn holds_its_number(&self, now_ms: i64) -> bool {
        let silent = now_ms - self.saved.heartbeat_ms.max(self.known_ms) > SILENCE_MS;
        let gone = if self.seen_ms == 0 { silent } else { self.misses >= MISSES };
        self.is_expected || !(self.saved.left || gone)
    }

    fn member(&self, id: &str, now_ms: i64) -> Member {
        let life = self.life(now_ms);
        let registration = &self.saved.registration;
        let is_up = life == Life::Up;
        let page = self.page.clone().unwrap_or_default();
        let (lag, rows) = (page.lag(), page.rows());
        let latency = page.latency.filter(|_| is_up);
        let is_slow = self.slow_since_ms.is_some_and(|since| now_ms - since >= SLOW_FOR_MS);
        let reasons = match life {
            Life::Up => page.reasons,
            Life::Dead if !self.trouble.is_empty() => vec![self.trouble.clone()],
            Life::Dead => vec!["no heartbeat for 90 s".to_owned()],
            Life::Expected => vec!["starting".to_owned()],
            Life::Left => vec!["it said that it stops".to_owned()],
        };
        Member {
            instance_id: id.to_owned(),
            // What it says itself, once it was seen.
            instance_number: match page.instance_number {
                0 => registration.instance_number,
                number => number,
            },
            service_name: registration.service_name.clone(),
            url: registration.url.clone(),
            version: if page.version.is_empty() {
                registration.version.clone()
            } else {
                page.version
            },
            life,
            ready: is_up && page.ready,
            reasons,
            uptime_seconds: page.uptime_seconds,
            // What is not up reads nothing.
            partitions: if is_up { page.partitions } else { Vec::new() },
            lag: if is_up { lag } else { 0 },
            rows,
            rows_per_second: if is_up { self.rate() } else { 0.0 },
            buffered_rows: page.buffered_rows,
            backpressure: page.backpressure,
            rss_bytes: if is_up { page.rss_bytes } else { 0 },
            dead_letters: page.dead_letters,
            latency,
            slow_ms: latency.filter(|_| is_slow).map(|latency| latency.p99_ms),
            seen_ms: self.seen_ms,
            heartbeat_ms: self.saved.heartbeat_ms,
            heartbeats: self.saved.heartbeats,
            metrics: match &registration.metrics {
                Value::Null => Value::Object(serde_json::Map::new()),
                metrics => metrics.clone(),
            },
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn rate(&self) -> f64 {
        match (self.rates.front(), self.rates.back()) {
            (Some((from, before)), Some((to, now))) if to > from => {
                (now - before) as f64 * 1000.0 / (to - from) as f64
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests;
