//! Transactions of peers whose parents have not come yet.
//!
//! A batch of gossip may overtake the one with the parents. Such an orphan is kept for a while and judged again when something it
//! spends from has come. Whoever sends orphans makes this node keep and later check them, so everything is bounded by peer, and
//! checks come in small portions between other work (CVE-2024-52914: a parent for which a hundred costly orphans waited stopped
//! Bitcoin Core for hours).
//!
//! # Invariants
//! Each orphan is charged to the one peer that sent it first. No peer is charged for more than [`MAX_OF_PEER`] or
//! [`MAX_BYTES_OF_PEER`], and all together for no more than [`MAX_ORPHANS`] and [`MAX_BYTES`]. An id is in `waiting_for` for every
//! transaction that an orphan spends from, and nowhere else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::primitives::{Encode, Transaction, Txid};

/// How a peer is told apart: its id, as events name it.
pub type PeerName = Arc<str>;

/// Orphans of one peer at most (Bitcoin Core, `DEFAULT_MAX_ORPHAN_TRANSACTIONS`); beyond, its oldest goes.
pub(super) const MAX_OF_PEER: usize = 100;
/// Their bytes at most: four of the largest that are relayed.
pub(super) const MAX_BYTES_OF_PEER: usize = 400_000;
/// Orphans of all peers at most; beyond, the oldest of whoever has the most bytes goes.
pub(super) const MAX_ORPHANS: usize = 3_000;
/// Their bytes at most.
pub(super) const MAX_BYTES: usize = 10_000_000;
/// Seconds after which an orphan is dropped (Bitcoin Core, `ORPHAN_TX_EXPIRE_TIME`).
const EXPIRY: u64 = 20 * 60;
/// Orphans that are judged at once: other work comes in between.
const PORTION: usize = 20;
/// Their inputs at most, unless one alone has more: about 20 ms of signatures.
const PORTION_INPUTS: usize = 250;

#[derive(Debug)]
struct Orphan {
    tx: Arc<Transaction>,
    peer: PeerName,
    bytes: usize,
    /// Its number in the order of arrival.
    number: u64,
    expires: u64,
}

/// What one peer is charged for.
#[derive(Debug, Default)]
struct Account {
    /// Its orphans by their number: the oldest first.
    orphans: BTreeMap<u64, Txid>,
    bytes: usize,
}

/// All orphans.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    orphans: HashMap<Txid, Orphan>,
    accounts: BTreeMap<PeerName, Account>,
    waiting_for: HashMap<Txid, BTreeSet<Txid>>,
    /// Those to be judged again, in order.
    ready: VecDeque<Txid>,
    bytes: usize,
    numbers: u64,
}

impl Orphans {
    /// Keeps a transaction that misses something. One that is here already, or is larger than a peer may have, changes nothing.
    pub(super) fn keep(&mut self, txid: Txid, tx: Arc<Transaction>, peer: &PeerName, now: u64) {
        let bytes = tx.encoded_len();
        if bytes > MAX_BYTES_OF_PEER || self.orphans.contains_key(&txid) {
            return;
        }
        for parent in parents(&tx) {
            self.waiting_for.entry(parent).or_default().insert(txid);
        }
        let number = self.numbers;
        self.numbers += 1;
        let account = self.accounts.entry(Arc::clone(peer)).or_default();
        account.orphans.insert(number, txid);
        account.bytes += bytes;
        self.bytes += bytes;
        let orphan = Orphan {
            tx,
            peer: Arc::clone(peer),
            bytes,
            number,
            expires: now.saturating_add(EXPIRY),
        };
        self.orphans.insert(txid, orphan);
        self.limit_peer(peer);
        self.limit_all();
    }

    fn limit_peer(&mut self, peer: &PeerName) {
        while let Some(account) = self.accounts.get(peer)
            && (account.orphans.len() > MAX_OF_PEER || account.bytes > MAX_BYTES_OF_PEER)
        {
            self.drop_oldest_of(&Arc::clone(peer));
        }
    }

    fn limit_all(&mut self) {
        while self.orphans.len() > MAX_ORPHANS || self.bytes > MAX_BYTES {
            let most = self
                .accounts
                .iter()
                .max_by_key(|(_, account)| account.bytes);
            let Some((peer, _)) = most else {
                return;
            };
            self.drop_oldest_of(&Arc::clone(peer));
        }
    }

