//! Seeded random chains. Equal seeds make equal bytes: block times are counted from a fixed day, not from now.

mod forks;
mod payments;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use quarry::primitives::{Block, BlockHash, Decode, Encode, OutPoint};

use crate::forge::Forge;
use crate::mutations::{self, Bench, Draft, How, Mutation};
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
}
