//! The wallet's book: its coins and transactions, kept in step with the chain and the mempool block by block.
//!
//! Pure: the owner feeds it what happens and tells it which hashes are the wallet's. Nothing in it is kept on disk; it is made
//! from the blocks that touch the wallet's addresses, by the same calls that later follow the chain.
//!
//! # Invariants
//! - `coins` are the outputs to the wallet that are unspent in the chain up to `tip`, whatever waits in the mempool.
//! - The book depends on the blocks and waiting transactions alone: fed block by block through any reorganisation, it is
//!   equal to one made anew at the end (row W6; a property test).
//! - A transaction that is neither in the chain nor waiting is kept only if this wallet sent it.

mod sums;
mod transaction;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::primitives::{
    Amount, Block, BlockHash, Coin, OutPoint, PubkeyHash, Transaction, Txid, coins_of,
};

pub use sums::{BookBalances, ListedCoin};
pub use transaction::{Payee, Place, WalletTx};

/// Where a transaction stands in the order of the history: in the chain by height and place, else after all of those in the
/// order in which it was seen.
type Position = (u32, u32);

/// The height that stands for "not in the chain".
const UNCONFIRMED: u32 = u32::MAX;

/// See the description of its module.
#[derive(Debug, Clone)]
pub struct Book {
    maturity: u32,
    tip: (BlockHash, u32),
    transactions: HashMap<Txid, WalletTx>,
    history: BTreeMap<Position, Txid>,
    coins: BTreeMap<OutPoint, Coin>,
    /// The coins among them that were mined, by height.
    mined: BTreeMap<(u32, OutPoint), Amount>,
    /// Which waiting or sent transaction spends an output to the wallet.
    spenders: HashMap<OutPoint, Txid>,
    /// Sum of the coins that nothing waiting spends, in base units.
    free: u64,
    /// Number of the next unconfirmed transaction.
    next_seen: u32,
}

impl Book {
    /// An empty book that begins at a block. `maturity` is how many confirmations a mined coin needs.
    #[must_use]
    pub fn new(tip: BlockHash, height: u32, maturity: u32) -> Self {
        Self {
            maturity,
            tip: (tip, height),
            transactions: HashMap::new(),
            history: BTreeMap::new(),
            coins: BTreeMap::new(),
            mined: BTreeMap::new(),
            spenders: HashMap::new(),
            free: 0,
            next_seen: 0,
        }
    }

    /// The last block that the book knows of, and its height.
    #[must_use]
    pub const fn tip(&self) -> (BlockHash, u32) {
        self.tip
    }

    /// Takes in a block of the chain. While a book is made, blocks that do not touch the wallet may be left out; they must come in the
    /// order of their heights.
    pub fn connect(
        &mut self,
        hash: BlockHash,
        height: u32,
        block: &Block,
        owns: &dyn Fn(&PubkeyHash) -> bool,
    ) {
        for (index, tx) in (0_u32..).zip(&block.transactions) {
            if self.touches(tx, owns) {
                let place = Place::Block {
                    hash,
                    height,
                    index,
                    time: block.header.time,
                };
                self.confirm(tx, place, (height, index), owns);
            }
        }
        self.tip = (hash, height);
    }

    /// Says that the chain goes on to a block which does not touch the wallet, or ends at one that was taken in.
    pub const fn set_tip(&mut self, hash: BlockHash, height: u32) {
        self.tip = (hash, height);
    }

    /// Takes back the last block. Its transactions are neither in the chain nor waiting then, until they are
    /// [`seen`](Self::seen) again.
    pub fn disconnect(&mut self, hash: &BlockHash, height: u32, block: &Block) {
        let count = u32::try_from(block.transactions.len()).unwrap_or(u32::MAX);
        for (index, tx) in (0..count).zip(&block.transactions).rev() {
            let Some(txid) = self.history.get(&(height, index)).copied() else {
                continue;
            };
            let is_here =
                |tx: &&WalletTx| matches!(&tx.place, Place::Block { hash: at, .. } if at == hash);
            if let Some(known) = self.transactions.get(&txid).filter(is_here).cloned() {
                self.unconfirm(tx, known);
            }
        }
        self.tip = (block.header.prev_block, height.saturating_sub(1));
        let no_more = Place::Conflicted {
            with: Some((*hash, height)),
        };
        let free_again: Vec<Txid> = self
            .outside_chain()
            .filter(|tx| tx.place == no_more)
            .map(|tx| tx.txid)
            .collect();
        for txid in free_again {
            self.set_place(txid, Place::Sent);
        }
    }

