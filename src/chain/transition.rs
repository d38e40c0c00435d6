//! The way from the active tip to another block: disconnect, connect, and one batch for all of it.
//!
//! Connecting and disconnecting stand side by side, and each is the inverse of the other on every column.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::coin_cache::CoinCache;
use super::engine::Shared;
use super::scripts::PendingScripts;
use super::tree::BlockTree;
use crate::consensus::{CheckedBlock, ConnectContext, RuleError, connect_block};
use crate::primitives::{
    Block, BlockHash, BlockUndo, Coin, CoinStats, OutPoint, PubkeyHash, Txid, UtxoDiff, coins_of,
};
use crate::storage::{Batch, BodyState, HeaderRecord, StorageError, Store};

/// Bytes of connected blocks whose scripts are being verified; beyond, the oldest is waited for.
const UNVERIFIED_BYTES: usize = if cfg!(test) { 1 << 10 } else { 16 << 20 };
/// Bytes of moved blocks that are kept for the events about them. Those of a deeper reorg are read again, so that its depth costs
/// time and not memory. Tests keep a few small blocks, so that they see both ways.
const KEPT_BYTES: usize = if cfg!(test) { 4 << 10 } else { 32 << 20 };

/// Why a transition stops.
pub(super) enum TransitionError {
    /// A block on the way breaks a rule.
    Rule(BlockHash, RuleError),
    /// The disk.
    Storage(StorageError),
}

impl From<StorageError> for TransitionError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// A block that a transition moved into or out of the active chain.
pub(super) struct Moved {
    pub hash: BlockHash,
    pub height: u32,
    /// The block, unless there are too many of them to be kept.
    block: Option<Arc<Block>>,
}

impl Moved {
    /// The block.
    pub fn block(&self, store: &Store) -> Result<Arc<Block>, StorageError> {
        match &self.block {
            Some(block) => Ok(Arc::clone(block)),
            None => stored_block(store, &self.hash).map(|block| Arc::clone(block.block())),
        }
    }
}

/// A change of the active chain that is being put together. Nothing is written before [`Transition::finish`].
pub(super) struct Transition<'s, 't> {
    shared: &'s Shared,
    tree: &'t BlockTree,
    cache: &'t CoinCache,
    batch: Batch<'s>,
    diff: UtxoDiff,
    unverified: VecDeque<Unverified>,
    unverified_bytes: usize,
    disconnected: Vec<Moved>,
    connected: Vec<Moved>,
    kept_bytes: usize,
}

/// A transition that is ready to be written.
pub(super) struct Finished<'s> {
    pub batch: Batch<'s>,
    pub diff: UtxoDiff,
    pub stats: CoinStats,
    pub disconnected: Vec<Moved>,
    pub connected: Vec<Moved>,
}

/// Where the coins that a block spends are looked up: in changes that are not written yet, then in memory, then on the disk.
pub(super) struct Coins<'a> {
    /// The changes, the latest first.
    pub changes: &'a [&'a UtxoDiff],
    pub cache: &'a CoinCache,
    pub store: &'a Store,
}

impl Coins<'_> {
    /// Everything the block may spend, with one read of the disk.
    fn fetch(&self, block: &CheckedBlock) -> Result<HashMap<OutPoint, Coin>, StorageError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for outpoint in block.spent_outpoints() {
            let changed = self.changes.iter().find_map(|diff| diff.get(&outpoint));
            match changed.or_else(|| self.cache.get(&outpoint).map(Some)) {
                Some(Some(coin)) => {
                    found.insert(outpoint, coin);
                }
                Some(None) => {}
                None => missing.push(outpoint),
            }
        }
        let stored = self.store.coins(&missing)?;
        let stored = missing.into_iter().zip(stored);
        found.extend(stored.filter_map(|(outpoint, coin)| Some((outpoint, coin?))));
        Ok(found)
    }
}

/// What connecting a block does, and what is still to be verified.
pub(super) struct Judged {
    pub diff: UtxoDiff,
    pub undo: BlockUndo,
    /// Nothing may be written before they are verified.
    pub scripts: Option<PendingScripts>,
}

