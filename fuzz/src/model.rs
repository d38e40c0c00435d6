//! A naive model of the engine: every block in one list, the coins folded anew for each, the best chain found by looking at all.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use bitcoin::consensus::deserialize;
use quarry::chain::{BlockAccepted, SubmitError};
use quarry::consensus::ChainSpec;
use quarry::primitives::{Block, BlockHash, BlockHeader, Encode, OutPoint};

use crate::node::{KEYS, NOW, Node, base_blocks, key_hash};
use crate::rules::{self, Coins, Refusal};

/// What becomes of a block or a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    NewTip,
    SideBranch,
    AlreadyKnown,
    Done,
    Invalid,
    Mutated,
    Future,
    KnownInvalid,
    InvalidParent,
    UnknownParent,
    UnknownBlock,
}

impl Verdict {
    /// The engine's verdict on a block.
    pub fn of_block(answer: Result<BlockAccepted, SubmitError>) -> Self {
        match answer {
            Ok(BlockAccepted::NewTip { .. }) => Self::NewTip,
            Ok(BlockAccepted::SideBranch { .. }) => Self::SideBranch,
            Ok(BlockAccepted::AlreadyKnown) => Self::AlreadyKnown,
            Err(error) => Self::of_error(&error),
        }
    }

    /// The engine's verdict on anything else.
    pub fn of<T>(answer: Result<T, SubmitError>) -> Self {
        match answer {
            Ok(_) => Self::Done,
            Err(error) => Self::of_error(&error),
        }
    }

    fn of_error(error: &SubmitError) -> Self {
        match error {
            SubmitError::Invalid(_) => Self::Invalid,
            SubmitError::Mutated(_) => Self::Mutated,
            SubmitError::Future { .. } => Self::Future,
            SubmitError::KnownInvalid(_) => Self::KnownInvalid,
            SubmitError::InvalidParent(_) => Self::InvalidParent,
            SubmitError::UnknownParent(_) => Self::UnknownParent,
            SubmitError::UnknownBlock(_) => Self::UnknownBlock,
            SubmitError::Stopped | SubmitError::Storage(_) => panic!("the engine failed: {error}"),
        }
    }
}

#[derive(Clone)]
struct Entry {
    header: BlockHeader,
    hash: BlockHash,
    parent: usize,
    children: Vec<usize>,
    height: u32,
    body: Option<Rc<bitcoin::Block>>,
    /// It broke a rule, or somebody asked to treat it so.
    is_invalid: bool,
    /// When its whole chain of bodies was there; none before.
    received: Option<u32>,
    /// The place of its body among those that came since the engine was opened.
    arrival: u32,
    /// The coins after it, or the rule that it breaks when connected; none until somebody asks.
    after: Option<Result<Rc<Coins>, &'static str>>,
}

/// The model. Its first entry is the first block, the next are the base.
#[derive(Clone)]
pub struct Model {
    spec: ChainSpec,
    entries: Vec<Entry>,
    places: HashMap<BlockHash, usize>,
    tip: usize,
    next_received: u32,
    next_arrival: u32,
    base: usize,
}

impl Model {
    /// The first block and the base.
    pub fn new(spec: &ChainSpec) -> Self {
        let genesis = spec.genesis_block();
        let hash = genesis.hash();
        let mut model = Self {
            spec: spec.clone(),
            entries: vec![Entry {
                header: genesis.header,
                hash,
                parent: 0,
                children: Vec::new(),
                height: 0,
                body: Some(Rc::new(convert(&genesis))),
                is_invalid: false,
                received: Some(0),
                arrival: 0,
                // Bitcoin's first output is no P2PKH, so it is no coin.
                after: Some(Ok(Rc::default())),
            }],
            places: HashMap::from([(hash, 0)]),
            tip: 0,
            next_received: 1,
            next_arrival: 0,
            base: 0,
        };
        for block in base_blocks(spec) {
            assert_eq!(model.submit(&block), Verdict::NewTip);
        }
        model.base = model.entries.len();
        model
    }

    /// How many blocks are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many of them are the first block and the base. Marks leave them alone: a mark that is taken back would bring the
    /// branches of earlier inputs back with it.
    pub const fn base(&self) -> usize {
        self.base
    }

    /// The place of the tip.
    pub const fn tip(&self) -> usize {
        self.tip
    }

