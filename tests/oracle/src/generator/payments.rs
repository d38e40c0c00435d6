//! Making valid blocks: coinbases, payments with all kinds of locks, chains inside a block.

use std::rc::Rc;

use quarry::primitives::{Block, BlockHash, COIN, Encode, OutPoint, Transaction};

use super::{Generator, Made};
use crate::forge::{FINAL, Payment, finish};
use crate::mutations::subsidy;
use crate::view::{MATURITY, Owned, Spend, View};

impl Generator {
    /// A valid block after the view, which moves on to it. Some of the payments in `reuse` are made again, as after a reorg.
    pub(super) fn make(&mut self, view: &mut View, reuse: &[Spend]) -> BlockHash {
        let before = view.clone();
        let height = view.height + 1;
        let median = view.median();
        let last = view.times[view.times.len() - 1];
        let time = match self.rng.below(10) {
            0 => median + 1,
            1..=2 => last.saturating_sub(60).max(median + 1),
            _ => (last + 1 + self.rng.below(1200) as u32).max(median + 1),
        };
        // The first block is of 2011; the chain goes on in 2023, long before any clock that judges it.
        let time = if height == 1 { 1_700_000_000 } else { time };
        let mut payments: Vec<Spend> = Vec::new();
        let mut fees = 0;
        let wanted = if height <= MATURITY {
            0
        } else {
            self.rng.below(2 * self.shape.payments + 1)
        };
        for spend in reuse {
            if self.rng.chance(70) && may_spend_again(view, spend, median) {
                fees += self.apply(view, spend, height, median);
                payments.push(spend.clone());
            }
        }
        while payments.len() < wanted {
            let Some(payment) = self.payment(view, median) else {
                break;
            };
            let spend = self.forge.pay(&payment);
            fees += self.apply(view, &spend, height, median);
            payments.push(spend);
        }
        let coinbase = self.coinbase(height, fees);
        self.own(view, &coinbase, height, true, median);
        let mut transactions = vec![coinbase];
        transactions.extend(payments.iter().map(|(tx, _)| tx.clone()));
        let mut block = self.forge.block(&before, time, transactions);
        finish(&mut block);
        self.keep(&before, view, &block, payments)
    }

    /// Remembers a block and moves the view on to it.
    pub(super) fn keep(
        &mut self,
        before: &View,
        view: &mut View,
        block: &Block,
        payments: Vec<Spend>,
    ) -> BlockHash {
        let hash = block.hash();
        let height = before.height + 1;
        let created = self.created(block, height, before.median());
        let spent = payments
            .iter()
            .flat_map(|(_, coins)| coins.iter().map(|coin| coin.outpoint))
            .collect();
        let made = Made {
            raw: block.to_bytes(),
            parent: before.tip,
            height,
            time: block.header.time,
            created,
            spent,
            payments,
            counted: false,
        };
        self.made.insert(hash, Rc::new(made));
        self.order.push(hash);
        (view.tip, view.height) = (hash, height);
        view.times.push(block.header.time);
        let old = view.times.len().saturating_sub(11);
        view.times.drain(..old);
        hash
    }

    pub(super) fn created(&self, block: &Block, height: u32, median: u32) -> Vec<Owned> {
        let mut view = View {
            tip: BlockHash::ZERO,
            height,
            times: vec![median],
            coins: Vec::new(),
        };
        for (index, tx) in block.transactions.iter().enumerate() {
            self.own(&mut view, tx, height, index == 0, median);
        }
        view.coins
    }

    pub(super) fn coinbase(&mut self, height: u32, fees: u64) -> Transaction {
        let allowed = subsidy(height) + fees;
        let claimed = match self.rng.below(20) {
            0 => 0,
            1 => self.rng.between(0, allowed),
            _ => allowed,
        };
        let key = self.rng.below(crate::forge::KEYS);
        let outputs = if self.rng.chance(10) {
            vec![(key, claimed / 2), (0, claimed - claimed / 2)]
        } else {
            vec![(key, claimed)]
        };
        self.forge.coinbase(height, &outputs)
    }

    /// Takes a payment's coins out of the view and puts its outputs in. Returns its fee.
    pub(super) fn apply(&self, view: &mut View, spend: &Spend, height: u32, median: u32) -> u64 {
        let (tx, coins) = spend;
        view.coins
            .retain(|coin| coins.iter().all(|gone| gone.outpoint != coin.outpoint));
        self.own(view, tx, height, false, median);
        let value_in: u64 = coins.iter().map(|coin| coin.value).sum();
        value_in - tx.outputs.iter().map(|output| output.value.0).sum::<u64>()
    }

    pub(super) fn own(
        &self,
        view: &mut View,
        tx: &Transaction,
        height: u32,
        coinbase: bool,
        median: u32,
    ) {
        let txid = tx.txid();
        for (vout, output) in (0..).zip(&tx.outputs) {
            let key = self
                .forge
                .keys
                .iter()
                .position(|key| key.script == output.script_pubkey);
            if let Some(key) = key {
                view.coins.push(Owned {
                    outpoint: OutPoint { txid, vout },
                    value: output.value.0,
                    key,
                    height,
                    coinbase,
                    median_before: median,
                });
            }
        }
    }

