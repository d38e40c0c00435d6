//! A chain of headers made in virtual time, under the product's own rules.
//!
//! Only the miners and the clock are invented. Which target a header must have is `required_bits`, whether it is valid
//! `check_header_in_parent_context`. What is left out: proof of work itself (blocks come as a Poisson process with the rate that
//! hash rate and target give), propagation (a block is everywhere at once, so there are no forks), and bodies.

use std::collections::VecDeque;

use quarry::consensus::{
    BLOCK_VERSION, ChainSpec, MEDIAN_TIME_SPAN, ParentContext, RuleError,
    check_header_in_parent_context, median_time, required_bits,
};
use quarry::primitives::{BlockHeader, CompactTarget, MerkleRoot};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Which time a miner puts into its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dating {
    /// The product's: the true time, or one second after the median of eleven where that is later (`miner::template`).
    True,
    /// As late as nodes take it: the true time and the drift.
    Late,
    /// As early as the rules allow: one second after the median of eleven.
    Early,
    /// The easiest target that any allowed time gives, and of the times that give it the earliest: it takes an eased target as soon
    /// as a late date reaches one, and else leaves the chain's clock behind, so that the next one is eased sooner.
    Sly,
}

/// What a miner sees when it decides how much to mine.
pub struct View {
    /// Seconds since the simulation began.
    pub elapsed: f64,
    /// The hashes that a block costs that is not overdue.
    pub cost: f64,
}

/// Hashes a second, asked for again every second and after every block.
pub type Rate = Box<dyn FnMut(&View) -> f64>;

/// Miners that act alike.
pub struct Miners {
    pub dating: Dating,
    pub rate: Rate,
    /// What they have hashed.
    pub hashes: f64,
    /// The blocks that they could expect to find: as many as they found, without the luck.
    pub expected: f64,
    /// Blocks that their own node did not take, because the time was too far ahead.
    pub refused: u64,
}

impl Miners {
    pub fn new(dating: Dating, rate: impl FnMut(&View) -> f64 + 'static) -> Self {
        Self {
            dating,
            rate: Box::new(rate),
            hashes: 0.0,
            expected: 0.0,
            refused: 0,
        }
    }

    /// Miners whose hash rate never changes.
    pub fn steady(dating: Dating, rate: f64) -> Self {
        Self::new(dating, move |_| rate)
    }
}

/// A block, and what was so when it was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// True time, in seconds since the simulation began.
    pub at: f64,
    /// True time since the block before.
    pub interval: f64,
    /// Whose it is.
    pub by: usize,
    /// The hashes that its target asked for.
    pub cost: f64,
    /// The hashes that its target would have asked for without easing.
    pub base_cost: f64,
    /// The hash rate of all at that time.
    pub rate: f64,
    pub header: BlockHeader,
}

/// A network that mines one chain.
pub struct Simulation {
    spec: ChainSpec,
    random: ChaCha8Rng,
    parent: ParentContext,
    /// Times of the last blocks, for the median.
    times: VecDeque<u32>,
    elapsed: f64,
    /// When the last block was found.
    found_at: f64,
    start: u64,
    solve: bool,
    parents_time: bool,
    /// The last target whose cost was asked for.
    cost: (CompactTarget, f64),
    pub miners: Vec<Miners>,
    pub blocks: Vec<Found>,
    /// The hash rate of all, from when on.
    pub rates: Vec<(f64, f64)>,
}

