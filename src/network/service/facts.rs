//! What sync wants to know of the chain, read by helper tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    chain::{ChainReader, HeaderInfo},
    network::{
        limits::MISSING_WINDOW,
        sync::{Facts, PeerStatus, Weighed, Weighing, WeighingError, oldest_news, weigh},
    },
    primitives::{BlockHash, BlockHeader, Work},
    wire::limits::MAX_LOCATOR,
};

/// The smallest work there is.
const ONE_HASH: Work = {
    let mut bytes = [0; 32];
    bytes[31] = 1;
    Work::from_be_bytes(bytes)
};

/// Shared by the network task and its helpers.
#[derive(Debug)]
pub(super) struct FactsSource {
    /// Chains with less work are never stored.
    minimum: Work,
    /// What makes the marks of weighed headers unforeseeable.
    salt: [u8; 32],
    /// The stamp of the last reading. Held while the chain is read, so that a greater stamp always means a later reading.
    stamp: Mutex<u64>,
    /// The ends of the chains that connected peers have.
    ends: Mutex<Vec<BlockHash>>,
}

impl FactsSource {
    /// Nothing is known of peers yet. `minimum` is the least work of a chain that is stored, `salt` is random.
    pub(super) fn new(minimum: Work, salt: [u8; 32]) -> Self {
        Self {
            minimum,
            salt,
            stamp: Mutex::default(),
            ends: Mutex::default(),
        }
    }

    /// Tells of which chains bodies can be had. Returns whether that is news.
    pub(super) fn set_ends(&self, ends: Vec<BlockHash>) -> bool {
        let mut known = lock(&self.ends);
        let changed = *known != ends;
        *known = ends;
        changed
    }

    /// A peer has just shown to have the chain up to `end`; the task hears of that only after the next reading.
    pub(super) fn add_end(&self, end: BlockHash) {
        let mut known = lock(&self.ends);
        if let Err(place) = known.binary_search(&end) {
            known.insert(place, end);
        }
    }

    /// Reads the chain. Blocking.
    pub(super) fn read(&self, reader: &ChainReader) -> Facts {
        let mut stamp = lock(&self.stamp);
        *stamp += 1;
        let ends = lock(&self.ends).clone();
        let (best, tip) = (reader.best_header(), reader.tip());
        // The best header first: headers that we have are then not sent again.
        let mut locator = reader.locator();
        if locator.first() != Some(&best.hash) {
            locator.insert(0, best.hash);
            locator.truncate(MAX_LOCATOR);
        }
        let goal = ends
            .iter()
            .filter_map(|end| reader.header_info(end))
            .filter(|info| !info.is_invalid && info.chainwork > tip.chainwork)
            .max_by_key(|info| (info.chainwork, info.hash == best.hash));
        let (goal, goal_height, goal_work) = match goal {
            Some(info) => (info.hash, info.height, info.chainwork),
            None => (tip.hash, tip.height, tip.chainwork),
        };
        Facts {
            stamp: *stamp,
            tip_height: tip.height,
            best_header: best.hash,
            best_header_height: best.height,
            best_header_work: best.chainwork,
            goal,
            goal_height,
            goal_work,
            locator,
            missing: reader.missing_blocks_towards(&goal, MISSING_WINDOW),
        }
    }

    /// Which of the headers that a peer has sent may be stored: those of a chain with more work than `least`, and with the configured
    /// work at least. Blocking.
    pub(super) fn weigh(
        &self,
        reader: &ChainReader,
        now: u64,
        headers: Vec<BlockHeader>,
        least: Work,
        weighing: Option<Box<Weighing>>,
    ) -> Result<Weighed, WeighingError> {
        if let Some(mut weighing) = weighing {
            let store = weighing.take(&headers, now)?;
            let weighing = Some(weighing).filter(|weighing| !weighing.is_done());
            return Ok(Weighed { store, weighing });
        }
        let info = |hash: &BlockHash| reader.header_info(hash);
        let known = |header: &&BlockHeader| info(&header.hash()).is_some();
        let known = headers.iter().take_while(known).count();
        let parent = headers.get(known).map(|header| header.prev_block);
        let is_invalid = |hash| info(&hash).is_some_and(|info| info.is_invalid);
        let Some(parent) = parent.filter(|parent| !is_invalid(*parent)) else {
            // All are known, or follow an invalid block: nothing will be stored, and the chain says what they are.
            return Ok(Weighed {
                store: headers,
                weighing: None,
            });
        };
        let start = reader.header_chain(&parent);
        let start = start.ok_or(WeighingError::Unconnected)?;
        let least = least.max(self.minimum.saturating_sub(ONE_HASH));
        let new = headers[known..].to_vec();
        weigh(reader.spec(), self.salt, least, start, new, now)
    }

    /// Whether the block of a valid header belongs to a chain that is worth having: not far behind ours, and not below the
    /// configured work.
    pub(super) fn is_news(&self, reader: &ChainReader, header: &BlockHeader) -> bool {
        let work_of = |hash: &BlockHash| reader.header_info(hash).map(|info| info.chainwork);
        let oldest = reader.hash_at(oldest_news(reader.tip().height));
        let least = oldest.as_ref().and_then(work_of);
        work_of(&header.prev_block) >= least.max(Some(self.minimum))
    }
}

