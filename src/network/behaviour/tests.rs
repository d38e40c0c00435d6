//! The whole behaviour in real swarms on loopback.

use std::{collections::HashMap, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    identity::Keypair,
    request_response::{Event as RequestEvent, Message},
    swarm::SwarmEvent,
};

use super::{Behaviour, BehaviourEvent, build};
use crate::{
    network::{NetworkConfig, gossip::MeshSize, limits::max_streams, traffic::Traffic},
    primitives::{BlockHash, ChainId},
    wire::{BlockTransactionsRequest, HeadersRequest, Protocol, Request, Response},
};

/// No wait takes longer; nothing is decided by it.
const LIMIT: Duration = Duration::from_secs(60);

fn swarm() -> Swarm<Behaviour> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = NetworkConfig::new(folder.path(), Vec::new());
    config.mdns = false;
    let chain = ChainId::from_bytes([7; 32]);
    build(
        &config,
        &chain,
        Keypair::generate_ed25519(),
        None,
        MeshSize::Small,
        Traffic::default(),
    )
    .unwrap()
}

/// Listens on loopback, and tells where.
async fn listen(swarm: &mut Swarm<Behaviour>) -> Multiaddr {
    swarm
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// Behaviours before the one that refuses a connection keep state of it for ever (rust-libp2p #4773).
#[tokio::test]
async fn trap05_a_refused_connection_leaves_no_state_in_gossip() {
    let mut node = swarm();
    let address = listen(&mut node).await;
    for _ in 0..5 {
        let mut refused = swarm();
        let id = *refused.local_peer_id();
        node.behaviour_mut().gate.refuse_peer(id, LIMIT);
        refused.dial(address.clone()).unwrap();
        let attempt = async {
            let mut is_refused = false;
            while !is_refused {
                tokio::select! {
                    event = node.select_next_some() => {
                        is_refused = matches!(event, SwarmEvent::IncomingConnectionError { .. });
                        assert!(!matches!(event, SwarmEvent::ConnectionEstablished { .. }));
                    }
                    _ = refused.select_next_some() => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, attempt)
            .await
            .expect("it is refused");
    }
    assert_eq!(node.behaviour().gossip.all_peers().count(), 0);

    // One that is not refused is known, so the count means something.
    let mut welcome = swarm();
    welcome.dial(address).unwrap();
    let attempt = async {
        while node.behaviour().gossip.all_peers().count() == 0 {
            tokio::select! {
                _ = node.select_next_some() => {}
                _ = welcome.select_next_some() => {}
            }
        }
    };
    tokio::time::timeout(LIMIT, attempt)
        .await
        .expect("it is taken");
}

fn request(protocol: Protocol) -> Request {
    let hash = BlockHash::from_bytes([1; 32]);
    match protocol {
        Protocol::Status => Request::Status(crate::wire::Status {
            chain_id: ChainId::from_bytes([7; 32]),
            genesis: hash,
            best_hash: hash,
            best_height: 1,
            total_work: crate::primitives::Work::from_be_bytes([0; 32]),
            agent: String::new(),
        }),
        Protocol::Headers => Request::Headers(HeadersRequest {
            locator: vec![hash],
            stop: hash,
        }),
        Protocol::Blocks => Request::Blocks(vec![hash]),
        Protocol::BlockTransactions => {
            Request::BlockTransactions(BlockTransactionsRequest::new(hash, vec![1]).unwrap())
        }
        Protocol::Addresses => Request::Addresses(1),
    }
}

/// Both directions share the streams of a protocol, and what comes over the limit vanishes without a word. So half of them each
/// way at once must all arrive before the first is answered.
#[tokio::test]
async fn trap13_requests_both_ways_at_once_are_all_served() {
    let (mut a, mut b) = (swarm(), swarm());
    let address = listen(&mut a).await;
    b.dial(address).unwrap();
    let (a_id, b_id) = (*a.local_peer_id(), *b.local_peer_id());
    let at_once = |protocol| max_streams(protocol) / 2;
    let mut arrived = HashMap::new();
    let mut waiting = Vec::new();
    let mut answered = 0;
    let expected = 2 * Protocol::ALL.map(at_once).iter().sum::<usize>();
    let ask = |swarm: &mut Swarm<Behaviour>, peer: PeerId| {
        for protocol in Protocol::ALL {
            for _ in 0..at_once(protocol) {
                let behaviour = swarm.behaviour_mut().requests(protocol);
                behaviour.send_request(&peer, request(protocol));
            }
        }
    };
    let exchange = async {
        while answered < expected {
            let (at_a, event) = tokio::select! {
                event = a.select_next_some() => (true, event),
                event = b.select_next_some() => (false, event),
            };
            let (protocol, event) = match event {
                SwarmEvent::ConnectionEstablished { .. } if at_a => {
                    ask(&mut a, b_id);
                    continue;
                }
                SwarmEvent::ConnectionEstablished { .. } => {
                    ask(&mut b, a_id);
                    continue;
                }
                SwarmEvent::Behaviour(BehaviourEvent::Status(event)) => (Protocol::Status, event),
                SwarmEvent::Behaviour(BehaviourEvent::Headers(event)) => (Protocol::Headers, event),
                SwarmEvent::Behaviour(BehaviourEvent::Blocks(event)) => (Protocol::Blocks, event),
                SwarmEvent::Behaviour(BehaviourEvent::BlockTransactions(event)) => {
                    (Protocol::BlockTransactions, event)
                }
                SwarmEvent::Behaviour(BehaviourEvent::Addresses(event)) => {
                    (Protocol::Addresses, event)
                }
                _ => continue,
            };
            match event {
                RequestEvent::Message { message, .. } => match message {
                    Message::Request { channel, .. } => {
                        *arrived.entry((at_a, protocol)).or_insert(0) += 1;
                        waiting.push((at_a, protocol, channel));
                    }
                    Message::Response { .. } => answered += 1,
                },
                RequestEvent::ResponseSent { .. } => {}
                failed => panic!("{failed:?}"),
            }
            if arrived.values().sum::<usize>() == expected {
                for (at_a, protocol, channel) in waiting.drain(..) {
                    let swarm = if at_a { &mut a } else { &mut b };
                    let behaviour = swarm.behaviour_mut().requests(protocol);
                    behaviour
                        .send_response(channel, Response::RateLimited)
                        .unwrap();
                }
            }
        }
    };
    let result = tokio::time::timeout(LIMIT, exchange).await;
    assert!(result.is_ok(), "arrived: {arrived:?}, answered: {answered}");
    assert!(
        arrived
            .iter()
            .all(|((_, protocol), count)| *count == at_once(*protocol))
    );
}
