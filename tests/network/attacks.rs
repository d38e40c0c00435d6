//! Attacks on a node that has an honest peer, by a peer that speaks the protocols by hand. Whatever comes, the honest nodes keep
//! their tip and their links, memory stays flat, and the attacker is named in the log once.

use std::{net::SocketAddr, time::Duration};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::identity::Keypair;
use quarry::{
    network::PeerInfo,
    primitives::Block,
    wire::{BlockGossip, encode_transaction_batch},
};

use crate::{
    alone::{Ground, alone, resident},
    hostile::{Control, Graft, Hostile, Prune, Rpc, Subscription, choose, honest, secure},
    node::{LIMIT, Node, OwnCoin, agree, pay, solve, spec, to_us, until},
};

/// So much may memory grow under attack: what the node keeps by its limits, and what the allocator does not give back.
const GROWTH: u64 = 64;

/// ```text
/// witness ── victim ── attackers
/// ```
struct Field {
    ground: Ground,
    victim: Node,
    witness: Node,
    coins: Vec<OwnCoin>,
    memory: Option<u64>,
}

impl Field {
    async fn new(ground: Ground) -> Self {
        let attacked = SocketAddr::new(ground.ip, 0);
        let victim = Node::start_with(spec(), None, |config| {
            if ground.is_public() {
                config.listen.push(attacked);
            }
        })
        .await;
        let witness = Node::new(&[&victim]).await;
        let coins = victim.mine_coins(0, 50).await;
        agree("before", &[&victim, &witness]).await;
        Self {
            ground,
            victim,
            witness,
            coins,
            memory: resident(),
        }
    }

    /// Where attackers connect.
    fn address(&self) -> SocketAddr {
        let ip = format!("/{}/", self.ground.ip);
        let all = self.victim.network.listen_addresses();
        let address = all.iter().find(|address| address.contains(&ip));
        let mut parts = address.expect("the node listens there").split('/').skip(2);
        let (ip, port) = (parts.next(), parts.nth(1));
        let text = format!("{}:{}", ip.expect("an IP"), port.expect("a port"));
        text.parse().expect("an address")
    }

    fn topic(&self, name: &str) -> String {
        format!("/quarry/{}/{name}/1", self.network())
    }

    fn network(&self) -> String {
        self.victim.spec.chain_id().short()
    }

