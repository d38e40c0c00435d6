//! What sync wants to know of the chain, read by helper tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    chain::{ChainReader, HeaderInfo},
    network::{
        limits::MISSING_WINDOW,
        sync::{Facts, PeerStatus},
    },
    primitives::BlockHash,
    wire::limits::MAX_LOCATOR,
};

/// Shared by the network task and its helpers.
#[derive(Debug, Default)]
pub(super) struct FactsSource {
    /// The stamp of the last reading. Held while the chain is read, so that a greater stamp always means a later reading.
    stamp: Mutex<u64>,
    /// The ends of the chains that connected peers have.
    ends: Mutex<Vec<BlockHash>>,
}

impl FactsSource {
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
    use super::*;
    use crate::chain::testing::TestChain;

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

        let source = FactsSource::default();
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
}
