//! What can be asked of a fleet through its hub; the supervisor answers.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Keep so many instances.
    Scale {
        /// At least one.
        instances: u32,
    },
    /// Stop and start one after the other, each when the one before is ready.
    Restart,
    /// Stop all, and the supervisor.
    Down,
}

/// A command on its way to the supervisor.
#[derive(Debug)]
pub struct Ask {
    /// What to do.
    pub command: Command,
    /// What is said to it: at once, when the work may take longer.
    pub answer: oneshot::Sender<Result<String, Refusal>>,
}

/// Why a command is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);
