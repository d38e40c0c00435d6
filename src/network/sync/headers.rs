//! Which peer is asked for headers, and what its answers lead to.

use super::{
    machine::{MAX_AHEAD, Sync, patience},
    peer::Peer,
    types::{Action, HeadersVerdict, PeerKey, SyncFault},
    weighing::Weighing,
};
use crate::{
    primitives::{BlockHash, BlockHeader, Work},
    wire::limits::MAX_HEADERS,
};

/// Peers asked for headers at once because they claim more work. Two, so that one liar or one
/// slow peer cannot hold up the start, and not more, since most answers would be the same.
const MAX_TALKS: usize = 2;
/// Further ones asked at once because they sent something whose parent we lack.
const MAX_FORCED_TALKS: usize = 8;
/// Answers in a row that do not connect before they count as a fault. One is normal: our chain
/// may have changed since the locator was made.
const MAX_UNCONNECTED: u32 = 3;

/// Where the conversation about headers stands.
#[derive(Debug)]
pub(super) enum HeaderTalk {
    /// Nothing is in flight.
    Idle,
    /// Asked; after `stall_at` others may be asked too.
    Asking { stall_at: u64, stalled: bool },
    /// The chain is judging the answer, which goes on with a chain that is being weighed or not.
    Judging {
        last: BlockHash,
        full: bool,
        weighed: bool,
    },
}

/// What to ask the peer next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextHeaders {
    /// Something, if it claims more work than we have.
    IfBetter,
    /// What follows this header: its last answer was full.
    After(BlockHash),
    /// Anything, from a fresh locator: it has something that we cannot connect.
    Restart,
}

impl Peer {
    /// Holds one of the few places? A chain that is being weighed may be of any length and worth nothing, so it holds none.
    fn is_talking(&self) -> bool {
        match self.talk {
            HeaderTalk::Idle => false,
            HeaderTalk::Asking { stalled, .. } => !stalled && self.weighing.is_none(),
            HeaderTalk::Judging { weighed, .. } => !weighed,
        }
    }
}

