//! Every known header, and which chain of them is the best. No I/O, no clock: the engine tells it what happened.
//!
//! # Invariants
//! - Every entry's parent is an entry, except the first block's.
//! - `active[h]` is an ancestor of `active[h + 1]`; the same holds for `best_headers`.
//! - A candidate is a block whose whole chain of bodies is known and which has no invalid ancestor; the active tip is one.

mod ancestry;
mod tips;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::primitives::{BlockHash, Work};
use crate::storage::{BodyState, HeaderRecord};

pub use tips::{ChainTip, TipStatus};

/// The order in which chains are preferred: most work, then first received.
type Rank = (Work, Reverse<u64>, BlockHash);

struct Entry {
    record: HeaderRecord,
    children: Vec<BlockHash>,
    /// An ancestor is invalid.
    bad_ancestor: bool,
    /// The place of its body among those that came since the tree was made.
    arrival: u64,
    /// The median time of it and the ten before it.
    median_time: u32,
}

impl Entry {
    fn is_bad(&self) -> bool {
        self.bad_ancestor || self.record.state == BodyState::Invalid
    }

    fn has_body(&self) -> bool {
        matches!(self.record.state, BodyState::Stored | BodyState::Connected)
    }
}

/// The tree of headers.
pub(super) struct BlockTree {
    entries: HashMap<BlockHash, Entry>,
    /// The active chain by height.
    active: Vec<BlockHash>,
    /// The valid chain of headers with the most work, by height; bodies may be missing.
    best_headers: Vec<BlockHash>,
    candidates: BTreeSet<Rank>,
    /// The ends of all valid chains of headers: valid entries without a valid child.
    header_tips: BTreeSet<(Work, BlockHash)>,
    next_received: u64,
    next_arrival: u64,
    /// How often the active chain has changed.
    moves: u64,
}

impl BlockTree {
    /// The tree of stored headers, the first block first and every parent before its children.
    pub fn new(genesis: BlockHash, records: Vec<(BlockHash, HeaderRecord)>) -> Self {
        let mut tree = Self {
            entries: HashMap::with_capacity(records.len()),
            active: vec![genesis],
            best_headers: vec![genesis],
            candidates: BTreeSet::new(),
            header_tips: BTreeSet::new(),
            next_received: 0,
            next_arrival: 0,
            moves: 0,
        };
        for (hash, record) in records {
            tree.insert(hash, record);
        }
        tree
    }

    /// Adds a header. Its parent is known, unless it is the first block.
    pub fn insert(&mut self, hash: BlockHash, record: HeaderRecord) {
        let parent = record.header.prev_block;
        let mut bad_ancestor = false;
        if let Some(entry) = self.entries.get_mut(&parent) {
            entry.children.push(hash);
            bad_ancestor = entry.is_bad();
        }
        if let Some(received) = record.received {
            self.next_received = self.next_received.max(received + 1);
        }
        let entry = Entry {
            record,
            children: Vec::new(),
            bad_ancestor,
            arrival: 0,
            median_time: self.median_time_of(&record),
        };
        if !entry.is_bad() {
            self.header_tips.insert((record.chainwork, hash));
            if let Some(parent_record) = self.get(&parent) {
                let parent_tip = (parent_record.chainwork, parent);
                self.header_tips.remove(&parent_tip);
            }
        }
        self.entries.insert(hash, entry);
        self.consider(&hash);
        self.advance_best_headers(&hash);
    }

    /// Makes a block a candidate if it is one.
    fn consider(&mut self, hash: &BlockHash) {
        if let Some(entry) = self.entries.get(hash)
            && let (Some(received), false) = (entry.record.received, entry.is_bad())
            && entry.has_body()
        {
            self.candidates
                .insert((entry.record.chainwork, Reverse(received), *hash));
        }
    }

    fn advance_best_headers(&mut self, hash: &BlockHash) {
        let Some(entry) = self.entries.get(hash) else {
            return;
        };
        if !entry.is_bad() && entry.record.chainwork > self.best_header().1.chainwork {
            let path = self.path_to(&self.best_headers, hash);
            self.best_headers.truncate(path.0);
            self.best_headers.extend(path.1);
        }
    }

