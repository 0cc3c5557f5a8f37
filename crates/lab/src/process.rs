//! What the kernel knows of a process.

use std::time::Duration;

/// Figures of a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Memory that is resident now, bytes.
    pub rss_bytes: u64,
    /// The most it ever was, bytes.
    pub peak_rss_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Processor time of all threads, user and system.
    pub cpu: Duration,
}

impl Process {
    /// Looks at a process; `None` when there is none of this id, or none that lives.
    #[must_use]
    pub fn look(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        // The name in parentheses may contain anything; fields are counted behind it.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self {
            // Absent for a process that has ended and was not waited for.
            rss_bytes: figure(&status, "VmRSS:")? * 1024,
            peak_rss_bytes: figure(&status, "VmHWM:")? * 1024,
            threads: figure(&status, "Threads:")?,
            descriptors,
            // Linux counts in hundredths of a second on every machine we run on (USER_HZ).
            cpu: Duration::from_millis(ticks * 10),
        })
    }
}

fn figure(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_its_own_memory_grow() {
        let pid = std::process::id();
        let before = Process::look(pid).expect("this process lives");
        let block = vec![1_u8; 64 << 20];
        let after = Process::look(pid).expect("this process lives");
        assert!(block.contains(&1));
        assert!(after.rss_bytes >= before.rss_bytes + (60 << 20), "{before:?} {after:?}");
        assert!(after.threads >= 1 && after.descriptors >= 3, "{after:?}");
        assert_eq!(Process::look(u32::MAX), None);
    }
}
