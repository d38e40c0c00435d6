//! Many old blocks in one batch: what makes an import and a first synchronisation quick.
//!
//! While blocks come that extend the chain and are old, they are collected: their rows in a batch, their coins in a difference,
//! their scripts with the threads that verify them. A [`Segment`] is written when it is large enough or nothing more comes; one
//! more may be filled meanwhile, so that the cores verify while the disk writes. A coin that is made and spent within a segment
//! never reaches the disk.
//!
//! # Invariants
//! - A segment is a run of blocks on the active tip, so whatever a kill leaves is a prefix of the chain.
//! - Nobody sees a block before its segment is written: until then the tree knows only its header, nothing is answered, and no
//!   event tells of it.
//! - The state after a segment is the state after its blocks one by one. Whatever is not the plain case (a fork, a block that
//!   breaks a rule, a new block) is left to that way, after all segments are written.

use std::sync::Arc;

use super::engine::{BlockAccepted, Engine, Shared};
use super::error::SubmitError;
use super::events::ChainEvent;
use super::prepared::PreparedBlock;
use super::scripts::PendingScripts;
use super::transition::{
    Coins, Judged, TransitionError, judge, missing, put_connected, remember_verified,
};
use super::tree::BlockTree;
use super::writer::Reply;
use crate::consensus::CheckedBlock;
use crate::primitives::{BlockHash, UtxoDiff};
use crate::storage::{Batch, BodyState, Durability, HeaderRecord, StorageError};

/// A segment of this many bytes, rows and coins together, is written. Larger ones save more coins the way to the disk, and cost
/// that memory twice or three times.
const SEGMENT_BYTES: usize = 8 << 20;
/// A segment of this many blocks is written. Tests see several.
const SEGMENT_BLOCKS: usize = if cfg!(test) { 3 } else { 500 };
/// What a coin in a difference takes, about.
const COIN_BYTES: usize = 150;

/// A block that waits for its segment to be written.
struct Staged {
    block: PreparedBlock,
    checked: CheckedBlock,
    record: HeaderRecord,
    scripts: Option<PendingScripts>,
    reply: Reply<BlockAccepted>,
}

/// A run of blocks that is written at once.
struct Segment<'s> {
    batch: Batch<'s>,
    diff: UtxoDiff,
    coins: usize,
    blocks: Vec<Staged>,
}

/// The segments that are not written yet.
pub(super) struct CatchUp<'s> {
    shared: &'s Shared,
    /// Full: it waits for its scripts.
    full: Option<Segment<'s>>,
    open: Segment<'s>,
}

/// A block that is to be taken by itself.
pub(super) type NotStaged = (PreparedBlock, Reply<BlockAccepted>);

