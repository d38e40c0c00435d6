//! Payments: from wish to signed transaction, as pure functions.
//!
//! The caller says which coins may be used (see [`Ledger`](super::Ledger) for those that are mature and not already
//! being spent), where change goes, and sends the result.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::consensus::{self, ChainSpec, RuleError};
use crate::keys::{self, SecretKey};
use crate::primitives::{
    Amount, COIN, OutPoint, PubkeyHash, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut, Txid,
    UncheckedAmount,
};

use super::error::WalletError;
use super::select::{
    DUST_LIMIT, FeeRate, INPUT_BYTES, Selection, Target, WalletCoin, select_with, tx_bytes,
};

/// A fee is absurd if it is above this (0.1 coin) and above [`ABSURD_FEE_SHARE`].
pub const ABSURD_FEE: u64 = COIN / 10;
/// A fee is absurd if it is above [`ABSURD_FEE`] and its tenfold is above the amount.
pub const ABSURD_FEE_SHARE: u64 = 10;

/// Transactions are of version 2, which switches relative locks on (BIP68) and changes nothing else here.
const VERSION: i32 = 2;

/// A wish to pay.
#[derive(Debug, Clone)]
pub struct Payment {
    /// To whom and how much, in the order of the outputs.
    pub recipients: Vec<(PubkeyHash, Amount)>,
    /// Positions of the recipients who pay the fee in equal parts; none if the payer does.
    pub fee_payers: Vec<usize>,
    /// What a byte costs; nothing is allowed.
    pub fee_rate: FeeRate,
    /// Where change goes.
    pub change: PubkeyHash,
    /// Where the change output stands; last if not said.
    pub change_position: Option<usize>,
    /// Coins that are used in any case, first and in this order.
    pub fixed: Vec<WalletCoin>,
    /// The coins that may be used beside those.
    pub from: Vec<WalletCoin>,
    /// The height or time before which no block takes the transaction; 0 for none.
    pub lock_time: u32,
    /// The least fee, whatever the rate: for a replacement.
    pub least_fee: Amount,
    /// Pay a fee that looks like a mistake.
    pub allow_absurd_fee: bool,
}

impl Payment {
    /// The usual payment: the payer pays the fee, change is the last output.
    #[must_use]
    pub const fn new(
        recipients: Vec<(PubkeyHash, Amount)>,
        fee_rate: FeeRate,
        change: PubkeyHash,
        from: Vec<WalletCoin>,
    ) -> Self {
        Self {
            recipients,
            fee_payers: Vec::new(),
            fee_rate,
            change,
            change_position: None,
            fixed: Vec::new(),
            from,
            lock_time: 0,
            least_fee: Amount::ZERO,
            allow_absurd_fee: false,
        }
    }
}

/// A transaction that lacks only its signatures.
#[derive(Debug, Clone)]
pub struct PreparedPayment {
    /// The transaction, its input scripts empty.
    pub tx: Transaction,
    /// The coins it spends, in the order of its inputs.
    pub coins: Vec<WalletCoin>,
    /// What the miner gets.
    pub fee: Amount,
    /// What comes back.
    pub change: Option<Amount>,
    /// The output that comes back.
    pub change_position: Option<usize>,
}

/// A transaction ready to be sent.
#[derive(Debug, Clone)]
pub struct SignedPayment {
    /// The signed transaction.
    pub tx: Transaction,
    /// Its id.
    pub txid: Txid,
    /// What the miner gets.
    pub fee: Amount,
    /// What comes back.
    pub change: Option<Amount>,
}

