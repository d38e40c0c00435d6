//! Keeping the active chain the best one: each change of it, however deep, is one batch.

use std::sync::Arc;

use super::engine::{Engine, Pending, Shared};
use super::error::SubmitError;
use super::events::{ChainEvent, Event};
use super::suspicion::check_own_store;
use super::transition::{Finished, Moved, Transition, TransitionError};
use super::tree::BlockTree;
use crate::consensus::RuleError;
use crate::primitives::{BlockHash, UtxoDiff};
use crate::storage::{Batch, Durability, StorageError};

/// Blocks this many spacings old are being caught up with: their commits are not synced one by one.
const CATCH_UP_SPACINGS: u64 = 60;
/// Where not every block is synced, every so many are, which bounds what a power cut costs.
const SYNC_EVERY: u32 = 500;

impl Engine {
    /// Goes over to the best chain until there is no better one. Writes `pending` to the disk in any case, and in one batch with
    /// the first change of the active chain, so that no kill can come between the two.
    ///
    /// A branch that turns out invalid leaves everything as it was, except that its bad block is remembered. Returns the blocks
    /// that were found invalid on the way.
    pub(super) fn activate(
        &mut self,
        mut pending: Option<&Pending>,
        now: u64,
    ) -> Result<Vec<(BlockHash, RuleError)>, StorageError> {
        let mut rejected = Vec::new();
        loop {
            let shared = Arc::clone(&self.shared);
            let tree = shared.tree();
            let best = tree.best_candidate();
            let Some(target) = best.filter(|best| *best != tree.tip().0) else {
                drop(tree);
                if let Some(pending) = pending {
                    let batch = pending_batch(&shared, &shared.tree(), pending);
                    // A side branch can be fetched again: it is not worth a wait for the disk.
                    self.shared.store.commit(batch, Durability::Buffered)?;
                }
                return Ok(rejected);
            };
            let (disconnect, connect, fork_height) = tree.route(&target);
            let batch = pending.map_or_else(
                || shared.store.batch(),
                |pending| pending_batch(&shared, &tree, pending),
            );
            let mut transition = Transition::new(&shared, &tree, &self.coins, batch);
            for hash in &disconnect {
                transition.disconnect(hash)?;
            }
            let block = pending.and_then(|pending| pending.block.as_ref());
            let outcome = connect
                .iter()
                .try_for_each(|hash| transition.connect(hash, block))
                .and_then(|()| transition.verify());
            match outcome {
                Ok(()) => {
                    let time = tree.get(&target).map_or(0, |record| record.header.time);
                    let finished = transition.finish(&self.stats, &target)?;
                    drop(tree);
                    let followed = pending.is_some_and(|pending| pending.followed);
                    self.commit(finished, &connect, fork_height, followed, time.into(), now)?;
                    pending = None;
                }
                Err(TransitionError::Storage(error)) => return Err(error),
                Err(TransitionError::Rule(bad, rule)) => {
                    drop(transition);
                    let fresh = block.map(|block| &**block.block());
                    check_own_store(&shared.store, &tree, &bad, fresh, &disconnect)?;
                    drop(tree);
                    // What is pending stays so: it is written with the change that comes instead, or without one.
                    let is_new = block.is_some_and(|block| block.hash() == bad);
                    self.reject(bad, &rule, is_new)?;
                    rejected.push((bad, rule));
                }
            }
        }
    }

