//! How nodes come to know each other, and whom they keep and refuse.

use std::{env, net::SocketAddr, time::Duration};

use libp2p::identity::Keypair;
use quarry::{
    network::BanTarget,
    primitives::unix_now,
    wire::{Request, Response},
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::{
    alone::{Ground, alone},
    hostile::{Hostile, honest},
    node::{LIMIT, Node, agree, spec, until},
};

/// A node that asks for addresses and was told of `peers`.
async fn curious(peers: &[&Node]) -> Node {
    let bootnodes = peers.iter().map(|peer| peer.address()).collect();
    Node::start_with(spec(), None, |config| {
        config.ask_addresses = true;
        config.bootnodes = bootnodes;
    })
    .await
}

/// ```text
/// a ── b ── c      c is told of b alone, and finds a
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn peers_tell_of_peers() {
    let a = curious(&[]).await;
    let b = curious(&[&a]).await;
    until("b knows where a is", || b.peers() == 1).await;
    let c = curious(&[&b]).await;
    until("all know all", || {
        [&a, &b, &c].iter().all(|node| node.peers() == 2)
    })
    .await;
    let known = c.network.status().borrow().metrics.addresses;
    assert_eq!(known, 2);
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// P15: what a node knows outlives it, so a restart is no chance to choose its peers for it.
#[tokio::test(flavor = "multi_thread")]
async fn p15_after_a_restart_the_same_peers_are_dialled() {
    let a = Node::new(&[]).await;
    let b = curious(&[&a]).await;
    until("they are connected", || b.peers() == 1).await;
    let folder = b.stop().await;
    let file = std::fs::read_to_string(folder.dir.path().join("peers.json")).expect("a file");
    let file: serde_json::Value = serde_json::from_str(&file).expect("JSON");
    let id = a.network.local_peer_id();
    assert_eq!(file["anchors"], serde_json::json!([id]));
    assert!(file["peers"][id]["reached"].as_u64() > Some(0));
    // Nobody is given to it this time.
    let b = Node::start(spec(), Some(folder), &[]).await;
    until("it finds its old peer", || b.peers() == 1).await;
    let infos = b.network.peers().await;
    assert!(!infos[0].inbound);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_a_block_are_counted_on_both_sides() {
    let a = Node::new(&[]).await;
    a.mine(0, 3_000).await;
    let b = Node::new(&[&a]).await;
    agree("b has the block", &[&a, &b]).await;
    let block = 3_000 * 34;
    let (at_a, at_b) = (a.network.traffic(), b.network.traffic());
    assert!(
        at_a.sent > block && at_b.received > block,
        "{at_a:?} {at_b:?}"
    );
    assert!(at_b.sent < block);
    let info = &b.network.peers().await[0];
    assert!(info.bytes.received > block && info.bytes.received <= b.network.traffic().received);
    assert_eq!(info.transport, "tcp");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_by_hand_is_gone_until_the_ban_ends() {
    let a = Node::new(&[]).await;
    let b = curious(&[&a]).await;
    until("they are connected", || a.peers() == 1).await;
    let id = b.network.local_peer_id().to_owned();
    let target: BanTarget = id.parse().expect("an id");
    assert!(a.network.ban(target, unix_now() + 3_600).await);
    until("it is gone", || a.peers() == 0 && b.peers() == 0).await;
    assert_eq!(a.network.bans().await[0].target, id);
    // Bans are kept over restarts.
    let folder = a.stop().await;
    let a = Node::start(spec(), Some(folder), &[]).await;
    assert_eq!(a.network.bans().await.len(), 1);
    assert_eq!(a.peers(), 0);
    assert!(a.network.unban(target).await && !a.network.unban(target).await);
    until("it is back", || a.peers() == 1).await;
    // Peers that are kept are not banned.
    assert!(a.network.add_peer(&b.address()).await.expect("an address"));
    let added = a.network.added_peers().await;
    assert_eq!(added.len(), 1);
    let kept: BanTarget = id.parse().expect("an id");
    assert!(!a.network.ban(kept, unix_now() + 3_600).await);
    let number = a.network.peers().await[0].number;
    assert!(a.network.disconnect_number(number).await);
    assert!(!a.network.disconnect("10.0.0.1:1").await);
    a.stop().await;
    b.stop().await;
}

/// P14: addresses are given once in five minutes; who asks on and on is told so, and held at fault.
#[test]
fn p14_who_asks_for_addresses_again_and_again_gets_none() {
    alone(|ground: Ground| async move {
        let attacked = SocketAddr::new(ground.ip, 0);
        let node = Node::start_with(spec(), None, |config| {
            if ground.is_public() {
                config.listen.push(attacked);
            }
        })
        .await;
        let network = node.spec.chain_id().short();
        let key = Keypair::generate_ed25519();
        let habits = honest(node.chain.reader());
        let attacker = Hostile::connect(attacked_at(&node, &ground), &key, habits).await;
        until("it is greeted", || node.peers() == 1).await;
        let ask = || attacker.ask(&network, &Request::Addresses(64));
        let first = ask().await;
        assert!(matches!(first, Some(Response::Addresses(_))), "{first:?}");
        for _ in 0..120 {
            let again = ask().await;
            assert!(matches!(again, Some(Response::RateLimited)), "{again:?}");
        }
        let info = &node.network.peers().await[0];
        assert!(info.score > 10.0, "{}", info.score);
        node.stop().await;
    });
}

/// Where attackers connect.
fn attacked_at(node: &Node, ground: &Ground) -> SocketAddr {
    let ip = format!("/{}/tcp/", ground.ip);
    let all = node.network.listen_addresses();
    let found = all.iter().find_map(|address| address.split_once(&ip));
    let (_, rest) = found.expect("the node listens there");
    let port = rest.split('/').next().expect("a port");
    SocketAddr::new(ground.ip, port.parse().expect("a number"))
}

/// Connections that the flood has; `QUARRY_TEST_CONNECTIONS=10000` is the whole of it.
const CONNECTIONS: usize = 500;

/// P8: one address opens connection after connection and says nothing. A few are waited for, and for 5 s only; a peer that is
/// there is served meanwhile, and afterwards others are let in again.
#[test]
fn p08_a_flood_of_silent_connections_keeps_nobody_out() {
    alone(|ground: Ground| async move {
        let attacked = SocketAddr::new(ground.ip, 0);
        let node = Node::start_with(spec(), None, |config| {
            if ground.is_public() {
                config.listen.push(attacked);
            }
        })
        .await;
        let witness = Node::new(&[&node]).await;
        until("they are connected", || node.peers() == 1).await;
        let address = attacked_at(&node, &ground);
        let count = env::var("QUARRY_TEST_CONNECTIONS")
            .map_or(CONNECTIONS, |text| text.parse().expect("a number"));
        // 4 of one public address; of local ones as many as may wait.
        let most = if ground.is_public() { 4 } else { 32 };
        let mut open = Vec::new();
        for number in 0..count {
            open.push(TcpStream::connect(address).await.expect("it listens"));
            if number % 100 == 99 {
                node.mine(u32::try_from(number).expect("small"), 0).await;
                agree("a peer is served meanwhile", &[&node, &witness]).await;
                open = still_open(open).await;
                assert!(open.len() <= most, "{} are open", open.len());
            }
        }
        // Who says nothing goes.
        let silent = async {
            while !open.is_empty() {
                open = still_open(std::mem::take(&mut open)).await;
            }
        };
        assert!(
            timeout(LIMIT, silent).await.is_ok(),
            "silence is waited for"
        );
        let key = Keypair::generate_ed25519();
        let _friend = Hostile::connect(address, &key, honest(node.chain.reader())).await;
        until("others are let in", || node.peers() == 2).await;
        node.stop().await;
        witness.stop().await;
    });
}

/// Those that the node has not closed within a moment. It speaks first on none: what can be read is the end.
async fn still_open(connections: Vec<TcpStream>) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for mut connection in connections {
        let mut byte = [0; 256];
        let read = async {
            // The node may begin to negotiate before it hears that it need not.
            while let Ok(1..) = connection.read(&mut byte).await {}
        };
        if timeout(Duration::from_millis(100), read).await.is_err() {
            open.push(connection);
        }
    }
    open
}
