//! What a block or transaction can break: one variant a rule.

use strum::VariantNames;

use crate::keys::ScriptSigError;
use crate::primitives::{
    Amount, AmountError, CompactTarget, MerkleRoot, OutPoint, PubkeyHash, TargetError,
};

/// A broken rule, with what was expected and what was found.
#[derive(
    Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames,
)]
pub enum RuleError {
    // Headers
    /// The compact target is not a target.
    #[error("the compact target {bits} is not valid: {reason}")]
    TargetInvalid {
        /// The header's bits.
        bits: CompactTarget,
        /// What is wrong with them.
        reason: TargetError,
    },
    /// The target is easier than the network allows.
    #[error("the target {found} is easier than the limit {limit}")]
    TargetAboveLimit {
        /// The header's bits.
        found: CompactTarget,
        /// The network's limit.
        limit: CompactTarget,
    },
    /// The hash does not meet the header's own target.
    #[error("the hash does not meet the target {bits}")]
    HighHash {
        /// The header's bits.
        bits: CompactTarget,
    },
    /// Another target than the retarget rule demands.
    #[error("the target is {found}, the retarget rule demands {expected}")]
    WrongBits {
        /// What the rule demands.
        expected: CompactTarget,
        /// The header's bits.
        found: CompactTarget,
    },
    /// Not later than the median of the last 11 blocks.
    #[error("the time {time} is not after the median of the blocks before it ({median})")]
    TimeTooOld {
        /// The header's time, in seconds since 1970.
        time: u32,
        /// The median it must exceed.
        median: u32,
    },
    /// Too far ahead of the local clock. The same header may be right later.
    #[error(
        "the time {time} is more than the allowed drift ahead of the local clock (at most {limit})"
    )]
    TimeTooNew {
        /// The header's time, in seconds since 1970.
        time: u32,
        /// The latest time accepted now.
        limit: u64,
    },
    /// A version that BIP34, BIP65 and BIP66 retired.
    #[error("the block version is {0}, at least 4 is required")]
    VersionTooOld(i32),

    // The body as a whole
    /// The transactions are not the ones the header commits to.
    #[error("the merkle root is {found}, the header commits to {expected}")]
    MerkleRootMismatch {
        /// The header's root.
        expected: MerkleRoot,
        /// The root of the transactions.
        found: MerkleRoot,
    },
    /// The list of transactions repeats its tail (CVE-2012-2459).
    #[error("the transaction list is an altered copy with the same merkle root")]
    MerkleTreeMutated,
    /// A transaction of 64 bytes can be mistaken for two nodes of the merkle tree (CVE-2017-12842).
    #[error("transaction {index} has 64 bytes, like an inner node of the merkle tree")]
    SixtyFourByteTransaction {
        /// Its place in the block.
        index: usize,
    },
    /// Larger than the network allows.
    #[error("the block has {found} bytes, at most {limit} are allowed")]
    BlockTooLarge {
        /// The encoded size in bytes.
        found: usize,
        /// The network's limit.
        limit: u32,
    },
    /// More signature operations than the network allows.
    #[error("the block has {found} signature operations, at most {limit} are allowed")]
    TooManySigops {
        /// How many there are.
        found: usize,
        /// The network's limit.
        limit: u32,
    },
    /// No transaction, or the first is not a coinbase.
    #[error("the first transaction is not a coinbase")]
    CoinbaseMissing,
    /// A coinbase after the first transaction.
    #[error("transaction {index} is a second coinbase")]
    CoinbaseNotFirst {
        /// Its place in the block.
        index: usize,
    },
    /// The coinbase does not begin with the block's height (BIP34).
    #[error("the coinbase does not begin with the push of height {height}")]
    CoinbaseHeight {
        /// The block's height.
        height: u32,
    },
    /// The coinbase takes more than subsidy and fees.
    #[error("the coinbase pays {paid}, subsidy and fees are {allowed}")]
    CoinbaseAmount {
        /// The sum of its outputs.
        paid: Amount,
        /// Subsidy and fees.
        allowed: Amount,
    },

    // Transactions alone
    /// A version other than 1 and 2.
    #[error("the transaction version is {0}, expected 1 or 2")]
    TransactionVersion(i32),
    /// No inputs.
    #[error("the transaction has no inputs")]
    NoInputs,
    /// No outputs.
    #[error("the transaction has no outputs")]
    NoOutputs,
    /// Larger than a block may be.
    #[error("the transaction has {found} bytes, at most {limit} are allowed")]
    TransactionTooLarge {
        /// The encoded size in bytes.
        found: usize,
        /// The network's block limit.
        limit: u32,
    },
    /// An output above the supply.
    #[error("output {index}: {reason}")]
    OutputValue {
        /// The output's place.
        index: usize,
        /// What is wrong with it.
        reason: AmountError,
    },
    /// The outputs together are above the supply.
    #[error("the outputs together are more money than can exist")]
    OutputSum,
    /// An output that is not P2PKH.
    #[error("output {index} is not pay-to-public-key-hash, the only form on this chain")]
    OutputScript {
        /// The output's place.
        index: usize,
    },
    /// One coin twice (CVE-2018-17144).
    #[error("{outpoint} is spent twice in one transaction")]
    DuplicateInput {
        /// The coin.
        outpoint: OutPoint,
    },
    /// A coinbase script outside 2 to 100 bytes.
    #[error("the coinbase script has {found} bytes, expected 2 to 100")]
    CoinbaseScriptLength {
        /// Its length in bytes.
        found: usize,
    },
    /// The null reference in a transaction that is not a coinbase.
    #[error("input {index} refers to no output")]
    NullInput {
        /// The input's place.
        index: usize,
    },

    // Transactions in their place
    /// The lock time has not passed (BIP113).
    #[error("the transaction's lock time {lock_time} has not passed")]
    NotFinal {
        /// The lock time, a height or a time.
        lock_time: u32,
    },
    /// A relative lock has not passed (BIP68).
    #[error("the relative lock of input {index} has not passed")]
    SequenceLock {
        /// The input's place.
        index: usize,
    },
    /// A coin that does not exist or is already spent.
    #[error("{outpoint} does not exist or is already spent")]
    MissingCoin {
        /// The coin.
        outpoint: OutPoint,
    },
    /// A coinbase spent too early.
    #[error("{outpoint} comes from a coinbase {depth} blocks deep, {maturity} are required")]
    ImmatureCoinbase {
        /// The coin.
        outpoint: OutPoint,
        /// How many blocks after the coinbase this one is.
        depth: u32,
        /// How many are required.
        maturity: u32,
    },
    /// The inputs together are above the supply.
    #[error("the inputs together are more money than can exist")]
    InputSum,
    /// More goes out than comes in.
    #[error("the outputs ({outputs}) are more than the inputs ({inputs})")]
    InputsBelowOutputs {
        /// The sum of the inputs.
        inputs: Amount,
        /// The sum of the outputs.
        outputs: Amount,
    },
    /// The fees of a block are above the supply.
    #[error("the fees together are more money than can exist")]
    FeeSum,

    // Scripts
    /// An input script of another form.
    #[error("the script of input {index} is not valid: {reason}")]
    InputScript {
        /// The input's place.
        index: usize,
        /// What is wrong with it.
        reason: ScriptSigError,
    },
    /// A key other than the one the coin pays to.
    #[error("the key of input {index} hashes to {found}, the coin pays to {expected}")]
    WrongKey {
        /// The input's place.
        index: usize,
        /// The hash in the coin.
        expected: PubkeyHash,
        /// The hash of the key.
        found: PubkeyHash,
    },
    /// The signature does not sign this transaction.
    #[error("the signature of input {index} is wrong")]
    BadSignature {
        /// The input's place.
        index: usize,
    },
}

