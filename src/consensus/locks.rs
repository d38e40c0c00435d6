//! Lock times: absolute (BIP113) and relative (BIP68).

use crate::primitives::{Coin, SEQUENCE_FINAL, Transaction};

/// Lock times below are heights, from here on times (Bitcoin Core, `LOCKTIME_THRESHOLD`).
pub const LOCK_TIME_THRESHOLD: u32 = 500_000_000;

/// A sequence with this bit has no relative lock (BIP68).
const SEQUENCE_DISABLED: u32 = 1 << 31;
/// A sequence with this bit counts time, without it blocks (BIP68).
const SEQUENCE_TIME: u32 = 1 << 22;
/// The bits that hold the lock (BIP68).
const SEQUENCE_MASK: u32 = 0xffff;
/// A unit of time is 2^9 = 512 seconds (BIP68).
const SEQUENCE_GRANULARITY: u32 = 9;

/// Whether `tx` may be in a block at `height` whose parent has the median time `median_time_past`.
///
/// BIP113: a lock time is compared with the median time of the blocks before, not with the block's own time.
pub fn is_final(tx: &Transaction, height: u32, median_time_past: u32) -> bool {
    let reached = if tx.lock_time < LOCK_TIME_THRESHOLD {
        height
    } else {
        median_time_past
    };
    tx.lock_time == 0
        || tx.lock_time < reached
        || tx
            .inputs
            .iter()
            .all(|input| input.sequence == SEQUENCE_FINAL)
}

/// Whether the relative lock of one input has passed in a block at `height` whose parent has the median time
/// `median_time_past`.
///
/// BIP68: counts from the block that made the coin; a lock of n blocks may be spent n blocks later, a lock of n × 512 seconds
/// that long after the median time before the coin's block. `median_time_before` gives the median time past of the block at a
/// height of the same chain.
pub(super) fn sequence_lock_passed(
    version: i32,
    sequence: u32,
    coin: &Coin,
    height: u32,
    median_time_past: u32,
    median_time_before: &dyn Fn(u32) -> u32,
) -> bool {
    if version < 2 || sequence & SEQUENCE_DISABLED != 0 {
        return true;
    }
    let lock = sequence & SEQUENCE_MASK;
    if sequence & SEQUENCE_TIME == 0 {
        return u64::from(coin.height) + u64::from(lock) <= u64::from(height);
    }
    let start = median_time_before(coin.height.saturating_sub(1));
    u64::from(start) + (u64::from(lock) << SEQUENCE_GRANULARITY) <= u64::from(median_time_past)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Amount, PubkeyHash};

    fn coin(height: u32) -> Coin {
        Coin {
            value: Amount::ZERO,
            pubkey_hash: PubkeyHash::ZERO,
            height,
            is_coinbase: false,
        }
    }

    #[test]
    fn b16_relative_locks_count_from_the_coin() {
        let passed = |version, sequence, height, median| {
            sequence_lock_passed(version, sequence, &coin(10), height, median, &|at| {
                1000 * at
            })
        };
        assert!(!passed(2, 5, 14, 0));
        assert!(passed(2, 5, 15, 0));
        assert!(passed(1, 5, 11, 0), "version 1 has no relative locks");
        assert!(passed(2, 5 | SEQUENCE_DISABLED, 11, 0));
        // The block before the coin's is at 9: median time 9000; one unit is 512 s.
        assert!(!passed(2, 1 | SEQUENCE_TIME, 11, 9511));
        assert!(passed(2, 1 | SEQUENCE_TIME, 11, 9512));
    }
}
