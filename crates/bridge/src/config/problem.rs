//! What is wrong with a configuration, where, and what would be right.

use std::fmt;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A place in a file; line and column count from 1.
    File {
        /// The file, as it was named to us.
        file: Arc<str>,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A flag on the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong, or, as a warning, one thing that is not what it seems.
///
/// A rendered problem never quotes the line of the file: a password may stand on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// The key, dotted; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right, or what happens instead.
    pub hint: String,
}

impl Problem {
    /// A problem with a key.
    pub(super) fn new(
        origin: &Origin,
        key: impl Into<String>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { origin: origin.clone(), key: key.into(), what: what.into(), hint: hint.into() }
    }

    /// On one line: `bridge.yaml:4:23: kafka.session_timeout_ms: cannot be …`.
    #[must_use]
    pub fn summary(&self) -> String {
        let place = match &self.origin {
            Origin::Default => String::new(),
            origin => format!("{origin}: "),
        };
        let colon = if self.key.is_empty() { "" } else { ": " };
        format!("{place}{}{colon}{}", self.key, self.what)
    }

    /// File order: what has no line comes last.
    fn order(&self) -> (usize, usize) {
        match self.origin {
            Origin::File { line, column, .. } => (line, column),
            Origin::Environment(_) | Origin::Flag(_) | Origin::Default => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Problem {
    /// The summary, and the hint on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  hint: {}", self.summary(), self.hint)
    }
}

/// All that is wrong, in the order of the file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the configuration has {}", count(.problems.len(), "problem"))]
pub struct Problems {
    /// At least one.
    pub problems: Vec<Problem>,
    /// Warnings that were found on the way.
    pub warnings: Vec<Problem>,
}

/// Sorts problems as a reader of the file meets them.
pub(super) fn in_file_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(Problem::order);
    problems
}

/// `1 problem`, `2 problems`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// The name nearest to `word`, when it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may differ: `brokrs` is `brokers`, `foo` is not `for`.
    let limit = (word.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Letters to insert, delete or replace to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to = to.chars().collect::<Vec<_>>();
    let mut row = (0..=to.len()).collect::<Vec<_>>();
    for (done, letter) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = done + 1;
        for (index, other) in to.iter().enumerate() {
            let replaced = corner + usize::from(letter != *other);
            corner = row[index + 1];
            row[index + 1] = replaced.min(row[index] + 1).min(corner + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        let names = ["brokers", "group_id", "for_s"];
        assert_eq!(nearest("brokrs", names), Some("brokers"));
        assert_eq!(nearest("groupid", names), Some("group_id"));
        assert_eq!(nearest("topics", names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