/// Why a payment cannot be made. Nothing was changed or sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentError {
    /// The coins given do not cover amount and fee.
    #[error("not enough funds: {available} available, {needed} needed with the fee")]
    NotEnoughFunds {
        /// Sum of the coins given.
        available: Amount,
        /// Amount and fee.
        needed: Amount,
    },
    /// No recipient at all.
    #[error("the payment has no recipient")]
    NoRecipients,
    /// A recipient who gets nothing.
    #[error("the amount for recipient {position} is 0; the least is 0.00000001")]
    AmountZero {
        /// Position, counted from 1.
        position: usize,
    },
    /// The amounts (with the fee) add up to more than can exist.
    #[error("the amounts add up to more than 21000000 coins, which is all there can be")]
    SumOverflow,
    /// A rate at which the fee of one transaction exceeds all coins that can exist.
    #[error("a fee rate of {rate} units per 1000 bytes is more than any transaction can pay")]
    FeeRateTooHigh {
        /// The rate asked for, in base units for 1000 bytes.
        rate: u64,
    },
    /// The fee looks like a mistake.
    #[error(
        "the fee would be {fee} for an amount of {amount}; lower the fee rate, or allow a high fee if that is meant"
    )]
    AbsurdFee {
        /// The fee.
        fee: Amount,
        /// What the recipients get.
        amount: Amount,
    },
    /// More inputs or outputs than a transaction may have.
    #[error(
        "the payment needs {inputs} inputs and {outputs} outputs, which is too large for one transaction ({bytes} bytes); split it"
    )]
    TooLarge {
        /// Size in bytes.
        bytes: u64,
        /// Number of coins used.
        inputs: u64,
        /// Number of outputs.
        outputs: u64,
    },
    /// A recipient who would have less than nothing, or dust, left of his amount when he has paid the fee.
    #[error("the amount for recipient {position} is too small to pay the fee")]
    TooSmallForFee {
        /// Position, counted from 1.
        position: usize,
    },
    /// A position that no output has.
    #[error("there is no output {0} in this payment")]
    NoSuchOutput(usize),
    /// One coin was offered twice.
    #[error("coin {0} was offered twice")]
    DuplicateCoin(OutPoint),
    /// A coin was offered that no key of the wallet can spend.
    #[error("the wallet has no key for the coins of {0}; pay from one of its own addresses")]
    NotOurs(PubkeyHash),
    /// The wallet is locked, or its file is not sound.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The transaction built breaks a rule: a fault of this program, caught before it was sent.
    #[error("the transaction built is not valid ({0}); please report this")]
    Invalid(RuleError),
}

/// Chooses coins, builds the transaction and signs every input. The same payment gives the same transaction
/// (signatures are deterministic, RFC 6979).
///
/// `spec` is the network's, for a last check of the rules. `key_for` gives the private key of an address, or `None` if it is not the wallet's.
///
/// # Errors
/// [`PaymentError`], before anything is signed except for the last two kinds.
pub fn build_and_sign(
    spec: &ChainSpec,
    payment: &Payment,
    key_for: impl Fn(&PubkeyHash) -> Result<Option<SecretKey>, WalletError>,
) -> Result<SignedPayment, PaymentError> {
    sign_prepared(spec, prepare(payment)?, key_for)
}

/// Signs every input of a prepared payment.
///
/// # Errors
/// [`PaymentError::NotOurs`], [`PaymentError::Wallet`], [`PaymentError::Invalid`].
pub fn sign_prepared(
    spec: &ChainSpec,
    prepared: PreparedPayment,
    key_for: impl Fn(&PubkeyHash) -> Result<Option<SecretKey>, WalletError>,
) -> Result<SignedPayment, PaymentError> {
    let PreparedPayment {
        mut tx,
        coins,
        fee,
        change,
        ..
    } = prepared;
    sign(&mut tx, &coins, key_for)?;
    consensus::check_transaction_in_isolation(spec, &tx).map_err(PaymentError::Invalid)?;
    let txid = tx.txid();
    Ok(SignedPayment {
        tx,
        txid,
        fee,
        change,
    })
}

