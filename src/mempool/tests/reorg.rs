//! The task over a real chain: what waits follows the chain's blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::chain::testing::{TestChain, coinbase_coin, pay};
use crate::chain::{ChainEvent, Clock, Event};
use crate::consensus::ChainSpec;
use crate::mempool::handle::Command;
use crate::mempool::{
    MempoolEvent, MempoolHandle, MempoolTask, Policy, RejectError, RemovalReason, TxSource, spawn,
    spawn_with_file,
};
use crate::primitives::{Block, COIN, Transaction};

/// A chain with a mempool. Both end when it is dropped.
pub struct Node {
    mempool: Option<(MempoolHandle, MempoolTask)>,
    pub chain: TestChain,
}

impl Node {
    pub fn new() -> Self {
        Self::with(Policy::default())
    }

    pub fn with(policy: Policy) -> Self {
        Self::over(TestChain::new(), policy)
    }

    fn over(chain: TestChain, policy: Policy) -> Self {
        let time = Arc::clone(&chain.clock);
        let clock: Clock = Arc::new(move || time.load(Ordering::Relaxed));
        let mempool = spawn(chain.handle().clone(), policy, clock).unwrap();
        Self {
            mempool: Some(mempool),
            chain,
        }
    }

    pub fn mempool(&self) -> &MempoolHandle {
        &self.mempool.as_ref().unwrap().0
    }

    pub fn take(&self, tx: &Transaction) {
        let accepted = self
            .mempool()
            .submit_blocking(tx.clone(), TxSource::Local)
            .unwrap();
        assert!(accepted.newly);
    }

    pub fn waits(&self, transactions: &[&Transaction]) {
        let mut found = self.mempool().ids_blocking();
        let mut expected: Vec<_> = transactions.iter().map(|tx| tx.txid()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    pub fn block(&self, parent: &Block, transactions: &[&Transaction], salt: u32) -> Block {
        let transactions = transactions.iter().map(|tx| (*tx).clone()).collect();
        let block = self.chain.block_on(parent.hash(), transactions, salt);
        self.chain.submit(&block).unwrap();
        block
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((handle, task)) = self.mempool.take() {
            handle.stop_blocking();
            task.join().unwrap();
        }
    }
}

/// What waits when the node stops waits again after the next start, and what a block took meanwhile does not.
#[test]
fn t13_what_waited_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mempool.dat");
    let mut node = Node::new();
    let blocks = node.chain.extend(4);
    let restart = |node: &mut Node| {
        let (handle, task) = node.mempool.take().unwrap();
        handle.stop_blocking();
        task.join().unwrap();
        let time = Arc::clone(&node.chain.clock);
        let clock: Clock = Arc::new(move || time.load(Ordering::Relaxed));
        let chain = node.chain.handle().clone();
        let started = spawn_with_file(chain, Policy::default(), clock, file.clone()).unwrap();
        while !started.0.info_blocking().unwrap().is_loaded {
            std::thread::yield_now();
        }
        node.mempool = Some(started);
    };
    restart(&mut node);
    let parent = pay(1, &[coinbase_coin(&blocks[0])], &[(2, 49 * COIN)]);
    let made = crate::primitives::OutPoint {
        txid: parent.txid(),
        vout: 0,
    };
    let child = pay(2, &[made], &[(3, 48 * COIN)]);
    let other = pay(1, &[coinbase_coin(&blocks[1])], &[(2, 49 * COIN)]);
    for tx in [&parent, &child, &other] {
        node.take(tx);
    }
    let before = node.mempool().entries_blocking();
    restart(&mut node);
    assert_eq!(node.mempool().entries_blocking(), before);

    let (handle, task) = node.mempool.take().unwrap();
    handle.stop_blocking();
    task.join().unwrap();
    let again = spawn(
        node.chain.handle().clone(),
        Policy::default(),
        crate::chain::system_clock(),
    );
    node.mempool = Some(again.unwrap());
    node.block(&blocks[3], &[&parent], 7);
    restart(&mut node);
    node.waits(&[&child, &other]);
    assert!(node.mempool().save_blocking().unwrap() == file);
}

#[test]
fn a_payment_waits_confirms_and_is_then_known() {
    let node = Node::new();
    let blocks = node.chain.extend(3);
    let mut events = node.chain.handle().subscribe();
    let parent = pay(1, &[coinbase_coin(&blocks[0])], &[(2, 49 * COIN)]);
    let child = pay(
        2,
        &[crate::primitives::OutPoint {
            txid: parent.txid(),
            vout: 0,
        }],
        &[(3, 49 * COIN)],
    );
    // The child first: within one batch the order does not matter.
    let answers = node.mempool().submit_many_blocking(
        vec![child.clone(), parent.clone()],
        TxSource::Peer("a peer".into()),
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|accepted| accepted.newly))
    );
    assert_eq!(answers[1].as_ref().unwrap().fee.units(), COIN);
    let again = node
        .mempool()
        .submit_blocking(parent.clone(), TxSource::Local)
        .unwrap();
    assert!(!again.newly);
    node.waits(&[&parent, &child]);
    assert_eq!(
        node.mempool().spends_blocking(coinbase_coin(&blocks[0])),
        Some(parent.txid())
    );
    node.block(&blocks[2], &[&parent, &child], 0);
    node.waits(&[]);
    let error = node
        .mempool()
        .submit_blocking(child.clone(), TxSource::Local)
        .unwrap_err();
    assert_eq!(error, RejectError::AlreadyKnown);
    let mut told = Vec::new();
    while let Some(Ok((_, event))) = events.try_next() {
        match &*event {
            Event::Mempool(MempoolEvent::Added { txid, local, .. }) => {
                told.push((*txid, Some(*local), None))
            }
            Event::Mempool(MempoolEvent::Removed { txid, reason }) => {
                told.push((*txid, None, Some(*reason)))
            }
            Event::Chain(_) | Event::Peer(_) => {}
        }
    }
    let gone = Some(RemovalReason::Confirmed);
    assert_eq!(
        told,
        [
            (parent.txid(), Some(false), None),
            (child.txid(), Some(false), None),
            (parent.txid(), None, gone),
            (child.txid(), None, gone),
        ]
    );
}

