//! Rows B of the faults: which coins a block may spend, and when.

use super::blocks::{first_output, is_new_tip, refusal};
use super::*;
use crate::consensus::ChainSpec;
use crate::keys::sign_input;
use crate::primitives::{OutPoint, SEQUENCE_FINAL, Transaction};

/// A payment with the given input sequences and lock, signed last.
fn locked(coin: OutPoint, version: i32, sequence: u32, lock_time: u32) -> Transaction {
    let mut tx = pay(1, &[coin], &[(2, COIN)]);
    (tx.version, tx.lock_time, tx.inputs[0].sequence) = (version, lock_time, sequence);
    sign_input(&mut tx, 0, &testing::key(1));
    tx
}

/// B9: regtest's own maturity.
#[test]
fn b09_depth_99_is_too_early_and_100_is_not() {
    let chain = TestChain::with_spec(ChainSpec::regtest());
    let first = chain.extend(1).remove(0);
    let spend = pay(1, &[coinbase_coin(&first)], &[(2, 50 * COIN)]);
    chain.extend(98);
    let early = chain.block_on(tip(&chain), vec![spend.clone()], 0);
    assert_eq!(
        refusal(&chain, &early),
        "bad-txns-premature-spend-of-coinbase"
    );
    chain.extend(1);
    let ripe = chain.block_on(tip(&chain), vec![spend], 0);
    assert_eq!(
        chain.submit(&ripe),
        Ok(BlockAccepted::NewTip { height: 101 })
    );
}

/// B10, B11: what a block may spend, and in which order.
#[test]
fn b10_only_what_is_unspent_by_then_is_spent() {
    let chain = TestChain::new();
    let base = chain.extend(3);
    let coin = coinbase_coin(&base[0]);
    let spent = pay(1, &[coinbase_coin(&base[1])], &[(2, 50 * COIN)]);
    let block = chain.block_on(tip(&chain), vec![spent.clone()], 0);
    chain.submit(&block).unwrap();
    let parent = pay(1, &[coin], &[(2, 50 * COIN)]);
    let child = pay(2, &[first_output(&parent)], &[(3, 50 * COIN)]);
    let missing = OutPoint {
        txid: Txid::from_bytes([9; 32]),
        vout: 0,
    };
    let out_of_range = OutPoint { vout: 1, ..coin };
    let cases = [
        vec![pay(1, &[missing], &[(2, 1)])],
        vec![pay(1, &[out_of_range], &[(2, 1)])],
        vec![pay(1, &[coinbase_coin(&base[1])], &[(3, 1)])],
        vec![child.clone(), parent.clone()],
        vec![pay(1, &[coin], &[(2, 1)]), pay(1, &[coin], &[(3, 1)])],
        vec![
            parent.clone(),
            child.clone(),
            pay(2, &[first_output(&parent)], &[(1, 1)]),
        ],
    ];
    for (case, transactions) in cases.into_iter().enumerate() {
        let block = chain.block_on(tip(&chain), transactions, 0);
        let reason = refusal(&chain, &block);
        assert_eq!(reason, "bad-txns-inputs-missingorspent", "case {case}");
    }
}

/// B11: a chain of payments inside one block, oldest first.
#[test]
fn b11_children_after_their_parents() {
    let chain = TestChain::new();
    let base = chain.extend(1);
    let mut family = vec![pay(1, &[coinbase_coin(&base[0])], &[(2, 50 * COIN)])];
    for owner in 2..20 {
        let coin = first_output(family.last().unwrap());
        family.push(pay(owner, &[coin], &[(owner + 1, 50 * COIN)]));
    }
    let block = chain.block_on(tip(&chain), family, 0);
    assert!(is_new_tip(chain.submit(&block)));
    assert_sound(&chain);
}

/// B12: a coin of another branch.
/// ```text
/// 0 ── a1 ── a2 (makes the coin)
///  └── b1 ── b2 ── b3 (spends it)
/// ```
#[test]
fn b12_a_coin_of_another_branch_does_not_exist() {
    let chain = TestChain::new();
    let genesis = tip(&chain);
    let a = chain.extend(1);
    let made = pay(1, &[coinbase_coin(&a[0])], &[(2, 50 * COIN)]);
    let a2 = chain.block_on(tip(&chain), vec![made.clone()], 0);
    chain.submit(&a2).unwrap();
    let before = active_state(&chain);
    let b = branch(&chain, genesis, 2, 1);
    for block in &b {
        chain.submit(block).unwrap();
    }
    for coin in [first_output(&made), coinbase_coin(&a[0])] {
        let spender = pay(1, &[coin], &[(3, COIN)]);
        let b3 = chain.block_on(b[1].hash(), vec![spender], 0);
        assert_eq!(refusal(&chain, &b3), "bad-txns-inputs-missingorspent");
    }
    assert_eq!(tip(&chain), a2.hash());
    assert_eq!(active_state(&chain), before);
}