/// What a broken rule says about the header's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The block of this hash is invalid for ever.
    Invalid,
    /// This body is not the one of the hash; the honest body may still come, so the hash must not be remembered as invalid.
    Mutated,
    /// Not now: the same block may be right later.
    Future,
}

impl RuleError {
    /// The names of all rules, which are those of the variants.
    pub const NAMES: &'static [&'static str] = Self::VARIANTS;

    /// The name of the rule: that of the variant.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// What the error says about the hash of the block it was found in.
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::MerkleRootMismatch { .. }
            | Self::MerkleTreeMutated
            | Self::SixtyFourByteTransaction { .. } => Verdict::Mutated,
            Self::TimeTooNew { .. } => Verdict::Future,
            Self::TargetInvalid { .. }
            | Self::TargetAboveLimit { .. }
            | Self::HighHash { .. }
            | Self::WrongBits { .. }
            | Self::TimeTooOld { .. }
            | Self::VersionTooOld(_)
            | Self::BlockTooLarge { .. }
            | Self::TooManySigops { .. }
            | Self::CoinbaseMissing
            | Self::CoinbaseNotFirst { .. }
            | Self::CoinbaseHeight { .. }
            | Self::CoinbaseAmount { .. }
            | Self::TransactionVersion(_)
            | Self::NoInputs
            | Self::NoOutputs
            | Self::TransactionTooLarge { .. }
            | Self::OutputValue { .. }
            | Self::OutputSum
            | Self::OutputScript { .. }
            | Self::DuplicateInput { .. }
            | Self::CoinbaseScriptLength { .. }
            | Self::NullInput { .. }
            | Self::NotFinal { .. }
            | Self::SequenceLock { .. }
            | Self::MissingCoin { .. }
            | Self::ImmatureCoinbase { .. }
            | Self::InputSum
            | Self::InputsBelowOutputs { .. }
            | Self::FeeSum
            | Self::InputScript { .. }
            | Self::WrongKey { .. }
            | Self::BadSignature { .. } => Verdict::Invalid,
        }
    }

    /// The short name of the rule: Bitcoin Core's reject reason where Core has the rule.
    pub const fn reject_reason(&self) -> &'static str {
        match self {
            Self::TargetInvalid { .. } | Self::TargetAboveLimit { .. } | Self::HighHash { .. } => {
                "high-hash"
            }
            Self::WrongBits { .. } => "bad-diffbits",
            Self::TimeTooOld { .. } => "time-too-old",
            Self::TimeTooNew { .. } => "time-too-new",
            Self::VersionTooOld(_) => "bad-version",
            Self::MerkleRootMismatch { .. } => "bad-txnmrklroot",
            Self::MerkleTreeMutated => "bad-txns-duplicate",
            Self::SixtyFourByteTransaction { .. } => "bad-txns-64-bytes",
            Self::BlockTooLarge { .. } => "bad-blk-length",
            Self::TooManySigops { .. } => "bad-blk-sigops",
            Self::CoinbaseMissing => "bad-cb-missing",
            Self::CoinbaseNotFirst { .. } => "bad-cb-multiple",
            Self::CoinbaseHeight { .. } => "bad-cb-height",
            Self::CoinbaseAmount { .. } => "bad-cb-amount",
            Self::TransactionVersion(_) => "bad-txns-version",
            Self::NoInputs => "bad-txns-vin-empty",
            Self::NoOutputs => "bad-txns-vout-empty",
            Self::TransactionTooLarge { .. } => "bad-txns-oversize",
            Self::OutputValue { .. } => "bad-txns-vout-toolarge",
            Self::OutputSum => "bad-txns-txouttotal-toolarge",
            Self::OutputScript { .. } => "bad-txns-vout-not-p2pkh",
            Self::DuplicateInput { .. } => "bad-txns-inputs-duplicate",
            Self::CoinbaseScriptLength { .. } => "bad-cb-length",
            Self::NullInput { .. } => "bad-txns-prevout-null",
            Self::NotFinal { .. } => "bad-txns-nonfinal",
            Self::SequenceLock { .. } => "non-BIP68-final",
            Self::MissingCoin { .. } => "bad-txns-inputs-missingorspent",
            Self::ImmatureCoinbase { .. } => "bad-txns-premature-spend-of-coinbase",
            Self::InputSum => "bad-txns-inputvalues-outofrange",
            Self::InputsBelowOutputs { .. } => "bad-txns-in-belowout",
            Self::FeeSum => "bad-txns-accumulated-fee-outofrange",
            Self::InputScript { .. } | Self::WrongKey { .. } | Self::BadSignature { .. } => {
                "mandatory-script-verify-flag-failed"
            }
        }
    }
}
