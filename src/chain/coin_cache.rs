//! Coins in memory, so that those made and spent while catching up are not read from the disk.

use std::collections::HashMap;

use crate::primitives::{Coin, OutPoint, UtxoDiff};

/// Coins of a generation at most: its table takes about 42 MB, and there are two. Tests see both come and go.
const GENERATION: usize = if cfg!(test) { 8 } else { 450_000 };

/// Some of the stored coins.
///
/// # Invariants
/// A coin that is here is stored, and the same. So every change that is written is told to [`CoinCache::apply`], or the cache is
/// cleared.
#[derive(Default)]
pub(super) struct CoinCache {
    young: HashMap<OutPoint, Coin>,
    old: HashMap<OutPoint, Coin>,
}

impl CoinCache {
    /// A stored coin, if it is here.
    pub fn get(&self, outpoint: &OutPoint) -> Option<Coin> {
        let found = self.young.get(outpoint);
        found.or_else(|| self.old.get(outpoint)).copied()
    }

    /// Follows a change that was written.
    pub fn apply(&mut self, diff: &UtxoDiff) {
        for (outpoint, _) in diff.spent() {
            self.young.remove(outpoint);
            self.old.remove(outpoint);
        }
        for (outpoint, coin) in diff.created() {
            if self.young.len() >= GENERATION {
                self.old = std::mem::take(&mut self.young);
            }
            // An older coin of the same outpoint would come back when the younger one is forgotten.
            self.old.remove(outpoint);
            self.young.insert(*outpoint, *coin);
        }
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Amount, PubkeyHash, Txid};
    use proptest::prelude::*;

    fn coin(height: u32) -> Coin {
        Coin {
            value: Amount::ZERO,
            pubkey_hash: PubkeyHash::ZERO,
            height,
            is_coinbase: false,
        }
    }

    fn outpoint(number: u8) -> OutPoint {
        OutPoint {
            txid: Txid::from_bytes([number; 32]),
            vout: 0,
        }
    }

    proptest! {
        /// Whatever happened to the set of coins, what the cache says is so.
        #[test]
        fn a_cached_coin_is_the_stored_one(steps in prop::collection::vec((0_u8..40, any::<bool>()), 0..400)) {
            let mut stored: HashMap<OutPoint, Coin> = HashMap::new();
            let mut cache = CoinCache::default();
            for (height, (number, also_next)) in (0..).zip(steps) {
                let mut diff = UtxoDiff::default();
                for number in number..=number + u8::from(also_next) {
                    let outpoint = outpoint(number);
                    match stored.remove(&outpoint) {
                        Some(coin) => diff.spend(outpoint, coin),
                        None => {
                            stored.insert(outpoint, coin(height));
                            diff.create(outpoint, coin(height));
                        }
                    }
                }
                cache.apply(&diff);
                prop_assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION);
                for number in 0..=40 {
                    if let Some(found) = cache.get(&outpoint(number)) {
                        prop_assert_eq!(stored.get(&outpoint(number)), Some(&found));
                    }
                }
            }
        }
    }
}
