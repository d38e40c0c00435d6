//! Laws of filling blocks: any block is filled whatever part of it is known; whatever goes wrong ends in fetching it whole.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Action, Compact, assemble, machine::MAX_ASKED_PER_PEER, pick};
use crate::{
    network::sync::PeerKey,
    primitives::{
        Block, BlockHash, BlockHeader, CompactTarget, MerkleRoot, OutPoint, Script, Transaction,
        TxIn, TxOut, UncheckedAmount,
    },
    wire::{BlockGossip, CompactBlock, limits::MAX_GOSSIP_BLOCK},
};

const PEER: PeerKey = PeerKey(1);

fn transaction(number: u32) -> Transaction {
    Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint::NULL,
            script_sig: Script::from(vec![0x51; 100]),
            sequence: number,
        }],
        outputs: vec![TxOut {
            value: UncheckedAmount(1),
            script_pubkey: Script::from(vec![0x52; 25]),
        }],
        lock_time: 0,
    }
}

/// A block of `count` transactions whose first has the number `first`; the coinbase alone makes it too large to go whole.
fn block(first: u32, count: u32) -> Block {
    let mut transactions: Vec<_> = (first..first + count).map(transaction).collect();
    transactions[0].inputs[0].script_sig = Script::from(vec![0x51; MAX_GOSSIP_BLOCK]);
    let mut block = Block {
        header: BlockHeader {
            version: 1,
            prev_block: BlockHash::from_bytes([7; 32]),
            merkle_root: MerkleRoot::ZERO,
            time: 1_700_000_000,
            bits: CompactTarget(0x207f_ffff),
            nonce: first,
        },
        transactions,
    };
    block.header.merkle_root = block.compute_merkle_root().0;
    block
}

fn announce(block: &Block) -> CompactBlock {
    match BlockGossip::announce(block, Some(9)) {
        BlockGossip::Compact(compact) => compact,
        other => panic!("not {other:?}"),
    }
}

/// What a mempool that knows the transactions for which `knows` holds would answer.
fn matches(block: &Block, knows: impl Fn(usize) -> bool) -> Vec<Option<Arc<Transaction>>> {
    let others = block.transactions.iter().enumerate().skip(1);
    others
        .map(|(place, tx)| knows(place).then(|| Arc::new(tx.clone())))
        .collect()
}

/// Announces `block` and answers for the mempool.
fn begin(
    compact: &mut Compact,
    now: u64,
    block: &Block,
    knows: impl Fn(usize) -> bool,
) -> Option<Action> {
    match compact.announced(PEER, announce(block)) {
        Some(Action::Match { hash, key, ids }) => {
            assert_eq!(hash, block.hash());
            let others = block.transactions.iter().skip(1);
            let expected: Vec<_> = others.map(|tx| key.short_id(&tx.txid())).collect();
            assert_eq!(ids, expected);
            compact.matched(now, hash, matches(block, knows))
        }
        other => panic!("not {other:?}"),
    }
}

/// Does what [`Action::Assemble`] asks for.
fn put_together(compact: &mut Compact, action: Option<Action>) -> Option<Action> {
    match action {
        Some(Action::Assemble {
            header,
            transactions,
        }) => {
            let hash = header.hash();
            assert!(compact.is_filling(&hash));
            compact.assembled(hash, assemble(header, &transactions).map(Arc::new))
        }
        other => panic!("not {other:?}"),
    }
}

fn is_fetched_whole(action: Option<Action>, block: &Block) -> bool {
    matches!(action, Some(Action::FetchWhole { peer: PEER, header }) if header == block.header)
}

proptest! {
    #[test]
    fn a_block_is_filled_whatever_part_of_it_is_known(known in prop::collection::vec(any::<bool>(), 0..40)) {
        let block = block(0, u32::try_from(known.len()).unwrap() + 1);
        let hash = block.hash();
        let mut compact = Compact::default();
        let mut action = begin(&mut compact, 0, &block, |place| known[place - 1]);
        if let Some(Action::Ask { peer: PEER, request }) = &action {
            prop_assert_eq!(request.block(), hash);
            let missing = pick(&block, request.places());
            prop_assert_eq!(missing.len(), known.iter().filter(|known| !**known).count());
            action = compact.answered(hash, missing);
        } else {
            prop_assert!(known.iter().all(|known| *known));
        }
        match put_together(&mut compact, action) {
            Some(Action::Take { peer: PEER, block: whole }) => prop_assert_eq!(&*whole, &block),
            other => prop_assert!(false, "not {:?}", other),
        }
        prop_assert!(!compact.is_filling(&hash));
        prop_assert_eq!(compact.judged(&hash).map(|whole| whole.hash()), Some(hash));
        compact.forget(&hash);
        prop_assert!(compact.judged(&hash).is_none());
    }
}

