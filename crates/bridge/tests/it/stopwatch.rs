//! Limits of time, held on a machine that does other things as well.

use std::fs;
use std::time::{Duration, Instant};

/// Measures a time, and how much of it something on this machine waited for a processor.
pub(crate) struct Stopwatch {
    began: Instant,
    starved: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), starved: starved() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Asserts that what was measured since [`Self::start`] kept to its limit.
    #[track_caller]
    pub(crate) fn assert_within(&self, what: &str, limit: Duration) {
        self.assert(what, self.elapsed(), limit);
    }

    /// Asserts that `measured`, a time since [`Self::start`], is within `limit`. The limit is that
    /// of a machine with processors to spare: where the kernel tells how long tasks had to wait for
    /// one, so much is added, and at most the limit once again.
    #[track_caller]
    pub(crate) fn assert(&self, what: &str, measured: Duration, limit: Duration) {
        let starved = starved().saturating_sub(self.starved);
        println!("{what}: {measured:?}, processors were short for {starved:?} meanwhile");
        let allowed = limit + starved.min(limit);
        assert!(measured <= allowed, "{what}: {measured:?}, at most {limit:?} (+ {starved:?})");
    }
}

/// For how long, since boot, at least one task was ready and had no processor; zero where the
/// kernel does not count it.
fn starved() -> Duration {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let some = text.lines().find(|line| line.starts_with("some"));
    let total = some.and_then(|line| line.rsplit_once("total="));
    Duration::from_micros(total.and_then(|(_, micros)| micros.parse().ok()).unwrap_or(0))
}
