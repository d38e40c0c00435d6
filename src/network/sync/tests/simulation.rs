//! A node under test (a [`Sync`] with a simple chain of its own) among peers that answer after a
//! delay, badly, or never.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::node::{Node, branch, work};
use crate::{
    network::sync::{
        Action, BlockVerdict, Event, HeadersVerdict, PeerKey, PeerStatus, RequestFailure,
        RequestId, Sync, SyncFault,
    },
    primitives::{Block, BlockHash, BlockHeader},
};

/// How a simulated peer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// Answers headers, never sends a block.
    WithholdsBlocks,
    /// Answers at once, but never with a block.
    SendsNoBlocks,
    /// Never answers anything.
    Silent,
    /// Claims this much work, whatever it has.
    Claims(u64),
    /// Sends headers that do not follow each other.
    Discontinuous,
    /// Sends blocks that nobody asked for.
    Unsolicited,
    /// Sends bodies that are not those of their headers.
    Mutates,
    /// Answers headers requests as if the locator were its own last header but 10.
    IgnoresLocator,
    /// Refuses every second request for going too fast.
    RateLimits,
}

pub(super) struct SimPeer {
    /// From genesis on, without it.
    pub(super) chain: Vec<BlockHeader>,
    pub(super) manner: Manner,
    pub(super) delay: u64,
    answered: u64,
}

impl SimPeer {
    fn status(&self, genesis: BlockHash) -> PeerStatus {
        let height = self.chain.len() as u64;
        PeerStatus {
            best_hash: self.chain.last().map_or(genesis, BlockHeader::hash),
            best_height: self.chain.len() as u32,
            work: match self.manner {
                Manner::Claims(units) => work(units),
                _ => work(height),
            },
        }
    }

    fn headers_after(&self, genesis: BlockHash, locator: &[BlockHash]) -> Vec<BlockHeader> {
        let start = if self.manner == Manner::IgnoresLocator {
            self.chain.len().saturating_sub(10)
        } else {
            locator
                .iter()
                .find_map(|hash| {
                    if *hash == genesis {
                        return Some(0);
                    }
                    self.chain
                        .iter()
                        .position(|header| header.hash() == *hash)
                        .map(|index| index + 1)
                })
                .unwrap_or(0)
        };
        let mut headers: Vec<_> = self.chain[start..].iter().take(2_000).copied().collect();
        if self.manner == Manner::Discontinuous && headers.len() > 2 {
            headers.swap(0, 1);
        }
        headers
    }
}

/// The whole simulation.
pub(super) struct Simulation {
    node: Node,
    pub(super) sync: Sync,
    pub(super) peers: BTreeMap<PeerKey, SimPeer>,
    pub(super) now: u64,
    pending: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(super) faults: Vec<(PeerKey, SyncFault)>,
    /// Blocks asked for, by peer.
    pub(super) asked: BTreeMap<PeerKey, usize>,
    in_flight: HashMap<RequestId, PeerKey>,
    pub(super) most_in_flight: usize,
    judging: bool,
    /// The chains that facts are read for.
    ends: Vec<BlockHash>,
    invalid_bodies: HashSet<BlockHash>,
}

impl Simulation {
    pub(super) fn new() -> Self {
        let genesis = BlockHash::from_bytes([1; 32]);
        let mut node = Node {
            genesis,
            headers: HashMap::new(),
            bodies: HashSet::new(),
            invalid: HashSet::new(),
            best: genesis,
            tip: genesis,
            stamp: 0,
        };
        let sync = Sync::new(node.facts(&[]));
        Self {
            node,
            sync,
            peers: BTreeMap::new(),
            now: 0,
            pending: BTreeMap::new(),
            sequence: 0,
            faults: Vec::new(),
            asked: BTreeMap::new(),
            in_flight: HashMap::new(),
            most_in_flight: 0,
            judging: false,
            ends: Vec::new(),
            invalid_bodies: HashSet::new(),
        }
    }

    pub(super) fn genesis(&self) -> BlockHash {
        self.node.genesis
    }

    pub(super) fn tip(&self) -> (u32, BlockHash) {
        let tip = self.node.tip;
        (self.node.height(&tip).unwrap_or_default(), tip)
    }

