//! The part of the pool that a block may be chosen from: always the package (a transaction with what it still needs) of the
//! highest fee rate next, parents before children (Bitcoin Core, `addPackageTxs`).

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::mempool::entry::{Entry, Package, mining_rate};
use crate::mempool::pool::Pool;
use crate::mempool::rate::Rank;
use crate::primitives::Txid;

/// Transactions that are looked at in any case: a small pool is looked at whole.
const LEAST: usize = 1_000;

/// A selection under way.
#[derive(Default)]
struct Selection<'a> {
    chosen: Vec<&'a Entry>,
    /// Those of the chosen that have relatives in the pool; others cannot be met twice.
    taken: HashSet<Txid>,
    /// What can never fit.
    misfits: HashSet<Txid>,
    /// What those still need of which some ancestors were taken, and their order.
    needed: HashMap<Txid, Package>,
    order: BTreeSet<Rank>,
    size: u64,
}

impl Pool {
    /// The best `bytes` of the pool and at least [`LEAST`] transactions, or a package more; all of it where that is less. Packages above `max_package` bytes are left
    /// out, as are those that pay less than nothing.
    pub(super) fn window(&self, bytes: u64, max_package: u64) -> Vec<&Entry> {
        let mut selection = Selection::default();
        let mut untouched = self.for_mining.iter().rev().peekable();
        while selection.size < bytes || selection.chosen.len() < LEAST {
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
            if best.rate.is_negative() {
                break;
            }
            if untouched.peek() == Some(&&best) {
                untouched.next();
            }
            let Some(entry) = self.entries.get(&best.txid) else {
                continue;
            };
            selection.order.remove(&best);
            let needed = selection.needed.get(&best.txid);
            let package = needed.copied().unwrap_or(entry.ancestors);
            if package.size > max_package {
                selection.misfits.insert(best.txid);
                continue;
            }
            selection.take(self, entry, &package);
        }
        selection.chosen
    }
}

impl<'a> Selection<'a> {
    /// Whether the order by which the pool keeps a transaction no longer speaks for it here.
    fn is_settled(&self, txid: &Txid) -> bool {
        self.taken.contains(txid) || self.misfits.contains(txid) || self.needed.contains_key(txid)
    }

    /// Takes a package, parents first, and corrects what depends on it.
    fn take(&mut self, pool: &'a Pool, entry: &'a Entry, package: &Package) {
        self.size += package.size;
        if entry.parents.is_empty() && entry.children.is_empty() {
            self.chosen.push(entry);
            return;
        }
        let ancestors = pool.ancestors_of(&entry.parents);
        let mut group: Vec<&Entry> = ancestors
            .iter()
            .filter(|txid| !self.taken.contains(*txid))
            .filter_map(|txid| pool.entries.get(txid))
            .collect();
        group.push(entry);
        group.sort_by_key(|entry| (entry.ancestors.count, entry.arrival));
        for entry in &group {
            self.taken.insert(entry.txid);
            if let Some(needed) = self.needed.remove(&entry.txid) {
                self.order
                    .remove(&entry.rank(mining_rate(&entry.own, &needed)));
            }
        }
        for entry in &group {
            self.release_descendants(pool, entry);
        }
        self.chosen.extend(group);
    }

    /// A taken transaction is no longer needed by its descendants.
    fn release_descendants(&mut self, pool: &'a Pool, taken: &Entry) {
        for descendant in pool.descendants_of(&taken.txid) {
            if self.taken.contains(&descendant) || self.misfits.contains(&descendant) {
                continue;
            }
            let Some(entry) = pool.entries.get(&descendant) else {
                continue;
            };
            let needed = self.needed.entry(descendant).or_insert(entry.ancestors);
            self.order
                .remove(&entry.rank(mining_rate(&entry.own, needed)));
            needed.subtract(&taken.own);
            self.order
                .insert(entry.rank(mining_rate(&entry.own, needed)));
        }
    }
}
