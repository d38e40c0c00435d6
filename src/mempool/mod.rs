//! Transactions that wait for a block.
//!
//! [`Pool`] is the state: pure, with the clock and the chain's coins as arguments, so that a simulator can run it. [`spawn`]
//! starts the OS thread `mempool`, its one owner, which follows the chain's events; a [`MempoolHandle`] asks it. The thread ends
//! with [`MempoolHandle::stop`] or with the last handle; whoever called [`spawn`] joins it by [`MempoolTask::join`].
//!
//! | where | what |
//! |---|---|
//! | `policy`, `rate` | what this node takes beyond the rules, fee rates |
//! | `admission`, `error` | whether a transaction may enter, and why not |
//! | `pool`, `entry` | the graph of transactions with its sums and orders |
//! | `replace` | what a transaction may push out |
//! | `priority` | what an operator lets count for more |
//! | `eviction` | the byte limit, the fee floor after it, expiry |
//! | `reorg` | blocks that are connected and disconnected |
//! | `select` | what a block takes |
//! | `orphans` | what came before its parents |
//! | `estimate` | the fee rate that gets into one of the next blocks |
//! | `short_ids` | the transactions of an announced block |
//! | `saved` | the file from one run to the next |
//! | `handle`, `task` | the thread and how to ask it |
//!
//! # Invariants
//! No two transactions spend one coin. Every input is a coin of the chain or an output in the pool. Everything may be in the block
//! after the tip. Nothing is in the active chain. The estimated memory is within the limit.

mod admission;
mod entry;
mod error;
mod estimate;
mod eviction;
mod handle;
mod orphans;
mod policy;
mod pool;
mod priority;
mod rate;
mod reorg;
mod replace;
mod saved;
mod select;
mod short_ids;
mod task;
#[cfg(test)]
mod tests;

pub use admission::{Candidate, ChainView};
pub use entry::{EntryInfo, Package};
pub use error::{MempoolError, RejectError};
pub use estimate::MAX_TARGET;
pub use handle::{Accepted, AddressDelta, MempoolHandle, Offer, PackageAnswer, TxSource};
pub use orphans::PeerName;
pub use policy::Policy;
pub use pool::{MempoolInfo, Pool};
pub use priority::{Priority, TooManyPriorities};
pub use rate::FeeRate;
pub use select::{TemplateTransactions, TemplateTx};
pub use task::{MempoolTask, spawn, spawn_with_file};

pub use crate::chain::{MempoolEvent, RemovalReason};
