//! Answers, good and bad.

use std::time::Duration;

/// What the fake answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 and nothing.
    Ok,
    /// 200 and this text.
    Text(String),
    /// As ClickHouse refuses: status, `X-ClickHouse-Exception-Code`, and
    /// `Code: N. DB::Exception: message. (NAME)`.
    Exception {
        /// ClickHouse's error code.
        code: i32,
        /// Its name, `TOO_MANY_PARTS`.
        name: String,
        /// The text between.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// Something on the way answers, not ClickHouse: no exception code.
    Http {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// 200, part of a body, then an exception in it: it failed after the answer had begun.
    ExceptionInBody {
        /// What comes before.
        before: String,
        /// ClickHouse's error code.
        code: i32,
        /// Its name.
        name: String,
        /// Its text.
        message: String,
    },
    /// 200 and a body that breaks off.
    CutBody {
        /// What comes before.
        before: String,
    },
    /// The connection is closed without an answer.
    Close,
    /// No answer, for ever.
    Hang,
    /// The same, later.
    After(Duration, Box<Answer>),
}

impl Answer {
    /// An exception with the status that ClickHouse gives it, mostly 500.
    #[must_use]
    pub fn exception(code: i32, name: &str, message: &str) -> Self {
        let status = match name {
            "UNKNOWN_TABLE" | "UNKNOWN_DATABASE" | "UNKNOWN_SETTING" => 404,
            "SYNTAX_ERROR" | "CANNOT_PARSE_TEXT" | "TYPE_MISMATCH" => 400,
            "AUTHENTICATION_FAILED" | "ACCESS_DENIED" => 403,
            "TIMEOUT_EXCEEDED" => 408,
            _ => 500,
        };
        Self::Exception { code, name: name.to_owned(), message: message.to_owned(), status }
    }

    /// 252, too many parts.
    #[must_use]
    pub fn too_many_parts() -> Self {
        Self::exception(252, "TOO_MANY_PARTS", "Too many parts (301) in table 'market.ticks'")
    }

    /// This answer after a while.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// The text of an exception.
pub(super) fn exception_text(code: i32, name: &str, message: &str) -> String {
    format!("Code: {code}. DB::Exception: {message}. ({name}) (version 26.7.2.1)\n")
}
