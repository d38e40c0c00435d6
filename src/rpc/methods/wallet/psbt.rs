//! Partially signed transactions (BIP174): made, filled in, signed, put together.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::sign::fund;
use crate::primitives::{Coin, Encode, OutPoint, Script};
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, Param, optional, required};
use crate::rpc::methods::stored;
use crate::rpc::payments;
use crate::rpc::raw_transaction::{assemble, decode};
use crate::rpc::wallet_service::OpenWallet;
use crate::wallet::{Descriptor, InputState, Psbt, PsbtError};

pub(super) const PSBT: Param = required("psbt", Kind::Text, "The PSBT in Base64");
const INPUTS: Param = required(
    "inputs",
    Kind::List,
    "What is spent: [{\"txid\": \"hex\", \"vout\": n, \"sequence\": n}, ...]",
);
const OUTPUTS: Param = required(
    "outputs",
    Kind::ListOrObject,
    "Who is paid: {\"address\": amount, ...}, or a list of such objects",
);
const LOCKTIME: Param = optional(
    "locktime",
    Kind::Integer,
    "The height, or the time, from which on it may be in a block (default 0)",
);

pub(super) const CREATEPSBT: Method = Method {
    name: "createpsbt",
    params: &[
        INPUTS,
        OUTPUTS,
        LOCKTIME,
        optional(
            "replaceable",
            Kind::Boolean,
            "Whether its sequence numbers say that it may be replaced (default true)",
        ),
        optional("version", Kind::Integer, "Its version, 1 or 2 (default 2)"),
    ],
    about: "A PSBT of an unsigned transaction. Nothing is looked up.",
    result: "\"str\" (string) the PSBT in Base64",
    run: createpsbt,
};

pub(super) const CONVERTTOPSBT: Method = Method {
    name: "converttopsbt",
    params: &[
        required("hexstring", Kind::Text, "The transaction, hex-encoded"),
        optional(
            "permitsigdata",
            Kind::Boolean,
            "Throw signatures away instead of refusing them (default false)",
        ),
        optional("iswitness", Kind::Ignored, "Not used"),
    ],
    about: "A PSBT of a transaction.",
    result: "\"str\" (string) the PSBT in Base64",
    run: converttopsbt,
};

pub(super) const WALLETCREATEFUNDEDPSBT: Method = Method {
    name: "walletcreatefundedpsbt",
    params: &[
        optional(
            "inputs",
            Kind::List,
            "Coins of the wallet that are used in any case (default: none)",
        ),
        // Required in truth; optional here because it stands behind one that may be left out.
        optional(
            "outputs",
            Kind::ListOrObject,
            "Who is paid: {\"address\": amount, ...}, or a list of such objects",
        ),
        LOCKTIME,
        optional(
            "options",
            Kind::Object,
            "As those of send; feeRate is in coins for 1000 bytes",
        ),
        optional(
            "bip32derivs",
            Kind::Boolean,
            "Say which keys sign and which outputs are change (default true)",
        ),
        optional("version", Kind::Integer, "Its version, 1 or 2 (default 2)"),
    ],
    about: "A PSBT of a payment of the wallet, with all that a signer needs who does not have the chain. A wallet without private keys can make it.",
    result: "{\"psbt\": \"str\", \"fee\": n, \"changepos\": n} (object)",
    run: walletcreatefundedpsbt,
};

pub(super) const WALLETPROCESSPSBT: Method = Method {
    name: "walletprocesspsbt",
    params: &[
        PSBT,
        optional(
            "sign",
            Kind::Boolean,
            "Sign what the wallet has keys for (default true)",
        ),
        optional(
            "sighashtype",
            Kind::Text,
            "Must be \"ALL\" or \"DEFAULT\", the only ones of this chain",
        ),
        optional(
            "bip32derivs",
            Kind::Boolean,
            "Say which keys sign (default true)",
        ),
        optional(
            "finalize",
            Kind::Boolean,
            "Complete inputs that are signed (default true)",
        ),
    ],
    about: "Fills in what the wallet knows of a PSBT, and signs it.",
    result: "{\"psbt\": \"str\", \"complete\": true|false, \"hex\"?: \"hex\"} (object)",
    run: walletprocesspsbt,
};

pub(super) const COMBINEPSBT: Method = Method {
    name: "combinepsbt",
    params: &[required(
        "txs",
        Kind::List,
        "PSBTs of one transaction, in Base64",
    )],
    about: "Puts together what several signers added to one PSBT.",
    result: "\"str\" (string) the PSBT in Base64",
    run: combinepsbt,
};

