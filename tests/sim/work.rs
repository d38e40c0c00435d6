//! What hosts do: carry out what sync decides, answer peers, relay blocks, find blocks.

use std::sync::Arc;

use quarry::network::sync::{
    Action, BlockVerdict, Event, HeadersVerdict, PeerKey, RequestId, SyncFault, Weighed, Weighing,
    WeighingError, oldest_news, weigh,
};
use quarry::network::{Fault, Verdict};
use quarry::primitives::{Block, BlockHash, BlockHeader, Transaction, Work as ChainWork};

use crate::host::peer_id;
use crate::links::Message;
use crate::plan::{Manner, SECOND};
use crate::world::{Happening, World};

/// What a helper takes, in milliseconds.
const HELPER: u64 = 5;
/// Miners of a host that is more blocks behind than this pause.
const MINES_BEHIND: u32 = 6;
/// The salt of all weighings.
const SALT: [u8; 32] = [42; 32];

/// What helpers of a host are at.
pub enum Work {
    Headers {
        peer: PeerKey,
        headers: Vec<BlockHeader>,
        least: ChainWork,
        weighing: Option<Box<Weighing>>,
    },
    Blocks(Vec<Arc<Block>>),
    /// A gossiped block that was relayed.
    Gossip {
        peer: PeerKey,
        hash: BlockHash,
        whole: bool,
    },
}

impl World {
    /// Gives sync an event and does what it wants.
    pub fn sync_event(&mut self, host: usize, event: Event) {
        let time = self.hosts[host].own_time(self.now);
        let actions = self.hosts[host].sync.handle(time, event);
        self.follow(host, actions);
    }

    pub fn tick(&mut self, host: usize) {
        let time = self.hosts[host].own_time(self.now);
        let actions = self.hosts[host].sync.tick(time);
        self.follow(host, actions);
        self.check_sizes(host);
        if host == 0 {
            self.look_for_agreement();
        }
    }

    fn follow(&mut self, host: usize, actions: Vec<Action>) {
        for action in actions {
            self.act(host, action);
        }
        let ends = self.hosts[host].sync.ends();
        if ends != self.hosts[host].ends {
            self.hosts[host].ends = ends;
            self.refresh_facts(host);
        }
        let behind = self.hosts[host].sync.blocks_behind();
        match behind {
            0 if self.hosts[host].catching_up => {
                self.hosts[host].catching_up = false;
                self.tell_all(host);
            }
            0 | 1 => {}
            _ => self.hosts[host].catching_up = true,
        }
    }

    fn act(&mut self, host: usize, action: Action) {
        match action {
            Action::RequestHeaders {
                peer,
                request,
                locator,
            } => self.ask(
                host,
                peer,
                request,
                15,
                Message::AskHeaders { request, locator },
            ),
            Action::RequestBlocks {
                peer,
                request,
                hashes,
            } => self.ask(
                host,
                peer,
                request,
                30,
                Message::AskBlocks { request, hashes },
            ),
            Action::JudgeHeaders {
                peer,
                headers,
                least,
                weighing,
            } => self.help(
                host,
                Work::Headers {
                    peer,
                    headers,
                    least,
                    weighing,
                },
            ),
            Action::JudgeBlocks { blocks, .. } => self.help(host, Work::Blocks(blocks)),
            Action::Misbehaved { peer, fault } => self.punish(host, peer, fault),
        }
    }

    fn help(&mut self, host: usize, work: Work) {
        let life = self.hosts[host].life;
        self.after(HELPER, Happening::Done(host, life, work));
    }

    fn ask(
        &mut self,
        host: usize,
        peer: PeerKey,
        request: RequestId,
        seconds: u64,
        message: Message,
    ) {
        let Some(link) = self.hosts[host].peers.get(&peer).copied() else {
            return;
        };
        self.send(host, link, message);
        let life = self.hosts[host].life;
        self.after(
            seconds * SECOND,
            Happening::TimeOut {
                host,
                life,
                request,
            },
        );
    }

    fn refresh_facts(&mut self, host: usize) {
        if !self.hosts[host].facts_due {
            self.hosts[host].facts_due = true;
            let life = self.hosts[host].life;
            self.after(2, Happening::Facts(host, life));
        }
    }

