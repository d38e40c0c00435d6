//! Why a transaction is refused, and why the task ends.

use crate::consensus::RuleError;
use crate::primitives::{Amount, OutPoint, Txid};

/// Why a transaction is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectError {
    /// It breaks a rule of the chain.
    #[error(transparent)]
    Rule(RuleError),
    /// A coinbase is valid in a block only.
    #[error("a coinbase is valid in a block only")]
    Coinbase,
    /// It cannot be in the next block yet.
    #[error("the lock time {lock_time} has not passed at the next block")]
    NotFinal {
        /// Its lock time, a height or a time.
        lock_time: u32,
    },
    /// A coin is not known here. It may be that of a transaction that has not come yet.
    #[error("{outpoint} is not known here, or is already spent in the chain")]
    MissingInputs {
        /// The coin.
        outpoint: OutPoint,
    },
    /// It is here already.
    #[error("the transaction is already in the mempool")]
    AlreadyInMempool,
    /// It is in a block already.
    #[error("the transaction is already in the chain")]
    AlreadyKnown,
    /// Another transaction in the mempool spends one of its coins, and this one comes back from a reorganisation: nothing is
    /// replaced by what was there before.
    #[error("{outpoint} is spent by {other}, which came first")]
    Conflict {
        /// The coin.
        outpoint: OutPoint,
        /// The transaction that spends it.
        other: Txid,
    },
    /// It pushes out what it depends on.
    #[error("the transaction spends an output of {parent}, which it would replace")]
    SpendsReplaced {
        /// The transaction that would go.
        parent: Txid,
    },
    /// BIP125 rule 2: it depends on an unconfirmed transaction that those it replaces do not.
    #[error(
        "the transaction replaces others and depends on the unconfirmed {parent}, on which they do not"
    )]
    NewUnconfirmed {
        /// What it depends on.
        parent: Txid,
    },
    /// Its rate is not above that of one that it replaces.
    #[error(
        "the fee rate {found} is not above the {rate} of {other}, which spends the same coin (in base units for 1000 bytes)"
    )]
    ReplacementRate {
        /// Its rate, in base units for 1000 bytes.
        found: u64,
        /// What it would replace.
        other: Txid,
        /// The rate of that.
        rate: u64,
    },
    /// BIP125 rules 3 and 4: it does not pay for what goes and for its own relay.
    #[error("the fee is {fee}, replacing the others that spend the same coins takes {required}")]
    ReplacementFee {
        /// Its fee.
        fee: Amount,
        /// The least that is taken.
        required: Amount,
    },
    /// BIP125 rule 5: too much would go.
    #[error(
        "the transaction replaces {found} others with all that depends on them, at most {limit} are allowed"
    )]
    TooManyReplaced {
        /// How many would go.
        found: u64,
        /// The most that may go.
        limit: u64,
    },
    /// It replaces another, and is judged together with others.
    #[error("the transaction replaces {other}, and nothing is replaced within a package")]
    ReplacementInPackage {
        /// What it would replace.
        other: Txid,
    },
    /// Policy: too large.
    #[error("the transaction has {found} bytes, this node relays at most {limit}")]
    TooLarge {
        /// Its bytes.
        found: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// Policy: too many outputs.
    #[error("the transaction has {found} signature operations, this node relays at most {limit}")]
    TooManySigops {
        /// Its signature operations.
        found: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// Policy: an output too small to be worth keeping.
    #[error("output {index} is {value}, this node relays at least {limit}")]
    Dust {
        /// The output's place.
        index: usize,
        /// Its amount.
        value: Amount,
        /// The least that is taken.
        limit: Amount,
    },
    /// Policy: the fee is below the node's minimum.
    #[error("the fee is {fee}, this node asks for at least {required}")]
    FeeTooLow {
        /// Its fee.
        fee: Amount,
        /// The least that is taken.
        required: Amount,
    },
    /// The fee is above what its sender means to pay.
    #[error(
        "the fee is {fee} for {size} bytes, above the highest that was asked for (maxfeerate), {allowed}"
    )]
    FeeAboveLimit {
        /// Its fee.
        fee: Amount,
        /// Its bytes.
        size: u64,
        /// The most that its sender means to pay.
        allowed: Amount,
    },
    /// Policy: the mempool was full of transactions that pay more.
    #[error("the fee is {fee}, the mempool is full and takes {required} or more")]
    BelowFloor {
        /// Its fee.
        fee: Amount,
        /// The least that is taken now.
        required: Amount,
    },
    /// Policy: it was the least worth keeping.
    #[error("the mempool is full of transactions that pay more")]
    Full,
    /// Policy: it depends on too many unconfirmed transactions.
    #[error(
        "the transaction depends on {found} unconfirmed ones with itself, at most {limit} are allowed"
    )]
    TooLongChain {
        /// How many, itself included.
        found: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// Policy: an unconfirmed transaction that it depends on has too many that depend on it.
    #[error(
        "{ancestor}, on which the transaction depends, would have {found} unconfirmed descendants with itself, at most {limit} are allowed"
    )]
    TooManyDescendants {
        /// What it depends on.
        ancestor: Txid,
        /// How many, that one included.
        found: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// Policy: it and the unconfirmed transactions that it depends on, or one of these and what depends on it, are too large
    /// together.
    #[error(
        "the transaction would be one of related unconfirmed ones of {found} bytes, at most {limit} are allowed"
    )]
    PackageTooLarge {
        /// Their bytes.
        found: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// The mempool has stopped, as the node is about to.
    #[error("the node is stopping")]
    Stopped,
    /// Our own fault: the coins could not be read.
    #[error("the database cannot be read: {0}")]
    Storage(String),
}

