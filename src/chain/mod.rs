//! The engine: the one place where rules and disk meet, and the single writer of both.
//!
//! [`open`] starts the OS thread `chain`, which owns the engine until [`ChainHandle::stop`]. Others hold a [`ChainHandle`] to
//! submit headers and blocks, a [`ChainReader`] for everything that is known, and an [`EventReader`] for what happens.
//!
//! | where | what |
//! |---|---|
//! | `tree` | every known header, and which chain of them is the best (no I/O) |
//! | `engine` | judging headers and blocks |
//! | `activation` | going over to the best chain |
//! | `transition` | connecting and disconnecting blocks: one batch from the old tip to the new one |
//! | `catch_up` | many old blocks in one batch |
//! | `coin_cache` | coins in memory while catching up |
//! | `scripts` | the threads that verify scripts |
//! | `prepared` | a block with the work done that needs no chain |
//! | `proposal` | whether a block would be taken, but for its proof of work |
//! | `writer`, `handle` | the thread and its commands |
//! | `clock` | where the time comes from |
//! | `reader` | questions that many tasks ask at once |
//! | `events` | the numbered stream of everything that happens in the node |
//! | `consistency` | whether the records of the tip agree, at every opening |
//! | `suspicion` | whether a block is wrong, or our own store |
//! | `audit`, `row_sum`, `revalidate` | everything that follows from the blocks, compared with what is stored |
//! | `reindex` | the chain built anew from stored bodies and headers |
//! | `inspect` | a look at a database that changes nothing |

mod activation;
mod audit;
mod catch_up;
mod clock;
mod coin_cache;
mod consistency;
mod engine;
mod error;
mod events;
mod handle;
mod inspect;
mod prepared;
mod proposal;
mod reader;
mod reindex;
mod revalidate;
mod row_sum;
mod scripts;
mod signature_cache;
mod suspicion;
mod transition;
mod tree;
mod writer;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use audit::{Audit, ColumnAudit};
pub use clock::{Clock, SettableClock, system_clock};
pub use engine::{BlockAccepted, HeadersAccepted};
pub use error::{ChainError, SubmitError};
pub use events::{
    ChainEvent, Event, EventLog, EventReader, Lagged, MempoolEvent, PeerEvent, RemovalReason,
};
pub use handle::{BlockAnswer, ChainHandle};
pub use inspect::{Inspection, inspect};
pub use prepared::PreparedBlock;
pub use proposal::ProposalError;
pub use reader::{AllCoins, ChainReader, HeaderInfo, Tip, TxLocation};
pub use reindex::{Outcome, Progress, ReindexError, Reindexed, reindex};
pub use revalidate::Revalidation;
pub use row_sum::RowSum;
pub use signature_cache::SignatureCache;
pub use tree::{ChainTip, TipStatus};
pub use writer::{ChainOptions, ChainWriter, WriterFailure, open};
