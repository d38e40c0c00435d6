//! Laws of the engine, each fork drawn.

mod blocks;
mod catch_up;
mod disk;
mod headers;
mod marks;
mod mending;
mod proposals;
mod reorgs;
mod spending;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::testing::{TestChain, coinbase_coin, key_hash, pay, solve};
use super::*;
use crate::consensus::{ChainSpec, RuleError};
use crate::primitives::{Amount, Block, BlockHash, COIN, Decode, Encode, Txid, UncheckedAmount};

/// Everything on the disk that depends on the active chain alone.
fn active_state(chain: &TestChain) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut rows = chain.reader().store().dump();
    rows.retain(|(column, ..)| !matches!(*column, "headers" | "bodies"));
    rows
}

fn tip(chain: &TestChain) -> BlockHash {
    chain.reader().tip().hash
}

fn assert_sound(chain: &TestChain) {
    let audit = chain.reader().audit(&mut |_| {}).unwrap();
    assert!(audit.is_sound(), "{audit:?}");
}

/// The pages of an address's history, newest first, are the history backwards.
fn assert_pages_are_the_history(chain: &TestChain) {
    for number in 1..=3 {
        let owner = key_hash(number);
        let mut history = chain.reader().address_history(&owner).unwrap();
        history.reverse();
        for (skip, count) in [(0, 0), (0, 2), (1, 2), (2, 1000), (1000, 2)] {
            let page = chain.reader().latest_history(&owner, skip, count).unwrap();
            let expected: Vec<_> = history.iter().copied().skip(skip).take(count).collect();
            assert_eq!(page, (expected, history.len()), "{skip} {count}");
        }
    }
}

/// A branch of `len` empty blocks on `parent`, whose headers are given to the chain so that each can be built on.
fn branch(chain: &TestChain, mut parent: BlockHash, len: u32, salt: u32) -> Vec<Block> {
    (0..len)
        .map(|_| {
            let block = chain.block_on(parent, Vec::new(), salt);
            chain
                .handle()
                .submit_headers_blocking(vec![block.header])
                .unwrap();
            parent = block.hash();
            block
        })
        .collect()
}

