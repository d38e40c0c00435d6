//! A node under test (a [`Sync`] with a simple chain of its own) among peers that answer after a
//! delay, badly, or never.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{
    node::{NOW, Node, branch, flat},
    peer::{Manner, SimPeer},
};
use crate::{
    consensus::ChainSpec,
    network::sync::{
        Action, BlockVerdict, Event, HeadersVerdict, PeerKey, PeerStatus, RequestFailure,
        RequestId, Sync, SyncFault, Weighed, Weighing, WeighingError, weigh,
    },
    primitives::{Block, BlockHash, BlockHeader, Work},
};

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
    pub(super) in_flight: HashMap<RequestId, PeerKey>,
    pub(super) most_in_flight: usize,
    /// Blocks with the chain, and the most there were.
    judging: usize,
    pub(super) most_judging: usize,
    /// A block has failed, and sync has not heard of it yet.
    failed: bool,
    /// The sizes of the calls that are under way.
    under_judgement: VecDeque<usize>,
    /// The chains that facts are read for.
    ends: Vec<BlockHash>,
    invalid_bodies: HashSet<BlockHash>,
    /// Chains with less work are not stored.
    pub(super) minimum: Work,
    /// The most that a chain being weighed held, in bytes.
    pub(super) most_weighing: usize,
}

impl Simulation {
    pub(super) fn new() -> Self {
        Self::with_spec(flat())
    }

    pub(super) fn with_spec(spec: ChainSpec) -> Self {
        let mut node = Node::new(spec);
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
            judging: 0,
            most_judging: 0,
            failed: false,
            under_judgement: VecDeque::new(),
            ends: Vec::new(),
            invalid_bodies: HashSet::new(),
            minimum: Work::ZERO,
            most_weighing: 0,
        }
    }

    pub(super) fn header_count(&self) -> usize {
        self.node.header_count()
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
            headers_sent: 0,
            places: HashMap::new(),
        };
        let status = peer.status(&self.node.spec);
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
                peer,
                verdict,
                weighing,
                has,
                ..
            } => {
                self.ends
                    .extend(has.iter().map(|status: &PeerStatus| status.best_hash));
                Event::HeadersJudged {
                    peer,
                    verdict,
                    weighing,
                    has,
                    facts: self.node.facts(&self.ends),
                }
            }
            Event::BlocksJudged { verdicts, .. } => {
                let failed =
                    |(_, verdict): &(BlockHash, BlockVerdict)| *verdict != BlockVerdict::Accepted;
                if verdicts.iter().any(failed) {
                    self.failed = false;
                }
                self.judging -= self.under_judgement.pop_front().unwrap();
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
                Action::JudgeHeaders {
                    peer,
                    headers,
                    least,
                    weighing,
                } => self.judge_headers(peer, headers, least, weighing),
                Action::JudgeBlocks { blocks, .. } => self.judge_blocks(&blocks),
                Action::Misbehaved { peer, fault } => self.faults.push((peer, fault)),
            }
        }
    }

    fn judge_headers(
        &mut self,
        peer: PeerKey,
        headers: Vec<BlockHeader>,
        least: Work,
        weighing: Option<Box<Weighing>>,
    ) {
        let (verdict, weighing, has) = match self.weigh(headers, least, weighing) {
            Ok(Weighed { store, weighing }) => {
                let held = weighing.as_ref().map_or(0, |weighing| weighing.bytes());
                self.most_weighing = self.most_weighing.max(held);
                for header in &store {
                    assert!(self.node.add(header));
                }
                let has = store.last().map(|last| {
                    let hash = last.hash();
                    PeerStatus {
                        best_hash: hash,
                        best_height: self.node.height(&hash).unwrap(),
                        work: self.node.work(&hash).unwrap(),
                    }
                });
                (HeadersVerdict::Accepted, weighing, has)
            }
            Err(verdict) => (verdict, None, None),
        };
        let facts = self.node.facts(&self.ends);
        self.later(
            5,
            Event::HeadersJudged {
                peer,
                verdict,
                weighing,
                has,
                facts,
            },
        );
    }

    fn weigh(
        &self,
        mut headers: Vec<BlockHeader>,
        least: Work,
        weighing: Option<Box<Weighing>>,
    ) -> Result<Weighed, HeadersVerdict> {
        let invalid = &self.node.invalid;
        if headers.iter().any(|h| invalid.contains(&h.hash())) {
            return Err(HeadersVerdict::OnInvalid);
        }
        let verdict = |error| match error {
            WeighingError::Unconnected => HeadersVerdict::Unconnected,
            WeighingError::OtherChain | WeighingError::TooLong => HeadersVerdict::OtherChain,
            WeighingError::Rule(_) => HeadersVerdict::Invalid,
        };
        if let Some(mut weighing) = weighing {
            let store = weighing.take(&headers, NOW).map_err(verdict)?;
            let weighing = Some(weighing).filter(|weighing| !weighing.is_done());
            return Ok(Weighed { store, weighing });
        }
        let known = |header: &&BlockHeader| self.node.height(&header.hash()).is_some();
        let known = headers.iter().take_while(known).count();
        if known == headers.len() {
            return Ok(Weighed {
                store: headers,
                weighing: None,
            });
        }
        let new = headers.split_off(known);
        let start = self.node.chain_of(&new[0].prev_block);
        let start = start.ok_or(HeadersVerdict::Unconnected)?.clone();
        let least = least.max(self.minimum);
        weigh(&self.node.spec, [7; 32], least, start, new, NOW).map_err(verdict)
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
                let spec = Arc::clone(&self.node.spec);
                let peer = self.peers.get_mut(&peer).unwrap();
                let headers = peer.headers_after(&spec, locator);
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
            headers.extend(branch(&[], 666, 1));
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

    /// Law: every block after its parent, unless that has failed a moment ago.
    fn judge_blocks(&mut self, blocks: &[Arc<Block>]) {
        self.judging += blocks.len();
        self.under_judgement.push_back(blocks.len());
        self.most_judging = self.most_judging.max(self.judging);
        let mut verdicts = Vec::new();
        for block in blocks {
            let hash = block.header.hash();
            let parent = block.header.prev_block;
            let follows = parent == self.node.genesis || self.node.bodies.contains(&parent);
            assert!(follows || self.failed, "a block before its parent");
            let verdict = if !follows {
                BlockVerdict::UnknownParent
            } else if !block.transactions.is_empty() {
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
                self.failed = true;
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