impl Simulation {
    /// A chain that has its first block only, which was made at this moment.
    pub fn new(spec: ChainSpec, seed: u64, miners: Vec<Miners>) -> Self {
        let genesis = spec.genesis_block().header;
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            parent: ParentContext {
                hash: genesis.hash(),
                height: 0,
                latest_time: genesis.time,
                base: genesis.bits,
                latest_time_before: None,
                median_time_past: genesis.time,
            },
            times: VecDeque::from([genesis.time]),
            elapsed: 0.0,
            found_at: 0.0,
            start: genesis.time.into(),
            solve: false,
            parents_time: false,
            cost: (genesis.bits, cost_of(genesis.bits)),
            miners,
            blocks: Vec::new(),
            rates: Vec::new(),
            spec,
        }
    }

    /// Begins with blocks that cost `hashes`, instead of the easiest.
    pub fn at_cost(mut self, hashes: f64) -> Self {
        const ONE: f64 = (1_u64 << 40) as f64;
        let factor = (cost_of(self.spec.pow_limit) / hashes * ONE) as u64;
        let limit = self.spec.pow_limit_target();
        self.parent.base = limit.scale(factor, 40, limit).to_compact();
        self
    }

    /// Finds a nonce for every header, so that the chain's engine takes them.
    pub fn solving(mut self) -> Self {
        self.solve = true;
        self
    }

    /// Measures time from the parent's own time instead of the chain's clock: the rule that decision 5 replaced.
    pub fn on_parents_time(mut self) -> Self {
        self.parents_time = true;
        self
    }

    pub const fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    pub const fn elapsed(&self) -> f64 {
        self.elapsed
    }

    /// Counts hashes, expected and refused blocks from now on.
    pub fn count_anew(&mut self) {
        for miners in &mut self.miners {
            (miners.hashes, miners.expected, miners.refused) = (0.0, 0.0, 0);
        }
    }

    /// The same chain with other miners, who know nothing of what this one finds from now on.
    pub fn fork(&self, seed: u64, miners: Vec<Miners>) -> Self {
        Self {
            spec: self.spec.clone(),
            random: ChaCha8Rng::seed_from_u64(seed),
            times: self.times.clone(),
            miners,
            blocks: Vec::new(),
            rates: Vec::new(),
            ..*self
        }
    }

    /// Mines until `end`, in seconds since the simulation began.
    pub fn run_until(&mut self, end: f64) {
        while self.elapsed < end {
            self.mine(end);
        }
    }

    /// Goes on to the next block that somebody finds, at most to `end`.
    ///
    /// Within one second of the true time no date and so no target changes, and hash rates are asked for once. So the rate of a
    /// Poisson process is constant from one second to the next, and a block comes when its integral reaches an exponential number.
    fn mine(&mut self, end: f64) {
        let mut left = -libm::log(self.uniform());
        while self.elapsed < end {
            let next = (self.elapsed.floor() + 1.0).min(end);
            let span = next - self.elapsed;
            let offers = self.offers();
            let hazard: f64 = offers.iter().map(|offer| offer.hazard).sum();
            let total: f64 = offers.iter().map(|offer| offer.rate).sum();
            if self.rates.last().is_none_or(|(_, last)| *last != total) {
                self.rates.push((self.elapsed, total));
            }
            let waited = if hazard * span >= left {
                left / hazard
            } else {
                span
            };
            for (miners, offer) in self.miners.iter_mut().zip(&offers) {
                miners.hashes += offer.rate * waited;
                miners.expected += offer.hazard * waited;
            }
            if hazard * span < left {
                left -= hazard * span;
                self.elapsed = next;
                continue;
            }
            self.elapsed += waited;
            let mut choice = self.uniform() * hazard;
            let by = offers
                .iter()
                .position(|offer| {
                    choice -= offer.hazard;
                    choice <= 0.0
                })
                // Where rounding made the sum a little larger than its parts.
                .unwrap_or(offers.len() - 1);
            self.found(by, offers[by].time, total);
            return;
        }
    }

    /// What each group works on now, and how often that succeeds.
    fn offers(&mut self) -> Vec<Offer> {
        let base = required_bits(&self.spec, &self.parent, self.parent.latest_time).base;
        let view = View {
            elapsed: self.elapsed,
            cost: self.cost_of(base),
        };
        (0..self.miners.len())
            .map(|index| {
                let rate = (self.miners[index].rate)(&view);
                if rate == 0.0 {
                    return Offer::default();
                }
                let time = self.date(self.miners[index].dating);
                let bits = required_bits(&self.spec, &self.parent, time).bits;
                let hazard = rate / self.cost_of(bits);
                Offer { rate, time, hazard }
            })
            .collect()
    }

    fn date(&self, dating: Dating) -> u32 {
        let earliest = self.parent.median_time_past + 1;
        let now = u32::try_from(self.now()).expect("no simulation lasts until 2106");
        let latest = (now + self.spec.max_future_drift).max(earliest);
        match dating {
            Dating::True => now.max(earliest),
            Dating::Late => latest,
            Dating::Early => earliest,
            Dating::Sly => {
                let bits = |time| required_bits(&self.spec, &self.parent, time).bits;
                let (easiest, mut first, mut last) = (bits(latest), earliest, latest);
                // Targets only get easier with time, so the first time that gives the easiest is found by halving.
                while first < last {
                    let middle = first + (last - first) / 2;
                    if bits(middle) == easiest {
                        last = middle;
                    } else {
                        first = middle + 1;
                    }
                }
                first
            }
        }
    }

    /// Adds a block, as the chain's engine does (`chain::engine::header_record`, `chain::tree::parent_context`).
    fn found(&mut self, by: usize, time: u32, rate: f64) {
        let required = required_bits(&self.spec, &self.parent, time);
        let mut header = BlockHeader {
            version: BLOCK_VERSION,
            prev_block: self.parent.hash,
            merkle_root: MerkleRoot::from_bytes([0; 32]),
            time,
            bits: required.bits,
            nonce: 0,
        };
        match check_header_in_parent_context(&self.spec, &header, &self.parent, self.now()) {
            Ok(()) => {}
            Err(RuleError::TimeTooNew { .. }) => {
                self.miners[by].refused += 1;
                return;
            }
            Err(error) => panic!("the simulation broke a rule: {error}"),
        }
        let target = header.bits.to_target().expect("a required target is one");
        while self.solve && !target.is_met_by(&header.hash()) {
            header.nonce += 1;
        }
        if self.times.len() == MEDIAN_TIME_SPAN {
            self.times.pop_front();
        }
        self.times.push_back(time);
        let (cost, base_cost) = (self.cost_of(required.bits), self.cost_of(required.base));
        self.blocks.push(Found {
            at: self.elapsed,
            interval: self.elapsed - self.found_at,
            by,
            cost,
            base_cost,
            rate,
            header,
        });
        self.found_at = self.elapsed;
        let latest = self.parent.latest_time.max(time);
        self.parent = ParentContext {
            hash: header.hash(),
            height: self.parent.height + 1,
            latest_time: if self.parents_time { time } else { latest },
            base: required.base,
            latest_time_before: Some(self.parent.latest_time),
            median_time_past: median_time(&mut Vec::from(self.times.clone())),
        };
    }

    /// Seconds since 1970, as the nodes' clocks show them.
    fn now(&self) -> u64 {
        self.start + self.elapsed as u64
    }

    fn cost_of(&mut self, bits: CompactTarget) -> f64 {
        if self.cost.0 != bits {
            self.cost = (bits, cost_of(bits));
        }
        self.cost.1
    }

    /// Above 0 and at most 1.
    fn uniform(&mut self) -> f64 {
        ((self.random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Default)]
struct Offer {
    rate: f64,
    time: u32,
    hazard: f64,
}

/// Expected hashes until one meets the target.
pub fn cost_of(bits: CompactTarget) -> f64 {
    bits.to_target()
        .expect("only targets are simulated")
        .work()
        .to_f64()
}
