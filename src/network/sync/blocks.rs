//! The moving window of block downloads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    headers::NextHeaders,
    machine::{STALL, Sync, retry_after},
    types::{Action, BlockVerdict, PeerKey, SyncFault},
};
use crate::{
    primitives::{Block, BlockHash, Encode},
    wire::limits::MAX_BLOCKS,
};

/// Block requests in flight to one peer: one being served, one on its way.
const MAX_REQUESTS_PER_PEER: usize = 2;
/// Bytes of blocks held or expected at once. The next block in order is always fetched.
const WINDOW_BYTES: usize = 32 << 20;
/// Blocks that the chain has at once: enough to keep its threads busy while answers are on their way, few enough to react.
const MAX_JUDGED: usize = 64;
/// Bytes of blocks that the chain has at once; a block beyond is given to it when it has nothing else.
const MAX_JUDGED_BYTES: usize = 16 << 20;
/// What a block is expected to weigh until some have been seen.
const FIRST_GUESS: usize = 64 << 10;

/// Where a wanted block is.
#[derive(Debug)]
enum Stage {
    /// Nobody is asked; nobody is to be asked before this time.
    Open { not_before: u64 },
    /// At least one peer is asked and not yet given up on.
    Asked,
    /// Here, waiting for its turn.
    Ready { block: Arc<Block>, bytes: usize },
    /// With the chain.
    Judging { bytes: usize },
}

#[derive(Debug)]
struct Wanted {
    hash: BlockHash,
    stage: Stage,
    /// Peers with a request for it in flight.
    asked: Vec<PeerKey>,
    /// Connected peers that did not send it.
    failed: Vec<PeerKey>,
    /// Who sent it, once it is here.
    from: Option<PeerKey>,
    attempts: u32,
}

/// The wanted blocks, by height. One chain only, so heights are unique.
#[derive(Debug)]
pub(super) struct Downloads {
    wanted: BTreeMap<u32, Wanted>,
    heights: HashMap<BlockHash, u32>,
    /// Moving average of block sizes in bytes.
    average: usize,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            wanted: BTreeMap::new(),
            heights: HashMap::new(),
            average: FIRST_GUESS,
        }
    }
}

impl Downloads {
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Bytes of blocks that wait for their turn.
    pub(super) fn held_bytes(&self) -> usize {
        self.wanted
            .values()
            .map(|wanted| match &wanted.stage {
                Stage::Ready { bytes, .. } => *bytes,
                Stage::Open { .. } | Stage::Asked | Stage::Judging { .. } => 0,
            })
            .sum()
    }

    /// Height of the first block that is wanted.
    pub(super) fn first_height(&self) -> Option<u32> {
        self.wanted.keys().next().copied()
    }

    /// Follows the goal: forgets what is no longer wanted, keeps what is.
    pub(super) fn set_missing(&mut self, missing: &[(u32, BlockHash)]) {
        let keep: HashMap<BlockHash, u32> = missing
            .iter()
            .map(|(height, hash)| (*hash, *height))
            .collect();
        self.wanted
            .retain(|height, wanted| keep.get(&wanted.hash) == Some(height));
        for (height, hash) in missing {
            self.wanted.entry(*height).or_insert_with(|| Wanted {
                hash: *hash,
                stage: Stage::Open { not_before: 0 },
                asked: Vec::new(),
                failed: Vec::new(),
                from: None,
                attempts: 0,
            });
        }
        self.heights = keep;
    }

    pub(super) fn forget_peer(&mut self, peer: PeerKey) {
        for wanted in self.wanted.values_mut() {
            wanted.failed.retain(|key| *key != peer);
            if wanted.asked.contains(&peer) {
                wanted.give_up_on(peer, false);
            }
        }
    }

    /// A request to `peer` will not bring `hash`, or not soon: others may be asked. Returns
    /// whether the block was still wanted from it.
    pub(super) fn reopen(&mut self, hash: &BlockHash, peer: PeerKey, failed: bool) -> bool {
        match self.get_mut(hash) {
            Some(wanted) => wanted.give_up_on(peer, failed),
            None => false,
        }
    }

    fn get_mut(&mut self, hash: &BlockHash) -> Option<&mut Wanted> {
        let height = self.heights.get(hash)?;
        self.wanted.get_mut(height)
    }

    /// Bytes held or expected.
    fn load(&self) -> usize {
        self.wanted
            .values()
            .map(|wanted| match &wanted.stage {
                Stage::Open { .. } | Stage::Judging { .. } => 0,
                Stage::Asked => self.average,
                Stage::Ready { bytes, .. } => *bytes,
            })
            .sum()
    }