    /// Law: no honest peer is banned.
    fn punish(&mut self, host: usize, peer: PeerKey, fault: SyncFault) {
        let Some(link) = self.hosts[host].peers.get(&peer).copied() else {
            return;
        };
        let other = self.links[link].other(host);
        self.note(&[self.now, 5, host as u64, other as u64]);
        let time = self.hosts[host].own_time(self.now);
        let fault = Fault::Sync(fault);
        let verdict = self.hosts[host].scores.punish(time, peer_id(other), fault);
        if verdict == Verdict::Ban {
            let is_honest = self.hosts[other].is_honest();
            assert!(
                !is_honest,
                "host {host} bans honest host {other} for {fault:?} at {}",
                self.now
            );
            self.report.bans += 1;
            self.hosts[host].banned.insert(other);
            self.disconnect(link);
        }
    }

    /// Law: nothing grows without bound.
    fn check_sizes(&mut self, host: usize) {
        let sizes = self.hosts[host].sync.sizes();
        let peers = self.hosts[host].peers.len();
        assert!(
            sizes.peers <= peers,
            "sync knows {} of {peers} peers",
            sizes.peers
        );
        assert!(sizes.requests <= 10 * peers, "{sizes:?} with {peers} peers");
        assert!(sizes.wanted <= 512, "{sizes:?}");
        assert!(
            sizes.weighing_bytes <= Weighing::MOST_BYTES * peers,
            "{sizes:?}"
        );
        let report = &mut self.report;
        report.most_requests = report.most_requests.max(sizes.requests);
        report.most_held = report.most_held.max(sizes.held_bytes);
        report.most_weighing = report.most_weighing.max(sizes.weighing_bytes);
    }

    /// A helper is done.
    pub fn do_work(&mut self, host: usize, work: Work) {
        match work {
            Work::Headers {
                peer,
                headers,
                least,
                weighing,
            } => self.judge_headers(host, peer, headers, least, weighing),
            Work::Blocks(blocks) => self.judge_blocks(host, &blocks),
            Work::Gossip { peer, hash, whole } => self.take_gossip(host, peer, hash, whole),
        }
    }

    fn judge_headers(
        &mut self,
        host: usize,
        peer: PeerKey,
        headers: Vec<BlockHeader>,
        least: ChainWork,
        weighing: Option<Box<Weighing>>,
    ) {
        let now = self.hosts[host].unix(self.now);
        let (mut verdict, mut end) = (HeadersVerdict::Accepted, None);
        let mut kept = None;
        match self.weigh(host, headers, least, weighing, now) {
            Ok(Weighed { store, weighing }) => {
                self.report.weighed += u64::from(weighing.is_some());
                kept = weighing;
                for header in store {
                    let hash = header.hash();
                    let chain = &mut self.hosts[host].chain;
                    match chain.take_header(&self.ledger, &hash, now) {
                        Ok(()) => end = Some(hash),
                        Err(error) => {
                            verdict = error;
                            break;
                        }
                    }
                }
            }
            Err(WeighingError::Unconnected) => verdict = HeadersVerdict::Unconnected,
            Err(WeighingError::OtherChain | WeighingError::TooLong) => {
                verdict = HeadersVerdict::OtherChain;
            }
            // All headers of a simulation obey the rules but for the time.
            Err(WeighingError::Rule(_)) => verdict = HeadersVerdict::Future,
        }
        let event = Event::HeadersJudged {
            peer,
            verdict,
            weighing: kept,
            has: end.map(|hash| self.ledger.status(&hash)),
            facts: self.hosts[host].facts(&self.ledger, end),
        };
        self.sync_event(host, event);
    }

    fn weigh(
        &self,
        host: usize,
        headers: Vec<BlockHeader>,
        least: ChainWork,
        weighing: Option<Box<Weighing>>,
        now: u64,
    ) -> Result<Weighed, WeighingError> {
        if let Some(mut weighing) = weighing {
            let store = weighing.take(&headers, now)?;
            let weighing = Some(weighing).filter(|weighing| !weighing.is_done());
            return Ok(Weighed { store, weighing });
        }
        let chain = &self.hosts[host].chain;
        let known = headers
            .iter()
            .take_while(|header| chain.has_header(&header.hash()));
        let known = known.count();
        let Some(first) = headers.get(known) else {
            return Ok(Weighed {
                store: headers,
                weighing: None,
            });
        };
        if !chain.has_header(&first.prev_block) {
            return Err(WeighingError::Unconnected);
        }
        let start = self.ledger.get(&first.prev_block).chain.clone();
        let new = headers[known..].to_vec();
        weigh(&self.ledger.spec, SALT, least, start, new, now)
    }

