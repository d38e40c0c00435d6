//! Judging headers and blocks, and keeping the active chain the best one. Synchronous, with the time as an argument.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::coin_cache::CoinCache;
use super::consistency;
use super::error::{ChainError, SubmitError};
use super::events::{ChainEvent, EventLog};
use super::prepared::PreparedBlock;
use super::scripts::ScriptPool;
use super::signature_cache::SignatureCache;
use super::transition::{Transition, TransitionError};
use super::tree::BlockTree;
use crate::consensus::{
    ChainSpec, CheckedBlock, ParentContext, RuleError, Verdict, check_block_in_parent_context,
    check_header_in_isolation, check_header_in_parent_context, required_bits,
};
use crate::primitives::{Block, BlockHash, BlockHeader, CoinStats, Encode, Work};
use crate::storage::{BodyState, Durability, HeaderRecord, Store};

/// What became of a block that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockAccepted {
    /// It is the tip, or below the new tip.
    NewTip {
        /// Its height.
        height: u32,
    },
    /// It is on a branch with less work, or that came later, or whose bodies are not complete.
    SideBranch {
        /// Its height.
        height: u32,
    },
    /// It was known.
    AlreadyKnown,
}

/// What became of headers that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadersAccepted {
    /// How many of them were new.
    pub new: usize,
    /// The best header now: hash, height, work of its chain.
    pub best: (BlockHash, u32, Work),
}

/// What is in the tree, but not on the disk yet. It goes there with the change of the active chain that it leads to.
pub(super) struct Pending {
    /// A block that was just received.
    pub block: Option<CheckedBlock>,
    /// The bytes of that block.
    pub raw: Vec<u8>,
    /// The blocks whose records are to be written.
    pub changed: Vec<BlockHash>,
    /// Whether the block will be built on at once, see [`PreparedBlock::followed`].
    pub followed: bool,
}

/// What the engine and its readers share.
pub(super) struct Shared {
    pub spec: Arc<ChainSpec>,
    pub store: Store,
    pub tree: RwLock<BlockTree>,
    pub events: EventLog,
    pub signatures: Arc<SignatureCache>,
    pub scripts: ScriptPool,
}

impl Shared {
    /// Readers hold this for look-ups only, never across a wait or a disk read.
    pub fn tree(&self) -> RwLockReadGuard<'_, BlockTree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tree_mut(&self) -> RwLockWriteGuard<'_, BlockTree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything about a header except the blocks after it: whether it may be relayed. Changes nothing.
    pub fn check_header(&self, header: &BlockHeader, now: u64) -> Result<(), SubmitError> {
        let hash = header.hash();
        let tree = self.tree();
        if tree.get(&hash).is_some() {
            return known_header(&tree, &hash);
        }
        self.judge_header(&tree, header, &hash, now).map(|_| ())
    }

    pub fn judge_header(
        &self,
        tree: &BlockTree,
        header: &BlockHeader,
        hash: &BlockHash,
        now: u64,
    ) -> Result<HeaderRecord, SubmitError> {
        let spec = &self.spec;
        // The proof of work first: it makes every later step too costly to be abused.
        check_header_in_isolation(spec, header, hash)?;
        let parent = header.prev_block;
        let context = tree
            .parent_context(&parent)
            .ok_or(SubmitError::UnknownParent(parent))?;
        if tree.is_bad(&parent) {
            return Err(SubmitError::InvalidParent(parent));
        }
        check_header_in_parent_context(spec, header, &context, now)?;
        let parent_work = tree
            .get(&parent)
            .map_or(Work::ZERO, |record| record.chainwork);
        header_record(spec, header, &context, parent_work)
    }

    /// The rules of a body that need no coins. Its header was judged.
    pub fn check_body(
        &self,
        tree: &BlockTree,
        block: &mut PreparedBlock,
    ) -> Result<CheckedBlock, RuleError> {
        let checked = block.check(&self.spec)?;
        let context = tree.parent_context(&block.block().header.prev_block);
        let context = context.expect("the header was judged, so its parent is known");
        check_block_in_parent_context(&checked, context.height + 1, context.median_time_past)?;
        Ok(checked)
    }
}

