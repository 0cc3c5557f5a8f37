//! Processes by pid, and what makes a pid mean the same process for ever.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// Time between two looks at a process that is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A process that is never taken for another one: pids return, the triple does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Clock ticks from the boot of the machine to its start.
    started: u64,
    /// Of the machine.
    boot: String,
}

impl Identity {
    /// The running process of this id; `None` when there is none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)?, boot: boot_id() })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal; a process that has ended is no error.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let (Some(pid), true) = (pid, self.is_running())
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::warn!(pid = self.pid, %error, "cannot signal");
        }
    }

    /// Asks it to drain and to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) {
        while self.is_running() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Field 22 of `/proc/PID/stat` (`proc_pid_stat(5)`); `None` when there is no such process, or
/// only its exit status is left.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(&stat)
}

fn parse(stat: &str) -> Option<u64> {
    // The name in parentheses may hold blanks and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(parse(&format!("7 (a) b) S {rest}")), Some(4242));
        assert_eq!(parse(&format!("7 (java) Z {rest}")), None);
        assert_eq!(parse("7 (java) S"), None);
    }

    #[test]
    fn a_pid_alone_is_no_identity() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_running());
        assert!(!Identity { started: own.started + 1, ..own.clone() }.is_running());
        assert!(!Identity { boot: "before".to_owned(), ..own }.is_running());
    }
}