/// Applies all rules that need coins to a block of `height` on top of `coins`; its scripts are verified meanwhile.
pub(super) fn judge(
    shared: &Shared,
    tree: &BlockTree,
    block: &CheckedBlock,
    height: u32,
    coins: &Coins<'_>,
) -> Result<Judged, TransitionError> {
    let parent = block.block().header.prev_block;
    let context = ConnectContext {
        height,
        median_time_past: tree.median_time_past(&parent),
        median_time_at: &|height| {
            let ancestor = tree.ancestor(&parent, height);
            ancestor.map_or(0, |hash| tree.median_time_past(&hash))
        },
    };
    let view = coins.fetch(block)?;
    let is_verified = |txid: &Txid| shared.signatures.contains(txid);
    let effect = connect_block(&shared.spec, block, &context, &view, &is_verified)
        .map_err(|error| TransitionError::Rule(block.hash(), error))?;
    Ok(Judged {
        diff: effect.diff,
        undo: effect.undo,
        scripts: shared.scripts.verify(block.block(), effect.script_checks),
    })
}

/// Puts the rows of a connected block into a batch, except its coins.
pub(super) fn put_connected(
    batch: &mut Batch<'_>,
    block: &CheckedBlock,
    undo: &BlockUndo,
    record: &HeaderRecord,
) {
    let (hash, height) = (block.hash(), record.height);
    for (address, index) in touched_addresses(block.block(), undo) {
        batch.put_history(&address, height, index, &block.txids()[index as usize]);
    }
    batch.put_active(&hash, height, undo, block.txids());
    let connected = HeaderRecord {
        state: BodyState::Connected,
        ..*record
    };
    batch.put_header(&hash, &connected);
}

/// Remembers which scripts of a block were verified.
pub(super) fn remember_verified(
    shared: &Shared,
    block: &CheckedBlock,
    scripts: Option<&PendingScripts>,
) {
    if let Some(scripts) = scripts {
        let txids = scripts.transactions().map(|index| block.txids()[index]);
        shared.signatures.extend(txids);
    }
}

/// A connected block whose scripts are being verified.
struct Unverified {
    block: CheckedBlock,
    scripts: PendingScripts,
}

impl<'s, 't> Transition<'s, 't> {
    /// Starts at the active tip; `batch` may already hold the body of a new block.
    pub fn new(
        shared: &'s Shared,
        tree: &'t BlockTree,
        cache: &'t CoinCache,
        batch: Batch<'s>,
    ) -> Self {
        Self {
            shared,
            tree,
            cache,
            batch,
            diff: UtxoDiff::default(),
            unverified: VecDeque::new(),
            unverified_bytes: 0,
            disconnected: Vec::new(),
            connected: Vec::new(),
            kept_bytes: 0,
        }
    }

    /// Takes the block that is the tip now out of the active chain.
    pub fn disconnect(&mut self, hash: &BlockHash) -> Result<(), StorageError> {
        let store = &self.shared.store;
        let block = stored_block(store, hash)?;
        let undo = store.undo(hash)?.ok_or_else(|| missing("undo", hash))?;
        let height = self.height_of(hash);
        self.disconnect_coins(&block, &undo, height)
            .ok_or_else(|| missing("undo data that fits", hash))?;
        self.batch.delete_active(hash, height, block.txids());
        for (address, index) in touched_addresses(block.block(), &undo) {
            self.batch.delete_history(&address, height, index);
        }
        let moved = self.moved(&block, height);
        self.disconnected.push(moved);
        Ok(())
    }

    /// Last transaction first: removes the coins it made, gives back the coins it spent. `None` where the undo data has another
    /// length than the block asks for.
    fn disconnect_coins(
        &mut self,
        block: &CheckedBlock,
        undo: &BlockUndo,
        height: u32,
    ) -> Option<()> {
        let mut spent = undo.spent.iter().rev();
        let transactions = block.block().transactions.iter().zip(block.txids());
        for (index, (tx, txid)) in transactions.enumerate().rev() {
            for (outpoint, coin) in coins_of(tx, *txid, height, index == 0) {
                self.diff.spend(outpoint, coin);
            }
            if index > 0 {
                for input in tx.inputs.iter().rev() {
                    self.diff.create(input.previous_output, *spent.next()?);
                }
            }
        }
        spent.next().is_none().then_some(())
    }

