//! A peer as sync sees it.

use super::{
    headers::{HeaderTalk, NextHeaders},
    machine::patience,
    types::PeerStatus,
    weighing::Weighing,
};
use crate::{
    network::{limits, quota::Quota},
    primitives::{BlockHash, Work},
};

/// What a peer claims, and no header has proven, counts for this many milliseconds: time for a headers request.
const CREDIT: u64 = 15_000;
/// A refuted claim is looked at again after this many milliseconds: the peer may have got what it lacked, or we may
/// have changed our mind about a block.
const REFUTED: u64 = 60_000;
/// A peer that has sent no block for this many milliseconds after it was to, longer than a request may take, withholds its chain:
/// that is no goal while another peer has a chain that comes.
const WITHHELD: u64 = 40_000;
/// It gets another chance after `REFUTED`, doubled every time, at most so often.
const MAX_WITHHELD: u32 = 6;

/// A claim that a peer's headers did not back; ignored for a while, or until it claims another tip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refuted {
    pub(super) claim: BlockHash,
    pub(super) until: u64,
    /// We hold its chain invalid; the operator may take that back.
    pub(super) on_invalid: bool,
}

/// A peer as sync sees it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its last status.
    pub(super) claimed: PeerStatus,
    /// The best chain of valid headers that it has shown to have.
    pub(super) proven: Option<PeerStatus>,
    /// Until when an unproven claim counts, once it has made one.
    pub(super) credit_until: Option<u64>,
    pub(super) talk: HeaderTalk,
    pub(super) next: NextHeaders,
    /// Its chain, while that has not shown enough work to be stored.
    pub(super) weighing: Option<Box<Weighing>>,
    pub(super) refuted: Option<Refuted>,
    /// Answers in a row that did not connect.
    pub(super) unconnected: u32,
    /// Stalls and failures in a row.
    pub(super) stalls: u32,
    /// Nothing is asked before this time.
    pub(super) paused_until: u64,
    /// Answers in a row without any of the blocks asked for.
    pub(super) empty: u32,
    /// Since when it has sent none of the blocks of its own chain that it was asked for.
    barren_since: Option<u64>,
    /// How often its chain was left aside for that.
    withheld: u32,
    /// Block requests in flight.
    pub(super) block_requests: usize,
    pub(super) headers_quota: Quota,
    pub(super) blocks_quota: Quota,
}

impl Peer {
    pub(super) fn new(status: PeerStatus) -> Self {
        Self {
            claimed: status,
            proven: None,
            credit_until: None,
            talk: HeaderTalk::Idle,
            next: NextHeaders::IfBetter,
            weighing: None,
            refuted: None,
            unconnected: 0,
            stalls: 0,
            paused_until: 0,
            empty: 0,
            barren_since: None,
            withheld: 0,
            block_requests: 0,
            headers_quota: limits::headers_quota().own_share(),
            blocks_quota: limits::blocks_quota().own_share(),
        }
    }

    /// The best chain that it is believed to have.
    pub(super) fn best(&self) -> PeerStatus {
        match self.proven {
            Some(proven) if proven.work >= self.claimed.work || self.refuted.is_some() => proven,
            _ => self.claimed,
        }
    }

    /// Whether it claims, was not refuted, and has not shown, a chain with more work than `work`.
    pub(super) fn claims_above(&self, work: Work) -> bool {
        let claimed = self.claimed;
        let shown = self.proven.is_some_and(|proven| {
            proven.best_hash == claimed.best_hash && proven.work >= claimed.work
        });
        self.refuted.is_none() && !shown && claimed.work > work
    }

    /// Its headers do not back its claim.
    pub(super) fn refute(&mut self, now: u64, on_invalid: bool) {
        self.weighing = None;
        self.refuted = Some(Refuted {
            claim: self.claimed.best_hash,
            until: now + REFUTED,
            on_invalid,
        });
    }

    /// Starts the clock of a new claim of more work than `goal`, and forgets a refutation that is old.
    pub(super) fn check_claim(&mut self, now: u64, goal: Work) {
        self.refuted = self.refuted.filter(|refuted| now < refuted.until);
        if self.claims_above(goal) {
            self.credit_until.get_or_insert(now + CREDIT);
        }
    }

    /// It did not answer: what it claims counts no longer, until it has proven something.
    pub(super) fn end_credit(&mut self, now: u64) {
        self.credit_until = Some(self.credit_until.map_or(now, |until| until.min(now)));
    }

    /// It did not send a block of the chain up to `goal`. That counts where it has that very chain: others may well lack it.
    pub(super) fn failed_to_send(&mut self, now: u64, goal: &BlockHash) {
        let proven = self.proven.map(|proven| proven.best_hash);
        if [Some(self.claimed.best_hash), proven].contains(&Some(*goal)) {
            self.barren_since.get_or_insert(now);
        }
    }

    /// It has sent a block, or shown more work than before.
    pub(super) fn has_delivered(&mut self) {
        self.barren_since = None;
        self.withheld = 0;
    }

    pub(super) fn is_withholding(&self, now: u64) -> bool {
        self.barren_since
            .is_some_and(|since| now >= since.saturating_add(WITHHELD))
    }

    /// A peer that withheld its chain is asked again after a while.
    pub(super) fn give_another_chance(&mut self, now: u64) {
        let pause = REFUTED << self.withheld.min(MAX_WITHHELD);
        if self
            .barren_since
            .is_some_and(|since| now >= since.saturating_add(WITHHELD + pause))
        {
            self.barren_since = None;
            self.withheld = self.withheld.saturating_add(1);
        }
    }

    /// Counts a stall or failure and leaves the peer alone for a while.
    pub(super) fn back_off(&mut self, now: u64) {
        self.paused_until = self.paused_until.max(now + patience(self.stalls));
        self.stalls = self.stalls.saturating_add(1);
    }
}
