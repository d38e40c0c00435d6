//! Whether a transaction may enter the pool.
//!
//! The order of the checks is that of their cost. What needs the chain's coins comes after what does not, so that nobody makes
//! the node read its database for nothing; signatures come last.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::entry::Package;
use super::error::RejectError;
use super::pool::Pool;
use super::rate::fee_at;
use super::replace::Replaced;
use crate::consensus::{
    ChainSpec, RuleError, ScriptChecks, SpendContext, check_transaction_in_isolation,
    check_transaction_in_utxo_context, is_final,
};
use crate::primitives::{Amount, BlockHash, Coin, Encode, OutPoint, Transaction, Txid, UtxoView};

/// The chain as the pool sees it: the block that the next one builds on, and the coins that were asked for.
#[derive(Clone, Copy)]
pub struct ChainView<'a> {
    /// The rules.
    pub spec: &'a ChainSpec,
    /// The tip.
    pub tip: BlockHash,
    /// Its height.
    pub tip_height: u32,
    /// The median time of the tip and the ten blocks before it, in seconds since 1970.
    pub median_time_past: u32,
    /// The same of the block at a height of the active chain.
    pub median_time_at: &'a dyn Fn(u32) -> u32,
    /// The coins of the chain, as far as [`Pool::wanted_coins`] named them; one that is not in here does not exist.
    pub coins: &'a HashMap<OutPoint, Coin>,
}

/// Why a transaction comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Somebody sends it.
    New,
    /// Somebody sends it with a child that pays for both: no fee is asked for, and it replaces nothing.
    InPackage,
    /// It was in the chain or the pool before: no fee is asked for, it replaces nothing, and chains may be longer.
    Returning,
}

/// How a transaction comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// In seconds since 1970.
    pub(super) time: u64,
    /// Whether it was made on this node.
    pub(super) local: bool,
    /// Whether peers are still to be told of it.
    pub(super) relay: bool,
    pub(super) occasion: Occasion,
    /// The highest fee rate that its sender means to pay, in base units for 1000 bytes.
    pub(super) max_fee_rate: Option<u64>,
}

/// A transaction that has passed every check but that of its scripts.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub(super) tx: Arc<Transaction>,
    pub(super) txid: Txid,
    pub(super) fee: Amount,
    pub(super) priority: i64,
    pub(super) size: u64,
    pub(super) sigops: u64,
    pub(super) spent: Vec<Coin>,
    pub(super) parents: BTreeSet<Txid>,
    /// What goes when it comes.
    pub(super) replaced: Replaced,
    pub(super) time: u64,
    pub(super) height: u32,
    pub(super) local: bool,
    pub(super) relay: bool,
}

impl Candidate {
    /// Its id.
    pub const fn txid(&self) -> Txid {
        self.txid
    }

    /// What is left to verify, on any thread, before it may be inserted.
    pub fn script_checks(&self) -> ScriptChecks<'_> {
        ScriptChecks::new(&self.tx, &self.spent)
    }

    /// Its fee.
    pub const fn fee(&self) -> Amount {
        self.fee
    }

    /// Its encoded size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether it pays no more than its sender means to, in base units for 1000 bytes: a slip of the decimal point is not sent. The
    /// last of all checks, as in Bitcoin Core.
    pub(super) fn check_highest_fee(&self, max_rate: Option<u64>) -> Result<(), RejectError> {
        let Some(max_rate) = max_rate else {
            return Ok(());
        };
        let allowed = u128::from(max_rate) * u128::from(self.size) / 1000;
        if u128::from(self.fee.units()) <= allowed {
            return Ok(());
        }
        Err(RejectError::FeeAboveLimit {
            fee: self.fee,
            size: self.size,
            allowed: amount(u64::try_from(allowed).unwrap_or(u64::MAX)),
        })
    }

    /// Within a package nothing is replaced (Bitcoin Core, `testmempoolaccept` of many).
    pub(super) fn replaces_nothing(&self) -> Result<(), RejectError> {
        match self.replaced.direct.first() {
            Some(other) => Err(RejectError::ReplacementInPackage { other: *other }),
            None => Ok(()),
        }
    }
}

/// The coins of the pool over those of the chain.
struct Coins<'a> {
    pool: &'a Pool,
    view: &'a ChainView<'a>,
    /// Coins of transactions that come with the one that is judged.
    made: Option<&'a HashMap<OutPoint, Coin>>,
}

impl Coins<'_> {
    /// The fee and the spent coins of a transaction in the block after the tip.
    fn spend(&self, tx: &Transaction) -> Result<(Amount, Vec<Coin>), RuleError> {
        let view = self.view;
        let context = SpendContext {
            height: view.tip_height.saturating_add(1),
            median_time_past: view.median_time_past,
            median_time_at: view.median_time_at,
        };
        check_transaction_in_utxo_context(view.spec, tx, &context, self)
    }
}

