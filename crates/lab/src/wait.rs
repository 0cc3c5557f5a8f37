//! Waiting for a condition, with a deadline and a failure that says what was waited for.

use std::time::{Duration, Instant};

/// How long to leave a condition alone before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// A condition did not come true.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} for {what}; last seen: {last}")]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// The last state that was observed.
    pub last: String,
}

/// Calls `probe` until it answers `Ok`; its `Err` says what it saw instead. A probe that hangs is
/// ended at the deadline.
///
/// # Errors
/// After `deadline`, with what was waited for and the last state observed.
pub async fn until<T, S, F>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> F,
) -> Result<T, TimedOut>
where
    F: Future<Output = Result<T, S>>,
    S: ToString,
{
    let start = Instant::now();
    let mut last = "nothing yet".to_owned();
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) => last = state.to_string(),
            Err(_elapsed) => last = format!("the last look did not end; before it: {last}"),
        }
        if start.elapsed() + PAUSE >= deadline {
            return Err(TimedOut { what: what.to_owned(), waited: start.elapsed(), last });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
