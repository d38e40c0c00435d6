//! Traps of libp2p that a network of real sockets shows, each with the remedy at work. The others have their tests beside what
//! they are about; `docs/network.md` lists all.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::identity::Keypair;
use prost::Message as _;
use quarry::{consensus::ChainSpec, mempool::TxSource, network::LinkTimes};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    alone::alone,
    hostile::{Hostile, Rpc, Stream, accept, honest, secure},
    node::{LIMIT, Node, agree, pay, spec, until},
};

fn topic(node: &Node, name: &str) -> String {
    format!("/quarry/{}/{name}/1", node.spec.chain_id().short())
}

/// A link on which gossip no longer arrives looks whole: the mesh stands, statuses come. The peer that tells of blocks by status,
/// and whose gossip never brings them, is disconnected; one that has no news is left alone, however silent.
///
/// ```text
/// source ══ mute ── node ── quiet
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn trap02_a_link_without_gossip_is_found_and_closed() {
    let quick = ChainSpec {
        target_spacing: 1,
        ..spec()
    };
    let node = Node::start_with(quick.clone(), None, |config| {
        config.link_times.gossip_silence = Duration::from_secs(1);
    })
    .await;
    let source = Node::start(quick, None, &[]).await;
    let key = Keypair::generate_ed25519();
    let mut mute = Hostile::connect(node.socket(), &key, honest(source.chain.reader())).await;
    let other_key = Keypair::generate_ed25519();
    let mut quiet = Hostile::connect(node.socket(), &other_key, honest(node.chain.reader())).await;
    for peer in [&mut mute, &mut quiet] {
        assert!(peer.gossip(&Rpc::join(&topic(&node, "blocks"))).await);
    }
    until("they meet", || node.peers() == 2).await;
    let mut salt = 0;
    let start = std::time::Instant::now();
    while !mute.is_closed() {
        assert!(start.elapsed() < 2 * LIMIT, "the link is never found");
        // A poll tells of the block, sync brings it.
        source.mine(salt, 0).await;
        salt += 1;
        let told = async {
            while node.tip() != source.tip() && !mute.is_closed() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, told).await.expect("sync works");
    }
    assert!(salt >= 3, "after {salt} blocks it was too early to tell");
    assert!(!quiet.is_closed());
    for peer in node.network.peers().await {
        assert!(peer.score < 10.0, "{peer:?}");
    }
    let again = Hostile::connect(node.socket(), &key, honest(node.chain.reader())).await;
    until("it may come back", || node.peers() == 2).await;
    drop((again, quiet));
    node.stop().await;
    source.stop().await;
}

/// Passes connections on to a node, and never tells it that they are gone.
async fn half_open(node: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let mut to = TcpStream::connect(node).await.expect("the node listens");
            tokio::spawn(async move {
                copy_until_gone(&mut from, &mut to).await;
                tokio::time::sleep(5 * LIMIT).await;
            });
        }
    });
    address
}

/// Copies both ways until either side ends, and closes neither.
async fn copy_until_gone(from: &mut TcpStream, to: &mut TcpStream) {
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_read, &mut to_write) => {}
        _ = tokio::io::copy(&mut to_read, &mut from_write) => {}
    }
}

/// A node that is killed and comes back before its peer notices: libp2p tells subscriptions on the first connection only, which
/// leads to its former life, so it would stay mute (rust-libp2p #5097). Payments travel by gossip alone, so they show it.
///
/// ```text
/// restarted ── proxy ── node     the former life, which the node holds open
///     └──────────────────┘       the new one
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn trap04_a_peer_that_returns_before_it_is_missed_hears_and_is_heard() {
    let short = LinkTimes {
        restart_age: Duration::from_millis(500),
        ..LinkTimes::default()
    };
    let node = Node::start_with(spec(), None, |config| config.link_times = short).await;
    let coins = node.mine_coins(0, 10).await;
    let proxy = half_open(node.socket()).await;
    let peer = Node::start_with(spec(), None, |config| {
        config.peers = vec![proxy.to_string()]
    })
    .await;
    until("they meet", || node.peers() == 1 && peer.peers() == 1).await;
    agree("before", &[&node, &peer]).await;
    tokio::time::sleep(2 * short.restart_age).await;
    let folder = peer.crash().await;
    assert_eq!(node.peers(), 1, "it was missed at once");

    let peer = Node::start(spec(), Some(folder), &[&node]).await;
    until("they meet again", || peer.peers() == 1).await;
    for (number, coin) in coins.iter().enumerate() {
        let (from, to) = if number % 2 == 0 {
            (&node, &peer)
        } else {
            (&peer, &node)
        };
        let payment = pay(*coin, 1_000);
        let txid = payment.txid();
        let taken = from.mempool.submit(payment, TxSource::Local).await;
        taken.expect("a valid payment");
        let arrived = async {
            while !to.mempool.contains(txid).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let arrived = tokio::time::timeout(LIMIT, arrived).await;
        assert!(arrived.is_ok(), "payment {number} never arrives");
    }
    node.stop().await;
    peer.stop().await;
}

/// Under a protocol id of its own gossipsub would not send IDONTWANT, which saves most duplicates of large messages.
#[tokio::test(flavor = "multi_thread")]
async fn trap06_peers_are_told_what_need_not_be_sent() {
    let node = Node::new(&[]).await;
    let key = Keypair::generate_ed25519();
    let mut peer = Hostile::connect(node.socket(), &key, honest(node.chain.reader())).await;
    assert!(peer.gossip(&Rpc::join(&topic(&node, "blocks"))).await);
    until("they meet", || node.peers() == 1).await;
    let is_told = || {
        peer.heard(|heard| {
            let mut control = heard.gossip.iter().filter_map(|rpc| rpc.control.as_ref());
            control.any(|control| !control.idontwant.is_empty())
        })
    };
    // The mesh is there with the first heartbeats; blocks before it go without.
    let start = std::time::Instant::now();
    let mut salt = 0;
    while !is_told() {
        assert!(start.elapsed() < LIMIT, "never told");
        node.mine(salt, 100).await;
        salt += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    node.stop().await;
}

/// With the usual negotiation a request waits for the other side to agree to the protocol: two round trips. Ours travels with the
/// proposal, so it arrives at a peer that never agrees.
#[tokio::test(flavor = "multi_thread")]
async fn trap07_a_request_does_not_wait_for_the_protocol_to_be_agreed() {
    let node = Node::new(&[]).await;
    let (sender, mut streams) = tokio::sync::mpsc::unbounded_channel::<Stream>();
    let key = Keypair::generate_ed25519();
    let peer = Hostile::connect_with(node.socket(), &key, move |stream| {
        let _ = sender.send(stream);
    })
    .await;
    let chain_id = node.spec.chain_id().to_bytes();
    let arrived = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&arrived);
    tokio::spawn(async move {
        while let Some(mut stream) = streams.recv().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut all = Vec::new();
                let mut some = [0; 4_096];
                while let Ok(count @ 1..) = stream.read(&mut some).await {
                    all.extend_from_slice(&some[..count]);
                    if all.windows(chain_id.len()).any(|window| window == chain_id) {
                        *seen.lock().expect("nobody panics") = true;
                    }
                }
            });
        }
    });
    until("the status request arrives", || {
        *arrived.lock().expect("nobody panics")
    })
    .await;
    drop(peer);
    node.stop().await;
}