/// The single writer.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) stats: CoinStats,
    pub(super) coins: CoinCache,
    pub(super) sync_writes: bool,
    /// Blocks that were committed since the last synced commit.
    pub(super) unsynced: u32,
}

impl Engine {
    /// Loads the tree, connects the first block where there is none, and finishes what a crash left undone.
    pub fn open(
        store: Store,
        spec: Arc<ChainSpec>,
        events: EventLog,
        sync_writes: bool,
        now: u64,
    ) -> Result<Self, ChainError> {
        let genesis = spec.genesis_block();
        let genesis_hash = genesis.hash();
        let mut records = store.headers().collect::<Result<Vec<_>, _>>()?;
        let is_new = records.is_empty();
        if is_new {
            records.push((genesis_hash, genesis_record(&genesis)));
        }
        records.sort_by_key(|(_, record)| record.height);
        consistency::check_links(&records, &genesis_hash)?;
        let stats = match is_new {
            true => consistency::check_is_new(&store)?,
            false => consistency::check_tip(&store, &genesis_hash)?,
        };
        let shared = Arc::new(Shared {
            tree: RwLock::new(BlockTree::new(genesis_hash, records)),
            signatures: Arc::default(),
            scripts: ScriptPool::start().map_err(ChainError::Thread)?,
            spec,
            store,
            events,
        });
        let mut engine = Self {
            shared,
            stats,
            coins: CoinCache::default(),
            sync_writes,
            unsynced: 0,
        };
        if is_new {
            engine.write_genesis(genesis, genesis_hash)?;
        } else {
            let tip = engine.stats.tip;
            if !engine.shared.tree_mut().restore_active(&tip) {
                return Err(ChainError::Damaged(format!(
                    "the blocks below the tip {tip} are not complete"
                )));
            }
            engine.activate(None, now)?;
        }
        Ok(engine)
    }

    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn write_genesis(&mut self, genesis: Block, hash: BlockHash) -> Result<(), ChainError> {
        let shared = Arc::clone(&self.shared);
        let mut batch = shared.store.batch();
        batch.put_header(&hash, &genesis_record(&genesis));
        batch.put_body(&hash, &genesis.to_bytes());
        let block = CheckedBlock::trusted(Arc::new(genesis), hash);
        let tree = shared.tree();
        let mut transition = Transition::new(&shared, &tree, &self.coins, batch);
        let connected = transition.connect(&hash, Some(&block));
        match connected.and_then(|()| transition.verify()) {
            Ok(()) => {}
            Err(TransitionError::Storage(error)) => return Err(error.into()),
            Err(TransitionError::Rule(_, rule)) => {
                return Err(ChainError::Damaged(format!(
                    "the spec's first block is invalid: {rule}"
                )));
            }
        }
        let done = transition.finish(&self.stats, &hash)?;
        shared.store.commit(done.batch, Durability::Synced)?;
        // Every column has a sorted file from now on: a repair of RocksDB knows columns by these alone.
        shared.store.flush()?;
        self.stats = done.stats;
        Ok(())
    }

