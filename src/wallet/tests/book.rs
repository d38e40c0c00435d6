//! The wallet's book, followed block by block through reorganisations, is the book of a rescan (row W6).

use std::collections::{BTreeSet, HashMap, HashSet};

use proptest::prelude::*;

use crate::primitives::{
    Amount, Block, BlockHash, BlockHeader, COIN, Coin, CompactTarget, MerkleRoot, OutPoint,
    PubkeyHash, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut, Txid, UncheckedAmount, coins_of,
};
use crate::wallet::{Book, BookBalances, Place};

const MATURITY: u32 = 3;

/// Hashes below 3 are the wallet's.
fn hash(number: u8) -> PubkeyHash {
    PubkeyHash::from_bytes([number; 20])
}

fn owns(hash: &PubkeyHash) -> bool {
    hash.as_bytes()[0] < 3
}

fn tx(from: &[OutPoint], to: &[(u8, u64)], salt: u32) -> Transaction {
    let input = |point: &OutPoint| TxIn {
        previous_output: *point,
        script_sig: Script::default(),
        sequence: SEQUENCE_FINAL,
    };
    let output = |(to, units): &(u8, u64)| TxOut {
        value: UncheckedAmount(*units),
        script_pubkey: Script::p2pkh(&hash(*to)),
    };
    Transaction {
        version: 2,
        inputs: from.iter().map(input).collect(),
        outputs: to.iter().map(output).collect(),
        lock_time: salt,
    }
}

/// A chain, a mempool, and a book that is told of everything.
struct World {
    blocks: Vec<Block>,
    pool: Vec<Transaction>,
    sent: Vec<Transaction>,
    abandoned: HashSet<Txid>,
    book: Book,
    salt: u32,
}

impl World {
    fn new() -> Self {
        Self {
            blocks: Vec::new(),
            pool: Vec::new(),
            sent: Vec::new(),
            abandoned: HashSet::new(),
            book: Book::new(BlockHash::ZERO, 0, MATURITY),
            salt: 0,
        }
    }

    fn salt(&mut self) -> u32 {
        self.salt += 1;
        self.salt
    }

    /// The unspent outputs of the chain.
    fn coins(&self) -> HashMap<OutPoint, Coin> {
        let mut coins = HashMap::new();
        for (height, block) in (1..).zip(&self.blocks) {
            for tx in &block.transactions {
                for input in &tx.inputs {
                    coins.remove(&input.previous_output);
                }
                coins.extend(coins_of(tx, tx.txid(), height, tx.is_coinbase()));
            }
        }
        coins
    }

    /// Drops from the pool what is not valid on the chain any more, and all that depends on it.
    fn clean_pool(&mut self) {
        let mut coins = self.coins();
        self.pool.retain(|tx| {
            let is_valid = tx
                .inputs
                .iter()
                .all(|input| coins.contains_key(&input.previous_output));
            if is_valid {
                for input in &tx.inputs {
                    coins.remove(&input.previous_output);
                }
                coins.extend(coins_of(tx, tx.txid(), 0, false));
            }
            is_valid
        });
    }

    fn connect(&mut self, block: Block) {
        let height = u32::try_from(self.blocks.len()).expect("few") + 1;
        self.book
            .connect(block.header.hash(), height, &block, &owns);
        self.blocks.push(block);
    }

