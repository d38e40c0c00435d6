//! Priorities: an operator lets a transaction count as if it paid more, or less (`prioritisetransaction`).
//!
//! A priority decides what is mined, kept and taken here; nobody pays it, and peers do not learn of it. It may be given before its
//! transaction comes, and is forgotten when a block takes that.

use super::pool::Pool;
use crate::primitives::{Amount, Txid};

/// The most priorities at a time: about a megabyte. They come from the operator alone, by RPC.
const MAX_PRIORITIES: usize = 10_000;

/// There are too many priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_PRIORITIES} transactions have a priority already; take one of them back by its negative"
)]
pub struct TooManyPriorities;

/// The priority of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// The transaction.
    pub txid: Txid,
    /// By how many base units its fee counts for more, or for less.
    pub delta: i64,
    /// What it pays, if it waits here.
    pub fee: Option<Amount>,
}

impl Pool {
    /// Adds to the priority of a transaction, here or not, in base units.
    ///
    /// # Errors
    /// [`TooManyPriorities`].
    pub fn prioritise(&mut self, txid: Txid, delta: i64) -> Result<(), TooManyPriorities> {
        let before = self.priority_of(&txid);
        let after = before.saturating_add(delta);
        if after == 0 {
            self.priorities.remove(&txid);
        } else if before == 0 && self.priorities.len() >= MAX_PRIORITIES {
            return Err(TooManyPriorities);
        } else {
            self.priorities.insert(txid, after);
        }
        let change = i128::from(after) - i128::from(before);
        let Some(entry) = self.entries.get(&txid) else {
            return Ok(());
        };
        let ancestors = self.ancestors_of(&entry.parents);
        for ancestor in ancestors {
            self.update(&ancestor, |entry| entry.descendants.fee += change);
        }
        for descendant in self.descendants_of(&txid) {
            self.update(&descendant, |entry| entry.ancestors.fee += change);
        }
        self.update(&txid, |entry| {
            entry.priority = after;
            for sums in [&mut entry.own, &mut entry.ancestors, &mut entry.descendants] {
                sums.fee += change;
            }
        });
        Ok(())
    }

    /// The priority of a transaction; 0 for those that have none.
    pub(super) fn priority_of(&self, txid: &Txid) -> i64 {
        self.priorities.get(txid).copied().unwrap_or(0)
    }

    /// Every priority.
    pub fn priorities(&self) -> Vec<Priority> {
        let priority = |(txid, delta): (&Txid, &i64)| Priority {
            txid: *txid,
            delta: *delta,
            fee: self.entries.get(txid).map(|entry| entry.fee),
        };
        self.priorities.iter().map(priority).collect()
    }
}