    /// Appends a block to the active chain, after all rules but its scripts, which [`Transition::verify`] waits for.
    pub fn connect(
        &mut self,
        hash: &BlockHash,
        fresh: Option<&CheckedBlock>,
    ) -> Result<(), TransitionError> {
        let block = match fresh {
            Some(block) if block.hash() == *hash => block.clone(),
            _ => stored_block(&self.shared.store, hash)?,
        };
        let height = self.height_of(hash);
        let coins = Coins {
            changes: &[&self.diff],
            cache: self.cache,
            store: &self.shared.store,
        };
        let judged = match judge(self.shared, self.tree, &block, height, &coins) {
            Ok(judged) => judged,
            Err(error) => {
                // A script of an earlier block that fails comes first.
                self.verify()?;
                return Err(error);
            }
        };
        if let Some(record) = self.tree.get(hash) {
            put_connected(&mut self.batch, &block, &judged.undo, record);
        }
        self.diff.merge(&judged.diff);
        let moved = self.moved(&block, height);
        self.connected.push(moved);
        if let Some(scripts) = judged.scripts {
            self.unverified_bytes += block.encoded_len();
            self.unverified.push_back(Unverified { block, scripts });
            while self.unverified_bytes > UNVERIFIED_BYTES {
                self.verify_next()?;
            }
        }
        Ok(())
    }

    /// Waits until the scripts of all connected blocks are verified.
    pub fn verify(&mut self) -> Result<(), TransitionError> {
        while !self.unverified.is_empty() {
            self.verify_next()?;
        }
        Ok(())
    }

    fn verify_next(&mut self) -> Result<(), TransitionError> {
        let Some(Unverified { block, scripts }) = self.unverified.pop_front() else {
            return Ok(());
        };
        self.unverified_bytes -= block.encoded_len();
        scripts
            .wait()
            .map_err(|error| TransitionError::Rule(block.hash(), error))?;
        remember_verified(self.shared, &block, Some(&scripts));
        Ok(())
    }

    fn moved(&mut self, block: &CheckedBlock, height: u32) -> Moved {
        self.kept_bytes = self.kept_bytes.saturating_add(block.encoded_len());
        let keep = self.kept_bytes <= KEPT_BYTES;
        Moved {
            hash: block.hash(),
            height,
            block: keep.then(|| Arc::clone(block.block())),
        }
    }

    /// Completes the batch: the coins, and the stats that describe them at `tip`. The caller has called [`Transition::verify`].
    pub fn finish(
        mut self,
        before: &CoinStats,
        tip: &BlockHash,
    ) -> Result<Finished<'s>, StorageError> {
        let stats = before
            .after(&self.diff, *tip, self.height_of(tip))
            .ok_or_else(|| missing("coin stats that fit", tip))?;
        self.batch.apply(&self.diff, &stats);
        Ok(Finished {
            batch: self.batch,
            diff: self.diff,
            stats,
            disconnected: self.disconnected,
            connected: self.connected,
        })
    }

    fn height_of(&self, hash: &BlockHash) -> u32 {
        self.tree.get(hash).map_or(0, |record| record.height)
    }
}

pub(super) fn missing(what: &str, hash: &BlockHash) -> StorageError {
    StorageError::Damaged {
        column: "chain",
        key: hash.to_string(),
        reason: format!("{what} is missing"),
    }
}

fn stored_block(store: &Store, hash: &BlockHash) -> Result<CheckedBlock, StorageError> {
    let (block, txids, length) = store
        .body_hashed(hash)?
        .ok_or_else(|| missing("the body", hash))?;
    Ok(CheckedBlock::hashed(Arc::new(block), *hash, txids, length))
}

/// The addresses that each transaction of a block pays or spends from, each pair once, with the transaction's place.
pub(super) fn touched_addresses(block: &Block, undo: &BlockUndo) -> Vec<(PubkeyHash, u32)> {
    let mut spent = undo.spent.iter();
    let mut touched = Vec::new();
    for (index, tx) in (0_u32..).zip(&block.transactions) {
        let paid = tx
            .outputs
            .iter()
            .filter_map(|output| output.script_pubkey.as_p2pkh());
        touched.extend(paid.map(|address| (address, index)));
        if index > 0 {
            let coins = spent.by_ref().take(tx.inputs.len());
            touched.extend(coins.map(|coin| (coin.pubkey_hash, index)));
        }
    }
    touched.sort_unstable();
    touched.dedup();
    touched
}
