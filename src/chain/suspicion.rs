//! Whether a block breaks a rule, or our own store lost what the block builds on.
//!
//! A block that fails when it is connected is remembered as invalid for ever. If the cause is a coin that our disk lost or bent,
//! an honest block would be condemned and the node would leave the network's chain for good. So what the block was judged
//! by is looked up a second time where it is stored independently: the body against its header, each coin against the
//! transaction that made it.

use std::collections::HashSet;

use super::consistency::is_own_body;
use super::tree::BlockTree;
use crate::primitives::{Block, BlockHash, Coin, OutPoint, coins_of};
use crate::storage::{StorageError, Store};

/// Transactions of an address that are searched for the one that spent a coin. A block that double spends costs us this many
/// reads at most; where they do not suffice, the block counts as invalid.
const SEARCH_LIMIT: usize = 10_000;

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
    let own: HashSet<_> = block.transactions.iter().map(|tx| tx.txid()).collect();
    let spenders = block.transactions.iter().skip(1);
    let inputs = spenders.flat_map(|tx| &tx.inputs);
    for outpoint in inputs.map(|input| input.previous_output) {
        if !own.contains(&outpoint.txid) {
            check_coin(store, tree, &outpoint, disconnected)?;
        }
    }
    Ok(())
}

/// Compares a stored coin, or its absence, with the active chain's transactions.
fn check_coin(
    store: &Store,
    tree: &BlockTree,
    outpoint: &OutPoint,
    disconnected: &[BlockHash],
) -> Result<(), StorageError> {
    let stored = store.coins(&[*outpoint])?.into_iter().flatten().next();
    let made = made_by(store, tree, outpoint)?;
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
        (None, Some((_, block))) if disconnected.contains(&block) => Ok(()),
        (None, Some((made, _))) => match is_spent(store, outpoint, &made)? {
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
fn made_by(
    store: &Store,
    tree: &BlockTree,
    outpoint: &OutPoint,
) -> Result<Option<(Coin, BlockHash)>, StorageError> {
    let Some(place) = store.transaction(&outpoint.txid)? else {
        return Ok(None);
    };
    let height = tree.get(&place.block).map(|record| record.height);
    let Some((height, block)) = height.zip(store.body(&place.block)?) else {
        return Err(damaged("bodies", place.block, "the body is missing"));
    };
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

/// Whether a later transaction of the active chain spends a coin. Every one that does is in the history of the coin's address.
fn is_spent(store: &Store, outpoint: &OutPoint, coin: &Coin) -> Result<bool, StorageError> {
    let (rows, total) = store.latest_history(&coin.pubkey_hash, 0, SEARCH_LIMIT)?;
    let later = rows
        .iter()
        .take_while(|(height, ..)| *height >= coin.height);
    for (height, index, _) in later {
        let Some(hash) = store.hash_at(*height)? else {
            return Err(damaged("heights", height, "no block at this height"));
        };
        let Some(block) = store.body(&hash)? else {
            return Err(damaged("bodies", hash, "the body is missing"));
        };
        let spends = block.transactions.get(*index as usize).is_some_and(|tx| {
            let mut inputs = tx.inputs.iter();
            inputs.any(|input| input.previous_output == *outpoint)
        });
        if spends {
            return Ok(true);
        }
    }
    let searched_all = total <= rows.len()
        || rows
            .last()
            .is_some_and(|(height, ..)| *height < coin.height);
    Ok(!searched_all)
}

fn damaged(column: &'static str, key: impl ToString, reason: &str) -> StorageError {
    StorageError::Damaged {
        column,
        key: key.to_string(),
        reason: reason.to_owned(),
    }
}
