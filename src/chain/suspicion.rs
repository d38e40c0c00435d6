//! Whether a block breaks a rule, or our own store lost what the block builds on.
//!
//! A block that fails when it is connected is remembered as invalid for ever. If the cause is a coin that our disk lost or bent,
//! an honest block would be condemned and the node would leave the network's chain for good. So what the block was judged
//! by is looked up a second time where it is stored independently: the body against its header, each coin against the
//! transaction that made it.

use std::collections::HashSet;

use super::consistency::is_own_body;
use super::tree::BlockTree;
use crate::primitives::{Block, BlockHash, Coin, Encode, OutPoint, coins_of};
use crate::storage::{StorageError, Store};

/// Bytes of bodies that are read for one bad block, all its inputs together. Whoever mines a bad block chooses what it spends, so
/// without the limit one block of many inputs could keep every node reading for hours; where the limit does not suffice, the block
/// counts as invalid.
const MAX_READ_BYTES: usize = 64 << 20;
/// Rows of address histories that are read for it.
const MAX_ROWS: usize = 10_000;

/// What may still be read.
struct Search<'s> {
    store: &'s Store,
    tree: &'s BlockTree,
    /// The blocks that would have left the active chain before.
    disconnected: &'s [BlockHash],
    bytes: usize,
    rows: usize,
}

/// Says why our own store is at fault for the failure of the block `bad`, which would be connected after the blocks of
/// `disconnected` have left the active chain. Nothing is said against the store where it tells one story.
///
/// # Errors
/// [`StorageError::Damaged`] where it contradicts itself; a failure of the disk.
pub(super) fn check_own_store(
    store: &Store,
    tree: &BlockTree,
    bad: &BlockHash,
    fresh: Option<&Block>,
    disconnected: &[BlockHash],
) -> Result<(), StorageError> {
    let stored;
    let block = match fresh.filter(|block| block.hash() == *bad) {
        Some(block) => block,
        None => {
            stored = store.body(bad)?;
            match &stored {
                Some(block) if is_own_body(block, bad) => block,
                _ => {
                    return Err(damaged(
                        "bodies",
                        bad,
                        "the body is not the one that its header commits to",
                    ));
                }
            }
        }
    };
    let mut search = Search {
        store,
        tree,
        disconnected,
        bytes: MAX_READ_BYTES,
        rows: MAX_ROWS,
    };
    let own: HashSet<_> = block.transactions.iter().map(|tx| tx.txid()).collect();
    let spenders = block.transactions.iter().skip(1);
    let inputs = spenders.flat_map(|tx| &tx.inputs);
    for outpoint in inputs.map(|input| input.previous_output) {
        if search.is_used_up() {
            break;
        }
        if !own.contains(&outpoint.txid) {
            search.check_coin(&outpoint)?;
        }
    }
    Ok(())
}

impl Search<'_> {
    const fn is_used_up(&self) -> bool {
        self.bytes == 0 || self.rows == 0
    }

    /// A body of the active chain.
    fn body(&mut self, hash: &BlockHash) -> Result<Block, StorageError> {
        let missing = || damaged("bodies", hash, "the body is missing");
        let body = self.store.body(hash)?.ok_or_else(missing)?;
        self.bytes = self.bytes.saturating_sub(body.encoded_len());
        Ok(body)
    }

    /// Compares a stored coin, or its absence, with the active chain's transactions.
    fn check_coin(&mut self, outpoint: &OutPoint) -> Result<(), StorageError> {
        let stored = self.store.coins(&[*outpoint])?.into_iter().flatten().next();
        let made = self.made_by(outpoint)?;
        let at_fault = |reason| {
            let key = format!("{}:{}", outpoint.txid, outpoint.vout);
            Err(damaged("coins", key, reason))
        };
        match (stored, made) {
            (Some(stored), Some((made, _))) if stored != made => {
                at_fault("the coin is not the one that its transaction made")
            }
            (Some(_), None) => at_fault("no block of the active chain made the coin"),
            (Some(_), Some(_)) => Ok(()),
            (None, Some((_, block))) if self.disconnected.contains(&block) => Ok(()),
            (None, Some((made, _))) => match self.may_be_spent(outpoint, &made)? {
                true => Ok(()),
                false => at_fault(
                    "the coin is missing, although the active chain made it and never spent it",
                ),
            },
            // Neither a coin nor a transaction: the block spends what never was.
            (None, None) => Ok(()),
        }
    }

    /// The coin as its transaction in the active chain made it, and the block.
    fn made_by(&mut self, outpoint: &OutPoint) -> Result<Option<(Coin, BlockHash)>, StorageError> {
        let Some(place) = self.store.transaction(&outpoint.txid)? else {
            return Ok(None);
        };
        let Some(height) = self.tree.get(&place.block).map(|record| record.height) else {
            return Err(damaged("headers", place.block, "the header is missing"));
        };
        let block = self.body(&place.block)?;
        if !is_own_body(&block, &place.block) {
            return Err(damaged(
                "bodies",
                place.block,
                "the body is not the one that its header commits to",
            ));
        }
        let made = block.transactions.get(place.index as usize).and_then(|tx| {
            let mut coins = coins_of(tx, outpoint.txid, height, place.index == 0);
            coins.find(|(made, _)| made == outpoint)
        });
        Ok(made.map(|(_, coin)| (coin, place.block)))
    }

    /// Whether a later transaction of the active chain spends a coin, or may do so as far as was searched. Every one that does is in
    /// the history of the coin's address.
    fn may_be_spent(&mut self, outpoint: &OutPoint, coin: &Coin) -> Result<bool, StorageError> {
        let rows = self
            .store
            .history_since(&coin.pubkey_hash, coin.height, self.rows)?;
        self.rows -= rows.len();
        for (height, index, _) in rows {
            let Some(hash) = self.store.hash_at(height)? else {
                return Err(damaged("heights", height, "no block at this height"));
            };
            let block = self.body(&hash)?;
            let spends = block.transactions.get(index as usize).is_some_and(|tx| {
                let mut inputs = tx.inputs.iter();
                inputs.any(|input| input.previous_output == *outpoint)
            });
            if spends || self.bytes == 0 {
                return Ok(true);
            }
        }
        Ok(self.rows == 0)
    }
}

fn damaged(column: &'static str, key: impl ToString, reason: &str) -> StorageError {
    StorageError::Damaged {
        column,
        key: key.to_string(),
        reason: reason.to_owned(),
    }
}