/// With the default score of a topic, peers are punished for messages that nobody sent (P3), after some seconds and for ever. And
/// without scores nobody would be worth more than another.
#[tokio::test(flavor = "multi_thread")]
async fn trap08_quiet_peers_gain_trust() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    let trusted = async {
        loop {
            let peers = [a.network.peers().await, b.network.peers().await].concat();
            assert!(
                peers.iter().all(|peer| peer.gossip_score >= 0.0),
                "{peers:?}"
            );
            // Twelve seconds in the mesh of both topics.
            if peers.len() == 2 && peers.iter().all(|peer| peer.gossip_score >= 2.0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let trusted = tokio::time::timeout(LIMIT, trusted).await;
    assert!(trusted.is_ok(), "no trust after a minute");
    a.stop().await;
    b.stop().await;
}

/// What another libp2p program tells by identify.
#[derive(Clone, PartialEq, prost::Message)]
struct Identify {
    #[prost(bytes, tag = "1")]
    public_key: Vec<u8>,
    #[prost(string, repeated, tag = "3")]
    protocols: Vec<String>,
    #[prost(string, tag = "5")]
    protocol_version: String,
    #[prost(string, tag = "6")]
    agent_version: String,
}

/// mDNS shares its name with every libp2p program of the LAN: they are found out and left alone.
#[tokio::test(flavor = "multi_thread")]
async fn trap10_another_program_is_left_alone() {
    let node = Node::new(&[]).await;
    let key = Keypair::generate_ed25519();
    let identify = Identify {
        public_key: key.public().encode_protobuf(),
        protocols: vec!["/ipfs/id/1.0.0".into(), "/other/1".into()],
        protocol_version: "other/1".into(),
        agent_version: "other/1".into(),
    };
    let mut other = Hostile::connect_with(node.socket(), &key, move |mut stream| {
        let answer = identify.encode_length_delimited_to_vec();
        tokio::spawn(async move {
            match accept(&mut stream).await {
                Ok(name) if name == "/ipfs/id/1.0.0" => {
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.close().await;
                }
                Ok(_) => tokio::time::sleep(LIMIT).await,
                Err(_) => {}
            }
        });
    })
    .await;
    other.closed("it is no Quarry node").await;
    // A new connection is closed as soon as the node knows who is there.
    let again = async {
        let mut io = secure(node.socket(), &key).await?;
        crate::hostile::choose(&mut io, "/yamux/1.0.0").await?;
        let mut byte = [0];
        while io.read(&mut byte).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let again = tokio::time::timeout(LIMIT, again).await;
    assert!(again.is_ok(), "it is taken again");
    assert_eq!(node.peers(), 0);
    node.stop().await;
}

/// Two nodes with one copied identity ignore each other; the operator is told why, once.
#[test]
fn trap10_a_copied_identity_is_told() {
    alone(|ground| async move {
        let a = Node::new(&[]).await;
        let copy = tempfile::TempDir::new().expect("a folder");
        let file = copy.path().join("node.key");
        std::fs::copy(a.folder.dir.path().join("node.key"), &file).expect("a key to copy");
        let address = a.socket().to_string();
        let b = Node::start_with(spec(), None, |config| {
            config.identity_file = file;
            config.peers = vec![address];
        })
        .await;
        assert_eq!(a.network.local_peer_id(), b.network.local_peer_id());
        let told = || ground.lines_with("node.key was copied").len();
        until("it is told", || told() > 0).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(told(), 1, "reserved peers are dialled every second or so");
        a.stop().await;
        b.stop().await;
    });
}
