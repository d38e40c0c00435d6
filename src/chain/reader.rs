//! Questions about the chain, answered from memory and disk by any number of tasks at once.
//!
//! Answers that come from the tree of headers are quick and never wait for the disk. Those that return a `Result` read the disk:
//! on an async executor they belong into `spawn_blocking`.

use std::sync::Arc;

use super::engine::Shared;
use super::error::SubmitError;
use super::tree::ChainTip;
use crate::consensus::{ChainSpec, HeaderChain, ParentContext};
use crate::primitives::{
    Block, BlockHash, BlockHeader, BlockUndo, Coin, CoinStats, OutPoint, PubkeyHash, Transaction,
    Txid, Work,
};
use crate::storage::{BodyState, HistoryRow, StorageError, Store};

/// Dense hashes at the end of a locator, before the steps double.
const LOCATOR_DENSE: u32 = 10;

/// Headers that are looked at under one lock, so that counting over a long chain keeps nobody waiting.
const COUNTED_AT_ONCE: u32 = 4096;

/// The end of the active chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its header.
    pub header: BlockHeader,
    /// The work of the chain.
    pub chainwork: Work,
    /// The median time of it and the ten blocks before.
    pub median_time_past: u32,
}

/// What is known of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderInfo {
    /// Its hash.
    pub hash: BlockHash,
    /// The header.
    pub header: BlockHeader,
    /// Its height.
    pub height: u32,
    /// The work of its chain up to and including it.
    pub chainwork: Work,
    /// How far the block has come.
    pub state: BodyState,
    /// Whether it or an ancestor is invalid.
    pub is_invalid: bool,
    /// Whether it is in the active chain.
    pub in_active_chain: bool,
    /// The median time of it and the ten blocks before.
    pub median_time_past: u32,
    /// How many transactions it has, if its body is stored.
    pub tx_count: Option<u32>,
}

/// A transaction of the active chain and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxLocation {
    /// The transaction.
    pub tx: Transaction,
    /// The hash of its block.
    pub block: BlockHash,
    /// The height of its block.
    pub height: u32,
    /// Its place in the block.
    pub index: u32,
}

/// Every coin, in the order of the outpoints.
pub type AllCoins<'a> = Box<dyn Iterator<Item = Result<(OutPoint, Coin), StorageError>> + 'a>;

/// A view of the chain. Clones share it.
#[derive(Clone)]
pub struct ChainReader {
    shared: Arc<Shared>,
}

