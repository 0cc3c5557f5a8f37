//! A rolling restart: one instance after the other, each when the one before is ready again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::hub::{Fleet, Life};

/// How long an instance may take to be ready.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// A restart under way.
#[derive(Debug)]
pub(super) struct Roll {
    queue: VecDeque<u32>,
    all: usize,
    current: Option<(u32, Instant)>,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing yet.
    Wait,
    /// Stop this one and start it again.
    Restart(u32),
    /// All are ready.
    Done,
    /// It cannot go on.
    Failed(String),
}

/// What is known of the instance that was restarted last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing<'a> {
    /// `instance.id`.
    pub(super) id: &'a str,
    /// When its new process started, ms since 1970; `None` while it does not run.
    pub(super) started_ms: Option<i64>,
    /// Why it is not started again, when it is held.
    pub(super) held: Option<&'a str>,
}

impl Roll {
    pub(super) fn of(numbers: impl Iterator<Item = u32>) -> Self {
        let queue = numbers.collect::<VecDeque<_>>();
        Self { all: queue.len(), queue, current: None }
    }

    /// The instance that is being restarted.
    pub(super) fn current(&self) -> Option<u32> {
        self.current.map(|(number, _)| number)
    }

    pub(super) fn progress(&self) -> String {
        let number = self.current().unwrap_or(0);
        let done = self.all - self.queue.len();
        format!("restarting instance {number} ({done} of {})", self.all)
    }

    /// Looks at the current one and goes on to the next.
    pub(super) fn step(&mut self, standing: Option<Standing<'_>>, fleet: &Fleet) -> Step {
        let now = Instant::now();
        if let (Some((number, since)), Some(standing)) = (self.current, standing) {
            if let Some(why) = standing.held {
                return self.fail(number, why);
            }
            match is_ready(standing, fleet) {
                Ok(()) => {}
                Err(why) if now.duration_since(since) > READY_LIMIT => {
                    return self.fail(number, &why);
                }
                Err(_) => return Step::Wait,
            }
        }
        match self.queue.pop_front() {
            Some(number) => {
                self.current = Some((number, now));
                Step::Restart(number)
            }
            None => Step::Done,
        }
    }

    fn fail(&self, number: u32, why: &str) -> Step {
        let left = self.queue.iter().map(ToString::to_string).collect::<Vec<_>>();
        let left = if left.is_empty() {
            String::new()
        } else {
            format!("; not restarted: {}", left.join(", "))
        };
        Step::Failed(format!("instance {number} does not get ready: {why}{left}"))
    }
}

/// Whether the new process was seen to be ready; else what keeps it.
fn is_ready(standing: Standing<'_>, fleet: &Fleet) -> Result<(), String> {
    let Some(started_ms) = standing.started_ms else {
        return Err("it does not run".to_owned());
    };
    let member = fleet.instances.iter().find(|member| member.instance_id == standing.id);
    match member {
        // What was seen before was the old process.
        Some(member) if member.seen_ms <= started_ms => Err("it does not answer yet".to_owned()),
        Some(member) if member.life == Life::Up && member.ready => Ok(()),
        Some(member) => Err(member.reasons.join("; ")),
        None => Err("the hub does not know it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Member;

    fn fleet(ready: bool, seen_ms: i64) -> Fleet {
        let member = Member {
            instance_id: "a".to_owned(),
            life: Life::Up,
            ready,
            seen_ms,
            ..Member::default()
        };
        Fleet { instances: vec![member], ..Fleet::default() }
    }

    #[test]
    fn the_next_waits_until_the_new_process_was_seen_ready() {
        let mut roll = Roll::of([1, 2].into_iter());
        assert_eq!(roll.step(None, &Fleet::default()), Step::Restart(1));
        let stopped = Standing { id: "a", started_ms: None, held: None };
        assert_eq!(roll.step(Some(stopped), &fleet(true, 50)), Step::Wait);
        let started = Standing { id: "a", started_ms: Some(100), held: None };
        assert_eq!(roll.step(Some(started), &fleet(true, 50)), Step::Wait);
        assert_eq!(roll.step(Some(started), &fleet(false, 150)), Step::Wait);
        assert_eq!(roll.step(Some(started), &fleet(true, 150)), Step::Restart(2));
        assert_eq!(roll.step(Some(started), &fleet(true, 150)), Step::Done);
    }

    #[test]
    fn one_that_does_not_get_going_leaves_the_others_alone() {
        let mut roll = Roll::of([1, 2].into_iter());
        assert_eq!(roll.step(None, &Fleet::default()), Step::Restart(1));
        let held = Standing { id: "a", started_ms: None, held: Some("bad file") };
        let Step::Failed(why) = roll.step(Some(held), &fleet(true, 50)) else {
            panic!("it goes on");
        };
        assert!(why.contains("bad file") && why.contains("not restarted: 2"), "{why}");
    }
}
