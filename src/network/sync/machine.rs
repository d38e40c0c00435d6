//! The machine itself: peers, requests in flight, and which part handles which event.

use std::collections::BTreeMap;

use super::{
    blocks::Downloads,
    headers::{HeaderTalk, NextHeaders},
    types::{
        Action, Event, Facts, PeerKey, PeerStatus, RequestFailure, RequestId, SyncFault, SyncState,
    },
};
use crate::{
    network::quota::Quota,
    primitives::{BlockHash, Work},
};

/// A silent peer loses its work after this many milliseconds, doubled with every stall.
pub(super) const STALL: u64 = 2_000;
/// Stalls double the patience up to 2 s × 2^5 = 64 s.
const MAX_DOUBLINGS: u32 = 5;
/// Requests that may be in flight in all; far above what the windows allow, so a bound only.
const MAX_REQUESTS: usize = 512;

/// A block that nobody had is asked for again after this many milliseconds, doubled every time: a
/// peer that relays an announcement has the body a moment later.
pub(super) const RETRY: u64 = 50;

/// `RETRY` doubled `times` times, up to 3.2 s.
pub(super) fn retry_after(times: u32) -> u64 {
    RETRY << times.min(6)
}

/// `STALL` doubled `times` times, up to the limit.
pub(super) fn patience(times: u32) -> u64 {
    STALL << times.min(MAX_DOUBLINGS)
}

/// A peer as sync sees it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) status: PeerStatus,
    pub(super) talk: HeaderTalk,
    pub(super) next: NextHeaders,
    /// A claim that its headers did not back; ignored until it claims another tip.
    pub(super) refuted: Option<BlockHash>,
    /// Answers in a row that did not connect.
    pub(super) unconnected: u32,
    /// Stalls and failures in a row.
    pub(super) stalls: u32,
    /// Nothing is asked before this time.
    pub(super) paused_until: u64,
    /// Answers in a row without any of the blocks asked for.
    pub(super) empty: u32,
    /// Block requests in flight.
    pub(super) block_requests: usize,
    pub(super) headers_quota: Quota,
    pub(super) blocks_quota: Quota,
}

impl Peer {
    fn new(status: PeerStatus) -> Self {
        use crate::network::limits;
        Self {
            status,
            talk: HeaderTalk::Idle,
            next: NextHeaders::IfBetter,
            refuted: None,
            unconnected: 0,
            stalls: 0,
            paused_until: 0,
            empty: 0,
            block_requests: 0,
            headers_quota: limits::headers_quota().own_share(),
            blocks_quota: limits::blocks_quota().own_share(),
        }
    }

    /// Counts a stall or failure and leaves the peer alone for a while.
    pub(super) fn back_off(&mut self, now: u64) {
        self.paused_until = self.paused_until.max(now + patience(self.stalls));
        self.stalls = self.stalls.saturating_add(1);
    }
}

/// Whether the peer claims, and was not refuted, to have a chain with more work than `work`.
fn claims_above(peer: &Peer, work: Work) -> bool {
    peer.status.work > work && peer.refuted != Some(peer.status.best_hash)
}

/// What a request in flight is for.
#[derive(Debug)]
enum Pending {
    Headers(PeerKey),
    Blocks {
        peer: PeerKey,
        hashes: Vec<BlockHash>,
        stall_at: u64,
        stalled: bool,
    },
}

/// Headers-first sync. See the module's documentation.
#[derive(Debug)]
pub struct Sync {
    pub(super) facts: Facts,
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    pub(super) downloads: Downloads,
    pending: BTreeMap<RequestId, Pending>,
    next_request: u64,
}

impl Sync {
    /// A machine that knows our chain and no peers.
    pub fn new(facts: Facts) -> Self {
        let mut downloads = Downloads::default();
        downloads.set_missing(&facts.missing);
        Self {
            facts,
            peers: BTreeMap::new(),
            downloads,
            pending: BTreeMap::new(),
            next_request: 0,
        }
    }

