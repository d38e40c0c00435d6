//! A block on its way to the chain's thread, with the work that needs no chain done beforehand.

use std::sync::Arc;

use crate::consensus::{ChainSpec, CheckedBlock, RuleError, check_hashed_block_in_isolation};
use crate::primitives::{Block, BlockHash, DecodeError, Encode};

/// A block, its hash, and as far as it is known already: its bytes, and how it obeys the rules that need no context.
///
/// Whoever has blocks in a row prepares them on a thread of its own, so that the chain's thread does not decode and hash.
#[derive(Debug, Clone)]
pub struct PreparedBlock {
    block: Arc<Block>,
    hash: BlockHash,
    raw: Option<Vec<u8>>,
    checked: Option<Result<CheckedBlock, RuleError>>,
    followed: bool,
}

impl PreparedBlock {
    /// A block of which nothing is known: everything is left to the chain's thread, which checks the proof of work first.
    pub fn received(block: Arc<Block>) -> Self {
        Self {
            hash: block.hash(),
            block,
            raw: None,
            checked: None,
            followed: false,
        }
    }

    /// The same block, on which the sender makes the next as soon as it is taken: on its way to the disk it need not be waited
    /// for, because the wait for the last of them covers it.
    #[must_use]
    pub fn followed(self) -> Self {
        Self {
            followed: true,
            ..self
        }
    }

    /// Decodes a block, hashes it, and applies the rules that need no context. The bytes are kept for the disk.
    ///
    /// # Errors
    /// Bytes that are no block. A broken rule is told by the chain, which judges the header first.
    pub fn decode(spec: &ChainSpec, raw: Vec<u8>) -> Result<Self, DecodeError> {
        let (block, txids) = Block::from_bytes_hashed(&raw)?;
        let (block, hash) = (Arc::new(block), block_hash(&raw));
        let hashed = CheckedBlock::hashed(Arc::clone(&block), hash, txids, raw.len());
        Ok(Self {
            checked: Some(check_hashed_block_in_isolation(spec, hashed)),
            block,
            hash,
            raw: Some(raw),
            followed: false,
        })
    }

    /// The block.
    pub const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Its encoded size, if its bytes are here.
    pub fn raw_len(&self) -> usize {
        self.raw.as_ref().map_or(0, Vec::len)
    }

    /// The hash of its header.
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Whether another one will be built on it at once.
    pub(super) const fn is_followed(&self) -> bool {
        self.followed
    }

    /// The block, if it obeys the rules that need no context; they are applied once.
    pub(super) fn check(&mut self, spec: &ChainSpec) -> Result<CheckedBlock, RuleError> {
        let (block, hash) = (&self.block, self.hash);
        let checked = self.checked.get_or_insert_with(|| {
            let hashed = CheckedBlock::trusted(Arc::clone(block), hash);
            check_hashed_block_in_isolation(spec, hashed)
        });
        checked.clone()
    }

    /// Its consensus bytes, made once.
    pub(super) fn raw(&mut self) -> &[u8] {
        let block = &self.block;
        self.raw.get_or_insert_with(|| block.to_bytes())
    }

    /// The same for the last time.
    pub(super) fn into_raw(self) -> Vec<u8> {
        let block = self.block;
        self.raw.unwrap_or_else(|| block.to_bytes())
    }
}

fn block_hash(raw: &[u8]) -> BlockHash {
    let header = &raw[..crate::primitives::HEADER_LEN];
    BlockHash::from_bytes(crate::primitives::sha256d(header))
}
