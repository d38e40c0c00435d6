//! The blocks of a simulation, and what one host has of them.
//!
//! Headers are real: they obey the rules of regtest, proof of work included (two hashes each). Bodies are a size. What a host
//! stores is judged by the product's own rules through `weigh`; the rest of the chain (connecting, scripts, disk) is left out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use quarry::consensus::{BLOCK_VERSION, ChainSpec, HeaderChain};
use quarry::network::sync::{BlockVerdict, Facts, HeadersVerdict, PeerStatus};
use quarry::primitives::{BlockHash, BlockHeader, MerkleRoot, Work};

/// Bodies that sync looks ahead for, as the product does.
const MISSING_WINDOW: usize = 512;
/// Headers in an answer.
const MAX_HEADERS: usize = 2_000;
/// Blocks whose bodies are smaller are gossiped whole.
const GOSSIPED_WHOLE: u64 = 64 << 10;

/// A block that somebody made.
pub struct Made {
    pub header: BlockHeader,
    /// The chain that ends in it.
    pub chain: HeaderChain,
    /// What its body weighs.
    pub bytes: u64,
}

/// Every block there is.
pub struct Ledger {
    pub spec: Arc<ChainSpec>,
    pub genesis: BlockHash,
    made: HashMap<BlockHash, Made>,
}

impl Ledger {
    pub fn new() -> Self {
        let spec = Arc::new(ChainSpec::regtest());
        let chain = HeaderChain::of_genesis(&spec);
        let genesis = chain.hash();
        let first = Made {
            header: spec.genesis_block().header,
            chain,
            bytes: 300,
        };
        Self {
            spec,
            genesis,
            made: HashMap::from([(genesis, first)]),
        }
    }

    pub fn get(&self, hash: &BlockHash) -> &Made {
        &self.made[hash]
    }

    pub fn len(&self) -> usize {
        self.made.len()
    }

    pub fn height(&self, hash: &BlockHash) -> u32 {
        self.get(hash).chain.height()
    }

    pub fn work(&self, hash: &BlockHash) -> Work {
        self.get(hash).chain.work()
    }

    pub fn is_whole_in_gossip(&self, hash: &BlockHash) -> bool {
        self.get(hash).bytes <= GOSSIPED_WHOLE
    }

    /// The chain up to a block, as a peer would claim it.
    pub fn status(&self, hash: &BlockHash) -> PeerStatus {
        PeerStatus {
            best_hash: *hash,
            best_height: self.height(hash),
            work: self.work(hash),
        }
    }

    /// A new block after `parent`, dated `time` or as early as may be after that.
    pub fn make(&mut self, parent: &BlockHash, time: u64, salt: u64, bytes: u64) -> BlockHash {
        let mut chain = self.get(parent).chain.clone();
        let earliest = chain.end().median_time_past + 1;
        let mut root = [0; 32];
        root[..8].copy_from_slice(&salt.to_le_bytes());
        let mut header = BlockHeader {
            version: BLOCK_VERSION,
            prev_block: *parent,
            merkle_root: MerkleRoot::from_bytes(root),
            time: u32::try_from(time).unwrap().max(earliest),
            bits: self.spec.pow_limit,
            nonce: 0,
        };
        let target = header.bits.to_target().unwrap();
        while !target.is_met_by(&header.hash()) {
            header.nonce += 1;
        }
        let hash = header.hash();
        chain.extend(&self.spec, &header, &hash, u64::MAX).unwrap();
        let made = Made {
            header,
            chain,
            bytes,
        };
        self.made.insert(hash, made);
        hash
    }
}

/// What a host has stored.
#[derive(Clone)]
pub struct Chain {
    headers: HashSet<BlockHash>,
    bodies: HashSet<BlockHash>,
    /// Blocks whose bodies are here down to the first block.
    linked: HashSet<BlockHash>,
    /// Bodies that wait for their parent's.
    waiting: HashMap<BlockHash, Vec<BlockHash>>,
    best: BlockHash,
    active: Vec<BlockHash>,
}

impl Chain {
    pub fn new(genesis: BlockHash) -> Self {
        let only = HashSet::from([genesis]);
        Self {
            headers: only.clone(),
            bodies: only.clone(),
            linked: only,
            waiting: HashMap::new(),
            best: genesis,
            active: vec![genesis],
        }
    }

    pub fn tip(&self) -> BlockHash {
        self.active[self.active.len() - 1]
    }

    pub fn has_header(&self, hash: &BlockHash) -> bool {
        self.headers.contains(hash)
    }

    pub fn has_body(&self, hash: &BlockHash) -> bool {
        self.bodies.contains(hash)
    }

