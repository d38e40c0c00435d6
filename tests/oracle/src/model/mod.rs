//! The naive judge: a map of coins, made anew from the first block whenever the chain is not simply longer.
//!
//! It is written to be obviously right and nothing else. Of signatures it knows only which transactions were well signed,
//! because the forge that made them says so; the curve is the other judges' business.

pub mod bytes;
mod rules;

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use bytes::{Body, Hash, Header};
use quarry::primitives::Txid;

/// What the rules of a chain depend on.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// What the first blocks may create.
    pub subsidy: u64,
    /// Blocks after which that halves.
    pub halving: u32,
    /// Blocks after which a coinbase may be spent.
    pub maturity: u32,
}

impl Params {
    /// Bitcoin Core's regtest.
    pub const REGTEST: Self = Self {
        subsidy: 5_000_000_000,
        halving: 150,
        maturity: 100,
    };
}

/// An unspent output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// Its value.
    pub value: u64,
    /// Its script.
    pub script: Vec<u8>,
    /// The height it was made at.
    pub height: u32,
    /// Whether a coinbase made it.
    pub coinbase: bool,
}

/// All unspent outputs.
pub type Coins = HashMap<(Hash, u32), Coin>;

/// A known header.
struct Node {
    header: Header,
    height: u32,
    body: Option<Rc<Body>>,
    /// When its body came.
    arrived: u64,
    /// When all bodies up to its own were there.
    linked: Option<u64>,
    /// The rule that it, or `ancestor` if an ancestor, breaks.
    bad: Option<&'static str>,
    /// What it spent when it was connected.
    spent: Option<Vec<Coin>>,
}

/// What became of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are not a block.
    Undecodable,
    /// It was taken, or known.
    Accepted,
    /// It was refused, by the rule of this name.
    Refused(&'static str),
}

/// The judge.
pub struct Model {
    params: Params,
    nodes: HashMap<Hash, Node>,
    active: Vec<Hash>,
    coins: Coins,
    clock: u64,
    /// Blocks that the last step took out of the active chain.
    pub disconnected: usize,
}

impl Model {
    /// A chain of its first block.
    ///
    /// # Panics
    /// Where the bytes are not a block.
    pub fn new(genesis: &[u8], params: Params) -> Self {
        let body = bytes::block(genesis).expect("the first block is a block");
        let hash = body.header.hash;
        let mut coins = Coins::new();
        rules::add_coins(&mut coins, &body.txs[0], 0, true);
        let node = Node {
            header: body.header,
            height: 0,
            body: Some(Rc::new(body)),
            arrived: 0,
            linked: Some(0),
            bad: None,
            spent: Some(Vec::new()),
        };
        Self {
            params,
            nodes: HashMap::from([(hash, node)]),
            active: vec![hash],
            coins,
            clock: 0,
            disconnected: 0,
        }
    }

    /// The active chain from the first block.
    pub fn active(&self) -> &[Hash] {
        &self.active
    }

    /// The end of the active chain.
    pub fn tip(&self) -> Hash {
        self.active[self.active.len() - 1]
    }

    /// The coins at the tip.
    pub const fn coins(&self) -> &Coins {
        &self.coins
    }

    /// What a connected block spent, in block order.
    pub fn spent(&self, hash: &Hash) -> &[Coin] {
        self.nodes
            .get(hash)
            .and_then(|node| node.spent.as_deref())
            .unwrap_or_default()
    }

    /// Takes a header.
    pub fn header(&mut self, raw: &[u8], now: u64) -> Verdict {
        let header = bytes::header(raw);
        match self.know(header, now) {
            Ok(()) => Verdict::Accepted,
            Err(rule) => Verdict::Refused(rule),
        }
    }