#[test]
fn an_announcer_that_cannot_or_does_not_answer_is_passed_over() {
    let block = block(0, 5);
    let hash = block.hash();
    let mut compact = Compact::default();
    for answer in [vec![], vec![transaction(1)]] {
        let action = begin(&mut compact, 0, &block, |place| place < 3);
        assert!(matches!(action, Some(Action::Ask { .. })));
        assert!(is_fetched_whole(compact.answered(hash, answer), &block));
    }
    begin(&mut compact, 20_000, &block, |_| false);
    assert!(is_fetched_whole(compact.unanswered(hash), &block));

    begin(&mut compact, 20_000, &block, |_| false);
    assert!(compact.tick(21_999).is_empty());
    assert!(is_fetched_whole(compact.tick(22_000).pop(), &block));
    assert!(
        compact
            .answered(hash, block.transactions[1..].to_vec())
            .is_none()
    );

    begin(&mut compact, 40_000, &block, |_| false);
    assert!(compact.gone(PeerKey(2)).is_empty());
    assert!(is_fetched_whole(compact.gone(PEER).pop(), &block));
}

/// A stopped or restarting mempool knows nothing; the announcer has it all.
#[test]
fn a_mempool_that_does_not_answer_lacks_everything() {
    let block = block(0, 4);
    let mut compact = Compact::default();
    assert!(compact.announced(PEER, announce(&block)).is_some());
    let action = compact.matched(0, block.hash(), Vec::new());
    assert!(matches!(action, Some(Action::Ask { request, .. }) if request.places() == [1, 2, 3]));
}

/// Two transactions of the block share a short id, or one of ours has the id of one of the block's: nobody's fault.
#[test]
fn collisions_end_in_the_whole_block_and_are_forgotten() {
    let block = block(0, 5);
    let mut compact = Compact::default();
    let mut twice = announce(&block);
    twice.short_ids[3] = twice.short_ids[0];
    assert!(is_fetched_whole(compact.announced(PEER, twice), &block));

    let mut found = matches(&block, |_| true);
    found[2] = Some(Arc::new(transaction(99)));
    assert!(compact.announced(PEER, announce(&block)).is_some());
    let action = compact.matched(0, block.hash(), found);
    assert!(is_fetched_whole(put_together(&mut compact, action), &block));

    let action = begin(&mut compact, 0, &block, |_| true);
    let taken = put_together(&mut compact, action);
    assert!(matches!(taken, Some(Action::Take { .. })));
}

/// A tail that repeats keeps the merkle root (CVE-2012-2459); such a body is not the block's.
#[test]
fn a_mutated_body_is_never_put_together() {
    let block = block(0, 6);
    let mut transactions: Vec<_> = block.transactions.iter().cloned().map(Arc::new).collect();
    assert!(assemble(block.header, &transactions).is_some());
    transactions.extend_from_within(4..);
    assert!(assemble(block.header, &transactions).is_none());
}

#[test]
fn places_that_a_block_does_not_have_are_answered_by_nothing() {
    let block = block(0, 3);
    assert_eq!(pick(&block, &[1, 2]), block.transactions[1..]);
    assert!(pick(&block, &[1, 3]).is_empty());
}

#[test]
fn an_announcer_is_asked_within_its_quota() {
    let mut compact = Compact::default();
    let mut asked = 0;
    for number in 0..60 {
        let block = block(number * 100, 3);
        let action = begin(&mut compact, u64::from(number), &block, |_| false);
        match action {
            Some(Action::Ask { .. }) => asked += 1,
            other => assert!(is_fetched_whole(other, &block)),
        }
        compact.answered(block.hash(), Vec::new());
    }
    assert_eq!(asked, 12, "80 % of 16");
}

#[test]
fn blocks_at_once_and_questions_at_once_are_bounded() {
    let mut compact = Compact::default();
    let blocks: Vec<_> = (0..20).map(|number| block(number * 100, 3)).collect();
    let mut asked = 0;
    for block in &blocks {
        match begin(&mut compact, 0, block, |_| false) {
            Some(Action::Ask { .. }) => asked += 1,
            other => assert!(is_fetched_whole(other, block)),
        }
    }
    assert_eq!(asked, MAX_ASKED_PER_PEER);

    let mut compact = Compact::default();
    let taken = blocks.iter().filter(|block| {
        let action = compact.announced(PEER, announce(block));
        matches!(action, Some(Action::Match { .. }))
    });
    assert_eq!(taken.count(), 8);
    compact.forget(&blocks[0].hash());
    assert!(compact.announced(PEER, announce(&blocks[19])).is_some());
}
