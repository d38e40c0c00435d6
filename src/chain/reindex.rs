//! A chain built anew from the bodies and headers of a database that may be damaged.
//!
//! Bodies and headers are known by their hashes, so each tells by itself whether it is whole; all else follows from them. They
//! are read past whatever cannot be read, and given to a fresh engine in another folder, which judges everything again:
//! proof of work, every rule, every signature. What was marked invalid before, by hand or through damage, is judged anew too.
//!
//! # Invariants
//! - The source is not changed.
//! - The target is a sound chain at any moment: whoever is interrupted calls again with the same folders, and what is there
//!   already is not done twice.
//! - The result does not depend on interruptions: the source's active chain comes first, so that it wins its ties again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::engine::Engine;
use super::error::{ChainError, SubmitError};
use super::events::EventLog;
use super::prepared::PreparedBlock;
use super::writer::explain;
use crate::consensus::ChainSpec;
use crate::primitives::{BlockHash, BlockHeader, CoinStats, unix_now};
use crate::storage::{BodyState, SCHEMA_VERSION, StorageError, Store};

/// Headers that are taken in one batch.
const HEADERS_AT_ONCE: usize = 500;

/// Which blocks are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocks {
    /// All that are stored, side branches too.
    All,
    /// The active chain.
    Active,
}

/// What a reindex did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reindexed {
    /// The coins at the new tip.
    pub stats: CoinStats,
    /// The height that the source's index ended at, if it could be read.
    pub old_height: Option<u32>,
    /// Blocks that are stored now.
    pub blocks: u64,
    /// Blocks whose bodies should be there and are missing or damaged.
    pub damaged: u64,
    /// Blocks that break a rule.
    pub invalid: u64,
    /// Good blocks that were left out, because a block below them is missing.
    pub above_gap: u64,
    /// Places of the source that could not be read.
    pub unreadable: u64,
}

impl Reindexed {
    /// Whether everything that was stored is stored again.
    pub const fn is_complete(&self) -> bool {
        self.damaged == 0 && self.above_gap == 0 && self.unreadable == 0
    }
}

/// How a reindex ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All blocks were looked at.
    Done(Reindexed),
    /// `progress` said to stop; what was done is on the disk.
    Stopped,
}

/// Is told how many of how many blocks are done, and says whether to go on.
pub type Progress<'p> = dyn FnMut(u64, u64) -> bool + 'p;

/// Which of the two databases made a reindex fail.
#[derive(Debug, thiserror::Error)]
pub enum ReindexError {
    /// The old one: it cannot be opened, or is another network's or a newer program's.
    #[error(transparent)]
    Source(ChainError),
    /// The new one.
    #[error("the new database: {0}")]
    Target(ChainError),
}

/// Builds the chain of the database in `source` in the folder `target`, where an interrupted reindex may have begun. With
/// `repair` the source is put together from what RocksDB finds in its folder, which changes it: it must be a copy.
///
/// # Errors
/// [`ReindexError`].
pub fn reindex(
    source: &Path,
    repair: bool,
    target: &Path,
    spec: &ChainSpec,
    progress: &mut Progress<'_>,
) -> Result<Outcome, ReindexError> {
    let opened = match repair {
        true => Store::open_repaired(source),
        false => Store::open_read_only(source),
    };
    let source = opened.map_err(|error| ReindexError::Source(error.into()))?;
    check_source(&source, spec).map_err(ReindexError::Source)?;
    let of_target = |error: StorageError| ReindexError::Target(error.into());
    let target = Store::open(target, &spec.chain_id(), &spec.to_toml()).map_err(of_target)?;
    let spec = Arc::new(spec.clone());
    let (outcome, _) =
        rebuild(&source, target, &spec, Blocks::All, progress).map_err(ReindexError::Target)?;
    Ok(outcome)
}

/// Refuses another network's blocks. A source that does not know whose it is any more may be this one's: only blocks that lead to
/// the first block of `spec` are taken.
fn check_source(source: &Store, spec: &ChainSpec) -> Result<(), ChainError> {
    let Ok(identity) = source.identity() else {
        return Ok(());
    };
    if let Some(found) = identity.schema.filter(|found| *found > SCHEMA_VERSION) {
        return Err(ChainError::Storage(StorageError::NewerSchema {
            path: source.path().to_owned(),
            found,
            known: SCHEMA_VERSION,
        }));
    }
    if identity.chain_id.is_some_and(|id| id != spec.chain_id()) {
        let error = StorageError::OtherNetwork {
            path: source.path().to_owned(),
            stored_spec: identity.spec.unwrap_or_default(),
        };
        return Err(explain(error, source.path(), spec));
    }
    Ok(())
}