pub(super) const FINALIZEPSBT: Method = Method {
    name: "finalizepsbt",
    params: &[
        PSBT,
        optional(
            "extract",
            Kind::Boolean,
            "Give the transaction once it is complete (default true)",
        ),
    ],
    about: "Completes the inputs that are signed; of a complete PSBT gives the transaction, ready for sendrawtransaction.",
    result: "{\"psbt\"?: \"str\", \"hex\"?: \"hex\", \"complete\": true|false} (object)",
    run: finalizepsbt,
};

pub(super) const UTXOUPDATEPSBT: Method = Method {
    name: "utxoupdatepsbt",
    params: &[
        PSBT,
        optional(
            "descriptors",
            Kind::List,
            "Descriptors, or {\"desc\": \"str\", \"range\": ...}, of the keys that sign",
        ),
    ],
    about: "Fills in the transactions that a PSBT spends, from the chain and the mempool, and keys from descriptors.",
    result: "\"str\" (string) the PSBT in Base64",
    run: utxoupdatepsbt,
};

impl From<PsbtError> for RpcError {
    fn from(error: PsbtError) -> Self {
        let code = match &error {
            PsbtError::Different => code::INVALID_PARAMETER,
            PsbtError::Malformed(_) | PsbtError::Transaction | PsbtError::Signed => {
                code::DESERIALIZATION_ERROR
            }
        };
        Self::new(code, error.to_string())
    }
}

pub(super) fn given(call: &Call<'_>) -> Result<Psbt, RpcError> {
    Ok(Psbt::parse(call.args.required_text("psbt")?)?)
}

/// The coins at these places in the chain or the mempool, spent by waiting transactions or not.
pub(super) fn previous_coins(
    call: &Call<'_>,
    points: &[OutPoint],
) -> Result<HashMap<OutPoint, Coin>, RpcError> {
    let found = stored(call.context.reader().coins(points))?;
    let mut coins = HashMap::new();
    for (point, coin) in points.iter().zip(found) {
        let coin = coin.or_else(|| {
            let waiting = call.context.mempool.get_blocking(point.txid)?;
            let output = waiting.outputs.get(usize::try_from(point.vout).ok()?)?;
            Some(Coin {
                value: output.value.check().ok()?,
                pubkey_hash: output.script_pubkey.as_p2pkh()?,
                height: 0,
                is_coinbase: false,
            })
        });
        coins.extend(coin.map(|coin| (*point, coin)));
    }
    Ok(coins)
}

/// Puts in the transactions that it spends, as far as chain and mempool have them.
fn fill_previous(call: &Call<'_>, psbt: &mut Psbt) -> Result<(), RpcError> {
    for input in 0..psbt.transaction().inputs.len() {
        let Some(point) = psbt.point(input) else {
            continue;
        };
        if psbt.state(input) != InputState::NoCoin {
            continue;
        }
        let waiting = call.context.mempool.get_blocking(point.txid);
        let previous = match waiting {
            Some(waiting) => Some((*waiting).clone()),
            None => stored(call.context.reader().transaction(&point.txid))?.map(|at| at.tx),
        };
        if let Some(previous) = previous {
            psbt.put_previous(input, &previous);
        }
    }
    Ok(())
}

/// Puts in all that chain and wallet know: the transactions that it spends, and, if asked for, which keys sign and which outputs
/// are the wallet's.
pub(super) fn fill(
    call: &Call<'_>,
    open: &OpenWallet<'_>,
    psbt: &mut Psbt,
    with_keys: bool,
) -> Result<(), RpcError> {
    fill_previous(call, psbt)?;
    if !with_keys {
        return Ok(());
    }
    for input in 0..psbt.transaction().inputs.len() {
        let owner = psbt.coin(input).map(|(_, hash)| hash);
        let key = owner.and_then(|hash| open.wallet.public_key(&hash));
        if let Some(key) = key.filter(|_| psbt.state(input) != InputState::Final) {
            psbt.put_input_key(input, &key);
        }
    }
    for output in 0..psbt.transaction().outputs.len() {
        let script = psbt.transaction().outputs.get(output);
        let hash = script.and_then(|output| output.script_pubkey.as_p2pkh());
        if let Some(key) = hash.and_then(|hash| open.wallet.public_key(&hash)) {
            psbt.put_output_key(output, &key);
        }
    }
    Ok(())
}

fn createpsbt(call: &Call<'_>) -> Answer {
    let tx = assemble(call.args, call.context.spec().address_version)?;
    Ok(json!(Psbt::of(&tx)?.to_text()))
}

fn converttopsbt(call: &Call<'_>) -> Answer {
    let mut tx = decode(call.args.required_text("hexstring")?)?;
    if call.args.boolean("permitsigdata").unwrap_or(false) {
        for input in &mut tx.inputs {
            input.script_sig = Script::default();
        }
    }
    Ok(json!(Psbt::of(&tx)?.to_text()))
}

