//! The comparison: every step goes to all judges, and whatever they can be asked about must be equal.

use std::collections::{HashMap, HashSet};

use quarry::consensus::ChainSpec;
use quarry::primitives::{
    Amount, Coin as StoredCoin, CoinStats, Encode, OutPoint, Script, Txid, sha256d, unix_now,
};

use crate::engine::{self, Engine};
use crate::kernel::{self, Kernel};
use crate::model::bytes::{self, Hash};
use crate::model::{self, Coin, Model, Params};
use crate::record::Step;
use crate::tally::Tally;

/// Two judges disagree.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Divergence(pub String);

/// What all judges made of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are not a block.
    Undecodable,
    /// Taken, or known.
    Accepted,
    /// Refused; the names are the engine's, the reason the kernel's.
    Refused {
        /// The engine's name for the rule.
        rule: &'static str,
        /// The reason as the engine's RPC gives it.
        reason: &'static str,
        /// The kernel's, if it was there and said one.
        kernel: Option<String>,
    },
}

impl Verdict {
    /// The rule, if it was refused.
    pub const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Refused { rule, .. } => Some(rule),
            _ => None,
        }
    }
}

/// The judges and what was done to them.
pub struct Trial {
    /// Quarry.
    pub engine: Engine,
    /// Bitcoin Core; absent where the chain is not regtest.
    pub kernel: Option<Kernel>,
    /// The naive one.
    pub model: Model,
    /// What was done.
    pub steps: Vec<Step>,
    /// What was counted.
    pub tally: Tally,
    parents: HashMap<Hash, Hash>,
    /// Blocks that only the kernel took.
    astray: HashSet<Hash>,
    /// The active blocks whose coins were compared, and by how much each changed the supply.
    compared: Vec<(Hash, i128)>,
}

/// Who takes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takers {
    All,
    KernelOnly,
    /// All, or the kernel alone.
    KernelAtLeast,
}

impl Trial {
    /// All three on regtest; `on_disk` keeps the kernel's databases on disk, so that it can be opened again.
    pub fn regtest(on_disk: bool) -> Self {
        Self::new(
            ChainSpec::regtest(),
            Params::REGTEST,
            Some(Kernel::new(on_disk)),
        )
    }

    /// Engine and model alone, on another chain.
    pub fn without_kernel(spec: ChainSpec) -> Self {
        let params = Params {
            subsidy: spec.subsidy.units(),
            halving: spec.halving_interval,
            maturity: spec.coinbase_maturity,
        };
        Self::new(spec, params, None)
    }

    fn new(spec: ChainSpec, params: Params, kernel: Option<Kernel>) -> Self {
        let genesis = spec.genesis_block().to_bytes();
        Self {
            model: Model::new(&genesis, params),
            engine: Engine::new(spec),
            kernel,
            steps: Vec::new(),
            tally: Tally {
                chains: 1,
                ..Tally::default()
            },
            parents: HashMap::new(),
            astray: HashSet::new(),
            compared: Vec::new(),
        }
    }

    /// Does a recorded step.
    ///
    /// # Errors
    /// A divergence.
    pub fn step(&mut self, step: Step, signed: &HashSet<Txid>) -> Result<Verdict, Divergence> {
        match step {
            Step::Block(raw) => self.block(raw, signed),
            Step::Restricted(raw) => self.restricted(raw, signed),
            Step::Header(raw) => self.header(raw),
            Step::Reopen => self.reopen().map(|()| Verdict::Accepted),
        }
    }

    /// Feeds a block on which all must agree.
    ///
    /// # Errors
    /// A divergence.
    pub fn block(&mut self, raw: Vec<u8>, signed: &HashSet<Txid>) -> Result<Verdict, Divergence> {
        self.steps.push(Step::Block(raw.clone()));
        self.judge(&raw, signed, Takers::All)
    }

