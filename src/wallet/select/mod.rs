//! Which coins pay: a pure, deterministic choice.
//!
//! Sizes are those of a transaction in this chain's format with the largest possible signatures, so the fee paid is
//! never below the rate asked for, and at most one unit per byte and input above it.

mod branch_and_bound;

use std::cmp::Reverse;
use std::collections::HashSet;

use crate::primitives::{Amount, Coin, OutPoint, compact_size_len};

use super::payment::PaymentError;

/// Smallest change that is made. A smaller rest goes to the fee: Bitcoin Core's dust limit for P2PKH, the cost of
/// making and spending the output at 3 units a byte (`GetDustThreshold`, src/policy/policy.cpp).
pub const DUST_LIMIT: u64 = 546;
/// Largest transaction that is built, in bytes: Bitcoin Core relays none above it (`MAX_STANDARD_TX_WEIGHT` / 4).
pub const MAX_TX_BYTES: u64 = 100_000;

/// Version and lock time.
const FIXED_BYTES: u64 = 4 + 4;
/// Outpoint 36, script length 1, push and signature 1 + 72, push and key 1 + 33, sequence 4. A low-S signature in DER
/// has at most 71 bytes, and one more names the hash type.
pub(super) const INPUT_BYTES: u64 = 36 + 1 + 73 + 34 + 4;
/// Value 8, script length 1, script 25.
pub(super) const OUTPUT_BYTES: u64 = 8 + 1 + 25;

/// A coin that the wallet may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletCoin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it is.
    pub coin: Coin,
    /// Blocks on top of it and its own; 0 for a coin of a transaction that waits in the mempool.
    pub confirmations: u32,
}

/// What a byte costs, in base units for 1000 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeeRate(u64);

impl FeeRate {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Base units for 1000 bytes.
    #[must_use]
    pub const fn per_kilobyte(units: u64) -> Self {
        Self(units)
    }

    /// Base units a byte; a rate that no fee can have stays one.
    #[must_use]
    pub const fn per_byte(units: u64) -> Self {
        Self(units.saturating_mul(1000))
    }

    /// Base units for 1000 bytes.
    #[must_use]
    pub const fn units_per_kilobyte(self) -> u64 {
        self.0
    }

    /// The fee of so many bytes, rounded up.
    ///
    /// # Errors
    /// [`PaymentError::FeeRateTooHigh`] above all coins that can exist.
    pub fn fee(self, bytes: u64) -> Result<Amount, PaymentError> {
        let too_high = || PaymentError::FeeRateTooHigh { rate: self.0 };
        let units = (u128::from(bytes) * u128::from(self.0)).div_ceil(1000);
        let units = u64::try_from(units).map_err(|_| too_high())?;
        Amount::from_units(units).map_err(|_| too_high())
    }
}

/// What shall be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Sum of all recipients' amounts.
    pub amount: Amount,
    /// Number of recipients.
    pub outputs: u64,
    /// What the miner gets.
    pub fee_rate: FeeRate,
    /// Whether the recipients pay the fee: they get less, by [`Selection::fee`].
    pub recipients_pay: bool,
}

/// The coins that pay a target. The sum of their values is amount + fee + change, or amount + change if the recipients pay
/// the fee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// At least one; those that had to be used come first.
    pub coins: Vec<WalletCoin>,
    /// What is left to the miner.
    pub fee: Amount,
    /// What comes back; never below [`DUST_LIMIT`].
    pub change: Option<Amount>,
}

/// Chooses coins for `target`, in this order: coins that need no change, the smallest single coin that covers it, the
/// largest coins until they cover it. The order of `coins` does not matter.
///
/// # Errors
/// [`PaymentError::NotEnoughFunds`], [`PaymentError::TooLarge`], [`PaymentError::FeeRateTooHigh`],
/// [`PaymentError::SumOverflow`], [`PaymentError::DuplicateCoin`].
pub fn select_coins(coins: &[WalletCoin], target: &Target) -> Result<Selection, PaymentError> {
    select_with(&[], coins, target)
}

