//! Seeded random chains. Equal seeds make equal bytes: block times are counted from a fixed day, not from now.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use quarry::primitives::{Block, BlockHash, COIN, Decode, Encode, OutPoint, Transaction};

use crate::forge::{FINAL, Forge, Payment, finish};
use crate::mutations::{self, Bench, Core, Draft, How, Mutation, Stage, subsidy};
use crate::rng::Rng;
use crate::tally::Tally;
use crate::trial::{Divergence, Trial, Verdict};
use crate::view::{MATURITY, Owned, Spend, View};

/// What a run's chains are like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Steps of a chain after its first spendable coin.
    pub steps: usize,
    /// Payments in a block, on average.
    pub payments: usize,
    /// How many blocks a fork may go back.
    pub depth: usize,
}

impl Shape {
    /// Chains of a few hundred blocks: regtest's kernel looks at all of them at every block.
    pub const DEFAULT: Self = Self {
        steps: 200,
        payments: 10,
        depth: 30,
    };
}

/// A block that was made.
struct Made {
    raw: Vec<u8>,
    parent: BlockHash,
    height: u32,
    time: u32,
    created: Vec<Owned>,
    spent: Vec<OutPoint>,
    payments: Vec<Spend>,
    /// All judges took it.
    counted: bool,
}

/// One chain and whoever makes it.
pub struct Generator {
    /// Keys and signatures.
    pub forge: Forge,
    /// The judges.
    pub trial: Trial,
    rng: Rng,
    shape: Shape,
    made: HashMap<BlockHash, Rc<Made>>,
    order: Vec<BlockHash>,
    genesis: View,
    view: View,
    faults: Vec<Mutation>,
}

impl Generator {
    /// Chain `number` of the run with this seed.
    pub fn new(seed: u64, number: u64, shape: Shape) -> Self {
        let genesis = quarry::consensus::ChainSpec::regtest().genesis_block();
        let view = View {
            tip: genesis.hash(),
            height: 0,
            times: vec![genesis.header.time],
            coins: Vec::new(),
        };
        let faults = mutations::all()
            .into_iter()
            .filter(|fault| matches!(fault.how, How::Block(..)))
            .collect();
        Self {
            forge: Forge::new(),
            // Every eighth chain keeps the kernel on disk too, so that both are closed and opened.
            trial: Trial::regtest(number.is_multiple_of(8)),
            rng: Rng::new(seed, number),
            shape,
            made: HashMap::new(),
            order: Vec::new(),
            genesis: view.clone(),
            view,
            faults,
        }
    }

    /// A chain with a few coins that can be spent, for a test that goes on from there.
    ///
    /// # Panics
    /// With a divergence.
    pub fn ready(seed: u64) -> Self {
        let mut chain = Self::new(seed, 1, Shape::DEFAULT);
        chain
            .grow(MATURITY as usize + 5)
            .expect("an honest chain is agreed on");
        chain
    }

