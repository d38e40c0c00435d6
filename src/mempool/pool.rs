//! The graph of waiting transactions, with its sums and its two orders.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::admission::Candidate;
use super::entry::{Entry, EntryInfo, Package};
use super::error::RejectError;
use super::estimate::Estimator;
use super::eviction::Floor;
use super::handle::AddressDelta;
use super::policy::Policy;
use super::rate::Rank;
use super::reorg::Returned;
use crate::chain::{MempoolEvent, RemovalReason};
use crate::primitives::{Amount, BlockHash, OutPoint, PubkeyHash, Transaction, Txid};

/// Figures of the whole pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MempoolInfo {
    /// Whether the file of the last run has been taken in.
    pub is_loaded: bool,
    /// How many transactions there are.
    pub count: usize,
    /// Their encoded bytes.
    pub bytes: u64,
    /// The memory they take, in bytes, estimated from above.
    pub usage: u64,
    /// The most memory they may take.
    pub max_usage: u64,
    /// Their fees.
    pub total_fee: Amount,
    /// What a transaction must pay now, in base units for 1000 bytes.
    pub min_fee_rate: u64,
    /// What a transaction must pay at any time, in base units for 1000 bytes.
    pub min_relay_fee: u64,
    /// By how much a replacement must pay more, in base units for 1000 bytes.
    pub incremental_fee: u64,
}

/// The waiting transactions.
///
/// Every change is recorded as an event; the owner takes them by [`Pool::take_events`] and publishes them.
#[derive(Debug)]
pub struct Pool {
    pub(super) policy: Policy,
    pub(super) entries: HashMap<Txid, Entry>,
    /// Which transaction spends a coin.
    pub(super) spends: HashMap<OutPoint, Txid>,
    /// The order of mining, the best last.
    pub(super) for_mining: BTreeSet<Rank>,
    /// The order of keeping, the first to go first.
    pub(super) for_keeping: BTreeSet<Rank>,
    pub(super) arrivals: u64,
    /// Sums over all entries, as they pay.
    pub(super) total: Package,
    pub(super) usage: u64,
    pub(super) floor: Floor,
    /// By how much fees count for more, of what waits and of what may come.
    pub(super) priorities: BTreeMap<Txid, i64>,
    /// Blocks that were disconnected and whose transactions have not come back yet.
    pub(super) returned: Returned,
    pub(super) tip: BlockHash,
    pub(super) estimator: Estimator,
    /// Whether the file of the last run has been taken in.
    pub(super) is_loaded: bool,
    pub(super) events: Vec<MempoolEvent>,
    /// How many were taken before.
    events_taken: u64,
}

impl Pool {
    /// An empty pool above `tip`.
    pub fn new(policy: Policy, tip: BlockHash) -> Self {
        Self {
            policy,
            entries: HashMap::new(),
            spends: HashMap::new(),
            for_mining: BTreeSet::new(),
            for_keeping: BTreeSet::new(),
            arrivals: 0,
            total: Package::default(),
            usage: 0,
            floor: Floor::default(),
            priorities: BTreeMap::new(),
            returned: Returned::default(),
            tip,
            estimator: Estimator::default(),
            is_loaded: true,
            events: Vec::new(),
            events_taken: 0,
        }
    }

    /// The tip that everything in here was judged against.
    pub const fn tip(&self) -> BlockHash {
        self.tip
    }

    /// What has changed since the last call, in order.
    pub fn take_events(&mut self) -> Vec<MempoolEvent> {
        self.events_taken += self.events.len() as u64;
        std::mem::take(&mut self.events)
    }

    /// The number of the next change, counted from 1 (Bitcoin Core, `mempool_sequence`).
    pub const fn sequence(&self) -> u64 {
        1 + self.events_taken + self.events.len() as u64
    }

    /// Takes a transaction whose scripts were verified, and makes room for it. `now` is in seconds since 1970.
    ///
    /// The pool must not have changed since the candidate was checked.
    ///
    /// # Errors
    /// [`RejectError::Full`] where it is the least worth keeping.
    pub fn insert(&mut self, candidate: Candidate, now: u64) -> Result<(), RejectError> {
        let txid = candidate.txid;
        for replaced in &candidate.replaced.direct {
            self.remove_with_descendants(replaced, RemovalReason::Replaced);
        }
        self.insert_quietly(candidate);
        self.welcome(&[txid], now);
        if self.entries.contains_key(&txid) {
            Ok(())
        } else {
            Err(RejectError::Full)
        }
    }