/// A reorganisation brings a payment back, drops what lost its coin, and keeps out what the new branch has or contradicts.
///
/// ```text
/// 1 ── 2 ── 3a {back, lost, both}          (pool: follows lost)
///       └── 3b {both, other} ── 4b         (other spends what lost spends)
/// ```
#[test]
fn t10_a_reorganisation_returns_what_is_still_valid() {
    let node = Node::new();
    let blocks = node.chain.extend(4);
    let coin = |index: usize| coinbase_coin(&blocks[index]);
    let back = pay(1, &[coin(0)], &[(2, 50 * COIN)]);
    let lost = pay(1, &[coin(1)], &[(2, 50 * COIN)]);
    let other = pay(1, &[coin(1)], &[(3, 50 * COIN)]);
    let both = pay(1, &[coin(2)], &[(2, 50 * COIN)]);
    let follows = pay(
        2,
        &[crate::primitives::OutPoint {
            txid: lost.txid(),
            vout: 0,
        }],
        &[(3, COIN)],
    );
    let first = node.block(&blocks[3], &[&back, &lost, &both], 1);
    // The coin of a block that will be disconnected.
    let on_first = pay(1, &[coinbase_coin(&first)], &[(3, COIN)]);
    node.take(&follows);
    node.take(&on_first);
    let second = node.block(&blocks[3], &[&both, &other], 2);
    node.waits(&[&follows, &on_first]);
    node.block(&second, &[], 3);
    node.waits(&[&back]);
    let error = node
        .mempool()
        .submit_blocking(lost, TxSource::Peer("a peer".into()))
        .unwrap_err();
    assert_eq!(error.reject_reason(), "missing-inputs");
}