/// The same where the coins in `fixed` are used in any case, in their order, and others only if they do not suffice.
///
/// # Errors
/// As [`select_coins`].
pub fn select_with(
    fixed: &[WalletCoin],
    coins: &[WalletCoin],
    target: &Target,
) -> Result<Selection, PaymentError> {
    let mut seen: HashSet<OutPoint> = HashSet::with_capacity(coins.len());
    let all = fixed.iter().chain(coins);
    if let Some(twice) = all.clone().find(|coin| !seen.insert(coin.outpoint)) {
        return Err(PaymentError::DuplicateCoin(twice.outpoint));
    }
    let fixed_sum = sum(fixed.iter())?;
    if !fixed.is_empty() && fixed_sum >= needed(target, count(fixed))? {
        return finish(fixed.to_vec(), fixed_sum, target);
    }
    // Total order: value falling, age falling, then the outpoint, so that every input order gives one choice.
    let mut sorted = coins.to_vec();
    sorted.sort_by_key(|c| (Reverse(c.coin.value), Reverse(c.confirmations), c.outpoint));
    let start = (fixed, fixed_sum);
    if let Some(chosen) = without_change(start, &sorted, target)? {
        return Ok(chosen);
    }
    let single = needed(target, count(fixed) + 1)?;
    let covers = |coin: &&WalletCoin| {
        let total = coin.coin.value.checked_add(fixed_sum);
        total.is_some_and(|total| total >= single)
    };
    if let Some(one) = sorted.iter().rev().find(covers) {
        let total = sum(fixed.iter().chain([one]))?;
        return finish([fixed, &[*one]].concat(), total, target);
    }
    select_largest(start, &sorted, target)
}