    /// A block after the active tip with one payment, changed and then finished.
    ///
    /// # Panics
    /// Where too few coins can be spent.
    pub fn block_with(&mut self, change: impl FnOnce(&mut Draft, &mut Bench<'_>)) -> Vec<u8> {
        let view = self.current();
        self.block_after(&view, change)
    }

    /// The same after another block.
    ///
    /// # Panics
    /// Where too few coins can be spent.
    pub fn block_after(
        &mut self,
        view: &View,
        change: impl FnOnce(&mut Draft, &mut Bench<'_>),
    ) -> Vec<u8> {
        let made = mutations::draft(&mut self.forge, view, &mut self.rng);
        let (mut draft, mut bench) = made.expect("the chain has coins to spend");
        change(&mut draft, &mut bench);
        let block = self.adopt(view, draft);
        block.to_bytes()
    }

    /// Finishes a block and remembers it, so that others can follow it; its coins are left alone.
    fn adopt(&mut self, view: &View, draft: Draft) -> Block {
        let raw = draft.into_bytes();
        let block = Block::from_bytes(&raw).expect("a block that was just encoded");
        let made = Made {
            raw,
            parent: view.tip,
            height: view.height + 1,
            time: block.header.time,
            created: Vec::new(),
            spent: block
                .transactions
                .iter()
                .flat_map(|tx| &tx.inputs)
                .map(|input| input.previous_output)
                .collect(),
            payments: Vec::new(),
            counted: false,
        };
        self.made.insert(block.hash(), Rc::new(made));
        block
    }

    /// Feeds bytes to all judges.
    ///
    /// # Errors
    /// A divergence.
    pub fn submit(&mut self, raw: &[u8]) -> Result<Verdict, Divergence> {
        self.trial.block(raw.to_vec(), &self.forge.signed)
    }

    /// Makes and judges the whole chain.
    ///
    /// # Errors
    /// The first divergence.
    pub fn run(&mut self) -> Result<Tally, Divergence> {
        self.grow(MATURITY as usize + 5)?;
        for step in 0..self.shape.steps {
            match self.rng.below(100) {
                0..=4 => self.fork()?,
                5..=9 => self.fault()?,
                10..=11 => self.repeat()?,
                12 if step % 3 == 0 => self.trial.reopen()?,
                _ => self.grow(1)?,
            }
        }
        self.trial.compare_all()?;
        Ok(self.trial.tally.clone())
    }

    /// Appends blocks to the active chain.
    ///
    /// # Errors
    /// A divergence.
    pub fn grow(&mut self, count: usize) -> Result<(), Divergence> {
        for _ in 0..count {
            let mut view = self.current();
            let hash = self.make(&mut view, &[]);
            self.feed_valid(&hash)?;
            self.view = view;
        }
        Ok(())
    }

    /// The view of the active tip.
    pub fn current(&mut self) -> View {
        let tip = BlockHash::from_bytes(self.trial.model.tip());
        if self.view.tip != tip {
            self.view = self.view_at(tip);
        }
        self.view.clone()
    }

    /// The coins after a block, folded from the first one.
    pub fn view_at(&self, hash: BlockHash) -> View {
        let mut path = Vec::new();
        let mut at = hash;
        while let Some(made) = self.made.get(&at) {
            path.push((at, Rc::clone(made)));
            at = made.parent;
        }
        let mut view = self.genesis.clone();
        let mut coins = BTreeMap::new();
        for (hash, made) in path.into_iter().rev() {
            coins.extend(made.created.iter().map(|coin| (coin.outpoint, *coin)));
            for outpoint in &made.spent {
                coins.remove(outpoint);
            }
            (view.tip, view.height) = (hash, made.height);
            view.times.push(made.time);
        }
        let old = view.times.len().saturating_sub(11);
        view.times.drain(..old);
        view.coins = coins.into_values().collect();
        view
    }

    fn feed_valid(&mut self, hash: &BlockHash) -> Result<(), Divergence> {
        match self.feed(hash)? {
            Verdict::Accepted => Ok(()),
            other => Err(Divergence(format!("a valid block {hash}: {other:?}"))),
        }
    }

    /// Feeds a block that was made.
    fn feed(&mut self, hash: &BlockHash) -> Result<Verdict, Divergence> {
        let made = Rc::clone(&self.made[hash]);
        let verdict = self.trial.block(made.raw.clone(), &self.forge.signed)?;
        if verdict == Verdict::Accepted && !made.counted {
            self.trial.tally.blocks += 1;
            self.trial.tally.transactions += made.payments.len() as u64;
            let inputs: usize = made.payments.iter().map(|(tx, _)| tx.inputs.len()).sum();
            self.trial.tally.inputs += inputs as u64;
            drop(made);
            let again = self.made.get_mut(hash).and_then(Rc::get_mut);
            again.expect("nobody else holds it").counted = true;
        }
        Ok(verdict)
    }

    /// A valid block after the view, which moves on to it. Some of the payments in `reuse` are made again, as after a reorg.
    fn make(&mut self, view: &mut View, reuse: &[Spend]) -> BlockHash {
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
    fn keep(
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

    fn created(&self, block: &Block, height: u32, median: u32) -> Vec<Owned> {
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

    fn coinbase(&mut self, height: u32, fees: u64) -> Transaction {
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
    fn apply(&self, view: &mut View, spend: &Spend, height: u32, median: u32) -> u64 {
        let (tx, coins) = spend;
        view.coins
            .retain(|coin| coins.iter().all(|gone| gone.outpoint != coin.outpoint));
        self.own(view, tx, height, false, median);
        let value_in: u64 = coins.iter().map(|coin| coin.value).sum();
        value_in - tx.outputs.iter().map(|output| output.value.0).sum::<u64>()
    }

    fn own(&self, view: &mut View, tx: &Transaction, height: u32, coinbase: bool, median: u32) {
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
    fn payment(&mut self, view: &View, median: u32) -> Option<Payment> {
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

    /// A branch from some blocks back, that wins, ties or loses, perhaps with a fault; its blocks come in order, out of order,
    /// or after their headers.
    fn fork(&mut self) -> Result<(), Divergence> {
        let tip = self.current();
        let deepest = self.shape.depth.min(tip.height as usize - 1);
        let depth = match self.rng.below(3) {
            0 => 1,
            1 => 1 + self.rng.below(deepest.min(6)),
            _ => 1 + self.rng.below(deepest),
        };
        let length = match self.rng.below(10) {
            0 => depth.saturating_sub(1).max(1),
            1..=2 => depth,
            3 => depth + 2,
            _ => depth + 1,
        };
        let active = self.trial.model.active();
        let base = BlockHash::from_bytes(active[active.len() - 1 - depth]);
        let stale: Vec<Spend> = active[active.len() - depth..]
            .iter()
            .flat_map(|hash| self.made[&BlockHash::from_bytes(*hash)].payments.clone())
            .collect();
        let fault_at = match self.rng.below(8) {
            0 => Some(1),
            1 => Some(length - 1),
            _ => None,
        };
        let mut view = self.view_at(base);
        let mut stale = stale.chunks(stale.len().div_ceil(length).max(1));
        let mut branch = Vec::new();
        for place in 0..length {
            let faulty = (fault_at == Some(place))
                .then(|| self.faulty(&mut view))
                .flatten();
            let hash = faulty.unwrap_or_else(|| {
                let reuse = stale.next().unwrap_or_default().to_vec();
                self.make(&mut view, &reuse)
            });
            branch.push(hash);
        }
        // Sometimes the last block has a twin of the same height.
        if self.rng.chance(15) && length > 1 {
            let mut beside = self.view_at(branch[length - 2]);
            branch.push(self.make(&mut beside, &[]));
        }
        self.deliver(&branch)
    }

    /// A block with a fault that shows when it is connected, for a branch. The coins after it are as if it spent nothing.
    fn faulty(&mut self, view: &mut View) -> Option<BlockHash> {
        let late: Vec<Mutation> = self
            .faults
            .iter()
            .filter(|fault| {
                matches!(fault.how, How::Block(Stage::Connected, _)) && fault.core != Core::Takes
            })
            .copied()
            .collect();
        let fault = late[self.rng.below(late.len())];
        let How::Block(_, make) = fault.how else {
            return None;
        };
        let before = view.clone();
        let (mut draft, mut bench) = mutations::draft(&mut self.forge, &before, &mut self.rng)?;
        if !make(&mut draft, &mut bench) {
            return None;
        }
        self.trial.tally.mutations += 1;
        finish(&mut draft.block);
        let hash = self.keep(&before, view, &draft.block, Vec::new());
        let made = self
            .made
            .get_mut(&hash)
            .and_then(Rc::get_mut)
            .expect("just made");
        made.created.clear();
        Some(hash)
    }

    fn deliver(&mut self, branch: &[BlockHash]) -> Result<(), Divergence> {
        let mut shuffled = branch.to_vec();
        match self.rng.below(5) {
            // Before their parents: refused, and fed again in order.
            0 => {
                self.rng.shuffle(&mut shuffled);
                for hash in &shuffled {
                    self.feed(hash)?;
                }
            }
            // After their headers, in any order.
            1 => {
                for hash in branch {
                    self.trial.header(self.made[hash].raw[..80].to_vec())?;
                }
                self.rng.shuffle(&mut shuffled);
                for hash in &shuffled {
                    self.feed(hash)?;
                }
            }
            _ => {}
        }
        for hash in branch {
            self.feed(hash)?;
        }
        Ok(())
    }

    /// A block with a single fault at the tip, then honest blocks.
    fn fault(&mut self) -> Result<(), Divergence> {
        let fault = self.faults[self.rng.below(self.faults.len())];
        if self.try_fault(&fault)? && fault.core == Core::Takes {
            // The kernel went astray; two blocks lead it back.
            self.grow(2)?;
        }
        Ok(())
    }

    /// Feeds a fault at the tip. False where it cannot be made here.
    ///
    /// # Errors
    /// A divergence.
    pub fn try_fault(&mut self, fault: &Mutation) -> Result<bool, Divergence> {
        let (How::Block(_, make) | How::Heavy(make)) = fault.how else {
            return Ok(false);
        };
        let view = self.current();
        let Some((mut draft, mut bench)) = mutations::draft(&mut self.forge, &view, &mut self.rng)
        else {
            return Ok(false);
        };
        if !make(&mut draft, &mut bench) {
            return Ok(false);
        }
        fault.run(&mut self.trial, draft.into_bytes(), &self.forge)?;
        Ok(true)
    }

    /// A fault on a branch that starts two blocks back and wins with its third: taken unseen, found when the branch wins.
    ///
    /// ```text
    ///  base ── a ── tip
    ///     └── fault ── b ── c
    /// ```
    ///
    /// # Errors
    /// A divergence.
    ///
    /// # Panics
    /// Where the fault cannot be made here.
    pub fn late_fault_on_a_branch(&mut self, fault: &Mutation) -> Result<(), Divergence> {
        let How::Block(Stage::Connected, make) = fault.how else {
            return Ok(());
        };
        let base = self.current();
        self.grow(2)?;
        let tip = self.trial.model.tip();
        let found = (0..50).find_map(|_| {
            let (mut draft, mut bench) = mutations::draft(&mut self.forge, &base, &mut self.rng)?;
            make(&mut draft, &mut bench).then_some(draft)
        });
        let faulty = self.adopt(&base, found.expect("the fault can be made here"));
        let mut branch = vec![faulty.hash()];
        for _ in 0..2 {
            let mut view = self.view_at(branch[branch.len() - 1]);
            branch.push(self.make(&mut view, &[]));
        }
        let last = branch.pop().expect("three blocks");
        for hash in branch {
            self.feed_valid(&hash)?;
        }
        if fault.core == Core::Takes {
            let raw = self.made[&last].raw.clone();
            self.trial.restricted(raw, &self.forge.signed)?;
        } else if self.feed(&last)? == Verdict::Accepted {
            return Err(Divergence("the branch won".into()));
        }
        if self.trial.model.tip() != tip {
            return Err(Divergence("the old tip did not come back".into()));
        }
        Ok(())
    }

    /// A block that was fed before, valid or not, or a child of one.
    fn repeat(&mut self) -> Result<(), Divergence> {
        let old = self.order[self.rng.below(self.order.len())];
        self.feed(&old)?;
        if self.rng.chance(30) {
            let recent =
                self.order[self.order.len() - 1 - self.rng.below(self.order.len().min(20))];
            let mut view = self.view_at(recent);
            let child = self.make(&mut view, &[]);
            self.feed(&child)?;
        }
        Ok(())
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