    /// Transactions that are not in the chain, in the order they were seen.
    fn outside_chain(&self) -> impl Iterator<Item = &WalletTx> {
        let ids = self.history.range((UNCONFIRMED, 0)..);
        ids.filter_map(|(_, txid)| self.transactions.get(txid))
    }

    /// Takes in a transaction that waits in the mempool, at a time in seconds since 1970.
    pub fn seen(
        &mut self,
        tx: &Transaction,
        txid: Txid,
        time: u64,
        owns: &dyn Fn(&PubkeyHash) -> bool,
    ) {
        self.take_unconfirmed(tx, txid, time, Place::Mempool, owns);
    }

    /// Takes in a transaction that the wallet sent. If it is neither in the chain nor waiting, its coins stay reserved, unless
    /// it was `abandoned`.
    pub fn sent(
        &mut self,
        tx: &Transaction,
        txid: Txid,
        time: u64,
        abandoned: bool,
        owns: &dyn Fn(&PubkeyHash) -> bool,
    ) {
        if !self.transactions.contains_key(&txid) {
            let place = match (abandoned, self.rival_block(tx)) {
                (true, _) => Place::Abandoned,
                (false, with @ Some(_)) => Place::Conflicted { with },
                (false, None) => Place::Sent,
            };
            self.take_unconfirmed(tx, txid, time, place, owns);
        }
        if let Some(known) = self.transactions.get_mut(&txid) {
            known.is_own = true;
            known.seen = known.seen.min(time);
        }
    }

    /// A transaction left the mempool. What the wallet sent keeps its coins reserved, or is marked as abandoned.
    pub fn left(&mut self, txid: &Txid) {
        let Some(known) = self.transactions.get(txid) else {
            return;
        };
        if known.place != Place::Mempool {
            return;
        }
        let known = known.clone();
        match known.is_own {
            true => self.set_place(*txid, Place::Sent),
            false => self.forget(&known),
        }
    }

    /// Gives up a transaction that is neither in the chain nor waiting, and what the wallet sent that depends on it. Returns all that
    /// were given up; none if it is not such a transaction.
    pub fn abandon(&mut self, txid: &Txid) -> Vec<Txid> {
        let mut given_up = Vec::new();
        let mut open = vec![*txid];
        while let Some(txid) = open.pop() {
            let is_sent = |tx: &&WalletTx| tx.place == Place::Sent;
            let Some(known) = self.transactions.get(&txid).filter(is_sent).cloned() else {
                continue;
            };
            self.set_place(txid, Place::Abandoned);
            given_up.push(txid);
            let outputs = known.credits.iter().map(|credit| OutPoint {
                txid,
                vout: credit.vout,
            });
            open.extend(outputs.filter_map(|output| self.spenders.get(&output).copied()));
        }
        given_up
    }

    /// Whether a transaction pays the wallet or spends its coins.
    fn touches(&self, tx: &Transaction, owns: &dyn Fn(&PubkeyHash) -> bool) -> bool {
        let spends =
            |point: &OutPoint| self.coins.contains_key(point) || self.output(point).is_some();
        let mut hashes = tx
            .outputs
            .iter()
            .filter_map(|out| out.script_pubkey.as_p2pkh());
        let mut inputs = tx.inputs.iter().map(|input| input.previous_output);
        inputs.any(|point| spends(&point)) || hashes.any(|hash| owns(&hash))
    }

    /// The block because of which a transaction cannot be mined: it spends what this one spends, or what this one depends on.
    fn rival_block(&self, tx: &Transaction) -> Option<(BlockHash, u32)> {
        let spent = tx.inputs.iter().map(|input| input.previous_output);
        let mut missing = spent.filter(|point| !self.coins.contains_key(point));
        missing.find_map(|point| {
            let parent = self
                .transactions
                .get(&point.txid)
                .map(|parent| parent.place);
            match parent {
                Some(Place::Conflicted { with }) => with,
                Some(_) | None => self.confirmed_spender(&point),
            }
        })
    }

