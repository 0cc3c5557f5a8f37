//! How long to wait before trying again.

use std::time::Duration;

/// `SplitMix64`: the engine's own source of chance, so that a seed replays a run.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Exponential with full jitter: evenly between nothing and `initial` × 2^`failures`, at most
    /// `longest`. Full jitter spreads the shelves of all instances over the whole wait
    /// ("Exponential Backoff And Jitter", AWS Architecture Blog).
    pub(super) fn wait(&mut self, failures: u32, initial: Duration, longest: Duration) -> Duration {
        let limit = initial.saturating_mul(2_u32.saturating_pow(failures)).min(longest);
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A wait lies between nothing and the doubled initial wait, and never beyond the longest.
        #[test]
        fn waits_stay_within_their_limit(seed: u64, failures in 0_u32..100, initial in 1_u64..5_000, longest in 1_u64..60_000) {
            let (initial, longest) = (Duration::from_millis(initial), Duration::from_millis(longest));
            let wait = Chance::new(seed).wait(failures, initial, longest);
            prop_assert!(wait <= longest);
            prop_assert!(failures > 20 || wait <= initial * 2_u32.pow(failures));
        }
    }

    #[test]
    fn waits_use_the_whole_range() {
        let mut chance = Chance::new(1);
        let (initial, longest) = (Duration::from_secs(1), Duration::from_secs(32));
        let waits: Vec<_> = (0..1_000).map(|_| chance.wait(9, initial, longest)).collect();
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(2)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(30)));
        let mean = waits.iter().sum::<Duration>() / 1_000;
        assert!((15..17).contains(&mean.as_secs()), "{mean:?}");
    }
}
