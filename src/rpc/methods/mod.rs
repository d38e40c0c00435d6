//! The table of methods: one file a category, one row a method.
//!
//! Names, parameters, results and error codes are Bitcoin Core's. Those marked "Quarry:" in their help have no counterpart there.

mod block_template;
mod blockchain;
mod blocks;
mod coins;
mod control;
mod generating;
mod mempool;
mod mining;
mod network;
mod omitted;
mod packages;
mod peers;
mod raw;
mod transactions;
mod util;
mod verify;
mod waiting;
mod wallet;

use std::fmt::Display;

use super::error::{RpcError, code};
use super::method::{Answer, Call, Method};

pub(super) use omitted::{OMITTED, reason};

/// All methods by category, in the order of the help. A category may have several files, and so several lines here.
static CATEGORIES: &[(&str, &[Method])] = &[
    ("Blockchain", blockchain::METHODS),
    ("Blockchain", blocks::METHODS),
    ("Blockchain", coins::METHODS),
    ("Blockchain", verify::METHODS),
    ("Blockchain", waiting::METHODS),
    ("Control", control::METHODS),
    ("Generating", generating::METHODS),
    ("Mempool", mempool::METHODS),
    ("Mining", mining::METHODS),
    ("Network", network::METHODS),
    ("Network", peers::METHODS),
    ("Rawtransactions", packages::METHODS),
    ("Rawtransactions", raw::METHODS),
    ("Rawtransactions", transactions::METHODS),
    ("Rawtransactions", wallet::RAW_METHODS),
    ("Util", util::METHODS),
    ("Util", wallet::UTIL_METHODS),
    ("Wallet", wallet::METHODS),
];

/// The method of this name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    let mut all = CATEGORIES.iter().flat_map(|(_, methods)| methods.iter());
    all.find(|method| method.name == name)
}

/// Answers several calls of one method.
pub(super) type Together = fn(&[Call<'_>]) -> Vec<Answer>;

/// How neighbours of a method in a batch are answered together, where that is quicker: as if one after the other, in order.
pub(super) fn together(name: &str) -> Option<Together> {
    (name == "sendrawtransaction").then_some(transactions::send)
}

/// The categories, each with its methods in the order of their names.
pub(super) fn by_category() -> Vec<(&'static str, Vec<&'static Method>)> {
    let mut sorted: Vec<(&str, Vec<&Method>)> = Vec::new();
    for (category, methods) in CATEGORIES {
        let known = sorted.iter_mut().find(|(name, _)| name == category);
        match known {
            Some((_, list)) => list.extend(*methods),
            None => sorted.push((category, methods.iter().collect())),
        }
    }
    for (_, list) in &mut sorted {
        list.sort_by_key(|method| method.name);
    }
    sorted
}

/// Passes on what was read from the disk; its failures are nobody's fault who asks.
pub(super) fn stored<T, E: Display>(result: Result<T, E>) -> Result<T, RpcError> {
    result.map_err(|error| RpcError::new(code::DATABASE_ERROR, format!("database: {error}")))
}
