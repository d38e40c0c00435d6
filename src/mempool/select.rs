//! What the next block takes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::entry::{Package, mining_rate};
use super::pool::Pool;
use super::rate::Rank;
use crate::primitives::{Amount, BlockHash, Transaction, Txid};

/// After so many packages in a row that do not fit, a nearly full block is left as it is (Bitcoin Core,
/// `MAX_CONSECUTIVE_FAILURES`).
const MAX_MISFITS: u32 = 1000;
/// A block with less room than this, in bytes, is nearly full.
const NEARLY_FULL: u64 = 1000;

/// A transaction for a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateTx {
    /// The transaction.
    pub tx: Arc<Transaction>,
    /// Its id.
    pub txid: Txid,
    /// Its fee.
    pub fee: Amount,
    /// Its signature operations.
    pub sigops: u64,
    /// Its encoded size in bytes.
    pub size: u64,
}

/// Transactions that are valid, in this order, in a block on `tip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateTransactions {
    /// The parent of the block.
    pub tip: BlockHash,
    /// The transactions, without a coinbase.
    pub transactions: Vec<TemplateTx>,
}

/// A selection under way.
#[derive(Default)]
struct Selection {
    chosen: Vec<Txid>,
    taken: HashSet<Txid>,
    /// What did not fit.
    misfits: HashSet<Txid>,
    /// What those still need of which some ancestors were taken, and their order.
    needed: HashMap<Txid, Package>,
    order: BTreeSet<Rank>,
    size: u64,
    sigops: u64,
}

impl Pool {
    /// The transactions for a block with room for `max_bytes` and `max_sigops`: always the package (a transaction with what it
    /// still needs) of the highest fee rate that fits, parents before children (Bitcoin Core, `addPackageTxs`).
    pub fn template(&self, max_bytes: u64, max_sigops: u64) -> TemplateTransactions {
        let mut selection = Selection::default();
        let mut untouched = self.for_mining.iter().rev().peekable();
        let mut misfits = 0;
        loop {
            while untouched
                .next_if(|rank| selection.is_settled(&rank.txid))
                .is_some()
            {}
            let touched = selection.order.last();
            let best = match (untouched.peek(), touched) {
                (Some(first), Some(second)) => **first.max(&second),
                (Some(first), None) => **first,
                (None, Some(second)) => *second,
                (None, None) => break,
            };
            let package = selection.take_package(self, &best);
            if selection.size + package.size > max_bytes
                || selection.sigops + package.sigops > max_sigops
            {
                selection.misfits.insert(best.txid);
                misfits += 1;
                if misfits > MAX_MISFITS && selection.size + NEARLY_FULL > max_bytes {
                    break;
                }
                continue;
            }
            misfits = 0;
            selection.take(self, &best.txid, &package);
        }
        let transactions = selection.chosen.iter().filter_map(|txid| {
            let entry = self.entries.get(txid)?;
            Some(TemplateTx {
                tx: Arc::clone(&entry.tx),
                txid: entry.txid,
                fee: entry.fee,
                sigops: entry.own.sigops,
                size: entry.own.size,
            })
        });
        TemplateTransactions {
            tip: self.tip,
            transactions: transactions.collect(),
        }
    }
}

impl Selection {
    /// Whether the order by which the pool keeps a transaction no longer speaks for it here.
    fn is_settled(&self, txid: &Txid) -> bool {
        self.taken.contains(txid) || self.misfits.contains(txid) || self.needed.contains_key(txid)
    }

    /// What a transaction still needs, itself included; it leaves the order.
    fn take_package(&mut self, pool: &Pool, rank: &Rank) -> Package {
        self.order.remove(rank);
        let whole = || pool.entries.get(&rank.txid).map(|entry| entry.ancestors);
        let needed = self.needed.get(&rank.txid).copied();
        needed.or_else(whole).unwrap_or_default()
    }

    /// Takes a package, parents first, and corrects what depends on it.
    fn take(&mut self, pool: &Pool, txid: &Txid, package: &Package) {
        self.size += package.size;
        self.sigops += package.sigops;
        let mut group = pool
            .entries
            .get(txid)
            .map_or_else(Vec::new, |entry| pool.ancestors_of(&entry.parents));
        group.retain(|txid| !self.taken.contains(txid));
        group.push(*txid);
        group.sort_by_key(|txid| {
            pool.entries
                .get(txid)
                .map(|entry| (entry.ancestors.count, entry.arrival))
        });
        for txid in &group {
            self.taken.insert(*txid);
            if let (Some(entry), Some(needed)) = (pool.entries.get(txid), self.needed.remove(txid))
            {
                self.order
                    .remove(&entry.rank(mining_rate(&entry.own, &needed)));
            }
        }
        for txid in &group {
            self.release_descendants(pool, txid);
        }
        self.chosen.extend(group);
    }

    /// A taken transaction is no longer needed by its descendants.
    fn release_descendants(&mut self, pool: &Pool, txid: &Txid) {
        let Some(own) = pool.entries.get(txid).map(|entry| entry.own) else {
            return;
        };
        for descendant in pool.descendants_of(txid) {
            if self.taken.contains(&descendant) || self.misfits.contains(&descendant) {
                continue;
            }
            let Some(entry) = pool.entries.get(&descendant) else {
                continue;
            };
            let needed = self.needed.entry(descendant).or_insert(entry.ancestors);
            self.order
                .remove(&entry.rank(mining_rate(&entry.own, needed)));
            needed.subtract(&own);
            self.order
                .insert(entry.rank(mining_rate(&entry.own, needed)));
        }
    }
}