impl RejectError {
    /// Bitcoin Core's short name where Core has the reason.
    pub const fn reject_reason(&self) -> &'static str {
        match self {
            Self::Rule(error) => error.reject_reason(),
            Self::Coinbase => "coinbase",
            Self::NotFinal { .. } => "non-final",
            Self::MissingInputs { .. } => "missing-inputs",
            Self::AlreadyInMempool => "txn-already-in-mempool",
            Self::AlreadyKnown => "txn-already-known",
            Self::Conflict { .. } => "txn-mempool-conflict",
            Self::SpendsReplaced { .. } => "bad-txns-spends-conflicting-tx",
            Self::NewUnconfirmed { .. } => "replacement-adds-unconfirmed",
            Self::ReplacementRate { .. } | Self::ReplacementFee { .. } => "insufficient fee",
            Self::TooManyReplaced { .. } => "too many potential replacements",
            Self::ReplacementInPackage { .. } => "bip125-replacement-disallowed",
            Self::TooLarge { .. } => "tx-size",
            Self::TooManySigops { .. } => "bad-txns-too-many-sigops",
            Self::Dust { .. } => "dust",
            Self::FeeTooLow { .. } => "min relay fee not met",
            Self::FeeAboveLimit { .. } => "max-fee-exceeded",
            Self::BelowFloor { .. } => "mempool min fee not met",
            Self::Full => "mempool full",
            Self::TooLongChain { .. }
            | Self::TooManyDescendants { .. }
            | Self::PackageTooLarge { .. } => "too-long-mempool-chain",
            Self::Stopped => "stopped",
            Self::Storage(_) => "storage",
        }
    }

    /// Whether no state of an honest node would let it relay such a transaction. An id commits to the coins and scripts, so a
    /// wrong signature or sum is wrong on every branch; what depends on the tip, on what came first or on policy is nobody's fault.
    pub const fn is_senders_fault(&self) -> bool {
        match self {
            Self::Rule(error) => is_wrong_everywhere(error),
            Self::Coinbase => true,
            Self::NotFinal { .. }
            | Self::MissingInputs { .. }
            | Self::AlreadyInMempool
            | Self::AlreadyKnown
            | Self::Conflict { .. }
            | Self::SpendsReplaced { .. }
            | Self::NewUnconfirmed { .. }
            | Self::ReplacementRate { .. }
            | Self::ReplacementFee { .. }
            | Self::TooManyReplaced { .. }
            | Self::ReplacementInPackage { .. }
            | Self::TooLarge { .. }
            | Self::TooManySigops { .. }
            | Self::Dust { .. }
            | Self::FeeTooLow { .. }
            | Self::FeeAboveLimit { .. }
            | Self::BelowFloor { .. }
            | Self::Full
            | Self::TooLongChain { .. }
            | Self::TooManyDescendants { .. }
            | Self::PackageTooLarge { .. }
            | Self::Stopped
            | Self::Storage(_) => false,
        }
    }
}

/// Whether a transaction that breaks the rule breaks it on every branch of the chain.
const fn is_wrong_everywhere(error: &RuleError) -> bool {
    match error {
        RuleError::TransactionVersion(_)
        | RuleError::NoInputs
        | RuleError::NoOutputs
        | RuleError::TransactionTooLarge { .. }
        | RuleError::OutputValue { .. }
        | RuleError::OutputSum
        | RuleError::OutputScript { .. }
        | RuleError::DuplicateInput { .. }
        | RuleError::CoinbaseScriptLength { .. }
        | RuleError::NullInput { .. }
        | RuleError::InputSum
        | RuleError::InputsBelowOutputs { .. }
        | RuleError::InputScript { .. }
        | RuleError::WrongKey { .. }
        | RuleError::BadSignature { .. } => true,
        RuleError::NotFinal { .. }
        | RuleError::SequenceLock { .. }
        | RuleError::MissingCoin { .. }
        | RuleError::ImmatureCoinbase { .. } => false,
        // Rules of blocks: no transaction alone breaks them.
        RuleError::TargetInvalid { .. }
        | RuleError::TargetAboveLimit { .. }
        | RuleError::HighHash { .. }
        | RuleError::WrongBits { .. }
        | RuleError::TimeTooOld { .. }
        | RuleError::TimeTooNew { .. }
        | RuleError::VersionTooOld(_)
        | RuleError::MerkleRootMismatch { .. }
        | RuleError::MerkleTreeMutated
        | RuleError::SixtyFourByteTransaction { .. }
        | RuleError::BlockTooLarge { .. }
        | RuleError::TooManySigops { .. }
        | RuleError::CoinbaseMissing
        | RuleError::CoinbaseNotFirst { .. }
        | RuleError::CoinbaseHeight { .. }
        | RuleError::CoinbaseAmount { .. }
        | RuleError::FeeSum => false,
    }
}

impl From<RuleError> for RejectError {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::MissingCoin { outpoint } => Self::MissingInputs { outpoint },
            RuleError::NotFinal { lock_time } => Self::NotFinal { lock_time },
            other => Self::Rule(other),
        }
    }
}

/// Why the mempool's thread ended by itself. The node must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    /// The coins could not be read.
    #[error("the mempool cannot read the database: {0}")]
    Storage(String),
}