/// B15: lock times are compared with the median time of the blocks before, not with the block's own (BIP113).
#[test]
fn b15_absolute_locks() {
    let chain = TestChain::new();
    let base = chain.extend(12);
    let (height, median) = (13, chain.reader().tip().median_time_past);
    let coin = coinbase_coin(&base[0]);
    let block = |tx: Transaction| chain.block_on(tip(&chain), vec![tx], 0);
    let own_time = block(locked(coin, 1, SEQUENCE_FINAL, 0)).header.time;
    assert!(median + 1 < own_time);
    for lock in [height, height + 1, median, median + 1, own_time, u32::MAX] {
        let block = block(locked(coin, 1, 0, lock));
        assert_eq!(refusal(&chain, &block), "bad-txns-nonfinal", "{lock}");
    }
    // The coinbase is no exception.
    let own = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
        block.transactions[0].lock_time = height;
        block.transactions[0].inputs[0].sequence = 0;
    });
    assert_eq!(refusal(&chain, &own), "bad-txns-nonfinal");
    for (index, (sequence, lock)) in [(0, height - 1), (0, median - 1), (SEQUENCE_FINAL, u32::MAX)]
        .into_iter()
        .enumerate()
    {
        let tx = locked(coinbase_coin(&base[index]), 1, sequence, lock);
        let block = chain.block_on(tip(&chain), vec![tx], 0);
        assert!(is_new_tip(chain.submit(&block)), "{lock}");
    }
}

/// B16: relative locks bind version 2 and leave version 1 alone; other versions are refused whatever they lock.
#[test]
fn b16_relative_locks_in_blocks() {
    /// BIP68: the lock counts units of 512 s.
    const TIME: u32 = 1 << 22;
    let chain = TestChain::new();
    let base = chain.extend(12);
    // The coin of block 12 is one block old in block 13, and its age in median time is nothing yet.
    let young = coinbase_coin(&base[11]);
    let old = coinbase_coin(&base[0]);
    let block = |tx: Transaction| chain.block_on(tip(&chain), vec![tx], 0);
    for (coin, sequence) in [
        (young, 2),
        (old, 13),
        (old, 0xffff),
        (young, TIME | 1),
        (old, TIME | 1),
    ] {
        let unmet = block(locked(coin, 2, sequence, 0));
        assert_eq!(refusal(&chain, &unmet), "non-BIP68-final", "{sequence:#x}");
        let unknown = block(locked(coin, -1, sequence, 0));
        assert_eq!(refusal(&chain, &unknown), "bad-txns-version");
    }
    // A lock that a later median time meets: the next blocks come 512 s apart.
    let start = chain.reader().tip().header.time;
    for step in 1..=7 {
        let block = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            block.header.time = start + 512 * step;
        });
        chain.submit(&block).unwrap();
    }
    let met = block(locked(old, 2, TIME | 1, 0));
    assert!(is_new_tip(chain.submit(&met)));
    let version_1 = block(locked(coinbase_coin(&base[1]), 1, 0xffff, 0));
    assert!(is_new_tip(chain.submit(&version_1)));
    let by_height = block(locked(coinbase_coin(&base[2]), 2, 12, 0));
    assert!(is_new_tip(chain.submit(&by_height)));
    let disabled = block(locked(coinbase_coin(&base[3]), 2, 1 << 31 | 0xffff, 0));
    assert!(is_new_tip(chain.submit(&disabled)));
}

/// B17: the same coinbase, byte for byte, on two branches; in no chain can it come twice, and whoever goes back loses no coin.
/// ```text
/// 0 ── 1 ── a2 ── a3 (spends the coin of a2)
///       └── b2 ── b3 ── b4      b2 has the coinbase of a2
/// ```
#[test]
fn b17_equal_coinbases_of_two_branches_are_one_coin() {
    let chain = TestChain::new();
    let base = chain.extend(1);
    let a2 = chain.block_on(base[0].hash(), Vec::new(), 5);
    chain.submit(&a2).unwrap();
    let coin = coinbase_coin(&a2);
    let spend = pay(1, &[coin], &[(2, 50 * COIN)]);
    let a3 = chain.block_on(a2.hash(), vec![spend], 5);
    chain.submit(&a3).unwrap();
    let unspent = |chain: &TestChain| chain.reader().coins(&[coin]).unwrap()[0].is_some();
    assert!(!unspent(&chain));
    let b2 = chain.block_with(base[0].hash(), Vec::new(), 5, |block| {
        block.header.time += 1;
    });
    assert_eq!(b2.transactions, a2.transactions);
    assert_ne!(b2.hash(), a2.hash());
    chain.submit(&b2).unwrap();
    let b3 = chain.block_on(b2.hash(), Vec::new(), 6);
    chain.submit(&b3).unwrap();
    let b4 = chain.block_on(b3.hash(), Vec::new(), 6);
    assert!(is_new_tip(chain.submit(&b4)));
    assert!(unspent(&chain));
    assert_sound(&chain);
    // And back, by an order from outside: the spend is there again, and the coin is not.
    chain.handle().invalidate_block_blocking(b2.hash()).unwrap();
    assert_eq!(tip(&chain), a3.hash());
    assert!(!unspent(&chain));
    assert_sound(&chain);
    // The older coinbase again, higher up: refused for its height, long before it could overwrite a coin (BIP30).
    let mut again = chain.block_on(a3.hash(), Vec::new(), 7);
    again.transactions[0] = base[0].transactions[0].clone();
    again.header.merkle_root = again.compute_merkle_root().0;
    solve(&mut again.header);
    assert_eq!(refusal(&chain, &again), "bad-cb-height");
    let older = chain.reader().coins(&[coinbase_coin(&base[0])]).unwrap();
    assert!(older[0].is_some());
}
