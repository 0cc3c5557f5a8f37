//! What went wrong with an insert, and what to do about it.

/// Why an insert is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// ClickHouse answered with an exception; nothing of the insert is visible.
    #[error("ClickHouse refused: code {code} ({name}): {message}")]
    Server {
        /// ClickHouse's error code, as in `system.errors`.
        code: i32,
        /// ClickHouse's name for it, such as `TOO_MANY_PARTS`; empty when the answer had none.
        name: String,
        /// The text of the exception, without code and name.
        message: String,
    },
    /// Something on the way answered, but not ClickHouse: no exception code.
    #[error("HTTP status {status} without a ClickHouse error code: {body}")]
    Http {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// No connection: nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The link broke after sending began: the insert may or may not have happened.
    #[error("connection lost: {0}")]
    Cut(String),
    /// No answer within the time limit: the insert may or may not have happened.
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
}