    /// Blocks that `peer` may be asked for now, in order.
    fn choose(&self, now: u64, peer: PeerKey, best_height: u32, most: usize) -> Vec<BlockHash> {
        let first = self.first_height();
        let mut load = self.load();
        let mut chosen = Vec::new();
        for (height, wanted) in &self.wanted {
            if chosen.len() >= most || *height > best_height {
                break;
            }
            let open = matches!(wanted.stage, Stage::Open { not_before } if not_before <= now);
            if !open || wanted.asked.contains(&peer) || wanted.failed.contains(&peer) {
                continue;
            }
            if load + self.average > WINDOW_BYTES && Some(*height) != first {
                break;
            }
            load += self.average;
            chosen.push(wanted.hash);
        }
        chosen
    }

    /// Open blocks that every able peer has failed to send are tried again, ever later.
    fn forgive(&mut self, now: u64, peers: &[(PeerKey, u32)]) {
        for (height, wanted) in &mut self.wanted {
            let mut able = peers.iter().filter(|(_, best)| best >= height);
            if matches!(wanted.stage, Stage::Open { not_before } if not_before <= now)
                && !wanted.failed.is_empty()
                && able.all(|(peer, _)| wanted.failed.contains(peer))
            {
                wanted.failed.clear();
                wanted.stage = Stage::Open {
                    not_before: now + retry_after(wanted.attempts),
                };
                wanted.attempts = wanted.attempts.saturating_add(1);
            }
        }
    }

    /// The next blocks in order that are here, as far as the chain has room for them; and whether others follow them.
    fn take_ready(&mut self) -> (Vec<Arc<Block>>, bool) {
        let (mut judged, mut judged_bytes) = (0, 0);
        let mut blocks = Vec::new();
        for wanted in self.wanted.values_mut() {
            match &wanted.stage {
                Stage::Judging { bytes } => {
                    judged += 1;
                    judged_bytes += bytes;
                }
                Stage::Ready { block, bytes } => {
                    let bytes = *bytes;
                    let full = judged >= MAX_JUDGED || judged_bytes + bytes > MAX_JUDGED_BYTES;
                    if full && judged > 0 {
                        return (blocks, true);
                    }
                    blocks.push(Arc::clone(block));
                    wanted.stage = Stage::Judging { bytes };
                    judged += 1;
                    judged_bytes += bytes;
                }
                Stage::Open { .. } | Stage::Asked => return (blocks, true),
            }
        }
        (blocks, false)
    }
}

impl Wanted {
    /// See [`Downloads::reopen`].
    fn give_up_on(&mut self, peer: PeerKey, failed: bool) -> bool {
        let asked = self.asked.contains(&peer);
        self.asked.retain(|key| *key != peer);
        if failed && !self.failed.contains(&peer) {
            self.failed.push(peer);
        }
        let waiting = asked && matches!(self.stage, Stage::Asked);
        if waiting {
            self.stage = Stage::Open { not_before: 0 };
        }
        waiting
    }
}

impl Sync {
    pub(super) fn drive_blocks(&mut self, now: u64, out: &mut Vec<Action>) {
        self.assign_blocks(now, out);
        let (blocks, more) = self.downloads.take_ready();
        if !blocks.is_empty() {
            out.push(Action::JudgeBlocks { blocks, more });
        }
    }

