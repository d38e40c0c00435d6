//! Targets, their compact form, and the work that meeting them proves.

use std::fmt;

use ruint::Uint;
use ruint::aliases::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::BlockHash;

/// A target in the compact form of the header: one byte of exponent, three bytes of mantissa.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompactTarget(pub u32);

/// The largest hash that proves the work, as a 256-bit number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(U256);

/// Expected hashes to meet a target, or the sum of them over a chain.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work(U256);

/// Why a compact form is not a target (Bitcoin Core, `arith_uint256::SetCompact` and `CheckProofOfWork`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The sign bit is set.
    #[error("the target is negative")]
    Negative,
    /// The mantissa is shifted beyond 256 bits.
    #[error("the target does not fit in 256 bits")]
    Overflow,
    /// No hash could meet it.
    #[error("the target is zero")]
    Zero,
}

impl CompactTarget {
    /// The 256-bit target.
    ///
    /// # Errors
    /// [`TargetError`] for a negative, overflowing or zero target.
    pub fn to_target(self) -> Result<Target, TargetError> {
        let exponent = self.0 >> 24;
        let mantissa = self.0 & 0x007f_ffff;
        let value = if exponent <= 3 {
            U256::from(mantissa >> (8 * (3 - exponent)))
        } else {
            let used_bits = 32 - mantissa.leading_zeros() + 8 * (exponent - 3);
            if mantissa != 0 && used_bits > 256 {
                return Err(TargetError::Overflow);
            }
            // The shift is at most 8 × 252 bits; ruint shifts out to zero beyond 256, which the check above excludes.
            U256::from(mantissa) << (8 * (exponent - 3))
        };
        if value.is_zero() {
            return Err(TargetError::Zero);
        }
        if self.0 & 0x0080_0000 != 0 {
            return Err(TargetError::Negative);
        }
        Ok(Target(value))
    }
}

impl fmt::Display for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Target {
    /// The target of a 256-bit big-endian number.
    pub const fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// The number, big-endian.
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// Whether `hash`, read as a little-endian number, does not exceed the target.
    pub fn is_met_by(&self, hash: &BlockHash) -> bool {
        U256::from_le_bytes(hash.to_bytes()) <= self.0
    }

    /// The compact form, rounded down to three bytes of mantissa (Bitcoin Core, `arith_uint256::GetCompact`).
    pub fn to_compact(self) -> CompactTarget {
        let mut bytes = self.0.bit_len().div_ceil(8);
        let mut mantissa: u64 = if bytes <= 3 {
            (self.0 << (8 * (3 - bytes))).to()
        } else {
            (self.0 >> (8 * (bytes - 3))).to()
        };
        // The top bit of the mantissa is the sign: a number that would set it takes one more byte of exponent.
        if mantissa & 0x0080_0000 != 0 {
            mantissa >>= 8;
            bytes += 1;
        }
        let mantissa = u32::try_from(mantissa).expect("the mantissa has 23 bits");
        let exponent = u32::try_from(bytes).expect("256 bits are 32 bytes");
        CompactTarget(exponent << 24 | mantissa)
    }

    /// Expected hashes until one meets the target: 2^256 / (target + 1) (Bitcoin Core, `GetBlockProof`).
    pub fn work(&self) -> Work {
        match self.0.checked_add(U256::ONE) {
            // 2^256 / (t + 1) = (2^256 − t − 1) / (t + 1) + 1, and !t = 2^256 − t − 1.
            Some(divisor) => Work(!self.0 / divisor + U256::ONE),
            None => Work(U256::ONE),
        }
    }

    /// The target multiplied by `factor` / 2^`shift`, at most `limit` and at least 1.
    pub fn scale(self, factor: u64, shift: u32, limit: Self) -> Self {
        // 256 bits times 64 bits fit in 320, so nothing is lost before the shift.
        let product: Uint<320, 5> = Uint::from(self.0) * Uint::from(factor);
        let scaled = product >> shift;
        if scaled >= Uint::from(limit.0) {
            return limit;
        }
        Self(U256::from(scaled).max(U256::ONE))
    }

    /// The target multiplied by 2^`bits`, at most `limit`.
    pub fn double(self, bits: u32, limit: Self) -> Self {
        let room = usize::try_from(bits).ok();
        match room {
            Some(bits) if self.0.bit_len() + bits <= 256 => Self(self.0 << bits).min(limit),
            _ => limit,
        }
    }