    pub fn hash(&self, at: usize) -> BlockHash {
        self.entries[at].hash
    }

    pub fn height(&self, at: usize) -> u32 {
        self.entries[at].height
    }

    /// Blocks after the base that build on it or on what is below.
    pub fn on_base(&self) -> Vec<BlockHash> {
        let after = self.entries[self.base..].iter();
        after
            .filter(|entry| entry.parent < self.base)
            .map(|entry| entry.hash)
            .collect()
    }

    /// The chain from the first block to `at`.
    fn chain(&self, at: usize) -> Vec<usize> {
        let mut chain = vec![at];
        while let Some(last) = chain.last().copied().filter(|last| *last != 0) {
            chain.push(self.entries[last].parent);
        }
        chain.reverse();
        chain
    }

    /// The median time of a block and the ten before it.
    pub fn median_time(&self, at: usize) -> u32 {
        let chain = self.chain(at);
        let mut times: Vec<u32> = chain
            .iter()
            .rev()
            .take(11)
            .map(|at| self.entries[*at].header.time)
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    fn is_bad(&self, at: usize) -> bool {
        self.chain(at).iter().any(|at| self.entries[*at].is_invalid)
    }

    fn known(&self, at: usize) -> Option<Verdict> {
        if self.entries[at].is_invalid {
            Some(Verdict::KnownInvalid)
        } else {
            self.is_bad(at).then_some(Verdict::InvalidParent)
        }
    }

    /// The coins after a block, if its whole chain obeys all rules.
    pub fn coins(&mut self, at: usize) -> Result<Rc<Coins>, &'static str> {
        if let Some(after) = &self.entries[at].after {
            return after.clone();
        }
        let before = self.coins(self.entries[at].parent)?;
        let chain = self.chain(at);
        let entry = &self.entries[at];
        let block = entry.body.clone().expect("only whole chains are folded");
        let median = |height: u32| {
            let height = usize::try_from(height).expect("32 bits fit");
            self.median_time(chain[height])
        };
        let after = rules::connect(&self.spec, &block, entry.height, &median, &before).map(Rc::new);
        self.entries[at].after = Some(after.clone());
        after
    }

