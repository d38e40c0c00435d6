//! Whether a block would be taken as the next one, but for its proof of work: what miners ask before they hash (BIP23).
//!
//! Answered from memory and disk on the caller's own thread, beside the single writer. The coins that are read belong to one tip:
//! where the tip moves meanwhile, the answer is that the block is not on it.

use std::collections::HashMap;
use std::sync::Arc;

use super::engine::Shared;
use super::prepared::PreparedBlock;
use super::reader::ChainReader;
use crate::consensus::{
    CheckedBlock, ConnectContext, ParentContext, RuleError, check_header_in_parent_context,
    connect_block,
};
use crate::primitives::{Block, BlockHash, Coin, OutPoint};
use crate::storage::{BodyState, StorageError};

/// Why a proposed block would not become the tip.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// It is in the active chain.
    #[error("the block is known")]
    Duplicate,
    /// It is known and was found invalid, or builds on such a block.
    #[error("the block is known to be invalid")]
    DuplicateInvalid,
    /// It is known and not judged in full.
    #[error("the block is known and was not judged in full")]
    DuplicateInconclusive,
    /// It does not build on the tip.
    #[error("the block does not build on the tip")]
    NotOnTip,
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Our own fault: the disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ProposalError {
    /// The name of the reason, as RPC answers give it (BIP22, and Bitcoin Core's `getblocktemplate`).
    pub const fn reject_reason(&self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::DuplicateInvalid => "duplicate-invalid",
            Self::DuplicateInconclusive => "duplicate-inconclusive",
            Self::NotOnTip => "inconclusive-not-best-prevblk",
            Self::Rule(rule) => rule.reject_reason(),
            Self::Storage(_) => "storage",
        }
    }
}

impl ChainReader {
    /// Applies every rule to a block on the tip except that its hash meets the target. `now` is in seconds since 1970.
    /// May take as long as the verification of a block; changes nothing.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn check_proposal(&self, block: Block, now: u64) -> Result<(), ProposalError> {
        self.shared().check_proposal(block, now)
    }
}

impl Shared {
    fn check_proposal(&self, block: Block, now: u64) -> Result<(), ProposalError> {
        let mut block = PreparedBlock::received(Arc::new(block));
        let header = block.block().header;
        let parent = header.prev_block;
        let (context, checked) = {
            let tree = self.tree();
            if let Some(record) = tree.get(&block.hash()) {
                return Err(match record.state {
                    _ if tree.is_bad(&block.hash()) => ProposalError::DuplicateInvalid,
                    BodyState::Connected => ProposalError::Duplicate,
                    BodyState::HeaderOnly | BodyState::Stored | BodyState::Invalid => {
                        ProposalError::DuplicateInconclusive
                    }
                });
            }
            if tree.tip().0 != parent {
                return Err(ProposalError::NotOnTip);
            }
            let context = tree.parent_context(&parent);
            let context = context.ok_or(ProposalError::NotOnTip)?;
            check_header_in_parent_context(&self.spec, &header, &context, now)?;
            (context, self.check_body(&tree, &mut block)?)
        };
        let coins = self.coins_of_tip(&checked, &parent)?;
        self.connect_proposal(&checked, &context, &coins)
    }

    /// The coins that a block spends, if they are those of `tip`.
    fn coins_of_tip(
        &self,
        block: &CheckedBlock,
        tip: &BlockHash,
    ) -> Result<HashMap<OutPoint, Coin>, ProposalError> {
        let is_stored_tip = || -> Result<bool, StorageError> {
            let stats = self.store.coin_stats()?;
            Ok(stats.is_some_and(|stats| stats.tip == *tip))
        };
        if !is_stored_tip()? {
            return Err(ProposalError::NotOnTip);
        }
        let outpoints: Vec<OutPoint> = block.spent_outpoints().collect();
        let coins = self.store.coins(&outpoints)?;
        // One batch changes coins and stats at once, so the same tip after means the same tip between.
        if !is_stored_tip()? {
            return Err(ProposalError::NotOnTip);
        }
        let found = outpoints.into_iter().zip(coins);
        Ok(found
            .filter_map(|(outpoint, coin)| Some((outpoint, coin?)))
            .collect())
    }

    fn connect_proposal(
        &self,
        block: &CheckedBlock,
        parent: &ParentContext,
        coins: &HashMap<OutPoint, Coin>,
    ) -> Result<(), ProposalError> {
        let context = ConnectContext {
            height: parent.height + 1,
            median_time_past: parent.median_time_past,
            median_time_at: &|height| {
                let tree = self.tree();
                let ancestor = tree.ancestor(&parent.hash, height);
                ancestor.map_or(0, |hash| tree.median_time_past(&hash))
            },
        };
        let is_verified = |txid: &_| self.signatures.contains(txid);
        let effect = connect_block(&self.spec, block, &context, coins, &is_verified)?;
        match self.scripts.verify(block.block(), effect.script_checks) {
            None => Ok(()),
            Some(scripts) => Ok(scripts.wait()?),
        }
    }
}
