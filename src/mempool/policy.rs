//! What this node takes beyond the rules of the chain. Another node may choose otherwise without leaving the network.

use crate::primitives::Amount;

/// The limits of one node's mempool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The fee below which nothing is taken, in base units for 1000 bytes.
    pub min_relay_fee: u64,
    /// By how much the fee floor exceeds what was last evicted, in base units for 1000 bytes; without it a full pool could be
    /// churned for nothing.
    pub incremental_fee: u64,
    /// The largest transaction in bytes: a larger one makes a block hard to fill and is costly to check.
    pub max_tx_size: u64,
    /// The most signature operations (P2PKH outputs) in one transaction (BIP54).
    pub max_tx_sigops: u64,
    /// The smallest output: less costs every node more to keep than it is worth to its owner.
    pub dust_limit: Amount,
    /// The most unconfirmed transactions that one may depend on, itself included (Bitcoin Core, `DEFAULT_ANCESTOR_LIMIT`). Bounds the
    /// work of every insertion.
    pub max_ancestors: u64,
    /// The most unconfirmed transactions that may depend on one, itself included (Bitcoin Core, `DEFAULT_DESCENDANT_LIMIT`). Bounds
    /// what one removal takes along.
    pub max_descendants: u64,
    /// The most bytes of a transaction with all unconfirmed ones that it depends on, or that depend on it (Bitcoin Core,
    /// `DEFAULT_ANCESTOR_SIZE_LIMIT_KVB`).
    pub max_package_size: u64,
    /// `max_ancestors` for transactions that a reorganisation returns, which were valid together once. A block can hold a chain of
    /// thousands, and letting all of it back would take time that grows with its square.
    pub max_returning_ancestors: u64,
    /// The most memory the transactions may take, in bytes, estimated from above.
    pub max_usage: u64,
    /// After how many seconds a transaction is dropped (Bitcoin Core, `DEFAULT_MEMPOOL_EXPIRY_HOURS`).
    pub expiry: u64,
}

impl Default for Policy {
    /// No fee is asked for: on a private network whoever wants one sets it.
    fn default() -> Self {
        Self {
            min_relay_fee: 0,
            incremental_fee: 1000,
            max_tx_size: 100_000,
            max_tx_sigops: 2500,
            dust_limit: Amount::from_units(1).expect("1 is below the supply"),
            max_ancestors: 25,
            max_descendants: 25,
            max_package_size: 101_000,
            max_returning_ancestors: 100,
            max_usage: 100_000_000,
            expiry: 336 * 3600,
        }
    }
}
