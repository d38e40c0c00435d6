//! What the next block takes.
//!
//! Where everything that waits fits, it is all taken. Else the choice is a knapsack whose items depend on each other, and it is
//! made in four steps, each exact where the pool is small and bounded where it is not:
//! 1. `window`: the best of the pool by the sums that every entry carries (Bitcoin Core, `addPackageTxs`), twice what fits; of a small
//!    pool all.
//! 2. `chunks`: each cluster of related transactions is cut into chunks of falling fee rate. For clusters of up to 64 these are the
//!    best there are (`closure`), so that siblings pay for a parent together.
//! 3. Chunks by rate, as long as they fit; then smaller ones into the rest.
//! 4. `search`: where the rest that is left empty could be worth something, the transactions around the edge are chosen anew, by
//!    branch and bound.

mod chunks;
mod closure;
mod search;
mod window;

use std::sync::Arc;

use super::entry::Entry;
use super::pool::Pool;
use crate::primitives::{Amount, BlockHash, Transaction, Txid};
use chunks::{Chunk, Item, Measure};

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

/// Room in a block, or what is used of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Room {
    bytes: u64,
    sigops: u64,
}

impl Room {
    const fn with(self, bytes: u64, sigops: u64) -> Self {
        Self {
            bytes: self.bytes + bytes,
            sigops: self.sigops + sigops,
        }
    }

    const fn fits_in(self, limit: Self) -> bool {
        self.bytes <= limit.bytes && self.sigops <= limit.sigops
    }
}

impl Pool {
    /// The transactions for a block with room for `max_bytes` and `max_sigops`, parents before children. A package whose priority
    /// makes its fees negative is left out.
    pub fn template(&self, max_bytes: u64, max_sigops: u64) -> TemplateTransactions {
        let room = Room {
            bytes: max_bytes,
            sigops: max_sigops,
        };
        let window = self.window(max_bytes.saturating_mul(2), max_bytes);
        let chosen = choose(window, room);
        let transactions = chosen.into_iter().map(|entry| TemplateTx {
            tx: Arc::clone(&entry.tx),
            txid: entry.txid,
            fee: entry.fee,
            sigops: entry.own.sigops,
            size: entry.own.size,
        });
        TemplateTransactions {
            tip: self.tip,
            transactions: transactions.collect(),
        }
    }
}

/// The best of `window` for a block, in an order that a block may have.
fn choose(window: Vec<&Entry>, room: Room) -> Vec<&Entry> {
    let whole = window.iter().fold(Room::default(), |used, entry| {
        used.with(entry.own.size, entry.own.sigops)
    });
    if whole.fits_in(room) {
        return window;
    }
    let measure = Measure::new(whole, room);
    let items = chunks::items(&window, &measure);
    let chunks = chunks::by_rate(&items);
    let mut taken = vec![false; items.len()];
    let mut used = Room::default();
    let mut edge = chunks.len();
    for (place, chunk) in chunks.iter().enumerate() {
        if !used.with(chunk.bytes, chunk.sigops).fits_in(room) {
            edge = place;
            break;
        }
        take(chunk, &mut taken, &mut used);
    }
    let prefix = (taken.clone(), used);
    fill(&chunks[edge..], &items, &mut taken, &mut used, room);
    let better = search::improve(&search::Edge {
        items: &items,
        chunks: &chunks,
        edge,
        room,
        measure: &measure,
        filled: &taken,
        prefix,
    });
    let taken = better.unwrap_or(taken);
    let order = chunks.iter().flat_map(|chunk| &chunk.items);
    order
        .filter(|item| taken[**item])
        .map(|item| window[*item])
        .collect()
}

fn take(chunk: &Chunk, taken: &mut [bool], used: &mut Room) {
    for item in &chunk.items {
        taken[*item] = true;
    }
    *used = used.with(chunk.bytes, chunk.sigops);
}

/// Takes of `chunks`, best first, those that still fit and whose parents are taken.
fn fill(chunks: &[Chunk], items: &[Item<'_>], taken: &mut [bool], used: &mut Room, room: Room) {
    for chunk in chunks {
        let fits = used.with(chunk.bytes, chunk.sigops).fits_in(room);
        let has_parents = || {
            let mut parents = chunk.items.iter().flat_map(|item| &items[*item].parents);
            parents.all(|parent| taken[*parent] || chunk.items.contains(parent))
        };
        if fits && has_parents() {
            take(chunk, taken, used);
        }
    }
}
