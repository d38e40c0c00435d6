//! The task over a real chain: batches, packages and orphans.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reorg::Node;
use crate::chain::testing::{coinbase_coin, pay};
use crate::chain::{Event, PeerEvent};
use crate::consensus::RuleError;
use crate::mempool::{MempoolEvent, Offer, Policy, RejectError, TxSource};
use crate::primitives::{Block, COIN, OutPoint, Transaction};

fn output(tx: &Transaction, vout: u32) -> OutPoint {
    OutPoint {
        txid: tx.txid(),
        vout,
    }
}

fn offers(transactions: &[&Transaction]) -> Vec<Offer> {
    let offer = |tx: &&Transaction| Offer::new(Arc::new((*tx).clone()));
    transactions.iter().map(offer).collect()
}

fn peer(name: &str) -> TxSource {
    TxSource::Peer(name.into())
}

/// Spends a reward into `outputs` equal parts, all of it.
fn split(reward: &Block, outputs: u64) -> Transaction {
    let parts = vec![(2, 50 * COIN / outputs); usize::try_from(outputs).unwrap()];
    pay(1, &[coinbase_coin(reward)], &parts)
}

/// Waits for orphans, which are judged between other things.
fn wait_for(node: &Node, count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while node.mempool().ids_blocking().len() != count {
        assert!(Instant::now() < end, "not {count} transactions in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_batch_is_judged_one_by_one() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let parent = split(&blocks[0], 2);
    let child = pay(2, &[output(&parent, 0)], &[(3, COIN)]);
    // Signed by somebody else; and what depends on it.
    let forged = pay(3, &[output(&parent, 1)], &[(3, COIN)]);
    let heir = pay(3, &[output(&forged, 0)], &[(4, COIN)]);
    let batch = [&heir, &forged, &child, &parent].map(Clone::clone).to_vec();
    let answers = node.mempool().submit_many_blocking(batch, peer("a"));
    assert!(matches!(answers[0], Err(RejectError::MissingInputs { .. })));
    assert!(matches!(
        answers[1],
        Err(RejectError::Rule(RuleError::WrongKey { .. }))
    ));
    assert!(answers[2].is_ok() && answers[3].is_ok());
    node.waits(&[&parent, &child]);
}

#[test]
fn a_fee_above_what_is_meant_is_not_sent() {
    let node = Node::new();
    let blocks = node.chain.extend(2);
    let dear = pay(1, &[coinbase_coin(&blocks[0])], &[(2, 49 * COIN)]);
    let send = |max_fee_rate| {
        let tx = Arc::new(dear.clone());
        let offer = Offer { tx, max_fee_rate };
        node.mempool().offer_blocking(vec![offer], TxSource::Local)
    };
    let error = send(Some(10_000_000)).remove(0).unwrap_err();
    assert_eq!(error.reject_reason(), "max-fee-exceeded");
    node.waits(&[]);
    send(None).remove(0).unwrap();
    node.waits(&[&dear]);
}

#[test]
fn trying_out_changes_nothing() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let parent = split(&blocks[0], 2);
    let child = pay(2, &[output(&parent, 0)], &[(3, COIN)]);
    let other = pay(1, &[coinbase_coin(&blocks[1])], &[(2, COIN)]);
    let rival = pay(1, &[coinbase_coin(&blocks[1])], &[(2, COIN / 2)]);
    node.take(&other);
    let before = node.mempool().entries_blocking();
    let sequence = node.mempool().ids_at_blocking().1;
    let try_out = |all: &[&Transaction]| node.mempool().test_accept_blocking(offers(all));
    let answers = try_out(&[&parent, &child]);
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|accepted| accepted.newly))
    );
    assert_eq!(try_out(&[&other]), [Err(RejectError::AlreadyInMempool)]);
    assert!(try_out(&[&rival])[0].is_ok());
    let error = try_out(&[&rival, &parent]).remove(0).unwrap_err();
    assert_eq!(error.reject_reason(), "bip125-replacement-disallowed");
    assert_eq!(node.mempool().entries_blocking(), before);
    assert_eq!(node.mempool().ids_at_blocking().1, sequence);
}