    /// The block that spends an output to the wallet. Looks at every transaction, so it is for rare cases.
    fn confirmed_spender(&self, point: &OutPoint) -> Option<(BlockHash, u32)> {
        let mut all = self.transactions.values();
        all.find_map(|tx| {
            let spends = tx.debits.iter().any(|(spent, _)| spent == point);
            tx.place.block().filter(|_| spends)
        })
    }

    /// What cannot be mined any more when a block spends these outputs.
    fn rivals(&self, points: &[OutPoint]) -> Vec<Txid> {
        let waiting = points.iter().filter_map(|point| self.spenders.get(point));
        let sent = self.outside_chain().filter(|tx| {
            tx.place == Place::Sent && tx.debits.iter().any(|(point, _)| points.contains(point))
        });
        waiting.copied().chain(sent.map(|tx| tx.txid)).collect()
    }

    /// An output to the wallet of a transaction that is not in the chain.
    fn output(&self, point: &OutPoint) -> Option<Coin> {
        let tx = self.transactions.get(&point.txid)?;
        let credit = tx.credits.iter().find(|credit| credit.vout == point.vout)?;
        let coin = Coin {
            value: credit.value,
            pubkey_hash: credit.hash,
            height: UNCONFIRMED,
            is_coinbase: false,
        };
        (!tx.place.is_confirmed()).then_some(coin)
    }

    fn confirm(
        &mut self,
        tx: &Transaction,
        place: Place,
        position: Position,
        owns: &dyn Fn(&PubkeyHash) -> bool,
    ) {
        let (txid, height) = (tx.txid(), position.0);
        let before = self.transactions.get(&txid).cloned();
        if let Some(known) = before.as_ref() {
            if known.place.is_confirmed() {
                return;
            }
            if known.place.holds_coins() {
                self.release(known);
            }
            self.history.remove(&known.position);
        }
        let is_coinbase = tx.is_coinbase();
        let points: Vec<OutPoint> = tx.inputs.iter().map(|i| i.previous_output).collect();
        for rival in self
            .rivals(&points)
            .into_iter()
            .filter(|rival| *rival != txid)
        {
            self.conflict(&rival, place.block());
        }
        let mut debits = Vec::new();
        for point in points {
            if let Some(coin) = self.coins.remove(&point) {
                self.mined.remove(&(coin.height, point));
                self.free -= coin.value.units();
                debits.push((point, coin));
            }
        }
        let credits: Vec<Payee> = coins_of(tx, txid, height, is_coinbase)
            .filter(|(_, coin)| owns(&coin.pubkey_hash))
            .map(|(point, coin)| {
                self.add_coin(point, coin);
                Payee::of(&point, &coin)
            })
            .collect();
        let mut known = WalletTx::new(tx, txid, place, credits, debits);
        if let Some(before) = before {
            known.seen = before.seen.min(known.seen);
            known.is_own = before.is_own;
        }
        self.enter(known, position);
    }

    fn unconfirm(&mut self, tx: &Transaction, known: WalletTx) {
        for credit in &known.credits {
            let point = OutPoint {
                txid: known.txid,
                vout: credit.vout,
            };
            if let Some(coin) = self.coins.remove(&point) {
                self.mined.remove(&(coin.height, point));
                if !self.spenders.contains_key(&point) {
                    self.free -= coin.value.units();
                }
            }
        }
        for (point, coin) in &known.debits {
            self.add_coin(*point, *coin);
        }
        self.history.remove(&known.position);
        self.transactions.remove(&known.txid);
        if known.is_own && !tx.is_coinbase() {
            let place = Place::Sent;
            let seen = known.seen;
            let position = self.next_position();
            let known = WalletTx {
                place,
                seen,
                ..known
            };
            self.reserve(&known);
            self.enter(known, position);
        }
    }

    fn take_unconfirmed(
        &mut self,
        tx: &Transaction,
        txid: Txid,
        time: u64,
        place: Place,
        owns: &dyn Fn(&PubkeyHash) -> bool,
    ) {
        match self.transactions.get(&txid).map(|known| known.place) {
            Some(Place::Block { .. } | Place::Mempool) => return,
            Some(Place::Sent | Place::Abandoned | Place::Conflicted { .. }) => {
                return self.set_place(txid, place);
            }
            None if place == Place::Mempool && !self.touches(tx, owns) => return,
            None => {}
        }
        let debits: Vec<(OutPoint, Coin)> = tx
            .inputs
            .iter()
            .filter_map(|input| {
                let point = input.previous_output;
                let coin = self.coins.get(&point).copied();
                Some((point, coin.or_else(|| self.output(&point))?))
            })
            .collect();
        let credits: Vec<Payee> = coins_of(tx, txid, UNCONFIRMED, false)
            .filter(|(_, coin)| owns(&coin.pubkey_hash))
            .map(|(point, coin)| Payee::of(&point, &coin))
            .collect();
        let known = WalletTx {
            seen: time,
            ..WalletTx::new(tx, txid, place, credits, debits)
        };
        if place.holds_coins() {
            self.reserve(&known);
        }
        let position = self.next_position();
        self.enter(known, position);
    }