    /// A block that pays `to` and takes the transactions of the pool that `takes` says, with a rival of one of them if asked for.
    fn mine(&mut self, to: u8, takes: u64, rival: bool) {
        let salt = self.salt();
        let mut transactions = vec![tx(&[OutPoint::NULL], &[(to, 50 * COIN)], salt)];
        let mut coins = self.coins();
        for (at, waiting) in self.pool.clone().iter().enumerate() {
            let known = waiting
                .inputs
                .iter()
                .all(|i| coins.contains_key(&i.previous_output));
            if (takes >> (at % 64)) & 1 == 0 || !known {
                continue;
            }
            let mut taken = waiting.clone();
            if rival && at.is_multiple_of(2) {
                taken.lock_time += 1_000_000;
            }
            for input in &taken.inputs {
                coins.remove(&input.previous_output);
            }
            coins.extend(coins_of(&taken, taken.txid(), 0, false));
            transactions.push(taken);
        }
        let prev_block = self
            .blocks
            .last()
            .map_or(BlockHash::ZERO, |b| b.header.hash());
        let header = BlockHeader {
            version: 4,
            prev_block,
            merkle_root: MerkleRoot::ZERO,
            time: salt,
            bits: CompactTarget(0),
            nonce: salt,
        };
        self.connect(Block {
            header,
            transactions,
        });
        let before: Vec<Transaction> = self.pool.clone();
        let mined: HashSet<Txid> = self
            .blocks
            .last()
            .into_iter()
            .flat_map(|block| block.transactions.iter().map(Transaction::txid))
            .collect();
        self.pool.retain(|tx| !mined.contains(&tx.txid()));
        self.clean_pool();
        for gone in before.iter().filter(|tx| !self.pool.contains(tx)) {
            self.book.left(&gone.txid());
        }
    }

    /// Leaves the last blocks; what they held waits again where it can.
    fn leave(&mut self, depth: usize) {
        let mut back = Vec::new();
        for _ in 0..depth.min(self.blocks.len()) {
            let height = u32::try_from(self.blocks.len()).expect("few");
            let block = self.blocks.pop().expect("there are as many");
            self.book.disconnect(&block.header.hash(), height, &block);
            let mut held: Vec<_> = block.transactions.into_iter().skip(1).collect();
            held.append(&mut back);
            back = held;
        }
        back.append(&mut self.pool);
        self.pool = back;
    }

    /// After a reorganisation the mempool is told anew.
    fn settle(&mut self) {
        self.clean_pool();
        self.book.forget_waiting();
        for tx in &self.pool {
            self.book.seen(tx, tx.txid(), 5, &owns);
        }
    }

    /// A payment of a coin of the chain or the pool; the wallet's own if it spends what is the wallet's.
    fn pay(&mut self, pick: usize, to: u8, change: u8) {
        let mut coins = self.coins();
        for tx in &self.pool {
            for input in &tx.inputs {
                coins.remove(&input.previous_output);
            }
            coins.extend(coins_of(tx, tx.txid(), 0, false));
        }
        let mut points: Vec<(OutPoint, Coin)> = coins.into_iter().collect();
        points.sort_by_key(|(point, _)| *point);
        let Some((point, coin)) = points.get(pick % points.len().max(1)).copied() else {
            return;
        };
        let units = coin.value.units();
        if units < 10 {
            return;
        }
        let salt = self.salt();
        let payment = tx(&[point], &[(to, units / 2), (change, units / 3)], salt);
        let txid = payment.txid();
        self.book.seen(&payment, txid, 5, &owns);
        if owns(&coin.pubkey_hash) {
            self.book.sent(&payment, txid, 5, false, &owns);
            self.sent.push(payment.clone());
        }
        self.pool.push(payment);
    }

    /// The mempool drops a transaction and all that depends on it.
    fn evict(&mut self, pick: usize) {
        if self.pool.is_empty() {
            return;
        }
        let at = pick % self.pool.len();
        let before = self.pool.clone();
        self.pool.remove(at);
        self.clean_pool();
        for gone in before.iter().filter(|tx| !self.pool.contains(tx)) {
            self.book.left(&gone.txid());
        }
    }

    fn rescan(&self) -> Book {
        let mut book = Book::new(BlockHash::ZERO, 0, MATURITY);
        for (height, block) in (1..).zip(&self.blocks) {
            book.connect(block.header.hash(), height, block, &owns);
        }
        for tx in &self.pool {
            book.seen(tx, tx.txid(), 5, &owns);
        }
        for tx in &self.sent {
            let txid = tx.txid();
            book.sent(tx, txid, 5, self.abandoned.contains(&txid), &owns);
        }
        book
    }