    /// How many times harder than the target of difficulty 1 (`1d00ffff`), as RPC answers show it.
    pub fn difficulty(&self) -> f64 {
        let one = U256::from(0xffff_u32) << 208_usize;
        f64::from(one) / f64::from(self.0)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:064x}", self.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:064x}", self.0)
    }
}

impl Work {
    /// No work.
    pub const ZERO: Self = Self(U256::ZERO);

    /// The number, big-endian: byte order is number order.
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// The work of a 256-bit big-endian number.
    pub const fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// The sum, unless it exceeds 256 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, zero at the least.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The nearest floating-point number, for rates and progress.
    pub fn to_f64(self) -> f64 {
        f64::from(self.0)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:064x}", self.0)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Work {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Work {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is no amount of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 64 hexadecimal digits, such as the chainwork that getblockchaininfo tells")]
pub struct ParseWorkError;

impl std::str::FromStr for Work {
    type Err = ParseWorkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.chars().all(|digit| digit.is_ascii_hexdigit());
        if !digits || !(1..=64).contains(&text.len()) {
            return Err(ParseWorkError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(format!("{text:0>64}"), &mut bytes).map_err(|_| ParseWorkError)?;
        Ok(Self::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The cases of Bitcoin Core's `test/arith_uint256_tests.cpp`, `bignum_SetCompact`.
    #[test]
    fn compact_edge_cases() {
        use TargetError::{Negative, Overflow, Zero};
        for (bits, expected) in [
            (0x0000_0000, Err(Zero)),
            (0x0012_3456, Err(Zero)),
            (0x0100_3456, Err(Zero)),
            (0x0200_0056, Err(Zero)),
            (0x0480_0000, Err(Zero)),
            (0x0492_3456, Err(Negative)),
            (0x01fe_dcba, Err(Negative)),
            (0x2212_3456, Err(Overflow)),
            (0xff12_3456, Err(Overflow)),
        ] {
            assert_eq!(
                CompactTarget(bits).to_target().map(|_| ()),
                expected,
                "{bits:08x}"
            );
        }
        for (bits, back) in [
            (0x0112_3456, 0x0112_0000),
            (0x0212_3456, 0x0212_3400),
            (0x0312_3456, 0x0312_3456),
            (0x0412_3456, 0x0412_3456),
            (0x0500_9234, 0x0500_9234),
            (0x2012_3456, 0x2012_3456),
            (0x207f_ffff, 0x207f_ffff),
            (0x1d00_ffff, 0x1d00_ffff),
        ] {
            let target = CompactTarget(bits).to_target().unwrap();
            assert_eq!(target.to_compact(), CompactTarget(back), "{bits:08x}");
        }
    }

    #[test]
    fn work_of_known_targets() {
        assert_eq!(
            CompactTarget(0x207f_ffff)
                .to_target()
                .unwrap()
                .work()
                .to_f64(),
            2.0
        );
        assert_eq!(
            CompactTarget(0x1d00_ffff).to_target().unwrap().work(),
            Work(U256::from(0x1_0001_0001_u64))
        );
        assert_eq!(Target(U256::MAX).work(), Work(U256::ONE));
    }

    #[test]
    fn work_is_read_as_it_is_shown() {
        let work = CompactTarget(0x1d00_ffff).to_target().unwrap().work();
        assert_eq!(work.to_string().parse(), Ok(work));
        assert_eq!("100010001".parse(), Ok(work));
        for wrong in ["", "0x10", "-1", "1 0", &"0".repeat(65)] {
            assert_eq!(wrong.parse::<Work>(), Err(ParseWorkError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn compact_form_rounds_down(bytes: [u8; 32]) {
            let target = Target(U256::from_be_bytes(bytes).max(U256::ONE));
            let back = target.to_compact().to_target().unwrap();
            prop_assert!(back <= target);
            prop_assert_eq!(back.to_compact(), target.to_compact());
        }

        #[test]
        fn scaling_stays_in_range(bytes: [u8; 32], factor: u64, shift in 0_u32..=80, doublings in 0_u32..400) {
            let limit = CompactTarget(0x207f_ffff).to_target().unwrap();
            let target = Target(U256::from_be_bytes(bytes).max(U256::ONE)).min(limit);
            let scaled = target.scale(factor, shift, limit);
            prop_assert!(scaled.0 >= U256::ONE && scaled <= limit);
            prop_assert!(target.double(doublings, limit) >= target);
            prop_assert!(target.double(doublings, limit) <= limit);
        }
    }
}