    fn next_position(&mut self) -> Position {
        self.next_seen = self.next_seen.saturating_add(1);
        (UNCONFIRMED, self.next_seen)
    }

    fn enter(&mut self, known: WalletTx, position: Position) {
        self.history.insert(position, known.txid);
        let known = WalletTx { position, ..known };
        self.transactions.insert(known.txid, known);
    }

    fn add_coin(&mut self, point: OutPoint, coin: Coin) {
        if coin.is_coinbase {
            self.mined.insert((coin.height, point), coin.value);
        }
        if !self.spenders.contains_key(&point) {
            self.free += coin.value.units();
        }
        self.coins.insert(point, coin);
    }

    /// Its inputs are taken.
    fn reserve(&mut self, known: &WalletTx) {
        for (point, _) in &known.debits {
            if self.spenders.insert(*point, known.txid).is_none() {
                let coin = self.coins.get(point);
                self.free -= coin.map_or(0, |coin| coin.value.units());
            }
        }
    }

    /// Its inputs are free again, but for those that another payment of the wallet holds, too.
    fn release(&mut self, known: &WalletTx) {
        for (point, _) in &known.debits {
            if self.spenders.get(point) != Some(&known.txid) {
                continue;
            }
            let holds = |other: &&WalletTx| {
                other.txid != known.txid
                    && other.place.holds_coins()
                    && other.debits.iter().any(|(spent, _)| spent == point)
            };
            let heir = self.outside_chain().filter(holds).last();
            match heir.map(|heir| heir.txid) {
                Some(heir) => {
                    self.spenders.insert(*point, heir);
                }
                None => {
                    self.spenders.remove(point);
                    let coin = self.coins.get(point);
                    self.free += coin.map_or(0, |coin| coin.value.units());
                }
            }
        }
    }

    fn set_place(&mut self, txid: Txid, place: Place) {
        let Some(known) = self.transactions.get_mut(&txid) else {
            return;
        };
        let (held, holds) = (known.place.holds_coins(), place.holds_coins());
        known.place = place;
        let known = known.clone();
        match (held, holds) {
            (true, false) => self.release(&known),
            // Also where it held them: another one may have taken them since.
            (_, true) => self.reserve(&known),
            (false, false) => {}
        }
    }

    /// Forgets what waits in the mempool, to be told all of it anew. What the wallet sent stays.
    pub fn forget_waiting(&mut self) {
        let waiting = self.outside_chain();
        let waiting: Vec<Txid> = waiting
            .filter(|tx| tx.place == Place::Mempool)
            .map(|tx| tx.txid)
            .collect();
        // Children first: what they spend is still known.
        for txid in waiting.iter().rev() {
            self.left(txid);
        }
    }

    fn forget(&mut self, known: &WalletTx) {
        if known.place.holds_coins() {
            self.release(known);
        }
        self.history.remove(&known.position);
        self.transactions.remove(&known.txid);
    }

    /// A block spends what this one spends; what spends its outputs cannot be either.
    fn conflict(&mut self, txid: &Txid, block: Option<(BlockHash, u32)>) {
        let mut open = vec![*txid];
        let mut done = HashSet::new();
        while let Some(txid) = open.pop() {
            let Some(known) = self.transactions.get(&txid).cloned() else {
                continue;
            };
            if known.place.is_confirmed() || !done.insert(txid) {
                continue;
            }
            let outputs = known.credits.iter().map(|credit| OutPoint {
                txid,
                vout: credit.vout,
            });
            open.extend(outputs.filter_map(|output| self.spenders.get(&output).copied()));
            match known.is_own {
                true => self.set_place(txid, Place::Conflicted { with: block }),
                false => self.forget(&known),
            }
        }
    }
}