    /// Handles one event at time `now` (milliseconds).
    pub fn handle(&mut self, now: u64, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::PeerStatus { peer, status } => self.on_status(peer, status),
            Event::PeerHas { peer, status } => self.on_has(peer, status),
            Event::PeerGone { peer } => self.on_gone(peer),
            Event::Facts(facts) => self.on_facts(facts),
            Event::UnknownParent { peer } => self.on_unknown_parent(peer),
            Event::HeadersAnswered { request, headers } => {
                if let Some(Pending::Headers(peer)) = self.pending.remove(&request) {
                    self.on_headers(now, peer, headers, &mut out);
                }
            }
            Event::BlocksAnswered { request, blocks } => {
                if let Some(Pending::Blocks { peer, hashes, .. }) = self.pending.remove(&request) {
                    self.end_block_request(peer);
                    self.on_blocks(now, peer, &hashes, blocks, &mut out);
                }
            }
            Event::RequestFailed { request, failure } => {
                self.on_failed(now, request, failure, &mut out);
            }
            Event::HeadersJudged {
                peer,
                verdict,
                facts,
            } => {
                self.on_facts(facts);
                self.on_headers_judged(now, peer, verdict, &mut out);
            }
            Event::BlocksJudged { verdicts, facts } => {
                // Verdicts first: facts of the same moment then decide what is still missing.
                self.on_blocks_judged(now, &verdicts, &mut out);
                self.on_facts(facts);
            }
        }
        self.drive(now, &mut out);
        out
    }

    /// Looks at the clock: stalls, ends of pauses.
    pub fn tick(&mut self, now: u64) -> Vec<Action> {
        let mut out = Vec::new();
        self.check_header_stalls(now);
        self.check_block_stalls(now);
        self.drive(now, &mut out);
        out
    }

    /// How far sync is.
    pub fn state(&self) -> SyncState {
        let height = self.facts.tip_height;
        let better = self
            .peers
            .values()
            .filter(|peer| self.claims_more(peer))
            .map(|peer| peer.status.best_height)
            .max();
        match better {
            _ if self.peers.is_empty() => SyncState::Alone,
            Some(target) => SyncState::Headers {
                height: self.facts.best_header_height,
                target,
            },
            None if self.downloads.is_empty() => SyncState::Synced { height },
            None => SyncState::Blocks {
                height,
                target: self.facts.best_header_height,
            },
        }
    }

    /// Blocks between our tip and the best chain that we know of or were told of.
    pub fn blocks_behind(&self) -> u32 {
        self.claimed_above(self.facts.best_header_work)
            .max(self.facts.best_header_height)
            .saturating_sub(self.facts.tip_height)
    }

    /// The greatest height that a peer claims for a chain with more work than `work`; 0 if none does.
    pub(in crate::network) fn claimed_above(&self, work: Work) -> u32 {
        self.peers
            .values()
            .filter(|peer| claims_above(peer, work))
            .map(|peer| peer.status.best_height)
            .max()
            .unwrap_or(0)
    }

    /// Whether the peer's claim is better than our best header and not refuted.
    pub(super) fn claims_more(&self, peer: &Peer) -> bool {
        claims_above(peer, self.facts.best_header_work)
    }

    pub(super) fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// Room for another request?
    pub(super) fn may_request(&self) -> bool {
        self.pending.len() < MAX_REQUESTS
    }

    pub(super) fn record_headers_request(&mut self, request: RequestId, peer: PeerKey) {
        self.pending.insert(request, Pending::Headers(peer));
    }

    pub(super) fn record_blocks_request(
        &mut self,
        now: u64,
        request: RequestId,
        peer: PeerKey,
        hashes: Vec<BlockHash>,
    ) {
        let stalls = self.peers.get(&peer).map_or(0, |peer| peer.stalls);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.block_requests += 1;
        }
        self.pending.insert(
            request,
            Pending::Blocks {
                peer,
                hashes,
                stall_at: now + patience(stalls),
                stalled: false,
            },
        );
    }

    fn on_status(&mut self, key: PeerKey, status: PeerStatus) {
        match self.peers.get_mut(&key) {
            Some(peer) => peer.status = status,
            None => {
                self.peers.insert(key, Peer::new(status));
            }
        }
    }

    fn on_has(&mut self, key: PeerKey, status: PeerStatus) {
        if let Some(peer) = self.peers.get_mut(&key)
            && status.work > peer.status.work
        {
            peer.status = status;
        }
    }

    fn on_gone(&mut self, key: PeerKey) {
        self.peers.remove(&key);
        self.pending.retain(|_, pending| match pending {
            Pending::Headers(peer) | Pending::Blocks { peer, .. } => *peer != key,
        });
        self.downloads.forget_peer(key);
    }

    fn on_facts(&mut self, facts: Facts) {
        if facts.stamp < self.facts.stamp {
            return;
        }
        self.downloads.set_missing(&facts.missing);
        self.facts = facts;
    }

    fn on_unknown_parent(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key)
            && matches!(peer.next, NextHeaders::IfBetter)
        {
            peer.next = NextHeaders::Restart;
        }
    }

    fn on_failed(
        &mut self,
        now: u64,
        request: RequestId,
        failure: RequestFailure,
        out: &mut Vec<Action>,
    ) {
        let Some(pending) = self.pending.remove(&request) else {
            return;
        };
        let key = match pending {
            Pending::Headers(peer) => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.talk = HeaderTalk::Idle;
                }
                peer
            }
            Pending::Blocks { peer, hashes, .. } => {
                self.end_block_request(peer);
                for hash in &hashes {
                    self.downloads.reopen(hash, peer, true);
                }
                peer
            }
        };
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.back_off(now);
        }
        let fault = match failure {
            RequestFailure::Timeout => SyncFault::Silent,
            RequestFailure::Malformed => SyncFault::Malformed,
            RequestFailure::RateLimited | RequestFailure::Broken => return,
        };
        out.push(Action::Misbehaved { peer: key, fault });
    }

    fn end_block_request(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.block_requests = peer.block_requests.saturating_sub(1);
        }
    }

    /// Takes blocks away from peers that stay silent. Their requests go on: a late answer is
    /// welcome, and only its failure is held against them.
    fn check_block_stalls(&mut self, now: u64) {
        for pending in self.pending.values_mut() {
            let Pending::Blocks {
                peer,
                hashes,
                stall_at,
                stalled,
            } = pending
            else {
                continue;
            };
            if *stalled || now < *stall_at {
                continue;
            }
            *stalled = true;
            let mut open = false;
            for hash in hashes.iter() {
                open |= self.downloads.reopen(hash, *peer, true);
            }
            if open && let Some(peer) = self.peers.get_mut(peer) {
                peer.back_off(now);
            }
        }
    }

    /// Starts whatever can be started.
    fn drive(&mut self, now: u64, out: &mut Vec<Action>) {
        self.drive_headers(now, out);
        self.drive_blocks(now, out);
    }
}
