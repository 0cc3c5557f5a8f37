//! Ends the wait of the driver: something is queued, or somebody asks for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Makes a driver that waits for its sources return early. A wake while nobody waits is
/// kept for the next wait.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    queued: bool,
    asked: bool,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The client's queue has something.
    Queued,
    /// [`Waker::wake`] was called.
    Asked,
    /// Time is over.
    TimedOut,
}

impl Waker {
    /// Makes the fetch that waits, or the next one, return at once.
    pub fn wake(&self) {
        self.rung().asked = true;
        self.0.changed.notify_all();
    }

    /// Waits until somebody wakes it, at most so long.
    pub(crate) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        self.looking();
        match self.wait(until) {
            Woken::Queued | Woken::Asked | Woken::TimedOut => {}
        }
    }

    /// Something lies in the client's queue. Called from librdkafka's threads.
    pub(crate) fn queued(&self) {
        self.rung().queued = true;
        self.0.changed.notify_all();
    }

    /// Before the queue is looked at: what comes from here on is not missed.
    pub(crate) fn looking(&self) {
        self.rung().queued = false;
    }

    pub(crate) fn wait(&self, until: Instant) -> Woken {
        let mut rung = self.rung();
        loop {
            if rung.asked {
                rung.asked = false;
                return Woken::Asked;
            }
            if rung.queued {
                return Woken::Queued;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Woken::TimedOut;
            }
            rung =
                self.0.changed.wait_timeout(rung, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.0.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_wait_is_not_missed() {
        let waker = Waker::default();
        waker.wake();
        let far = Instant::now() + Duration::from_mins(1);
        assert_eq!(waker.wait(far), Woken::Asked);
        assert_eq!(waker.wait(Instant::now()), Woken::TimedOut, "it counts once");
    }

    #[test]
    fn what_is_queued_after_looking_ends_the_wait() {
        let waker = Waker::default();
        waker.queued();
        waker.looking();
        assert_eq!(waker.wait(Instant::now()), Woken::TimedOut);
        let other = waker.clone();
        let thread = std::thread::spawn(move || other.queued());
        let far = Instant::now() + Duration::from_mins(1);
        assert_eq!(waker.wait(far), Woken::Queued);
        thread.join().unwrap();
    }
}
