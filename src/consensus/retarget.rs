//! Which target a block must meet.
//!
//! The exponential rule adjusts once a block: a target follows from the parent's and the parent's solve time, so that being
//! `half_life` seconds ahead of schedule doubles the difficulty. This is the relative form of aserti3-2d, with its integer
//! approximation of 2^x.
//!
//! A network whose hash rate fell a hundredfold, or that was switched off, would wait for hours for its next block. So a block
//! that comes more than `stall_after` seconds after its parent may meet an easier target, doubled for every `stall_doubling`
//! seconds more. The eased target serves that block alone: its successors are computed from the target it would have had (the
//! *base*), so one late block is not followed by a storm of easy ones. Solve times count for at most `2 × stall_after`.
//!
//! A block's time is what its miner says, and may lie behind its parent's. So times are measured on the chain's own clock, the
//! latest time of any block so far, which never goes back: whoever dates a block early wins nothing by it, neither an overdue
//! successor for himself nor a solve time that is counted twice.

use super::header::ParentContext;
use super::spec::{ChainSpec, Retarget};
use crate::primitives::{CompactTarget, Target};

/// The target of a block, and what its successors are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredBits {
    /// What the header must say.
    pub bits: CompactTarget,
    /// The target without easing.
    pub base: CompactTarget,
}

/// The target that the child of `parent` with time `time` must carry.
pub fn required_bits(spec: &ChainSpec, parent: &ParentContext, time: u32) -> RequiredBits {
    let Retarget::Exponential {
        half_life,
        stall_after,
        stall_doubling,
    } = spec.retarget
    else {
        return RequiredBits {
            bits: spec.pow_limit,
            base: spec.pow_limit,
        };
    };
    let limit = spec.pow_limit_target();
    let parent_base = parent.base.to_target().unwrap_or(limit);
    let base = match parent.latest_time_before {
        // The first block has no solve time, so its successor inherits its target.
        None => parent_base,
        Some(before) => {
            let most = 2 * i64::from(stall_after);
            let solve = (i64::from(parent.latest_time) - i64::from(before)).min(most);
            let late = solve - i64::from(spec.target_spacing);
            exponential_target(parent_base, late, i64::from(half_life), limit)
        }
    };
    let overdue = i64::from(time) - i64::from(parent.latest_time) - i64::from(stall_after);
    let doublings = u32::try_from(overdue).map_or(0, |seconds| seconds / stall_doubling);
    // The eased target starts from the rounded base, so that a block that is not overdue has exactly the base.
    let base = base.to_compact();
    let eased = base.to_target().unwrap_or(limit).double(doublings, limit);
    RequiredBits {
        bits: eased.to_compact(),
        base,
    }
}

/// `reference` × 2^(`late` / `half_life`), at least 1 and at most `limit`.
///
/// aserti3-2d (Bitcoin Cash, 2020-11-15 upgrade): the exponent is fixed-point with 16 fractional bits, its fraction goes through
/// a cubic polynomial that is within 0.013 % of 2^x. `late` and `half_life` are in seconds.
pub fn exponential_target(reference: Target, late: i64, half_life: i64, limit: Target) -> Target {
    /// One in fixed point.
    const RADIX: i64 = 1 << 16;
    let exponent = i128::from(late) * i128::from(RADIX) / i128::from(half_life);
    let shifts = exponent.div_euclid(i128::from(RADIX));
    let fraction = u128::try_from(exponent.rem_euclid(i128::from(RADIX)))
        .expect("a euclidean remainder is not negative");
    let polynomial = 195_766_423_245_049 * fraction
        + 971_821_376 * fraction.pow(2)
        + 5_127 * fraction.pow(3)
        + (1 << 47);
    let factor = (1 << 16) + u64::try_from(polynomial >> 48).expect("the polynomial is below 2^64");
    match u32::try_from(shifts) {
        Ok(left) => {
            // Doubling first would lose nothing but room, so the limit is applied after each half.
            let unscaled = reference.scale(factor, 16, Target::from_be_bytes([0xff; 32]));
            unscaled.double(left, limit)
        }
        Err(_) => {
            let right = u32::try_from(-shifts).unwrap_or(u32::MAX).min(400);
            reference.scale(factor, 16 + right, limit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::BlockHash;
    use proptest::prelude::*;

    fn parent(base: CompactTarget, time: u32, solve: i64) -> ParentContext {
        ParentContext {
            hash: BlockHash::ZERO,
            height: 5,
            latest_time: time,
            base,
            latest_time_before: Some(u32::try_from(i64::from(time) - solve).unwrap()),
            median_time_past: time - 30,
        }
    }

    const NORMAL: CompactTarget = CompactTarget(0x1d00_ffff);

    #[test]
    fn on_schedule_changes_nothing() {
        let required = required_bits(
            &ChainSpec::dev(),
            &parent(NORMAL, 1_800_000_000, 10),
            1_800_000_010,
        );
        assert_eq!(
            required,
            RequiredBits {
                bits: NORMAL,
                base: NORMAL
            }
        );
    }

    #[test]
    fn a_half_life_late_halves_the_difficulty_and_early_doubles_it() {
        let limit = Target::from_be_bytes([0xff; 32]);
        let one = NORMAL.to_target().unwrap();
        assert_eq!(
            exponential_target(one, 120, 120, limit),
            one.double(1, limit)
        );
        assert_eq!(exponential_target(one, 0, 120, limit), one);
        assert_eq!(
            exponential_target(one.double(1, limit), -120, 120, limit),
            one
        );
    }

    #[test]
    fn a_week_off_gives_one_easy_block_and_no_storm() {
        let spec = ChainSpec::dev();
        let week = 604_800;
        let before = parent(NORMAL, 1_800_000_000, 10);
        let late = required_bits(&spec, &before, before.latest_time + week);
        assert_eq!(late.bits, spec.pow_limit);
        assert_eq!(late.base, NORMAL);
        let after = ParentContext {
            latest_time: before.latest_time + week,
            base: late.base,
            latest_time_before: Some(before.latest_time),
            ..before
        };
        let next = required_bits(&spec, &after, after.latest_time + 10);
        let ratio =
            next.bits.to_target().unwrap().difficulty() / NORMAL.to_target().unwrap().difficulty();
        assert!(
            (0.2..1.0).contains(&ratio),
            "one capped solve time eases by {ratio}"
        );
    }

    proptest! {
        #[test]
        fn h04_never_zero_never_above_the_limit(late: i64, half_life in 1_i64..=31_536_000, bytes: [u8; 32]) {
            let limit = ChainSpec::dev().pow_limit_target();
            let reference = Target::from_be_bytes(bytes).scale(1, 8, limit);
            let next = exponential_target(reference, late, half_life, limit);
            prop_assert!(next <= limit && next.to_be_bytes() != [0; 32]);
        }

        #[test]
        fn h04_the_requirement_is_a_target_for_any_times(time: u32, before: u32, block: u32) {
            let spec = ChainSpec::dev();
            let context = ParentContext { latest_time: time.max(before), latest_time_before: Some(before), ..parent(NORMAL, 1_800_000_000, 0) };
            let required = required_bits(&spec, &context, block);
            prop_assert!(required.bits.to_target().unwrap() <= spec.pow_limit_target());
            prop_assert!(required.base.to_target().unwrap() <= required.bits.to_target().unwrap());
        }
    }
}