    fn judge_blocks(&mut self, host: usize, blocks: &[Arc<Block>]) {
        let now = self.hosts[host].unix(self.now);
        let mut verdicts = Vec::new();
        let before = self.hosts[host].chain.tip();
        for block in blocks {
            let hash = block.header.hash();
            let chain = &mut self.hosts[host].chain;
            let verdict = match block.transactions.is_empty() {
                true => chain.take_body(&self.ledger, &hash, now),
                false => BlockVerdict::Mutated,
            };
            verdicts.push((hash, verdict));
            if verdict != BlockVerdict::Accepted {
                break;
            }
        }
        let facts = self.hosts[host].facts(&self.ledger, None);
        self.sync_event(host, Event::BlocksJudged { verdicts, facts });
        self.after_blocks(host, before);
    }

    /// The tip may have changed: sync hears of it, and so do peers that have not told us.
    fn after_blocks(&mut self, host: usize, before: BlockHash) {
        let tip = self.hosts[host].chain.tip();
        if tip == before {
            return;
        }
        self.note(&[
            self.now,
            6,
            host as u64,
            u64::from(self.ledger.height(&tip)),
        ]);
        let mut shared = before;
        while !self.hosts[host].chain.is_active(&self.ledger, &shared) {
            shared = self.ledger.get(&shared).header.prev_block;
        }
        let depth = self.ledger.height(&before) - self.ledger.height(&shared);
        self.report.reorgs += u64::from(depth > 0);
        self.report.deepest_reorg = self.report.deepest_reorg.max(depth);
        self.refresh_facts(host);
        let facts = self.hosts[host].chain.facts(&self.ledger, &[], 0);
        let ahead = facts.best_header_height.saturating_sub(facts.tip_height) > 1;
        let gossiped = &self.hosts[host].gossiped;
        let was_told = gossiped.contains(&(tip, true)) || gossiped.contains(&(tip, false));
        let behind = ahead && self.hosts[host].sync.is_downloading();
        if !behind && !was_told {
            self.announce(host, tip, None);
        }
    }

    /// Gossips a block to all peers but the one it came from.
    fn announce(&mut self, host: usize, hash: BlockHash, except: Option<usize>) {
        let manner = self.hosts[host].manner;
        if manner == Manner::Silent {
            return;
        }
        let whole = self.ledger.is_whole_in_gossip(&hash) && manner != Manner::Withholds;
        self.hosts[host].gossiped.insert((hash, whole));
        let links: Vec<usize> = self.hosts[host].peers.values().copied().collect();
        for link in links.into_iter().filter(|link| Some(*link) != except) {
            self.send(host, link, Message::Block { hash, whole });
        }
    }

    /// Tells all peers the own status, and asks for theirs.
    pub fn tell_all(&mut self, host: usize) {
        let claim = self.hosts[host].claim(&self.ledger);
        let links: Vec<usize> = self.hosts[host].peers.values().copied().collect();
        for link in links {
            let answer = false;
            self.send(host, link, Message::Status { claim, answer });
        }
    }

    /// The host finds a block, unless it is down or knows itself to be behind. Returns whether it did.
    pub fn mine(&mut self, host: usize) -> bool {
        let miner = &self.hosts[host];
        if !miner.up || miner.sync.blocks_behind() > MINES_BEHIND {
            return false;
        }
        let (tip, now) = (miner.chain.tip(), miner.unix(self.now));
        let salt = self.chance.next();
        let bytes = match salt % 10 {
            0 => 300 + salt / 10 % 300_000,
            _ => 300 + salt / 10 % 20_000,
        };
        let hash = self.ledger.make(&tip, now, salt, bytes);
        self.note(&[self.now, 7, host as u64]);
        self.report.blocks += 1;
        self.hosts[host].chain.take_body(&self.ledger, &hash, now);
        self.after_blocks(host, tip);
        true
    }

    /// A message has come.
    pub fn receive(&mut self, host: usize, peer: PeerKey, link: usize, message: Message) {
        match message {
            Message::Status { claim, answer } => {
                if !answer {
                    let claim = self.hosts[host].claim(&self.ledger);
                    let answer = true;
                    self.send(host, link, Message::Status { claim, answer });
                }
                if self.hosts[host].chain.has_header(&claim.best_hash) {
                    let status = self.ledger.status(&claim.best_hash);
                    self.sync_event(host, Event::PeerHas { peer, status });
                }
                let status = claim;
                self.sync_event(host, Event::PeerStatus { peer, status });
            }
            Message::Block { hash, whole } => self.hear_block(host, peer, link, hash, whole),
            Message::AskHeaders { request, locator } => {
                if let Some(headers) = self.headers_for(host, &locator) {
                    self.send(host, link, Message::Headers { request, headers });
                }
            }
            Message::AskBlocks { request, hashes } => {
                let manner = self.hosts[host].manner;
                if matches!(manner, Manner::Silent | Manner::Withholds | Manner::Floods) {
                    return;
                }
                let chain = &self.hosts[host].chain;
                let hashes = hashes.into_iter().filter(|hash| chain.has_body(hash));
                let answer = Message::Blocks {
                    request,
                    hashes: hashes.collect(),
                    mutated: manner == Manner::Mutates,
                };
                self.send(host, link, answer);
            }
            Message::Headers { request, headers } => {
                self.sync_event(host, Event::HeadersAnswered { request, headers });
            }
            Message::Blocks {
                request,
                hashes,
                mutated,
            } => {
                let block = |hash: &BlockHash| Block {
                    header: self.ledger.get(hash).header,
                    transactions: if mutated { vec![nothing()] } else { Vec::new() },
                };
                let blocks = hashes.iter().map(|hash| Arc::new(block(hash))).collect();
                self.sync_event(host, Event::BlocksAnswered { request, blocks });
            }
        }
    }