    fn drop_oldest_of(&mut self, peer: &PeerName) {
        let account = self.accounts.get(peer);
        let oldest = account.and_then(|account| account.orphans.values().next().copied());
        if let Some(oldest) = oldest {
            self.remove(&oldest);
        }
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, txid: &Txid) {
        let Some(orphan) = self.orphans.remove(txid) else {
            return;
        };
        self.bytes -= orphan.bytes;
        if let Some(account) = self.accounts.get_mut(&orphan.peer) {
            account.orphans.remove(&orphan.number);
            account.bytes -= orphan.bytes;
            if account.orphans.is_empty() {
                self.accounts.remove(&orphan.peer);
            }
        }
        for parent in parents(&orphan.tx) {
            if let Some(children) = self.waiting_for.get_mut(&parent) {
                children.remove(txid);
                if children.is_empty() {
                    self.waiting_for.remove(&parent);
                }
            }
        }
    }

    /// Forgets all of a peer that is gone, or sent one that nothing could make valid.
    pub(super) fn forget_peer(&mut self, peer: &str) {
        while let Some(account) = self.accounts.get(peer) {
            let theirs: Vec<Txid> = account.orphans.values().copied().collect();
            for txid in theirs {
                self.remove(&txid);
            }
        }
    }

    /// Forgets all: which peers are gone was missed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Something has come, into the pool or the chain: whatever spends from it is judged again.
    pub(super) fn parent_came(&mut self, parent: &Txid) {
        let children = self.waiting_for.get(parent);
        self.ready.extend(children.into_iter().flatten());
    }

    /// Forgets what waited too long. `now` is in seconds since 1970.
    pub(super) fn expire(&mut self, now: u64) {
        let old = self
            .orphans
            .iter()
            .filter(|(_, orphan)| orphan.expires <= now);
        let old: Vec<Txid> = old.map(|(txid, _)| *txid).collect();
        for txid in old {
            self.remove(&txid);
        }
    }

    /// Whether [`Orphans::next_portion`] may give something.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next ones to be judged again, each once. They stay here until they are removed.
    pub(super) fn next_portion(&mut self) -> Vec<(Txid, Arc<Transaction>)> {
        let (mut portion, mut inputs) = (Vec::new(), 0);
        let mut seen = HashSet::new();
        while let Some(txid) = self.ready.front() {
            let Some(orphan) = self.orphans.get(txid).filter(|_| !seen.contains(txid)) else {
                self.ready.pop_front();
                continue;
            };
            inputs += orphan.tx.inputs.len();
            let is_full = portion.len() >= PORTION || inputs > PORTION_INPUTS;
            if is_full && !portion.is_empty() {
                break;
            }
            portion.push((*txid, Arc::clone(&orphan.tx)));
            seen.insert(*txid);
            self.ready.pop_front();
        }
        portion
    }

    /// Who is charged for an orphan.
    pub(super) fn peer_of(&self, txid: &Txid) -> Option<PeerName> {
        self.orphans
            .get(txid)
            .map(|orphan| Arc::clone(&orphan.peer))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.orphans.len()
    }
}