    /// Feeds a block that a deliberate restriction refuses and the kernel takes.
    ///
    /// # Errors
    /// A divergence from that.
    pub fn restricted(
        &mut self,
        raw: Vec<u8>,
        signed: &HashSet<Txid>,
    ) -> Result<Verdict, Divergence> {
        self.steps.push(Step::Restricted(raw.clone()));
        self.tally.restricted += 1;
        self.judge(&raw, signed, Takers::KernelOnly)
    }

    /// Feeds a block that the kernel may take though the engine does not; never the other way round. The second answer says
    /// whether the kernel took it: if so and the engine did not, two blocks must follow that lead the kernel back.
    ///
    /// # Errors
    /// A divergence.
    pub fn probe(
        &mut self,
        raw: &[u8],
        signed: &HashSet<Txid>,
    ) -> Result<(Verdict, bool), Divergence> {
        let before = self.astray.len();
        let verdict = self.judge(raw, signed, Takers::KernelAtLeast)?;
        let taken = verdict == Verdict::Accepted || self.astray.len() > before;
        let raw = raw.to_vec();
        let strayed = self.astray.len() > before;
        self.steps.push(if strayed {
            Step::Restricted(raw)
        } else {
            Step::Block(raw)
        });
        Ok((verdict, taken))
    }

    fn judge(
        &mut self,
        raw: &[u8],
        signed: &HashSet<Txid>,
        takers: Takers,
    ) -> Result<Verdict, Divergence> {
        self.tally.steps += 1;
        let ours = self.engine.block(raw);
        let model = self.model.block(raw, signed, unix_now());
        let kernel = self.kernel.as_ref().map(|kernel| kernel.block(raw));
        let hash = sha256d(raw.get(..80).unwrap_or_default());
        if raw.len() >= 80 {
            self.parents.insert(hash, bytes::header(raw).parent);
        }
        if let Some(kernel) = &kernel {
            self.compare_with_kernel(&ours, kernel, hash, takers)?;
        }
        self.compare_with_model(&ours, &model)?;
        self.compare_tips()?;
        if self.model.disconnected > 0 {
            *self
                .tally
                .reorgs
                .entry(self.model.disconnected)
                .or_default() += 1;
        }
        Ok(match ours {
            engine::Answer::Undecodable(_) => Verdict::Undecodable,
            engine::Answer::Accepted => Verdict::Accepted,
            engine::Answer::Refused { rule, reason, .. } => {
                *self.tally.refused.entry(rule.to_owned()).or_default() += 1;
                let kernel = kernel.and_then(|answer| answer.reason);
                Verdict::Refused {
                    rule,
                    reason,
                    kernel,
                }
            }
        })
    }

    fn compare_with_model(
        &self,
        ours: &engine::Answer,
        model: &model::Verdict,
    ) -> Result<(), Divergence> {
        match (ours, model) {
            (engine::Answer::Undecodable(_), model::Verdict::Undecodable)
            | (engine::Answer::Accepted, model::Verdict::Accepted)
            | (engine::Answer::Refused { .. }, model::Verdict::Refused(_)) => Ok(()),
            _ => Err(Divergence(format!(
                "the engine says {ours:?}, the model says {model:?}"
            ))),
        }
    }

    fn compare_with_kernel(
        &mut self,
        ours: &engine::Answer,
        kernel: &kernel::Answer,
        hash: Hash,
        takers: Takers,
    ) -> Result<(), Divergence> {
        let found_bad: HashSet<Hash> = kernel
            .checked
            .iter()
            .filter(|(_, valid, _)| !valid)
            .map(|(hash, ..)| *hash)
            .collect();
        let taken = kernel.stored && !self.descends_from(hash, &found_bad);
        let differ = |what: &str| {
            Err(Divergence(format!(
                "{what}: the engine says {ours:?}, the kernel says {kernel:?}"
            )))
        };
        if takers == Takers::KernelOnly {
            if !taken {
                return differ("the kernel was to take a block that only a restriction refuses");
            }
            if *ours == engine::Answer::Accepted {
                return differ("a restriction was to refuse the block");
            }
            self.astray.insert(hash);
            return Ok(());
        }
        if takers == Takers::KernelAtLeast && taken && *ours != engine::Answer::Accepted {
            self.astray.insert(hash);
            return Ok(());
        }
        if kernel.decoded == matches!(ours, engine::Answer::Undecodable(_)) {
            return differ("they do not agree whether the bytes are a block");
        }
        if taken != (*ours == engine::Answer::Accepted) {
            return differ("they do not agree on a block");
        }
        // A heavier branch can make the kernel look at blocks that it took unseen.
        for bad in found_bad.iter().filter(|bad| **bad != hash) {
            let info = self
                .engine
                .reader()
                .header_info(&quarry::primitives::BlockHash::from_bytes(*bad));
            if !info.is_some_and(|info| info.is_invalid) {
                return differ("the kernel found an older block invalid and the engine did not");
            }
        }
        Ok(())
    }

