//! Whether the records of the tip agree, by a few look-ups; done at every opening.
//!
//! Every commit changes all columns, so a column that lags behind or runs ahead shows at the tip: the effects of the last block
//! are in each of them, and those of a next block in none.

use std::collections::HashMap;

use super::error::ChainError;
use super::transition::touched_addresses;
use crate::primitives::{Block, BlockHash, CoinStats, Work, coins_of};
use crate::storage::{BodyState, HeaderRecord, StorageError, Store};

/// The outcome of one look-up.
type Check = Result<(), ChainError>;

/// Checks that coin stats, height index, header, body, undo data and indexes belong to one tip, and that the chain is that of
/// `genesis`. The stats of the coins that are stored.
///
/// # Errors
/// [`ChainError::Damaged`], which says what contradicts what; or the disk's.
pub(super) fn check_tip(store: &Store, genesis: &BlockHash) -> Result<CoinStats, ChainError> {
    let stats = store
        .coin_stats()?
        .ok_or_else(|| damaged("there are blocks, but no record of the coins"))?;
    check_heights(store, genesis, &stats)?;
    let block = check_header_and_body(store, &stats)?;
    check_effects(store, &stats, &block)?;
    Ok(stats)
}

/// Checks that a database without headers is new, and not one that lost them. The stats of no coins.
pub(super) fn check_is_new(store: &Store) -> Result<CoinStats, ChainError> {
    match store.coin_stats()?.is_none() && store.knows_no_heights() {
        true => Ok(CoinStats::EMPTY),
        false => Err(damaged("there are coins, but no headers")),
    }
}

/// Checks that every header but the first builds on a known one, one higher and with more work. Lowest first.
pub(super) fn check_links(records: &[(BlockHash, HeaderRecord)], genesis: &BlockHash) -> Check {
    let mut known: HashMap<BlockHash, (u32, Work)> = HashMap::with_capacity(records.len());
    for (hash, record) in records {
        let parent = known.get(&record.header.prev_block);
        let fits = parent.is_some_and(|(height, work)| {
            height.checked_add(1) == Some(record.height) && *work < record.chainwork
        });
        if hash != genesis && !fits {
            return Err(damaged(format!(
                "the header {hash} at height {} does not follow from its parent {}",
                record.height, record.header.prev_block
            )));
        }
        known.insert(*hash, (record.height, record.chainwork));
    }
    Ok(())
}

fn check_heights(store: &Store, genesis: &BlockHash, stats: &CoinStats) -> Check {
    let at = |height: u32| -> Result<Option<BlockHash>, StorageError> { store.hash_at(height) };
    if at(0)? != Some(*genesis) {
        return Err(damaged(
            "the height index does not begin with the first block",
        ));
    }
    if at(stats.height)? != Some(stats.tip) {
        return Err(damaged(format!(
            "the height index and the coins disagree at height {}",
            stats.height
        )));
    }
    match stats.height.checked_add(1).map(at).transpose()?.flatten() {
        Some(next) => Err(damaged(format!(
            "the coins are those of height {}, the height index goes on with {next}",
            stats.height
        ))),
        None => Ok(()),
    }
}

fn check_header_and_body(store: &Store, stats: &CoinStats) -> Result<Block, ChainError> {
    let tip = stats.tip;
    let record = store
        .header(&tip)?
        .ok_or_else(|| damaged(format!("the header of the tip {tip} is missing")))?;
    if record.height != stats.height || record.state != BodyState::Connected {
        return Err(damaged(format!(
            "the tip {tip} is recorded as {:?} at height {}, the coins are those of height {}",
            record.state, record.height, stats.height
        )));
    }
    let block = store
        .body(&tip)?
        .ok_or_else(|| damaged(format!("the body of the tip {tip} is missing")))?;
    match is_own_body(&block, &tip) {
        true => Ok(block),
        false => Err(damaged(format!("the body of the tip {tip} is not its own"))),
    }
}

/// Every column holds what the tip's block did.
fn check_effects(store: &Store, stats: &CoinStats, block: &Block) -> Check {
    let (tip, height) = (stats.tip, stats.height);
    let lacks = |what: &str| {
        Err(damaged(format!(
            "{what} of the tip {tip} is missing or wrong"
        )))
    };
    let Some(undo) = store.undo(&tip)? else {
        return lacks("the undo data");
    };
    let inputs = block.transactions.iter().skip(1).map(|tx| tx.inputs.len());
    if undo.spent.len() != inputs.sum::<usize>() {
        return lacks("the undo data");
    }
    let txids: Vec<_> = block.transactions.iter().map(|tx| tx.txid()).collect();
    for (index, txid) in (0_u32..).zip(&txids) {
        match store.transaction(txid)? {
            Some(found) if found.block == tip && found.index == index => {}
            _ => return lacks("the transaction index"),
        }
    }
    for (address, index) in touched_addresses(block, &undo) {
        let txid = &txids[index as usize];
        if !store.has_history(&address, height, index, txid)? {
            return lacks("the address history");
        }
    }
    // Nothing can have spent the coinbase yet.
    let coinbase = block.transactions.first().zip(txids.first());
    for (outpoint, coin) in coinbase
        .iter()
        .flat_map(|(tx, txid)| coins_of(tx, **txid, height, true))
    {
        if store.coins(&[outpoint])? != [Some(coin)] {
            return lacks("a coin");
        }
        if store.address_coin(&coin.pubkey_hash, &outpoint)? != Some(coin) {
            return lacks("a coin by address");
        }
    }
    Ok(())
}

/// Whether a stored body is the one that the header of `hash` commits to.
pub(super) fn is_own_body(block: &Block, hash: &BlockHash) -> bool {
    let (root, mutated) = block.compute_merkle_root();
    block.hash() == *hash && root == block.header.merkle_root && !mutated
}

fn damaged(what: impl Into<String>) -> ChainError {
    ChainError::Damaged(what.into())
}
