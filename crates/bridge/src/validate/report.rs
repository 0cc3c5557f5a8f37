//! What came of each test.

use serde::Serialize;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It was left out; the reason is in [`Line::why`].
    NotRun,
}

/// One test, or one figure of the benchmarks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub measured: String,
    /// What must be.
    pub wanted: String,
    /// Why it failed or was not run: one sentence each.
    pub why: Vec<String>,
}

impl Line {
    pub(super) fn not_run(name: &'static str, wanted: String, why: impl Into<String>) -> Self {
        let why = vec![why.into()];
        Self { name, outcome: Outcome::NotRun, measured: String::new(), wanted, why }
    }

    /// Passed when there is no reason against it.
    pub(super) fn judged(
        name: &'static str,
        wanted: String,
        measured: String,
        why: Vec<String>,
    ) -> Self {
        let outcome = if why.is_empty() { Outcome::Passed } else { Outcome::Failed };
        Self { name, outcome, measured, wanted, why }
    }
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The symbol under which its messages went.
    pub symbol: String,
    /// In the order in which they ran.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether nothing failed; what was not run is no failure.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.count(Outcome::Failed) == 0
    }

    /// How many ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.lines.iter().filter(|line| line.outcome == outcome).count()
    }
}