impl UtxoView for Coins<'_> {
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        match self.pool.entries.get(&outpoint.txid) {
            Some(parent) => {
                let output = parent
                    .tx
                    .outputs
                    .get(usize::try_from(outpoint.vout).ok()?)?;
                Some(Coin {
                    value: output.value.check().ok()?,
                    pubkey_hash: output.script_pubkey.as_p2pkh()?,
                    // It would be in the next block at the earliest, so relative locks count from there (BIP68).
                    height: self.view.tip_height + 1,
                    is_coinbase: false,
                })
            }
            None => {
                let made = self.made.and_then(|made| made.coin(outpoint));
                made.or_else(|| self.view.coins.coin(outpoint))
            }
        }
    }
}

impl Pool {
    /// The coins of the chain that judging `tx` needs: those it spends, and those it would make, which show that it is in the
    /// chain already.
    pub fn wanted_coins(tx: &Transaction, txid: Txid) -> impl Iterator<Item = OutPoint> {
        let made = (0..)
            .zip(&tx.outputs)
            .map(move |(vout, _)| OutPoint { txid, vout });
        tx.inputs
            .iter()
            .map(|input| input.previous_output)
            .chain(made)
    }

    /// The checks that need no coins of the chain. `tip_height` and `median_time_past` are those of the tip.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn check_without_coins(
        &self,
        spec: &ChainSpec,
        tx: &Transaction,
        txid: &Txid,
        tip_height: u32,
        median_time_past: u32,
    ) -> Result<(), RejectError> {
        check_transaction_in_isolation(spec, tx)?;
        if tx.is_coinbase() {
            return Err(RejectError::Coinbase);
        }
        self.check_standard(tx)?;
        // BIP113: the lock time must have passed for the block after the tip.
        if !is_final(tx, tip_height.saturating_add(1), median_time_past) {
            return Err(RejectError::NotFinal {
                lock_time: tx.lock_time,
            });
        }
        if self.entries.contains_key(txid) {
            return Err(RejectError::AlreadyInMempool);
        }
        Ok(())
    }

    fn check_standard(&self, tx: &Transaction) -> Result<(), RejectError> {
        let policy = &self.policy;
        let found = tx.encoded_len() as u64;
        if found > policy.max_tx_size {
            let limit = policy.max_tx_size;
            return Err(RejectError::TooLarge { found, limit });
        }
        let found = sigops(tx);
        if found > policy.max_tx_sigops {
            let limit = policy.max_tx_sigops;
            return Err(RejectError::TooManySigops { found, limit });
        }
        for (index, output) in tx.outputs.iter().enumerate() {
            let value = output
                .value
                .check()
                .map_err(|reason| RuleError::OutputValue { index, reason })?;
            if value < policy.dust_limit {
                let limit = policy.dust_limit;
                return Err(RejectError::Dust {
                    index,
                    value,
                    limit,
                });
            }
        }
        Ok(())
    }

    /// First seen, first kept: for what comes back from a reorganisation.
    fn check_conflicts(&self, tx: &Transaction) -> Result<(), RejectError> {
        for input in &tx.inputs {
            let outpoint = input.previous_output;
            if let Some(other) = self.spends.get(&outpoint) {
                return Err(RejectError::Conflict {
                    outpoint,
                    other: *other,
                });
            }
        }
        Ok(())
    }

    /// Every check but that of the scripts. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn check(
        &self,
        tx: Arc<Transaction>,
        txid: Txid,
        view: &ChainView<'_>,
        now: u64,
        local: bool,
    ) -> Result<Candidate, RejectError> {
        let arrival = Arrival {
            time: now,
            local,
            relay: local,
            occasion: Occasion::New,
            max_fee_rate: None,
        };
        self.check_arrival(tx, txid, view, arrival, now)
    }

    pub(super) fn check_arrival(
        &self,
        tx: Arc<Transaction>,
        txid: Txid,
        view: &ChainView<'_>,
        arrival: Arrival,
        now: u64,
    ) -> Result<Candidate, RejectError> {
        self.check_without_coins(
            view.spec,
            &tx,
            &txid,
            view.tip_height,
            view.median_time_past,
        )?;
        // Core, `PreChecks`: an unspent output of it is in the chain, so it is.
        if (0..)
            .zip(&tx.outputs)
            .any(|(vout, _)| view.coins.contains_key(&OutPoint { txid, vout }))
        {
            return Err(RejectError::AlreadyKnown);
        }
        let coins = Coins {
            pool: self,
            view,
            made: None,
        };
        let (fee, spent) = coins.spend(&tx)?;
        let size = tx.encoded_len() as u64;
        let parents = self.parents_of(&tx);
        let priority = self.priority_of(&txid);
        let counted = i128::from(fee.units()) + i128::from(priority);
        let replaced = match arrival.occasion {
            Occasion::Returning => {
                self.check_conflicts(&tx)?;
                self.check_ancestors(&parents, self.policy.max_returning_ancestors)?;
                Replaced::default()
            }
            Occasion::InPackage => {
                self.check_conflicts(&tx)?;
                self.check_ancestors(&parents, self.policy.max_ancestors)?;
                self.check_family(&parents, size, &Replaced::default())?;
                Replaced::default()
            }
            Occasion::New => {
                self.check_fee(fee, counted, size, now)?;
                self.check_ancestors(&parents, self.policy.max_ancestors)?;
                let replaced = self.check_replacement(&tx, fee, counted, size, &parents)?;
                self.check_family(&parents, size, &replaced)?;
                replaced
            }
        };
        Ok(Candidate {
            txid,
            fee,
            priority,
            size,
            sigops: sigops(&tx),
            spent,
            parents,
            replaced,
            time: arrival.time,
            height: view.tip_height,
            local: arrival.local,
            relay: arrival.relay,
            tx,
        })
    }

    /// Whether the signatures of a transaction are worth verifying that comes with its parents: every rule but those of its place
    /// among the others. `made` has the coins of those it comes with. Returns what it spends.
    pub(super) fn appraise(
        &self,
        tx: &Transaction,
        txid: &Txid,
        view: &ChainView<'_>,
        made: &HashMap<OutPoint, Coin>,
        asks_fee: bool,
        now: u64,
    ) -> Result<Vec<Coin>, RejectError> {
        self.check_without_coins(view.spec, tx, txid, view.tip_height, view.median_time_past)?;
        let coins = Coins {
            pool: self,
            view,
            made: Some(made),
        };
        let (fee, spent) = coins.spend(tx)?;
        if asks_fee {
            let counted = i128::from(fee.units()) + i128::from(self.priority_of(txid));
            self.check_fee(fee, counted, tx.encoded_len() as u64, now)?;
        }
        Ok(spent)
    }

    /// Whether a package pays enough as a whole.
    pub(super) fn check_package_fee(&self, sums: &Package, now: u64) -> Result<(), RejectError> {
        let paid = u64::try_from(sums.fee.max(0)).unwrap_or(u64::MAX);
        self.check_fee(amount(paid), sums.fee, sums.size, now)
    }

    fn parents_of(&self, tx: &Transaction) -> BTreeSet<Txid> {
        let sources = tx.inputs.iter().map(|input| input.previous_output.txid);
        sources
            .filter(|txid| self.entries.contains_key(txid))
            .collect()
    }

    /// `counted` is the fee with the priority.
    fn check_fee(
        &self,
        fee: Amount,
        counted: i128,
        size: u64,
        now: u64,
    ) -> Result<(), RejectError> {
        let required = fee_at(self.policy.min_relay_fee, size);
        if counted < required.into() {
            let required = amount(required);
            return Err(RejectError::FeeTooLow { fee, required });
        }
        let required = fee_at(self.floor_at(now), size);
        if counted < required.into() {
            let required = amount(required);
            return Err(RejectError::BelowFloor { fee, required });
        }
        Ok(())
    }

    fn check_ancestors(&self, parents: &BTreeSet<Txid>, limit: u64) -> Result<(), RejectError> {
        let found = self.ancestors_of(parents).len() as u64 + 1;
        if found > limit {
            return Err(RejectError::TooLongChain { found, limit });
        }
        Ok(())
    }

    /// The limits of a family of unconfirmed transactions beyond the number of ancestors: their bytes, and the descendants of each
    /// ancestor, without those that are replaced.
    fn check_family(
        &self,
        parents: &BTreeSet<Txid>,
        size: u64,
        replaced: &Replaced,
    ) -> Result<(), RejectError> {
        let policy = &self.policy;
        let mut above = size;
        for txid in self.ancestors_of(parents) {
            let Some(ancestor) = self.entries.get(&txid) else {
                continue;
            };
            above += ancestor.own.size;
            let mut below = ancestor.descendants;
            if !replaced.all.is_empty() {
                for gone in self.descendants_of(&txid) {
                    if let Some(gone) = self.entries.get(&gone)
                        && replaced.all.contains(&gone.txid)
                    {
                        below.subtract(&gone.own);
                    }
                }
            }
            if below.count + 1 > policy.max_descendants {
                return Err(RejectError::TooManyDescendants {
                    ancestor: txid,
                    found: below.count + 1,
                    limit: policy.max_descendants,
                });
            }
            check_package_size(below.size + size, policy.max_package_size)?;
        }
        check_package_size(above, policy.max_package_size)
    }
}

fn amount(units: u64) -> Amount {
    Amount::from_units(units).unwrap_or(Amount::MAX)
}

const fn check_package_size(found: u64, limit: u64) -> Result<(), RejectError> {
    if found > limit {
        return Err(RejectError::PackageTooLarge { found, limit });
    }
    Ok(())
}

/// One for each P2PKH output, none in the pushes of an input script.
fn sigops(tx: &Transaction) -> u64 {
    tx.outputs.len() as u64
}
