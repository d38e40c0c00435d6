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
use super::select::{Selection, Target, WalletCoin, select_coins};

/// A fee is absurd if it is above this (0.1 coin) and above [`ABSURD_FEE_SHARE`].
pub const ABSURD_FEE: u64 = COIN / 10;
/// A fee is absurd if it is above [`ABSURD_FEE`] and its tenfold is above the amount.
pub const ABSURD_FEE_SHARE: u64 = 10;

/// Transactions are of version 2, which switches relative locks on (BIP68) and changes nothing else here.
const VERSION: i32 = 2;
/// No lock time: final at once, in the first block that takes it.
const LOCK_TIME: u32 = 0;

/// A wish to pay.
#[derive(Debug, Clone)]
pub struct Payment {
    /// To whom and how much, in the order of the outputs.
    pub recipients: Vec<(PubkeyHash, Amount)>,
    /// Base units per byte; 0 is allowed.
    pub fee_rate: u64,
    /// Where change goes.
    pub change: PubkeyHash,
    /// The coins that may be used.
    pub from: Vec<WalletCoin>,
    /// Pay a fee that looks like a mistake.
    pub allow_absurd_fee: bool,
}

/// A transaction ready to be sent.
#[derive(Debug, Clone)]
pub struct SignedPayment {
    /// The signed transaction; change, if any, is its last output.
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
    #[error("a fee rate of {rate} units per byte is more than any transaction can pay")]
    FeeRateTooHigh {
        /// The rate asked for.
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
    let target = check_recipients(payment)?;
    let selection = select_coins(&payment.from, &target)?;
    check_fee(&selection, &target, payment.allow_absurd_fee)?;
    let mut tx = assemble(payment, &selection);
    sign(&mut tx, &selection, key_for)?;
    consensus::check_transaction_in_isolation(spec, &tx).map_err(PaymentError::Invalid)?;
    let txid = tx.txid();
    Ok(SignedPayment {
        tx,
        txid,
        fee: selection.fee,
        change: selection.change,
    })
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
    let amount = Amount::checked_sum(payment.recipients.iter().map(|(_, amount)| *amount))
        .ok_or(PaymentError::SumOverflow)?;
    let outputs = u64::try_from(payment.recipients.len()).unwrap_or(u64::MAX - 1);
    Ok(Target {
        amount,
        outputs,
        fee_rate: payment.fee_rate,
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

fn assemble(payment: &Payment, selection: &Selection) -> Transaction {
    let input = |coin: &WalletCoin| TxIn {
        previous_output: coin.outpoint,
        script_sig: Script::from(Vec::new()),
        sequence: SEQUENCE_FINAL,
    };
    let output = |(hash, amount): (PubkeyHash, Amount)| TxOut {
        value: UncheckedAmount::from(amount),
        script_pubkey: Script::p2pkh(&hash),
    };
    let change = selection.change.map(|amount| (payment.change, amount));
    Transaction {
        version: VERSION,
        inputs: selection.coins.iter().map(input).collect(),
        outputs: payment
            .recipients
            .iter()
            .copied()
            .chain(change)
            .map(output)
            .collect(),
        lock_time: LOCK_TIME,
    }
}

fn sign(
    tx: &mut Transaction,
    selection: &Selection,
    key_for: impl Fn(&PubkeyHash) -> Result<Option<SecretKey>, WalletError>,
) -> Result<(), PaymentError> {
    // A miner's coins are often all on one address: derive its key once.
    let mut known: HashMap<PubkeyHash, SecretKey> = HashMap::new();
    for (input, coin) in selection.coins.iter().enumerate() {
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
