//! What went wrong with an insert, and what to do about it: the one place that says so, and the
//! source of `docs/verdicts.md`.

mod codes;
pub mod reference;
mod transport;

pub use codes::CODES;
pub use transport::{TRANSPORT, Transport};

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
        /// Index of the refused row within the insert, where the text names it exactly.
        row: Option<u32>,
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
    /// The credentials cannot be had: nothing was sent.
    #[error("no credentials for ClickHouse: {0}")]
    Credentials(String),
}

/// What to do with a batch whose insert failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server or the way to it is in trouble: the very same batch again, for as long as it takes.
    Retry,
    /// The batch is too large for the server as it is now: its halves, later.
    Split,
    /// The table is not what we take it for: [`Pause`](Self::Pause), have it looked at, and go on as
    /// soon as it is.
    Refresh,
    /// Only people can mend it: say why, fetch nothing more for the table, and try again now and then.
    Pause,
    /// Some row is refused for what it holds: halve until it stands alone.
    Isolate,
    /// Not in the table below: a few retries, then [`Pause`](Self::Pause). Never a dead letter.
    Unknown,
}

/// How often a batch is retried for a reason nobody foresaw before its table is paused.
pub const UNKNOWN_RETRIES: u32 = 5;

impl Failure {
    /// What to do about it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Server { code, .. } => verdict_of_code(*code),
            Self::Http { .. }
            | Self::Connect(_)
            | Self::Cut(_)
            | Self::TimedOut(_)
            | Self::Credentials(_) => transport::verdict(self),
        }
    }

    /// The refused row within the insert, when the answer named it.
    #[must_use]
    pub fn row(&self) -> Option<u32> {
        match self {
            Self::Server { row, .. } => *row,
            Self::Http { .. }
            | Self::Connect(_)
            | Self::Cut(_)
            | Self::TimedOut(_)
            | Self::Credentials(_) => None,
        }
    }

    /// ClickHouse's error code, when it was ClickHouse that answered.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Http { .. }
            | Self::Connect(_)
            | Self::Cut(_)
            | Self::TimedOut(_)
            | Self::Credentials(_) => None,
        }
    }
}

/// The verdict for a ClickHouse error code.
#[must_use]
pub fn verdict_of_code(code: i32) -> Verdict {
    CODES
        .binary_search_by_key(&code, |(code, _, _)| *code)
        .ok()
        .and_then(|index| CODES.get(index))
        .map_or(Verdict::Unknown, |(_, _, verdict)| *verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_named_once() {
        for pair in CODES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{pair:?}");
            assert_ne!(pair[0].1, pair[1].1);
        }
    }

    #[test]
    fn every_code_of_the_table_is_found() {
        for (code, name, verdict) in CODES {
            assert_eq!(verdict_of_code(*code), *verdict, "{name}");
        }
    }

    /// Faults of the server, the way to it, the schema or the account: none may cost a row its table.
    #[test]
    fn a_fault_of_the_server_is_never_a_dead_letter() {
        let faults = [
            3, 7, 10, 16, 20, 32, 33, 47, 53, 60, 81, 115, 158, 159, 164, 173, 192, 193, 194, 202,
            209, 210, 225, 241, 242, 243, 252, 307, 319, 364, 425, 439, 497, 516, 745, 999, 1000,
            1001, 1002, 49, 36, 246,
        ];
        for code in faults {
            assert_ne!(verdict_of_code(code), Verdict::Isolate, "{code}");
        }
        for status in 300..=599 {
            let failure = Failure::Http { status, body: String::new() };
            assert_ne!(failure.verdict(), Verdict::Isolate, "{status}");
        }
        for failure in [
            Failure::Connect(String::new()),
            Failure::Cut(String::new()),
            Failure::TimedOut(std::time::Duration::from_secs(30)),
        ] {
            assert_eq!(failure.verdict(), Verdict::Retry);
        }
        assert_eq!(Failure::Credentials(String::new()).verdict(), Verdict::Pause);
    }

    #[test]
    fn what_the_specification_names_has_its_verdict() {
        for code in [252, 319, 242, 999, 159, 209, 210, 425, 202] {
            assert_eq!(verdict_of_code(code), Verdict::Retry, "{code}");
        }
        for code in [516, 193, 497, 47] {
            assert_eq!(verdict_of_code(code), Verdict::Pause, "{code}");
        }
        for code in [60, 81, 16, 10, 8, 20, 44, 53] {
            assert_eq!(verdict_of_code(code), Verdict::Refresh, "{code}");
        }
        for code in [6, 27, 26, 38, 41, 70, 72, 117, 131, 349, 407, 321, 395, 469] {
            assert_eq!(verdict_of_code(code), Verdict::Isolate, "{code}");
        }
        assert_eq!(verdict_of_code(241), Verdict::Split);
    }

    #[test]
    fn a_code_nobody_foresaw_is_unknown() {
        for code in [0, -1, 49, 1001, 1002, 123_456] {
            assert_eq!(verdict_of_code(code), Verdict::Unknown, "{code}");
        }
    }
}
