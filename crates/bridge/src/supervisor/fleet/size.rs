//! How many members: asked for, or decided by the autoscaler.

use tracing::{info, warn};

use super::{CHANGES, MOST_INSTANCES, Supervisor, SupervisorError, now_ms};
use crate::autoscale::Sight;
use crate::config::{Assignor, GroupProtocol};
use crate::hub::{Change, Expected, Refusal};
use crate::supervisor::member::{Member, Then};

impl Supervisor {
    pub(super) fn check_size(&self, instances: u32) -> Result<(), String> {
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

    pub(super) fn check_port(&self, number: u32) -> Result<(), SupervisorError> {
        let launch = &self.options.launch;
        let port = launch.port(number).unwrap_or(0);
        if self.members.contains_key(&number) {
            return Ok(());
        }
        launch.is_free(port).map_err(|cause| SupervisorError::Port { number, port, cause })
    }

    pub(super) fn scale(&mut self, instances: u32, why: &str) -> Result<String, Refusal> {
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
        let idle = self.idle().map(|idle| format!("; warning: {idle}"));
        Ok(format!("{from} → {instances} instances{}", idle.unwrap_or_default()))
    }

    /// Says once for each size who has nothing to read. How many partitions there are is known when
    /// all are ready.
    pub(super) fn warn_of_idle(&mut self) {
        if self.weighed != self.target && self.shared.fleet().totals.ready >= self.target as usize {
            self.weighed = self.target;
            if let Some(idle) = self.idle() {
                warn!(instances = self.target, "{idle}");
            }
        }
    }

    /// Who has nothing to read, if anybody.
    fn idle(&self) -> Option<String> {
        let partitions = self.partitions();
        if partitions == 0 || self.target <= partitions {
            return None;
        }
        let ids = (1..=self.target).map(|number| (number, self.options.launch.id(number)));
        // What else spreads partitions leaves them where they were.
        let is_known = self.options.assignor == Assignor::Range
            && self.options.group_protocol == GroupProtocol::Classic;
        let names = if is_known {
            format!(": {}", runs(&without_part(ids, partitions)))
        } else {
            String::new()
        };
        let idle = self.target - partitions;
        let have = if idle == 1 { "has" } else { "have" };
        Some(format!(
            "no topic has more than {partitions} partitions, so {idle} of them {have} nothing to \
             read{names}"
        ))
    }

    pub(super) fn fill(&mut self) {
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

    pub(super) fn empty(&mut self) {
        let surplus = self.members.range(self.target + 1..).map(|(number, _)| *number);
        for number in surplus.collect::<Vec<_>>() {
            self.stop(number, Then::Leave);
        }
    }

    pub(super) fn expect(&mut self) {
        self.is_written = false;
        let launch = &self.options.launch;
        let expected = self.members.values().map(|member| Expected {
            id: member.id.clone(),
            number: member.number,
            url: launch.url(member.port),
        });
        self.shared.expect(&expected.collect::<Vec<_>>());
    }

    fn partitions(&self) -> u32 {
        let fleet = self.shared.fleet();
        let numbers = fleet.instances.iter().flat_map(|member| &member.partitions);
        let highest = numbers.map(|partition| partition.partition).max();
        highest.map_or(0, |highest| u32::try_from(highest + 1).unwrap_or(0))
    }

    pub(super) fn autoscale(&mut self) {
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
        self.decision.clone_from(&decision.why);
        if decision.instances == self.target {
            // Figures change each second: the words before them say what is new.
            let kind = decision.why.split(|letter: char| letter.is_ascii_digit()).next_back();
            let kind = kind.unwrap_or_default().to_owned();
            if kind != self.kept {
                info!(instances = self.target, why = decision.why, "not scaling");
                self.kept = kind;
            }
        } else if let Err(refusal) = self.scale(decision.instances, &decision.why) {
            if let Some(autoscaler) = &mut self.autoscaler {
                autoscaler.refused(self.target);
            }
            warn!(to = decision.instances, why = decision.why, %refusal, "cannot scale");
        }
    }
}

/// Those that get no part of a topic: `range` deals partitions out in the order of the ids as texts,
/// in which 10 comes before 2.
fn without_part(ids: impl Iterator<Item = (u32, String)>, partitions: u32) -> Vec<u32> {
    let mut ids = ids.collect::<Vec<_>>();
    ids.sort_by(|(_, one), (_, other)| one.cmp(other));
    let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
    let mut idle = ids.iter().skip(partitions).map(|(number, _)| *number).collect::<Vec<_>>();
    idle.sort_unstable();
    idle
}

/// `2 to 9, 15` of ascending numbers.
fn runs(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let shown = runs.map(|run| match run {
        [first, .., last] => format!("{first} to {last}"),
        [only] => only.to_string(),
        [] => String::new(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle_of(instances: u32, partitions: u32) -> String {
        let ids = (1..=instances).map(|number| (number, format!("host-{number}")));
        runs(&without_part(ids, partitions))
    }

    #[test]
    fn the_idle_are_those_that_range_gives_nothing() {
        assert_eq!(idle_of(7, 6), "7");
        assert_eq!(idle_of(9, 6), "7 to 9");
        assert_eq!(idle_of(10, 6), "6 to 9");
        assert_eq!(idle_of(50, 6), "2 to 9, 15 to 50");
    }
}
