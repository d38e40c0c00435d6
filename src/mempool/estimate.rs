//! What fee rate gets a transaction into one of the next blocks.
//!
//! The method is Bitcoin Core's (`policy/fees/block_policy_estimator.cpp`), in small: of transactions of about equal rates, which
//! part was in a block within so many blocks? Older blocks count less. Beside it stands what waits now: a backlog that came with
//! the last minute is not in any statistics yet.

use std::collections::HashMap;

use super::pool::Pool;
use crate::primitives::Txid;

/// The longest wait that is told apart, in blocks.
pub const MAX_TARGET: u32 = 48;
/// The rates of the first bucket end here, in base units for 1000 bytes; below it nothing is told apart.
const LOWEST_RATE: f64 = 100.0;
/// By how much each bucket's rates exceed those of the one before.
const SPACING: f64 = 1.1;
/// From the lowest rate to ten million.
const BUCKETS: usize = 122;
/// What is left of a block's weight after the next (Bitcoin Core, `SHORT_DECAY`): half after 18 blocks.
const DECAY: f64 = 0.962;
/// Transactions that say enough about a rate, decayed. Fewer than in Bitcoin Core, since a private network has fewer.
const ENOUGH: f64 = 3.0;
/// The part of them that must have been confirmed in time (Bitcoin Core, `SUCCESS_PCT`).
const SUCCESS: f64 = 0.85;
/// Blocks after which no statistics mean that there was room for everybody.
const WARM_UP: u32 = 10;

/// Transactions of about one rate.
#[derive(Debug, Clone)]
struct Bucket {
    /// Those that were confirmed within 1, 2, … blocks.
    confirmed: Vec<f64>,
    /// All that left the pool, into a block or otherwise.
    left: f64,
    /// The sum of their rates.
    rates: f64,
}

/// A transaction whose wait is measured.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    bucket: usize,
    rate: u64,
    /// The height of the tip when it came.
    height: u32,
}

/// The statistics.
#[derive(Debug)]
pub(super) struct Estimator {
    buckets: Vec<Bucket>,
    waiting: HashMap<Txid, Waiting>,
    height: u32,
    blocks: u32,
}

impl Default for Estimator {
    fn default() -> Self {
        let bucket = Bucket {
            confirmed: vec![0.0; MAX_TARGET as usize],
            left: 0.0,
            rates: 0.0,
        };
        Self {
            buckets: vec![bucket; BUCKETS],
            waiting: HashMap::new(),
            height: 0,
            blocks: 0,
        }
    }
}

impl Estimator {
    /// A transaction that depends on nothing unconfirmed has come; `rate` is in base units for 1000 bytes.
    pub(super) fn arrived(&mut self, txid: Txid, rate: u64, height: u32) {
        let waiting = Waiting {
            bucket: bucket_of(rate),
            rate,
            height,
        };
        self.waiting.insert(txid, waiting);
    }

    /// A block has come; its transactions are told by [`Estimator::confirmed`] after. A height that was seen before, as on the other
    /// branch of a reorganisation, says nothing new.
    pub(super) fn block(&mut self, height: u32) {
        if height <= self.height {
            return;
        }
        (self.height, self.blocks) = (height, self.blocks.saturating_add(1));
        for bucket in &mut self.buckets {
            bucket.left *= DECAY;
            bucket.rates *= DECAY;
            for count in &mut bucket.confirmed {
                *count *= DECAY;
            }
        }
    }

    /// It is in the block at `height`.
    pub(super) fn confirmed(&mut self, txid: &Txid, height: u32) {
        let Some(bucket) = self.leave(txid) else {
            return;
        };
        let blocks = height.saturating_sub(bucket.1).max(1);
        for (within, count) in (1..).zip(&mut self.buckets[bucket.0].confirmed) {
            if within >= blocks {
                *count += 1.0;
            }
        }
    }

    /// It left the pool otherwise. Having waited a block or more in vain, it speaks against its rate.
    pub(super) fn dropped(&mut self, txid: &Txid) {
        match self.waiting.get(txid) {
            Some(waiting) if waiting.height < self.height => {
                self.leave(txid);
            }
            _ => {
                self.waiting.remove(txid);
            }
        }
    }

    /// The bucket of a transaction that leaves, and the height at which it came.
    fn leave(&mut self, txid: &Txid) -> Option<(usize, u32)> {
        let waiting = self.waiting.remove(txid)?;
        let bucket = &mut self.buckets[waiting.bucket];
        bucket.left += 1.0;
        bucket.rates += as_f64(waiting.rate);
        Some((waiting.bucket, waiting.height))
    }

    /// The lowest rate, in base units for 1000 bytes, whose transactions and all that paid more were confirmed within `target`
    /// blocks; 0 where nothing speaks against any rate. `None` while too little was seen.
    fn by_history(&self, target: u32) -> Option<u64> {
        let overdue = self.overdue(target);
        let mut best = None;
        let mut group = (0.0, 0.0, 0.0);
        for (index, bucket) in self.buckets.iter().enumerate().rev() {
            let confirmed = bucket.confirmed[target as usize - 1];
            group.0 += confirmed;
            group.1 += bucket.left + overdue[index];
            group.2 += bucket.rates;
            let (confirmed, all, rates) = group;
            if all < ENOUGH {
                continue;
            }
            if confirmed / all < SUCCESS {
                break;
            }
            // The mean rate of the group; those that are overdue have no part in the sum.
            best = Some(rates / (all - overdue[index]).max(1.0));
            group = (0.0, 0.0, 0.0);
        }
        match best {
            Some(rate) => Some(as_u64(rate)),
            None if self.blocks >= WARM_UP && self.waiting.is_empty() => Some(0),
            None => None,
        }
    }

