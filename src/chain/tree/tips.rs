//! The ends of all branches.

use std::cmp::Reverse;

use super::{BlockTree, Entry};
use crate::primitives::BlockHash;
use crate::storage::BodyState;

/// What the end of a branch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TipStatus {
    /// The tip of the active chain.
    Active,
    /// All its blocks obey all rules, but another chain has more work or came first.
    ValidFork,
    /// All its bodies are stored, not all of them connected before.
    ValidHeaders,
    /// Bodies are missing.
    HeadersOnly,
    /// It has an invalid block.
    Invalid,
}

/// The end of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainTip {
    /// Its last block.
    pub hash: BlockHash,
    /// The height of that.
    pub height: u32,
    /// How many blocks it has that the active chain has not.
    pub branch_len: u32,
    /// What it is.
    pub status: TipStatus,
}

impl BlockTree {
    /// The ends of all branches.
    pub fn tips(&self) -> Vec<ChainTip> {
        let (active_tip, _) = self.tip();
        let mut tips: Vec<ChainTip> = self
            .entries
            .iter()
            .filter(|(hash, entry)| entry.children.is_empty() || **hash == active_tip)
            .map(|(hash, entry)| {
                let (shared, branch) = self.path_to(&self.active, hash);
                ChainTip {
                    hash: *hash,
                    height: entry.record.height,
                    branch_len: (entry.record.height as usize + 1 - shared)
                        .try_into()
                        .expect("heights are 32-bit"),
                    status: self.tip_status(entry, *hash == active_tip, &branch),
                }
            })
            .filter(|tip| tip.status == TipStatus::Active || tip.branch_len > 0)
            .collect();
        tips.sort_by_key(|tip| (Reverse(tip.height), tip.hash));
        tips
    }

    fn tip_status(&self, entry: &Entry, is_active_tip: bool, branch: &[BlockHash]) -> TipStatus {
        let connected = |hash: &BlockHash| {
            self.get(hash)
                .is_some_and(|record| record.state == BodyState::Connected)
        };
        if is_active_tip {
            TipStatus::Active
        } else if entry.is_bad() {
            TipStatus::Invalid
        } else if entry.record.received.is_none() {
            TipStatus::HeadersOnly
        } else if branch.iter().all(connected) {
            TipStatus::ValidFork
        } else {
            TipStatus::ValidHeaders
        }
    }
}