/// Coins that pay without change, if a search finds some.
fn without_change(
    (fixed, fixed_sum): (&[WalletCoin], Amount),
    sorted: &[WalletCoin],
    target: &Target,
) -> Result<Option<Selection>, PaymentError> {
    // Each coin is worth its value without the fee of its own input; the recipients pay that where they pay all.
    let own_fee = match target.recipients_pay {
        true => Amount::ZERO,
        false => target.fee_rate.fee(INPUT_BYTES)?,
    };
    let values: Vec<u64> = sorted
        .iter()
        .map_while(|coin| coin.coin.value.checked_sub(own_fee))
        .map(Amount::units)
        .take_while(|worth| *worth > 0)
        .collect();
    // One count of inputs is as long as another, but for 252 and more; what was found is checked below.
    let least = needed(target, count(fixed))?.checked_sub(fixed_sum);
    let Some(least) = least.map(Amount::units) else {
        return Ok(None);
    };
    let change_costs = target.fee_rate.fee(OUTPUT_BYTES + INPUT_BYTES)?.units();
    let most = match target.recipients_pay {
        // What is over would be taken from nobody and given to the miner.
        true => least,
        false => least.saturating_add(change_costs),
    };
    let Some(found) = branch_and_bound::search(&values, least, most) else {
        return Ok(None);
    };
    let chosen = found.into_iter().filter_map(|at| sorted.get(at));
    let chosen: Vec<WalletCoin> = fixed.iter().chain(chosen).copied().collect();
    let total = sum(chosen.iter())?;
    match needed(target, count(&chosen)) {
        Ok(needed) if total >= needed => {}
        Ok(_) | Err(PaymentError::TooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(leave_rest(chosen, total, target)?))
}

/// Fewest coins: no other choice gives a smaller transaction.
fn select_largest(
    (fixed, fixed_sum): (&[WalletCoin], Amount),
    sorted: &[WalletCoin],
    target: &Target,
) -> Result<Selection, PaymentError> {
    let available = sum(fixed.iter().chain(sorted))?;
    if available < target.amount {
        return Err(PaymentError::NotEnoughFunds {
            available,
            needed: needed(target, 1)?,
        });
    }
    let input_cost = target.fee_rate.fee(INPUT_BYTES)?;
    let mut chosen = fixed.to_vec();
    let mut total = fixed_sum;
    // A coin that costs more than it brings never helps, nor do the smaller ones after it.
    for coin in sorted
        .iter()
        .take_while(|coin| coin.coin.value > input_cost)
    {
        chosen.push(*coin);
        total = total
            .checked_add(coin.coin.value)
            .ok_or(PaymentError::SumOverflow)?;
        if total >= needed(target, count(&chosen))? {
            return finish(chosen, total, target);
        }
    }
    let needed = needed(target, count(&chosen).max(1))?;
    Err(PaymentError::NotEnoughFunds { available, needed })
}

/// Splits what is left over between change and fee. `total` covers the target without change.
fn finish(
    coins: Vec<WalletCoin>,
    total: Amount,
    target: &Target,
) -> Result<Selection, PaymentError> {
    let inputs = count(&coins);
    let rest = total
        .checked_sub(target.amount)
        .ok_or(PaymentError::SumOverflow)?;
    let fee = target.fee_rate.fee(tx_bytes(inputs, target.outputs + 1)?)?;
    let change = match target.recipients_pay {
        true => Some(rest),
        false => rest.checked_sub(fee),
    };
    match change.filter(|change| change.units() >= DUST_LIMIT) {
        Some(change) => Ok(Selection {
            coins,
            fee,
            change: Some(change),
        }),
        None => leave_rest(coins, total, target),
    }
}

/// No change: what is left over goes to the miner, or, if the recipients pay the fee, to them.
fn leave_rest(
    coins: Vec<WalletCoin>,
    total: Amount,
    target: &Target,
) -> Result<Selection, PaymentError> {
    let rest = total
        .checked_sub(target.amount)
        .ok_or(PaymentError::SumOverflow)?;
    let fee = match target.recipients_pay {
        false => rest,
        true => {
            let whole = target
                .fee_rate
                .fee(tx_bytes(count(&coins), target.outputs)?)?;
            whole.checked_sub(rest).unwrap_or(Amount::ZERO)
        }
    };
    Ok(Selection {
        coins,
        fee,
        change: None,
    })
}

/// What so many inputs without change must be worth: the amount, and the fee if it is not the recipients' part.
fn needed(target: &Target, inputs: u64) -> Result<Amount, PaymentError> {
    let fee = target.fee_rate.fee(tx_bytes(inputs, target.outputs)?)?;
    if target.recipients_pay {
        return Ok(target.amount);
    }
    target
        .amount
        .checked_add(fee)
        .ok_or(PaymentError::SumOverflow)
}

fn sum<'a>(coins: impl Iterator<Item = &'a WalletCoin>) -> Result<Amount, PaymentError> {
    Amount::checked_sum(coins.map(|coin| coin.coin.value)).ok_or(PaymentError::SumOverflow)
}

/// Greatest size in bytes of a transaction of so many inputs and outputs.
pub(super) fn tx_bytes(inputs: u64, outputs: u64) -> Result<u64, PaymentError> {
    let bytes = || {
        let inputs_bytes = inputs
            .checked_mul(INPUT_BYTES)?
            .checked_add(count_bytes(inputs))?;
        let outputs_bytes = outputs
            .checked_mul(OUTPUT_BYTES)?
            .checked_add(count_bytes(outputs))?;
        inputs_bytes
            .checked_add(outputs_bytes)?
            .checked_add(FIXED_BYTES)
    };
    let bytes = bytes().unwrap_or(u64::MAX);
    if bytes > MAX_TX_BYTES {
        return Err(PaymentError::TooLarge {
            bytes,
            inputs,
            outputs,
        });
    }
    Ok(bytes)
}

/// Length of the number that stands before a list.
fn count_bytes(number: u64) -> u64 {
    let bytes = usize::try_from(number).map_or(9, compact_size_len);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn count(coins: &[WalletCoin]) -> u64 {
    u64::try_from(coins.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