/// ```text
/// 0 ── a1 ── a2            active
///  └── b1 ── b2 ── b3      heavier, received later
/// ```
#[test]
fn a_heavier_branch_wins_and_equal_work_does_not() {
    let chain = TestChain::new();
    let genesis = tip(&chain);
    let a = chain.extend(2);
    let b = branch(&chain, genesis, 3, 1);
    assert_eq!(
        chain.submit(&b[0]),
        Ok(BlockAccepted::SideBranch { height: 1 })
    );
    assert_eq!(
        chain.submit(&b[1]),
        Ok(BlockAccepted::SideBranch { height: 2 })
    );
    assert_eq!(
        tip(&chain),
        a[1].hash(),
        "the first received of equal work stays"
    );
    let mut events = chain.handle().subscribe();
    assert_eq!(chain.submit(&b[2]), Ok(BlockAccepted::NewTip { height: 3 }));
    assert_eq!(tip(&chain), b[2].hash());
    assert_sound(&chain);
    let mut names = Vec::new();
    while let Some(Ok((_, event))) = events.try_next() {
        names.push(match &*event {
            Event::Chain(ChainEvent::Disconnected { height, .. }) => format!("-{height}"),
            Event::Chain(ChainEvent::Connected { height, .. }) => format!("+{height}"),
            Event::Chain(ChainEvent::Reorg {
                fork,
                disconnected,
                connected,
                ..
            }) => {
                assert_eq!(*fork, genesis);
                format!("reorg {disconnected}/{connected}")
            }
            Event::Chain(ChainEvent::TipChanged { height, .. }) => format!("tip {height}"),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(names, ["-2", "-1", "+1", "+2", "+3", "reorg 2/3", "tip 3"]);
}

/// The state after a reorg is the state of a chain that only ever saw the winning branch.
#[test]
fn state_depends_on_the_active_chain_alone() {
    let chain = TestChain::new();
    let base = chain.extend(3);
    let fork = tip(&chain);
    let coin = coinbase_coin(&base[0]);
    // Both branches confirm the same payment, at different heights.
    let payment = pay(1, &[coin], &[(2, 10 * COIN), (1, 40 * COIN)]);
    let a1 = chain.block_on(fork, vec![payment.clone()], 1);
    chain.submit(&a1).unwrap();
    let spent_again = pay(
        2,
        &[crate::primitives::OutPoint {
            txid: payment.txid(),
            vout: 0,
        }],
        &[(3, 10 * COIN)],
    );
    let a2 = chain.block_on(a1.hash(), vec![spent_again.clone()], 1);
    chain.submit(&a2).unwrap();

    let b = branch(&chain, fork, 1, 2);
    let b2 = chain.block_on(b[0].hash(), vec![payment.clone(), spent_again.clone()], 2);
    chain
        .handle()
        .submit_headers_blocking(vec![b2.header])
        .unwrap();
    let b3 = chain.block_on(b2.hash(), Vec::new(), 2);
    // The bodies arrive last first: a branch costs nothing until it is complete.
    chain
        .handle()
        .submit_headers_blocking(vec![b3.header])
        .unwrap();
    assert_eq!(
        chain.reader().missing_blocks(9),
        [(4, b[0].hash()), (5, b2.hash()), (6, b3.hash())]
    );
    let towards = |hash| chain.reader().missing_blocks_towards(&hash, 9);
    assert_eq!(towards(b2.hash()), [(4, b[0].hash()), (5, b2.hash())]);
    assert!(towards(a2.hash()).is_empty(), "all of that branch is here");
    // A header is checked without the writer, and without being taken.
    let next = chain.block_on(b3.hash(), Vec::new(), 3).header;
    assert_eq!(chain.handle().check_header(&next), Ok(()));
    assert_eq!(chain.reader().header_info(&next.hash()), None);
    chain.submit(&b3).unwrap();
    chain.submit(&b2).unwrap();
    assert_eq!(tip(&chain), a2.hash());
    assert_eq!(chain.submit(&b[0]), Ok(BlockAccepted::NewTip { height: 4 }));
    assert_eq!(tip(&chain), b3.hash());
    assert!(chain.reader().missing_blocks(9).is_empty());

    let straight = TestChain::new();
    for block in base.iter().chain(&b).chain([&b2, &b3]) {
        straight.submit(block).unwrap();
    }
    assert_eq!(active_state(&chain), active_state(&straight));
    assert_sound(&chain);
    let found = chain
        .reader()
        .transaction(&payment.txid())
        .unwrap()
        .unwrap();
    assert_eq!((found.block, found.height, found.index), (b2.hash(), 5, 1));
    let history = chain.reader().address_history(&key_hash(3)).unwrap();
    assert_eq!(history, [(5, 2, spent_again.txid())]);
    assert_pages_are_the_history(&chain);
}

/// B19: the last block of a heavier branch is invalid.
/// ```text
/// 0 ── a1 ── a2 ── a3
///  └── b1 ── b2 ── b3 ── b4 (pays itself too much)
/// ```
#[test]
fn b19_a_heavier_invalid_branch_changes_nothing() {
    let chain = TestChain::new();
    let genesis = tip(&chain);
    let a = chain.extend(3);
    let b = branch(&chain, genesis, 3, 1);
    let b4 = chain.block_with(b[2].hash(), Vec::new(), 1, |block| {
        block.transactions[0].outputs[0].value = UncheckedAmount(51 * COIN);
    });
    for block in &b {
        chain.submit(block).unwrap();
    }
    let before = active_state(&chain);
    let refused = chain.submit(&b4).unwrap_err();
    assert!(
        matches!(
            refused,
            SubmitError::Invalid(RuleError::CoinbaseAmount { .. })
        ),
        "{refused}"
    );
    assert_eq!(tip(&chain), a[2].hash());
    assert_eq!(active_state(&chain), before);
    // B20: again, and a child of it.
    assert_eq!(chain.submit(&b4), Err(SubmitError::KnownInvalid(b4.hash())));
    let mut child = chain.block_on(b4.hash(), Vec::new(), 1);
    solve(&mut child.header);
    assert_eq!(
        chain.submit(&child),
        Err(SubmitError::InvalidParent(b4.hash()))
    );
    assert_sound(&chain);
}

/// B1: an altered copy is refused without a word against the hash; the honest body is taken after it.
#[test]
fn b01_a_mutated_body_never_marks_the_hash() {
    let chain = TestChain::new();
    let base = chain.extend(4);
    let coin = |index: usize| coinbase_coin(&base[index]);
    let payments = vec![
        pay(1, &[coin(0)], &[(2, 50 * COIN)]),
        pay(1, &[coin(1)], &[(2, 50 * COIN)]),
    ];
    let honest = chain.block_on(tip(&chain), payments, 0);
    let mut repeated = honest.clone();
    repeated.transactions.push(honest.transactions[2].clone());
    assert_eq!(
        chain.submit(&repeated),
        Err(SubmitError::Mutated(RuleError::MerkleTreeMutated))
    );
    let mut other = honest.clone();
    other.transactions.truncate(1);
    assert!(matches!(
        chain.submit(&other),
        Err(SubmitError::Mutated(RuleError::MerkleRootMismatch { .. }))
    ));
    assert_eq!(
        chain.submit(&honest),
        Ok(BlockAccepted::NewTip { height: 5 })
    );
}

/// H3: a block from the future is refused now and taken when its time has come.
#[test]
fn h03_a_future_block_is_taken_later() {
    let chain = TestChain::new();
    let limit = chain.clock.load(Ordering::Relaxed) + 7200;
    let block = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
        block.header.time = u32::try_from(limit + 1).unwrap();
    });
    assert_eq!(
        chain.submit(&block),
        Err(SubmitError::Future {
            time: block.header.time,
            limit
        })
    );
    chain.clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(
        chain.submit(&block),
        Ok(BlockAccepted::NewTip { height: 1 })
    );
}

#[test]
fn an_unknown_parent_is_told_apart() {
    let chain = TestChain::new();
    let other = TestChain::new();
    let blocks = other.extend(2);
    let parent = blocks[0].hash();
    assert_eq!(
        chain.submit(&blocks[1]),
        Err(SubmitError::UnknownParent(parent))
    );
    assert_eq!(chain.reader().header_count(), 1);
}

/// B2, B3, B10, B12 and the contextual rules: one fault each, nothing changed.
#[test]
fn single_faults_are_named_and_change_nothing() {
    let chain = TestChain::new();
    let base = chain.extend(3);
    let fork = tip(&chain);
    let coin = coinbase_coin(&base[0]);
    let before = active_state(&chain);
    let unknown = crate::primitives::OutPoint {
        txid: Txid::from_bytes([9; 32]),
        vout: 0,
    };
    let mut overspend = pay(1, &[coin], &[(2, 50 * COIN), (2, 1)]);
    crate::keys::sign_input(&mut overspend, 0, &testing::key(1));
    let mut unsigned = pay(1, &[coin], &[(2, 50 * COIN)]);
    unsigned.outputs[0].value = UncheckedAmount(49 * COIN);
    let mut too_much = pay(1, &[coin], &[(2, COIN)]);
    too_much.outputs[0].value = UncheckedAmount(u64::MAX);
    let mut locked = pay(1, &[coin], &[(2, COIN)]);
    (locked.lock_time, locked.inputs[0].sequence) = (1000, 0);
    let parent_and_child = {
        let parent = pay(1, &[coin], &[(2, 50 * COIN)]);
        let child = pay(
            2,
            &[crate::primitives::OutPoint {
                txid: parent.txid(),
                vout: 0,
            }],
            &[(3, 50 * COIN)],
        );
        (parent, child)
    };
    let cases: Vec<(&str, Vec<crate::primitives::Transaction>)> = vec![
        (
            "bad-txns-inputs-duplicate",
            vec![pay(1, &[coin, coin], &[(2, 100 * COIN)])],
        ),
        (
            "bad-txns-inputs-missingorspent",
            vec![pay(1, &[unknown], &[(2, COIN)])],
        ),
        (
            "bad-txns-inputs-missingorspent",
            vec![pay(1, &[coin], &[(2, COIN)]), pay(1, &[coin], &[(3, COIN)])],
        ),
        (
            "bad-txns-inputs-missingorspent",
            vec![parent_and_child.1.clone(), parent_and_child.0.clone()],
        ),
        ("bad-txns-in-belowout", vec![overspend]),
        ("bad-txns-vout-toolarge", vec![too_much]),
        ("bad-txns-nonfinal", vec![locked]),
        ("mandatory-script-verify-flag-failed", vec![unsigned]),
        (
            "mandatory-script-verify-flag-failed",
            vec![pay(2, &[coin], &[(2, COIN)])],
        ),
    ];
    for (salt, (reason, transactions)) in (100..).zip(cases) {
        let block = chain.block_on(fork, transactions, salt);
        let refused = chain.submit(&block).unwrap_err();
        assert_eq!(refused.reject_reason(), reason, "{refused}");
        assert_eq!(active_state(&chain), before);
    }
    // B11: a child after its parent is fine.
    let (parent, child) = parent_and_child;
    let block = chain.block_on(fork, vec![parent, child], 200);
    assert_eq!(
        chain.submit(&block),
        Ok(BlockAccepted::NewTip { height: 4 })
    );
    assert_sound(&chain);
}

#[test]
fn b09_coinbases_mature() {
    let spec = ChainSpec {
        name: "mature".into(),
        coinbase_maturity: 3,
        ..ChainSpec::regtest()
    };
    let chain = TestChain::with_spec(spec);
    let base = chain.extend(2);
    let spend = pay(1, &[coinbase_coin(&base[0])], &[(2, 50 * COIN)]);
    let early = chain.block_on(tip(&chain), vec![spend.clone()], 0);
    let refused = chain.submit(&early).unwrap_err();
    assert!(matches!(
        refused,
        SubmitError::Invalid(RuleError::ImmatureCoinbase {
            depth: 2,
            maturity: 3,
            ..
        })
    ));
    chain.extend(1);
    let ripe = chain.block_on(tip(&chain), vec![spend], 0);
    assert_eq!(chain.submit(&ripe), Ok(BlockAccepted::NewTip { height: 4 }));
}

/// The same blocks in any order, headers first, end in the same state.
#[test]
fn any_order_of_bodies_ends_in_one_state() {
    let source = TestChain::new();
    let genesis = tip(&source);
    source.extend(2);
    let long = branch(&source, genesis, 5, 7);
    let mut states = BTreeMap::new();
    for rotation in 0..5 {
        let chain = TestChain::new();
        chain
            .handle()
            .submit_headers_blocking(long.iter().map(|block| block.header).collect())
            .unwrap();
        for at in 0..5 {
            chain.submit(&long[(at * 2 + rotation) % 5]).unwrap();
        }
        assert_eq!(tip(&chain), long[4].hash());
        states.insert(rotation, active_state(&chain));
    }
    assert!(states.values().all(|state| *state == states[&0]));
}

#[test]
fn tips_tell_what_each_branch_is() {
    let chain = TestChain::new();
    let genesis = tip(&chain);
    let a = chain.extend(3);
    let b = branch(&chain, genesis, 1, 1);
    chain.submit(&b[0]).unwrap();
    let headers_only = branch(&chain, a[0].hash(), 1, 2);
    let tips = chain.reader().tips();
    let status = |hash: BlockHash| {
        tips.iter()
            .find(|tip| tip.hash == hash)
            .map(|tip| (tip.branch_len, tip.status))
    };
    assert_eq!(tips.len(), 3);
    assert_eq!(status(a[2].hash()), Some((0, TipStatus::Active)));
    assert_eq!(status(b[0].hash()), Some((1, TipStatus::ValidHeaders)));
    assert_eq!(
        status(headers_only[0].hash()),
        Some((1, TipStatus::HeadersOnly))
    );
}
