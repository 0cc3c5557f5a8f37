//! What a command ends with.

use std::fmt;
use std::process::ExitCode;

use data_bridge_core::verdict::Failure;

use crate::source::kafka::SourceError;
use crate::source::nats::NatsError;

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

/// How a command ends when ClickHouse does not do what it asks.
impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let refused =
            "clickhouse.user and password must be those of a user that may read and write";
        let away = "clickhouse.urls must lead to a server that answers";
        match failure {
            Failure::Server { .. } | Failure::Credentials(_) => {
                Self::new(Exit::Failed, failure.to_string(), refused)
            }
            Failure::Http { .. } | Failure::Connect(_) | Failure::Cut(_) | Failure::TimedOut(_) => {
                Self::new(Exit::Unreachable, format!("ClickHouse: {failure}"), away)
            }
        }
    }
}

/// How a command ends when Kafka does not do what it asks.
impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        let (exit, hint) = match error {
            SourceError::Unreachable { .. } => {
                (Exit::Unreachable, "kafka.brokers must name a broker that answers")
            }
            SourceError::Property { .. } | SourceError::Client(_) => {
                (Exit::Usage, "see kafka.properties")
            }
            SourceError::Fenced { .. } | SourceError::Refused(_) => (Exit::Failed, ""),
        };
        Self::new(exit, error.to_string(), hint)
    }
}

/// How a command ends when NATS does not let it in.
impl From<NatsError> for Stop {
    fn from(error: NatsError) -> Self {
        let (exit, hint) = match error {
            NatsError::Unreachable { .. } => (
                Exit::Unreachable,
                "nats.cluster_urls and nats.auth must lead to a server that lets us in",
            ),
            NatsError::File { .. } | NatsError::Client(_) => {
                (Exit::Usage, "see nats.auth and nats.tls")
            }
        };
        Self::new(exit, error.to_string(), hint)
    }
}