    /// By bucket, the transactions that have waited longer than `target` blocks.
    fn overdue(&self, target: u32) -> Vec<f64> {
        let mut counts = vec![0.0; BUCKETS];
        for waiting in self.waiting.values() {
            if self.height.saturating_sub(waiting.height) >= target {
                counts[waiting.bucket] += 1.0;
            }
        }
        counts
    }
}

impl Pool {
    /// The fee rate, in base units for 1000 bytes, with which a transaction is expected to be in one of the next `target` blocks
    /// of `max_block_size` bytes; targets beyond [`MAX_TARGET`] count as that. `None` while too little was seen.
    ///
    /// Never less than what the pool asks for, and than the step by which a replacement must pay more: with fees of 0, which are
    /// the default, everything else would lead nowhere.
    pub fn estimate_fee(&self, target: u32, max_block_size: u32, now: u64) -> Option<u64> {
        let target = target.clamp(1, MAX_TARGET);
        let least = self
            .floor_at(now)
            .max(self.policy.min_relay_fee)
            .max(self.policy.incremental_fee);
        let backlog = self.backlog_rate(u64::from(target) * u64::from(max_block_size));
        let history = self.estimator.by_history(target);
        match (history, backlog) {
            (None, None) => None,
            (history, backlog) => Some(history.max(backlog).unwrap_or(0).max(least)),
        }
    }

    /// A rate that is above all of what waits but the best `room` bytes; `None` where all of it fits.
    fn backlog_rate(&self, room: u64) -> Option<u64> {
        if self.total.size <= room {
            return None;
        }
        let mut size = 0;
        for rank in self.for_mining.iter().rev() {
            size += self
                .entries
                .get(&rank.txid)
                .map_or(0, |entry| entry.own.size);
            if size > room {
                let step = self.policy.incremental_fee;
                return Some(rank.rate.per_kilobyte().saturating_add(step));
            }
        }
        None
    }
}

fn bucket_of(rate: u64) -> usize {
    let steps = (as_f64(rate) / LOWEST_RATE).max(f64::MIN_POSITIVE).ln() / SPACING.ln();
    if steps < 0.0 {
        return 0;
    }
    usize::try_from(as_u64(steps)).map_or(BUCKETS - 1, |steps| (steps + 1).min(BUCKETS - 1))
}

/// Rates are far below 2^53, where this is exact.
#[allow(clippy::cast_precision_loss)]
const fn as_f64(rate: u64) -> f64 {
    rate as f64
}

/// Rounded down; never negative here.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
const fn as_u64(rate: f64) -> u64 {
    rate as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txid(number: u32) -> Txid {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Txid::from_bytes(bytes)
    }

    /// Every block ten transactions of each rate come; those of `late` wait that many blocks, others one.
    fn run(blocks: u32, rates: &[u64], late: &dyn Fn(u64) -> u32) -> Estimator {
        let mut estimator = Estimator::default();
        let mut due: Vec<(u32, Txid)> = Vec::new();
        let mut number = 0;
        for height in 1..=blocks {
            estimator.block(height);
            due.retain(|(when, txid)| {
                if *when <= height {
                    estimator.confirmed(txid, height);
                }
                *when > height
            });
            for rate in rates {
                for _ in 0..10 {
                    estimator.arrived(txid(number), *rate, height);
                    due.push((height + late(*rate), txid(number)));
                    number += 1;
                }
            }
        }
        estimator
    }

    #[test]
    fn the_lowest_rate_that_made_it_in_time_is_found() {
        let late = |rate: u64| if rate < 5_000 { 6 } else { 1 };
        let estimator = run(40, &[1_000, 2_000, 5_000, 20_000], &late);
        assert_eq!(estimator.by_history(1), Some(5_000));
        assert_eq!(estimator.by_history(5), Some(5_000));
        let patient = estimator.by_history(7).unwrap();
        assert!(patient <= 1_000, "{patient}");
    }

    // Useful from the tenth block on: also where nobody sends anything.
    #[test]
    fn little_is_needed_to_know_something() {
        let mut estimator = Estimator::default();
        assert_eq!(estimator.by_history(1), None);
        for height in 1..=WARM_UP {
            estimator.block(height);
        }
        assert_eq!(estimator.by_history(1), Some(0));
        assert_eq!(run(10, &[3_000], &|_| 1).by_history(2), Some(3_000));
    }

    #[test]
    fn what_waits_in_vain_speaks_against_its_rate() {
        let never = |rate: u64| if rate < 5_000 { 1_000 } else { 1 };
        let estimator = run(30, &[1_000, 9_000], &never);
        assert_eq!(estimator.by_history(MAX_TARGET / 2), Some(9_000));
    }

    #[test]
    fn a_reorganisation_is_not_counted_twice() {
        let mut estimator = run(12, &[1_000], &|_| 1);
        let before = estimator.buckets[bucket_of(1_000)].left;
        estimator.block(11);
        estimator.block(12);
        assert!((estimator.buckets[bucket_of(1_000)].left - before).abs() < 1e-9);
    }

    #[test]
    fn every_rate_has_a_bucket() {
        let rates = [0, 1, 99, 100, 109, 110, 1_000, 9_999_999, u64::MAX];
        let places: Vec<usize> = rates.iter().map(|rate| bucket_of(*rate)).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!((places[0], places[8]), (0, BUCKETS - 1));
        assert_ne!(bucket_of(1_000), bucket_of(1_200));
    }
}
