//! The chain of the node under test, and headers that obey the rules.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    consensus::{BLOCK_VERSION, ChainSpec, HeaderChain, Retarget, required_bits},
    network::sync::Facts,
    primitives::{BlockHash, BlockHeader, MerkleRoot, Work},
};

/// The local time of all nodes: long after every header's.
pub(super) const NOW: u64 = 4_000_000_000;

/// Regtest: every header has the same work.
pub(super) fn flat() -> ChainSpec {
    ChainSpec::regtest()
}

/// The same with a difficulty that follows the times.
pub(super) fn steep() -> ChainSpec {
    ChainSpec {
        target_spacing: 10,
        retarget: Retarget::Exponential {
            half_life: 60,
            stall_after: 120,
            stall_doubling: 10,
        },
        ..flat()
    }
}

/// The work of a chain of `blocks` blocks after the first, on regtest.
pub(super) fn work(blocks: u64) -> Work {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&(2 * (blocks + 1)).to_be_bytes());
    Work::from_be_bytes(bytes)
}

/// `length` headers after `start`, one every `spacing` seconds. Branches differ in their `tag`.
pub(super) fn grow(
    spec: &ChainSpec,
    start: &mut HeaderChain,
    tag: u64,
    spacing: u32,
    length: usize,
) -> Vec<BlockHeader> {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&tag.to_le_bytes());
    (0..length)
        .map(|_| {
            let time = start.end().latest_time + spacing;
            let mut header = BlockHeader {
                version: BLOCK_VERSION,
                prev_block: start.hash(),
                merkle_root: MerkleRoot::from_bytes(root),
                time,
                bits: required_bits(spec, start.end(), time).bits,
                nonce: 0,
            };
            let target = header.bits.to_target().unwrap();
            while !target.is_met_by(&header.hash()) {
                header.nonce += 1;
            }
            start.extend(spec, &header, &header.hash(), NOW).unwrap();
            header
        })
        .collect()
}

/// Headers of one branch on regtest: `length` after the first block and the headers `after` it.
pub(super) fn branch(after: &[BlockHeader], tag: u64, length: usize) -> Vec<BlockHeader> {
    let spec = flat();
    let mut start = HeaderChain::of_genesis(&spec);
    for header in after {
        start.extend(&spec, header, &header.hash(), NOW).unwrap();
    }
    grow(&spec, &mut start, tag, 1, length)
}

/// What the node under test knows.
pub(super) struct Node {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) genesis: BlockHash,
    /// Every known header with the chain below it; the first block has none.
    headers: HashMap<BlockHash, BlockHeader>,
    chains: HashMap<BlockHash, HeaderChain>,
    pub(super) bodies: HashSet<BlockHash>,
    pub(super) invalid: HashSet<BlockHash>,
    pub(super) best: BlockHash,
    pub(super) tip: BlockHash,
    pub(super) stamp: u64,
}

impl Node {
    pub(super) fn new(spec: ChainSpec) -> Self {
        let chain = HeaderChain::of_genesis(&spec);
        let genesis = chain.hash();
        Self {
            spec: Arc::new(spec),
            genesis,
            headers: HashMap::new(),
            chains: HashMap::from([(genesis, chain)]),
            bodies: HashSet::new(),
            invalid: HashSet::new(),
            best: genesis,
            tip: genesis,
            stamp: 0,
        }
    }

    pub(super) fn header_count(&self) -> usize {
        self.headers.len()
    }

    pub(super) fn chain_of(&self, hash: &BlockHash) -> Option<&HeaderChain> {
        self.chains.get(hash)
    }

    pub(super) fn height(&self, hash: &BlockHash) -> Option<u32> {
        self.chain_of(hash).map(HeaderChain::height)
    }

    pub(super) fn work(&self, hash: &BlockHash) -> Option<Work> {
        self.chain_of(hash).map(HeaderChain::work)
    }

    /// Stores a header that obeys the rules.
    pub(super) fn add(&mut self, header: &BlockHeader) -> bool {
        let Some(mut chain) = self.chain_of(&header.prev_block).cloned() else {
            return false;
        };
        let hash = header.hash();
        chain.extend(&self.spec, header, &hash, NOW).unwrap();
        if Some(chain.work()) > self.work(&self.best) {
            self.best = hash;
        }
        self.headers.insert(hash, *header);
        self.chains.insert(hash, chain);
        true
    }

    /// From genesis (exclusive) to `hash`.
    fn chain(&self, mut hash: BlockHash) -> Vec<BlockHash> {
        let mut chain = Vec::new();
        while let Some(header) = self.headers.get(&hash) {
            chain.push(hash);
            hash = header.prev_block;
        }
        chain.reverse();
        chain
    }

    /// A body whose parent's is here.
    pub(super) fn take(&mut self, hash: BlockHash) {
        self.bodies.insert(hash);
        if self.work(&hash) > self.work(&self.tip) {
            self.tip = hash;
        }
    }

    /// The best chain that ends in one of `ends`, or the own one.
    pub(super) fn goal(&self, ends: &[BlockHash]) -> BlockHash {
        ends.iter()
            .filter(|end| self.work(end) > self.work(&self.tip))
            .filter(|end| {
                let chain = self.chain(**end);
                !chain.iter().any(|hash| self.invalid.contains(hash))
            })
            .max_by_key(|end| self.work(end))
            .copied()
            .unwrap_or(self.tip)
    }

    /// The chain, and what it lacks of the best one that ends in one of `ends`.
    pub(super) fn facts(&mut self, ends: &[BlockHash]) -> Facts {
        self.stamp += 1;
        let goal = self.goal(ends);
        let missing = (1..)
            .zip(self.chain(goal))
            .filter(|(_, hash)| !self.bodies.contains(hash))
            .take(512)
            .collect();
        let best = self.chain(self.best);
        let mut locator: Vec<_> = best.iter().rev().step_by(7).take(30).copied().collect();
        locator.push(self.genesis);
        let height = |hash| self.height(&hash).unwrap();
        Facts {
            stamp: self.stamp,
            tip_height: height(self.tip),
            best_header: self.best,
            best_header_height: height(self.best),
            best_header_work: self.work(&self.best).unwrap(),
            goal,
            goal_height: height(goal),
            goal_work: self.work(&goal).unwrap(),
            locator,
            missing,
        }
    }
}
