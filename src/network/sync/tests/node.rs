//! The chain of the node under test.

use std::collections::{HashMap, HashSet};

use crate::{
    network::sync::Facts,
    primitives::{BlockHash, BlockHeader, CompactTarget, MerkleRoot, Work},
};

pub(super) fn work(units: u64) -> Work {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&units.to_be_bytes());
    Work::from_be_bytes(bytes)
}

/// Headers of one branch, the first being the child of `parent`. Branches differ in their `tag`.
pub(super) fn branch(parent: BlockHash, tag: u32, length: u32) -> Vec<BlockHeader> {
    let mut prev_block = parent;
    (0..length)
        .map(|nonce| {
            let header = BlockHeader {
                version: 1,
                prev_block,
                merkle_root: MerkleRoot::default(),
                time: tag,
                bits: CompactTarget(0),
                nonce,
            };
            prev_block = header.hash();
            header
        })
        .collect()
}

/// What the node under test knows.
pub(super) struct Node {
    pub(super) genesis: BlockHash,
    pub(super) headers: HashMap<BlockHash, (u32, BlockHeader)>,
    pub(super) bodies: HashSet<BlockHash>,
    pub(super) invalid: HashSet<BlockHash>,
    pub(super) best: BlockHash,
    pub(super) tip: BlockHash,
    pub(super) stamp: u64,
}

impl Node {
    pub(super) fn height(&self, hash: &BlockHash) -> Option<u32> {
        if *hash == self.genesis {
            return Some(0);
        }
        self.headers.get(hash).map(|entry| entry.0)
    }

    pub(super) fn add(&mut self, header: &BlockHeader) -> bool {
        let Some(parent) = self.height(&header.prev_block) else {
            return false;
        };
        let hash = header.hash();
        self.headers.insert(hash, (parent + 1, *header));
        if Some(parent + 1) > self.height(&self.best) {
            self.best = hash;
        }
        true
    }

    /// From genesis (exclusive) to `hash`.
    pub(super) fn chain(&self, mut hash: BlockHash) -> Vec<BlockHash> {
        let mut chain = Vec::new();
        while let Some((_, header)) = self.headers.get(&hash) {
            chain.push(hash);
            hash = header.prev_block;
        }
        chain.reverse();
        chain
    }

    /// A body whose parent's is here.
    pub(super) fn take(&mut self, hash: BlockHash) {
        self.bodies.insert(hash);
        if self.height(&hash) > self.height(&self.tip) {
            self.tip = hash;
        }
    }

    /// The chain, and what it lacks of the best one that ends in one of `ends`.
    pub(super) fn facts(&mut self, ends: &[BlockHash]) -> Facts {
        self.stamp += 1;
        let goal = ends
            .iter()
            .filter(|end| self.height(end) > self.height(&self.tip))
            .filter(|end| {
                let chain = self.chain(**end);
                !chain.iter().any(|hash| self.invalid.contains(hash))
            })
            .max_by_key(|end| self.height(end))
            .copied()
            .unwrap_or(self.tip);
        let missing = (1..)
            .zip(self.chain(goal))
            .filter(|(_, hash)| !self.bodies.contains(hash))
            .take(512)
            .collect();
        let best = self.chain(self.best);
        let mut locator: Vec<_> = best.iter().rev().step_by(7).take(30).copied().collect();
        locator.push(self.genesis);
        let height = |hash| self.height(&hash).unwrap_or_default();
        Facts {
            stamp: self.stamp,
            tip_height: height(self.tip),
            best_header: self.best,
            best_header_height: height(self.best),
            best_header_work: work(height(self.best).into()),
            goal,
            goal_height: height(goal),
            goal_work: work(height(goal).into()),
            locator,
            missing,
        }
    }
}
