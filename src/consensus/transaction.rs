//! Rules of a transaction: alone, and against the coins it spends.

use std::collections::HashSet;
use std::ops::Range;

use super::error::RuleError;
use super::locks::sequence_lock_passed;
use super::rule_switch::{broken, required, stand_in_coin};
use super::spec::ChainSpec;
use crate::keys::{SighashCache, parse_script_sig, verify};
use crate::primitives::{
    Amount, Coin, Encode, OutPoint, PubkeyHash, Script, Transaction, TxOut, UtxoView,
};

/// The allowed length of a coinbase script in bytes (Bitcoin Core, `consensus/tx_check.cpp`).
pub const COINBASE_SCRIPT_LEN: std::ops::RangeInclusive<usize> = 2..=100;

/// Where a transaction is to be spent: the block it is in, or would be in.
#[derive(Clone, Copy)]
pub struct SpendContext<'a> {
    /// The height of that block.
    pub height: u32,
    /// The median time of the block's parent and the ten before it.
    pub median_time_past: u32,
    /// The same of the block at a height of that chain.
    pub median_time_at: &'a dyn Fn(u32) -> u32,
}

/// The rules that a transaction meets or breaks wherever it is (Bitcoin Core, `CheckTransaction`, and the P2PKH restriction).
///
/// # Errors
/// The first rule that is broken.
pub fn check_transaction_in_isolation(spec: &ChainSpec, tx: &Transaction) -> Result<(), RuleError> {
    check_version(tx)?;
    check_size(spec, tx)?;
    output_sum(tx)?;
    check_output_scripts(tx)?;
    check_duplicate_inputs(tx)?;
    check_input_references(tx)
}

/// Version 1 or 2: a deliberate restriction, so that every version's meaning is known.
fn check_version(tx: &Transaction) -> Result<(), RuleError> {
    match tx.version {
        1 | 2 => Ok(()),
        other => broken(RuleError::TransactionVersion(other)),
    }
}

fn check_size(spec: &ChainSpec, tx: &Transaction) -> Result<(), RuleError> {
    if tx.inputs.is_empty() {
        broken(RuleError::NoInputs)?;
    }
    if tx.outputs.is_empty() {
        broken(RuleError::NoOutputs)?;
    }
    let (found, limit) = (tx.encoded_len(), spec.max_block_size);
    if u32::try_from(found).is_ok_and(|found| found <= limit) {
        return Ok(());
    }
    broken(RuleError::TransactionTooLarge { found, limit })
}

/// The sum of the outputs: every value and the running sum are at most the supply (CVE-2010-5139: a sum that wrapped around).
pub(super) fn output_sum(tx: &Transaction) -> Result<Amount, RuleError> {
    let mut sum = Amount::ZERO;
    for (index, output) in tx.outputs.iter().enumerate() {
        let value = output.value.check();
        let value = value.map_err(|reason| RuleError::OutputValue { index, reason });
        let value = required(value, || Amount::MAX)?;
        let more = sum.checked_add(value).ok_or(RuleError::OutputSum);
        sum = required(more, || Amount::MAX)?;
    }
    Ok(sum)
}

/// Every output is P2PKH: a deliberate restriction to one kind of coin.
fn check_output_scripts(tx: &Transaction) -> Result<(), RuleError> {
    let other = |output: &TxOut| output.script_pubkey.as_p2pkh().is_none();
    match tx.outputs.iter().position(other) {
        Some(index) => broken(RuleError::OutputScript { index }),
        None => Ok(()),
    }
}

/// No coin twice. Bitcoin Core 0.14 to 0.16 left this check out for blocks, and money could be made (CVE-2018-17144).
fn check_duplicate_inputs(tx: &Transaction) -> Result<(), RuleError> {
    let mut seen = HashSet::with_capacity(tx.inputs.len());
    for input in &tx.inputs {
        if !seen.insert(input.previous_output) {
            broken(RuleError::DuplicateInput {
                outpoint: input.previous_output,
            })?;
        }
    }
    Ok(())
}

/// A coinbase has a script of 2 to 100 bytes; every other transaction refers to real outputs.
fn check_input_references(tx: &Transaction) -> Result<(), RuleError> {
    if tx.is_coinbase() {
        let found = tx.inputs[0].script_sig.len();
        if !COINBASE_SCRIPT_LEN.contains(&found) {
            broken(RuleError::CoinbaseScriptLength { found })?;
        }
        return Ok(());
    }
    match tx
        .inputs
        .iter()
        .position(|input| input.previous_output == OutPoint::NULL)
    {
        Some(index) => broken(RuleError::NullInput { index }),
        None => Ok(()),
    }
}

