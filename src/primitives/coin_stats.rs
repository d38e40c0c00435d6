//! A digest of the set of coins that is kept up to date with every change.

use ruint::aliases::U256;
use serde::{Deserialize, Serialize};

use super::codec::Encode;
use super::coin::{Coin, UtxoDiff};
use super::hash::{BlockHash, sha256};
use super::transaction::OutPoint;

/// What the set of coins is at one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoinStats {
    /// The block whose coins these are.
    pub tip: BlockHash,
    /// Its height.
    pub height: u32,
    /// How many coins there are.
    pub coins: u64,
    /// Their sum, in base units.
    pub total: u64,
    /// The digest of the set.
    pub accumulator: CoinAccumulator,
}

/// The sum, modulo 2^256, of the SHA-256 of every coin: equal sets have equal sums in whatever order they came to be.
///
/// # Security
/// It finds damage. It is no commitment against somebody who may choose the coins (sums of hashes can be forged with enough
/// freedom), so it is never sent to a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoinAccumulator([u8; 32]);

impl CoinAccumulator {
    fn element(outpoint: &OutPoint, coin: &Coin) -> U256 {
        let mut bytes = Vec::with_capacity(36 + 8 + 20 + 4 + 1);
        outpoint.encode(&mut bytes);
        coin.value.units().encode(&mut bytes);
        bytes.extend_from_slice(coin.pubkey_hash.as_bytes());
        coin.height.encode(&mut bytes);
        bytes.push(u8::from(coin.is_coinbase));
        U256::from_be_bytes(sha256(&bytes))
    }

    /// Adds a coin.
    pub fn add(&mut self, outpoint: &OutPoint, coin: &Coin) {
        let sum = U256::from_be_bytes(self.0).wrapping_add(Self::element(outpoint, coin));
        self.0 = sum.to_be_bytes();
    }

    /// Removes a coin.
    pub fn remove(&mut self, outpoint: &OutPoint, coin: &Coin) {
        let rest = U256::from_be_bytes(self.0).wrapping_sub(Self::element(outpoint, coin));
        self.0 = rest.to_be_bytes();
    }

    /// The digest in hexadecimal.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl CoinStats {
    /// The empty set, before the first block.
    pub const EMPTY: Self = Self {
        tip: BlockHash::ZERO,
        height: 0,
        coins: 0,
        total: 0,
        accumulator: CoinAccumulator([0; 32]),
    };

    /// Adds a coin to the set.
    pub fn add(&mut self, outpoint: &OutPoint, coin: &Coin) {
        self.accumulator.add(outpoint, coin);
        self.coins += 1;
        self.total += coin.value.units();
    }

    /// Removes a coin from the set; `None` where the counts show that it cannot have been in it.
    #[must_use]
    pub fn remove(&mut self, outpoint: &OutPoint, coin: &Coin) -> Option<()> {
        self.accumulator.remove(outpoint, coin);
        self.coins = self.coins.checked_sub(1)?;
        self.total = self.total.checked_sub(coin.value.units())?;
        Some(())
    }

    /// The stats after `diff`, at the block `tip` of `height`; `None` as in [`CoinStats::remove`].
    #[must_use]
    pub fn after(mut self, diff: &UtxoDiff, tip: BlockHash, height: u32) -> Option<Self> {
        for (outpoint, coin) in diff.created() {
            self.add(outpoint, coin);
        }
        for (outpoint, coin) in diff.spent() {
            self.remove(outpoint, coin)?;
        }
        (self.tip, self.height) = (tip, height);
        Some(self)
    }
}
