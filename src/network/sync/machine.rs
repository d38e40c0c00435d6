//! The machine itself: peers, requests in flight, and which part handles which event.

use std::collections::BTreeMap;

use super::{
    blocks::Downloads,
    headers::{HeaderTalk, NextHeaders},
    peer::Peer,
    types::{
        Action, Event, Facts, PeerKey, PeerStatus, RequestFailure, RequestId, SyncFault, SyncState,
    },
};
use crate::primitives::{BlockHash, Work};

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

/// Headers are not asked for while so many blocks are missing below those that we have: a chain whose bodies do not come must not
/// grow in our memory for ever.
pub(super) const MAX_AHEAD: u32 = 100_000;
/// Downloads from which nothing comes for so many milliseconds do not count as under way.
const PROGRESS: u64 = 15_000;

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

/// How much a [`Sync`] holds: what peers can make grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Connected peers.
    pub peers: usize,
    /// Requests in flight.
    pub requests: usize,
    /// Blocks that are wanted.
    pub wanted: usize,
    /// Bytes of blocks that wait for their turn.
    pub held_bytes: usize,
    /// Bytes of all chains that are being weighed, but those that helpers have.
    pub weighing_bytes: usize,
}

/// Headers-first sync. See the module's documentation.
#[derive(Debug)]
pub struct Sync {
    pub(super) facts: Facts,
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    pub(super) downloads: Downloads,
    pending: BTreeMap<RequestId, Pending>,
    next_request: u64,
    /// The last time that was given.
    now: u64,
    /// When downloads last got on: a block arrived, or we began with more work than ever before.
    pub(super) progress_at: Option<u64>,
    /// The most work of a goal that was begun with.
    begun: Work,
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
            now: 0,
            progress_at: None,
            begun: Work::ZERO,
        }
    }

    /// Handles one event at time `now` (milliseconds).
    pub fn handle(&mut self, now: u64, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.now = now;
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
                weighing,
                has,
                facts,
            } => {
                if let Some(status) = has {
                    self.on_has(peer, status);
                }
                self.on_facts(facts);
                self.on_headers_judged(now, peer, verdict, weighing, &mut out);
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
        self.now = now;
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
            .filter(|peer| self.claims_more(peer) && peer.credit_until > Some(self.now))
            .map(|peer| peer.claimed.best_height)
            .max();
        match better {
            _ if self.peers.is_empty() => SyncState::Alone,
            Some(target) => SyncState::Headers {
                height: self.facts.goal_height,
                target,
            },
            None if self.is_downloading() => SyncState::Blocks {
                height,
                target: self.facts.goal_height,
            },
            None => SyncState::Synced { height },
        }
    }

    /// Blocks between our tip and the best chain that we are getting, or were credibly told of.
    pub fn blocks_behind(&self) -> u32 {
        let goal = if self.is_downloading() {
            self.facts.goal_height
        } else {
            0
        };
        let target = match self.state() {
            SyncState::Headers { target, .. } => target.max(goal),
            SyncState::Blocks { .. } | SyncState::Alone | SyncState::Synced { .. } => goal,
        };
        target.saturating_sub(self.facts.tip_height)
    }

    /// How much it holds.
    pub fn sizes(&self) -> Sizes {
        let weighings = self
            .peers
            .values()
            .filter_map(|peer| peer.weighing.as_ref());
        Sizes {
            peers: self.peers.len(),
            requests: self.pending.len(),
            wanted: self.downloads.len(),
            held_bytes: self.downloads.held_bytes(),
            weighing_bytes: weighings.map(|weighing| weighing.bytes()).sum(),
        }
    }

    /// Whether missing blocks are on their way: a connected peer can send them, and they come.
    pub fn is_downloading(&self) -> bool {
        let Some(first) = self.downloads.first_height() else {
            return false;
        };
        let comes = self
            .progress_at
            .is_some_and(|at| self.now < at.saturating_add(PROGRESS));
        comes
            && self
                .peers
                .values()
                .any(|peer| peer.best().best_height >= first)
    }

    /// The ends of all chains that connected peers have shown or claim to have, each once, in order; without those of peers that
    /// do not send their blocks. When these change, [`Facts`] are to be read again.
    pub fn ends(&self) -> Vec<BlockHash> {
        let peers = self.peers.values();
        let mut ends: Vec<_> = peers
            .filter(|peer| !peer.is_withholding(self.now))
            .flat_map(|peer| [Some(peer.claimed), peer.proven])
            .flatten()
            .map(|status| status.best_hash)
            .collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Whether the peer claims a chain that is better than all that we have or are fetching.
    pub(super) fn claims_more(&self, peer: &Peer) -> bool {
        peer.claims_above(self.facts.goal_work)
            // What we know needs no headers.
            && ![self.facts.best_header, self.facts.goal].contains(&peer.claimed.best_hash)
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
        let peer = self.peers.entry(key).or_insert_with(|| Peer::new(status));
        peer.claimed = status;
        peer.refuted = peer.refuted.filter(|old| old.claim == status.best_hash);
    }

    fn on_has(&mut self, key: PeerKey, status: PeerStatus) {
        if let Some(peer) = self.peers.get_mut(&key)
            && peer.proven.is_none_or(|proven| status.work > proven.work)
        {
            peer.proven = Some(status);
            peer.credit_until = None;
            peer.has_delivered();
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
        if facts.best_header_work > self.facts.best_header_work {
            // It may have grown because a block is no longer held invalid.
            for peer in self.peers.values_mut() {
                peer.refuted = peer.refuted.filter(|refuted| !refuted.on_invalid);
            }
        }
        self.facts = facts;
        if !self.downloads.is_empty() && self.facts.goal_work > self.begun {
            self.begun = self.facts.goal_work;
            if !self.is_downloading() {
                self.progress_at = Some(self.now);
            }
        }
    }

    fn on_unknown_parent(&mut self, key: PeerKey) {
        // A chain that is being weighed would begin anew with every block that is found meanwhile.
        if let Some(peer) = self.peers.get_mut(&key)
            && matches!(peer.next, NextHeaders::IfBetter)
            && peer.weighing.is_none()
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
                    if failure != RequestFailure::RateLimited {
                        state.end_credit(now);
                    }
                }
                peer
            }
            Pending::Blocks { peer, hashes, .. } => {
                self.end_block_request(peer);
                for hash in &hashes {
                    self.downloads.reopen(hash, peer, true);
                }
                if let Some(peer) = self.peers.get_mut(&peer)
                    && failure != RequestFailure::RateLimited
                {
                    peer.failed_to_send(now, &self.facts.goal);
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
                peer.failed_to_send(now, &self.facts.goal);
            }
        }
    }

    /// Starts the clocks of new claims, and forgets what was held against peers long ago.
    fn check_claims(&mut self, now: u64) {
        for peer in self.peers.values_mut() {
            peer.give_another_chance(now);
            peer.check_claim(now, self.facts.goal_work);
        }
    }

    /// Starts whatever can be started.
    fn drive(&mut self, now: u64, out: &mut Vec<Action>) {
        self.check_claims(now);
        self.drive_headers(now, out);
        self.drive_blocks(now, out);
    }
}