    /// Takes a header.
    pub fn submit_header(&mut self, header: &BlockHeader) -> Result<usize, Verdict> {
        let hash = header.hash();
        if let Some(at) = self.places.get(&hash) {
            return self.known(*at).map_or(Ok(*at), Err);
        }
        let target =
            bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(header.bits.0));
        let limit = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(
            self.spec.pow_limit.0,
        ));
        let theirs: bitcoin::block::Header =
            deserialize(&header.to_array()).expect("any 80 bytes are a header");
        let negative = header.bits.0 & 0x0080_0000 != 0;
        if negative || target == bitcoin::Target::ZERO || target > limit {
            return Err(Verdict::Invalid);
        }
        if theirs.validate_pow(target).is_err() {
            return Err(Verdict::Invalid);
        }
        let Some(parent) = self.places.get(&header.prev_block).copied() else {
            return Err(Verdict::UnknownParent);
        };
        if self.is_bad(parent) {
            return Err(Verdict::InvalidParent);
        }
        if header.time <= self.median_time(parent)
            || header.bits != self.spec.pow_limit
            || header.version < 4
        {
            return Err(Verdict::Invalid);
        }
        if header.time > NOW + self.spec.max_future_drift {
            return Err(Verdict::Future);
        }
        let at = self.entries.len();
        self.entries[parent].children.push(at);
        self.entries.push(Entry {
            header: *header,
            hash,
            parent,
            children: Vec::new(),
            height: self.entries[parent].height + 1,
            body: None,
            is_invalid: false,
            received: None,
            arrival: 0,
            after: None,
        });
        self.places.insert(hash, at);
        Ok(at)
    }

    /// Takes a block.
    pub fn submit(&mut self, block: &Block) -> Verdict {
        let known = self.places.get(&block.hash()).copied();
        if let Some(at) = known.filter(|at| self.entries[*at].body.is_some()) {
            return self.known(at).unwrap_or(Verdict::AlreadyKnown);
        }
        let at = match self.submit_header(&block.header) {
            Ok(at) => at,
            Err(verdict) => return verdict,
        };
        let theirs = convert(block);
        let (height, median) = (self.height(at), self.median_time(self.entries[at].parent));
        match rules::check_body(&self.spec, &theirs, height, median) {
            Ok(()) => {}
            Err(Refusal::Mutated(_)) => return Verdict::Mutated,
            Err(Refusal::Invalid(_)) => {
                self.entries[at].is_invalid = true;
                self.activate();
                return Verdict::Invalid;
            }
        }
        self.entries[at].body = Some(Rc::new(theirs));
        self.entries[at].arrival = self.next_arrival;
        self.next_arrival += 1;
        self.link(at);
        if self.activate().contains(&at) {
            return Verdict::Invalid;
        }
        if let Some(verdict) = self.known(at) {
            return verdict;
        }
        if self.chain(self.tip).contains(&at) {
            Verdict::NewTip
        } else {
            Verdict::SideBranch
        }
    }

    /// Counts the blocks as received whose whole chain is there now: `at` and what builds on it, height by height, and those
    /// after one parent in the order in which their bodies came.
    fn link(&mut self, at: usize) {
        let mut queue = VecDeque::from([at]);
        while let Some(at) = queue.pop_front() {
            let entry = &self.entries[at];
            let is_next = self.entries[entry.parent].received.is_some()
                && entry.body.is_some()
                && !entry.is_invalid
                && entry.received.is_none();
            if is_next {
                let mut children = entry.children.clone();
                children.sort_by_key(|child| self.entries[*child].arrival);
                queue.extend(children);
                self.entries[at].received = Some(self.next_received);
                self.next_received += 1;
            }
        }
    }

    /// Goes over to the best chain. Returns the blocks that turned out invalid.
    fn activate(&mut self) -> Vec<usize> {
        let mut rejected = Vec::new();
        loop {
            let whole = (0..self.entries.len())
                .filter(|at| self.entries[*at].received.is_some() && !self.is_bad(*at));
            let best = whole
                .max_by_key(|at| {
                    (
                        self.entries[*at].height,
                        Reverse(self.entries[*at].received),
                    )
                })
                .expect("the first block is always there");
            let chain = self.chain(best);
            match chain.into_iter().find(|at| self.coins(*at).is_err()) {
                Some(bad) => {
                    self.entries[bad].is_invalid = true;
                    rejected.push(bad);
                }
                None => {
                    self.tip = best;
                    return rejected;
                }
            }
        }
    }

    /// Treats a block as invalid.
    pub fn invalidate(&mut self, at: usize) -> Verdict {
        if at == 0 {
            return Verdict::UnknownBlock;
        }
        self.entries[at].is_invalid = true;
        self.activate();
        Verdict::Done
    }

    /// Takes that back, of a block and all below and above it.
    pub fn reconsider(&mut self, at: usize) -> Verdict {
        let mut family = self.descendants(at);
        family.extend(self.chain(at).into_iter().rev());
        let changed: Vec<usize> = family
            .into_iter()
            .filter(|at| self.entries[*at].is_invalid)
            .collect();
        for at in &changed {
            self.entries[*at].is_invalid = false;
            if self.entries[*at].body.is_none() {
                self.entries[*at].received = None;
            }
        }
        for at in changed {
            self.link(at);
        }
        self.activate();
        Verdict::Done
    }

    fn descendants(&self, at: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut queue = vec![at];
        while let Some(next) = queue.pop() {
            queue.extend_from_slice(&self.entries[next].children);
            found.extend_from_slice(&self.entries[next].children);
        }
        found
    }

    /// The engine was opened again: it learns the headers in the order of their hashes, and forgets in which order bodies came.
    pub fn restart(&mut self) {
        self.next_arrival = 0;
        for at in 0..self.entries.len() {
            self.entries[at].arrival = 0;
            let mut children = std::mem::take(&mut self.entries[at].children);
            children.sort_by_key(|child| self.entries[*child].hash.to_bytes());
            self.entries[at].children = children;
        }
    }

    /// Compares everything that the engine says about its state.
    pub fn compare(&mut self, node: &Node) {
        let reader = node.reader();
        let tip = reader.tip();
        assert_eq!(
            (tip.hash, tip.height, tip.median_time_past),
            (
                self.hash(self.tip),
                self.height(self.tip),
                self.median_time(self.tip)
            ),
            "the tip"
        );
        for (height, at) in (0..).zip(self.chain(self.tip)) {
            assert_eq!(
                reader.hash_at(height),
                Some(self.hash(at)),
                "height {height}"
            );
        }
        let coins = self.coins(self.tip).expect("the tip obeys all rules");
        let stats = reader.coin_stats().expect("the disk answers");
        let total: u64 = coins.values().map(|coin| coin.value).sum();
        let count = u64::try_from(coins.len()).expect("a length fits");
        assert_eq!(
            (stats.tip, stats.coins, stats.total),
            (tip.hash, count, total),
            "the stats"
        );
        let created: u128 = (1..=tip.height)
            .map(|h| u128::from(self.spec.subsidy_at(h).units()))
            .sum();
        assert!(u128::from(total) <= created, "more coins than were created");
        let outpoints: Vec<OutPoint> = coins.keys().map(ours).collect();
        let found = reader.coins(&outpoints).expect("the disk answers");
        for ((outpoint, expected), found) in coins.iter().zip(found) {
            let found = found.unwrap_or_else(|| panic!("{outpoint} is missing"));
            let script = quarry::primitives::Script::p2pkh(&found.pubkey_hash);
            assert_eq!(
                (
                    found.value.units(),
                    script.as_bytes(),
                    found.height,
                    found.is_coinbase
                ),
                (
                    expected.value,
                    expected.script.as_bytes(),
                    expected.height,
                    expected.is_coinbase
                ),
                "{outpoint}"
            );
        }
        for number in 1..=KEYS {
            let hash = key_hash(number);
            let script = quarry::primitives::Script::p2pkh(&hash);
            let expected: Vec<OutPoint> = coins
                .iter()
                .filter(|(_, coin)| coin.script.as_bytes() == script.as_bytes())
                .map(|(outpoint, _)| ours(outpoint))
                .collect();
            let mut found: Vec<OutPoint> = reader
                .address_coins(&hash)
                .expect("the disk answers")
                .into_iter()
                .map(|(outpoint, _)| outpoint)
                .collect();
            found.sort_by_key(|outpoint| (outpoint.txid.to_bytes(), outpoint.vout));
            let mut expected = expected;
            expected.sort_by_key(|outpoint| (outpoint.txid.to_bytes(), outpoint.vout));
            assert_eq!(found, expected, "the coins of key {number}");
        }
    }
}