/// Chooses coins and builds the transaction.
///
/// # Errors
/// [`PaymentError`].
pub fn prepare(payment: &Payment) -> Result<PreparedPayment, PaymentError> {
    let target = check_recipients(payment)?;
    let mut selection = select_with(&payment.fixed, &payment.from, &target)?;
    if selection.fee < payment.least_fee {
        selection = with_least_fee(payment, &target, &selection)?;
    }
    check_fee(&selection, &target, payment.allow_absurd_fee)?;
    let outputs = outputs(payment, &selection)?;
    let input = |coin: &WalletCoin| TxIn {
        previous_output: coin.outpoint,
        script_sig: Script::from(Vec::new()),
        // A lock time counts only where some input says so.
        sequence: if payment.lock_time == 0 {
            SEQUENCE_FINAL
        } else {
            SEQUENCE_FINAL - 1
        },
    };
    let mut tx = Transaction {
        version: VERSION,
        inputs: selection.coins.iter().map(input).collect(),
        outputs,
        lock_time: payment.lock_time,
    };
    let mut change_position = None;
    if let Some(amount) = selection.change {
        let at = payment.change_position.unwrap_or(tx.outputs.len());
        if at > tx.outputs.len() {
            return Err(PaymentError::NoSuchOutput(at));
        }
        tx.outputs.insert(at, pays(payment.change, amount));
        change_position = Some(at);
    }
    Ok(PreparedPayment {
        tx,
        coins: selection.coins,
        fee: selection.fee,
        change: selection.change,
        change_position,
    })
}

/// The same choice made again at the rate that gives the least fee for its size.
fn with_least_fee(
    payment: &Payment,
    target: &Target,
    selection: &Selection,
) -> Result<Selection, PaymentError> {
    let outputs = target.outputs + u64::from(selection.change.is_some());
    let inputs = u64::try_from(selection.coins.len()).unwrap_or(u64::MAX);
    let bytes = tx_bytes(inputs, outputs)?;
    let rate = (u128::from(payment.least_fee.units()) * 1000).div_ceil(u128::from(bytes));
    let target = Target {
        fee_rate: FeeRate::per_kilobyte(u64::try_from(rate).unwrap_or(u64::MAX)),
        ..*target
    };
    select_with(&payment.fixed, &payment.from, &target)
}

fn pays(hash: PubkeyHash, amount: Amount) -> TxOut {
    TxOut {
        value: UncheckedAmount::from(amount),
        script_pubkey: Script::p2pkh(&hash),
    }
}

/// What the recipients get: their amounts, less the fee for those who pay it.
fn outputs(payment: &Payment, selection: &Selection) -> Result<Vec<TxOut>, PaymentError> {
    let payers = u64::try_from(payment.fee_payers.len()).unwrap_or(u64::MAX);
    let mut made = Vec::with_capacity(payment.recipients.len() + 1);
    // What does not divide is the first payer's.
    let mut odd = selection.fee.units().checked_rem(payers).unwrap_or(0);
    for (at, (hash, amount)) in payment.recipients.iter().enumerate() {
        let mut left = *amount;
        if payment.fee_payers.contains(&at) {
            let share = selection.fee.units() / payers + std::mem::take(&mut odd);
            let position = at + 1;
            let rest = amount.units().checked_sub(share);
            let rest = rest.filter(|rest| *rest >= DUST_LIMIT);
            let rest = rest.ok_or(PaymentError::TooSmallForFee { position })?;
            left = Amount::from_units(rest).map_err(|_| PaymentError::SumOverflow)?;
        }
        made.push(pays(*hash, left));
    }
    Ok(made)
}

fn check_recipients(payment: &Payment) -> Result<Target, PaymentError> {
    if payment.recipients.is_empty() {
        return Err(PaymentError::NoRecipients);
    }
    let zero = payment
        .recipients
        .iter()
        .position(|(_, amount)| *amount == Amount::ZERO);
    if let Some(at) = zero {
        return Err(PaymentError::AmountZero { position: at + 1 });
    }
    let last = payment.recipients.len();
    if let Some(at) = payment.fee_payers.iter().find(|at| **at >= last) {
        return Err(PaymentError::NoSuchOutput(*at));
    }
    let amount = Amount::checked_sum(payment.recipients.iter().map(|(_, amount)| *amount))
        .ok_or(PaymentError::SumOverflow)?;
    let outputs = u64::try_from(payment.recipients.len()).unwrap_or(u64::MAX - 1);
    Ok(Target {
        amount,
        outputs,
        fee_rate: payment.fee_rate,
        recipients_pay: !payment.fee_payers.is_empty(),
    })
}