    /// Connects a peer that is in the mesh of both topics.
    async fn join(&self, key: &Keypair) -> Hostile {
        let habits = honest(self.victim.chain.reader());
        let mut peer = Hostile::connect(self.address(), key, habits).await;
        for name in ["blocks", "txs"] {
            assert!(peer.gossip(&Rpc::join(&self.topic(name))).await);
        }
        let greeted = async {
            while self.info(&peer).await.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let greeted = tokio::time::timeout(LIMIT, greeted).await;
        assert!(greeted.is_ok(), "the node does not greet it");
        peer
    }

    async fn info(&self, peer: &Hostile) -> Option<PeerInfo> {
        let id = peer.id.to_string();
        let peers = self.victim.network.peers().await;
        peers.into_iter().find(|info| info.peer_id == id)
    }

    /// A block for the next height, not given to anybody; larger than goes whole if `large`.
    fn block(&self, salt: u32, large: bool) -> Block {
        let mut outputs = vec![to_us(self.victim.subsidy())];
        outputs.extend(vec![to_us(0); if large { 3_000 } else { 0 }]);
        self.victim.next_block(salt, outputs, Vec::new())
    }

    /// The honest nodes are as they were, and still hear each other both ways.
    async fn end(self, attacker: Option<&Hostile>) {
        assert_eq!(self.victim.tip(), self.witness.tip());
        for (salt, node) in [(1_000, &self.victim), (1_001, &self.witness)] {
            node.mine(salt, 0).await;
            agree("honest news arrive", &[&self.victim, &self.witness]).await;
        }
        if let (Some(before), Some(after)) = (self.memory, resident()) {
            assert!(
                after < before + GROWTH,
                "memory grew from {before} to {after} MiB"
            );
        }
        if let Some(attacker) = attacker {
            let lines = self.ground.lines_about(attacker.id);
            let expected = if self.ground.is_public() {
                1..=1
            } else {
                0..=1
            };
            assert!(expected.contains(&lines.len()), "{lines:#?}");
        }
        self.victim.stop().await;
        self.witness.stop().await;
    }
}

/// A short while in which something must not happen. Long enough for it on any machine that is not stuck.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[test]
fn p06_invalid_block_gossip_is_not_relayed_and_its_sender_is_cut() {
    alone(|ground| async {
        let field = Field::new(ground).await;
        let tip = field.victim.tip();
        let observer = field.join(&Keypair::generate_ed25519()).await;
        let mut attacker = field.join(&Keypair::generate_ed25519()).await;
        // No work at all: whatever relayed it has not looked.
        let mut block = field.block(1, false);
        let target = block.header.bits.to_target().expect("our own");
        while target.is_met_by(&block.header.hash()) {
            block.header.nonce += 1;
        }
        let blocks = field.topic("blocks");
        assert!(
            attacker
                .gossip(&Rpc::block(&blocks, &BlockGossip::Whole(block)))
                .await
        );
        if field.ground.is_public() {
            attacker.closed("it sent a block without work").await;
        } else {
            // Local peers are warned about and not banned; gossip trusts them less all the same.
            let id = attacker.id;
            until("it is named", || !field.ground.lines_about(id).is_empty()).await;
            let info = field.info(&attacker).await.expect("it stays connected");
            assert!(info.gossip_score <= -90.0, "{info:?}");
        }
        a_while().await;
        assert_eq!(observer.published(), [], "it was relayed");
        assert_eq!(field.victim.tip(), tip);
        field.end(Some(&attacker)).await;
    });
}

/// A body that is not its header's: the honest block with that header is still taken (trap 9: the id of a message is no hash of a
/// block).
#[test]
fn trap09_an_altered_body_does_not_keep_the_honest_one_away() {
    alone(|ground| async {
        let field = Field::new(ground).await;
        let mut observer = field.join(&Keypair::generate_ed25519()).await;
        let mut attacker = field.join(&Keypair::generate_ed25519()).await;
        let blocks = field.topic("blocks");
        let good = field.block(1, false);
        let mut altered = good.clone();
        altered.transactions[0].lock_time = 7;
        attacker
            .gossip(&Rpc::block(&blocks, &BlockGossip::Whole(altered)))
            .await;
        let id = attacker.id;
        until("it is named", || !field.ground.lines_about(id).is_empty()).await;
        // Sent by hand by a peer that is honest now.
        let news = Rpc::block(&blocks, &BlockGossip::Whole(good.clone()));
        assert!(observer.gossip(&news).await);
        until("the honest body is taken", || {
            field.victim.tip().1 == good.hash()
        })
        .await;
        agree("and relayed", &[&field.victim, &field.witness]).await;
        field.end(Some(&attacker)).await;
    });
}

#[test]
fn p06_invalid_transactions_are_not_relayed_and_their_sender_is_cut() {
    alone(|ground| async {
        let field = Field::new(ground).await;
        let observer = field.join(&Keypair::generate_ed25519()).await;
        let mut attacker = field.join(&Keypair::generate_ed25519()).await;
        let txs = field.topic("txs");
        for (number, coin) in field.coins.iter().take(3).enumerate() {
            let mut payment = pay(*coin, 1_000);
            // A signature of something else.
            payment.outputs[0].value.0 -= 1;
            let batch = encode_transaction_batch(&[payment], 0);
            attacker.gossip(&Rpc::message(&txs, batch)).await;
            if number == 0 {
                let judged = async {
                    loop {
                        let info = field.info(&attacker).await;
                        if let Some(info) = info.filter(|info| info.score > 0.0) {
                            return info;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                let info = tokio::time::timeout(LIMIT, judged)
                    .await
                    .expect("it is judged");
                assert!(info.score > 30.0 && info.gossip_score < 0.0, "{info:?}");
            }
        }
        if field.ground.is_public() {
            attacker.closed("three batches with bad signatures").await;
        } else {
            let id = attacker.id;
            until("it is named", || !field.ground.lines_about(id).is_empty()).await;
        }
        a_while().await;
        assert_eq!(observer.published(), [], "they were relayed");
        let waiting = field.victim.mempool.info().await.expect("it runs");
        assert_eq!(waiting.count, 0);
        field.end(Some(&attacker)).await;
    });
}

/// Whoever relays a block after the checks of its header, as we do, cannot know that its body breaks a rule.
#[test]
fn p07_an_honest_relay_of_a_bad_body_is_not_punished() {
    alone(|ground| async {
        let field = Field::new(ground).await;
        let tip = field.victim.tip();
        let observer = field.join(&Keypair::generate_ed25519()).await;
        let mut relay = field.join(&Keypair::generate_ed25519()).await;
        let blocks = field.topic("blocks");
        let mut sent = Vec::new();
        for (salt, large) in [(1, false), (2, true)] {
            let mut block = field.block(salt, large);
            // The coinbase takes a unit too much.
            block.transactions[0].outputs[0].value.0 += 1;
            block.header.merkle_root = block.compute_merkle_root().0;
            solve(&mut block.header);
            let gossip = BlockGossip::announce(&block, Some(3));
            assert!(relay.gossip(&Rpc::block(&blocks, &gossip)).await);
            sent.push(gossip.encode());
        }
        until("both are relayed", || observer.published().len() == 2).await;
        let mut relayed: Vec<_> = observer
            .published()
            .into_iter()
            .filter_map(|m| m.data)
            .collect();
        relayed.sort();
        sent.sort();
        assert_eq!(relayed, sent);
        a_while().await;
        let info = field.info(&relay).await.expect("it stays connected");
        assert!(info.score < 1.0 && info.gossip_score >= 0.0, "{info:?}");
        assert_eq!(field.victim.tip(), tip);
        assert!(!relay.is_closed());
        field.end(None).await;
    });
}

/// CVE-2026-33040 and CVE-2026-34219: times that overflow when they are added to now.
#[test]
fn p09_endless_backoffs_and_a_million_topics_cost_nothing() {
    alone(|ground| async {
        let field = Field::new(ground).await;
        let mut attacker = field.join(&Keypair::generate_ed25519()).await;
        let blocks = field.topic("blocks");
        let uptime = 60;
        let ends = [
            u64::MAX,
            u64::MAX - 1,
            i64::MAX as u64,
            i64::MAX as u64 - uptime,
            1 << 62,
        ];
        for backoff in ends {
            let prune = Prune {
                topic: Some(blocks.clone()),
                backoff: Some(backoff),
            };
            let control = Control {
                prune: vec![prune],
                ..Control::default()
            };
            attacker.gossip(&Rpc::control(control)).await;
        }
        let topics = |range: std::ops::Range<u32>| range.map(|number| Some(format!("t{number}")));
        // Within the limits of a request, and far beyond them.
        for (at_once, until) in [(16, 100_000), (2_000, 1_000_000), (40_000, 1_000_000)] {
            for first in (0..until).step_by(at_once as usize) {
                let subscriptions = topics(first..first + at_once).map(|topic| Subscription {
                    subscribe: Some(true),
                    topic,
                });
                let rpc = Rpc {
                    subscriptions: subscriptions.collect(),
                    ..Rpc::default()
                };
                if !attacker.gossip(&rpc).await {
                    break;
                }
            }
        }
        for first in (0..1_000_000).step_by(4_000) {
            let graft = topics(first..first + 4_000).map(|topic| Graft { topic });
            let control = Control {
                graft: graft.collect(),
                ..Control::default()
            };
            if !attacker.gossip(&Rpc::control(control)).await {
                break;
            }
        }
        a_while().await;
        field.end(None).await;
    });
}

/// Whether yamux says goodbye with code 1, a protocol error, among the frames that a node sent.
fn told_protocol_error(mut frames: &[u8]) -> bool {
    const HEADER: usize = 12;
    const DATA: u8 = 0;
    const GO_AWAY: u8 = 3;
    while let Some((header, rest)) = frames.split_at_checked(HEADER) {
        let length = u32::from_be_bytes(header[8..].try_into().expect("four bytes"));
        if header[1] == GO_AWAY {
            return length == 1;
        }
        let body = if header[1] == DATA {
            length as usize
        } else {
            0
        };
        frames = rest.get(body..).unwrap_or_default();
    }
    false
}

/// CVE-2026-32314 and CVE-2026-31814, and more streams than are allowed: below the protocols, frames of yamux by hand.
#[test]
fn p10_frames_that_break_yamux_close_the_connection() {
    alone(|ground| async {
        const DATA: u8 = 0;
        const WINDOW: u8 = 1;
        const SYN: u16 = 1;
        let frame = |kind: u8, flags: u16, stream: u32, length: u32| {
            [
                &[0, kind][..],
                &flags.to_be_bytes(),
                &stream.to_be_bytes(),
                &length.to_be_bytes(),
            ]
            .concat()
        };
        let oversize = [frame(DATA, SYN, 1, 262_145), vec![0; 262_145]].concat();
        let overflow = [
            frame(WINDOW, SYN, 1, u32::MAX),
            frame(WINDOW, 0, 1, u32::MAX),
        ]
        .concat();
        let streams: Vec<u8> = (0..10_000)
            .flat_map(|n| frame(WINDOW, SYN, 2 * n + 1, 0))
            .collect();
        let field = Field::new(ground).await;
        for (what, bytes) in [
            ("a first frame beyond the window", oversize),
            ("a window that overflows", overflow),
            ("10,000 streams", streams),
        ] {
            let key = Keypair::generate_ed25519();
            let mut io = secure(field.address(), &key).await.expect("it is taken");
            choose(&mut io, "/yamux/1.0.0")
                .await
                .expect("yamux is spoken");
            let (mut from, mut to) = io.split();
            let attack = async {
                // The node may close before it has all.
                let _ = to.write_all(&bytes).await;
                let _ = to.flush().await;
            };
            let listening = async {
                let (mut heard, mut some) = (Vec::new(), [0; 4_096]);
                while let Ok(count @ 1..) = from.read(&mut some).await {
                    heard.extend_from_slice(&some[..count]);
                }
                heard
            };
            let both = futures::future::join(listening, attack);
            let closed = tokio::time::timeout(LIMIT, both).await;
            let (heard, ()) = closed.unwrap_or_else(|_| panic!("still open after {what}"));
            // Without it, it was the missing handshake of our own protocols that ended the connection, not yamux.
            assert!(told_protocol_error(&heard), "{what}: {heard:02x?}");
        }
        field.end(None).await;
    });
}

/// One block in any number of messages: with sequence numbers, which anonymous gossip does not have, and by short ids under other
/// nonces.
#[test]
fn p11_a_block_in_many_messages_is_relayed_once() {
    alone(|ground| async {
        let field = Field::new(ground).await;
        let observer = field.join(&Keypair::generate_ed25519()).await;
        let mut attacker = field.join(&Keypair::generate_ed25519()).await;
        let blocks = field.topic("blocks");
        let numbered = field.block(1, false);
        for number in 0..50_u64 {
            let mut rpc = Rpc::block(&blocks, &BlockGossip::Whole(numbered.clone()));
            rpc.publish[0].seqno = Some(number.to_be_bytes().to_vec());
            attacker.gossip(&rpc).await;
        }
        // Numbered messages are refused, and with them the trust in who sent them.
        let mut relay = field.join(&Keypair::generate_ed25519()).await;
        let large = field.block(2, true);
        for nonce in 0..50 {
            let gossip = BlockGossip::announce(&large, Some(nonce));
            relay.gossip(&Rpc::block(&blocks, &gossip)).await;
        }
        until("the large block is taken", || {
            field.victim.tip().1 == large.hash()
        })
        .await;
        agree("by all", &[&field.victim, &field.witness]).await;
        a_while().await;
        let relayed = observer.published();
        assert_eq!(relayed.len(), 1, "one form of one block");
        field.end(None).await;
    });
}

/// P5: whoever announces a block by short ids and then withholds what is missing delays it by seconds at most.
#[test]
fn p05_an_announced_block_that_is_withheld_comes_from_another_peer() {
    alone(|ground| async {
        let field = Field::new(ground).await;
        let mut attacker = field.join(&Keypair::generate_ed25519()).await;
        // Nobody has these payments, so they must be asked for.
        let count = 400;
        let coins = field.witness.mine_coins(9, count).await;
        agree("coins", &[&field.victim, &field.witness]).await;
        let payments = coins.iter().map(|coin| pay(*coin, 1_000)).collect();
        let outputs = vec![to_us(field.witness.subsidy())];
        let block = field.witness.next_block(5, outputs, payments);
        let gossip = BlockGossip::announce(&block, Some(1));
        assert!(matches!(&gossip, BlockGossip::Compact(c) if c.short_ids.len() == count));
        let news = Rpc::block(&field.topic("blocks"), &gossip);
        assert!(attacker.gossip(&news).await);
        let is_asked = || {
            attacker.heard(|heard| {
                let mut requests = heard.requests.iter();
                requests
                    .any(|request| matches!(request, quarry::wire::Request::BlockTransactions(_)))
            })
        };
        until("the announcer is asked", is_asked).await;
        field.witness.submit(&block).await;
        agree(
            "the block comes from the other",
            &[&field.victim, &field.witness],
        )
        .await;
        let id = attacker.id;
        assert!(field.ground.lines_about(id).len() <= 1);
        field.end(None).await;
    });
}
