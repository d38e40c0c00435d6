//! gossipsub with our settings in real swarms on loopback.

use std::{collections::HashSet, time::Duration};

use futures::{StreamExt, stream::SelectAll};
use libp2p::{PeerId, Swarm, SwarmBuilder, gossipsub, noise, swarm::SwarmEvent, tcp, yamux};

use super::{GossipBehaviour, MeshSize, Topics, build};
use crate::primitives::ChainId;

/// No wait takes longer; nothing is decided by it.
const LIMIT: Duration = Duration::from_secs(60);
/// More neighbours than the mesh of a small network may have, so that some get lists of ids instead of messages.
const PEERS: usize = 10;
/// More messages than ids fit into what a receiver takes by default (16 KiB of control data).
const MESSAGES: u32 = 3_000;

fn topics() -> Topics {
    Topics::new(&ChainId::from_bytes([7; 32]))
}

fn swarm() -> Swarm<GossipBehaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| build(&topics(), MeshSize::Small).unwrap())
        .unwrap()
        .build()
}

/// A receiver refuses control data above its limit and breaks the link, but a sender puts up to 5,000 ids into one message unless
/// told otherwise. Whoever is not in the mesh must still hear what comes after a burst.
#[tokio::test]
async fn trap03_a_burst_of_messages_breaks_no_link() {
    let topic = topics().transactions;
    let mut publisher = swarm();
    publisher
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = publisher.select_next_some().await {
            break address;
        }
    };
    let mut peers = SelectAll::new();
    for _ in 0..PEERS {
        let mut peer = swarm();
        peer.dial(address.clone()).unwrap();
        let id = *peer.local_peer_id();
        peers.push(peer.map(move |event| (id, event)));
    }
    let meet = async {
        while publisher
            .behaviour()
            .all_peers()
            .filter(|peer| !peer.1.is_empty())
            .count()
            < PEERS
        {
            tokio::select! {
                _ = publisher.select_next_some() => {}
                _ = peers.select_next_some() => {}
            }
        }
    };
    tokio::time::timeout(LIMIT, meet).await.expect("they meet");

    for number in 0..MESSAGES {
        // Queues are shorter than the burst; what they do not take is told by its id.
        let _ = publisher
            .behaviour_mut()
            .publish(topic.hash(), number.to_be_bytes());
    }
    let mut heartbeats = tokio::time::interval(Duration::from_secs(1));
    let mut last = MESSAGES;
    let mut heard: HashSet<PeerId> = HashSet::new();
    let all_hear = async {
        while heard.len() < PEERS {
            tokio::select! {
                // Some heartbeats after the burst, and then each second, a message that all must hear.
                _ = heartbeats.tick() => {
                    last += 1;
                    if last > MESSAGES + 4 {
                        let _ = publisher.behaviour_mut().publish(topic.hash(), last.to_be_bytes());
                    }
                }
                event = publisher.select_next_some() => {
                    assert!(!matches!(event, SwarmEvent::ConnectionClosed { .. }), "{event:?}");
                }
                (id, event) = peers.select_next_some() => {
                    if let SwarmEvent::Behaviour(gossipsub::Event::Message { message, .. }) = event {
                        let number = message.data.try_into().map(u32::from_be_bytes).unwrap();
                        if number > MESSAGES + 4 {
                            heard.insert(id);
                        }
                    }
                }
            }
        }
    };
    let result = tokio::time::timeout(LIMIT, all_hear).await;
    assert!(
        result.is_ok(),
        "only {} of {PEERS} links are alive",
        heard.len()
    );
}