    fn descends_from(&self, hash: Hash, bad: &HashSet<Hash>) -> bool {
        let mut at = Some(hash).filter(|_| !bad.is_empty());
        while let Some(hash) = at {
            if bad.contains(&hash) {
                return true;
            }
            at = self.parents.get(&hash).copied();
        }
        false
    }

    fn compare_tips(&self) -> Result<(), Divergence> {
        let ours = self.engine.reader().tip().hash;
        let differs = |who: &str, tip: Hash| {
            let tip = quarry::primitives::BlockHash::from_bytes(tip);
            Err(Divergence(format!(
                "the engine's tip is {ours}, the {who}'s is {tip}"
            )))
        };
        if self.model.tip() != ours.to_bytes() {
            return differs("model", self.model.tip());
        }
        match self.kernel.as_ref().map(Kernel::tip) {
            Some(tip) if tip != ours.to_bytes() && !self.astray.contains(&tip) => {
                differs("kernel", tip)
            }
            _ => Ok(()),
        }
    }

    /// Feeds a header before its block.
    ///
    /// # Errors
    /// A divergence.
    pub fn header(&mut self, raw: Vec<u8>) -> Result<Verdict, Divergence> {
        self.tally.steps += 1;
        self.tally.headers += 1;
        let ours = self.engine.header(&raw);
        let model = self.model.header(&raw, unix_now());
        self.compare_with_model(&ours, &model)?;
        if let Some(kernel) = &self.kernel {
            let answer = kernel.header(&raw);
            if answer.stored != (ours == engine::Answer::Accepted) {
                return Err(Divergence(format!(
                    "header: the engine says {ours:?}, the kernel says {answer:?}"
                )));
            }
        }
        self.steps.push(Step::Header(raw));
        self.compare_tips()?;
        Ok(match ours {
            engine::Answer::Refused { rule, reason, .. } => Verdict::Refused {
                rule,
                reason,
                kernel: None,
            },
            _ => Verdict::Accepted,
        })
    }

    /// Closes engine and kernel and opens them again: nothing may change.
    ///
    /// # Errors
    /// A divergence.
    pub fn reopen(&mut self) -> Result<(), Divergence> {
        self.steps.push(Step::Reopen);
        self.tally.reopened += 1;
        self.engine.reopen();
        if let Some(kernel) = &mut self.kernel {
            kernel.reopen();
        }
        self.compare_tips()
    }

    /// Compares all that there is: the active chain, what each block spent, the coins, their sum and their digest.
    ///
    /// # Errors
    /// A divergence.
    pub fn compare_all(&mut self) -> Result<(), Divergence> {
        self.tally.whole += 1;
        let active = self.model.active().to_vec();
        let same = self
            .compared
            .iter()
            .zip(&active)
            .take_while(|((old, _), new)| old == *new)
            .count();
        self.compared.truncate(same);
        for (height, hash) in active.iter().enumerate().skip(same) {
            let change = self.compare_block(height, hash)?;
            self.compared.push((*hash, change));
        }
        self.compare_coins()
    }

