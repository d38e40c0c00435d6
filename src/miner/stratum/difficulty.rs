//! How rare a share is: how many times rarer than a hash below the target of difficulty 1, which takes about 2^32 hashes.
//!
//! Private networks are below 1 for as long as processors mine them, so the number is a fraction. From 1 on it is a whole number,
//! since some hardware reads nothing else.

use crate::primitives::{BlockHash, Target};

/// The target of difficulty 1.
const TARGET_ONE: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[4] = 0xff;
    bytes[5] = 0xff;
    bytes
};
/// Hashes that a share of difficulty 1 takes on average.
const HASHES_OF_ONE: f64 = 4_294_967_296.0;
/// The bits of a floating-point number's fraction.
const FRACTION_BITS: i32 = 52;
/// How much below a block's own difficulty one is that must not miss it: miners compute the target with less precision.
const BELOW_BLOCK: f64 = 1.0 - 1.0 / 1_048_576.0;

/// A share's difficulty.
///
/// # Invariants
/// From [`Difficulty::MIN`] to [`Difficulty::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Difficulty(f64);

impl Difficulty {
    /// Nearly every hash is a share.
    pub(super) const MIN: Self = Self(1.0 / HASHES_OF_ONE);
    /// More than any miner will ever need: 2^92 hashes.
    pub(super) const MAX: Self = Self(1e18);
    /// What a connection begins with that says nothing: two seconds of one thread, and so little that a slow chip adapts from
    /// it in a minute.
    pub(super) const START: Self = Self(1.0 / 256.0);

    /// What is below it floods us from any processor: a share in a quarter of a second at a million hashes a second. Until more is
    /// known of a miner nothing easier is given out, even where blocks are.
    pub(super) const SLOW_CPU: Self = Self(1.0 / 16_384.0);

    /// The nearest difficulty; `None` for what is no positive number.
    pub(super) fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0).then(|| Self(value.clamp(Self::MIN.0, Self::MAX.0)))
    }

    /// The difficulty of a target.
    pub(super) fn of(target: &Target) -> Self {
        Self(target.difficulty().clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The hardest target's difficulty that a hash meets.
    pub(super) fn of_hash(hash: &BlockHash) -> Self {
        let mut bytes = hash.to_bytes();
        bytes.reverse();
        match bytes == [0; 32] {
            true => Self::MAX,
            false => Self::of(&Target::from_be_bytes(bytes)),
        }
    }

    /// One at which every hash that meets a block's target is a share.
    pub(super) fn not_above_block(target: &Target) -> Self {
        Self((target.difficulty() * BELOW_BLOCK).clamp(Self::MIN.0, Self::MAX.0)).whole()
    }

    /// A whole number from 1 on, rounded down.
    pub(super) fn whole(self) -> Self {
        match self.0 < 1.0 {
            true => self,
            false => Self(self.0.floor()),
        }
    }

    /// `factor` times as much, within bounds; `factor` is a positive number.
    pub(super) fn times(self, factor: f64) -> Self {
        Self::new(self.0 * factor).unwrap_or(self)
    }

    /// The lesser of two.
    pub(super) fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The greater of two.
    pub(super) fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// The number.
    pub(super) const fn value(self) -> f64 {
        self.0
    }

    /// How many hashes a share takes on average.
    pub(super) fn hashes(self) -> f64 {
        self.0 * HASHES_OF_ONE
    }

    /// The nearest difficulty whose shares take so many hashes.
    pub(super) fn of_hashes(hashes: f64) -> Option<Self> {
        Self::new(hashes / HASHES_OF_ONE)
    }

    /// The target that a share meets.
    pub(super) fn target(self) -> Target {
        // 1 / difficulty as a whole number of 53 bits and a power of two.
        let inverse = 1.0 / self.0;
        let shift = FRACTION_BITS - inverse.log2().floor() as i32;
        // Exact: a power of two changes the exponent alone. At most 2^53, and the shift is 20 to 112.
        let factor = (inverse * 2_f64.powi(shift)) as u64;
        let shift = u32::try_from(shift).unwrap_or(0);
        let limit = Target::from_be_bytes([0xff; 32]);
        Target::from_be_bytes(TARGET_ONE).scale(factor, shift, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::CompactTarget;
    use proptest::prelude::*;

    #[test]
    fn known_difficulties() {
        let target = |value| Difficulty::new(value).unwrap().target();
        let one = CompactTarget(0x1d00_ffff).to_target().unwrap();
        assert_eq!(target(1.0), one);
        assert_eq!(target(1024.0).to_compact(), CompactTarget(0x1b3f_ffc0));
        let regtest = CompactTarget(0x207f_ffff).to_target().unwrap();
        assert!(Difficulty::not_above_block(&regtest).target() >= regtest);
        assert!((target(0.5).difficulty() - 0.5).abs() < 1e-12);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Difficulty::new(bad), None);
        }
        assert_eq!(Difficulty::new(1e-30), Some(Difficulty::MIN));
        assert_eq!(Difficulty::new(1e30), Some(Difficulty::MAX));
        assert_eq!(Difficulty::new(3.9).unwrap().whole().value(), 3.0);
    }

    proptest! {
        #[test]
        fn targets_and_difficulties_are_inverse(exponent in -32.0..59.0_f64) {
            let difficulty = Difficulty::new(exponent.exp2()).unwrap();
            let back = Difficulty::of(&difficulty.target());
            prop_assert!((back.value() / difficulty.value() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn no_block_is_above_its_own_difficulty(bits in 0x1500_0001_u32..0x2100_0000) {
            let Ok(target) = CompactTarget(bits).to_target() else { return Ok(()) };
            prop_assume!(target.difficulty() < Difficulty::MAX.value());
            prop_assume!(target.difficulty() > 2.0 * Difficulty::MIN.value());
            prop_assert!(Difficulty::not_above_block(&target).target() >= target);
        }
    }
}
