//! Signatures of messages and of transactions that were made elsewhere.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::fees;
use super::options::apply_options;
use super::psbt::previous_coins;
use crate::keys::{
    self, Address, SecretKey, message_signer, parse_script_sig, sign_input, sign_message,
};
use crate::primitives::{Amount, Coin, Encode, OutPoint, PubkeyHash, Script, Transaction};
use crate::rpc::amount::amount;
use crate::rpc::arguments::amount_of;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, Param, optional, required};
use crate::rpc::payments::{self, Order};
use crate::rpc::raw_transaction::{decode, outpoint};
use crate::rpc::wallet_service::OpenWallet;
use crate::wallet::WalletError;

const PREVTXS: Param = optional(
    "prevtxs",
    Kind::List,
    "Coins that the chain does not have: {\"txid\": \"hex\", \"vout\": n, \"scriptPubKey\": \"hex\", \"amount\": n} each",
);
const SIGHASH: Param = optional(
    "sighashtype",
    Kind::Text,
    "Must be \"ALL\", the only one of this chain",
);
const SIGNED: &str = "{\"hex\": \"hex\", \"complete\": true|false, \"errors\"?: [{\"txid\": \"hex\", \"vout\": n, \"witness\": [...], \"scriptSig\": \"hex\", \"sequence\": n, \"error\": \"str\"}, ...]} (object)";

pub(super) const SIGNMESSAGE: Method = Method {
    name: "signmessage",
    params: &[
        required("address", Kind::Text, "An address of the wallet"),
        required("message", Kind::Text, "The message"),
    ],
    about: "Signs a message with the key of an address, in Bitcoin's format.",
    result: "\"str\" (string) the signature in Base64",
    run: signmessage,
};

pub(super) const SIGNMESSAGEWITHPRIVKEY: Method = Method {
    name: "signmessagewithprivkey",
    params: &[
        required(
            "privkey",
            Kind::Text,
            "A private key in wallet import format",
        ),
        required("message", Kind::Text, "The message"),
    ],
    about: "Signs a message with a private key, in Bitcoin's format.",
    result: "\"str\" (string) the signature in Base64",
    run: signmessagewithprivkey,
};

pub(super) const VERIFYMESSAGE: Method = Method {
    name: "verifymessage",
    params: &[
        required("address", Kind::Text, "Whose signature it should be"),
        required("signature", Kind::Text, "The signature in Base64"),
        required("message", Kind::Text, "The message"),
    ],
    about: "Whether the holder of an address signed a message.",
    result: "true|false (boolean)",
    run: verifymessage,
};

pub(super) const SIGNRAWTRANSACTIONWITHWALLET: Method = Method {
    name: "signrawtransactionwithwallet",
    params: &[
        required("hexstring", Kind::Text, "The transaction, hex-encoded"),
        PREVTXS,
        SIGHASH,
    ],
    about: "Signs those inputs of a transaction that spend coins of the wallet.",
    result: SIGNED,
    run: signrawtransactionwithwallet,
};

pub(super) const SIGNRAWTRANSACTIONWITHKEY: Method = Method {
    name: "signrawtransactionwithkey",
    params: &[
        required("hexstring", Kind::Text, "The transaction, hex-encoded"),
        required(
            "privkeys",
            Kind::List,
            "Private keys in wallet import format",
        ),
        PREVTXS,
        SIGHASH,
    ],
    about: "Signs those inputs of a transaction that spend coins of the given keys.",
    result: SIGNED,
    run: signrawtransactionwithkey,
};

pub(super) const FUNDRAWTRANSACTION: Method = Method {
    name: "fundrawtransaction",
    params: &[
        required(
            "hexstring",
            Kind::Text,
            "A transaction with outputs and perhaps inputs, hex-encoded",
        ),
        optional(
            "options",
            Kind::Object,
            "As those of send; feeRate is in coins for 1000 bytes",
        ),
        optional("iswitness", Kind::Ignored, "Not used"),
    ],
    about: "Adds coins of the wallet and change to a transaction, so that it pays what it says and a fee. It is not signed.",
    result: "{\"hex\": \"hex\", \"fee\": n, \"changepos\": n} (object)",
    run: fundrawtransaction,
};