fn walletcreatefundedpsbt(call: &Call<'_>) -> Answer {
    let tx = assemble(call.args, call.context.spec().address_version)?;
    let empty = Map::new();
    let options = call.args.object("options").unwrap_or(&empty);
    let with_keys = call.args.boolean("bip32derivs").unwrap_or(true);
    call.wallet()?.with(call.context, |open| {
        let (funded, fee, position) = fund(call, open, &tx, options)?;
        let mut psbt = Psbt::of(&funded)?;
        fill(call, open, &mut psbt, with_keys)?;
        Ok(json!({
            "psbt": psbt.to_text(),
            "fee": amount(fee),
            "changepos": position,
        }))
    })
}

fn walletprocesspsbt(call: &Call<'_>) -> Answer {
    let mut psbt = given(call)?;
    let kind = call.args.text("sighashtype").unwrap_or("DEFAULT");
    if !["ALL", "DEFAULT"].contains(&kind) {
        let message = "'sighashtype': this chain knows ALL only";
        return Err(RpcError::invalid_parameter(message));
    }
    let sign = call.args.boolean("sign").unwrap_or(true);
    let with_keys = call.args.boolean("bip32derivs").unwrap_or(true);
    let finalize = call.args.boolean("finalize").unwrap_or(true);
    call.wallet()?.with(call.context, |open| {
        fill(call, open, &mut psbt, with_keys)?;
        if sign && open.wallet.has_private_keys() {
            payments::check_unlocked(open)?;
            for input in 0..psbt.transaction().inputs.len() {
                let owner = psbt.coin(input).map(|(_, hash)| hash);
                let key = match owner {
                    Some(hash) => open.wallet.secret_key_for(&hash)?,
                    None => None,
                };
                if let Some(key) = key {
                    psbt.sign(input, &key);
                }
            }
        }
        let complete = match finalize {
            true => psbt.finalize(),
            false => (0..psbt.transaction().inputs.len())
                .all(|input| matches!(psbt.state(input), InputState::Signed | InputState::Final)),
        };
        let mut answer = json!({ "psbt": psbt.to_text(), "complete": complete });
        if let Some(tx) = psbt.extract().filter(|_| finalize) {
            answer["hex"] = json!(hex::encode(tx.to_bytes()));
        }
        Ok(answer)
    })
}

fn combinepsbt(call: &Call<'_>) -> Answer {
    let list = call.args.list("txs").unwrap_or_default();
    let mut combined: Option<Psbt> = None;
    for value in list {
        let text = value
            .as_str()
            .ok_or_else(|| RpcError::new(code::TYPE_ERROR, "txs: each is a string"))?;
        let one = Psbt::parse(text)?;
        match &mut combined {
            Some(all) => all.combine(&one)?,
            none => *none = Some(one),
        }
    }
    let none = || RpcError::invalid_parameter("Parameter 'txs' cannot be empty");
    Ok(json!(combined.ok_or_else(none)?.to_text()))
}

fn finalizepsbt(call: &Call<'_>) -> Answer {
    let mut psbt = given(call)?;
    let extract = call.args.boolean("extract").unwrap_or(true);
    let complete = psbt.finalize();
    match psbt.extract().filter(|_| extract) {
        Some(tx) => Ok(json!({ "hex": hex::encode(tx.to_bytes()), "complete": complete })),
        None => Ok(json!({ "psbt": psbt.to_text(), "complete": complete })),
    }
}

fn utxoupdatepsbt(call: &Call<'_>) -> Answer {
    let mut psbt = given(call)?;
    fill_previous(call, &mut psbt)?;
    let owners: HashSet<_> = (0..psbt.transaction().inputs.len())
        .filter_map(|input| psbt.coin(input).map(|(_, hash)| hash))
        .collect();
    for value in call.args.list("descriptors").unwrap_or_default() {
        let (text, range) = match value {
            Value::String(text) => (Some(text.as_str()), &Value::Null),
            other => (other["desc"].as_str(), &other["range"]),
        };
        let text = text.ok_or_else(|| {
            RpcError::invalid_parameter("Descriptor needs to be provided in scan object")
        })?;
        let range = match range {
            Value::Null => (0, 1_001),
            range => super::imports::range_of(range)?,
        };
        let descriptor = Descriptor::parse(text, call.context.spec())?;
        for (index, hash) in (range.0..).zip(descriptor.hashes(range.0, range.1)) {
            if !owners.contains(&hash) {
                continue;
            }
            for input in 0..psbt.transaction().inputs.len() {
                let is_its = psbt.coin(input).is_some_and(|(_, owner)| owner == hash);
                if let Some(key) = descriptor.public_key(index).filter(|_| is_its) {
                    psbt.put_input_key(input, &key);
                }
            }
        }
    }
    Ok(json!(psbt.to_text()))
}