/// ```text
/// poor (0) ── child (rich or not)
/// fair ───────┘
/// ```
#[test]
fn a_child_brings_in_a_parent_that_pays_too_little() {
    let node = Node::with(Policy {
        min_relay_fee: 1_000,
        ..Policy::default()
    });
    let blocks = node.chain.extend(3);
    let poor = split(&blocks[0], 1);
    let fair = pay(1, &[coinbase_coin(&blocks[1])], &[(2, 50 * COIN - 1_000)]);
    let child = |fee: u64| {
        let both = [output(&poor, 0), output(&fair, 0)];
        pay(2, &both, &[(3, 100 * COIN - 1_000 - fee)])
    };
    let (mean, rich) = (child(350), child(5_000));
    let mempool = node.mempool();
    let refused = mempool.submit_package_blocking(offers(&[&poor, &fair, &mean]));
    let reason = |place: usize| {
        let answer: &Result<_, RejectError> = &refused.answers[place];
        answer.as_ref().unwrap_err().reject_reason()
    };
    assert_eq!(
        (reason(0), reason(2)),
        ("min relay fee not met", "min relay fee not met")
    );
    assert!(refused.answers[1].is_ok() && refused.together.is_empty());
    node.waits(&[&fair]);
    let mut events = node.chain.handle().subscribe();
    let taken = mempool.submit_package_blocking(offers(&[&poor, &fair, &rich]));
    assert!(taken.answers.iter().all(Result::is_ok), "{taken:?}");
    assert!(!taken.answers[1].as_ref().unwrap().newly);
    assert_eq!(taken.together, [poor.txid(), rich.txid()]);
    assert!(taken.rate.unwrap().per_kilobyte() > 1_000);
    node.waits(&[&poor, &fair, &rich]);
    let mut told = Vec::new();
    while let Some(Ok((_, event))) = events.try_next() {
        if let Event::Mempool(MempoolEvent::Added { txid, .. }) = &*event {
            told.push(*txid);
        }
    }
    assert_eq!(told, [poor.txid(), rich.txid()]);
}

/// CVE-2024-52914: a hundred orphans of many signatures wait for one parent. All come in, and the node answers meanwhile.
#[test]
fn t11_costly_orphans_wait_for_their_parent() {
    let node = Node::new();
    let blocks = node.chain.extend(2);
    let parent = split(&blocks[0], 500);
    let orphans: Vec<Transaction> = (0..100)
        .map(|number| {
            let inputs: Vec<_> = (0..5)
                .map(|vout| output(&parent, number * 5 + vout))
                .collect();
            pay(2, &inputs, &[(3, COIN / 10)])
        })
        .collect();
    let answers = node
        .mempool()
        .submit_many_blocking(orphans.clone(), peer("a"));
    let misses =
        |answer: &Result<_, RejectError>| matches!(answer, Err(RejectError::MissingInputs { .. }));
    assert!(answers.iter().all(misses));
    node.waits(&[]);
    let mut events = node.chain.handle().subscribe();
    let policy = Policy::default().max_descendants;
    node.mempool()
        .submit_blocking(parent.clone(), peer("b"))
        .unwrap();
    // As many as may depend on one, itself included.
    wait_for(&node, usize::try_from(policy).unwrap());
    let mut relayed = 0;
    while let Some(Ok((_, event))) = events.try_next() {
        if let Event::Mempool(MempoolEvent::Added { relay, local, .. }) = &*event {
            assert!(!local);
            relayed += u64::from(*relay);
        }
    }
    assert_eq!(relayed, policy - 1, "peers are told of those that waited");
}

/// ```text
/// block: grandparent        peer: child ── grandchild, sent the wrong way round
/// ```
#[test]
fn t11_orphans_follow_blocks_and_each_other() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let grandparent = split(&blocks[0], 1);
    let child = pay(2, &[output(&grandparent, 0)], &[(3, COIN)]);
    let grandchild = pay(3, &[output(&child, 0)], &[(4, COIN)]);
    for tx in [&grandchild, &child] {
        let error = node.mempool().submit_blocking(tx.clone(), peer("a"));
        assert!(matches!(error, Err(RejectError::MissingInputs { .. })));
    }
    node.block(&blocks[2], &[&grandparent], 1);
    wait_for(&node, 2);
    node.waits(&[&child, &grandchild]);
}

/// The orphans of a peer that is gone go with it, and so do those of one that sent an invalid one; others stay.
///
/// ```text
/// parent ─┬─ left (of a peer that is gone)        late ─┬─ beside (of the liar)
///         ├─ good (of an honest peer)                   └─ fence (of the honest peer)
///         └─ forged (of a liar)
/// ```
#[test]
fn t11_orphans_go_with_their_peer() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let (parent, late) = (split(&blocks[0], 3), split(&blocks[1], 2));
    let orphan = |of: &Transaction, vout, key| pay(key, &[output(of, vout)], &[(3, COIN)]);
    let (left, good, forged) = (
        orphan(&parent, 0, 2),
        orphan(&parent, 1, 2),
        orphan(&parent, 2, 3),
    );
    let (beside, fence) = (orphan(&late, 0, 2), orphan(&late, 1, 2));
    let send = |tx: &Transaction, from| {
        let answer = node.mempool().submit_blocking(tx.clone(), peer(from));
        assert!(matches!(answer, Err(RejectError::MissingInputs { .. })));
    };
    send(&left, "gone");
    send(&good, "honest");
    send(&fence, "honest");
    send(&forged, "liar");
    send(&beside, "liar");
    let gone = PeerEvent::Disconnected {
        peer: "gone".into(),
        reason: "it left".into(),
    };
    node.chain.handle().events().publish(Event::Peer(gone));
    node.take(&parent);
    wait_for(&node, 2);
    node.waits(&[&parent, &good]);
    // What waits for the same is judged together: the liar's would come with the honest one's.
    node.take(&late);
    wait_for(&node, 4);
    node.waits(&[&parent, &good, &late, &fence]);
}
