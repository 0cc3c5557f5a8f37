//! What happened in the fleet, told by comparing each look at it with the one before.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, Life, Member, Process, ProcessState, Supervised};
use super::judge::SLOW_MS;

/// Events that are kept; the oldest go first.
const MOST: usize = 200;
/// Longest text of an event, in characters: reasons can hold whole answers of servers.
const LONGEST: usize = 300;

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Something is well again, or goes its way.
    #[default]
    Good,
    /// Worth knowing.
    Warn,
    /// Somebody should look.
    Bad,
}

/// One thing that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// How much it matters.
    pub weight: Weight,
    /// The instance it is about; empty for the fleet as a whole.
    pub instance: String,
    /// For people; without control characters.
    pub text: String,
}

/// The latest events, and the look they were found with.
#[derive(Debug, Default)]
pub(super) struct Events {
    latest: VecDeque<Event>,
    before: Option<Fleet>,
}

impl Events {
    /// Compares the fleet with what it was; the first look tells nothing.
    pub(super) fn see(&mut self, now: &Fleet) {
        if let Some(before) = self.before.replace(now.clone()) {
            for (weight, instance, text) in differences(&before, now) {
                if self.latest.len() == MOST {
                    self.latest.pop_front();
                }
                let text = clean(&text);
                self.latest.push_back(Event { at_ms: now.at_ms, weight, instance, text });
            }
        }
    }

    /// Oldest first.
    pub(super) fn latest(&self) -> Vec<Event> {
        self.latest.iter().cloned().collect()
    }
}

