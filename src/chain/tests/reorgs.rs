//! Rows B19 to B23: reorganisations, ties, and what they cost.

use super::*;
use crate::consensus::{ChainSpec, RuleError};
use crate::primitives::{OutPoint, Transaction, UncheckedAmount};

/// `len` blocks on `parent` as bodies, each with the payment that `payment` makes of the block before it.
fn paying_branch(
    chain: &TestChain,
    parent: BlockHash,
    len: u32,
    salt: u32,
    payment: impl Fn(&Block) -> Option<Transaction>,
) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..len {
        let on = blocks.last().map_or(parent, Block::hash);
        let payments = blocks.last().and_then(&payment).into_iter().collect();
        let block = chain.block_on(on, payments, salt);
        chain
            .handle()
            .submit_headers_blocking(vec![block.header])
            .unwrap();
        blocks.push(block);
    }
    blocks
}

/// B19: the second of a heavier branch's blocks is invalid, and blocks follow it.
/// ```text
/// 0 ── a1 ── a2
///  └── b1 ── b2 (pays itself too much) ── b3 ── b4
/// ```
#[test]
fn b19_a_heavier_branch_with_a_bad_block_in_its_midst_changes_nothing() {
    let mut chain = TestChain::new();
    let genesis = tip(&chain);
    let a = chain.extend(2);
    let b1 = branch(&chain, genesis, 1, 1).remove(0);
    let b2 = chain.block_with(b1.hash(), Vec::new(), 1, |block| {
        block.transactions[0].outputs[0].value = UncheckedAmount(51 * COIN);
    });
    chain
        .handle()
        .submit_headers_blocking(vec![b2.header])
        .unwrap();
    let rest = branch(&chain, b2.hash(), 2, 1);
    let (before, stats) = (active_state(&chain), chain.reader().coin_stats().unwrap());
    // Last first, so that the whole branch is judged at once.
    for block in rest.iter().rev().chain([&b2]) {
        chain.submit(block).unwrap();
        assert_eq!(tip(&chain), a[1].hash());
    }
    chain.submit(&b1).unwrap();
    assert_eq!(tip(&chain), a[1].hash(), "b1 alone is no better");
    assert_eq!(active_state(&chain), before);
    assert_eq!(chain.reader().coin_stats().unwrap(), stats);
    let invalid = |hash| chain.reader().header_info(&hash).unwrap().is_invalid;
    assert!(!invalid(b1.hash()) && invalid(b2.hash()) && invalid(rest[1].hash()));
    assert_eq!(chain.submit(&b2), Err(SubmitError::KnownInvalid(b2.hash())));
    chain.restart();
    assert_eq!(active_state(&chain), before);
    assert_sound(&chain);
}

/// B20: an invalid block again, and its child, are answered from memory: nothing is read, nothing is written.
#[test]
fn b20_an_invalid_block_is_not_judged_again() {
    let mut chain = TestChain::new();
    let base = chain.extend(1);
    let bad = chain.block_with(base[0].hash(), Vec::new(), 0, |block| {
        block.transactions[0].outputs[0].value = UncheckedAmount(51 * COIN);
    });
    assert!(matches!(
        chain.submit(&bad),
        Err(SubmitError::Invalid(RuleError::CoinbaseAmount { .. }))
    ));
    let child = chain.block_on(bad.hash(), Vec::new(), 0);
    for _ in 0..2 {
        let dump = chain.reader().store().dump();
        let headers = chain.reader().header_count();
        for _ in 0..50 {
            let again = chain.submit(&bad);
            assert_eq!(again, Err(SubmitError::KnownInvalid(bad.hash())));
            let parent = chain.submit(&child);
            assert_eq!(parent, Err(SubmitError::InvalidParent(bad.hash())));
        }
        assert_eq!(chain.reader().store().dump(), dump);
        assert_eq!(chain.reader().header_count(), headers);
        chain.restart();
    }
}

/// B21: both branches pay in every block, and some of the payments are the same.
/// ```text
/// 0 ── 1 ── a1 … an          active, n payments
///       └── b1 … bn ── b(n+1)
/// ```
#[test]
fn b21_reorganisations_of_any_depth_end_in_the_state_of_the_winner() {
    for depth in [1, 6, 100, 1_088] {
        let mut chain = TestChain::new();
        let base = chain.extend(1);
        let onward = |to: u8| {
            move |block: &Block| {
                let coin = coinbase_coin(block);
                Some(pay(1, &[coin], &[(to, COIN / 1_000)]))
            }
        };
        let a = paying_branch(&chain, base[0].hash(), depth, 1, onward(2));
        for block in &a {
            chain.submit(block).unwrap();
        }
        let old = active_state(&chain);
        let b = paying_branch(&chain, base[0].hash(), depth + 1, 2, onward(3));
        let (last, rest) = b.split_last().unwrap();
        for block in rest {
            chain.submit(block).unwrap();
        }
        assert_eq!(active_state(&chain), old, "equal work changes nothing");
        assert_eq!(
            chain.submit(last),
            Ok(BlockAccepted::NewTip { height: depth + 2 })
        );
        let straight = TestChain::new();
        for block in base.iter().chain(&b) {
            straight.submit(block).unwrap();
        }
        let new = active_state(&chain);
        assert_eq!(new, active_state(&straight), "depth {depth}");
        chain
            .handle()
            .invalidate_block_blocking(b[0].hash())
            .unwrap();
        assert_eq!(active_state(&chain), old, "and all the way back");
        chain.restart();
        assert_eq!(active_state(&chain), old);
        assert_sound(&chain);
    }
}

