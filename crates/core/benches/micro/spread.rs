//! Times of several rounds, and how far they lie apart.

use std::time::Instant;

/// Nanoseconds per piece of work over the rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one round.
    pub(crate) fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(rounds.len() / 2), max: at(rounds.len() - 1) }
    }

    pub(crate) fn json(&self) -> String {
        format!(r#"{{"min":{:.2},"median":{:.2},"max":{:.2}}}"#, self.min, self.median, self.max)
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6.1} {:6.1} {:6.1}", self.min, self.median, self.max)
    }
}

/// Runs `work` once and says what one of its `pieces` took, in ns.
#[expect(clippy::disallowed_methods, reason = "measures time")]
pub(crate) fn timed(pieces: u32, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e9 / f64::from(pieces)
}
