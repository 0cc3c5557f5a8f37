//! How others tell a pipeline that it is to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Tells a running pipeline to drain and stop: for good, or to begin again.
#[derive(Clone, Debug, Default)]
pub struct StopSign {
    raised: Arc<AtomicU8>,
}

/// Values of a stop sign; a greater one is not taken back by a smaller.
const BEGIN_AGAIN: u8 = 1;
const FOR_GOOD: u8 = 2;

impl StopSign {
    /// Asks for a drained stop.
    pub fn raise(&self) {
        self.raised.fetch_max(FOR_GOOD, Ordering::Relaxed);
    }

    /// Asks for a stop after which another pipeline begins.
    pub fn raise_to_begin_again(&self) {
        self.raised.fetch_max(BEGIN_AGAIN, Ordering::Relaxed);
    }

    /// Whether another pipeline is to begin; the sign is lowered then.
    #[must_use]
    pub fn begins_again(&self) -> bool {
        self.raised.compare_exchange(BEGIN_AGAIN, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether the pipeline was asked to stop.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_for_good(&self) -> bool {
        self.raised.load(Ordering::Relaxed) == FOR_GOOD
    }
}