    /// Gives the node blocks from the start.
    pub(super) fn own(&mut self, chain: &[BlockHeader]) {
        for header in chain {
            assert!(self.node.add(header));
            self.node.take(header.hash());
        }
        let facts = self.node.facts(&self.ends);
        self.event(Event::Facts(facts));
    }

    /// The chain will find this block invalid, once it has the body.
    pub(super) fn make_invalid(&mut self, hash: BlockHash) {
        self.invalid_bodies.insert(hash);
    }

    pub(super) fn connect(&mut self, key: u64, chain: Vec<BlockHeader>, manner: Manner) -> PeerKey {
        let key = PeerKey(key);
        let peer = SimPeer {
            chain,
            manner,
            delay: 50,
            answered: 0,
        };
        let status = peer.status(self.node.genesis);
        self.peers.insert(key, peer);
        self.event(Event::PeerStatus { peer: key, status });
        key
    }

    pub(super) fn disconnect(&mut self, key: PeerKey) {
        self.peers.remove(&key);
        self.in_flight.retain(|_, peer| *peer != key);
        self.event(Event::PeerGone { peer: key });
    }

    pub(super) fn event(&mut self, event: Event) {
        let actions = self.sync.handle(self.now, event);
        self.act(actions);
        if self.sync.ends() != self.ends {
            self.ends = self.sync.ends();
            let facts = self.node.facts(&self.ends);
            self.later(5, Event::Facts(facts));
        }
    }