/// What a peer that sent or named this valid header has: the chain up to it.
pub(super) fn chain_up_to(reader: &ChainReader, hash: &BlockHash) -> Option<PeerStatus> {
    let is_valid = |info: &HeaderInfo| !info.is_invalid;
    let info = reader.header_info(hash).filter(is_valid)?;
    Some(PeerStatus {
        best_hash: *hash,
        best_height: info.height,
        work: info.chainwork,
    })
}

/// Nothing that is locked here can be left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::calls::{Done, judge_headers};
    use super::*;
    use crate::chain::testing::TestChain;
    use crate::network::sync::{HeadersVerdict, PeerKey};

    /// ```text
    /// genesis ── a1            (ours)
    ///        ├── b1 ── b2      (headers only; a peer has them)
    ///        └── c1 … c3       (headers only; nobody has them)
    /// ```
    #[test]
    fn the_goal_is_the_best_chain_that_somebody_has() {
        let chain = TestChain::new();
        let genesis = chain.reader().tip().hash;
        let branch = |tag, length| {
            let mut parent = genesis;
            (0..length)
                .map(|_| {
                    let block = chain.block_on(parent, Vec::new(), tag);
                    parent = block.hash();
                    chain
                        .handle()
                        .submit_headers_blocking(vec![block.header])
                        .unwrap();
                    block
                })
                .collect::<Vec<_>>()
        };
        let (a, b, c) = (branch(1, 1), branch(2, 2), branch(3, 3));
        chain.submit(&a[0]).unwrap();

        let source = FactsSource::new(Work::ZERO, [0; 32]);
        let alone = source.read(chain.reader());
        assert_eq!(alone.goal, a[0].hash());
        assert_eq!(alone.best_header, c[2].hash());
        assert!(alone.missing.is_empty());

        assert!(source.set_ends(vec![b[1].hash()]));
        assert!(!source.set_ends(vec![b[1].hash()]));
        let facts = source.read(chain.reader());
        assert_eq!((facts.goal, facts.goal_height), (b[1].hash(), 2));
        assert_eq!(facts.missing, [(1, b[0].hash()), (2, b[1].hash())]);
        assert!(facts.stamp > alone.stamp);

        source.add_end(c[2].hash());
        assert_eq!(source.read(chain.reader()).missing.len(), 3);
        // What is named but not known, or has less work, is no goal.
        assert!(source.set_ends(vec![genesis, BlockHash::from_bytes([9; 32])]));
        assert_eq!(source.read(chain.reader()).goal, a[0].hash());
    }

    /// A chain of `length` blocks on the first one, made elsewhere.
    fn made_elsewhere(tag: u32, length: u32) -> Vec<BlockHeader> {
        let chain = TestChain::new();
        let blocks = (0..length).map(|_| {
            let block = chain.block_on(chain.reader().tip().hash, Vec::new(), tag);
            chain.submit(&block).unwrap();
            block.header
        });
        blocks.collect()
    }

    /// H5.
    ///
    /// ```text
    /// genesis ── a1 … a20    (ours)
    ///        ├── b1 … b20    (as much work: not stored)
    ///        └── c1 … c21    (more: stored)
    /// ```
    #[test]
    fn h05_headers_of_a_chain_with_less_work_are_not_stored() {
        let chain = TestChain::new();
        chain.extend(20);
        let source = Arc::new(FactsSource::new(Work::ZERO, [1; 32]));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let judge = |headers: Vec<BlockHeader>| {
            let least = source.read(chain.reader()).goal_work;
            let handle = chain.handle().clone();
            let facts = Arc::clone(&source);
            let call = judge_headers(handle, facts, PeerKey(1), headers, least, None);
            match runtime.block_on(call) {
                Done::HeadersJudged {
                    verdict,
                    weighing,
                    has,
                    ..
                } => (verdict, weighing.is_some(), has),
                other => panic!("not {other:?}"),
            }
        };
        let accepted = HeadersVerdict::Accepted;
        assert_eq!(judge(made_elsewhere(2, 20)), (accepted, true, None));
        assert_eq!(chain.reader().header_count(), 21);
        let (verdict, is_weighed, has) = judge(made_elsewhere(3, 21));
        assert_eq!((verdict, is_weighed), (accepted, false));
        assert_eq!(has.unwrap().best_height, 21);
        assert_eq!(chain.reader().header_count(), 42);
        // The last of an answer cannot lend the others a work that nobody did.
        let mut headers = made_elsewhere(4, 5);
        headers[4].bits = crate::primitives::CompactTarget(0x1000_ffff);
        let verdict = judge(headers).0;
        assert_eq!(verdict, HeadersVerdict::Invalid);
        assert_eq!(chain.reader().header_count(), 42);
    }

    /// H5: the other way in. Blocks on old ones are neither relayed nor taken, nor is anything below the configured work.
    #[test]
    fn h05_gossip_of_little_work_is_no_news() {
        let chain = TestChain::new();
        let blocks = chain.extend(20);
        let at = |height: usize| {
            let parent = blocks[height - 1].hash();
            chain.block_on(parent, Vec::new(), 9).header
        };
        let source = FactsSource::new(Work::ZERO, [0; 32]);
        let is_news = |source: &FactsSource, height| source.is_news(chain.reader(), &at(height));
        assert!(is_news(&source, 20) && is_news(&source, 13));
        assert!(!is_news(&source, 12) && !is_news(&source, 1));
        let strict = FactsSource::new(chain.reader().tip().chainwork, [0; 32]);
        assert!(is_news(&strict, 20) && !is_news(&strict, 19));
    }
}
