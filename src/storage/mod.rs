//! The disk: one RocksDB with typed columns, the only place that knows it.
//!
//! A connected block, or a whole reorg, is one [`Batch`], so that after any crash the columns belong to one tip. Keys are
//! big-endian, so that their order is the order of heights. Records are private to a data folder and versioned by
//! [`SCHEMA_VERSION`].
//!
//! Every value but the schema version is followed by a CRC-32 of column, key and value (`seal`), which every read compares.
//!
//! | column | key | value |
//! |---|---|---|
//! | `meta` | name | schema version, chain id, chain spec, coin stats |
//! | `headers` | block hash | [`HeaderRecord`] |
//! | `bodies` | block hash | the block's consensus bytes |
//! | `undo` | block hash | the coins it spent |
//! | `heights` | height (u32) | hash of the active chain's block |
//! | `coins` | txid, output index (u32) | [`Coin`](crate::primitives::Coin) |
//! | `address_coins` | key hash, txid, output index | the same coin |
//! | `address_history` | key hash, height, place in block (u32 each) | txid |
//! | `transactions` | txid | block hash, place in block |

mod batch;
mod codec;
mod error;
mod keys;
mod records;
mod seal;
mod settings;
mod store;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use error::StorageError;
pub use records::{BodyState, HeaderRecord, TransactionRecord};
pub use store::{Difference, Durability, HistoryRow, Identity, SCHEMA_VERSION, Scan, Store};
