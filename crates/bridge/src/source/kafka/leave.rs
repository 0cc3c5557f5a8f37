//! Out of the group, in bounded time.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::Client;

/// Pause between two looks whether somebody still uses a client.
const LOOK: Duration = Duration::from_millis(1);

/// Does `work` on a thread of its own, and waits for it at most until `deadline`: neither
/// librdkafka's own waits nor the end of its threads have one.
pub(super) fn end_by(deadline: Instant, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel::<()>();
    let ending = thread::spawn(move || {
        work();
        drop(done);
    });
    let left = deadline.saturating_duration_since(Instant::now());
    match wait.recv_timeout(left) {
        Err(mpsc::RecvTimeoutError::Disconnected) => join_thread(ending, "the end of the client"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Timeout) => {
            tracing::warn!("the Kafka client did not end in time");
        }
    }
}

/// Waits for a thread that is about to end.
pub(super) fn join_thread(thread: JoinHandle<()>, what: &str) {
    if thread.join().is_err() {
        tracing::error!("{what} panicked");
    }
}

/// Leaves the group, at most until `deadline`.
pub(super) fn leave(client: &Client, owes_answer: bool, deadline: Instant) {
    let closing = match client.leave() {
        Ok(closing) => closing,
        Err(trouble) => {
            tracing::debug!(error = %trouble, "not leaving the group");
            return;
        }
    };
    // Now any answer gives all back. Without a question it would never return if the group is left
    // before it is looked at.
    if owes_answer && let Err(trouble) = client.assign(None) {
        tracing::debug!(error = %trouble, "leaving the group");
    }
    while !closing.serve(Duration::from_millis(20)) {
        if Instant::now() >= deadline {
            tracing::warn!("the group could not be left in time");
            return;
        }
    }
}

/// Ends a client without a word to the group, once nobody else uses it: here and not where the last
/// user happens to be, for it takes its time.
pub(super) fn abandon(mut client: Arc<Client>) {
    while let Err(used) = Arc::try_unwrap(client) {
        client = used;
        thread::park_timeout(LOOK);
    }
}
