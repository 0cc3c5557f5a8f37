//! The few calls to the kernel that `std` does not have.
#![expect(unsafe_code, reason = "prctl, setsid, kill and waitid have no safe form in std")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

/// The kernel kills the child when the thread that starts it ends.
pub(super) fn end_with_starter(command: &mut Command) {
    let starter = process::id();
    // SAFETY: between fork and exec only calls that are safe in a signal handler; no allocation.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The starter may have died before the line above took effect.
            if u32::try_from(libc::getppid()) != Ok(starter) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// The child leads a session of its own, so that neither a terminal nor its starter ends it.
pub(super) fn own_session(command: &mut Command) {
    // SAFETY: setsid is safe in a signal handler.
    unsafe {
        command.pre_exec(
            || {
                if libc::setsid() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
            },
        );
    }
}

pub(super) fn signal(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: kill takes plain numbers. An error means that the process is gone already.
        unsafe { libc::kill(pid, signal) };
    }
}

pub(super) fn signal_group(leader: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(leader) {
        // SAFETY: kill takes plain numbers. An error means that the group is gone already.
        unsafe { libc::kill(-pid, signal) };
    }
}

/// Returns when the child has ended; its pid stays taken until its status is collected.
pub(super) fn wait_without_reaping(child: u32) {
    loop {
        // SAFETY: waitid fills the structure it is given and touches nothing else.
        let result = unsafe {
            let mut ended: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, child, &raw mut ended, libc::WEXITED | libc::WNOWAIT)
        };
        if result == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// When the process started, in clock ticks since boot; `None` when there is no such process or
/// only its exit status is left. Together with the pid it names a process for ever: pids return,
/// the pair does not. (`proc_pid_stat(5)`, fields 3 and 22.)
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

/// Whether the process that started at `started` still runs.
#[must_use]
pub fn is_running(pid: u32, started: u64) -> bool {
    start_time(pid) == Some(started)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The name in parentheses may hold blanks and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let rest = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(parse_stat(&format!("7 (a) b) S {rest}")), Some(4242));
        assert_eq!(parse_stat(&format!("7 (java) Z {rest}")), None);
        assert_eq!(parse_stat("7 (java) S"), None);
        assert!(start_time(process::id()).is_some());
    }
}
