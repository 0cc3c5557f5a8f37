//! What can happen to an insert besides an exception of ClickHouse, and what each means.

use super::{Failure, Verdict};

/// One kind of failure on the way to ClickHouse.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    /// What happened, in words.
    pub what: &'static str,
    /// What it means.
    pub why: &'static str,
    /// What to do.
    pub verdict: Verdict,
    is: fn(&Failure) -> bool,
}

/// All of them; the first that fits counts. The last one fits everything.
pub const TRANSPORT: &[Transport] = &[
    Transport {
        what: "no connection: refused, no route, no such host, TLS refused",
        why: "nothing was sent",
        verdict: Verdict::Retry,
        is: |failure| matches!(failure, Failure::Connect(_)),
    },
    Transport {
        what: "the link broke after sending began",
        why: "nobody knows whether the insert happened; sent again, a second copy collapses",
        verdict: Verdict::Retry,
        is: |failure| matches!(failure, Failure::Cut(_)),
    },
    Transport {
        what: "no answer within `clickhouse.insert_timeout_ms`",
        why: "nobody knows whether the insert happened; sent again, a second copy collapses",
        verdict: Verdict::Retry,
        is: |failure| matches!(failure, Failure::TimedOut(_)),
    },
    Transport {
        what: "the password was refused, and its file cannot be read",
        why: "read again before each attempt",
        verdict: Verdict::Pause,
        is: |failure| matches!(failure, Failure::Credentials(_)),
    },
    Transport {
        what: "HTTP 401, 403, 407 without an exception code",
        why: "a proxy wants other credentials",
        verdict: Verdict::Pause,
        is: |failure| has_status(failure, |status| matches!(status, 401 | 403 | 407)),
    },
    Transport {
        what: "HTTP 404, 405 without an exception code",
        why: "something else than ClickHouse answers at this address",
        verdict: Verdict::Pause,
        is: |failure| has_status(failure, |status| matches!(status, 404 | 405)),
    },
    Transport {
        what: "HTTP 413 without an exception code",
        why: "a proxy takes smaller bodies only",
        verdict: Verdict::Split,
        is: |failure| has_status(failure, |status| status == 413),
    },
    Transport {
        what: "HTTP 408, 425, 429 without an exception code",
        why: "a proxy asks for patience",
        verdict: Verdict::Retry,
        is: |failure| has_status(failure, |status| matches!(status, 408 | 425 | 429)),
    },
    Transport {
        what: "HTTP 500 to 599 without an exception code",
        why: "a proxy, or a server that is starting or stopping",
        verdict: Verdict::Retry,
        is: |failure| has_status(failure, |status| (500..=599).contains(&status)),
    },
    Transport {
        what: "any other answer without an exception code",
        why: "nobody foresaw it",
        verdict: Verdict::Unknown,
        is: |_| true,
    },
];

fn has_status(failure: &Failure, is: fn(u16) -> bool) -> bool {
    matches!(failure, Failure::Http { status, .. } if is(*status))
}

pub(super) fn verdict(failure: &Failure) -> Verdict {
    let found = TRANSPORT.iter().find(|transport| (transport.is)(failure));
    found.map_or(Verdict::Unknown, |transport| transport.verdict)
}
