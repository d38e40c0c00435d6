//! The coins recomputed from the blocks and compared with what is stored.

use std::collections::HashMap;

use super::reader::ChainReader;
use crate::primitives::{Coin, CoinStats, OutPoint, coins_of};
use crate::storage::StorageError;

/// Three accounts of the same coins; they are equal unless something is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// The stats that every commit carries on.
    pub recorded: CoinStats,
    /// The stats of the coins that are stored.
    pub stored: CoinStats,
    /// The stats of the coins that follow from the blocks.
    pub recomputed: CoinStats,
}

impl Audit {
    /// Whether all accounts agree.
    pub fn is_sound(&self) -> bool {
        self.recorded == self.stored && self.stored == self.recomputed
    }
}

impl ChainReader {
    /// Folds all blocks of the active chain into a set of coins and compares it with the stored one. Reads everything; nobody may
    /// write meanwhile. `progress` is told the height after each block.
    ///
    /// # Errors
    /// A failure of the disk, or a block or record that is missing.
    pub fn audit(&self, progress: &mut dyn FnMut(u32)) -> Result<Audit, StorageError> {
        let recorded = self.coin_stats()?;
        let mut coins: HashMap<OutPoint, Coin> = HashMap::new();
        for height in 0..=recorded.height {
            self.fold_block(height, &mut coins)?;
            progress(height);
        }
        let at_tip = CoinStats {
            tip: recorded.tip,
            height: recorded.height,
            ..CoinStats::EMPTY
        };
        let mut recomputed = at_tip;
        for (outpoint, coin) in &coins {
            recomputed.add(outpoint, coin);
        }
        let mut stored = at_tip;
        for row in self.store().all_coins() {
            let (outpoint, coin) = row?;
            stored.add(&outpoint, &coin);
        }
        Ok(Audit {
            recorded,
            stored,
            recomputed,
        })
    }

    fn fold_block(
        &self,
        height: u32,
        coins: &mut HashMap<OutPoint, Coin>,
    ) -> Result<(), StorageError> {
        let damaged = |reason: &str| StorageError::Damaged {
            column: "heights",
            key: height.to_string(),
            reason: reason.to_owned(),
        };
        let hash = self
            .store()
            .hash_at(height)?
            .ok_or_else(|| damaged("no block at this height"))?;
        let block = self
            .store()
            .body(&hash)?
            .ok_or_else(|| damaged("the block is missing"))?;
        for (index, tx) in block.transactions.iter().enumerate() {
            for input in tx.inputs.iter().filter(|_| index > 0) {
                if coins.remove(&input.previous_output).is_none() {
                    return Err(damaged("the block spends a coin that does not exist"));
                }
            }
            coins.extend(coins_of(tx, tx.txid(), height, index == 0));
        }
        Ok(())
    }
}
