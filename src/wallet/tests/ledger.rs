//! Balances: each coin in the right sum, whatever the mempool does with it.

use proptest::prelude::*;

use crate::primitives::{
    Amount, COIN, Coin, OutPoint, PubkeyHash, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut,
    Txid, UncheckedAmount,
};
use crate::wallet::{Ledger, LedgerContext, LedgerError};

const MATURITY_100: LedgerContext = LedgerContext {
    tip_height: 200,
    coinbase_maturity: 100,
};

fn ours() -> PubkeyHash {
    PubkeyHash::from_bytes([1; 20])
}

fn theirs() -> PubkeyHash {
    PubkeyHash::from_bytes([2; 20])
}

fn point(tag: u8) -> OutPoint {
    OutPoint {
        txid: Txid::from_bytes([tag; 32]),
        vout: 0,
    }
}

fn coin(coins: u64, height: u32, is_coinbase: bool) -> Coin {
    let value = Amount::from_units(coins * COIN).expect("amount");
    Coin {
        value,
        pubkey_hash: ours(),
        height,
        is_coinbase,
    }
}

fn spend(from: &[OutPoint], to: &[(PubkeyHash, u64)]) -> (Txid, Transaction) {
    let tx = Transaction {
        version: 2,
        inputs: from
            .iter()
            .map(|previous_output| TxIn {
                previous_output: *previous_output,
                script_sig: Script::default(),
                sequence: SEQUENCE_FINAL,
            })
            .collect(),
        outputs: to
            .iter()
            .map(|(hash, coins)| TxOut {
                value: UncheckedAmount(coins * COIN),
                script_pubkey: Script::p2pkh(hash),
            })
            .collect(),
        lock_time: 0,
    };
    (tx.txid(), tx)
}

fn ledger(
    context: LedgerContext,
    coins: &[(OutPoint, Coin)],
    pool: &[(Txid, Transaction)],
) -> Ledger {
    let pool = pool.iter().map(|(txid, tx)| (*txid, tx));
    Ledger::new(context, |hash| *hash == ours(), coins.iter().copied(), pool).expect("sums fit")
}

/// Coins, not units: (spendable, immature, pending, being spent).
fn sums(ledger: &Ledger) -> (u64, u64, u64, u64) {
    let all = ledger.balances();
    let coins = |amount: Amount| amount.units() / COIN;
    assert_eq!(
        coins(all.total),
        coins(all.spendable) + coins(all.immature) + coins(all.pending)
    );
    (
        coins(all.spendable),
        coins(all.immature),
        coins(all.pending),
        coins(all.being_spent),
    )
}

/// A coin of height h may be spent in the next block if that is at least `maturity` above h.
#[test]
fn maturity_counts_to_the_next_block() {
    let one = |height| ledger(MATURITY_100, &[(point(1), coin(50, height, true))], &[]);
    assert_eq!(sums(&one(101)), (50, 0, 0, 0), "100 confirmations");
    assert_eq!(sums(&one(102)), (0, 50, 0, 0), "99 confirmations");
    assert_eq!(
        sums(&one(300)),
        (0, 50, 0, 0),
        "above a tip that moved back"
    );
    let payment = ledger(MATURITY_100, &[(point(1), coin(50, 200, false))], &[]);
    assert_eq!(
        sums(&payment),
        (50, 0, 0, 0),
        "only mined coins must mature"
    );

    let dev = LedgerContext {
        tip_height: 0,
        coinbase_maturity: 1,
    };
    let genesis = ledger(dev, &[(point(1), coin(50, 0, true))], &[]);
    assert_eq!(sums(&genesis), (50, 0, 0, 0));
    assert_eq!(genesis.spendable()[0].confirmations, 1);
}

/// ```text
/// confirmed 50 ── tx a ──> 10 to them, 40 change ── tx b ──> 15 to them, 25 change
/// ```
#[test]
fn own_change_is_followed_through_the_mempool() {
    let coins = [
        (point(1), coin(50, 1, false)),
        (point(2), coin(7, 1, false)),
    ];
    let a = spend(&[point(1)], &[(theirs(), 10), (ours(), 40)]);
    let b = spend(
        &[OutPoint { txid: a.0, vout: 1 }],
        &[(theirs(), 15), (ours(), 25)],
    );
    for pool in [[a.clone(), b.clone()], [b, a]] {
        let ledger = ledger(MATURITY_100, &coins, &pool);
        assert_eq!(sums(&ledger), (7, 0, 25, 50));
        assert_eq!(ledger.spendable_with_own_change().len(), 2);
        assert_eq!(ledger.being_spent().len(), 1);
    }
}