    /// A random valid payment for the next block; mostly one input and two outputs, so that signatures stay affordable.
    pub(super) fn payment(&mut self, view: &View, median: u32) -> Option<Payment> {
        let height = view.height + 1;
        let many = view.coins.len() > 400;
        let inputs = match self.rng.below(20) {
            0 => 2 + self.rng.below(8),
            1..=2 => 2,
            3..=7 if many => 3,
            _ => 1,
        };
        let version = if self.rng.chance(50) { 2 } else { 1 };
        let mut chosen: Vec<(Owned, u32)> = Vec::new();
        for _ in 0..3 * inputs {
            // A quarter comes from the newest coins, so that chains inside the block grow.
            let count = view.coins.len();
            let from = if self.rng.chance(25) {
                count.saturating_sub(12)
            } else {
                0
            };
            let coin = *view
                .coins
                .get(from + self.rng.below(count.checked_sub(from).filter(|n| *n > 0)?))?;
            let fresh = chosen
                .iter()
                .all(|(other, _)| other.outpoint != coin.outpoint);
            if fresh && view.is_mature(&coin) && chosen.len() < inputs {
                let sequence = self.sequence(&coin, version, height, median);
                chosen.push((coin, sequence));
            }
        }
        if chosen.is_empty() {
            return None;
        }
        let total: u64 = chosen.iter().map(|(coin, _)| coin.value).sum();
        let fee = self.rng.between(0, total.min(10_000));
        let outputs = self.outputs(total - fee, view.coins.len());
        let lock_time = self.lock_time(&mut chosen, height, median);
        Some(Payment {
            version,
            lock_time,
            inputs: chosen,
            outputs,
        })
    }

    /// A relative lock that has passed, often by nothing, or one that version 1 ignores.
    fn sequence(&mut self, coin: &Owned, version: i32, height: u32, median: u32) -> u32 {
        if self.rng.chance(70) {
            return FINAL;
        }
        let blocks = (height - coin.height).min(0xffff);
        let units = (median.saturating_sub(coin.median_before) / 512).min(0xffff);
        match (self.rng.below(5), version) {
            (0, _) => blocks,
            (1, _) => units | 1 << 22,
            (2, _) => self.rng.below(blocks as usize + 1) as u32,
            (3, 1) => (blocks + 10).min(0xffff),
            // Bits that mean nothing, and the one that switches the lock off.
            _ => self.rng.word() | 1 << 31,
        }
    }

    /// A lock time that has passed, often by one, or one that final inputs switch off.
    fn lock_time(&mut self, inputs: &mut [(Owned, u32)], height: u32, median: u32) -> u32 {
        match self.rng.below(10) {
            0 => height - 1,
            1 => median - 1,
            2 => self.rng.below(height as usize) as u32,
            3 => {
                for input in inputs {
                    input.1 = FINAL;
                }
                self.rng.word()
            }
            _ => 0,
        }
    }

    fn outputs(&mut self, total: u64, coins: usize) -> Vec<(usize, u64)> {
        let count = match (self.rng.below(20), coins) {
            (_, 0..60) => 8,
            (0, 0..600) => 3 + self.rng.below(20),
            (1..=9, 0..400) => 2,
            _ => 1 + self.rng.below(2),
        };
        let mut left = total;
        (1..=count)
            .map(|place| {
                let value = if place == count {
                    left
                } else if self.rng.chance(2) {
                    0
                } else {
                    self.rng
                        .between(0, left / (count - place + 1) as u64 * 2)
                        .min(left)
                        .min(50 * COIN)
                };
                left -= value;
                (self.rng.below(crate::forge::KEYS), value)
            })
            .collect()
    }
}

/// Whether a payment that was valid elsewhere is valid in the next block of the view.
fn may_spend_again(view: &View, spend: &Spend, median: u32) -> bool {
    let (tx, coins) = spend;
    let height = view.height + 1;
    let reached = if tx.lock_time < 500_000_000 {
        height
    } else {
        median
    };
    let unlocked = tx.lock_time < reached || tx.inputs.iter().all(|input| input.sequence == FINAL);
    let here = |wanted: &Owned| {
        view.coins
            .iter()
            .find(|coin| coin.outpoint == wanted.outpoint)
            .copied()
    };
    unlocked
        && coins.iter().zip(&tx.inputs).all(|(coin, input)| {
            let Some(coin) = here(coin) else {
                return false;
            };
            let lock = input.sequence & 0xffff;
            let passed = if tx.version < 2 || input.sequence >> 31 == 1 {
                true
            } else if input.sequence & 1 << 22 == 0 {
                height >= coin.height + lock
            } else {
                median >= coin.median_before + 512 * lock
            };
            view.is_mature(&coin) && passed
        })
}
