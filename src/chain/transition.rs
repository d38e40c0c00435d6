//! The way from the active tip to another block: disconnect, connect, and one batch for all of it.
//!
//! Connecting and disconnecting stand side by side, and each is the inverse of the other on every column.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use super::signature_cache::SignatureCache;
use super::tree::BlockTree;
use crate::consensus::{
    ChainSpec, CheckedBlock, ConnectContext, RuleError, ScriptChecks, connect_block,
};
use crate::primitives::{
    Block, BlockHash, BlockUndo, Coin, CoinStats, OutPoint, PubkeyHash, Txid, UtxoDiff, UtxoView,
    coins_of,
};
use crate::storage::{Batch, BodyState, HeaderRecord, StorageError, Store};

/// Below this many inputs, starting threads costs more than it saves.
const PARALLEL_FROM_INPUTS: usize = 16;
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
    store: &'s Store,
    spec: &'s ChainSpec,
    tree: &'t BlockTree,
    cache: &'s SignatureCache,
    batch: Batch<'s>,
    diff: UtxoDiff,
    disconnected: Vec<Moved>,
    connected: Vec<Moved>,
    kept_bytes: usize,
}

/// A transition that is ready to be written.
pub(super) struct Finished<'s> {
    pub batch: Batch<'s>,
    pub stats: CoinStats,
    pub disconnected: Vec<Moved>,
    pub connected: Vec<Moved>,
}

/// The coins that a block may spend: the change so far over what was fetched from the disk.
struct Prefetched<'a> {
    diff: &'a UtxoDiff,
    fetched: HashMap<OutPoint, Coin>,
}

impl UtxoView for Prefetched<'_> {
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.diff.coin_over(outpoint, &self.fetched)
    }
}

impl<'s, 't> Transition<'s, 't> {
    /// Starts at the active tip; `batch` may already hold the body of a new block.
    pub fn new(
        store: &'s Store,
        spec: &'s ChainSpec,
        tree: &'t BlockTree,
        cache: &'s SignatureCache,
        batch: Batch<'s>,
    ) -> Self {
        Self {
            store,
            spec,
            tree,
            cache,
            batch,
            diff: UtxoDiff::default(),
            disconnected: Vec::new(),
            connected: Vec::new(),
            kept_bytes: 0,
        }
    }

    /// Takes the block that is the tip now out of the active chain.
    pub fn disconnect(&mut self, hash: &BlockHash) -> Result<(), StorageError> {
        let block = stored_block(self.store, hash)?;
        let undo = self
            .store
            .undo(hash)?
            .ok_or_else(|| missing("undo", hash))?;
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

    /// Appends a block to the active chain, after all rules.
    pub fn connect(
        &mut self,
        hash: &BlockHash,
        fresh: Option<&CheckedBlock>,
    ) -> Result<(), TransitionError> {
        let stored;
        let block = match fresh {
            Some(block) if block.hash() == *hash => block,
            _ => {
                stored = stored_block(self.store, hash)?;
                &stored
            }
        };
        let height = self.height_of(hash);
        let parent = block.block().header.prev_block;
        let context = ConnectContext {
            height,
            median_time_past: self.tree.median_time_past(&parent),
            median_time_at: &|height| {
                let ancestor = self.tree.ancestor(&parent, height);
                ancestor.map_or(0, |hash| self.tree.median_time_past(&hash))
            },
        };
        let view = self.prefetch(block)?;
        let rule = |error| TransitionError::Rule(*hash, error);
        let is_verified = |txid: &Txid| self.cache.contains(txid);
        let effect =
            connect_block(self.spec, block, &context, &view, &is_verified).map_err(rule)?;
        verify_scripts(&effect.script_checks).map_err(rule)?;
        for (index, _) in &effect.script_checks {
            self.cache.insert(block.txids()[*index]);
        }
        for (address, index) in touched_addresses(block.block(), &effect.undo) {
            let txid = &block.txids()[index as usize];
            self.batch.put_history(&address, height, index, txid);
        }
        self.batch
            .put_active(hash, height, &effect.undo, block.txids());
        if let Some(record) = self.tree.get(hash) {
            let connected = HeaderRecord {
                state: BodyState::Connected,
                ..*record
            };
            self.batch.put_header(hash, &connected);
        }
        self.diff.merge(&effect.diff);
        let moved = self.moved(block, height);
        self.connected.push(moved);
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

    /// Everything the block may spend, in one read.
    fn prefetch(&self, block: &CheckedBlock) -> Result<Prefetched<'_>, StorageError> {
        let wanted: Vec<OutPoint> = block
            .spent_outpoints()
            .filter(|outpoint| self.diff.get(outpoint).is_none())
            .collect();
        let found = self.store.coins(&wanted)?;
        let pairs = wanted.into_iter().zip(found);
        Ok(Prefetched {
            diff: &self.diff,
            fetched: pairs
                .filter_map(|(outpoint, coin)| Some((outpoint, coin?)))
                .collect(),
        })
    }

    /// Completes the batch: the coins, and the stats that describe them at `tip`.
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
            stats,
            disconnected: self.disconnected,
            connected: self.connected,
        })
    }

    fn height_of(&self, hash: &BlockHash) -> u32 {
        self.tree.get(hash).map_or(0, |record| record.height)
    }
}

fn missing(what: &str, hash: &BlockHash) -> StorageError {
    StorageError::Damaged {
        column: "chain",
        key: hash.to_string(),
        reason: format!("{what} is missing"),
    }
}

fn stored_block(store: &Store, hash: &BlockHash) -> Result<CheckedBlock, StorageError> {
    let block = store.body(hash)?.ok_or_else(|| missing("the body", hash))?;
    Ok(CheckedBlock::trusted(Arc::new(block), *hash))
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

/// Verifies the scripts of many transactions on all cores; the error is the first in block order, whatever finished first.
fn verify_scripts(checks: &[(usize, ScriptChecks<'_>)]) -> Result<(), RuleError> {
    let first_error = |checks: &[(usize, ScriptChecks<'_>)]| {
        checks
            .iter()
            .find_map(|(index, check)| check.verify().err().map(|error| (*index, error)))
    };
    let inputs: usize = checks.iter().map(|(_, check)| check.key_hashes.len()).sum();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    if inputs < PARALLEL_FROM_INPUTS || threads < 2 {
        return first_error(checks).map_or(Ok(()), |(_, error)| Err(error));
    }
    let worst = thread::scope(|scope| {
        let parts = checks.chunks(checks.len().div_ceil(threads));
        let workers: Vec<_> = parts
            .map(|part| scope.spawn(move || first_error(part)))
            .collect();
        workers
            .into_iter()
            .filter_map(|worker| match worker.join() {
                Ok(error) => error,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .min_by_key(|(index, _)| *index)
    });
    worst.map_or(Ok(()), |(_, error)| Err(error))
}