/// Money from others is pending and never offered for spending: they could still take it back.
#[test]
fn foreign_money_is_not_own_change() {
    let coins = [(point(1), coin(50, 1, false))];
    let gift = spend(&[point(9)], &[(ours(), 5)]);
    // Built on the gift and on an own coin: not trusted either.
    let mixed = spend(
        &[
            OutPoint {
                txid: gift.0,
                vout: 0,
            },
            point(1),
        ],
        &[(ours(), 55)],
    );
    let alone = ledger(MATURITY_100, &coins, std::slice::from_ref(&gift));
    assert_eq!(sums(&alone), (50, 0, 5, 0));
    assert_eq!(alone.spendable_with_own_change(), alone.spendable());
    let both = ledger(MATURITY_100, &coins, &[gift, mixed]);
    assert_eq!(sums(&both), (0, 0, 55, 50));
    assert!(both.spendable_with_own_change().is_empty());
    assert_eq!(both.pending().len(), 1);
}

/// Row W4: what one payment uses, the next is not offered.
#[test]
fn a_coin_in_the_mempool_is_not_offered_again() {
    let coins = [
        (point(1), coin(50, 1, false)),
        (point(2), coin(30, 1, false)),
    ];
    let first = spend(&[point(1)], &[(theirs(), 50)]);
    let ledger = ledger(MATURITY_100, &coins, &[first]);
    let offered: Vec<_> = ledger
        .spendable_with_own_change()
        .iter()
        .map(|c| c.outpoint)
        .collect();
    assert_eq!(offered, [point(2)]);
}

/// A block came between reading the chain and reading the mempool.
#[test]
fn a_transaction_seen_in_both_counts_once() {
    let (txid, tx) = spend(&[point(1)], &[(ours(), 40)]);
    let mined = [(OutPoint { txid, vout: 0 }, coin(40, 200, false))];
    assert_eq!(
        sums(&ledger(MATURITY_100, &mined, &[(txid, tx)])),
        (40, 0, 0, 0)
    );
}

#[test]
fn others_coins_do_not_count_and_impossible_sums_are_an_error() {
    let foreign = Coin {
        pubkey_hash: theirs(),
        ..coin(50, 1, false)
    };
    assert_eq!(
        sums(&ledger(MATURITY_100, &[(point(1), foreign)], &[])),
        (0, 0, 0, 0)
    );
    let all = Coin {
        value: Amount::MAX,
        ..coin(1, 1, false)
    };
    let twice = [(point(1), all), (point(2), all)];
    let result = Ledger::new(MATURITY_100, |_| true, twice, []);
    assert_eq!(result.err(), Some(LedgerError));
}

proptest! {
    /// Mining the mempool turns pending into confirmed: `total` before is `total` after.
    #[test]
    fn mining_the_mempool_keeps_the_total(
        coins in proptest::collection::vec((1..50_u64, 90..200_u32, any::<bool>()), 1..12),
        payments in proptest::collection::vec((any::<prop::sample::Index>(), 0..100_u64), 0..8),
    ) {
        let mut unspent: Vec<(OutPoint, Coin)> = (1_u8..).zip(coins)
            .map(|(tag, (value, height, mined))| (point(tag), coin(value, height, mined)))
            .collect();
        let confirmed = unspent.clone();
        let mut pool = Vec::new();
        for (which, share) in payments {
            if unspent.is_empty() {
                break;
            }
            let (from, spent) = unspent.swap_remove(which.index(unspent.len()));
            let value = spent.value.units() / COIN;
            let kept = value * share / 100;
            let (txid, tx) = spend(&[from], &[(theirs(), value - kept), (ours(), kept)]);
            unspent.push((OutPoint { txid, vout: 1 }, coin(kept, 201, false)));
            pool.push((txid, tx));
        }
        let before = ledger(MATURITY_100, &confirmed, &pool);
        let mined = LedgerContext { tip_height: 201, ..MATURITY_100 };
        let after = ledger(mined, &unspent, &[]);
        prop_assert_eq!(before.balances().total, after.balances().total);
        prop_assert_eq!(before.balances().pending.units() == 0 || !pool.is_empty(), true);
        let shown = before.spendable_with_own_change().len() + before.immature().len();
        prop_assert_eq!(shown, unspent.len(), "every unspent coin is shown once");
        pool.reverse();
        let reversed = ledger(MATURITY_100, &confirmed, &pool);
        prop_assert_eq!(before.balances(), reversed.balances());
    }
}
