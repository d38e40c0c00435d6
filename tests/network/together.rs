//! What honest nodes must do together.

use std::time::{Duration, Instant};

use quarry::{
    consensus::ChainSpec,
    mempool::TxSource,
    network::{self, NetworkConfig, NetworkError, sync::SyncState},
    primitives::BlockHash,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::node::{Node, agree, spec, spend, until};

/// `c` knows `b` only, `b` knows `a` only.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_catches_up_and_news_reach_everyone() {
    let a = Node::new(&[]).await;
    a.mine_many(0, 300).await;
    let b = Node::new(&[&a]).await;
    let c = Node::new(&[&b]).await;
    agree("the late joiners catch up", &[&a, &b, &c]).await;
    assert_eq!(c.tip().0, 300);

    for (salt, miner) in [&a, &b, &c].into_iter().enumerate() {
        let salt = u32::try_from(salt).expect("small");
        miner.mine(salt, 0).await;
        let time = agree("a small block arrives", &[&a, &b, &c]).await;
        assert!(time < Duration::from_secs(2), "small block after {time:?}");
        miner.mine(salt, 3_000).await;
        let time = agree("a block of 100 kB arrives", &[&a, &b, &c]).await;
        assert!(time < Duration::from_secs(2), "large block after {time:?}");
    }

    let mut coins = Vec::new();
    for salt in 0..20 {
        coins.push(c.mine(salt, 0).await);
    }
    c.mine(0, 0).await;
    agree("the coins arrive", &[&a, &b, &c]).await;
    let payments: Vec<_> = coins.iter().map(|block| spend(block, 1_000)).collect();
    let results = c
        .mempool
        .submit_many(payments.clone(), TxSource::Local)
        .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let start = Instant::now();
    loop {
        let there = a.mempool.ids().await;
        if payments
            .iter()
            .all(|payment| there.contains(&payment.txid()))
        {
            break;
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the payments arrive"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    for peer in b.network.peers().await {
        assert!(peer.score < 1.0 && peer.gossip_score >= 0.0, "{peer:?}");
    }
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// ```text
/// genesis ── 10 common ── 5  (a, b)
///                     └── 25 (c, d)     then b and c meet
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn p17_two_partitions_heal_and_agree_on_the_most_work() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    let c = Node::new(&[]).await;
    let d = Node::new(&[&c]).await;
    a.mine_many(1, 15).await;
    c.mine_many(1, 10).await;
    c.mine_many(2, 25).await;
    agree("one half", &[&a, &b]).await;
    agree("other half", &[&c, &d]).await;
    let best = d.tip();
    b.network.add_peer(&c.address()).await.expect("an address");
    let time = agree("all halves agree", &[&a, &b, &c, &d]).await;
    assert!(time < Duration::from_secs(10), "healed after {time:?}");
    assert_eq!(a.tip(), best);
    a.mine(9, 0).await;
    agree("news cross the former border", &[&a, &b, &c, &d]).await;
    for node in [a, b, c, d] {
        node.stop().await;
    }
}

/// A node that comes back with the same key must be heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_comes_back_into_the_gossip() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    until("they meet", || a.peers() == 1 && b.peers() == 1).await;
    a.mine_many(0, 5).await;
    agree("before", &[&a, &b]).await;
    let folder = b.crash().await;
    a.mine_many(1, 5).await;
    let b = Node::start(spec(), Some(folder), &[&a]).await;
    agree("it catches up", &[&a, &b]).await;
    for salt in 0..3 {
        a.mine(salt, 0).await;
        let time = agree("it hears", &[&a, &b]).await;
        assert!(time < Duration::from_secs(2), "heard after {time:?}");
        b.mine(salt, 0).await;
        let time = agree("it is heard", &[&a, &b]).await;
        assert!(time < Duration::from_secs(2), "was heard after {time:?}");
    }
    a.stop().await;
    b.stop().await;
}

