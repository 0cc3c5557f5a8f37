//! The number of an instance, which a hub may change while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// `instance.number`, until a hub leases the instance another one. Clones share it.
#[derive(Clone, Debug)]
pub struct Number(Arc<AtomicU32>);

impl Number {
    /// The highest that a position of core NATS has room for.
    pub const MOST: u32 = 1023;

    /// As configured.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self(Arc::new(AtomicU32::new(number)))
    }

    /// The number that the instance carries now.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Carries another one from now on, in all clones.
    pub fn change(&self, number: u32) {
        self.0.store(number, Ordering::Relaxed);
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Number {}
