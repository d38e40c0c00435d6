//! One host: the product's sync machine and peer scores, and a shell around them as thin as that around the swarm.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use libp2p::PeerId;
use quarry::network::Scores;
use quarry::network::sync::{Event, Facts, PeerKey, PeerStatus, Sync};
use quarry::primitives::{BlockHash, Work};

use crate::chain::{Chain, Ledger};
use crate::plan::Manner;

/// The unix time at which simulations begin.
const EPOCH: u64 = 1_700_000_000;

pub struct Host {
    pub number: usize,
    pub manner: Manner,
    pub share: u64,
    /// Seconds that its clock is ahead.
    pub clock_error: i64,
    pub up: bool,
    /// Counts its starts, so that what an earlier life ordered is not done in this one.
    pub life: u64,
    started: u64,
    pub chain: Chain,
    pub sync: Sync,
    stamp: u64,
    pub ends: Vec<BlockHash>,
    /// The link of each connected peer.
    pub peers: BTreeMap<PeerKey, usize>,
    /// Blocks that came or went by gossip, and in which form.
    pub gossiped: HashSet<(BlockHash, bool)>,
    pub facts_due: bool,
    pub catching_up: bool,
    pub scores: Scores,
    pub banned: BTreeSet<usize>,
    /// Of a host that floods: the ends of the branches that it has made up, and how many it has sent.
    pub made_up: Vec<BlockHash>,
    pub floods: usize,
}

impl Host {
    pub fn new(number: usize, manner: Manner, share: u64, ledger: &Ledger, chain: Chain) -> Self {
        Self {
            number,
            manner,
            share,
            clock_error: 0,
            up: true,
            life: 0,
            started: 0,
            sync: Sync::new(chain.facts(ledger, &[], 0)),
            chain,
            stamp: 0,
            ends: Vec::new(),
            peers: BTreeMap::new(),
            gossiped: HashSet::new(),
            facts_due: false,
            catching_up: false,
            scores: Scores::default(),
            banned: BTreeSet::new(),
            made_up: Vec::new(),
            floods: 0,
        }
    }

    pub fn is_honest(&self) -> bool {
        self.manner == Manner::Honest
    }

    /// The process dies, and the disk with it or not.
    pub fn crash(&mut self, ledger: &Ledger, keeps_disk: bool) {
        self.up = false;
        self.life += 1;
        self.peers.clear();
        if !keeps_disk {
            self.chain = Chain::new(ledger.genesis);
        }
    }

    pub fn start(&mut self, ledger: &Ledger, now: u64) {
        self.up = true;
        self.life += 1;
        self.started = now;
        self.stamp = 0;
        self.ends.clear();
        self.gossiped.clear();
        self.facts_due = false;
        self.catching_up = false;
        self.scores = Scores::default();
        self.banned.clear();
        self.sync = Sync::new(self.chain.facts(ledger, &[], 0));
    }

    /// Milliseconds since its start.
    pub fn own_time(&self, now: u64) -> u64 {
        now - self.started
    }

    /// Its clock, in seconds since 1970.
    pub fn unix(&self, now: u64) -> u64 {
        (EPOCH + now / 1_000).saturating_add_signed(self.clock_error)
    }

    /// Reads the chain for sync; `end` is a chain that a peer has just shown to have.
    pub fn facts(&mut self, ledger: &Ledger, end: Option<BlockHash>) -> Facts {
        self.stamp += 1;
        self.ends.extend(end);
        self.chain.facts(ledger, &self.ends, self.stamp)
    }

    pub fn facts_event(&mut self, ledger: &Ledger) -> Event {
        Event::Facts(self.facts(ledger, None))
    }

    /// What it tells of its chain.
    pub fn claim(&self, ledger: &Ledger) -> PeerStatus {
        let truth = ledger.status(&self.chain.tip());
        match self.manner {
            Manner::Boasts | Manner::Floods => PeerStatus {
                best_hash: BlockHash::from_bytes([self.number as u8; 32]),
                best_height: truth.best_height + 3_000,
                work: truth.work.checked_add(truth.work).unwrap_or(Work::ZERO),
            },
            Manner::Honest | Manner::Silent | Manner::Withholds | Manner::Mutates => truth,
        }
    }
}

/// The name by which scores know a host.
pub fn peer_id(host: usize) -> PeerId {
    // An Ed25519 key in the form that libp2p's names have; that it is no point of the curve does not matter to a name.
    let mut bytes = [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20][..], &[0; 32]].concat();
    bytes[6..14].copy_from_slice(&(host as u64).to_le_bytes());
    PeerId::from_bytes(&bytes).expect("the form of a name")
}