/// Addresses outlive restarts: nobody needs to be told twice.
#[tokio::test(flavor = "multi_thread")]
async fn known_peers_are_dialled_after_a_restart() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    until("they meet", || a.peers() == 1 && b.peers() == 1).await;
    let folder = b.stop().await;
    until("it is gone", || a.peers() == 0).await;
    let b = Node::start(spec(), Some(folder), &[]).await;
    until("they meet again", || a.peers() == 1 && b.peers() == 1).await;
    a.stop().await;
    b.stop().await;
}

/// P16: another network is cut off at the handshake.
#[tokio::test(flavor = "multi_thread")]
async fn p16_nodes_of_two_networks_do_not_mix() {
    let a = Node::new(&[]).await;
    let other = ChainSpec {
        name: "another".into(),
        halving_interval: 151,
        ..spec()
    };
    let b = Node::start(other, None, &[&a]).await;
    let c = Node::new(&[&a]).await;
    until("those of one network meet", || {
        a.peers() == 1 && c.peers() == 1
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((a.peers(), b.peers(), c.peers()), (1, 0, 1));
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// What was published while nobody was there is published again.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_made_alone_arrives_when_somebody_comes() {
    let a = Node::new(&[]).await;
    let coin = a.mine(0, 0).await;
    a.mine(0, 0).await;
    let payment = spend(&coin, 1_000);
    a.mempool
        .submit(payment.clone(), TxSource::Local)
        .await
        .expect("a valid payment");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let b = Node::new(&[&a]).await;
    agree("blocks", &[&a, &b]).await;
    let start = Instant::now();
    while !b.mempool.contains(payment.txid()).await {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the payment arrives"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    a.stop().await;
    b.stop().await;
}

/// Trap 1: with too little headroom a burst of messages near the limit kills the link for good.
#[tokio::test(flavor = "multi_thread")]
async fn trap01_a_burst_of_large_messages_leaves_the_gossip_alive() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    a.mine(0, 0).await;
    agree("they meet", &[&a, &b]).await;
    for salt in 0..60 {
        // About 60,000 bytes: whole in gossip, just below its limit.
        a.mine(salt, 1_760).await;
    }
    agree("the burst arrives", &[&a, &b]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for salt in 0..3 {
        a.mine(salt, 0).await;
        let time = agree("gossip is alive", &[&a, &b]).await;
        assert!(time < Duration::from_secs(1), "after {time:?}");
    }
    a.stop().await;
    b.stop().await;
}

/// Headers with more work whose bodies nobody has: they silenced a node, and stopped its miner, for ever.
///
/// ```text
/// genesis ── 3            (a, b)
///        └── 12 headers   (a; the node that had the bodies is gone)
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn withheld_bodies_do_not_silence_a_node() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    a.mine_many(1, 3).await;
    agree("before", &[&a, &b]).await;

    let gone = Node::new(&[]).await;
    gone.mine_many(2, 12).await;
    let headers = gone
        .chain
        .reader()
        .headers_after(&[], &BlockHash::ZERO, 100);
    gone.stop().await;
    a.chain.submit_headers(headers).await.expect("good headers");
    assert_eq!(a.chain.reader().best_header().height, 12);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sync = a.network.status().borrow().sync;
    assert_eq!(sync, SyncState::Synced { height: 3 });

    for salt in 3..6 {
        a.mine(salt, 0).await;
        let time = agree("its blocks are announced", &[&a, &b]).await;
        assert!(time < Duration::from_secs(2), "after {time:?}");
        b.mine(salt, 0).await;
        agree("and it takes those of others", &[&a, &b]).await;
    }
    a.stop().await;
    b.stop().await;
}

/// A port that is taken is told as such, so that the caller can step over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_an_error_that_says_so() {
    let a = Node::new(&[]).await;
    let dir = TempDir::new().expect("a temporary folder can be made");
    let listen = format!("127.0.0.1:{}", a.folder.port);
    let config = NetworkConfig {
        mdns: false,
        ..NetworkConfig::new(dir.path(), vec![listen.parse().expect("an address")])
    };
    let result = network::spawn(
        config,
        a.chain.clone(),
        a.mempool.clone(),
        CancellationToken::new(),
    );
    assert!(matches!(result, Err(NetworkError::PortBusy { .. })));
    a.stop().await;
}
