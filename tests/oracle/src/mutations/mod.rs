//! The faults: each a valid block with one thing wrong, the rule that it breaks, and what Bitcoin Core says of it.

mod body;
mod direct;
mod headers;
mod payments;
mod rich;
mod scripts;

pub use scripts::high_s;

use quarry::consensus::RuleError;
use quarry::primitives::{Block, Encode};

use crate::forge::{Forge, Payment, finish, mine};
use crate::generator::Generator;
use crate::rng::Rng;
use crate::trial::{Divergence, Trial, Verdict};
use crate::view::{Owned, View};

/// What Bitcoin Core says of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// It refuses the block for the reason that our RPC names.
    Same,
    /// It refuses the block, and its reason begins so.
    Refuses(&'static str),
    /// It takes the block: the rule is a deliberate restriction.
    Takes,
}

/// When a fault shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As soon as the block is there.
    Received,
    /// When the block is connected; until then it may lie on a side branch.
    Connected,
}

/// A valid block in the making.
pub struct Draft {
    /// The block. Transaction 1 is a payment.
    pub block: Block,
    /// Whether the merkle root is computed anew.
    pub commit: bool,
    /// Whether the nonce is to meet the target.
    pub meet: bool,
}

/// What a fault is made with.
pub struct Bench<'a> {
    /// Keys and signatures.
    pub forge: &'a mut Forge,
    /// Where the block goes.
    pub view: &'a View,
    /// The choices.
    pub rng: &'a mut Rng,
    /// The coins that transaction 1 spends.
    pub spent: Vec<Owned>,
    /// Mature coins that the block leaves.
    pub left: Vec<Owned>,
}

impl Bench<'_> {
    /// The height of the block.
    pub const fn height(&self) -> u32 {
        self.view.height + 1
    }

    /// A payment of transaction 1's coins, changed before it is signed.
    pub fn repay(&mut self, draft: &mut Draft, change: impl FnOnce(&mut Payment)) {
        let mut payment = Payment::plain(&self.spent, 0, 0);
        change(&mut payment);
        draft.block.transactions[1] = self.forge.pay(&payment).0;
    }

    /// A payment whose lock rules can matter: version 2, its input not final.
    pub fn repay_locked(&mut self, draft: &mut Draft, lock_time: u32, sequence: u32) {
        self.repay(draft, |payment| {
            payment.lock_time = lock_time;
            for input in &mut payment.inputs {
                input.1 = sequence;
            }
        });
    }
}

/// Makes the fault; false where it cannot be made here.
pub type Make = fn(&mut Draft, &mut Bench<'_>) -> bool;

/// How a rule is broken.
#[derive(Clone, Copy)]
pub enum How {
    /// By a block on regtest.
    Block(Stage, Make),
    /// By a block that takes long to judge, on regtest.
    Heavy(Make),
    /// On a chain with so much money that sums can overflow; without the kernel.
    Rich(fn() -> Result<Vec<Verdict>, Divergence>),
    /// By asking the rule itself, because no bytes can reach it.
    Direct(fn() -> Result<(), RuleError>),
}

/// One fault.
#[derive(Clone, Copy)]
pub struct Mutation {
    /// What is wrong.
    pub name: &'static str,
    /// The variant of `RuleError`.
    pub rule: &'static str,
    /// What Bitcoin Core says.
    pub core: Core,
    /// How it is made.
    pub how: How,
}

const fn received(name: &'static str, rule: &'static str, core: Core, make: Make) -> Mutation {
    Mutation {
        name,
        rule,
        core,
        how: How::Block(Stage::Received, make),
    }
}

const fn connected(name: &'static str, rule: &'static str, core: Core, make: Make) -> Mutation {
    Mutation {
        name,
        rule,
        core,
        how: How::Block(Stage::Connected, make),
    }
}

const fn heavy(name: &'static str, rule: &'static str, make: Make) -> Mutation {
    Mutation {
        name,
        rule,
        core: Core::Same,
        how: How::Heavy(make),
    }
}

/// All faults.
pub fn all() -> Vec<Mutation> {
    [
        headers::ALL,
        body::ALL,
        payments::ALL,
        scripts::ALL,
        rich::ALL,
        direct::ALL,
    ]
    .concat()
}

/// A block after the view's tip with one payment, or nothing where no coin is mature.
pub fn draft<'a>(
    forge: &'a mut Forge,
    view: &'a View,
    rng: &'a mut Rng,
) -> Option<(Draft, Bench<'a>)> {
    let mut mature: Vec<Owned> = view
        .coins
        .iter()
        .filter(|coin| view.is_mature(coin) && coin.value > 1000)
        .copied()
        .collect();
    if mature.len() < 3 {
        return None;
    }
    rng.shuffle(&mut mature);
    let spent = vec![mature.pop()?];
    let payment = forge.pay(&Payment::plain(&spent, 1, 0));
    let height = view.height + 1;
    let coinbase = forge.coinbase(height, &[(0, subsidy(height))]);
    let block = forge.block(view, view.median() + 600, vec![coinbase, payment.0]);
    let draft = Draft {
        block,
        commit: true,
        meet: true,
    };
    Some((
        draft,
        Bench {
            forge,
            view,
            rng,
            spent,
            left: mature,
        },
    ))
}

