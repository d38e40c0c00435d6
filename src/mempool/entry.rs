//! One transaction in the pool.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::admission::Candidate;
use super::rate::{FeeRate, Rank};
use crate::primitives::{Amount, Coin, OutPoint, Transaction, Txid};

/// Memory of an entry beyond its bytes: the structures, their places in four indexes, the allocator's share. Measured generously:
/// the limit must hold for the process, not for the estimate.
const ENTRY_OVERHEAD: u64 = 1000;
/// Memory of an input beyond its bytes: the place in the index of spent coins, the coin.
const INPUT_OVERHEAD: u64 = 200;
/// Memory of an output beyond its bytes.
const OUTPUT_OVERHEAD: u64 = 50;

/// Sums over a set of transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Package {
    /// How many there are.
    pub count: u64,
    /// Their encoded bytes.
    pub size: u64,
    /// Their signature operations.
    pub sigops: u64,
    /// Their fees in base units, with the priorities that were given to them (`prioritisetransaction`).
    pub fee: i128,
}

impl Package {
    /// Fees by bytes.
    pub fn rate(&self) -> FeeRate {
        FeeRate::new(self.fee, self.size)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.size += other.size;
        self.sigops += other.sigops;
        self.fee += other.fee;
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        self.count -= other.count;
        self.size -= other.size;
        self.sigops -= other.sigops;
        self.fee -= other.fee;
    }
}

/// A transaction with its place in the graph.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) tx: Arc<Transaction>,
    pub(super) txid: Txid,
    pub(super) fee: Amount,
    /// By how many base units its fee counts for more, or for less.
    pub(super) priority: i64,
    /// The transaction alone.
    pub(super) own: Package,
    /// The coins it spends, in the order of its inputs.
    pub(super) spent: Vec<Coin>,
    /// When it came, in seconds since 1970.
    pub(super) time: u64,
    /// The height of the tip when it came.
    pub(super) height: u32,
    pub(super) local: bool,
    /// Whether peers were to be told of it when it came.
    pub(super) relay: bool,
    /// Its number in the order of arrival.
    pub(super) arrival: u64,
    /// The transactions in the pool whose outputs it spends.
    pub(super) parents: BTreeSet<Txid>,
    /// The transactions in the pool that spend its outputs.
    pub(super) children: BTreeSet<Txid>,
    /// Itself and everything in the pool that it depends on.
    pub(super) ancestors: Package,
    /// Itself and everything in the pool that depends on it.
    pub(super) descendants: Package,
}

impl Entry {
    pub(super) fn new(candidate: Candidate, arrival: u64) -> Self {
        let own = Package {
            count: 1,
            size: candidate.size,
            sigops: candidate.sigops,
            fee: i128::from(candidate.fee.units()) + i128::from(candidate.priority),
        };
        Self {
            tx: candidate.tx,
            txid: candidate.txid,
            fee: candidate.fee,
            priority: candidate.priority,
            own,
            spent: candidate.spent,
            time: candidate.time,
            height: candidate.height,
            local: candidate.local,
            relay: candidate.relay,
            arrival,
            parents: candidate.parents,
            children: BTreeSet::new(),
            ancestors: own,
            descendants: own,
        }
    }

    /// The place in the order of mining: the rate of the whole that must be mined for it, or its own where that is less, so that a
    /// child never counts for more than it pays (Bitcoin Core, `CompareTxMemPoolEntryByAncestorFee`).
    pub(super) fn mining_rank(&self) -> Rank {
        self.rank(mining_rate(&self.own, &self.ancestors))
    }

    /// The place in the order of keeping: the rate of the whole that would go with it, or its own where that is more (Bitcoin Core,
    /// `CompareTxMemPoolEntryByDescendantScore`).
    pub(super) fn keeping_rank(&self) -> Rank {
        self.rank(self.own.rate().max(self.descendants.rate()))
    }

    pub(super) const fn rank(&self, rate: FeeRate) -> Rank {
        Rank {
            rate,
            arrival: Reverse(self.arrival),
            txid: self.txid,
        }
    }

    /// The transaction alone, without its priority.
    pub(super) fn as_paid(&self) -> Package {
        Package {
            fee: self.fee.units().into(),
            ..self.own
        }
    }

    /// The memory it takes, in bytes, estimated from above.
    pub(super) fn usage(&self) -> u64 {
        let (inputs, outputs) = (self.tx.inputs.len() as u64, self.tx.outputs.len() as u64);
        ENTRY_OVERHEAD + self.own.size + inputs * INPUT_OVERHEAD + outputs * OUTPUT_OVERHEAD
    }

    pub(super) fn outpoints(&self) -> impl Iterator<Item = OutPoint> {
        self.tx.inputs.iter().map(|input| input.previous_output)
    }

    pub(super) fn info(&self) -> EntryInfo {
        EntryInfo {
            txid: self.txid,
            fee: self.fee,
            priority: self.priority,
            size: self.own.size,
            sigops: self.own.sigops,
            time: self.time,
            height: self.height,
            local: self.local,
            depends: self.parents.iter().copied().collect(),
            spent_by: self.children.iter().copied().collect(),
            ancestors: self.ancestors,
            descendants: self.descendants,
        }
    }
}

/// The rate by which a transaction is mined, of its own sums and those with all that it still needs.
pub(super) fn mining_rate(own: &Package, needed: &Package) -> FeeRate {
    own.rate().min(needed.rate())
}

/// What there is to know of a transaction in the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo {
    /// Its id.
    pub txid: Txid,
    /// Its fee.
    pub fee: Amount,
    /// By how many base units it counts for more, or for less (`prioritisetransaction`).
    pub priority: i64,
    /// Its encoded size in bytes.
    pub size: u64,
    /// Its signature operations.
    pub sigops: u64,
    /// When it came, in seconds since 1970.
    pub time: u64,
    /// The height of the tip when it came.
    pub height: u32,
    /// Whether it was made on this node.
    pub local: bool,
    /// The transactions in the pool whose outputs it spends.
    pub depends: Vec<Txid>,
    /// The transactions in the pool that spend its outputs.
    pub spent_by: Vec<Txid>,
    /// Itself and everything in the pool that it depends on.
    pub ancestors: Package,
    /// Itself and everything in the pool that depends on it.
    pub descendants: Package,
}
