//! What can go wrong: with a submitted block, and with opening the chain.

use crate::consensus::{RuleError, Verdict};
use crate::primitives::BlockHash;
use crate::storage::StorageError;

/// Why a header or block was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It breaks a rule, for ever.
    #[error("invalid: {0}")]
    Invalid(RuleError),
    /// The body is not the one that the header commits to. Nothing is known against the header.
    #[error("the body does not belong to the header: {0}")]
    Mutated(RuleError),
    /// Its time is too far ahead; it may be taken later.
    #[error("the block's time {time} is ahead of the local clock (at most {limit} now)")]
    Future {
        /// The header's time, in seconds since 1970.
        time: u32,
        /// The latest time accepted now.
        limit: u64,
    },
    /// It was found invalid before.
    #[error("block {0} was found invalid before")]
    KnownInvalid(BlockHash),
    /// It builds on an invalid block.
    #[error("the parent {0} is invalid")]
    InvalidParent(BlockHash),
    /// Its parent is not known.
    #[error("the parent {0} is not known")]
    UnknownParent(BlockHash),
    /// The command names a block that is not known, or that it does not apply to.
    #[error("block {0} is not known")]
    UnknownBlock(BlockHash),
    /// The chain is not running any more.
    #[error("the chain is stopping")]
    Stopped,
    /// Our own fault: the disk failed, and the node must end.
    #[error("storage: {0}")]
    Storage(String),
}

impl SubmitError {
    /// The name of the reason, as RPC answers give it.
    pub const fn reject_reason(&self) -> &'static str {
        match self {
            Self::Invalid(rule) | Self::Mutated(rule) => rule.reject_reason(),
            Self::Future { .. } => "time-too-new",
            Self::KnownInvalid(_) => "duplicate-invalid",
            Self::InvalidParent(_) => "bad-prevblk",
            Self::UnknownParent(_) => "prev-blk-not-found",
            Self::UnknownBlock(_) => "not-found",
            Self::Stopped => "stopping",
            Self::Storage(_) => "storage",
        }
    }

    /// Whether the block is at fault, or what it builds on: not its time alone, the disk, or a node that stops. Of a block made
    /// here it means that the template must not be trusted.
    pub const fn blames_block(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::Mutated(_)
            | Self::KnownInvalid(_)
            | Self::InvalidParent(_)
            | Self::UnknownParent(_)
            | Self::UnknownBlock(_) => true,
            Self::Future { .. } | Self::Stopped | Self::Storage(_) => false,
        }
    }
}

impl From<RuleError> for SubmitError {
    fn from(rule: RuleError) -> Self {
        match (rule.verdict(), rule) {
            (_, RuleError::TimeTooNew { time, limit }) => Self::Future { time, limit },
            (Verdict::Mutated, rule) => Self::Mutated(rule),
            (Verdict::Invalid | Verdict::Future, rule) => Self::Invalid(rule),
        }
    }
}

impl From<StorageError> for SubmitError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// Why a chain could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The disk.
    #[error(transparent)]
    Storage(StorageError),
    /// The data folder belongs to another network.
    #[error("the data folder {path} belongs to another network; it differs in (folder / asked for):\n  {}\nuse another --datadir, or the --chain it was made with", .differences.join("\n  "))]
    OtherNetwork {
        /// The database.
        path: String,
        /// The fields that differ, stored and asked for.
        differences: Vec<String>,
    },
    /// The stored records contradict each other.
    #[error("the stored chain is damaged: {0}")]
    Damaged(String),
    /// A thread could not be started.
    #[error("the chain's thread could not be started: {0}")]
    Thread(std::io::Error),
}

impl From<StorageError> for ChainError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