/// Builds the chain of `source` in the database `target`.
///
/// # Errors
/// A failure of the target's disk. What is wrong with the source is counted in the outcome.
pub(super) fn rebuild(
    source: &Store,
    target: Store,
    spec: &Arc<ChainSpec>,
    blocks: Blocks,
    progress: &mut Progress<'_>,
) -> Result<(Outcome, Engine), ChainError> {
    let known = Known::read(source, spec.genesis_block().header, blocks);
    // Blocks that were taken once are not refused because this computer's clock went back since.
    let now = unix_now().max(u64::from(known.latest_time));
    let mut engine = Engine::open(target, Arc::clone(spec), EventLog::default(), false, now)?;
    for headers in known.parents_first.chunks(HEADERS_AT_ONCE) {
        let headers: Vec<_> = headers
            .iter()
            .map(|hash| known.headers[hash].header)
            .collect();
        take_headers(&mut engine, &headers, now)?;
    }
    let total = known.bodies.len() as u64;
    let mut done = Reindexed {
        stats: CoinStats::EMPTY,
        old_height: known.old_height,
        blocks: 0,
        damaged: known.lost_headers,
        invalid: 0,
        above_gap: 0,
        unreadable: known.unreadable,
    };
    for (hash, count) in known.bodies.iter().zip(1_u64..) {
        take_body(&mut engine, source, hash, &known, now, &mut done)?;
        if !progress(count, total) {
            engine.flush()?;
            return Ok((Outcome::Stopped, engine));
        }
    }
    engine.flush()?;
    done.stats = engine.stats;
    Ok((Outcome::Done(done), engine))
}

/// Takes headers; one that is refused costs only itself and those above it.
fn take_headers(engine: &mut Engine, headers: &[BlockHeader], now: u64) -> Result<(), ChainError> {
    let mut rest = headers;
    while let Some((first, others)) = rest.split_first() {
        match engine.accept_headers(rest, now) {
            Ok(_) => return Ok(()),
            Err(SubmitError::Storage(error)) => return Err(ChainError::Damaged(error)),
            // It stopped at the first bad one; those before it are known now and pass quickly.
            Err(_) => match engine.accept_headers(std::slice::from_ref(first), now) {
                Err(SubmitError::Storage(error)) => return Err(ChainError::Damaged(error)),
                _ => rest = others,
            },
        }
    }
    Ok(())
}

fn take_body(
    engine: &mut Engine,
    source: &Store,
    hash: &BlockHash,
    known: &Known,
    now: u64,
    done: &mut Reindexed,
) -> Result<(), ChainError> {
    let (state, is_linked) = {
        let tree = engine.shared().tree();
        let record = tree.get(hash);
        let parent = record.and_then(|record| tree.get(&record.header.prev_block));
        let is_linked = parent.is_some_and(|parent| parent.received.is_some());
        (record.map(|record| record.state), is_linked)
    };
    match state {
        Some(BodyState::Stored | BodyState::Connected) => {
            done.blocks += 1;
            return Ok(());
        }
        Some(BodyState::Invalid) => {
            done.invalid += 1;
            return Ok(());
        }
        Some(BodyState::HeaderOnly) | None => {}
    }
    if !is_linked {
        // Connecting a long chain at once, when the gap is filled, would need memory for all of it.
        done.above_gap += 1;
        return Ok(());
    }
    let Some(block) = source.salvage_body(hash) else {
        // A block that was refused for its body alone was never stored.
        let was_refused = known.headers[hash].state == BodyState::Invalid;
        done.damaged += u64::from(!was_refused);
        return Ok(());
    };
    match engine.accept_block(PreparedBlock::received(Arc::new(block)), now) {
        Ok(_) => done.blocks += 1,
        Err(SubmitError::Storage(error)) => return Err(ChainError::Damaged(error)),
        Err(SubmitError::Mutated(_)) => done.damaged += 1,
        Err(
            SubmitError::Invalid(_) | SubmitError::KnownInvalid(_) | SubmitError::InvalidParent(_),
        ) => {
            done.invalid += 1;
        }
        Err(_) => done.above_gap += 1,
    }
    Ok(())
}