/// B22: of equal work the block whose body was complete first stays, whatever order the headers came in, also after a restart.
/// ```text
/// 0 ── a1 ── a2
///  └── b1 ── b2
/// ```
#[test]
fn b22_the_first_whole_branch_wins_a_tie() {
    let source = TestChain::new();
    let genesis = tip(&source);
    let a = branch(&source, genesis, 2, 1);
    let b = branch(&source, genesis, 2, 2);
    // The order of the bodies, and who must win: who is whole first.
    let orders: [([&Block; 4], &Block); 4] = [
        ([&a[0], &a[1], &b[0], &b[1]], &a[1]),
        ([&b[0], &b[1], &a[0], &a[1]], &b[1]),
        ([&a[0], &b[0], &b[1], &a[1]], &b[1]),
        ([&a[1], &b[0], &b[1], &a[0]], &b[1]),
    ];
    for (order, winner) in &orders {
        for headers_first in [false, true] {
            for restart_after in 0..=4 {
                let mut chain = TestChain::new();
                if headers_first {
                    for branch in [&b, &a] {
                        let headers = branch.iter().map(|block| block.header).collect();
                        chain.handle().submit_headers_blocking(headers).unwrap();
                    }
                }
                for (index, block) in order.iter().enumerate() {
                    if restart_after == index {
                        chain.restart();
                    }
                    // A body whose parent's header is unknown is refused; who sends it sends the parent first.
                    if !headers_first {
                        let parent = if a.contains(block) { &a[0] } else { &b[0] };
                        let headers = vec![parent.header, block.header];
                        let _ = chain.handle().submit_headers_blocking(headers);
                    }
                    chain.submit(block).unwrap();
                }
                chain.restart();
                assert_eq!(tip(&chain), winner.hash());
                assert_sound(&chain);
            }
        }
    }
}

/// B23: a block of a million bytes, of chained payments or of inputs, is connected; how long it takes is printed by
/// `cargo test --release b23_ -- --nocapture` and decides nothing. The counts that make it linear are tested in `consensus`.
#[test]
fn b23_a_megabyte_of_inputs_or_of_chained_payments() {
    let spec = ChainSpec {
        name: "unit".into(),
        coinbase_maturity: 1,
        ..ChainSpec::regtest()
    };
    let timed = |name: &str, chain: &TestChain, block: &Block| {
        let begin = std::time::Instant::now();
        let result = chain.submit(block);
        let size = block.encoded_len();
        println!("{name}: {size} bytes in {:?}", begin.elapsed());
        assert!(matches!(result, Ok(BlockAccepted::NewTip { .. })));
    };
    let chain = TestChain::with_spec(spec);
    let funds = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
        let coinbase = &mut block.transactions[0];
        let mut output = coinbase.outputs[0].clone();
        output.value = UncheckedAmount(COIN / 1_000);
        coinbase.outputs = vec![output; 13_300];
    });
    chain.submit(&funds).unwrap();
    let txid = funds.transactions[0].txid();
    let coins = |range: std::ops::Range<u32>| -> Vec<OutPoint> {
        range.map(|vout| OutPoint { txid, vout }).collect()
    };
    let one = pay(1, &coins(0..6_650), &[(2, COIN)]);
    let block = chain.block_on(tip(&chain), vec![one], 0);
    timed("one payment of 6,650 inputs", &chain, &block);

    let many: Vec<Transaction> = coins(6_650..13_300)
        .chunks(100)
        .map(|coins| pay(1, coins, &[(2, COIN / 100)]))
        .collect();
    let block = chain.block_on(tip(&chain), many, 0);
    timed("67 payments of 100 inputs", &chain, &block);

    let mut coin = coinbase_coin(&chain.extend(1)[0]);
    let family: Vec<Transaction> = (0..5_150)
        .map(|_| {
            let tx = pay(1, &[coin], &[(1, COIN)]);
            coin = OutPoint {
                txid: tx.txid(),
                vout: 0,
            };
            tx
        })
        .collect();
    let block = chain.block_on(tip(&chain), family, 0);
    timed("5,150 payments, each spending the last", &chain, &block);
    assert_sound(&chain);
}