    fn assign_blocks(&mut self, now: u64, out: &mut Vec<Action>) {
        if self.downloads.is_empty() {
            return;
        }
        let mut usable: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.block_requests < MAX_REQUESTS_PER_PEER)
            .map(|(key, peer)| {
                let elsewhere = peer.best().best_hash != self.facts.goal;
                (peer.block_requests, peer.stalls, elsewhere, *key)
            })
            .collect();
        // Free peers first, then reliable ones, then those on the very chain we want.
        usable.sort();
        let keys: Vec<_> = usable.iter().map(|entry| entry.3).collect();
        let peers = self.peers.iter();
        let peers: Vec<_> = peers
            .map(|(key, peer)| (*key, peer.best().best_height))
            .collect();
        self.downloads.forgive(now, &peers);
        let open = self.downloads.wanted.values();
        let open = open.filter(|wanted| matches!(wanted.stage, Stage::Open { .. }));
        let share = open
            .count()
            .div_ceil(keys.len().max(1))
            .clamp(1, MAX_BLOCKS);
        for key in keys {
            self.request_blocks(now, key, share, out);
        }
    }

    fn request_blocks(&mut self, now: u64, key: PeerKey, share: usize, out: &mut Vec<Action>) {
        if !self.may_request() {
            return;
        }
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.paused_until > now {
            return;
        }
        // Better a full request a moment later than many small ones.
        if peer.blocks_quota.left(now) < share as u64 {
            return;
        }
        let height = peer.best().best_height;
        let hashes = self.downloads.choose(now, key, height, share);
        if hashes.is_empty() {
            return;
        }
        peer.blocks_quota.charge(hashes.len() as u64);
        for hash in &hashes {
            if let Some(wanted) = self.downloads.get_mut(hash) {
                wanted.stage = Stage::Asked;
                wanted.asked.push(key);
            }
        }
        let request = self.request_id();
        self.record_blocks_request(now, request, key, hashes.clone());
        out.push(Action::RequestBlocks {
            peer: key,
            request,
            hashes,
        });
    }

    pub(super) fn on_blocks(
        &mut self,
        now: u64,
        key: PeerKey,
        asked: &[BlockHash],
        blocks: Vec<Arc<Block>>,
        out: &mut Vec<Action>,
    ) {
        let mut delivered = 0;
        let mut unsolicited = false;
        for block in blocks {
            let hash = block.header.hash();
            if !asked.contains(&hash) {
                unsolicited = true;
                continue;
            }
            delivered += 1;
            let bytes = block.encoded_len();
            self.downloads.average = (self.downloads.average * 15 + bytes) / 16;
            if let Some(wanted) = self.downloads.get_mut(&hash)
                && matches!(wanted.stage, Stage::Open { .. } | Stage::Asked)
            {
                wanted.stage = Stage::Ready { block, bytes };
                wanted.from = Some(key);
            }
        }
        // Answers may be cut short by size. Only an answer with nothing says "I do not have them".
        for hash in asked {
            self.downloads.reopen(hash, key, delivered == 0);
        }
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if delivered == 0 {
            // It may simply not have them yet: it relays announcements before it validates.
            peer.paused_until = peer.paused_until.max(now + retry_after(peer.empty));
            peer.empty = peer.empty.saturating_add(1);
            peer.failed_to_send(now, &self.facts.goal);
        } else {
            peer.has_delivered();
            peer.empty = 0;
            peer.stalls = 0;
        }
        if unsolicited {
            peer.back_off(now);
            out.push(Action::Misbehaved {
                peer: key,
                fault: SyncFault::UnsolicitedBlock,
            });
        }
    }

    pub(super) fn on_blocks_judged(
        &mut self,
        now: u64,
        verdicts: &[(BlockHash, BlockVerdict)],
        out: &mut Vec<Action>,
    ) {
        let mut failed = false;
        for (hash, verdict) in verdicts {
            failed |= *verdict != BlockVerdict::Accepted;
            self.on_block_judged(now, hash, *verdict, out);
        }
        if !failed {
            return;
        }
        // Blocks behind one that failed were not judged, or fail with it: they wait for their turn again.
        for wanted in self.downloads.wanted.values_mut() {
            if matches!(wanted.stage, Stage::Judging { .. }) {
                wanted.stage = Stage::Open { not_before: now };
            }
        }
    }

    fn on_block_judged(
        &mut self,
        now: u64,
        hash: &BlockHash,
        verdict: BlockVerdict,
        out: &mut Vec<Action>,
    ) {
        let Some(wanted) = self.downloads.get_mut(hash) else {
            return;
        };
        // What came behind a block that had failed was given up with it: only that it is stored is news.
        if verdict != BlockVerdict::Accepted && !matches!(wanted.stage, Stage::Judging { .. }) {
            return;
        }
        let from = wanted.from.take();
        let height = self.downloads.heights.get(hash).copied();
        let retry_at = match verdict {
            BlockVerdict::Accepted => {
                self.progress_at = Some(now);
                if let Some(height) = height {
                    self.downloads.wanted.remove(&height);
                }
                self.downloads.heights.remove(hash);
                return;
            }
            BlockVerdict::Mutated => now,
            BlockVerdict::OurFault => now + STALL,
            BlockVerdict::Invalid | BlockVerdict::UnknownParent | BlockVerdict::Future => {
                now + 2 * STALL
            }
        };
        if let Some(wanted) = self.downloads.get_mut(hash) {
            wanted.stage = Stage::Open {
                not_before: retry_at,
            };
        }
        let Some(peer) = from else { return };
        let fault = match verdict {
            BlockVerdict::Mutated => SyncFault::MutatedBlock,
            BlockVerdict::Invalid => SyncFault::InvalidBlock,
            BlockVerdict::UnknownParent => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.next = NextHeaders::Restart;
                }
                return;
            }
            BlockVerdict::Accepted | BlockVerdict::Future | BlockVerdict::OurFault => return,
        };
        self.downloads.reopen(hash, peer, true);
        out.push(Action::Misbehaved { peer, fault });
    }
}
