//! A simulated peer: what it has, and how it answers.

use std::collections::HashMap;

use super::node::{grow, work};
use crate::{
    consensus::{ChainSpec, HeaderChain},
    network::sync::PeerStatus,
    primitives::{BlockHash, BlockHeader, Work},
};

/// How a simulated peer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// Answers headers, never sends a block.
    WithholdsBlocks,
    /// Answers at once, but never with a block.
    SendsNoBlocks,
    /// Never answers anything.
    Silent,
    /// Claims this much work, whatever it has.
    Claims(u64),
    /// Sends headers that do not follow each other.
    Discontinuous,
    /// Sends blocks that nobody asked for.
    Unsolicited,
    /// Sends bodies that are not those of their headers.
    Mutates,
    /// Answers headers requests as if the locator were its own last header but 10.
    IgnoresLocator,
    /// Refuses every second request for going too fast.
    RateLimits,
    /// Claims much more work than it has, and height enough for that.
    Boasts,
    /// The same, and answers every request with another branch on the first block.
    Branches,
    /// Claims what it has, and sends another chain of as many headers when it is asked for them again.
    ChangesItsMind,
}

pub(super) struct SimPeer {
    /// From genesis on, without it.
    pub(super) chain: Vec<BlockHeader>,
    pub(super) manner: Manner,
    pub(super) delay: u64,
    pub(super) answered: u64,
    /// Headers that it has sent.
    pub(super) headers_sent: usize,
    /// Places in the chain by hash, made for a chain of that length.
    pub(super) places: HashMap<BlockHash, usize>,
}

impl SimPeer {
    pub(super) fn status(&self, spec: &ChainSpec) -> PeerStatus {
        let genesis = spec.genesis_block().header;
        let chain = || std::iter::once(&genesis).chain(&self.chain);
        let shown = chain().fold(Work::ZERO, |sum, header| {
            sum.checked_add(header.bits.to_target().unwrap().work())
                .unwrap()
        });
        let height = self.chain.len() as u32;
        let (best_height, work) = match self.manner {
            Manner::Claims(blocks) => (height, work(blocks)),
            Manner::Boasts | Manner::Branches => (1_000_000, work(1 << 60)),
            _ => (height, shown),
        };
        let best_hash = match self.manner {
            Manner::Branches => BlockHash::from_bytes([0xbb; 32]),
            _ => chain().next_back().unwrap().hash(),
        };
        PeerStatus {
            best_hash,
            best_height,
            work,
        }
    }

    pub(super) fn headers_after(
        &mut self,
        spec: &ChainSpec,
        locator: &[BlockHash],
    ) -> Vec<BlockHeader> {
        let mut start = HeaderChain::of_genesis(spec);
        let genesis = start.hash();
        if self.manner == Manner::Branches {
            self.headers_sent += 2_000;
            return grow(spec, &mut start, self.answered, 10, 2_000);
        }
        if self.manner == Manner::ChangesItsMind && self.answered > 2 {
            self.chain = grow(spec, &mut start, 99, 10, self.chain.len());
        }
        if self.places.len() != self.chain.len() {
            let hashes = self.chain.iter().map(BlockHeader::hash);
            self.places = hashes.zip(1..).collect();
        }
        let start = if self.manner == Manner::IgnoresLocator {
            self.chain.len().saturating_sub(10)
        } else {
            locator
                .iter()
                .find_map(|hash| {
                    if *hash == genesis {
                        return Some(0);
                    }
                    self.places.get(hash).copied()
                })
                .unwrap_or(0)
        };
        let mut headers: Vec<_> = self.chain[start..].iter().take(2_000).copied().collect();
        if self.manner == Manner::Discontinuous && headers.len() > 2 {
            headers.swap(0, 1);
        }
        self.headers_sent += headers.len();
        headers
    }
}
