//! Fee estimates on simulated chains: what was estimated is paid, and gets in.

use super::model::{COIN_VALUE, Model, payment};
use crate::mempool::Policy;
use crate::primitives::{Amount, Coin, Encode, OutPoint, PubkeyHash, Transaction, Txid};

/// A chain with a steady stream of payments, of which a block takes so many.
struct Market {
    model: Model,
    made: u64,
    room: u64,
    /// The lowest rate in the latest block, in base units for 1000 bytes.
    lowest: u64,
}

impl Market {
    fn new(payments_in_block: u64) -> Self {
        let size = payment(&[OutPoint::NULL], &[1]).encoded_len() as u64;
        Self {
            model: Model::new(Policy::default(), 0),
            made: 0,
            room: size * payments_in_block,
            lowest: 0,
        }
    }

    fn pay(&mut self, fee: u64) -> Transaction {
        self.made += 1;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.made.to_le_bytes());
        let outpoint = OutPoint {
            txid: Txid::from_bytes(id),
            vout: 0,
        };
        let coin = Coin {
            value: Amount::from_units(COIN_VALUE).unwrap(),
            pubkey_hash: PubkeyHash::ZERO,
            height: 1,
            is_coinbase: false,
        };
        self.model.coins.insert(outpoint, coin);
        let tx = payment(&[outpoint], &[COIN_VALUE - fee]);
        self.model.submit(&tx).unwrap();
        tx
    }

    /// Twenty payments, whose fees go from 200 to 4,000, then a block of the best.
    fn block(&mut self) -> Vec<Txid> {
        for step in 0..20 {
            self.pay(200 + (step * 7 % 20) * 200);
        }
        let best = self.model.pool.template(self.room, u64::MAX).transactions;
        let rates = best.iter().map(|tx| tx.fee.units() * 1000 / tx.size);
        self.lowest = rates.min().unwrap();
        let block = best.iter().map(|tx| (*tx.tx).clone()).collect();
        self.model.connect(block);
        best.iter().map(|tx| tx.txid).collect()
    }

    fn estimate(&self, target: u32) -> Option<u64> {
        let room = u32::try_from(self.room).unwrap();
        self.model.pool.estimate_fee(target, room, self.model.now)
    }

    /// Pays at the rate; tells after how many blocks it is in one.
    fn wait_of_payment(&mut self, rate: u64) -> u32 {
        let size = payment(&[OutPoint::NULL], &[1]).encoded_len() as u64;
        let txid = self.pay((rate * size).div_ceil(1000)).txid();
        (1..100).find(|_| self.block().contains(&txid)).unwrap()
    }
}

#[test]
fn from_the_tenth_block_on_estimates_get_in_and_are_not_wasteful() {
    let mut market = Market::new(12);
    for _ in 0..10 {
        market.block();
    }
    let mut waits = Vec::new();
    for _ in 0..20 {
        let next = market.estimate(1).unwrap();
        let lowest = market.lowest;
        assert!(next <= 2 * lowest, "{next}, but {lowest} got in");
        let patient = market.estimate(48).unwrap();
        assert!(patient <= next, "{patient} for 48 blocks, {next} for one");
        waits.push(market.wait_of_payment(next));
    }
    // Of what pays the rate of the last that got in, one more is one too many until that is seen: an estimate is right for 85 of 100.
    let at_once = waits.iter().filter(|blocks| **blocks == 1).count();
    assert!(
        at_once >= 15 && waits.iter().all(|blocks| *blocks <= 5),
        "{waits:?}"
    );
}

#[test]
fn where_there_is_room_for_all_the_least_is_enough() {
    let mut market = Market::new(40);
    for _ in 0..10 {
        market.block();
    }
    let step = Policy::default().incremental_fee;
    for target in [1, 6, 48] {
        let rate = market.estimate(target).unwrap();
        // What was paid least got in each time: some of the lowest bucket's mean.
        assert!((step..=6_000).contains(&rate), "{rate}");
        assert_eq!(market.wait_of_payment(rate), 1);
    }
}

/// A flood of rich payments, far more than a block: an estimate for the next block is above what the flood pays at its edge, at once.
#[test]
fn a_backlog_counts_before_any_of_it_is_mined() {
    let mut market = Market::new(12);
    for _ in 0..10 {
        market.block();
    }
    let before = market.estimate(1).unwrap();
    for number in 0..60 {
        market.pay(20_000 + number);
    }
    let after = market.estimate(1).unwrap();
    assert!(
        after > 200_000 && after > 3 * before,
        "{before}, then {after}"
    );
    assert_eq!(market.wait_of_payment(after), 1);
}