    /// Makes room after transactions were linked in, and tells of those that are kept.
    pub(super) fn welcome(&mut self, newcomers: &[Txid], now: u64) {
        let gone = self.make_room(now);
        for entry in newcomers.iter().filter_map(|txid| self.entries.get(txid)) {
            if entry.parents.is_empty() {
                let rate = entry.as_paid().rate().per_kilobyte();
                self.estimator.arrived(entry.txid, rate, entry.height);
            }
            self.events.push(MempoolEvent::Added {
                tx: Arc::clone(&entry.tx),
                txid: entry.txid,
                fee: entry.fee,
                local: entry.local,
                relay: entry.relay,
            });
        }
        let others = gone.into_iter().filter(|gone| !newcomers.contains(gone));
        self.events.extend(others.map(|txid| MempoolEvent::Removed {
            txid,
            reason: RemovalReason::Evicted,
        }));
    }

    /// Links a transaction in, without making room or telling.
    pub(super) fn insert_quietly(&mut self, candidate: Candidate) {
        let mut entry = Entry::new(candidate, self.arrivals);
        self.arrivals += 1;
        let ancestors = self.ancestors_of(&entry.parents);
        for ancestor in &ancestors {
            let own = self.entries[ancestor].own;
            entry.ancestors.add(&own);
            self.update(ancestor, |ancestor| ancestor.descendants.add(&entry.own));
        }
        for parent in &entry.parents {
            if let Some(parent) = self.entries.get_mut(parent) {
                parent.children.insert(entry.txid);
            }
        }
        for outpoint in entry.outpoints() {
            self.spends.insert(outpoint, entry.txid);
        }
        self.for_mining.insert(entry.mining_rank());
        self.for_keeping.insert(entry.keeping_rank());
        self.total.add(&entry.as_paid());
        self.usage += entry.usage();
        self.entries.insert(entry.txid, entry);
    }

    /// Unlinks one transaction and corrects the sums of its kin. What depends on it stays.
    ///
    /// Nothing that it depends on may stay if anything that depends on it does; callers take whole descendancies, or what a block
    /// confirms, ancestors first.
    pub(super) fn unlink(&mut self, txid: &Txid) -> Option<Entry> {
        let descendants = self.descendants_of(txid);
        let entry = self.entries.remove(txid)?;
        self.for_mining.remove(&entry.mining_rank());
        self.for_keeping.remove(&entry.keeping_rank());
        for ancestor in self.ancestors_of(&entry.parents) {
            self.update(&ancestor, |ancestor| {
                ancestor.descendants.subtract(&entry.own)
            });
        }
        for descendant in descendants {
            self.update(&descendant, |descendant| {
                descendant.ancestors.subtract(&entry.own)
            });
        }
        for parent in &entry.parents {
            if let Some(parent) = self.entries.get_mut(parent) {
                parent.children.remove(txid);
            }
        }
        for child in &entry.children {
            if let Some(child) = self.entries.get_mut(child) {
                child.parents.remove(txid);
            }
        }
        for outpoint in entry.outpoints() {
            self.spends.remove(&outpoint);
        }
        self.total.subtract(&entry.as_paid());
        self.usage -= entry.usage();
        self.estimator.dropped(txid);
        Some(entry)
    }

    /// Removes a transaction and everything that depends on it; returns their ids.
    pub(super) fn unlink_with_descendants(&mut self, txid: &Txid) -> Vec<Txid> {
        let mut all = self.descendants_of(txid);
        all.push(*txid);
        // The later in the graph the more ancestors, so children go before their parents.
        all.sort_by_key(|txid| {
            std::cmp::Reverse(self.entries.get(txid).map(|entry| entry.ancestors.count))
        });
        all.retain(|txid| self.unlink(txid).is_some());
        all
    }

    pub(super) fn remove_with_descendants(&mut self, txid: &Txid, reason: RemovalReason) {
        for txid in self.unlink_with_descendants(txid) {
            self.events.push(MempoolEvent::Removed { txid, reason });
        }
    }

    /// Changes an entry's sums and keeps both orders right.
    pub(super) fn update(&mut self, txid: &Txid, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(txid) else {
            return;
        };
        let before = (entry.mining_rank(), entry.keeping_rank());
        change(entry);
        let after = (entry.mining_rank(), entry.keeping_rank());
        self.for_mining.remove(&before.0);
        self.for_mining.insert(after.0);
        self.for_keeping.remove(&before.1);
        self.for_keeping.insert(after.1);
    }

    /// Everything in the pool that a transaction with these parents depends on, the parents included.
    pub(super) fn ancestors_of(&self, parents: &BTreeSet<Txid>) -> Vec<Txid> {
        self.reach(parents, |entry| &entry.parents)
    }

    /// Everything in the pool that depends on a transaction, itself not included.
    pub(super) fn descendants_of(&self, txid: &Txid) -> Vec<Txid> {
        let children = self.entries.get(txid).map(|entry| &entry.children);
        children.map_or_else(Vec::new, |children| {
            self.reach(children, |entry| &entry.children)
        })
    }