fn check_fee(selection: &Selection, target: &Target, allowed: bool) -> Result<(), PaymentError> {
    let (fee, amount) = (selection.fee, target.amount);
    let share = fee.units().saturating_mul(ABSURD_FEE_SHARE);
    let absurd = fee.units() > ABSURD_FEE && share > amount.units();
    if absurd && !allowed {
        return Err(PaymentError::AbsurdFee { fee, amount });
    }
    Ok(())
}

/// Everything that some coins are worth, sent away: the recipients with an amount get it, the others share the rest.
///
/// Coins that cost more than they bring are left out.
///
/// # Errors
/// [`PaymentError`].
pub fn prepare_all(
    coins: &[WalletCoin],
    recipients: &[(PubkeyHash, Option<Amount>)],
    fee_rate: FeeRate,
    lock_time: u32,
) -> Result<PreparedPayment, PaymentError> {
    let input_cost = fee_rate.fee(INPUT_BYTES)?;
    let worth = coins.iter().filter(|coin| coin.coin.value > input_cost);
    let used: Vec<WalletCoin> = worth.copied().collect();
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let fee = fee_rate.fee(tx_bytes(count(used.len()), count(recipients.len()))?)?;
    let total = Amount::checked_sum(used.iter().map(|coin| coin.coin.value));
    let total = total.ok_or(PaymentError::SumOverflow)?;
    let named = recipients.iter().filter_map(|(_, amount)| *amount);
    let named = Amount::checked_sum(named).ok_or(PaymentError::SumOverflow)?;
    let needed = named.checked_add(fee).ok_or(PaymentError::SumOverflow)?;
    let short = PaymentError::NotEnoughFunds {
        available: total,
        needed,
    };
    let rest = total.checked_sub(needed).ok_or(short)?.units();
    let sharers = count(
        recipients
            .iter()
            .filter(|(_, amount)| amount.is_none())
            .count(),
    );
    let share = rest
        .checked_div(sharers)
        .ok_or(PaymentError::NoRecipients)?;
    if share < DUST_LIMIT {
        let needed = Amount::from_units(needed.units().saturating_add(DUST_LIMIT * sharers));
        return Err(PaymentError::NotEnoughFunds {
            available: total,
            needed: needed.unwrap_or(Amount::MAX),
        });
    }
    // The first of them has what does not divide.
    let mut odd = rest - share * sharers;
    let mut paid = Vec::with_capacity(recipients.len());
    for (hash, amount) in recipients {
        let amount = match amount {
            Some(amount) => *amount,
            None => Amount::from_units(share + std::mem::take(&mut odd))
                .map_err(|_| PaymentError::SumOverflow)?,
        };
        paid.push((*hash, amount));
    }
    let whole = Payment {
        fixed: used,
        lock_time,
        ..Payment::new(paid, fee_rate, PubkeyHash::ZERO, Vec::new())
    };
    prepare(&whole)
}

fn sign(
    tx: &mut Transaction,
    coins: &[WalletCoin],
    key_for: impl Fn(&PubkeyHash) -> Result<Option<SecretKey>, WalletError>,
) -> Result<(), PaymentError> {
    // A miner's coins are often all on one address: derive its key once.
    let mut known: HashMap<PubkeyHash, SecretKey> = HashMap::new();
    for (input, coin) in coins.iter().enumerate() {
        let hash = coin.coin.pubkey_hash;
        let key = match known.entry(hash) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let key = key_for(&hash)?.filter(|key| key.public_key().pubkey_hash() == hash);
                entry.insert(key.ok_or(PaymentError::NotOurs(hash))?)
            }
        };
        keys::sign_input(tx, input, key);
    }
    Ok(())
}
