//! What a command ends with.

use std::fmt;
use std::process::ExitCode;

/// How a command ended. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, also after a drained SIGTERM or SIGINT.
    Done = 0,
    /// Found something, or failed.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// A dependency cannot be reached.
    Unreachable = 3,
    /// Another instance runs under the same id.
    Fenced = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code and what would help.
///
/// Any other error ends a command with [`Exit::Failed`].
#[derive(Debug)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// What happened; lower case, no full stop.
    pub what: String,
    /// What would help; empty for nothing.
    pub hint: String,
}

impl Stop {
    /// An error that ends the command with `exit`.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Stop {}