fn convert(block: &Block) -> bitcoin::Block {
    deserialize(&block.to_bytes()).expect("rust-bitcoin reads our blocks")
}

fn ours(outpoint: &bitcoin::OutPoint) -> OutPoint {
    use bitcoin::hashes::Hash;
    OutPoint {
        txid: quarry::primitives::Txid::from_bytes(outpoint.txid.to_byte_array()),
        vout: outpoint.vout,
    }
}

/// An engine and a model of its base, used for many inputs: opening a database takes longer than most inputs.
pub struct Bench {
    node: Node,
    base: Model,
}

/// Headers that an engine may collect before a new one takes its place: what is refused stays in its tree.
const MOST_HEADERS: usize = 300;

impl Bench {
    /// A new engine with the base.
    pub fn new() -> Self {
        let spec = crate::node::spec();
        let node = Node::new(spec.clone());
        for block in base_blocks(&spec) {
            let answer = node.handle().submit_block_blocking(block);
            assert_eq!(Verdict::of_block(answer), Verdict::NewTip);
        }
        let base = Model::new(&spec);
        Self { node, base }
    }

    /// Runs one input on an engine whose active chain is the base, and takes the engine back to it.
    pub fn run(input: impl FnOnce(&mut Node, &mut Model)) {
        thread_local! {
            static BENCH: std::cell::RefCell<Option<Bench>> = const { std::cell::RefCell::new(None) };
        }
        BENCH.with_borrow_mut(|slot| {
            // Taken out while it runs, so that no state survives a panic.
            let mut bench = match slot.take() {
                Some(bench) if bench.node.reader().header_count() < MOST_HEADERS => bench,
                Some(full) => {
                    full.node.close();
                    Self::new()
                }
                None => Self::new(),
            };
            let mut model = bench.base.clone();
            input(&mut bench.node, &mut model);
            for hash in model.on_base() {
                let answer = bench.node.handle().invalidate_block_blocking(hash);
                assert_eq!(Verdict::of(answer), Verdict::Done);
            }
            bench.base.compare(&bench.node);
            *slot = Some(bench);
        });
    }
}
