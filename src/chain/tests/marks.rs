//! Blocks marked invalid by hand or by a rule, and marks taken back.

use super::*;

/// B21, and the inverse law: going back restores every row.
#[test]
fn b21_invalidating_and_reconsidering_restores_every_row() {
    for depth in [1, 6, 100] {
        let mut chain = TestChain::new();
        let base = chain.extend(2);
        let before = active_state(&chain);
        let payment = pay(1, &[coinbase_coin(&base[0])], &[(2, 50 * COIN)]);
        let first = chain.block_on(tip(&chain), vec![payment], 0);
        chain.submit(&first).unwrap();
        chain.extend(depth - 1);
        let after = active_state(&chain);
        chain
            .handle()
            .invalidate_block_blocking(first.hash())
            .unwrap();
        assert_eq!(active_state(&chain), before, "depth {depth}");
        assert_eq!(
            chain.submit(&first),
            Err(SubmitError::KnownInvalid(first.hash()))
        );
        chain.restart();
        assert_eq!(active_state(&chain), before);
        chain
            .handle()
            .reconsider_block_blocking(first.hash())
            .unwrap();
        assert_eq!(active_state(&chain), after);
        assert_sound(&chain);
    }
}

/// Taking back the mark of a block that broke a rule when it was connected only makes the node judge it again.
/// ```text
/// 0 ── a1 ── a2
///  └── b1 ── b2 ── b3 (pays itself too much)
/// ```
#[test]
fn reconsidering_a_truly_invalid_block_judges_it_again() {
    let mut chain = TestChain::new();
    let genesis = tip(&chain);
    let a = chain.extend(2);
    let b = branch(&chain, genesis, 2, 1);
    let b3 = chain.block_with(b[1].hash(), Vec::new(), 1, |block| {
        block.transactions[0].outputs[0].value = UncheckedAmount(51 * COIN);
    });
    for block in &b {
        chain.submit(block).unwrap();
    }
    assert!(chain.submit(&b3).is_err());
    for marked in [b3.hash(), b[0].hash()] {
        if marked != b3.hash() {
            chain.handle().invalidate_block_blocking(marked).unwrap();
        }
        chain.handle().reconsider_block_blocking(marked).unwrap();
        assert_eq!(tip(&chain), a[1].hash());
        chain.restart();
        assert_eq!(tip(&chain), a[1].hash());
        assert_eq!(chain.submit(&b3), Err(SubmitError::KnownInvalid(b3.hash())));
        assert!(chain.reader().missing_blocks(9).is_empty());
        assert_sound(&chain);
    }
}

/// A block was declared invalid while its parent's body was still on the way. The body came, the mark was taken back, and the
/// block stayed out of every chain for good: it counted as known, and as never received.
/// ```text
/// 0 ── a1 ── a2
///  └── b1 (body comes late) ── b2 (marked meanwhile) ── b3
/// ```
#[test]
fn a_mark_that_outlasts_a_missing_body_can_be_taken_back() {
    let mut chain = TestChain::new();
    let genesis = tip(&chain);
    chain.extend(2);
    let mut parent = genesis;
    let b: Vec<Block> = (0..3)
        .map(|_| {
            let block = chain.block_on(parent, Vec::new(), 1);
            let headers = vec![block.header];
            chain.handle().submit_headers_blocking(headers).unwrap();
            parent = block.hash();
            block
        })
        .collect();
    chain.submit(&b[1]).unwrap();
    chain.submit(&b[2]).unwrap();
    chain
        .handle()
        .invalidate_block_blocking(b[1].hash())
        .unwrap();
    chain.submit(&b[0]).unwrap();
    chain
        .handle()
        .reconsider_block_blocking(b[1].hash())
        .unwrap();
    assert_eq!(tip(&chain), b[2].hash());
    chain.restart();
    assert_eq!(tip(&chain), b[2].hash());
    assert_sound(&chain);
}