    fn know(&mut self, header: Header, now: u64) -> Result<(), &'static str> {
        if let Some(node) = self.nodes.get(&header.hash) {
            return node.bad.map_or(Ok(()), Err);
        }
        let parent = self.nodes.get(&header.parent).ok_or("UnknownParent")?;
        if parent.bad.is_some() {
            return Err("InvalidParent");
        }
        let height = parent.height + 1;
        rules::header(&header, self.median(&header.parent), now)?;
        let node = Node {
            header,
            height,
            body: None,
            arrived: 0,
            linked: None,
            bad: None,
            spent: None,
        };
        self.nodes.insert(header.hash, node);
        Ok(())
    }

    /// Takes a block.
    pub fn block(&mut self, raw: &[u8], signed: &HashSet<Txid>, now: u64) -> Verdict {
        self.disconnected = 0;
        let Some(body) = bytes::block(raw) else {
            return Verdict::Undecodable;
        };
        match self.take(body, signed, now) {
            Ok(()) => Verdict::Accepted,
            Err(rule) => Verdict::Refused(rule),
        }
    }

    fn take(&mut self, body: Body, signed: &HashSet<Txid>, now: u64) -> Result<(), &'static str> {
        let hash = body.header.hash;
        self.know(body.header, now)?;
        if self.nodes[&hash].body.is_some() {
            return Ok(());
        }
        rules::body_matches_header(&body)?;
        let (height, median) = (self.nodes[&hash].height, self.median(&body.header.parent));
        if let Err(rule) = rules::block(&body, height, median) {
            self.condemn(hash, rule);
            return Err(rule);
        }
        self.clock += 1;
        let node = self.nodes.get_mut(&hash).expect("the header is known");
        (node.body, node.arrived) = (Some(Rc::new(body)), self.clock);
        self.link(hash);
        self.activate(signed);
        self.nodes[&hash].bad.map_or(Ok(()), Err)
    }

    /// The median time of a block and the ten before it.
    fn median(&self, hash: &Hash) -> u32 {
        let mut times = Vec::new();
        let mut at = self.nodes.get(hash);
        while let Some(node) = at.filter(|_| times.len() < 11) {
            times.push(node.header.time);
            at = self.nodes.get(&node.header.parent);
        }
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// A block and its descendants can never be in the chain.
    fn condemn(&mut self, hash: Hash, rule: &'static str) {
        let mut queue = vec![(hash, rule)];
        while let Some((hash, rule)) = queue.pop() {
            self.nodes.get_mut(&hash).expect("the header is known").bad = Some(rule);
            let children = self
                .nodes
                .iter()
                .filter(|(_, node)| node.header.parent == hash);
            queue.extend(children.map(|(child, _)| (*child, "InvalidParent")));
        }
    }

    /// Notes which blocks have all their bodies now; level by level, in the order in which the bodies came (Bitcoin Core,
    /// `ReceivedBlockTransactions`).
    fn link(&mut self, hash: Hash) {
        let mut queue = VecDeque::from([hash]);
        while let Some(hash) = queue.pop_front() {
            let node = &self.nodes[&hash];
            if node.body.is_none() || self.nodes[&node.header.parent].linked.is_none() {
                continue;
            }
            self.clock += 1;
            self.nodes
                .get_mut(&hash)
                .expect("the header is known")
                .linked = Some(self.clock);
            let mut children: Vec<(u64, Hash)> = self
                .nodes
                .iter()
                .filter(|(_, node)| node.header.parent == hash && node.body.is_some())
                .map(|(child, node)| (node.arrived, *child))
                .collect();
            children.sort_unstable();
            queue.extend(children.into_iter().map(|(_, child)| child));
        }
    }

    /// Goes over to the longest chain; of equals, to the one that was whole first. All targets are equal, so length is work.
    fn activate(&mut self, signed: &HashSet<Txid>) {
        let before = self.active.clone();
        loop {
            let height = self.nodes[&self.tip()].height;
            let best = self
                .nodes
                .iter()
                .filter(|(_, node)| node.height > height && node.bad.is_none())
                .filter_map(|(hash, node)| Some((node.height, u64::MAX - node.linked?, *hash)))
                .max();
            let Some((.., best)) = best else {
                break;
            };
            if let Err((bad, rule)) = self.go_to(best, signed) {
                self.condemn(bad, rule);
                self.go_to(before[before.len() - 1], signed)
                    .expect("the old chain was connected before");
            }
        }
        let shared = before
            .iter()
            .zip(&self.active)
            .take_while(|(old, new)| old == new)
            .count();
        self.disconnected = before.len() - shared;
    }

    /// Makes `tip` the end of the active chain: by one more block if that is all, else from the first block.
    fn go_to(&mut self, tip: Hash, signed: &HashSet<Txid>) -> Result<(), (Hash, &'static str)> {
        if self.nodes[&tip].header.parent == self.tip() {
            return self.connect(tip, signed);
        }
        let mut path = vec![tip];
        while let Some(node) = self
            .nodes
            .get(&self.nodes[&path[path.len() - 1]].header.parent)
        {
            path.push(node.header.hash);
        }
        let genesis = path.pop().expect("every path begins with the first block");
        let first = self.nodes[&genesis]
            .body
            .clone()
            .expect("the first block has its body");
        self.active = vec![genesis];
        self.coins.clear();
        rules::add_coins(&mut self.coins, &first.txs[0], 0, true);
        path.into_iter()
            .rev()
            .try_for_each(|hash| self.connect(hash, signed))
    }

    /// Appends one block. Where it breaks a rule, the coins are as if it had not been tried.
    fn connect(&mut self, hash: Hash, signed: &HashSet<Txid>) -> Result<(), (Hash, &'static str)> {
        let node = &self.nodes[&hash];
        let body = node.body.clone().expect("a chain that is tried is whole");
        let height = node.height;
        if node.spent.is_some() {
            // It was connected before, after the same blocks: it is valid.
            rules::fold(&mut self.coins, &body, height);
        } else {
            let medians: Vec<u32> = self.medians_of(&body);
            let place = rules::Place {
                height,
                medians: &medians,
                params: self.params,
            };
            let spent = rules::connect(&mut self.coins, &body, &place, signed)
                .map_err(|rule| (hash, rule))?;
            self.nodes
                .get_mut(&hash)
                .expect("the header is known")
                .spent = Some(spent);
        }
        self.active.push(hash);
        Ok(())
    }

    /// The median time of each active block; computed only where a relative lock may ask for it.
    fn medians_of(&self, body: &Body) -> Vec<u32> {
        let tip = self.active.len() - 1;
        let asks = body
            .txs
            .iter()
            .flat_map(|tx| &tx.inputs)
            .any(|input| input.sequence & 1 << 22 != 0);
        self.active
            .iter()
            .enumerate()
            .map(|(height, hash)| {
                if asks || height == tip {
                    self.median(hash)
                } else {
                    0
                }
            })
            .collect()
    }
}
