//! The table of methods: one file a category, one row a method.
//!
//! Names, parameters, results and error codes are Bitcoin Core's. Those marked "Quarry:" in their help have no counterpart there.

mod block_template;
mod blockchain;
mod control;
mod mempool;
mod mining;
mod network;
mod transactions;
mod util;
mod wallet;

use std::fmt::Display;

use super::error::{RpcError, code};
use super::method::Method;

/// All methods, by category, in the order of the help.
pub(super) static CATEGORIES: &[(&str, &[Method])] = &[
    ("Blockchain", blockchain::METHODS),
    ("Control", control::METHODS),
    ("Mempool", mempool::METHODS),
    ("Mining", mining::METHODS),
    ("Network", network::METHODS),
    ("Rawtransactions", transactions::METHODS),
    ("Util", util::METHODS),
    ("Wallet", wallet::METHODS),
];

/// The method of this name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    let mut all = CATEGORIES.iter().flat_map(|(_, methods)| methods.iter());
    all.find(|method| method.name == name)
}

/// Passes on what was read from the disk; its failures are nobody's fault who asks.
pub(super) fn stored<T, E: Display>(result: Result<T, E>) -> Result<T, RpcError> {
    result.map_err(|error| RpcError::new(code::DATABASE_ERROR, format!("database: {error}")))
}
