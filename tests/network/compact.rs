//! Large blocks, announced by the short ids of their transactions.

use libp2p::identity::Keypair;
use quarry::{
    mempool::TxSource,
    primitives::{BlockHash, Transaction},
    wire::{BlockTransactionsRequest, Request, Response},
};

use crate::{
    hostile::{Hostile, honest},
    node::{Node, OwnCoin, agree, all_hold, pay, until},
};

/// Enough payments for a block that is too large to go whole.
const PAYMENTS: usize = 500;

/// `a` — `b` — `c`: what `c` lacks it asks of `b`, which has just asked `a`.
async fn line() -> [Node; 3] {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    let c = Node::new(&[&b]).await;
    [a, b, c]
}

fn payments(coins: &[OwnCoin]) -> Vec<Transaction> {
    coins.iter().map(|coin| pay(*coin, 1_000)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_arrive_whatever_part_of_them_is_known() {
    let [a, b, c] = line().await;
    let nodes = [&a, &b, &c];
    let coins = a.mine_coins(0, 3 * PAYMENTS).await;
    agree("the coins arrive", &nodes).await;
    for (round, known) in [PAYMENTS, PAYMENTS / 2, 0].into_iter().enumerate() {
        let salt = u32::try_from(round).expect("small");
        let payments = payments(&coins[round * PAYMENTS..][..PAYMENTS]);
        let results = a
            .mempool
            .submit_many(payments[..known].to_vec(), TxSource::Local)
            .await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        all_hold("the payments arrive", known, &nodes).await;
        a.mine_payments(salt, payments).await;
        agree("the block arrives", &nodes).await;
        all_hold("the payments are done", 0, &nodes).await;
    }
    for node in nodes {
        for peer in node.network.peers().await {
            assert!(peer.score < 1.0 && peer.gossip_score >= 0.0, "{peer:?}");
        }
    }
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// What a peer may ask for: any part of any block that is here, sixteen times in ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_blocks_are_served_within_the_quota() {
    let node = Node::new(&[]).await;
    let coins = node.mine_coins(0, 3).await;
    let block = node.mine_payments(1, payments(&coins)).await;
    let key = Keypair::generate_ed25519();
    let peer = Hostile::connect(node.socket(), &key, honest(node.chain.reader())).await;
    until("they meet", || node.peers() == 1).await;
    let network = node.spec.chain_id().short();
    let ask = async |hash: BlockHash, places: Vec<u32>| {
        let request = BlockTransactionsRequest::new(hash, places).expect("ascending places");
        peer.ask(&network, &Request::BlockTransactions(request))
            .await
    };
    let unknown = BlockHash::from_bytes([9; 32]);
    for (hash, places, expected) in [
        (block.hash(), vec![0, 2, 3], vec![0, 2, 3]),
        (block.hash(), vec![1], vec![1]),
        (block.hash(), vec![1, 4], vec![]),
        (unknown, vec![0], vec![]),
    ] {
        match ask(hash, places).await {
            Some(Response::BlockTransactions(list)) => {
                let expected = expected
                    .into_iter()
                    .map(|place: usize| &block.transactions[place]);
                assert!(list.iter().eq(expected), "{list:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let mut refused = 0;
    for _ in 0..200 {
        let answer = ask(block.hash(), vec![0]).await;
        refused += u32::from(matches!(answer, Some(Response::RateLimited)));
    }
    assert!(refused > 0, "asked 200 times without being refused");
    node.stop().await;
}