    /// How many blocks of `chain` lie at or below the fork with `hash`, and the blocks from there to `hash`, upwards.
    fn path_to(&self, chain: &[BlockHash], hash: &BlockHash) -> (usize, Vec<BlockHash>) {
        let mut path = Vec::new();
        let mut at = *hash;
        while let Some(entry) = self.entries.get(&at) {
            let height = entry.record.height as usize;
            if chain.get(height) == Some(&at) {
                path.reverse();
                return (height + 1, path);
            }
            path.push(at);
            at = entry.record.header.prev_block;
        }
        path.reverse();
        (0, path)
    }

    pub fn get(&self, hash: &BlockHash) -> Option<&HeaderRecord> {
        self.entries.get(hash).map(|entry| &entry.record)
    }

    /// How often the active chain has changed since the tree was made.
    pub const fn moves(&self) -> u64 {
        self.moves
    }

    /// The number that the next block whose chain is complete will be received as.
    pub const fn next_received(&self) -> u64 {
        self.next_received
    }

    /// Whether only the header of a block is known, nothing against it, and no body of a child.
    pub fn is_plain(&self, hash: &BlockHash) -> bool {
        self.entries.get(hash).is_some_and(|entry| {
            entry.record.state == BodyState::HeaderOnly
                && !entry.is_bad()
                && !entry.children.iter().any(|child| self.has_body(child))
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the block or an ancestor of it is invalid.
    pub fn is_bad(&self, hash: &BlockHash) -> bool {
        self.entries.get(hash).is_some_and(Entry::is_bad)
    }

    pub fn has_body(&self, hash: &BlockHash) -> bool {
        self.entries.get(hash).is_some_and(Entry::has_body)
    }

    pub fn tip(&self) -> (BlockHash, &HeaderRecord) {
        self.end_of(&self.active)
    }

    pub fn best_header(&self) -> (BlockHash, &HeaderRecord) {
        self.end_of(&self.best_headers)
    }

    fn end_of(&self, chain: &[BlockHash]) -> (BlockHash, &HeaderRecord) {
        let hash = *chain.last().expect("a chain holds the first block");
        (hash, self.get(&hash).expect("a chain's blocks are entries"))
    }

    pub fn active_at(&self, height: u32) -> Option<BlockHash> {
        self.active.get(height as usize).copied()
    }

    pub fn is_active(&self, hash: &BlockHash) -> bool {
        self.get(hash)
            .is_some_and(|record| self.active_at(record.height) == Some(*hash))
    }

    /// The best candidate.
    pub fn best_candidate(&self) -> Option<BlockHash> {
        self.candidates.last().map(|(_, _, hash)| *hash)
    }

    /// The way from the active tip to `target`: blocks to disconnect (downwards), blocks to connect (upwards), and the height of
    /// the block that both share.
    pub fn route(&self, target: &BlockHash) -> (Vec<BlockHash>, Vec<BlockHash>, u32) {
        let (shared, connect) = self.path_to(&self.active, target);
        let disconnect = self.active[shared..].iter().rev().copied().collect();
        let fork_height = u32::try_from(shared - 1).expect("heights are 32-bit");
        (disconnect, connect, fork_height)
    }

    /// Follows a route that was written to the disk.
    pub fn set_active(&mut self, fork_height: u32, connected: &[BlockHash]) {
        self.moves += 1;
        self.active.truncate(fork_height as usize + 1);
        self.active.extend_from_slice(connected);
        for hash in connected {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.record.state = BodyState::Connected;
            }
        }
        self.prune_candidates();
    }

    /// Candidates with less work than the tip can never win by themselves; they are found again when the tip falls.
    fn prune_candidates(&mut self) {
        let work = self.tip().1.chainwork;
        let least = (work, Reverse(u64::MAX), BlockHash::ZERO);
        self.candidates = self.candidates.split_off(&least);
    }

    /// Makes the stored chain that ends in `tip` the active one, when opening. False where it is broken.
    pub fn restore_active(&mut self, tip: &BlockHash) -> bool {
        let (shared, path) = self.path_to(&self.active, tip);
        if shared == 0 || !path.iter().all(|hash| self.has_body(hash)) {
            return false;
        }
        self.active.truncate(shared);
        self.active.extend(path);
        self.prune_candidates();
        true
    }

    /// Records that a body is stored. Returns the blocks whose whole chain is known now, in the order of their reception.
    ///
    /// Where one body completes several branches, they count as received height by height, and those after one parent in the order in
    /// which their own bodies came (Bitcoin Core, `ReceivedBlockTransactions`).
    pub fn body_stored(&mut self, hash: &BlockHash, tx_count: u32) -> Vec<BlockHash> {
        if let Some(entry) = self.entries.get_mut(hash) {
            entry.record.state = BodyState::Stored;
            entry.record.tx_count = Some(tx_count);
            entry.arrival = self.next_arrival;
            self.next_arrival += 1;
        }
        self.link(hash)
    }

    /// Counts a block as received, and those after it whose bodies wait, if its whole chain of bodies is known.
    fn link(&mut self, hash: &BlockHash) -> Vec<BlockHash> {
        let mut linked = Vec::new();
        let mut queue = VecDeque::from([*hash]);
        while let Some(hash) = queue.pop_front() {
            let Some(entry) = self.entries.get(&hash) else {
                continue;
            };
            let parent_linked = self
                .get(&entry.record.header.prev_block)
                .is_some_and(|parent| parent.received.is_some());
            if !parent_linked || !entry.has_body() || entry.record.received.is_some() {
                continue;
            }
            let mut children = entry.children.clone();
            children.sort_by_key(|child| self.entries.get(child).map(|child| child.arrival));
            queue.extend(children);
            let received = self.next_received;
            self.next_received += 1;
            if let Some(entry) = self.entries.get_mut(&hash) {
                entry.record.received = Some(received);
            }
            self.consider(&hash);
            linked.push(hash);
        }
        linked
    }

    /// Prefers a block to all others of equal work, as if it had been received first (Bitcoin Core, `PreciousBlock`): it changes places
    /// with the one that is preferred now. Returns the blocks that did; none where it is no candidate or has another's work.
    pub fn prefer(&mut self, hash: &BlockHash) -> Vec<BlockHash> {
        let (Some(best), Some(record)) = (self.best_candidate(), self.get(hash).copied()) else {
            return Vec::new();
        };
        let best_record = self.get(&best).copied().unwrap_or(record);
        let (Some(received), Some(first)) = (record.received, best_record.received) else {
            return Vec::new();
        };
        let rank = (record.chainwork, Reverse(received), *hash);
        let best_rank = (best_record.chainwork, Reverse(first), best);
        if best == *hash
            || record.chainwork != best_record.chainwork
            || !self.candidates.contains(&rank)
        {
            return Vec::new();
        }
        for (rank, received) in [(rank, first), (best_rank, received)] {
            self.candidates.remove(&rank);
            if let Some(entry) = self.entries.get_mut(&rank.2) {
                entry.record.received = Some(received);
            }
            self.consider(&rank.2);
        }
        vec![*hash, best]
    }

    /// Marks a block invalid and its descendants as having an invalid ancestor. Costs the number of these, unless the block is in
    /// the active chain, which it is only where somebody says so by hand.
    pub fn mark_invalid(&mut self, hash: &BlockHash) {
        let was_active = self.is_active(hash);
        if let Some(entry) = self.entries.get_mut(hash) {
            entry.record.state = BodyState::Invalid;
        }
        self.refresh_below(hash);
        if was_active {
            self.rebuild();
            return;
        }
        for bad in std::iter::once(*hash).chain(self.descendants(hash)) {
            if let Some(record) = self.get(&bad).copied() {
                self.header_tips.remove(&(record.chainwork, bad));
                if let Some(received) = record.received {
                    let rank = (record.chainwork, Reverse(received), bad);
                    self.candidates.remove(&rank);
                }
            }
        }
        let parent = self.get(hash).map(|record| record.header.prev_block);
        self.consider_header_tip(&parent.unwrap_or_default());
        self.choose_best_headers();
    }

    /// Makes a header the end of a valid chain if it is one.
    fn consider_header_tip(&mut self, hash: &BlockHash) {
        if let Some(entry) = self.entries.get(hash)
            && !entry.is_bad()
            && entry.children.iter().all(|child| self.is_bad(child))
        {
            self.header_tips.insert((entry.record.chainwork, *hash));
        }
    }

    /// Finds the best of the header tips, unless the best headers are valid still.
    fn choose_best_headers(&mut self) {
        let Some((work, highest)) = self.header_tips.last().copied() else {
            return;
        };
        let (current, record) = self.best_header();
        if !self.is_bad(&current) && record.chainwork >= work {
            return;
        }
        // Between headers of equal work, the active chain's stays the best, so that nothing is fetched for a tie.
        let (tip, active) = self.tip();
        let best = match active.chainwork >= work && !self.is_bad(&tip) {
            true => tip,
            false => highest,
        };
        let (shared, path) = self.path_to(&self.best_headers, &best);
        self.best_headers.truncate(shared);
        self.best_headers.extend(path);
    }

    /// Takes back what [`BlockTree::mark_invalid`] said of a block, its ancestors and its descendants. Returns the blocks whose
    /// state changed; `has_body` says of which of them the body is stored.
    pub fn clear_invalid(
        &mut self,
        hash: &BlockHash,
        has_body: &mut dyn FnMut(&BlockHash) -> bool,
    ) -> Vec<BlockHash> {
        let mut family = self.descendants(hash);
        let mut at = *hash;
        while let Some(entry) = self.entries.get(&at) {
            if entry.record.height == 0 {
                break;
            }
            family.push(at);
            at = entry.record.header.prev_block;
        }
        let mut changed = Vec::new();
        for hash in family {
            if let Some(entry) = self.entries.get_mut(&hash)
                && entry.record.state == BodyState::Invalid
            {
                if has_body(&hash) {
                    entry.record.state = BodyState::Stored;
                } else {
                    entry.record.state = BodyState::HeaderOnly;
                    (entry.record.received, entry.record.tx_count) = (None, None);
                }
                changed.push(hash);
            }
        }
        for hash in &changed {
            self.refresh_below(hash);
        }
        // The bodies below a mark may have come while it stood.
        for hash in changed.clone() {
            for linked in self.link(&hash) {
                if !changed.contains(&linked) {
                    changed.push(linked);
                }
            }
        }
        self.rebuild();
        changed
    }

    fn descendants(&self, hash: &BlockHash) -> Vec<BlockHash> {
        let mut found = Vec::new();
        let mut queue = vec![*hash];
        while let Some(next) = queue.pop() {
            if let Some(entry) = self.entries.get(&next) {
                queue.extend_from_slice(&entry.children);
                found.extend_from_slice(&entry.children);
            }
        }
        found
    }

    /// Recomputes `bad_ancestor` of all descendants, parents first.
    fn refresh_below(&mut self, hash: &BlockHash) {
        for below in std::iter::once(*hash).chain(self.descendants(hash)) {
            let bad = self
                .get(&below)
                .is_some_and(|record| self.is_bad(&record.header.prev_block));
            if let Some(entry) = self.entries.get_mut(&below) {
                entry.bad_ancestor = bad;
            }
        }
    }

    /// Finds candidates and best headers anew; for the rare event that a block is declared invalid or valid by hand.
    fn rebuild(&mut self) {
        self.candidates.clear();
        self.header_tips.clear();
        self.best_headers.truncate(1);
        let hashes: Vec<BlockHash> = self.entries.keys().copied().collect();
        for hash in hashes {
            self.consider(&hash);
            self.consider_header_tip(&hash);
        }
        self.choose_best_headers();
    }

    /// Blocks of the best header chain whose bodies are missing, lowest first, `max` at most.
    pub fn missing_bodies(&self, max: usize) -> Vec<(u32, BlockHash)> {
        self.missing_bodies_towards(&self.best_header().0, max)
    }

    /// The same for the chain that ends in `hash`. Quick for all that lies on the best header chain; a branch costs its length.
    pub fn missing_bodies_towards(&self, hash: &BlockHash, max: usize) -> Vec<(u32, BlockHash)> {
        let (shared, branch) = self.path_to(&self.best_headers, hash);
        let shared = &self.best_headers[..shared];
        // Whole chains are known from the first block up, so the first gap is found by bisection.
        let linked = shared.partition_point(|hash| {
            self.get(hash)
                .is_some_and(|record| record.received.is_some())
        });
        (0_u32..)
            .zip(shared.iter().chain(&branch))
            .skip(linked)
            .filter(|(_, hash)| !self.has_body(hash))
            .take(max)
            .map(|(height, hash)| (height, *hash))
            .collect()
    }
}
