//! What a seed stands for: hosts, links, and what goes wrong when.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Milliseconds of a second.
pub const SECOND: u64 = 1_000;
/// Nothing new goes wrong after this, and nothing stays wrong.
pub const CALM: u64 = 300 * SECOND;
/// Blocks are found up to this time.
pub const LAST_BLOCKS: u64 = 320 * SECOND;
/// One more block decides between tips of equal work.
pub const DECIDER: u64 = 480 * SECOND;
/// By then there is one tip. Peers that were silent are given up for a minute, and again for two; that much is allowed.
pub const END: u64 = 720 * SECOND;

/// A source of chance, the same on every machine.
pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to `end` − 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Time until the next of events that come `mean` apart on average.
    pub fn wait(&mut self, mean: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        // A chain of blocks differs by milliseconds at most where the logarithm's last bit does: rounded, it is the same everywhere.
        (-libm::log(1.0 - unit) * mean as f64).round() as u64
    }
}

/// How a host behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Greets, and answers nothing else.
    Silent,
    /// Announces blocks by header and sends no body.
    Withholds,
    /// Sends bodies that are not those of their headers.
    Mutates,
    /// Claims twice the work that it has.
    Boasts,
    /// Claims much, and answers with headers that it has just made up.
    Floods,
}

/// What goes wrong, or right again.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Only hosts of the same side reach each other.
    Split(Vec<bool>),
    Heal,
    /// The process is gone; with its disk or without.
    Crash {
        host: usize,
        keeps_disk: bool,
    },
    Start(usize),
    /// A host's clock is wrong by so many seconds.
    Clock {
        host: usize,
        error: i64,
    },
}

/// One simulated network.
pub struct Plan {
    pub manners: Vec<Manner>,
    /// Hash shares, not normed.
    pub shares: Vec<u64>,
    /// Pairs of hosts with a link: latency, rate, loss.
    pub links: Vec<([usize; 2], u64, u64, u64)>,
    /// By time.
    pub faults: Vec<(u64, Fault)>,
    /// Blocks that all but the late hosts have from the start.
    pub history: u64,
    /// Mean time between blocks.
    pub spacing: u64,
}

impl Plan {
    /// The network of a seed; `hosts` of it, or as many as the seed says.
    pub fn new(chance: &mut Chance, hosts: Option<usize>) -> Self {
        let count = hosts.unwrap_or_else(|| match chance.below(20) {
            0 => chance.between(21, 40) as usize,
            _ => chance.between(5, 20) as usize,
        });
        let manners: Vec<_> = (0..count)
            .map(|host| match chance.below(24) {
                // There are at least four honest hosts.
                _ if host < 4 => Manner::Honest,
                0 => Manner::Silent,
                1 => Manner::Withholds,
                2 => Manner::Mutates,
                3 => Manner::Boasts,
                4 => Manner::Floods,
                _ => Manner::Honest,
            })
            .collect();
        let shares = (0..count).map(|_| chance.below(10).pow(2)).collect();
        let mut plan = Self {
            links: links(chance, &manners),
            manners,
            shares,
            faults: Vec::new(),
            history: match chance.below(8) {
                0 => chance.between(2_001, 4_500),
                1..4 => chance.between(100, 600),
                _ => chance.below(20),
            },
            spacing: chance.between(2, 12) * SECOND,
        };
        plan.add_faults(chance);
        plan
    }

    fn add_faults(&mut self, chance: &mut Chance) {
        let count = self.manners.len() as u64;
        for _ in 0..chance.below(3) {
            let side = chance.between(2, 4);
            let sides = (0..count).map(|_| chance.one_in(side)).collect();
            let from = chance.between(20 * SECOND, CALM - 60 * SECOND);
            self.faults.push((from, Fault::Split(sides)));
            let until = chance.between(from + SECOND, CALM);
            self.faults.push((until, Fault::Heal));
        }
        for host in 0..count as usize {
            if chance.one_in(4) {
                let from = chance.between(5 * SECOND, CALM - 60 * SECOND);
                let keeps_disk = !chance.one_in(3);
                self.faults.push((from, Fault::Crash { host, keeps_disk }));
                let until = chance.between(from + 100, CALM);
                self.faults.push((until, Fault::Start(host)));
            }
            if chance.one_in(8) {
                let from = chance.between(1, CALM - 60 * SECOND);
                // Blocks that are dated further ahead than the drift are rightly refused for hours.
                let error = chance.between(0, 17_000) as i64 - 10_000;
                self.faults.push((from, Fault::Clock { host, error }));
                let until = chance.between(from, CALM);
                self.faults.push((until, Fault::Clock { host, error: 0 }));
            }
        }
        // Later ones of the same moment stay behind earlier ones.
        self.faults.sort_by_key(|(time, _)| *time);
    }
}

/// A ring of the honest hosts, chords between any, so that honest ones reach each other over honest ones.
fn links(chance: &mut Chance, manners: &[Manner]) -> Vec<([usize; 2], u64, u64, u64)> {
    let honest: Vec<usize> = (0..manners.len())
        .filter(|host| manners[*host] == Manner::Honest)
        .collect();
    let next = honest.iter().cycle().skip(1);
    let mut pairs: Vec<[usize; 2]> = honest.iter().zip(next).map(|(a, b)| [*a, *b]).collect();
    let chords = manners.len() as u64 * chance.between(1, 3);
    for _ in 0..chords {
        let count = manners.len() as u64;
        pairs.push([chance.below(count) as usize, chance.below(count) as usize]);
    }
    for pair in &mut pairs {
        pair.sort_unstable();
    }
    pairs.retain(|pair| pair[0] != pair[1]);
    pairs.sort_unstable();
    pairs.dedup();
    pairs
        .into_iter()
        .map(|pair| {
            let latency = match chance.below(4) {
                0 => chance.between(100, 500),
                _ => chance.between(1, 80),
            };
            let rate = match chance.below(4) {
                0 => chance.between(100, 1_000),
                _ => chance.between(1_000, 100_000),
            };
            let loss = match chance.below(4) {
                0 => chance.between(1, 100),
                _ => 0,
            };
            (pair, latency, rate, loss)
        })
        .collect()
}