fn signmessage(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let hash = call.args.required_address("address", version)?;
    let message = call.args.required_text("message")?;
    let key = call.wallet()?.keys(|wallet| {
        if wallet.is_locked() {
            return Err(WalletError::Locked.into());
        }
        Ok(wallet.secret_key_for(&hash)?)
    })?;
    let key = key.ok_or_else(|| RpcError::new(code::WALLET_ERROR, "Private key not available"))?;
    Ok(signature_of(&key, message))
}

fn signature_of(key: &SecretKey, message: &str) -> Value {
    json!(STANDARD.encode(sign_message(key, message.as_bytes())))
}

fn signmessagewithprivkey(call: &Call<'_>) -> Answer {
    let key = call.args.required_text("privkey")?;
    let message = call.args.required_text("message")?;
    Ok(signature_of(&key_of(call, key)?, message))
}

fn key_of(call: &Call<'_>, text: &str) -> Result<SecretKey, RpcError> {
    SecretKey::from_wif(text, call.context.spec().wif_version).map_err(|error| {
        let message = format!("Invalid private key: {error}");
        RpcError::new(code::INVALID_ADDRESS_OR_KEY, message)
    })
}

fn verifymessage(call: &Call<'_>) -> Answer {
    let text = call.args.required_text("address")?;
    let version = call.context.spec().address_version;
    let hash = Address::parse(text, version)?.pubkey_hash();
    let signature = STANDARD.decode(call.args.required_text("signature")?);
    let malformed = || RpcError::new(code::TYPE_ERROR, "Malformed base64 encoding");
    let signature = signature.map_err(|_| malformed())?;
    let message = call.args.required_text("message")?;
    let signer = <[u8; 65]>::try_from(signature)
        .ok()
        .and_then(|signature| message_signer(&signature, message.as_bytes()));
    Ok(json!(signer == Some(hash)))
}

/// The coins that a transaction spends, from the chain, the mempool and the caller.
fn coins(call: &Call<'_>, tx: &Transaction) -> Result<HashMap<OutPoint, Coin>, RpcError> {
    let points: Vec<OutPoint> = tx
        .inputs
        .iter()
        .map(|input| input.previous_output)
        .collect();
    let mut coins = previous_coins(call, &points)?;
    for value in call.args.list("prevtxs").unwrap_or_default() {
        let fields = value
            .as_object()
            .ok_or_else(|| RpcError::new(code::TYPE_ERROR, "prevtxs: each is an object"))?;
        let point = outpoint(fields)?;
        let script = fields.get("scriptPubKey").and_then(Value::as_str);
        let script = script
            .and_then(|text| hex::decode(text).ok())
            .map(Script::from);
        let hash = script.and_then(|script| script.as_p2pkh()).ok_or_else(|| {
            let message = "scriptPubKey must be the script of a P2PKH output in hex";
            RpcError::new(code::DESERIALIZATION_ERROR, message)
        })?;
        if coins
            .get(&point)
            .is_some_and(|coin| coin.pubkey_hash != hash)
        {
            return Err(RpcError::new(
                code::DESERIALIZATION_ERROR,
                "Previous output scriptPubKey mismatch",
            ));
        }
        let value = match fields.get("amount") {
            Some(value) => amount_of("amount", value)?,
            // The signature of this chain's kind does not cover it.
            None => Amount::ZERO,
        };
        coins.entry(point).or_insert(Coin {
            value,
            pubkey_hash: hash,
            height: 0,
            is_coinbase: false,
        });
    }
    Ok(coins)
}

fn sign(
    call: &Call<'_>,
    mut tx: Transaction,
    key_for: impl Fn(&PubkeyHash) -> Result<Option<SecretKey>, RpcError>,
) -> Answer {
    if call
        .args
        .text("sighashtype")
        .is_some_and(|kind| kind != "ALL")
    {
        let message = "'sighashtype': this chain knows ALL only";
        return Err(RpcError::invalid_parameter(message));
    }
    let coins = coins(call, &tx)?;
    let mut errors = Vec::new();
    for index in 0..tx.inputs.len() {
        let Some(input) = tx.inputs.get(index) else {
            continue;
        };
        let (point, sequence) = (input.previous_output, input.sequence);
        let problem = match coins.get(&point) {
            None => Some("Input not found or already spent"),
            Some(coin) => {
                let hash = coin.pubkey_hash;
                if let Some(key) = key_for(&hash)? {
                    sign_input(&mut tx, index, &key);
                }
                let is_signed = is_signed_by(&tx, index, &hash);
                (!is_signed).then_some("Unable to sign input, no key for it is known")
            }
        };
        if let (Some(problem), Some(input)) = (problem, tx.inputs.get(index)) {
            errors.push(json!({
                "txid": point.txid,
                "vout": point.vout,
                "witness": [],
                "scriptSig": hex::encode(input.script_sig.as_bytes()),
                "sequence": sequence,
                "error": problem,
            }));
        }
    }
    let mut answer = json!({
        "hex": hex::encode(tx.to_bytes()),
        "complete": errors.is_empty(),
    });
    if !errors.is_empty() {
        answer["errors"] = Value::Array(errors);
    }
    Ok(answer)
}