/// As it may be shown anywhere: cut, and nothing in it that a terminal would act on.
pub(super) fn clean(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

type Found = (Weight, String, String);

fn differences(before: &Fleet, now: &Fleet) -> Vec<Found> {
    let known: BTreeMap<&str, &Member> =
        before.instances.iter().map(|one| (one.instance_id.as_str(), one)).collect();
    let mut found = Vec::new();
    for one in &now.instances {
        let fresh = Member::default();
        let was = known.get(one.instance_id.as_str()).copied().unwrap_or(&fresh);
        of_member(was, one, now.at_ms, &mut found);
    }
    match (before.which_is_unread(), now.which_is_unread()) {
        (None, Some(which)) => found.push((Weight::Bad, String::new(), which)),
        (Some(_), None) => {
            let text = "every partition is read again".to_owned();
            found.push((Weight::Good, String::new(), text));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some(supervisor) = &now.supervisor {
        of_supervisor(before.supervisor.as_ref(), supervisor, &mut found);
    }
    found
}

fn of_member(was: &Member, one: &Member, at_ms: i64, found: &mut Vec<Found>) {
    let id = &one.instance_id;
    let mut tell = |weight, text: String| found.push((weight, id.clone(), text));
    match (was.life, one.life) {
        (before, Life::Dead) if before != Life::Dead => {
            tell(Weight::Bad, format!("{id} does not answer"));
        }
        (Life::Dead, Life::Up) => {
            let away = u64::try_from(at_ms - was.seen_ms).unwrap_or(0) / 1000;
            tell(Weight::Good, format!("{id} answers again, after {away} s"));
        }
        (Life::Expected | Life::Left, Life::Up) => tell(Weight::Good, format!("{id} is up")),
        (Life::Up, Life::Up) if one.uptime_seconds < was.uptime_seconds => {
            tell(Weight::Warn, format!("{id} was started again"));
        }
        (before, Life::Left) if before != Life::Left => {
            tell(Weight::Warn, format!("{id} stopped in order"));
        }
        (_, Life::Expected | Life::Up | Life::Dead | Life::Left) => {}
    }
    if one.life != Life::Up {
        return;
    }
    match (was.ready, one.ready) {
        (false, true) => tell(Weight::Good, format!("{id} is ready")),
        (true, false) => {
            let why = one.reasons.join("; ");
            tell(Weight::Bad, format!("{id} is not ready: {why}"));
        }
        (false, false) if was.life == Life::Up && was.reasons != one.reasons => {
            let why = one.reasons.join("; ");
            tell(Weight::Warn, format!("{id} is still not ready: {why}"));
        }
        (true, true) | (false, false) => {}
    }
    match (was.backpressure, one.backpressure) {
        (false, true) => {
            tell(Weight::Warn, format!("{id} holds fetching back: ClickHouse is slower"));
        }
        (true, false) => tell(Weight::Good, format!("{id} fetches again")),
        (true, true) | (false, false) => {}
    }
    match (was.slow_ms, one.slow_ms) {
        (None, Some(p99)) => {
            tell(Weight::Warn, format!("{id} is slow: p99 {p99} ms, above {SLOW_MS} ms"));
        }
        (Some(_), None) => tell(Weight::Good, format!("{id} is no longer slow")),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let reads = |member: &Member| -> Vec<(String, i32)> {
        member.partitions.iter().map(|part| (part.topic.clone(), part.partition)).collect()
    };
    let (had, has) = (reads(was), reads(one));
    if had != has {
        let came = has.iter().filter(|part| !had.contains(part)).count();
        let went = had.iter().filter(|part| !has.contains(part)).count();
        let count = has.len();
        tell(Weight::Good, format!("{id} reads {count} partitions: {came} came, {went} went"));
    }
}

fn of_supervisor(was: Option<&Supervised>, now: &Supervised, found: &mut Vec<Found>) {
    let latest_change = was.and_then(|was| was.changes.last()).map_or(i64::MIN, |last| last.at_ms);
    for change in now.changes.iter().filter(|change| was.is_some() && change.at_ms > latest_change)
    {
        let text = format!("from {} to {} instances: {}", change.from, change.to, change.why);
        found.push((Weight::Warn, String::new(), text));
    }
    let fresh = Vec::new();
    let processes = was.map_or(&fresh, |was| &was.processes);
    for process in &now.processes {
        let before = processes.iter().find(|before| before.number == process.number);
        if let Some(text) = before.and_then(|before| of_process(before, process)) {
            found.push((Weight::Bad, process.id.clone(), text));
        }
    }
}

fn of_process(before: &Process, now: &Process) -> Option<String> {
    let Process { id, why, .. } = now;
    match (before.state, now.state) {
        (ProcessState::Held, ProcessState::Held) => None,
        (_, ProcessState::Held) => Some(format!("{id} ends again and again: {why}")),
        (_, ProcessState::Waiting) if before.state != ProcessState::Waiting => {
            Some(format!("{id} ended: {why}"))
        }
        (_, ProcessState::Running | ProcessState::Waiting | ProcessState::Stopping) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::fleet::{Change, Partition, Unread};

    fn member(id: &str) -> Member {
        Member {
            instance_id: id.into(),
            life: Life::Up,
            ready: true,
            uptime_seconds: 100,
            seen_ms: 10_000,
            ..Member::default()
        }
    }

    fn fleet(at_ms: i64, instances: Vec<Member>) -> Fleet {
        Fleet { at_ms, instances, ..Fleet::default() }
    }

    fn told(looks: &[Fleet]) -> Vec<(Weight, String)> {
        let mut events = Events::default();
        for look in looks {
            events.see(look);
        }
        events.latest().into_iter().map(|event| (event.weight, event.text)).collect()
    }

    #[test]
    fn a_death_and_a_return_are_told_with_the_time_between() {
        let dead = Member { life: Life::Dead, ready: false, ..member("a") };
        let back = Member { uptime_seconds: 1, seen_ms: 14_000, ..member("a") };
        let looks = [
            fleet(10_000, vec![member("a")]),
            fleet(13_000, vec![dead.clone()]),
            fleet(13_500, vec![dead]),
            fleet(14_000, vec![back]),
        ];
        assert_eq!(
            told(&looks),
            [
                (Weight::Bad, "a does not answer".to_owned()),
                (Weight::Good, "a answers again, after 4 s".to_owned()),
                (Weight::Good, "a is ready".to_owned()),
            ]
        );
    }

    #[test]
    fn a_quiet_fleet_tells_nothing() {
        let looks: Vec<_> = (0..5).map(|at| fleet(at, vec![member("a"), member("b")])).collect();
        assert_eq!(told(&looks), []);
    }

    #[test]
    fn slowness_is_told_when_it_begins_and_when_it_ends() {
        let look = |at_ms, slow_ms| fleet(at_ms, vec![Member { slow_ms, ..member("a") }]);
        assert_eq!(
            told(&[look(1, None), look(2, Some(230)), look(3, Some(150)), look(4, None)]),
            [
                (Weight::Warn, "a is slow: p99 230 ms, above 100 ms".to_owned()),
                (Weight::Good, "a is no longer slow".to_owned()),
            ]
        );
    }

    #[test]
    fn partitions_that_nobody_reads_are_told_once_and_when_they_are_read_again() {
        let look = |at_ms, numbers: &[i32]| {
            let unread = numbers.iter().map(|partition| Unread {
                topic: "t".into(),
                partition: *partition,
                since_ms: 1,
            });
            Fleet { unread: unread.collect(), ..fleet(at_ms, vec![member("a")]) }
        };
        assert_eq!(
            told(&[look(1, &[]), look(2, &[4]), look(3, &[4, 5]), look(4, &[])]),
            [
                (Weight::Bad, "1 partition is read by no instance: t:4".to_owned()),
                (Weight::Good, "every partition is read again".to_owned()),
            ]
        );
    }

    #[test]
    fn partitions_that_move_and_reasons_are_told() {
        let part =
            |number| Partition { topic: "t".into(), partition: number, ..Partition::default() };
        let two = Member { partitions: vec![part(0), part(1)], ..member("a") };
        let other = Member {
            partitions: vec![part(1), part(2), part(3)],
            ready: false,
            reasons: vec!["table \u{1b}[31mticks".into()],
            ..member("a")
        };
        assert_eq!(
            told(&[fleet(1, vec![two]), fleet(2, vec![other])]),
            [
                (Weight::Bad, "a is not ready: table \u{fffd}[31mticks".to_owned()),
                (Weight::Good, "a reads 3 partitions: 2 came, 1 went".to_owned()),
            ]
        );
    }

    #[test]
    fn a_scaling_decision_is_told_once_and_a_crash_loop_with_its_cause() {
        let supervised = |changes: &[i64], state, why: &str| Supervised {
            changes: changes
                .iter()
                .map(|at| Change { at_ms: *at, from: 3, to: 4, why: "lag 20000".into() })
                .collect(),
            processes: vec![Process {
                id: "b".into(),
                state,
                why: why.into(),
                ..Process::default()
            }],
            ..Supervised::default()
        };
        let look =
            |at_ms, supervisor| Fleet { supervisor: Some(supervisor), ..fleet(at_ms, Vec::new()) };
        let looks = [
            look(1, supervised(&[5], ProcessState::Running, "")),
            look(2, supervised(&[5, 9], ProcessState::Running, "")),
            look(3, supervised(&[5, 9], ProcessState::Held, "exit code 2")),
            look(4, supervised(&[5, 9], ProcessState::Held, "exit code 2")),
        ];
        assert_eq!(
            told(&looks),
            [
                (Weight::Warn, "from 3 to 4 instances: lag 20000".to_owned()),
                (Weight::Bad, "b ends again and again: exit code 2".to_owned()),
            ]
        );
    }

    #[test]
    fn texts_are_cut_and_the_oldest_events_go_first() {
        let mut events = Events::default();
        for at in 0..500 {
            let one =
                Member { ready: at % 2 == 0, reasons: vec!["x".repeat(1_000)], ..member("a") };
            events.see(&fleet(at, vec![one]));
        }
        let latest = events.latest();
        assert_eq!(latest.len(), MOST);
        assert_eq!(latest.last().map(|event| event.at_ms), Some(499));
        assert!(latest.iter().all(|event| event.text.chars().count() <= LONGEST + 1));
    }
}