    fn headers_for(&mut self, host: usize, locator: &[BlockHash]) -> Option<Vec<BlockHeader>> {
        match self.hosts[host].manner {
            Manner::Silent => None,
            Manner::Floods => Some(self.made_up_headers(host)),
            Manner::Honest | Manner::Withholds | Manner::Mutates | Manner::Boasts => {
                Some(self.hosts[host].chain.headers_after(&self.ledger, locator))
            }
        }
    }

    /// One of five branches on the first block that a host has made up.
    fn made_up_headers(&mut self, host: usize) -> Vec<BlockHeader> {
        if self.hosts[host].made_up.len() < 5 {
            let mut end = self.ledger.genesis;
            let salt = self.chance.next();
            for height in 0..self.chance.between(50, 2_000) {
                end = self.ledger.make(&end, 1_600_000_000 + height, salt, 300);
            }
            self.hosts[host].made_up.push(end);
        }
        let flooder = &mut self.hosts[host];
        flooder.floods += 1;
        let mut at = flooder.made_up[flooder.floods % flooder.made_up.len()];
        let mut headers = Vec::new();
        while at != self.ledger.genesis {
            let header = self.ledger.get(&at).header;
            headers.push(header);
            at = header.prev_block;
        }
        headers.reverse();
        headers
    }

    /// A gossiped block: relayed once its header is right, then taken.
    fn hear_block(
        &mut self,
        host: usize,
        peer: PeerKey,
        link: usize,
        hash: BlockHash,
        whole: bool,
    ) {
        if !self.hosts[host].gossiped.insert((hash, whole)) {
            return;
        }
        let header = self.ledger.get(&hash).header;
        let listener = &self.hosts[host];
        let limit = listener.unix(self.now) + u64::from(self.ledger.spec.max_future_drift);
        if u64::from(header.time) > limit {
            return;
        }
        if !listener.chain.has_header(&header.prev_block) {
            self.sync_event(host, Event::UnknownParent { peer });
            return;
        }
        let tip = self.ledger.height(&listener.chain.tip());
        let oldest = listener.chain.active_at(oldest_news(tip));
        if self.ledger.work(&header.prev_block) < self.ledger.work(&oldest) {
            return;
        }
        if whole {
            self.announce(host, hash, Some(link));
        } else {
            let links: Vec<usize> = listener.peers.values().copied().collect();
            for other in links.into_iter().filter(|other| *other != link) {
                self.send(host, other, Message::Block { hash, whole });
            }
        }
        self.help(host, Work::Gossip { peer, hash, whole });
    }

    fn take_gossip(&mut self, host: usize, peer: PeerKey, hash: BlockHash, whole: bool) {
        let now = self.hosts[host].unix(self.now);
        let before = self.hosts[host].chain.tip();
        let chain = &mut self.hosts[host].chain;
        let taken = match whole {
            true => chain.take_body(&self.ledger, &hash, now) == BlockVerdict::Accepted,
            false => chain.take_header(&self.ledger, &hash, now).is_ok(),
        };
        let end = taken.then_some(hash);
        if taken && self.hosts[host].peers.contains_key(&peer) {
            let status = self.ledger.status(&hash);
            self.sync_event(host, Event::PeerHas { peer, status });
        }
        let facts = self.hosts[host].facts(&self.ledger, end);
        self.sync_event(host, Event::Facts(facts));
        self.after_blocks(host, before);
    }
}

/// What makes a body another one.
fn nothing() -> Transaction {
    Transaction {
        version: 1,
        inputs: Vec::new(),
        outputs: Vec::new(),
        lock_time: 0,
    }
}