fn is_signed_by(tx: &Transaction, index: usize, hash: &PubkeyHash) -> bool {
    let script = tx.inputs.get(index).map(|input| &input.script_sig);
    let parsed = script.and_then(|script| parse_script_sig(script).ok());
    parsed.is_some_and(|(signature, key)| {
        let digest = keys::signature_hash(tx, index, &Script::p2pkh(hash));
        key.pubkey_hash() == *hash && keys::verify(&key, &digest, &signature)
    })
}

fn signrawtransactionwithwallet(call: &Call<'_>) -> Answer {
    let tx = decode(call.args.required_text("hexstring")?)?;
    call.wallet()?
        .with(call.context, |open: &mut OpenWallet<'_>| {
            payments::check_unlocked(open)?;
            sign(call, tx, |hash| Ok(open.wallet.secret_key_for(hash)?))
        })
}

fn signrawtransactionwithkey(call: &Call<'_>) -> Answer {
    let tx = decode(call.args.required_text("hexstring")?)?;
    let mut keys = HashMap::new();
    for value in call.args.list("privkeys").unwrap_or_default() {
        let text = value
            .as_str()
            .ok_or_else(|| RpcError::new(code::TYPE_ERROR, "privkeys: each is a string"))?;
        let key = key_of(call, text)?;
        keys.insert(key.public_key().pubkey_hash(), key);
    }
    sign(call, tx, |hash| Ok(keys.get(hash).cloned()))
}

fn fundrawtransaction(call: &Call<'_>) -> Answer {
    let tx = decode(call.args.required_text("hexstring")?)?;
    let empty = Map::new();
    let options = call.args.object("options").unwrap_or(&empty);
    call.wallet()?.with(call.context, |open| {
        let (funded, fee, position) = fund(call, open, &tx, options)?;
        Ok(json!({
            "hex": hex::encode(funded.to_bytes()),
            "fee": amount(fee),
            "changepos": position,
        }))
    })
}

/// A transaction with coins and change added; its fee, and where the change is, -1 for nowhere.
pub(super) fn fund(
    call: &Call<'_>,
    open: &mut OpenWallet<'_>,
    tx: &Transaction,
    options: &Map<String, Value>,
) -> Result<(Transaction, Amount, i64), RpcError> {
    let mut to = Vec::with_capacity(tx.outputs.len());
    for output in &tx.outputs {
        let hash = output.script_pubkey.as_p2pkh();
        let value = output.value.check().ok();
        to.push(hash.zip(value).ok_or_else(|| {
            RpcError::invalid_parameter("an output is not one of this chain (P2PKH)")
        })?);
    }
    let points: Vec<OutPoint> = tx
        .inputs
        .iter()
        .map(|input| input.previous_output)
        .collect();
    let fixed = payments::chosen_coins(open, &points)?;
    let mut order = Order {
        lock_time: tx.lock_time,
        fixed,
        ..Order::new(to, fees::of_options(call, options)?)
    };
    apply_options(call, options, &mut order)?;
    // Here further coins are added unless that is forbidden.
    order.add_inputs = options
        .get("add_inputs")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    let prepared = payments::prepare(call.context, open, order)?;
    let mut funded = prepared.tx;
    funded.version = tx.version;
    for input in &mut funded.inputs {
        let given = tx
            .inputs
            .iter()
            .find(|one| one.previous_output == input.previous_output);
        input.sequence = given.map_or(input.sequence, |given| given.sequence);
    }
    let lock = ["lock_unspents", "lockUnspents"];
    if lock
        .iter()
        .any(|name| options.get(*name) == Some(&Value::Bool(true)))
    {
        let used = funded.inputs.iter().map(|input| input.previous_output);
        open.kept_back.extend(used);
    }
    let position = prepared
        .change_position
        .and_then(|at| i64::try_from(at).ok());
    Ok((funded, prepared.fee, position.unwrap_or(-1)))
}