    /// Compares one active block; returns by how much it changed the supply.
    fn compare_block(&self, height: usize, hash: &Hash) -> Result<i128, Divergence> {
        let id = quarry::primitives::BlockHash::from_bytes(*hash);
        let differ = |what: &str| {
            Err(Divergence(format!(
                "{what} of block {id} at {height} differ"
            )))
        };
        let reader = self.engine.reader();
        let at = u32::try_from(height).expect("heights are 32-bit");
        if reader.hash_at(at) != Some(id) {
            return differ("the hashes");
        }
        let expected = self.model.spent(hash);
        let undo = reader
            .undo(&id)
            .expect("the disk works")
            .unwrap_or_default();
        let ours: Vec<Coin> = undo.spent.iter().map(plain_coin).collect();
        if ours != expected {
            return differ("the engine's and the model's spent coins");
        }
        let raw = reader
            .raw_block(&id)
            .expect("the disk works")
            .unwrap_or_default();
        let Some(kernel) = self.kernel.as_ref().filter(|_| height > 0) else {
            return Ok(if height == 0 {
                0
            } else {
                supply_change(&raw, expected)
            });
        };
        if kernel.hash_at(height) != Some(*hash) {
            return differ("the engine's and the kernel's hashes");
        }
        let (kernel_raw, kernel_spent) = kernel.block_and_spent(hash);
        if kernel_spent != expected {
            return differ("the kernel's and the model's spent coins");
        }
        if kernel_raw != raw {
            return differ("the engine's and the kernel's bytes");
        }
        Ok(supply_change(&kernel_raw, &kernel_spent))
    }

    fn compare_coins(&self) -> Result<(), Divergence> {
        let audit = self.engine.audit();
        if !audit.is_sound() {
            return Err(Divergence(format!(
                "the engine's own counts differ: {audit:?}"
            )));
        }
        let mut expected = CoinStats {
            tip: audit.recorded.tip,
            height: audit.recorded.height,
            ..CoinStats::EMPTY
        };
        for ((txid, vout), coin) in self.model.coins() {
            let outpoint = OutPoint {
                txid: Txid::from_bytes(*txid),
                vout: *vout,
            };
            expected.add(&outpoint, &stored_coin(coin));
        }
        if expected != audit.recorded {
            return Err(Divergence(format!(
                "the model's coins are {expected:?}, the engine's {:?}",
                audit.recorded
            )));
        }
        // Folded from the kernel's own blocks and undo data where there is a kernel.
        let supply: i128 = self.compared.iter().map(|(_, change)| change).sum();
        // The first block of another chain pays a coin that can be spent.
        let genesis = if self.kernel.is_some() {
            0
        } else {
            self.genesis_coins()
        };
        if supply + genesis != i128::from(expected.total) {
            return Err(Divergence(format!(
                "the blocks add up to {supply}, the coins to {}",
                expected.total
            )));
        }
        Ok(())
    }

    fn genesis_coins(&self) -> i128 {
        let block = self.engine.reader().spec().genesis_block();
        let outputs = &block.transactions[0].outputs;
        let coins = outputs
            .iter()
            .filter(|output| output.script_pubkey.as_p2pkh().is_some());
        coins.map(|output| i128::from(output.value.0)).sum()
    }
}

fn supply_change(raw: &[u8], spent: &[Coin]) -> i128 {
    let body = bytes::block(raw).expect("a stored block is a block");
    let made = body
        .txs
        .iter()
        .flat_map(|tx| &tx.outputs)
        .map(|output| i128::from(output.value));
    made.sum::<i128>()
        - spent
            .iter()
            .map(|coin| i128::from(coin.value))
            .sum::<i128>()
}

fn plain_coin(coin: &StoredCoin) -> Coin {
    Coin {
        value: coin.value.units(),
        script: Script::p2pkh(&coin.pubkey_hash).as_bytes().to_vec(),
        height: coin.height,
        coinbase: coin.is_coinbase,
    }
}

fn stored_coin(coin: &Coin) -> StoredCoin {
    StoredCoin {
        value: Amount::from_units(coin.value).expect("the model checked it"),
        pubkey_hash: Script::from(coin.script.clone())
            .as_p2pkh()
            .expect("the model keeps no other"),
        height: coin.height,
        is_coinbase: coin.coinbase,
    }
}