    /// Takes headers, each the child of a known one; stops at the first that is wrong.
    pub fn accept_headers(
        &mut self,
        headers: &[BlockHeader],
        now: u64,
    ) -> Result<HeadersAccepted, SubmitError> {
        let shared = Arc::clone(&self.shared);
        let mut batch = shared.store.batch();
        let mut new = 0;
        let mut outcome = Ok(());
        let before = shared.tree().best_header().1.chainwork;
        for header in headers {
            let hash = header.hash();
            let judged = {
                let tree = shared.tree();
                if tree.get(&hash).is_some() {
                    known_header(&tree, &hash).map(|()| None)
                } else {
                    shared.judge_header(&tree, header, &hash, now).map(Some)
                }
            };
            match judged {
                Ok(None) => {}
                Ok(Some(record)) => {
                    batch.put_header(&hash, &record);
                    shared.tree_mut().insert(hash, record);
                    new += 1;
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if new > 0 {
            // Headers alone cost nothing to fetch again, so they are never worth a wait for the disk.
            shared.store.commit(batch, Durability::Buffered)?;
        }
        let best = {
            let tree = shared.tree();
            let (hash, record) = tree.best_header();
            (hash, record.height, record.chainwork)
        };
        if best.2 > before {
            self.publish(ChainEvent::HeadersAdvanced { height: best.1 });
        }
        outcome.map(|()| HeadersAccepted { new, best })
    }

    /// Takes a block whose parent's header is known, and goes over to its chain if that is the best.
    pub fn accept_block(
        &mut self,
        block: PreparedBlock,
        now: u64,
    ) -> Result<BlockAccepted, SubmitError> {
        let hash = block.hash();
        let result = self.judge_block(block, &hash, now);
        if let Err(SubmitError::Invalid(rule)) = &result {
            self.publish(ChainEvent::Rejected {
                hash,
                reason: format!("{}: {rule}", rule.reject_reason()),
            });
        }
        result
    }

    fn judge_block(
        &mut self,
        mut block: PreparedBlock,
        hash: &BlockHash,
        now: u64,
    ) -> Result<BlockAccepted, SubmitError> {
        let shared = Arc::clone(&self.shared);
        if shared.tree().has_body(hash) {
            known_header(&shared.tree(), hash)?;
            return Ok(BlockAccepted::AlreadyKnown);
        }
        self.accept_headers(&[block.block().header], now)?;
        let checked = {
            let tree = shared.tree();
            shared.check_body(&tree, &mut block)
        };
        let checked = match checked {
            Ok(checked) => checked,
            Err(rule) => {
                if rule.verdict() == Verdict::Invalid {
                    self.remember_invalid(hash)?;
                }
                return Err(rule.into());
            }
        };
        let tx_count = u32::try_from(checked.txids().len()).unwrap_or(u32::MAX);
        let mut changed = shared.tree_mut().body_stored(hash, tx_count);
        if !changed.contains(hash) {
            changed.push(*hash);
        }
        let pending = Pending {
            block: Some(checked),
            followed: block.is_followed(),
            raw: block.into_raw(),
            changed,
        };
        let rejected = self.activate(Some(&pending), now)?;
        if let Some((_, rule)) = rejected.into_iter().find(|(bad, _)| bad == hash) {
            return Err(SubmitError::Invalid(rule));
        }
        let tree = shared.tree();
        known_header(&tree, hash)?;
        let height = tree.get(hash).map_or(0, |record| record.height);
        Ok(if tree.is_active(hash) {
            BlockAccepted::NewTip { height }
        } else {
            BlockAccepted::SideBranch { height }
        })
    }
}

/// A known header is fine, invalid, or a descendant of an invalid one.
fn known_header(tree: &BlockTree, hash: &BlockHash) -> Result<(), SubmitError> {
    match tree.get(hash) {
        Some(record) if record.state == BodyState::Invalid => Err(SubmitError::KnownInvalid(*hash)),
        Some(record) if tree.is_bad(hash) => {
            Err(SubmitError::InvalidParent(record.header.prev_block))
        }
        _ => Ok(()),
    }
}

fn genesis_record(genesis: &Block) -> HeaderRecord {
    let target = genesis.header.bits.to_target();
    HeaderRecord {
        header: genesis.header,
        height: 0,
        chainwork: target.map_or(Work::ZERO, |target| target.work()),
        base: genesis.header.bits,
        latest_time: genesis.header.time,
        state: BodyState::Connected,
        received: Some(0),
        tx_count: u32::try_from(genesis.transactions.len()).ok(),
    }
}

/// The record of a header that obeys the rules.
fn header_record(
    spec: &ChainSpec,
    header: &BlockHeader,
    parent: &ParentContext,
    parent_work: Work,
) -> Result<HeaderRecord, SubmitError> {
    let bits = header.bits;
    let target = bits
        .to_target()
        .map_err(|reason| RuleError::TargetInvalid { bits, reason })?;
    Ok(HeaderRecord {
        header: *header,
        height: parent.height + 1,
        chainwork: parent_work
            .checked_add(target.work())
            .expect("no chain can hold 2^256 hashes of work"),
        base: required_bits(spec, parent, header.time).base,
        latest_time: parent.latest_time.max(header.time),
        state: BodyState::HeaderOnly,
        received: None,
        tx_count: None,
    })
}