/// What a block may create on regtest.
pub const fn subsidy(height: u32) -> u64 {
    5_000_000_000 >> (height / 150)
}

impl Draft {
    /// Commits, mines and encodes.
    pub fn into_bytes(mut self) -> Vec<u8> {
        match (self.commit, self.meet) {
            (true, true) => finish(&mut self.block),
            (true, false) => {
                self.block.header.merkle_root = self.block.compute_merkle_root().0;
                mine(&mut self.block.header, false);
            }
            (false, meet) => mine(&mut self.block.header, meet),
        }
        self.block.to_bytes()
    }
}

impl Mutation {
    /// Makes the fault on a chain that is ready for it and compares all judges, the engine's rule and the kernel's reason.
    ///
    /// # Errors
    /// A divergence, or that the fault cannot be made there.
    pub fn try_on(&self, chain: &mut Generator) -> Result<(), Divergence> {
        match self.how {
            How::Block(..) | How::Heavy(_) => {
                // A fault that needs a coin of some age may meet one of another.
                for _ in 0..50 {
                    if chain.try_fault(self)? {
                        return Ok(());
                    }
                }
                Err(Divergence(format!("{}: cannot be made here", self.name)))
            }
            How::Rich(run) => run()?.last().map_or(Ok(()), |verdict| self.judge(verdict)),
            How::Direct(ask) => match ask() {
                Err(rule) if rule.name() == self.rule => Ok(()),
                other => Err(Divergence(format!("{}: {other:?}", self.name))),
            },
        }
    }

    /// Feeds the faulty bytes at the tip and compares all judges, the engine's rule and the kernel's reason.
    ///
    /// # Errors
    /// A divergence.
    pub fn run(&self, trial: &mut Trial, raw: Vec<u8>, forge: &Forge) -> Result<(), Divergence> {
        trial.tally.mutations += 1;
        let verdict = if self.core == Core::Takes {
            trial.restricted(raw, &forge.signed)?
        } else {
            trial.block(raw, &forge.signed)?
        };
        self.judge(&verdict)
    }

    /// Compares a verdict with what the fault should lead to.
    ///
    /// # Errors
    /// A divergence.
    pub fn judge(&self, verdict: &Verdict) -> Result<(), Divergence> {
        let Verdict::Refused {
            rule,
            reason,
            kernel,
        } = verdict
        else {
            return Err(Divergence(format!("{}: {verdict:?}", self.name)));
        };
        if *rule != self.rule {
            return Err(Divergence(format!(
                "{}: refused by {rule}, not by {}",
                self.name, self.rule
            )));
        }
        let expected = match self.core {
            Core::Same => reason,
            Core::Refuses(reason) => reason,
            Core::Takes => return Ok(()),
        };
        match kernel {
            Some(kernel) if !kernel.starts_with(expected) => Err(Divergence(format!(
                "{}: the kernel's reason is '{kernel}', not '{expected}'",
                self.name
            ))),
            _ => Ok(()),
        }
    }
}