    /// What chain and pool say without any book.
    fn counted(&self) -> BookBalances {
        let height = u32::try_from(self.blocks.len()).expect("few");
        let mut coins = self.coins();
        let reserved: HashSet<OutPoint> = self
            .rescan()
            .history()
            .filter(|tx| matches!(tx.place, Place::Mempool | Place::Sent))
            .flat_map(|tx| {
                tx.debits
                    .iter()
                    .map(|(point, _)| *point)
                    .collect::<Vec<_>>()
            })
            .collect();
        coins.retain(|point, coin| owns(&coin.pubkey_hash) && !reserved.contains(point));
        let (mut trusted, mut immature) = (0, 0);
        for coin in coins.values() {
            let is_young = coin.is_coinbase && height + 1 - coin.height < MATURITY;
            let sum = if is_young {
                &mut immature
            } else {
                &mut trusted
            };
            *sum += coin.value.units();
        }
        let own_coins: HashSet<OutPoint> = self
            .coins()
            .iter()
            .filter(|(_, coin)| owns(&coin.pubkey_hash))
            .map(|(point, _)| *point)
            .collect();
        let mut own = own_coins;
        let mut pending = 0;
        let spent: HashSet<OutPoint> = self
            .pool
            .iter()
            .flat_map(|tx| tx.inputs.iter().map(|input| input.previous_output))
            .collect();
        for tx in &self.pool {
            let txid = tx.txid();
            let is_trusted = tx
                .inputs
                .iter()
                .all(|input| own.contains(&input.previous_output));
            for (point, coin) in
                coins_of(tx, txid, 0, false).filter(|(_, coin)| owns(&coin.pubkey_hash))
            {
                if is_trusted {
                    own.insert(point);
                }
                if !spent.contains(&point) && !reserved.contains(&point) {
                    let sum = if is_trusted {
                        &mut trusted
                    } else {
                        &mut pending
                    };
                    *sum += coin.value.units();
                }
            }
        }
        let amount = |units| Amount::from_units(units).expect("no more than exists");
        BookBalances {
            trusted: amount(trusted),
            pending: amount(pending),
            immature: amount(immature),
        }
    }
}

/// All that a book says; of what waits nowhere only that it is so.
fn said(book: &Book) -> (BookBalances, Vec<String>, BTreeSet<String>) {
    let unspent = book.unspent().map(|coin| format!("{coin:?}"));
    let mut unspent: Vec<String> = unspent.collect();
    unspent.sort();
    let history = book.history().map(|tx| match tx.place {
        Place::Block { .. } | Place::Mempool => {
            let spent: Vec<_> = tx
                .debits
                .iter()
                .map(|(point, coin)| (point, coin.value))
                .collect();
            format!(
                "{} {:?} {:?} {spent:?} {:?} {:?}",
                tx.txid, tx.place, tx.credits, tx.payees, tx.fee
            )
        }
        Place::Sent => format!("{} sent", tx.txid),
        Place::Abandoned => format!("{} abandoned", tx.txid),
        Place::Conflicted { .. } => format!("{} conflicted", tx.txid),
    });
    (book.balances(), unspent, history.collect())
}

/// ```text
/// 1 ── 2a (pays us 50, then 20 to them and 30 back) ── 3a
///   └─ 2b ── 3b ── 4b
/// ```
#[test]
fn w06_a_payment_leaves_with_its_block_and_comes_back() {
    let mut world = World::new();
    world.mine(9, 0, false);
    world.mine(0, 0, false);
    for _ in 0..2 {
        world.mine(9, 0, false);
    }
    let coin = world
        .coins()
        .into_iter()
        .find(|(_, coin)| owns(&coin.pubkey_hash))
        .expect("ours")
        .0;
    let payment = tx(&[coin], &[(8, 20 * COIN), (1, 30 * COIN)], 77);
    world.book.seen(&payment, payment.txid(), 5, &owns);
    world.book.sent(&payment, payment.txid(), 5, false, &owns);
    world.sent.push(payment.clone());
    world.pool.push(payment.clone());
    let coins = |world: &World| world.book.balances().trusted.units() / COIN;
    assert_eq!(coins(&world), 30);
    world.mine(9, u64::MAX, false);
    assert_eq!((coins(&world), world.pool.len()), (30, 0));

    world.leave(4);
    world.settle();
    assert_eq!(coins(&world), 0, "the coin that it spent is gone, too");
    assert_eq!(
        world.book.transaction(&payment.txid()).map(|tx| tx.place),
        Some(Place::Sent)
    );
    assert_eq!(said(&world.book).0, said(&world.rescan()).0);
}