/// What was accepted for one height is in a block at another, where it may not be: only its scripts were judged for good
/// (CVE-2026-40880).
///
/// ```text
/// 1 ── 2 ── 3 ── 4           (pool: spends the reward of 2, mature from 5 on)
///           └── 4b {it} ── 5b
/// ```
#[test]
fn t12_a_block_is_judged_at_its_own_height() {
    let spec = ChainSpec {
        name: "unit".into(),
        coinbase_maturity: 3,
        ..ChainSpec::regtest()
    };
    let node = Node::over(TestChain::with_spec(spec), Policy::default());
    let blocks = node.chain.extend(4);
    let spend = pay(1, &[coinbase_coin(&blocks[1])], &[(2, COIN)]);
    node.take(&spend);
    let verified = node.chain.handle().signature_cache();
    assert!(verified.contains(&spend.txid()));
    let early = node.block(&blocks[2], &[&spend], 1);
    let on_early = node.chain.block_on(early.hash(), Vec::new(), 1);
    assert!(node.chain.submit(&on_early).is_err());
    assert_eq!(node.chain.reader().tip().hash, blocks[3].hash());
    let info = node.chain.reader().header_info(&early.hash()).unwrap();
    assert!(info.is_invalid);
    node.waits(&[&spend]);
    node.block(&blocks[3], &[&spend], 2);
    node.waits(&[]);
}

#[test]
fn a_wrong_signature_is_the_senders_fault() {
    let node = Node::new();
    let blocks = node.chain.extend(2);
    let stolen = pay(2, &[coinbase_coin(&blocks[0])], &[(2, COIN)]);
    let error = node
        .mempool()
        .submit_blocking(stolen, TxSource::Peer("a peer".into()))
        .unwrap_err();
    assert_eq!(error.reject_reason(), "mandatory-script-verify-flag-failed");
    assert!(error.is_senders_fault());
    node.waits(&[]);
}

#[test]
fn after_the_end_answers_say_so() {
    let node = Node::new();
    let blocks = node.chain.extend(2);
    let handle = node.mempool().clone();
    drop(node);
    let tx = pay(1, &[coinbase_coin(&blocks[0])], &[(2, COIN)]);
    assert_eq!(
        handle.submit_blocking(tx, TxSource::Local),
        Err(RejectError::Stopped)
    );
    assert!(handle.ids_blocking().is_empty() && handle.info_blocking().is_none());
}

// S2: a panic ends the thread, and its owner learns of it.
#[test]
fn s02_a_panic_reaches_whoever_joins() {
    let mut node = Node::new();
    let (handle, task) = node.mempool.take().unwrap();
    let question = Command::Ask(Box::new(|_| panic!("injected")));
    handle.commands.blocking_send(question).ok().unwrap();
    let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.join()));
    let panic = joined.expect_err("it panicked");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"injected"));
    assert!(handle.ids_blocking().is_empty());
}

/// The thread is kept busy while more happens than the log of events keeps: it must judge everything anew.
///
/// ```text
/// pool: confirmed   conflicted   waiting
/// missed block: confirmed, other (spends what conflicted spends)
/// ```
#[test]
fn missed_events_are_made_up_for() {
    let node = Node::new();
    let blocks = node.chain.extend(4);
    let paying = |index: usize, to| pay(1, &[coinbase_coin(&blocks[index])], &[(to, COIN)]);
    let (confirmed, conflicted, waiting, other) =
        (paying(0, 2), paying(1, 2), paying(2, 2), paying(1, 3));
    for tx in [&confirmed, &conflicted, &waiting] {
        node.take(tx);
    }
    let (entered, has_entered) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let question = Command::Ask(Box::new(move |_| {
        entered.send(()).unwrap();
        released.recv().unwrap();
    }));
    node.mempool()
        .commands
        .blocking_send(question)
        .ok()
        .unwrap();
    has_entered.recv().unwrap();
    node.block(&blocks[3], &[&confirmed, &other], 0);
    for height in 0..10_000 {
        let event = Event::Chain(ChainEvent::HeadersAdvanced { height });
        node.chain.handle().events().publish(event);
    }
    release.send(()).unwrap();
    node.waits(&[&waiting]);
}
