//! The instances of the demo and what they say of themselves.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use data_bridge_stack::bridge::{Bridge, BridgeOptions, Status};
use data_bridge_stack::process::Lifetime;

use crate::screen;

const INSTANCES: usize = 3;
/// An instance drains within its own grace limit of 25 s.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Time for each instance between two looks at all while they are not ready yet.
const PACE: Duration = Duration::from_millis(50);

/// All instances, in the order of their numbers.
pub(super) struct Fleet {
    members: Vec<Bridge>,
}

impl Fleet {
    pub(super) fn start(
        binary: &Path,
        config: &Path,
        folder: &Path,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let launch = |number| {
            let id = format!("demo-{number}");
            let folder = folder.join(&id);
            let options = BridgeOptions { id, number, lifetime, ..BridgeOptions::default() };
            Bridge::start(binary, config, &folder, options)
        };
        Ok(Self { members: (1..=INSTANCES).map(launch).collect::<Result<_>>()? })
    }

    /// Waits until every instance is ready and all have as many partitions as their share.
    pub(super) fn wait_until_ready(&self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let seen = self.look();
            if is_balanced(&seen) {
                let each: Vec<String> =
                    seen.iter().map(|one| format!("{} has {}", one.id, one.partitions)).collect();
                screen::line(&format!("demo   partitions: {}", each.join(", ")));
                return Ok(());
            }
            for member in &self.members {
                let process = member.process();
                if let Some(status) = process.wait_exit(PACE) {
                    bail!("{} ended with {status}\n{}", member.id(), process.log_tail());
                }
            }
            if started.elapsed() > limit {
                let reasons: Vec<String> = seen.iter().map(Status::line).collect();
                bail!("not ready:\n{}\n{}", reasons.join("\n"), self.log_tails());
            }
        }
    }

    /// What every instance says now.
    pub(super) fn look(&self) -> Vec<Status> {
        self.members.iter().map(Bridge::status).collect()
    }

    /// Kills an instance; returns its id.
    pub(super) fn kill(&self, index: usize) -> Result<String> {
        let member = &self.members[index];
        member.process().kill()?;
        Ok(member.id().to_owned())
    }

    /// Starts a killed instance again under its id; returns it.
    pub(super) fn start_again(&mut self, index: usize) -> Result<String> {
        let member = &mut self.members[index];
        member.restart()?;
        Ok(member.id().to_owned())
    }

    /// Drains all at once, so that nobody takes over the partitions of those who leave first.
    /// Returns what went wrong; an instance that a stranger killed is not among it, since the
    /// verdict says what came of that.
    pub(super) fn stop(&self) -> Result<Vec<String>> {
        for member in self.alive() {
            member.process().terminate();
        }
        let mut wrong = Vec::new();
        for member in &self.members {
            let (id, process) = (member.id(), member.process());
            // A second SIGTERM would tell it not to drain: wait first, then use force.
            match process.wait_exit(STOP_GRACE) {
                Some(status) if status.success() || process.is_killed() => {}
                Some(status) => wrong.push(format!("{id} ended with {status}")),
                None => wrong.push(format!("{id} did not drain: {}", process.kill()?)),
            }
        }
        Ok(wrong)
    }

    /// Where each that runs answers.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.alive().map(Bridge::port).collect()
    }

    /// A line for each that has ended, though nobody here asked it to.
    pub(super) fn gone(&self) -> Vec<String> {
        let lines = self.members.iter().filter_map(|member| {
            let status = member.process().exited()?;
            Some(format!("{} is gone ({status}): the others read its partitions", member.id()))
        });
        lines.collect()
    }

    fn alive(&self) -> impl Iterator<Item = &Bridge> {
        self.members.iter().filter(|member| member.process().exited().is_none())
    }

    pub(super) fn logs(&self) -> Vec<String> {
        self.members.iter().map(|member| member.process().log().display().to_string()).collect()
    }

    pub(super) fn log_tails(&self) -> String {
        let tails: Vec<String> =
            self.members.iter().map(|member| member.process().log_tail()).collect();
        tails.join("\n")
    }
}

fn is_balanced(seen: &[Status]) -> bool {
    let most = seen.iter().map(|one| one.partitions).max().unwrap_or(0);
    let least = seen.iter().map(|one| one.partitions).min().unwrap_or(0);
    least > 0 && most == least && seen.iter().all(|one| one.ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_balanced_when_all_are_ready_with_equal_shares() {
        let of = |partitions| Status { partitions, ready: true, ..Status::default() };
        assert!(is_balanced(&[of(16), of(16), of(16)]));
        assert!(!is_balanced(&[of(24), of(24), of(0)]));
        assert!(!is_balanced(&[of(0), of(0), of(0)]));
        assert!(!is_balanced(&[of(16), Status { ready: false, ..of(16) }]));
    }
}