    fn reach(&self, start: &BTreeSet<Txid>, next: impl Fn(&Entry) -> &BTreeSet<Txid>) -> Vec<Txid> {
        let mut found: Vec<Txid> = start.iter().copied().collect();
        let mut seen: HashSet<Txid> = start.iter().copied().collect();
        let mut at = 0;
        while let Some(txid) = found.get(at) {
            at += 1;
            let Some(entry) = self.entries.get(txid) else {
                continue;
            };
            let new = next(entry).iter().filter(|txid| seen.insert(**txid));
            found.extend(new.copied().collect::<Vec<_>>());
        }
        found
    }

    /// The transaction, if it waits here.
    pub fn get(&self, txid: &Txid) -> Option<&Arc<Transaction>> {
        self.entries.get(txid).map(|entry| &entry.tx)
    }

    /// What there is to know of a transaction that waits here.
    pub fn entry(&self, txid: &Txid) -> Option<EntryInfo> {
        self.entries.get(txid).map(Entry::info)
    }

    /// What there is to know of everything that a transaction here depends on, parents before children.
    pub fn ancestors(&self, txid: &Txid) -> Option<Vec<EntryInfo>> {
        let entry = self.entries.get(txid)?;
        Some(self.infos(&self.ancestors_of(&entry.parents)))
    }

    /// What there is to know of everything that depends on a transaction here, parents before children.
    pub fn descendants(&self, txid: &Txid) -> Option<Vec<EntryInfo>> {
        self.entries.get(txid)?;
        Some(self.infos(&self.descendants_of(txid)))
    }

    fn infos(&self, txids: &[Txid]) -> Vec<EntryInfo> {
        let mut entries: Vec<&Entry> = txids
            .iter()
            .filter_map(|txid| self.entries.get(txid))
            .collect();
        entries.sort_unstable_by_key(|entry| (entry.ancestors.count, entry.arrival));
        entries.into_iter().map(Entry::info).collect()
    }

    /// Sums over some transactions that wait.
    pub(super) fn sums(&self, txids: &[Txid]) -> Package {
        let entries = txids.iter().filter_map(|txid| self.entries.get(txid));
        entries.fold(Package::default(), |mut sums, entry| {
            sums.add(&entry.own);
            sums
        })
    }

    /// Which transaction spends a coin.
    pub fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spends.get(outpoint).copied()
    }

    /// How many transactions wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every id, the best to mine first.
    pub fn ids(&self) -> impl Iterator<Item = Txid> {
        self.for_mining.iter().rev().map(|rank| rank.txid)
    }

    /// All there is to know, the best to mine first.
    pub fn entries(&self) -> Vec<EntryInfo> {
        self.ids().filter_map(|txid| self.entry(&txid)).collect()
    }

    /// Every transaction, each after those it depends on.
    pub fn transactions(&self) -> Vec<(Txid, Arc<Transaction>)> {
        let entries = self.parents_first();
        entries
            .map(|entry| (entry.txid, Arc::clone(&entry.tx)))
            .collect()
    }

    /// Every entry after those it depends on; among equals in the order of arrival.
    pub(super) fn parents_first(&self) -> impl Iterator<Item = &Entry> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        // One that depends on another has more ancestors than it.
        entries.sort_unstable_by_key(|entry| (entry.ancestors.count, entry.arrival));
        entries.into_iter()
    }

    /// What the waiting transactions would change for the holder of a key.
    pub fn address_delta(&self, key: &PubkeyHash) -> AddressDelta {
        let mut delta = AddressDelta::default();
        for entry in self.parents_first() {
            let received = entry.tx.outputs.iter().filter_map(|output| {
                let pays = output.script_pubkey.as_p2pkh() == Some(*key);
                output.value.check().ok().filter(|_| pays)
            });
            let spent = entry.spent.iter().filter(|coin| coin.pubkey_hash == *key);
            let (received, spent): (Vec<_>, Vec<_>) =
                (received.collect(), spent.map(|coin| coin.value).collect());
            if !received.is_empty() || !spent.is_empty() {
                delta.txids.push(entry.txid);
            }
            let units = |amounts: Vec<Amount>| {
                amounts
                    .iter()
                    .map(|amount| u128::from(amount.units()))
                    .sum::<u128>()
            };
            delta.received += units(received);
            delta.spent += units(spent);
        }
        delta
    }

    /// Figures of the whole pool. `now` is in seconds since 1970.
    pub fn info(&self, now: u64) -> MempoolInfo {
        let fees = u64::try_from(self.total.fee).unwrap_or(u64::MAX);
        MempoolInfo {
            is_loaded: self.is_loaded,
            count: self.entries.len(),
            bytes: self.total.size,
            usage: self.usage,
            max_usage: self.policy.max_usage,
            total_fee: Amount::from_units(fees).unwrap_or(Amount::MAX),
            min_fee_rate: self.floor_at(now).max(self.policy.min_relay_fee),
            min_relay_fee: self.policy.min_relay_fee,
            incremental_fee: self.policy.incremental_fee,
        }
    }
}