#[test]
fn w06_a_conflict_in_the_chain_frees_what_a_payment_held() {
    let mut world = World::new();
    world.mine(0, 0, false);
    for _ in 0..3 {
        world.mine(9, 0, false);
    }
    world.pay(usize::MAX, 8, 1);
    world.pay(0, 8, 1);
    let before = said(&world.book);
    world.mine(9, u64::MAX, true);
    assert_ne!(said(&world.book).0, before.0);
    assert_eq!(said(&world.book), said(&world.rescan()));
    world.leave(1);
    world.settle();
    assert_eq!(said(&world.book), said(&world.rescan()));
}

#[test]
fn what_nobody_holds_is_given_up_with_what_depends_on_it() {
    let mut world = World::new();
    world.mine(0, 0, false);
    for _ in 0..3 {
        world.mine(9, 0, false);
    }
    let coin = world
        .coins()
        .into_iter()
        .find(|(_, coin)| owns(&coin.pubkey_hash))
        .expect("ours")
        .0;
    let parent = tx(&[coin], &[(1, 50 * COIN)], 1);
    let child = tx(
        &[OutPoint {
            txid: parent.txid(),
            vout: 0,
        }],
        &[(8, COIN), (1, 49 * COIN)],
        2,
    );
    for tx in [&parent, &child] {
        world.book.seen(tx, tx.txid(), 5, &owns);
        world.book.sent(tx, tx.txid(), 5, false, &owns);
    }
    assert!(
        world.book.abandon(&parent.txid()).is_empty(),
        "it waits in the mempool"
    );
    for tx in [&child, &parent] {
        world.book.left(&tx.txid());
    }
    assert_eq!(
        world.book.balances().trusted,
        Amount::ZERO,
        "its coin stays reserved"
    );
    let given_up = world.book.abandon(&parent.txid());
    assert_eq!(given_up, [parent.txid(), child.txid()]);
    assert_eq!(world.book.balances().trusted.units(), 50 * COIN);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever happens, the book is that of a rescan, and both are what the chain and the mempool say.
    #[test]
    fn w06_balances_equal_a_rescan(steps in proptest::collection::vec((0_u8..12, any::<u64>()), 1..60)) {
        let mut world = World::new();
        for (step, dice) in steps {
            let pick = usize::try_from((dice >> 8) & 0xffff).expect("small");
            let who = |shift: u32| u8::try_from((dice >> shift) & 7).expect("small");
            match step {
                0..=3 => world.mine(who(0), dice, false),
                4 => world.mine(who(0), dice, true),
                5..=8 => world.pay(pick, who(0), who(3)),
                9 => world.evict(pick),
                10 => {
                    // To a longer branch, as reorganisations go.
                    let depth = 1 + pick % 4;
                    world.leave(depth);
                    for more in 0..=depth {
                        world.mine(who(0), dice >> more, false);
                    }
                    world.settle();
                }
                _ => {
                    let sent = world.sent.get(pick % world.sent.len().max(1)).map(Transaction::txid);
                    if let Some(txid) = sent {
                        world.abandoned.extend(world.book.abandon(&txid));
                    }
                }
            }
            let rescan = world.rescan();
            prop_assert_eq!(said(&world.book), said(&rescan));
            prop_assert_eq!(world.book.balances(), world.counted());
        }
    }
}
