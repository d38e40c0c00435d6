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

use std::ops::RangeInclusive;

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

/// The times around `time` at which a child of `parent` carries the same target, as far as that is sure: whoever rolls the time of
/// a header must stay within them. A network whose target does not depend on the time has no last one.
pub fn times_with_equal_bits(
    spec: &ChainSpec,
    parent: &ParentContext,
    time: u32,
) -> RangeInclusive<u32> {
    let earliest = parent.median_time_past.saturating_add(1);
    let Retarget::Exponential {
        stall_after,
        stall_doubling,
        ..
    } = spec.retarget
    else {
        return earliest..=u32::MAX;
    };
    let overdue_from = parent.latest_time.saturating_add(stall_after);
    let doublings = time.saturating_sub(overdue_from) / stall_doubling;
    let step_from = overdue_from.saturating_add(doublings.saturating_mul(stall_doubling));
    let last = step_from.saturating_add(stall_doubling - 1);
    match doublings {
        0 => earliest..=last,
        _ => step_from.max(earliest)..=last,
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
    // The factor's own 16 bits and the whole powers of two are one shift, so that no bit is lost before the other half.
    let right = 16 - shifts;
    match u32::try_from(right) {
        // 320 bits hold every product, so that from there on each shift leaves the same: nothing.
        Ok(right) => reference.scale(factor, right.min(320), limit),
        Err(_) if right > 0 => reference.scale(factor, 320, limit),
        Err(_) => {
            let left = u32::try_from(-right).unwrap_or(u32::MAX);
            let whole = reference.scale(factor, 0, Target::from_be_bytes([0xff; 32]));
            whole.double(left, limit)
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

    // The published vectors are absolute: the exponent is how far the chain is behind its schedule since the anchor.
    #[test]
    fn h04_the_published_aserti3_2d_vectors() {
        let mut limit = [0xff; 32];
        limit[..4].fill(0);
        let limit = Target::from_be_bytes(limit);
        let (mut runs, mut lines) = (0, 0);
        let (mut anchor, mut anchor_height, mut anchor_time) = (limit, 0_u64, 0_i64);
        let bits = |text: &str| CompactTarget(u32::from_str_radix(text, 16).unwrap());
        let vectors = include_str!("../../tests/vectors/aserti3-2d.txt");
        for line in vectors.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let ["run", anchor_bits, height, time] = fields[..] {
                anchor = bits(anchor_bits).to_target().unwrap();
                (anchor_height, anchor_time) = (height.parse().unwrap(), time.parse().unwrap());
                runs += 1;
                continue;
            }
            let [height, time, expected] = fields[..] else {
                panic!("{line}")
            };
            let after = i64::try_from(height.parse::<u64>().unwrap() - anchor_height).unwrap();
            let late = time.parse::<i64>().unwrap() - anchor_time - 600 * (after + 1);
            let found = exponential_target(anchor, late, 172_800, limit).to_compact();
            assert_eq!(found, bits(expected), "run {runs}: {line}");
            lines += 1;
        }
        assert_eq!((runs, lines), (10, 753));
    }

    // H4: what a multiplication loses, it loses once; and far beyond the range the ends are the limit and 1.
    #[test]
    fn h04_extremes_end_at_the_limit_and_at_one() {
        let limit = ChainSpec::regtest().pow_limit_target();
        let one = CompactTarget(0x0101_0000).to_target().unwrap();
        assert_eq!(exponential_target(one, i64::MAX, 1, limit), limit);
        assert_eq!(exponential_target(limit, i64::MIN, 1, limit), one);
        assert_eq!(exponential_target(limit, i64::MAX, i64::MAX, limit), limit);
        // 2^0.5 in the rule's approximation, 2^20 times over: the fraction survives the doubling.
        let doubled = exponential_target(one, 41, 2, limit).to_be_bytes();
        assert_eq!(doubled[28..], 1_482_784_u32.to_be_bytes());
    }

    proptest! {
        // H7, time warp: whatever times miners write, the target is at most what the chain's own clock justifies.
        #[test]
        fn h07_no_sequence_of_times_makes_blocks_easier_than_the_clock_does(steps in proptest::collection::vec(-3_000_i64..=60, 1..200)) {
            let spec = ChainSpec::dev();
            let start = CompactTarget(0x1c00_ffff);
            let mut times = vec![1_800_000_000_i64; 11];
            let (mut context, mut clock) = (parent(start, 1_800_000_000, 10), 1_800_000_000_i64);
            let begin = clock;
            let mut counted = -1_i64;
            for step in steps {
                let mut window: Vec<i64> = times[times.len() - 11..].to_vec();
                window.sort_unstable();
                // As early as the median rule lets it be, or somewhat later than the clock, but never so late that it is overdue.
                let time = (clock + step).max(window[5] + 1);
                let next = required_bits(&spec, &context, u32::try_from(time).unwrap());
                prop_assert_eq!(next.bits, next.base, "no block is overdue");
                counted += 1;
                let before = clock;
                clock = clock.max(time);
                times.push(time);
                if counted > 0 {
                    let late = (before - begin) - counted * i64::from(spec.target_spacing);
                    let limit = spec.pow_limit_target();
                    let justified = exponential_target(start.to_target().unwrap(), late, 120, limit);
                    // Each of up to 200 steps may be off by the approximation's 0.013 % and by rounding.
                    prop_assert!(next.base.to_target().unwrap().difficulty() > justified.difficulty() * 0.95);
                }
                context = ParentContext {
                    latest_time: u32::try_from(clock).unwrap(),
                    latest_time_before: Some(u32::try_from(before).unwrap()),
                    base: next.base,
                    ..context
                };
            }
        }

        #[test]
        fn h04_never_zero_never_above_the_limit(late: i64, half_life in 1_i64..=31_536_000, bytes: [u8; 32]) {
            let limit = ChainSpec::dev().pow_limit_target();
            let reference = Target::from_be_bytes(bytes).scale(1, 8, limit);
            let next = exponential_target(reference, late, half_life, limit);
            prop_assert!(next <= limit && next.to_be_bytes() != [0; 32]);
        }

        #[test]
        fn times_with_equal_bits_hold_the_time_and_have_its_bits(latest in 1_000_u32.., behind in 0_u32..1_000, block: u32, at in 0.0..=1.0_f64) {
            let spec = ChainSpec::dev();
            let context = ParentContext { latest_time: latest, median_time_past: latest - behind, ..parent(CompactTarget(0x1a00_ffff), latest, 10) };
            let time = block.max(context.median_time_past.saturating_add(1));
            let times = times_with_equal_bits(&spec, &context, time);
            prop_assert!(times.contains(&time), "{time} {times:?}");
            let (first, last) = times.into_inner();
            let other = first + (f64::from(last - first) * at) as u32;
            prop_assert_eq!(required_bits(&spec, &context, other).bits, required_bits(&spec, &context, time).bits);
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