/// The rules of a transaction against the coins it spends, except its scripts: they exist, are mature, their relative locks have
/// passed, and they are worth at least the outputs. Returns the fee and the spent coins in the order of the inputs.
///
/// The caller has checked the transaction in isolation and that it is not a coinbase.
///
/// # Errors
/// The first rule that is broken.
pub fn check_transaction_in_utxo_context(
    spec: &ChainSpec,
    tx: &Transaction,
    context: &SpendContext<'_>,
    view: &impl UtxoView,
) -> Result<(Amount, Vec<Coin>), RuleError> {
    let outputs = output_sum(tx)?;
    let mut spent = Vec::with_capacity(tx.inputs.len());
    let mut inputs = Amount::ZERO;
    for (index, input) in tx.inputs.iter().enumerate() {
        let outpoint = input.previous_output;
        let coin = view.coin(&outpoint);
        let coin = coin.ok_or(RuleError::MissingCoin { outpoint });
        let coin = required(coin, || stand_in_coin(input, outputs.checked_sub(inputs)))?;
        check_maturity(spec, outpoint, &coin, context.height)?;
        if !sequence_lock_passed(
            tx.version,
            input.sequence,
            &coin,
            context.height,
            context.median_time_past,
            context.median_time_at,
        ) {
            broken(RuleError::SequenceLock { index })?;
        }
        let sum = inputs.checked_add(coin.value).ok_or(RuleError::InputSum);
        inputs = required(sum, || Amount::MAX)?;
        spent.push(coin);
    }
    let fee = inputs.checked_sub(outputs);
    let fee = fee.ok_or(RuleError::InputsBelowOutputs { inputs, outputs });
    Ok((required(fee, || Amount::ZERO)?, spent))
}

/// A coinbase may be spent `coinbase_maturity` blocks later: a reorg could make its coin vanish.
fn check_maturity(
    spec: &ChainSpec,
    outpoint: OutPoint,
    coin: &Coin,
    height: u32,
) -> Result<(), RuleError> {
    let depth = height.saturating_sub(coin.height);
    if coin.is_coinbase && depth < spec.coinbase_maturity {
        broken(RuleError::ImmatureCoinbase {
            outpoint,
            depth,
            maturity: spec.coinbase_maturity,
        })?;
    }
    Ok(())
}

/// The script checks of one transaction, apart from everything else, so that they can run on any thread.
#[derive(Debug, Clone)]
pub struct ScriptChecks<'a> {
    /// The transaction.
    pub tx: &'a Transaction,
    /// The key hash of each spent coin, in the order of the inputs.
    pub key_hashes: Vec<PubkeyHash>,
}

impl<'a> ScriptChecks<'a> {
    /// The checks of `tx`, which spends `spent` in the order of its inputs.
    pub fn new(tx: &'a Transaction, spent: &[Coin]) -> Self {
        Self {
            tx,
            key_hashes: spent.iter().map(|coin| coin.pubkey_hash).collect(),
        }
    }

    /// Every input script is exactly a signature and a key, the key is the one the coin pays to, and the signature signs this
    /// transaction.
    ///
    /// # Errors
    /// The first input that breaks a rule.
    pub fn verify(&self) -> Result<(), RuleError> {
        self.verify_inputs(0..self.key_hashes.len())
    }

    /// The same for some of the inputs.
    ///
    /// # Errors
    /// The first of them that breaks a rule.
    pub fn verify_inputs(&self, range: Range<usize>) -> Result<(), RuleError> {
        let digests = SighashCache::new(self.tx);
        let inputs = self.tx.inputs.iter().zip(&self.key_hashes).enumerate();
        for (index, (input, expected)) in inputs.skip(range.start).take(range.len()) {
            let (signature, key) = match parse_script_sig(&input.script_sig) {
                Ok(parts) => parts,
                Err(reason) => {
                    broken(RuleError::InputScript { index, reason })?;
                    continue;
                }
            };
            let found = key.pubkey_hash();
            if found != *expected {
                broken(RuleError::WrongKey {
                    index,
                    expected: *expected,
                    found,
                })?;
            }
            let digest = digests.signature_hash(index, &Script::p2pkh(expected));
            if !verify(&key, &digest, &signature) {
                broken(RuleError::BadSignature { index })?;
            }
        }
        Ok(())
    }
}
