//! Replacement by fee: when a transaction may push out those that spend the same coins.
//!
//! The conditions are those of BIP125, without its opt-in: every waiting transaction can be replaced, as in Bitcoin Core since 28
//! (`policy/rbf.cpp`). They make a replacement cost at least what relaying it costs, so that nobody can fill the network with
//! versions of one payment, and never leave a miner worse off by rate or by sum.

use std::collections::BTreeSet;

use super::error::RejectError;
use super::pool::Pool;
use super::rate::{FeeRate, fee_at};
use crate::primitives::{Amount, Transaction, Txid};

/// The most transactions that one may push out, with all that depend on them (BIP125 rule 5; Bitcoin Core,
/// `MAX_REPLACEMENT_CANDIDATES`). Bounds the work of judging it.
pub(super) const MAX_REPLACED: u64 = 100;

/// What a transaction would push out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Those that spend one of its coins.
    pub(super) direct: BTreeSet<Txid>,
    /// They and everything that depends on them.
    pub(super) all: BTreeSet<Txid>,
}

impl Pool {
    /// What `tx`, which pays `fee` for `size` bytes and spends outputs of `parents`, would push out, if it may. `counted` is the fee
    /// with the priority.
    ///
    /// # Errors
    /// The first condition that it does not meet.
    pub(super) fn check_replacement(
        &self,
        tx: &Transaction,
        fee: Amount,
        counted: i128,
        size: u64,
        parents: &BTreeSet<Txid>,
    ) -> Result<Replaced, RejectError> {
        let spenders = tx
            .inputs
            .iter()
            .filter_map(|input| self.spends.get(&input.previous_output));
        let direct: BTreeSet<Txid> = spenders.copied().collect();
        if direct.is_empty() {
            return Ok(Replaced::default());
        }
        self.check_replaced_count(&direct)?;
        let mut all = direct.clone();
        for txid in &direct {
            all.extend(self.descendants_of(txid));
        }
        let replaced = Replaced { direct, all };
        self.check_independent(parents, &replaced)?;
        self.check_replacement_fee(fee, counted, size, &replaced)?;
        Ok(replaced)
    }

    /// Counted from the sums that every entry carries, so those that two of them share count twice, as in Bitcoin Core.
    fn check_replaced_count(&self, direct: &BTreeSet<Txid>) -> Result<(), RejectError> {
        let families = direct.iter().filter_map(|txid| self.entries.get(txid));
        let found = families.map(|entry| entry.descendants.count).sum();
        let limit = MAX_REPLACED;
        if found > limit {
            return Err(RejectError::TooManyReplaced { found, limit });
        }
        Ok(())
    }

    /// It does not depend on what it pushes out, nor (rule 2) on anything unconfirmed that those did not depend on: what it needs
    /// could pay so little that the new one is never mined.
    fn check_independent(
        &self,
        parents: &BTreeSet<Txid>,
        replaced: &Replaced,
    ) -> Result<(), RejectError> {
        let allowed: BTreeSet<&Txid> = replaced
            .direct
            .iter()
            .filter_map(|txid| self.entries.get(txid))
            .flat_map(|entry| &entry.parents)
            .collect();
        for parent in parents {
            if replaced.all.contains(parent) {
                return Err(RejectError::SpendsReplaced { parent: *parent });
            }
            if !allowed.contains(parent) {
                return Err(RejectError::NewUnconfirmed { parent: *parent });
            }
        }
        Ok(())
    }

    /// It pays a higher rate than each that it pushes out, and more than all that go (rule 3) by at least the price of relaying it
    /// (rule 4).
    fn check_replacement_fee(
        &self,
        fee: Amount,
        counted: i128,
        size: u64,
        replaced: &Replaced,
    ) -> Result<(), RejectError> {
        let rate = FeeRate::new(counted, size);
        for txid in &replaced.direct {
            if let Some(entry) = self.entries.get(txid)
                && rate <= entry.own.rate()
            {
                return Err(RejectError::ReplacementRate {
                    found: rate.per_kilobyte(),
                    other: *txid,
                    rate: entry.own.rate().per_kilobyte(),
                });
            }
        }
        let gone = replaced
            .all
            .iter()
            .filter_map(|txid| self.entries.get(txid));
        let lost: i128 = gone.map(|entry| entry.own.fee).sum();
        let required = lost + i128::from(fee_at(self.policy.incremental_fee, size));
        if counted < required {
            let required = u64::try_from(required)
                .ok()
                .and_then(|units| Amount::from_units(units).ok());
            return Err(RejectError::ReplacementFee {
                fee,
                required: required.unwrap_or(Amount::MAX),
            });
        }
        Ok(())
    }
}