    pub fn header_count(&self) -> usize {
        self.headers.len()
    }

    /// Stores a header, at the host's time.
    pub fn take_header(
        &mut self,
        ledger: &Ledger,
        hash: &BlockHash,
        now: u64,
    ) -> Result<(), HeadersVerdict> {
        let made = ledger.get(hash);
        if self.has_header(hash) {
            return Ok(());
        }
        if !self.has_header(&made.header.prev_block) {
            return Err(HeadersVerdict::Unconnected);
        }
        if u64::from(made.header.time) > now + u64::from(ledger.spec.max_future_drift) {
            return Err(HeadersVerdict::Future);
        }
        self.headers.insert(*hash);
        if made.chain.work() > ledger.work(&self.best) {
            self.best = *hash;
        }
        Ok(())
    }

    /// Stores a body. Whether the tip is another one then is told by [`Chain::tip`].
    pub fn take_body(&mut self, ledger: &Ledger, hash: &BlockHash, now: u64) -> BlockVerdict {
        match self.take_header(ledger, hash, now) {
            Ok(()) => {}
            Err(HeadersVerdict::Future) => return BlockVerdict::Future,
            Err(_) => return BlockVerdict::UnknownParent,
        }
        self.bodies.insert(*hash);
        let parent = ledger.get(hash).header.prev_block;
        if !self.linked.contains(&parent) {
            self.waiting.entry(parent).or_default().push(*hash);
            return BlockVerdict::Accepted;
        }
        let mut queue = vec![*hash];
        while let Some(hash) = queue.pop() {
            self.linked.insert(hash);
            queue.extend(self.waiting.remove(&hash).unwrap_or_default());
            if ledger.work(&hash) > ledger.work(&self.tip()) {
                self.activate(ledger, hash);
            }
        }
        BlockVerdict::Accepted
    }

    fn activate(&mut self, ledger: &Ledger, tip: BlockHash) {
        let mut path = vec![tip];
        loop {
            let parent = ledger.get(&path[path.len() - 1]).header.prev_block;
            let height = ledger.height(&parent) as usize;
            if self.active.get(height) == Some(&parent) {
                self.active.truncate(height + 1);
                break;
            }
            path.push(parent);
        }
        self.active.extend(path.iter().rev());
    }

    /// The block of the active chain at a height.
    pub fn active_at(&self, height: u32) -> BlockHash {
        self.active[height as usize]
    }

    pub fn is_active(&self, ledger: &Ledger, hash: &BlockHash) -> bool {
        self.active.get(ledger.height(hash) as usize) == Some(hash)
    }

    pub fn facts(&self, ledger: &Ledger, ends: &[BlockHash], stamp: u64) -> Facts {
        let tip = self.tip();
        let tip_work = ledger.work(&tip);
        let goal = ends
            .iter()
            .filter(|end| self.has_header(end) && ledger.work(end) > tip_work)
            .max_by_key(|end| (ledger.work(end), **end == self.best))
            .copied()
            .unwrap_or(tip);
        let mut missing = Vec::new();
        let mut at = goal;
        while !self.linked.contains(&at) {
            if !self.has_body(&at) {
                missing.push((ledger.height(&at), at));
            }
            at = ledger.get(&at).header.prev_block;
        }
        missing.reverse();
        missing.truncate(MISSING_WINDOW);
        Facts {
            stamp,
            tip_height: ledger.height(&tip),
            best_header: self.best,
            best_header_height: ledger.height(&self.best),
            best_header_work: ledger.work(&self.best),
            goal,
            goal_height: ledger.height(&goal),
            goal_work: ledger.work(&goal),
            locator: self.locator(),
            missing,
        }
    }

    fn locator(&self) -> Vec<BlockHash> {
        let mut locator = vec![self.best];
        let (mut height, mut step) = (self.active.len() - 1, 1);
        loop {
            if locator.last() != Some(&self.active[height]) {
                locator.push(self.active[height]);
            }
            if height == 0 {
                return locator;
            }
            if locator.len() > 10 {
                step *= 2;
            }
            height = height.saturating_sub(step);
        }
    }

    /// Headers of the active chain after the first of `locator` that is in it.
    pub fn headers_after(&self, ledger: &Ledger, locator: &[BlockHash]) -> Vec<BlockHeader> {
        let place = |hash: &BlockHash| {
            let known = self.has_header(hash).then(|| ledger.height(hash) as usize);
            known.filter(|height| self.active.get(*height) == Some(hash))
        };
        let start = locator.iter().find_map(place).unwrap_or(0) + 1;
        self.active
            .iter()
            .skip(start)
            .take(MAX_HEADERS)
            .map(|hash| ledger.get(hash).header)
            .collect()
    }
}