/// A header of the source.
struct KnownHeader {
    header: BlockHeader,
    received: Option<u64>,
    state: BodyState,
}

/// What can be read of the source's headers.
struct Known {
    headers: HashMap<BlockHash, KnownHeader>,
    /// Every header that leads to the first block, the first block left out.
    parents_first: Vec<BlockHash>,
    /// The blocks to take, in this order.
    bodies: Vec<BlockHash>,
    old_height: Option<u32>,
    latest_time: u32,
    /// Blocks of which not even the header can be had.
    lost_headers: u64,
    unreadable: u64,
}

impl Known {
    fn read(source: &Store, genesis: BlockHeader, blocks: Blocks) -> Self {
        let mut headers = HashMap::new();
        let mut damaged = Vec::new();
        let header_scan = source.scan_headers(&mut |hash, record| match record {
            Some(record) => {
                let known = KnownHeader {
                    header: record.header,
                    received: record.received,
                    state: record.state,
                };
                headers.insert(hash, known);
            }
            None => damaged.push(hash),
        });
        let mut active = Vec::new();
        let mut old_height = None;
        let height_scan = source.scan_heights(&mut |height, hash| {
            old_height = old_height.max(Some(height));
            active.push(hash);
        });
        let mut lost_headers = 0;
        // Headers that the index, or a header above them, speaks of are in the bodies too.
        let mut wanted: Vec<_> = damaged.into_iter().chain(active.iter().copied()).collect();
        wanted.extend(headers.values().map(|known| known.header.prev_block));
        while let Some(hash) = wanted.pop() {
            if hash == BlockHash::ZERO || headers.contains_key(&hash) {
                continue;
            }
            let Some(block) = source.salvage_body(&hash) else {
                lost_headers += 1;
                continue;
            };
            wanted.push(block.header.prev_block);
            let known = KnownHeader {
                header: block.header,
                received: None,
                state: BodyState::Stored,
            };
            headers.insert(hash, known);
        }
        for hash in &active {
            if let Some(known) = headers.get_mut(hash) {
                known.state = BodyState::Connected;
            }
        }
        let first = genesis.hash();
        let parents_first = parents_first(&headers, first);
        let bodies = match blocks {
            Blocks::All => body_order(&headers, &active, &parents_first),
            Blocks::Active => active.into_iter().filter(|hash| *hash != first).collect(),
        };
        let latest = headers.values().map(|known| known.header.time).max();
        Self {
            latest_time: latest.unwrap_or_default(),
            parents_first,
            bodies,
            headers,
            old_height,
            lost_headers,
            unreadable: header_scan.unreadable + height_scan.unreadable,
        }
    }
}

/// Every header that leads to `first`, each after its parent.
fn parents_first(headers: &HashMap<BlockHash, KnownHeader>, first: BlockHash) -> Vec<BlockHash> {
    let mut children: HashMap<BlockHash, Vec<BlockHash>> = HashMap::new();
    for (hash, known) in headers {
        let siblings = children.entry(known.header.prev_block).or_default();
        siblings.push(*hash);
    }
    let mut order = vec![first];
    let mut at = 0;
    while let Some(hash) = order.get(at) {
        let mut next = children.remove(hash).unwrap_or_default();
        // Not the order of a hash table: equal sources give equal results.
        next.sort_unstable();
        order.extend(next);
        at += 1;
    }
    order.remove(0);
    order
}

/// The active chain, then the other blocks in the order of their reception, then those of which that is not known.
fn body_order(
    headers: &HashMap<BlockHash, KnownHeader>,
    active: &[BlockHash],
    parents_first: &[BlockHash],
) -> Vec<BlockHash> {
    let rank: HashMap<_, _> = active.iter().zip(0_usize..).collect();
    let mut bodies: Vec<_> = parents_first
        .iter()
        .filter(|hash| headers[*hash].state != BodyState::HeaderOnly)
        .copied()
        .collect();
    // The sort is stable, so that parents stay before their children.
    bodies.sort_by_key(|hash| {
        let place = rank.get(hash).copied().unwrap_or(usize::MAX);
        (place, headers[hash].received.unwrap_or(u64::MAX))
    });
    bodies
}