impl ChainReader {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The network's parameters.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.shared.spec
    }

    /// The end of the active chain.
    pub fn tip(&self) -> Tip {
        let tree = self.shared.tree();
        let (hash, record) = tree.tip();
        Tip {
            hash,
            height: record.height,
            header: record.header,
            chainwork: record.chainwork,
            median_time_past: tree.median_time_past(&hash),
        }
    }

    /// How often the active chain has changed since it was opened: equal before and after a row of questions, all were of one
    /// chain.
    pub fn moves(&self) -> u64 {
        self.shared.tree().moves()
    }

    /// The valid header with the most work; its body may be missing.
    pub fn best_header(&self) -> HeaderInfo {
        let hash = self.shared.tree().best_header().0;
        self.header_info(&hash)
            .expect("headers are never forgotten")
    }

    /// What is known of a header.
    pub fn header_info(&self, hash: &BlockHash) -> Option<HeaderInfo> {
        let tree = self.shared.tree();
        let record = tree.get(hash)?;
        Some(HeaderInfo {
            hash: *hash,
            header: record.header,
            height: record.height,
            chainwork: record.chainwork,
            state: record.state,
            is_invalid: tree.is_bad(hash),
            in_active_chain: tree.is_active(hash),
            median_time_past: tree.median_time_past(hash),
            tx_count: record.tx_count,
        })
    }

    /// The chain of headers that ends in a known one, to judge others after it without storing them.
    pub fn header_chain(&self, hash: &BlockHash) -> Option<HeaderChain> {
        self.shared.tree().header_chain(hash)
    }

    /// How many headers are known.
    pub fn header_count(&self) -> usize {
        self.shared.tree().len()
    }

    /// The hash of the active chain's block at a height.
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.shared.tree().active_at(height)
    }

    /// The median time of the active chain's block at a height and the ten before it; 0 above the tip.
    pub fn median_time_at(&self, height: u32) -> u32 {
        let tree = self.shared.tree();
        tree.active_at(height)
            .map_or(0, |hash| tree.median_time_past(&hash))
    }

    /// How many transactions the active chain has up to and including a height.
    pub fn transactions_up_to(&self, height: u32) -> u64 {
        let mut count = 0;
        let mut next = 0;
        while next <= height {
            let tree = self.shared.tree();
            let end = height.min(next.saturating_add(COUNTED_AT_ONCE));
            for height in next..=end {
                let record = tree.active_at(height).and_then(|hash| tree.get(&hash));
                count += u64::from(record.and_then(|record| record.tx_count).unwrap_or(0));
            }
            next = end.saturating_add(1);
        }
        count
    }

    /// What the rules need to know of the tip, for the block after it.
    pub fn parent_context(&self) -> ParentContext {
        let tree = self.shared.tree();
        tree.parent_context(&tree.tip().0)
            .expect("the tip is in the tree")
    }

    /// The ends of all branches, the highest first.
    pub fn tips(&self) -> Vec<ChainTip> {
        self.shared.tree().tips()
    }

    /// Hashes of the active chain from the tip down, dense at first, then in doubling steps, ending with the first block: with
    /// it a peer finds the last block that we share.
    pub fn locator(&self) -> Vec<BlockHash> {
        let tree = self.shared.tree();
        let mut locator = Vec::new();
        let mut height = tree.tip().1.height;
        let mut step = 1_u32;
        while let Some(hash) = tree.active_at(height) {
            locator.push(hash);
            if height == 0 {
                break;
            }
            if locator.len() >= LOCATOR_DENSE as usize {
                step = step.saturating_mul(2);
            }
            height = height.saturating_sub(step);
        }
        locator
    }

    /// The active chain's headers after the first hash of `locator` that is in it, up to and including `stop`, `max` at most.
    pub fn headers_after(
        &self,
        locator: &[BlockHash],
        stop: &BlockHash,
        max: usize,
    ) -> Vec<BlockHeader> {
        let tree = self.shared.tree();
        let shared = locator.iter().find(|hash| tree.is_active(hash));
        let start = shared
            .and_then(|hash| tree.get(hash))
            .map_or(1, |record| record.height + 1);
        let mut headers = Vec::new();
        for height in (start..).take(max) {
            let Some(hash) = tree.active_at(height) else {
                break;
            };
            headers.extend(tree.get(&hash).map(|record| record.header));
            if hash == *stop {
                break;
            }
        }
        headers
    }

    /// Blocks of the best header chain whose bodies are missing, lowest first, `max` at most.
    pub fn missing_blocks(&self, max: usize) -> Vec<(u32, BlockHash)> {
        self.shared.tree().missing_bodies(max)
    }

    /// Blocks of the chain that ends in a known header whose bodies are missing, lowest first, `max` at most.
    pub fn missing_blocks_towards(&self, hash: &BlockHash, max: usize) -> Vec<(u32, BlockHash)> {
        self.shared.tree().missing_bodies_towards(hash, max)
    }

    /// Everything about a header except the blocks after it, at the time `now` (seconds since 1970): whether its block may be
    /// relayed. Answered from memory.
    ///
    /// # Errors
    /// [`SubmitError`]: what [`submit_headers`](super::ChainHandle::submit_headers) would say.
    pub fn check_header(&self, header: &BlockHeader, now: u64) -> Result<(), SubmitError> {
        self.shared.check_header(header, now)
    }

    /// A block.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Block>, StorageError> {
        self.store().body(hash)
    }

    /// The consensus bytes of a block.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn raw_block(&self, hash: &BlockHash) -> Result<Option<Vec<u8>>, StorageError> {
        self.store().raw_body(hash)
    }

    /// The coins that a block of the active chain spent, in block order.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn undo(&self, hash: &BlockHash) -> Result<Option<BlockUndo>, StorageError> {
        self.store().undo(hash)
    }

    /// Coins by outpoint, in one read; the answer has the order of the question.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn coins(&self, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, StorageError> {
        self.store().coins(outpoints)
    }

    /// The coins of an address.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn address_coins(&self, hash: &PubkeyHash) -> Result<Vec<(OutPoint, Coin)>, StorageError> {
        self.store().address_coins(hash)
    }

    /// The transactions of the active chain that touch an address: height, place in the block, id; oldest first.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn address_history(&self, hash: &PubkeyHash) -> Result<Vec<HistoryRow>, StorageError> {
        self.store().address_history(hash)
    }

    /// Of that history, newest first, `count` transactions after the first `skip`; and how many there are in all.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn latest_history(
        &self,
        hash: &PubkeyHash,
        skip: usize,
        count: usize,
    ) -> Result<(Vec<HistoryRow>, usize), StorageError> {
        self.store().latest_history(hash, skip, count)
    }

    /// A transaction of the active chain.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn transaction(&self, txid: &Txid) -> Result<Option<TxLocation>, StorageError> {
        let Some(record) = self.store().transaction(txid)? else {
            return Ok(None);
        };
        let Some(mut block) = self.store().body(&record.block)? else {
            return Ok(None);
        };
        let height = self
            .header_info(&record.block)
            .map_or(0, |info| info.height);
        let index = record.index as usize;
        if index >= block.transactions.len() {
            return Ok(None);
        }
        Ok(Some(TxLocation {
            tx: block.transactions.swap_remove(index),
            block: record.block,
            height,
            index: record.index,
        }))
    }

    /// Every coin, and the stats of just this set, whatever blocks come while it is read.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn all_coins(&self) -> Result<(CoinStats, AllCoins<'_>), StorageError> {
        loop {
            // What an iterator reads is the state at its making.
            let before = self.coin_stats()?;
            let coins = self.store().all_coins();
            if self.coin_stats()? == before {
                return Ok((before, Box::new(coins)));
            }
        }
    }

    /// The stats of the stored coins.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn coin_stats(&self) -> Result<CoinStats, StorageError> {
        Ok(self.store().coin_stats()?.unwrap_or(CoinStats::EMPTY))
    }
}
