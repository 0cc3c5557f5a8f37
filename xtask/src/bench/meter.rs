//! Processor time and memory of a process, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, 100 on every Linux that we run on.
const TICKS: f64 = 100.0;

/// A process at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Look {
    /// Seconds of one core so far, all threads, user and system.
    pub(super) cpu: f64,
    /// Most memory that was resident since [`reset_peak`], in MB.
    pub(super) peak_mb: f64,
    /// Memory that is resident, in MB.
    pub(super) rss_mb: f64,
}

/// Looks at a running process.
///
/// # Errors
/// When there is none of this id.
pub(super) fn look(pid: u32) -> Result<Look> {
    let read = |name: &str| {
        fs::read_to_string(format!("/proc/{pid}/{name}"))
            .with_context(|| format!("process {pid} has ended"))
    };
    let (stat, status) = (read("stat")?, read("status")?);
    parse(&stat, &status).with_context(|| format!("process {pid} has ended"))
}

/// Forgets the highest memory so far (`proc_pid_clear_refs(5)`, value 5).
pub(super) fn reset_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
        .with_context(|| format!("cannot reset the peak memory of process {pid}"))
}

fn parse(stat: &str, status: &str) -> Option<Look> {
    // The name in parentheses may hold blanks and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    };
    Some(Look { cpu: ticks / TICKS, peak_mb: megabytes("VmHWM:")?, rss_mb: megabytes("VmRSS:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 4242 0 0";
        let status = "Name:\ta\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n";
        let seen = parse(stat, status).unwrap();
        assert_eq!(seen, Look { cpu: 3.0, peak_mb: 2.0, rss_mb: 1.0 });
        // Only the exit status is left.
        assert_eq!(parse(stat, "Name:\ta\n"), None);
        let me = std::process::id();
        assert!(look(me).unwrap().peak_mb > 1.0);
        reset_peak(me).unwrap();
    }
}