    /// Writes a finished transition, then tells everybody.
    fn commit(
        &mut self,
        finished: Finished<'_>,
        connected: &[BlockHash],
        fork_height: u32,
        followed: bool,
        time: u64,
        now: u64,
    ) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        let durability = self.durability(1, followed, time, now);
        shared.store.commit(finished.batch, durability)?;
        self.follow_coins(&finished.diff, time, now);
        self.stats = finished.stats;
        let (old_tip, fork) = {
            let mut tree = shared.tree_mut();
            let old_tip = tree.tip().0;
            tree.set_active(fork_height, connected);
            (old_tip, tree.active_at(fork_height).unwrap_or_default())
        };
        let count = |moved: &[Moved]| u32::try_from(moved.len()).unwrap_or(u32::MAX);
        let (disconnects, connects) = (count(&finished.disconnected), count(&finished.connected));
        for moved in finished.disconnected {
            self.publish(ChainEvent::Disconnected {
                hash: moved.hash,
                height: moved.height,
                block: moved.block(&shared.store)?,
            });
        }
        for moved in finished.connected {
            self.publish(ChainEvent::Connected {
                hash: moved.hash,
                height: moved.height,
                block: moved.block(&shared.store)?,
            });
        }
        let new_tip = self.stats.tip;
        if disconnects > 0 {
            self.publish(ChainEvent::Reorg {
                fork,
                fork_height,
                old_tip,
                new_tip,
                disconnected: disconnects,
                connected: connects,
            });
        }
        self.publish(ChainEvent::TipChanged {
            hash: new_tip,
            height: self.stats.height,
        });
        Ok(())
    }

    /// Keeps the coins in memory in step with a written change while catching up; at the tip they are not worth the memory.
    pub(super) fn follow_coins(&mut self, diff: &UtxoDiff, block_time: u64, now: u64) {
        match self.is_catching_up(block_time, now) {
            true => self.coins.apply(diff),
            false => self.coins.clear(),
        }
    }

    /// Whether a block of that time is being caught up with.
    pub(super) fn is_catching_up(&self, block_time: u64, now: u64) -> bool {
        let age = now.saturating_sub(block_time);
        age > CATCH_UP_SPACINGS * u64::from(self.shared.spec.target_spacing)
    }

    /// Whether this commit of `blocks` blocks waits for the disk: at the tip always, unless others are `followed` by the one whose
    /// commit will; while catching up now and then.
    pub(super) fn durability(
        &mut self,
        blocks: u32,
        followed: bool,
        block_time: u64,
        now: u64,
    ) -> Durability {
        let may_wait = followed || self.is_catching_up(block_time, now);
        self.unsynced += blocks;
        if !self.sync_writes || (may_wait && self.unsynced < SYNC_EVERY) {
            return Durability::Buffered;
        }
        self.unsynced = 0;
        Durability::Synced
    }

    /// Whether blocks were written that [`Engine::sync`] would bring to the disk.
    pub const fn has_unsynced(&self) -> bool {
        self.sync_writes && self.unsynced > 0
    }

    /// Waits until all that was written is on the disk.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.shared.store.sync()?;
        self.unsynced = 0;
        Ok(())
    }

    /// Remembers that a block is invalid; `is_new` says that it was just submitted.
    fn reject(
        &mut self,
        bad: BlockHash,
        rule: &RuleError,
        is_new: bool,
    ) -> Result<(), StorageError> {
        self.remember_invalid(&bad)?;
        // A new block's rejection is published with the answer to its sender.
        if !is_new {
            self.publish(ChainEvent::Rejected {
                hash: bad,
                reason: format!("{}: {rule}", rule.reject_reason()),
            });
        }
        Ok(())
    }

    /// Remembers that a block breaks a rule. It is not in the active chain.
    pub(super) fn remember_invalid(&mut self, hash: &BlockHash) -> Result<(), StorageError> {
        self.shared.tree_mut().mark_invalid(hash);
        let mut batch = self.shared.store.batch();
        put_record(&mut batch, &self.shared.tree(), hash);
        self.shared.store.commit(batch, Durability::Buffered)
    }

    /// Treats a block as invalid from now on, and leaves it if it is in the active chain (Bitcoin Core, `invalidateblock`).
    ///
    /// Mark and disconnection are one batch: a kill leaves both or neither.
    pub fn invalidate(&mut self, hash: &BlockHash, now: u64) -> Result<(), SubmitError> {
        let known = self.shared.tree().get(hash).map(|record| record.height);
        if known.is_none_or(|height| height == 0) {
            return Err(SubmitError::UnknownBlock(*hash));
        }
        self.shared.tree_mut().mark_invalid(hash);
        let mark = Pending {
            block: None,
            raw: Vec::new(),
            changed: vec![*hash],
            followed: false,
        };
        self.activate(Some(&mark), now)?;
        Ok(())
    }

    /// Takes back that a block, its ancestors or its descendants are invalid (Bitcoin Core, `reconsiderblock`).
    pub fn reconsider(&mut self, hash: &BlockHash, now: u64) -> Result<(), SubmitError> {
        let shared = Arc::clone(&self.shared);
        if shared.tree().get(hash).is_none() {
            return Err(SubmitError::UnknownBlock(*hash));
        }
        let mut failure = None;
        let mut stored = |hash: &BlockHash| match shared.store.raw_body(hash) {
            Ok(body) => body.is_some(),
            Err(error) => {
                failure = Some(error);
                false
            }
        };
        let changed = shared.tree_mut().clear_invalid(hash, &mut stored);
        // A body that cannot be read is not one that is missing: nothing of this is written.
        if let Some(error) = failure {
            return Err(error.into());
        }
        let marks = Pending {
            block: None,
            raw: Vec::new(),
            changed,
            followed: false,
        };
        self.activate(Some(&marks), now)?;
        Ok(())
    }

    /// Goes over to a block, if no other has more work (Bitcoin Core, `preciousblock`).
    pub fn prefer(&mut self, hash: &BlockHash, now: u64) -> Result<(), SubmitError> {
        if self.shared.tree().get(hash).is_none() {
            return Err(SubmitError::UnknownBlock(*hash));
        }
        let changed = self.shared.tree_mut().prefer(hash);
        let places = Pending {
            block: None,
            raw: Vec::new(),
            changed,
            followed: false,
        };
        self.activate(Some(&places), now)?;
        Ok(())
    }

    pub(super) fn publish(&self, event: ChainEvent) {
        self.shared.events.publish(Event::Chain(event));
    }

    /// Writes everything down before a clean stop.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.shared.store.flush()
    }
}

/// The body and the records of what is not on the disk yet.
fn pending_batch<'s>(shared: &'s Shared, tree: &BlockTree, pending: &Pending) -> Batch<'s> {
    let mut batch = shared.store.batch();
    if let Some(block) = &pending.block {
        batch.put_body(&block.hash(), &pending.raw);
    }
    for hash in &pending.changed {
        put_record(&mut batch, tree, hash);
    }
    batch
}

/// What is known of a header now.
fn put_record(batch: &mut Batch<'_>, tree: &BlockTree, hash: &BlockHash) {
    if let Some(record) = tree.get(hash) {
        batch.put_header(hash, record);
    }
}
