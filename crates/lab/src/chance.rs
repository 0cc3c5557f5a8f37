//! Seeded chance: small, fast, the same on every machine.

/// A stream of numbers that depends on nothing but what it was made from (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream `purpose` of message `number`.
    pub(crate) fn new(seed: u64, number: u64, purpose: u64) -> Self {
        let mut chance =
            Self(seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ purpose.rotate_right(17));
        chance.0 = chance.next();
        chance
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let product = (self.next() >> 32) * u64::from(bound);
        u32::try_from(product >> 32).expect("32 bits remain")
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u32, to: u32) -> u32 {
        from + self.below(to - from + 1)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// True with the likelihood `share`, given as [`threshold`].
    pub(crate) fn within(&mut self, threshold: u64) -> bool {
        (self.next() >> 32) < threshold
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let bound = u32::try_from(from.len()).expect("lists here are short");
        &from[self.below(bound) as usize]
    }
}

/// A share of 0 to 1 as a number of 2³² parts.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is between 0 and 1, checked with the plan"
)]
pub(crate) fn threshold(share: f64) -> u64 {
    (share * 4_294_967_296.0) as u64
}
