//! Blocks that are judged before they have a proof of work. What is refused, and why, is compared with submission for every fault
//! in `blocks`.

use super::*;

/// ```text
/// 0 ── 1 ── 2        active
///       └── p        not on the tip
/// ```
#[test]
fn a_proposal_needs_no_work_and_changes_nothing() {
    let chain = TestChain::new();
    let blocks = chain.extend(2);
    let payment = pay(1, &[coinbase_coin(&blocks[0])], &[(2, 50 * COIN)]);
    let block = chain.block_on(tip(&chain), vec![payment], 0);
    let mut without_work = block.clone();
    let target = block.header.bits.to_target().unwrap();
    while target.is_met_by(&without_work.hash()) {
        without_work.header.nonce += 1;
    }
    let propose = |block: &Block| {
        let now = chain.clock.load(Ordering::Relaxed);
        let judged = chain.reader().check_proposal(block.clone(), now);
        judged.map_err(|error| error.reject_reason())
    };
    let before = chain.reader().store().dump();
    let known = chain.reader().header_count();
    let mut events = chain.handle().subscribe();
    assert_eq!(propose(&without_work), Ok(()));
    assert_eq!(propose(&block), Ok(()));
    let aside = chain.block_on(blocks[0].hash(), Vec::new(), 3);
    assert_eq!(propose(&aside), Err("inconclusive-not-best-prevblk"));
    let mut greedy = block.clone();
    greedy.transactions[0].outputs[0].value = UncheckedAmount(51 * COIN);
    greedy.header.merkle_root = greedy.compute_merkle_root().0;
    assert_eq!(propose(&greedy), Err("bad-cb-amount"));
    assert_eq!(chain.reader().store().dump(), before);
    assert_eq!(chain.reader().header_count(), known);
    assert!(events.try_next().is_none());

    assert_eq!(
        chain.submit(&block),
        Ok(BlockAccepted::NewTip { height: 3 })
    );
    assert_eq!(propose(&block), Err("duplicate"));
}