impl Sync {
    pub(super) fn drive_headers(&mut self, now: u64, out: &mut Vec<Action>) {
        let facts = &self.facts;
        if facts.goal_height.saturating_sub(facts.tip_height) >= MAX_AHEAD {
            return;
        }
        let mut candidates: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| {
                matches!(peer.talk, HeaderTalk::Idle)
                    && peer.paused_until <= now
                    && (peer.next != NextHeaders::IfBetter || self.claims_more(peer))
            })
            .map(|(key, peer)| (*key, peer.next, peer.stalls, peer.claimed.work))
            .collect();
        // Conversations under way first, then reliable peers, then the most work.
        candidates.sort_by(|a, b| {
            let forced = |next| next == NextHeaders::IfBetter;
            (forced(a.1), a.2, b.3).cmp(&(forced(b.1), b.2, a.3))
        });
        for (key, next, ..) in candidates {
            self.start_talk(now, key, next, out);
        }
    }

    fn start_talk(&mut self, now: u64, key: PeerKey, next: NextHeaders, out: &mut Vec<Action>) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let tip = peer.claimed.best_hash;
        let next = match &peer.weighing {
            Some(weighing) => NextHeaders::After(weighing.next()),
            None => next,
        };
        let talking = self.peers.values().filter(|peer| peer.is_talking());
        let limit = match next {
            _ if peer.weighing.is_some() => usize::MAX,
            NextHeaders::IfBetter => MAX_TALKS,
            NextHeaders::After(_) | NextHeaders::Restart => MAX_FORCED_TALKS,
        };
        let (mut count, mut same) = (0, false);
        for peer in talking {
            count += 1;
            same |= peer.claimed.best_hash == tip;
        }
        // Two peers on the same tip would send the same headers.
        let redundant = same && next == NextHeaders::IfBetter;
        if count >= limit || redundant || !self.may_request() {
            return;
        }
        let locator = match next {
            NextHeaders::After(hash) => {
                let mut locator = vec![hash];
                locator.extend(self.facts.locator.iter().copied());
                locator.truncate(crate::wire::limits::MAX_LOCATOR);
                locator
            }
            NextHeaders::IfBetter | NextHeaders::Restart => self.facts.locator.clone(),
        };
        let request = self.request_id();
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if !peer.headers_quota.take(now, MAX_HEADERS as u64) {
            return;
        }
        peer.next = NextHeaders::IfBetter;
        peer.talk = HeaderTalk::Asking {
            stall_at: now + patience(peer.stalls),
            stalled: false,
        };
        self.record_headers_request(request, key);
        out.push(Action::RequestHeaders {
            peer: key,
            request,
            locator,
        });
    }

    pub(super) fn check_header_stalls(&mut self, now: u64) {
        for peer in self.peers.values_mut() {
            if let HeaderTalk::Asking { stall_at, stalled } = &mut peer.talk
                && !*stalled
                && now >= *stall_at
            {
                *stalled = true;
                peer.stalls = peer.stalls.saturating_add(1);
                peer.end_credit(now);
            }
        }
    }

    pub(super) fn on_headers(
        &mut self,
        now: u64,
        key: PeerKey,
        headers: Vec<BlockHeader>,
        out: &mut Vec<Action>,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.talk = HeaderTalk::Idle;
        let Some(last) = headers.last().map(BlockHeader::hash) else {
            peer.weighing = None;
            self.settle_claim(now, key, out);
            return;
        };
        let continuous = headers
            .windows(2)
            .all(|pair| pair[1].prev_block == pair[0].hash());
        if !continuous {
            peer.weighing = None;
            peer.refute(now, false);
            peer.back_off(now);
            out.push(Action::Misbehaved {
                peer: key,
                fault: SyncFault::DiscontinuousHeaders,
            });
            return;
        }
        peer.talk = HeaderTalk::Judging {
            last,
            full: headers.len() >= MAX_HEADERS,
            weighed: peer.weighing.is_some(),
        };
        let shown = peer.proven.map_or(Work::ZERO, |proven| proven.work);
        out.push(Action::JudgeHeaders {
            peer: key,
            headers,
            least: self.facts.goal_work.max(shown),
            weighing: peer.weighing.take(),
        });
    }

    pub(super) fn on_headers_judged(
        &mut self,
        now: u64,
        key: PeerKey,
        verdict: HeadersVerdict,
        weighing: Option<Box<Weighing>>,
        out: &mut Vec<Action>,
    ) {
        let goes_on = weighing.as_ref().is_none_or(|weighing| {
            self.peers
                .get(&key)
                .is_some_and(|peer| self.is_worth_weighing(peer, weighing))
        });
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let HeaderTalk::Judging { last, full, .. } =
            std::mem::replace(&mut peer.talk, HeaderTalk::Idle)
        else {
            return;
        };
        let fault = match verdict {
            HeadersVerdict::Accepted => {
                peer.stalls = 0;
                if weighing.is_none() {
                    peer.unconnected = 0;
                }
                let is_turning = weighing
                    .as_ref()
                    .is_some_and(|weighing| weighing.is_turning());
                if (full || is_turning) && goes_on {
                    let next = weighing.as_ref().map_or(last, |weighing| weighing.next());
                    peer.next = NextHeaders::After(next);
                    peer.weighing = weighing;
                } else {
                    self.settle_claim(now, key, out);
                }
                return;
            }
            HeadersVerdict::Unconnected => {
                peer.unconnected += 1;
                if peer.unconnected < MAX_UNCONNECTED {
                    peer.next = NextHeaders::Restart;
                    return;
                }
                peer.unconnected = 0;
                SyncFault::UnconnectedHeaders
            }
            HeadersVerdict::Invalid => SyncFault::InvalidHeaders,
            HeadersVerdict::OtherChain => SyncFault::FalseClaim,
            HeadersVerdict::OnInvalid => {
                peer.refute(now, true);
                peer.back_off(now);
                return;
            }
            HeadersVerdict::Future | HeadersVerdict::OurFault => {
                peer.back_off(now);
                return;
            }
        };
        peer.refute(now, false);
        peer.back_off(now);
        out.push(Action::Misbehaved { peer: key, fault });
    }

    /// A chain is weighed only for a peer that claims more work than all that we have or are fetching, and not beyond the height
    /// that it claims.
    fn is_worth_weighing(&self, peer: &Peer, weighing: &Weighing) -> bool {
        self.claims_more(peer) && weighing.height() < peer.claimed.best_height
    }

    /// The peer has sent all the headers that it has: do they show what it claims?
    fn settle_claim(&mut self, now: u64, key: PeerKey, out: &mut Vec<Action>) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        if !self.claims_more(peer) {
            return;
        }
        // It may have answered nothing because we have all its headers.
        let is_false = peer.claims_above(self.facts.best_header_work);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.refute(now, false);
        }
        if is_false {
            out.push(Action::Misbehaved {
                peer: key,
                fault: SyncFault::FalseClaim,
            });
        }
    }
}
