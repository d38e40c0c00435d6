//! Misbehaviour: what weighs how much, and when it is enough. Public, so that whole networks can be simulated with it.

use std::collections::HashMap;

use libp2p::PeerId;

use crate::network::sync::SyncFault;

/// At this score a peer is banned.
const BAN_AT: f64 = 100.0;
/// The score halves in this many milliseconds.
const HALF_LIFE: f64 = 600_000.0;
/// Peers whose score is remembered; the lowest makes room. Scores outlive connections, so that
/// reconnecting does not clear them.
const MAX_SCORES: usize = 1_000;

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Found by sync.
    Sync(SyncFault),
    /// A gossiped message that does not decode, or a body that is not its header's.
    BadGossip,
    /// A gossiped header that breaks a rule.
    InvalidHeader,
    /// A batch with a transaction that no chain state could make valid.
    InvalidTransaction,
    /// A request that does not decode.
    BadRequest,
    /// More requests than allowed, again and again.
    Flood,
}

impl Fault {
    /// Four levels: slips that happen to honest peers (1), what honest software should not do (10),
    /// what it cannot do without a bug (35), and what only an attacker does (100).
    fn weight(self) -> f64 {
        match self {
            Self::Sync(SyncFault::Silent) => 1.0,
            Self::Flood
            | Self::Sync(
                SyncFault::FalseClaim | SyncFault::UnconnectedHeaders | SyncFault::UnsolicitedBlock,
            ) => 10.0,
            // Honest nodes relay headers and serve blocks before they have judged the bodies.
            Self::Sync(SyncFault::InvalidBlock) => 10.0,
            Self::BadRequest
            | Self::InvalidTransaction
            | Self::Sync(SyncFault::Malformed | SyncFault::MutatedBlock) => 35.0,
            Self::BadGossip
            | Self::InvalidHeader
            | Self::Sync(SyncFault::DiscontinuousHeaders | SyncFault::InvalidHeaders) => 100.0,
        }
    }
}

/// What follows from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Tolerate,
    /// Enough: ban it (or warn about it, if it is reserved or local).
    Ban,
}

#[derive(Debug, Clone, Copy)]
struct Score {
    value: f64,
    updated: u64,
}

impl Score {
    fn at(self, now: u64) -> f64 {
        // Milliseconds of one process fit exactly into a float.
        let elapsed = now.saturating_sub(self.updated) as f64;
        self.value * 0.5_f64.powf(elapsed / HALF_LIFE)
    }
}

/// The scores of all peers, connected or not.
#[derive(Debug, Default)]
pub struct Scores {
    scores: HashMap<PeerId, Score>,
}

impl Scores {
    /// Holds `fault` against `peer`. After a ban the score begins at zero.
    pub fn punish(&mut self, now: u64, peer: PeerId, fault: Fault) -> Verdict {
        if self.scores.len() >= MAX_SCORES && !self.scores.contains_key(&peer) {
            let scores = self.scores.iter();
            let lowest = scores.min_by(|a, b| a.1.at(now).total_cmp(&b.1.at(now)));
            if let Some(lowest) = lowest.map(|entry| *entry.0) {
                self.scores.remove(&lowest);
            }
        }
        let value = self.get(now, &peer) + fault.weight();
        if value >= BAN_AT {
            self.scores.remove(&peer);
            return Verdict::Ban;
        }
        let score = Score {
            value,
            updated: now,
        };
        self.scores.insert(peer, score);
        Verdict::Tolerate
    }

    /// The score of `peer`: 0 is spotless, 100 is banned.
    pub fn get(&self, now: u64, peer: &PeerId) -> f64 {
        self.scores.get(peer).map_or(0.0, |score| score.at(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_add_up_and_fade() {
        let mut scores = Scores::default();
        let peer = PeerId::random();
        let fault = Fault::BadRequest;
        assert_eq!(scores.punish(0, peer, fault), Verdict::Tolerate);
        assert_eq!(scores.punish(0, peer, fault), Verdict::Tolerate);
        assert!((scores.get(600_000, &peer) - 35.0).abs() < 1e-9);
        assert_eq!(scores.punish(600_000, peer, fault), Verdict::Tolerate);
        assert_eq!(scores.punish(600_000, peer, fault), Verdict::Ban);
        assert!(scores.get(600_000, &peer).abs() < f64::EPSILON);
    }

    #[test]
    fn slips_of_honest_peers_never_ban() {
        let mut scores = Scores::default();
        let peer = PeerId::random();
        for minute in 0..600 {
            let verdict = scores.punish(minute * 60_000, peer, Fault::Sync(SyncFault::Silent));
            assert_eq!(verdict, Verdict::Tolerate);
        }
    }

    #[test]
    fn remembered_peers_are_bounded_and_the_worst_are_kept() {
        let mut scores = Scores::default();
        let bad = PeerId::random();
        scores.punish(0, bad, Fault::BadRequest);
        for _ in 0..2 * MAX_SCORES {
            scores.punish(0, PeerId::random(), Fault::Sync(SyncFault::Silent));
        }
        assert_eq!(scores.scores.len(), MAX_SCORES);
        assert!(scores.get(0, &bad) > 30.0);
    }
}