/// What a transaction spends from, each once.
fn parents(tx: &Transaction) -> BTreeSet<Txid> {
    let sources = tx.inputs.iter().map(|input| input.previous_output.txid);
    sources.collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::model::{first_coin, output, payment};
    use super::*;
    use proptest::prelude::*;

    fn peer(number: u8) -> PeerName {
        format!("peer {number}").into()
    }

    fn orphan(number: u32, bytes: usize) -> (Txid, Arc<Transaction>) {
        let mut tx = payment(&[first_coin(1)], &[1]);
        tx.lock_time = number;
        tx.inputs[0].script_sig = vec![0; bytes].into();
        (tx.txid(), Arc::new(tx))
    }

    fn check(orphans: &Orphans) {
        assert!(orphans.orphans.len() <= MAX_ORPHANS && orphans.bytes <= MAX_BYTES);
        let (mut count, mut bytes) = (0, 0);
        for (peer, account) in &orphans.accounts {
            assert!(!account.orphans.is_empty());
            assert!(account.orphans.len() <= MAX_OF_PEER && account.bytes <= MAX_BYTES_OF_PEER);
            let theirs = account.orphans.values().map(|txid| &orphans.orphans[txid]);
            assert_eq!(
                account.bytes,
                theirs
                    .inspect(|orphan| assert_eq!(orphan.peer, *peer))
                    .map(|orphan| orphan.tx.encoded_len())
                    .sum::<usize>()
            );
            (count, bytes) = (count + account.orphans.len(), bytes + account.bytes);
        }
        assert_eq!((count, bytes), (orphans.orphans.len(), orphans.bytes));
        let waiting: usize = orphans.waiting_for.values().map(BTreeSet::len).sum();
        let expected = orphans
            .orphans
            .values()
            .map(|orphan| parents(&orphan.tx).len());
        assert_eq!(waiting, expected.sum::<usize>());
    }

    #[test]
    fn t11_a_peer_fills_its_own_quota_and_no_other() {
        let mut orphans = Orphans::default();
        let (first, tx) = orphan(0, 100);
        orphans.keep(first, tx, &peer(0), 0);
        for number in 1..1_000 {
            let (txid, tx) = orphan(number, 2_000);
            orphans.keep(txid, tx, &peer(1), 0);
        }
        check(&orphans);
        assert_eq!(orphans.len(), 1 + MAX_OF_PEER);
        assert!(orphans.peer_of(&first).is_some());
        for number in 1_000..1_020 {
            let (txid, tx) = orphan(number, 90_000);
            orphans.keep(txid, tx, &peer(2), 0);
        }
        check(&orphans);
        assert_eq!(orphans.accounts[&peer(2)].orphans.len(), 4);
        let (huge, tx) = orphan(2_000, MAX_BYTES_OF_PEER);
        orphans.keep(huge, tx, &peer(2), 0);
        assert_eq!(orphans.peer_of(&huge), None);
    }

    #[test]
    fn t11_many_peers_push_out_each_others_largest_shares() {
        let mut orphans = Orphans::default();
        let (small, tx) = orphan(0, 100);
        orphans.keep(small, tx, &peer(250), 0);
        for number in 1..400 {
            let (txid, tx) = orphan(number, 90_000);
            orphans.keep(txid, tx, &peer((number % 100) as u8), 0);
        }
        check(&orphans);
        assert!(orphans.bytes > MAX_BYTES - 200_000);
        assert!(orphans.peer_of(&small).is_some(), "who has little keeps it");
    }

    /// A hundred orphans of many inputs, and their parent: they are judged in portions, none of them large.
    #[test]
    fn t11_what_a_parent_brings_is_judged_in_small_portions() {
        let mut orphans = Orphans::default();
        let parent = payment(&[first_coin(0)], &vec![1; 2_000]);
        let mut all = HashSet::new();
        for number in 0..100_u32 {
            let inputs: Vec<_> = (0..20)
                .map(|vout| output(&parent, number * 20 + vout))
                .collect();
            let tx = payment(&inputs, &[1]);
            all.insert(tx.txid());
            orphans.keep(tx.txid(), Arc::new(tx), &peer(0), 0);
        }
        assert_eq!(orphans.len(), 100);
        assert!(!orphans.has_ready());
        orphans.parent_came(&parent.txid());
        // A second parent of the same changes nothing.
        orphans.parent_came(&parent.txid());
        let mut portions = 0;
        while orphans.has_ready() {
            let portion = orphans.next_portion();
            assert!(portion.len() <= PORTION);
            assert!(portion.iter().map(|(_, tx)| tx.inputs.len()).sum::<usize>() <= PORTION_INPUTS);
            for (txid, _) in portion {
                assert!(all.remove(&txid));
                orphans.remove(&txid);
            }
            portions += 1;
        }
        assert!(all.is_empty() && portions >= 100 * 20 / PORTION_INPUTS);
        check(&orphans);
    }

    proptest! {
        #[test]
        fn accounts_are_right_after_every_step(steps in prop::collection::vec((0..6_u8, 0..8_u8, 0..40_u32), 1..200)) {
            let mut orphans = Orphans::default();
            for (time, (what, who, number)) in (0..).zip(steps) {
                let (txid, tx) = orphan(number, number as usize * 3_000);
                match what {
                    0 => orphans.remove(&txid),
                    1 => orphans.forget_peer(&peer(who)),
                    2 => orphans.expire(time + EXPIRY - 20),
                    _ => orphans.keep(txid, tx, &peer(who), time),
                }
                check(&orphans);
            }
        }
    }
}
