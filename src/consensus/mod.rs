//! The rules of the chain, as pure functions: data and context in, a verdict out.
//!
//! Nothing here reads a disk, a clock or a network: what a rule depends on is an argument, and the function's name says which
//! context it needs (`…_in_isolation`, `…_in_parent_context`, `…_in_utxo_context`). [`RuleError`] has one variant a rule.
//!
//! | where | what |
//! |---|---|
//! | `spec`, `spec_file`, `genesis` | the parameters of a network, their file form, its first block |
//! | `header`, `header_chain` | proof of work, time, version; a chain of headers that is followed without being kept |
//! | `retarget` | which target a block must meet |
//! | `transaction` | a transaction alone, and against the coins it spends |
//! | `locks` | absolute and relative lock times |
//! | `block` | a block alone, in its place, and connected to the coins |
//! | `error`, `rule_switch` | the rules by name, and how a check ends that finds one broken |

mod block;
mod error;
mod genesis;
mod header;
mod header_chain;
mod locks;
mod retarget;
#[cfg(not(feature = "rule-switches"))]
mod rule_switch;
#[cfg(feature = "rule-switches")]
pub mod rule_switch;
mod spec;
mod spec_file;
mod transaction;

#[cfg(test)]
mod tests;

pub use block::{
    BlockEffect, CheckedBlock, ConnectContext, check_block_in_isolation,
    check_block_in_parent_context, check_hashed_block_in_isolation, connect_block, height_push,
};
pub use error::{RuleError, Verdict};
pub use header::{
    MEDIAN_TIME_SPAN, ParentContext, check_header_in_isolation, check_header_in_parent_context,
    median_time,
};
pub use header_chain::HeaderChain;
pub use locks::{LOCK_TIME_THRESHOLD, is_final};
pub use retarget::{RequiredBits, exponential_target, required_bits, times_with_equal_bits};
pub use spec::{BLOCK_VERSION, ChainSpec, GenesisPayout, GenesisSpec, Retarget};
pub use spec_file::SpecError;
pub use transaction::{
    COINBASE_SCRIPT_LEN, ScriptChecks, SpendContext, check_transaction_in_isolation,
    check_transaction_in_utxo_context,
};