    /// Runs until `until` (milliseconds).
    pub(super) fn run(&mut self, until: u64) {
        while self.now < until {
            self.now += 10;
            while let Some(entry) = self.pending.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let event = entry.remove();
                if let Event::HeadersAnswered { request, .. }
                | Event::BlocksAnswered { request, .. }
                | Event::RequestFailed { request, .. } = &event
                    && self.in_flight.remove(request).is_none()
                {
                    continue; // its peer is gone
                }
                let event = self.complete(event);
                self.event(event);
            }
            if self.now.is_multiple_of(100) {
                let actions = self.sync.tick(self.now);
                self.act(actions);
            }
        }
    }

    fn later(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.pending
            .insert((self.now + delay, self.sequence), event);
    }

    /// Facts are read when the judgement is done, not when it began.
    fn complete(&mut self, event: Event) -> Event {
        match event {
            Event::HeadersJudged {
                peer, verdict, has, ..
            } => {
                self.ends
                    .extend(has.iter().map(|status: &PeerStatus| status.best_hash));
                Event::HeadersJudged {
                    peer,
                    verdict,
                    has,
                    facts: self.node.facts(&self.ends),
                }
            }
            Event::BlocksJudged { verdicts, .. } => {
                self.judging = false;
                Event::BlocksJudged {
                    verdicts,
                    facts: self.node.facts(&self.ends),
                }
            }
            Event::Facts(_) => Event::Facts(self.node.facts(&self.ends)),
            other => other,
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::RequestHeaders {
                    peer,
                    request,
                    locator,
                } => self.answer_headers(peer, request, &locator),
                Action::RequestBlocks {
                    peer,
                    request,
                    hashes,
                } => self.answer_blocks(peer, request, &hashes),
                Action::JudgeHeaders { peer, headers } => {
                    let invalid = &self.node.invalid;
                    let verdict = if headers.iter().any(|h| invalid.contains(&h.hash())) {
                        HeadersVerdict::OnInvalid
                    } else if headers.iter().all(|header| self.node.add(header)) {
                        HeadersVerdict::Accepted
                    } else {
                        HeadersVerdict::Unconnected
                    };
                    let last = headers[headers.len() - 1].hash();
                    let has = (verdict == HeadersVerdict::Accepted).then(|| {
                        let best_height = self.node.height(&last).unwrap_or_default();
                        PeerStatus {
                            best_hash: last,
                            best_height,
                            work: work(best_height.into()),
                        }
                    });
                    let facts = self.node.facts(&self.ends);
                    self.later(
                        5,
                        Event::HeadersJudged {
                            peer,
                            verdict,
                            has,
                            facts,
                        },
                    );
                }
                Action::JudgeBlocks { blocks } => self.judge_blocks(&blocks),
                Action::Misbehaved { peer, fault } => self.faults.push((peer, fault)),
            }
        }
    }

    fn start(&mut self, peer: PeerKey, request: RequestId) -> Option<(Manner, u64, u64)> {
        self.in_flight.insert(request, peer);
        self.most_in_flight = self.most_in_flight.max(self.in_flight.len());
        let peer = self.peers.get_mut(&peer)?;
        peer.answered += 1;
        Some((peer.manner, peer.delay, peer.answered))
    }

    fn answer_headers(&mut self, peer: PeerKey, request: RequestId, locator: &[BlockHash]) {
        assert!(locator.len() <= 64);
        let Some((manner, delay, count)) = self.start(peer, request) else {
            return;
        };
        match manner {
            Manner::Silent => self.fail(15_000, request, RequestFailure::Timeout),
            Manner::RateLimits if count.is_multiple_of(2) => {
                self.fail(delay, request, RequestFailure::RateLimited);
            }
            _ => {
                let headers = self.peers[&peer].headers_after(self.node.genesis, locator);
                self.later(delay, Event::HeadersAnswered { request, headers });
            }
        }
    }

    fn answer_blocks(&mut self, peer: PeerKey, request: RequestId, hashes: &[BlockHash]) {
        assert!((1..=16).contains(&hashes.len()));
        *self.asked.entry(peer).or_default() += hashes.len();
        let Some((manner, delay, count)) = self.start(peer, request) else {
            return;
        };
        match manner {
            Manner::Silent | Manner::WithholdsBlocks => {
                self.fail(30_000, request, RequestFailure::Timeout);
                return;
            }
            Manner::RateLimits if count.is_multiple_of(2) => {
                self.fail(delay, request, RequestFailure::RateLimited);
                return;
            }
            _ => {}
        }
        let sim = &self.peers[&peer];
        let mut headers: Vec<BlockHeader> = sim
            .chain
            .iter()
            .filter(|_| manner != Manner::SendsNoBlocks)
            .filter(|header| hashes.contains(&header.hash()))
            .copied()
            .collect();
        if manner == Manner::Unsolicited {
            headers.extend(branch(self.node.genesis, 666, 1));
        }
        let blocks = headers
            .into_iter()
            .map(|header| {
                let mut transactions = Vec::new();
                if manner == Manner::Mutates {
                    transactions.push(crate::primitives::Transaction {
                        version: 1,
                        inputs: Vec::new(),
                        outputs: Vec::new(),
                        lock_time: 0,
                    });
                }
                Arc::new(Block {
                    header,
                    transactions,
                })
            })
            .collect();
        self.later(delay, Event::BlocksAnswered { request, blocks });
    }

    fn fail(&mut self, delay: u64, request: RequestId, failure: RequestFailure) {
        self.later(delay, Event::RequestFailed { request, failure });
    }

    /// Law: one judgement at a time, and every block after its parent.
    fn judge_blocks(&mut self, blocks: &[Arc<Block>]) {
        assert!(!self.judging, "one judgement at a time");
        self.judging = true;
        let mut verdicts = Vec::new();
        for block in blocks {
            let hash = block.header.hash();
            let parent = block.header.prev_block;
            assert!(
                parent == self.node.genesis || self.node.bodies.contains(&parent),
                "a block before its parent"
            );
            let verdict = if !block.transactions.is_empty() {
                BlockVerdict::Mutated
            } else if self.invalid_bodies.contains(&hash) {
                self.node.invalid.insert(hash);
                BlockVerdict::Invalid
            } else {
                self.node.take(hash);
                BlockVerdict::Accepted
            };
            verdicts.push((hash, verdict));
            if verdict != BlockVerdict::Accepted {
                if verdict == BlockVerdict::Invalid {
                    // The chain falls back to the best header that is not invalid.
                    self.node.best = parent;
                }
                break;
            }
        }
        let facts = self.node.facts(&self.ends);
        self.later(5, Event::BlocksJudged { verdicts, facts });
    }
}
