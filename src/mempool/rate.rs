//! Fee rates, compared exactly.

use std::cmp::{Ordering, Reverse};

use crate::primitives::Txid;

/// A fee divided by a size, kept as a fraction so that comparing two never rounds.
#[derive(Debug, Clone, Copy)]
pub struct FeeRate {
    /// Base units. Wide enough for the fees of any number of transactions together; below 0 where a priority says so.
    fee: i128,
    /// Bytes, never 0.
    size: u64,
}

impl FeeRate {
    /// `fee` base units for `size` bytes; a size of 0 counts as 1.
    pub fn new(fee: i128, size: u64) -> Self {
        Self {
            fee,
            size: size.max(1),
        }
    }

    /// Base units for 1000 bytes, rounded down and at least 0: the form in which RPC answers and options give rates.
    pub fn per_kilobyte(self) -> u64 {
        let rate = self.fee.max(0).saturating_mul(1000) / i128::from(self.size);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Whether the fee is below 0.
    pub(super) const fn is_negative(self) -> bool {
        self.fee < 0
    }
}

/// The fee of `size` bytes at `per_kilobyte` base units for 1000 bytes, rounded up.
pub(super) fn fee_at(per_kilobyte: u64, size: u64) -> u64 {
    let fee = (u128::from(per_kilobyte) * u128::from(size)).div_ceil(1000);
    u64::try_from(fee).unwrap_or(u64::MAX)
}

impl Ord for FeeRate {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = self.fee.saturating_mul(i128::from(other.size));
        let right = other.fee.saturating_mul(i128::from(self.size));
        left.cmp(&right)
    }
}

impl PartialOrd for FeeRate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FeeRate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for FeeRate {}

/// A place in an order by fee rate: of equal rates the earlier arrival is the greater. With fees of 0, as on a new network, the
/// order is that of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) rate: FeeRate,
    pub(super) arrival: Reverse<u64>,
    pub(super) txid: Txid,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_round_against_the_payer() {
        assert_eq!(fee_at(1000, 226), 226);
        assert_eq!(fee_at(1, 226), 1);
        assert_eq!(fee_at(0, 226), 0);
        assert_eq!(fee_at(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(FeeRate::new(1, 3).per_kilobyte(), 333);
    }

    proptest! {
        #[test]
        fn comparing_rates_is_comparing_fractions(a: i32, b: i32, n in 1_u32..1000, m in 1_u32..1000) {
            let (left, right) = (FeeRate::new(a.into(), n.into()), FeeRate::new(b.into(), m.into()));
            prop_assert_eq!(left.cmp(&right), (i64::from(a) * i64::from(m)).cmp(&(i64::from(b) * i64::from(n))));
        }
    }
}