impl<'s> Segment<'s> {
    fn new(shared: &'s Shared) -> Self {
        Self {
            batch: shared.store.batch(),
            diff: UtxoDiff::default(),
            coins: 0,
            blocks: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.blocks.len() >= SEGMENT_BLOCKS
            || self.batch.size() + self.coins * COIN_BYTES >= SEGMENT_BYTES
    }
}

impl<'s> CatchUp<'s> {
    /// Nothing is collected.
    pub fn new(shared: &'s Shared) -> Self {
        Self {
            shared,
            full: None,
            open: Segment::new(shared),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.full.is_none() && self.open.blocks.is_empty()
    }

    fn staged(&self) -> impl DoubleEndedIterator<Item = &Staged> {
        let full = self.full.iter().flat_map(|segment| &segment.blocks);
        full.chain(&self.open.blocks)
    }

    /// Collects a block, or hands it back with nothing changed.
    pub fn stage(
        &mut self,
        engine: &mut Engine,
        mut block: PreparedBlock,
        reply: Reply<BlockAccepted>,
        now: u64,
    ) -> Result<Option<NotStaged>, SubmitError> {
        let shared = self.shared;
        let tree = shared.tree();
        let Some((record, is_new)) = self.record_of(engine, &tree, &block, now) else {
            return Ok(Some((block, reply)));
        };
        let Ok(checked) = shared.check_body(&tree, &mut block) else {
            return Ok(Some((block, reply)));
        };
        let changes: Vec<&UtxoDiff> = std::iter::once(&self.open.diff)
            .chain(self.full.as_ref().map(|segment| &segment.diff))
            .collect();
        let coins = Coins {
            changes: &changes,
            cache: &engine.coins,
            store: &shared.store,
        };
        let judged = match judge(shared, &tree, &checked, record.height, &coins) {
            Ok(judged) => judged,
            Err(TransitionError::Rule(..)) => return Ok(Some((block, reply))),
            Err(TransitionError::Storage(error)) => {
                let failure = SubmitError::from(error);
                let _ = reply.send(Err(failure.clone()));
                return Err(failure);
            }
        };
        drop(tree);
        if is_new {
            self.insert_header(engine, &checked, &record);
        }
        let Judged {
            diff,
            undo,
            scripts,
        } = judged;
        let record = HeaderRecord {
            tx_count: u32::try_from(checked.txids().len()).ok(),
            ..record
        };
        let segment = &mut self.open;
        segment.batch.put_body(&checked.hash(), block.raw());
        put_connected(&mut segment.batch, &checked, &undo, &record);
        segment.coins += diff.created().size_hint().0 + diff.spent().size_hint().0;
        segment.diff.merge(&diff);
        segment.blocks.push(Staged {
            block,
            checked,
            record,
            scripts,
            reply,
        });
        if segment.is_full() {
            self.write_full(engine, now)?;
            let full = std::mem::replace(&mut self.open, Segment::new(shared));
            if !full.blocks.is_empty() {
                self.full = Some(full);
            }
        }
        Ok(None)
    }

    /// The record that the block's header will have, and whether the header is new; `None` where this is not the plain case.
    fn record_of(
        &self,
        engine: &Engine,
        tree: &BlockTree,
        block: &PreparedBlock,
        now: u64,
    ) -> Option<(HeaderRecord, bool)> {
        let header = &block.block().header;
        let hash = block.hash();
        let active = tree.tip().0;
        let tip = self.staged().next_back();
        let tip = tip.map_or(active, |staged| staged.checked.hash());
        if header.prev_block != tip
            || !engine.is_catching_up(u64::from(header.time), now)
            || tree.best_candidate() != Some(active)
        {
            return None;
        }
        let (record, is_new) = match tree.get(&hash) {
            Some(known) if tree.is_plain(&hash) => (*known, false),
            Some(_) => return None,
            None => {
                let judged = self.shared.judge_header(tree, header, &hash, now);
                (judged.ok()?, true)
            }
        };
        let received = tree.next_received() + self.staged().count() as u64;
        let record = HeaderRecord {
            received: Some(received),
            ..record
        };
        Some((record, is_new))
    }

    /// Tells the tree of a header, as if it had come alone.
    fn insert_header(&self, engine: &Engine, checked: &CheckedBlock, record: &HeaderRecord) {
        let header_only = HeaderRecord {
            state: BodyState::HeaderOnly,
            received: None,
            tx_count: None,
            ..*record
        };
        let (before, after) = {
            let mut tree = self.shared.tree_mut();
            let before = tree.best_header().1.chainwork;
            tree.insert(checked.hash(), header_only);
            (before, tree.best_header().1.chainwork)
        };
        if after > before {
            engine.publish(ChainEvent::HeadersAdvanced {
                height: record.height,
            });
        }
    }

    /// Writes everything that is collected.
    pub fn settle(&mut self, engine: &mut Engine, now: u64) -> Result<(), SubmitError> {
        self.write_full(engine, now)?;
        let open = std::mem::replace(&mut self.open, Segment::new(self.shared));
        if !open.blocks.is_empty() {
            self.full = Some(open);
        }
        self.write_full(engine, now)
    }

    /// Writes the full segment once its scripts are verified, and tells everybody. If one fails, everything that is collected is
    /// taken apart.
    fn write_full(&mut self, engine: &mut Engine, now: u64) -> Result<(), SubmitError> {
        let Some(segment) = self.full.take() else {
            return Ok(());
        };
        let scripts = segment
            .blocks
            .iter()
            .filter_map(|staged| staged.scripts.as_ref());
        if scripts
            .map(PendingScripts::wait)
            .any(|outcome| outcome.is_err())
        {
            let open = std::mem::replace(&mut self.open, Segment::new(self.shared));
            let mut blocks = segment.blocks;
            blocks.extend(open.blocks);
            return take_apart(engine, blocks, now);
        }
        let Segment {
            batch,
            diff,
            blocks,
            ..
        } = segment;
        let written = write(engine, batch, &diff, &blocks, now).map_err(SubmitError::from);
        for staged in blocks {
            let height = staged.record.height;
            let answer = written.clone().map(|()| BlockAccepted::NewTip { height });
            // Nobody may be waiting any more, which is fine.
            let _ = staged.reply.send(answer);
        }
        written
    }
}

/// Writes a run of blocks whose scripts are verified, then tells everybody but the senders.
fn write(
    engine: &mut Engine,
    mut batch: Batch<'_>,
    diff: &UtxoDiff,
    blocks: &[Staged],
    now: u64,
) -> Result<(), StorageError> {
    let shared = Arc::clone(engine.shared());
    let last = blocks.last().expect("a full segment has blocks");
    let (tip, record) = (last.checked.hash(), last.record);
    let stats = engine.stats.after(diff, tip, record.height);
    let stats = stats.ok_or_else(|| missing("coin stats that fit", &tip))?;
    batch.apply(diff, &stats);
    let time = u64::from(record.header.time);
    let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    let durability = engine.durability(count, false, time, now);
    shared.store.commit(batch, durability)?;
    engine.follow_coins(diff, time, now);
    let fork_height = engine.stats.height;
    engine.stats = stats;
    {
        let mut tree = shared.tree_mut();
        let hashes: Vec<BlockHash> = blocks.iter().map(|staged| staged.checked.hash()).collect();
        for (hash, staged) in hashes.iter().zip(blocks) {
            tree.body_stored(hash, staged.record.tx_count.unwrap_or(u32::MAX));
            let received = tree.get(hash).and_then(|record| record.received);
            assert_eq!(received, staged.record.received, "nothing came in between");
        }
        tree.set_active(fork_height, &hashes);
    }
    for staged in blocks {
        remember_verified(&shared, &staged.checked, staged.scripts.as_ref());
        engine.publish(ChainEvent::Connected {
            hash: staged.checked.hash(),
            height: staged.record.height,
            block: Arc::clone(staged.checked.block()),
        });
    }
    engine.publish(ChainEvent::TipChanged {
        hash: tip,
        height: record.height,
    });
    Ok(())
}

/// Takes collected blocks one by one, as if they had come so.
fn take_apart(engine: &mut Engine, blocks: Vec<Staged>, now: u64) -> Result<(), SubmitError> {
    let shared = Arc::clone(engine.shared());
    // Their headers are in the tree already; on the disk, a header must be there before its children.
    let mut batch = shared.store.batch();
    for staged in &blocks {
        let hash = staged.checked.hash();
        if let Some(record) = shared.tree().get(&hash) {
            batch.put_header(&hash, record);
        }
    }
    shared.store.commit(batch, Durability::Buffered)?;
    for staged in blocks {
        let result = engine.accept_block(staged.block, now);
        let failure = result.clone().err();
        let _ = staged.reply.send(result);
        if let Some(failure @ SubmitError::Storage(_)) = failure {
            return Err(failure);
        }
    }
    Ok(())
}
