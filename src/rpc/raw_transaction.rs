//! Unsigned transactions, as `createrawtransaction` and its relatives describe them: inputs and outputs as JSON.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::keys::Address;
use crate::primitives::{Decode, OutPoint, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut, Txid};

use super::amount::parse_amount;
use super::arguments::Arguments;
use super::error::{RpcError, code};

/// The sequence number that lets a lock time hold.
const SEQUENCE_LOCKED: u32 = SEQUENCE_FINAL - 1;
/// The highest sequence number that says "this may be replaced" (BIP125).
const SEQUENCE_REPLACEABLE: u32 = SEQUENCE_FINAL - 2;

/// The version of new transactions.
const VERSION: i32 = 2;

/// The unsigned transaction that the parameters `inputs`, `outputs`, `locktime`, `replaceable` and `version` describe; those
/// that the method does not have are at their defaults.
pub(super) fn assemble(args: &Arguments<'_>, address_version: u8) -> Result<Transaction, RpcError> {
    let lock_time: i64 = args.integer("locktime")?.unwrap_or(0);
    let lock_time = u32::try_from(lock_time)
        .map_err(|_| RpcError::invalid_parameter("Invalid parameter, locktime out of range"))?;
    let version: i64 = args.integer("version")?.unwrap_or(VERSION.into());
    let version = i32::try_from(version)
        .ok()
        .filter(|version| matches!(version, 1 | 2))
        .ok_or_else(|| {
            RpcError::invalid_parameter("Invalid parameter, version out of range(1~2)")
        })?;
    let replaceable = args.boolean("replaceable").unwrap_or(true);
    let sequence = match (replaceable, lock_time) {
        (true, _) => SEQUENCE_REPLACEABLE,
        (false, 0) => SEQUENCE_FINAL,
        (false, _) => SEQUENCE_LOCKED,
    };
    let inputs = args.list("inputs").unwrap_or_default().iter();
    Ok(Transaction {
        version,
        inputs: inputs
            .map(|value| input(value, sequence))
            .collect::<Result<_, _>>()?,
        outputs: outputs(args.any("outputs"), address_version)?,
        lock_time,
    })
}

fn input(value: &Value, sequence: u32) -> Result<TxIn, RpcError> {
    let Value::Object(fields) = value else {
        return Err(wrong_type("inputs: each is an object of txid and vout"));
    };
    let previous_output = outpoint(fields)?;
    let sequence = match fields.get("sequence") {
        None | Some(Value::Null) => sequence,
        Some(value) => whole(value, "sequence")?,
    };
    Ok(TxIn {
        previous_output,
        script_sig: Script::default(),
        sequence,
    })
}

/// The output that `txid` and `vout` of an object name.
pub(super) fn outpoint(fields: &Map<String, Value>) -> Result<OutPoint, RpcError> {
    let missing =
        |name: &str| RpcError::invalid_parameter(format!("Invalid parameter, missing {name} key"));
    let txid = fields.get("txid").ok_or_else(|| missing("txid"))?;
    let txid: Txid = Arguments::txid_in("txid", txid)?;
    let vout = fields.get("vout").ok_or_else(|| missing("vout"))?;
    let vout = whole(vout, "vout")?;
    Ok(OutPoint { txid, vout })
}

fn whole(value: &Value, name: &str) -> Result<u32, RpcError> {
    if !value.is_number() {
        return Err(wrong_type(&format!("{name}: expected a number")));
    }
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| {
        RpcError::invalid_parameter(format!("Invalid parameter, {name} is out of range"))
    })
}

/// An object of addresses and amounts, or a list of such objects.
fn outputs(value: Option<&Value>, address_version: u8) -> Result<Vec<TxOut>, RpcError> {
    let mut pairs: Vec<(&String, &Value)> = Vec::new();
    match value {
        Some(Value::Object(fields)) => pairs.extend(fields),
        Some(Value::Array(list)) => {
            for value in list {
                match value.as_object() {
                    Some(fields) if fields.len() == 1 => pairs.extend(fields),
                    Some(_) | None => {
                        return Err(RpcError::invalid_parameter(
                            "Invalid parameter, key-value pair must contain exactly one key",
                        ));
                    }
                }
            }
        }
        Some(_) | None => {
            return Err(RpcError::invalid_parameter(
                "Invalid parameter, output argument must be non-null",
            ));
        }
    }
    let mut seen = HashSet::new();
    pairs
        .into_iter()
        .map(|(name, value)| {
            if name == "data" {
                return Err(RpcError::invalid_parameter(
                    "Invalid parameter, this chain has no outputs for data",
                ));
            }
            let to = Address::parse(name, address_version)?.pubkey_hash();
            if !seen.insert(to) {
                let message = format!("Invalid parameter, duplicated address: {name}");
                return Err(RpcError::invalid_parameter(message));
            }
            output(to, value)
        })
        .collect()
}

fn output(to: crate::primitives::PubkeyHash, value: &Value) -> Result<TxOut, RpcError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong_type("Amount is not a number or string"));
        }
    };
    let amount = parse_amount(&text)
        .map_err(|error| RpcError::new(code::TYPE_ERROR, format!("Invalid amount: {error}")))?;
    Ok(TxOut {
        value: amount.into(),
        script_pubkey: Script::p2pkh(&to),
    })
}

/// Reads a transaction that a person or program gave in hexadecimal.
pub(super) fn decode(hex_text: &str) -> Result<Transaction, RpcError> {
    let failed = |reason: String| {
        let message = format!("TX decode failed ({reason})");
        RpcError::new(code::DESERIALIZATION_ERROR, message)
    };
    let bytes = hex::decode(hex_text.trim()).map_err(|error| failed(error.to_string()))?;
    Transaction::from_bytes(&bytes).map_err(|error| failed(error.to_string()))
}

fn wrong_type(message: &str) -> RpcError {
    RpcError::new(code::TYPE_ERROR, message)
}
