//! Rules of a header: alone, and after its parent.

use super::error::RuleError;
use super::retarget::required_bits;
use super::rule_switch::broken;
use super::spec::ChainSpec;
use crate::primitives::{BlockHash, BlockHeader, CompactTarget};

/// How many blocks the median time is taken over (Bitcoin Core, `CBlockIndex::nMedianTimeSpan`).
pub const MEDIAN_TIME_SPAN: usize = 11;

/// The lowest version after BIP34, BIP66 and BIP65, all in force from height 1.
const MIN_BLOCK_VERSION: i32 = 4;

/// What the rules need to know of the chain that a block builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentContext {
    /// The parent's hash.
    pub hash: BlockHash,
    /// The parent's height.
    pub height: u32,
    /// The latest time in the chain up to and including the parent, in seconds since 1970.
    pub latest_time: u32,
    /// The parent's target without easing (see `retarget`).
    pub base: CompactTarget,
    /// The latest time in the chain up to the parent's parent; none where the parent is the first block.
    pub latest_time_before: Option<u32>,
    /// The median time of the parent and the ten blocks before it.
    pub median_time_past: u32,
}

/// The median of block times, newest or oldest first; the upper of the two middle ones where their number is even.
pub fn median_time(times: &mut [u32]) -> u32 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The rules that a header meets or breaks wherever it is: a valid target below the limit, and a hash that meets it.
///
/// # Errors
/// The first rule that is broken.
pub fn check_header_in_isolation(
    spec: &ChainSpec,
    header: &BlockHeader,
    hash: &BlockHash,
) -> Result<(), RuleError> {
    let bits = header.bits;
    let target = match bits.to_target() {
        Ok(target) => target,
        Err(reason) => return broken(RuleError::TargetInvalid { bits, reason }),
    };
    if target > spec.pow_limit_target() {
        broken(RuleError::TargetAboveLimit {
            found: bits,
            limit: spec.pow_limit,
        })?;
    }
    if !target.is_met_by(hash) {
        broken(RuleError::HighHash { bits })?;
    }
    Ok(())
}

/// The rules of a header after its parent: target, time and version. `now` is the local time in seconds since 1970.
///
/// # Errors
/// The first rule that is broken.
pub fn check_header_in_parent_context(
    spec: &ChainSpec,
    header: &BlockHeader,
    parent: &ParentContext,
    now: u64,
) -> Result<(), RuleError> {
    check_time_in_parent_context(header.time, parent)?;
    let expected = required_bits(spec, parent, header.time).bits;
    if header.bits != expected {
        broken(RuleError::WrongBits {
            expected,
            found: header.bits,
        })?;
    }
    // BIP34, BIP65 and BIP66: "blocks with a version below … are invalid"; they signal nothing here but stay out of the chain.
    if header.version < MIN_BLOCK_VERSION {
        broken(RuleError::VersionTooOld(header.version))?;
    }
    // Last, so that a header that is wrong for ever is never taken for one that is only early.
    check_drift(spec, header.time, now)
}

/// Later than the median of the eleven blocks before it (BIP113's clock).
fn check_time_in_parent_context(time: u32, parent: &ParentContext) -> Result<(), RuleError> {
    if time <= parent.median_time_past {
        broken(RuleError::TimeTooOld {
            time,
            median: parent.median_time_past,
        })?;
    }
    Ok(())
}

/// Not further ahead of the local clock than the network allows.
fn check_drift(spec: &ChainSpec, time: u32, now: u64) -> Result<(), RuleError> {
    let limit = now.saturating_add(u64::from(spec.max_future_drift));
    if u64::from(time) > limit {
        broken(RuleError::TimeTooNew { time, limit })?;
    }
    Ok(())
}
