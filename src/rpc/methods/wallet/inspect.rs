//! What a partially signed transaction says, and how far it is.

use serde_json::{Map, Value, json};

use super::psbt::{PSBT, given};
use super::send::rate_of;
use crate::primitives::{Amount, Encode, Transaction};
use crate::rpc::amount::amount;
use crate::rpc::describe::{self, Shown};
use crate::rpc::method::{Answer, Call, Method};
use crate::rpc::script_text::asm;
use crate::wallet::{InputState, PsbtKey};

pub(super) const DECODEPSBT: Method = Method {
    name: "decodepsbt",
    params: &[PSBT],
    about: "What a PSBT says.",
    result: "{\"tx\": {...}, \"global_xpubs\": [...], \"psbt_version\": n, \"proprietary\": [...], \"unknown\": {...}, \"inputs\": [{...}, ...], \"outputs\": [{...}, ...], \"fee\"?: n} (object)",
    run: decodepsbt,
};

pub(super) const ANALYZEPSBT: Method = Method {
    name: "analyzepsbt",
    params: &[PSBT],
    about: "How far a PSBT is, and who must do something next.",
    result: "{\"inputs\": [{\"has_utxo\": true|false, \"is_final\": true|false, \"missing\"?: {...}, \"next\": \"str\"}, ...], \"estimated_vsize\"?: n, \"estimated_feerate\"?: n, \"fee\"?: n, \"next\": \"str\"} (object)",
    run: analyzepsbt,
};

fn shown_keys(keys: &[PsbtKey]) -> Value {
    let show = |key: &PsbtKey| {
        json!({
            "pubkey": hex::encode(&key.public),
            "master_fingerprint": hex::encode(key.origin.fingerprint),
            "path": format!("m/{}", key.origin.path_text()),
        })
    };
    keys.iter().map(show).collect()
}

fn decodepsbt(call: &Call<'_>) -> Answer {
    let psbt = given(call)?;
    let version = call.context.spec().address_version;
    let show = |tx: &Transaction| {
        let shown = Shown {
            tx,
            txid: tx.txid(),
            spent: None,
            with_prevouts: false,
        };
        Value::Object(describe::transaction(&shown, version))
    };
    let inputs = (0..psbt.transaction().inputs.len()).map(|at| {
        let input = psbt.input(at);
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        if let Some(previous) = &input.previous {
            put("non_witness_utxo", show(previous));
        }
        if !input.signatures.is_empty() {
            let signatures: Map<String, Value> = input
                .signatures
                .iter()
                .map(|(key, signature)| (hex::encode(key), json!(hex::encode(signature))))
                .collect();
            put("partial_signatures", Value::Object(signatures));
        }
        if let Some(kind) = &input.sighash {
            put("sighash", json!(kind.trim_start_matches("SIGHASH_")));
        }
        if !input.keys.is_empty() {
            put("bip32_derivs", shown_keys(&input.keys));
        }
        if let Some(script) = &input.final_script {
            let bytes = script.as_bytes();
            let asm = asm(bytes, true);
            put(
                "final_scriptSig",
                json!({ "asm": asm, "hex": hex::encode(bytes) }),
            );
        }
        Value::Object(fields)
    });
    let outputs = (0..psbt.transaction().outputs.len()).map(|at| {
        let keys = psbt.output_keys(at);
        match keys.is_empty() {
            true => json!({}),
            false => json!({ "bip32_derivs": shown_keys(&keys) }),
        }
    });
    let mut answer = json!({
        "tx": show(psbt.transaction()),
        "global_xpubs": [],
        "psbt_version": 0,
        "proprietary": [],
        "unknown": {},
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
    });
    if let Some(fee) = psbt.fee() {
        answer["fee"] = amount(fee);
    }
    Ok(answer)
}

/// Who must do something next, by how far an input is.
const fn next_role(state: InputState) -> &'static str {
    match state {
        InputState::NoCoin => "updater",
        InputState::Unsigned => "signer",
        InputState::Signed => "finalizer",
        InputState::Final => "extractor",
    }
}

fn analyzepsbt(call: &Call<'_>) -> Answer {
    let psbt = given(call)?;
    let count = psbt.transaction().inputs.len();
    let states: Vec<InputState> = (0..count).map(|input| psbt.state(input)).collect();
    let inputs: Vec<Value> = (0..count)
        .zip(&states)
        .map(|(input, state)| {
            let mut fields = json!({
                "has_utxo": psbt.coin(input).is_some(),
                "is_final": *state == InputState::Final,
                "next": next_role(*state),
            });
            if let (InputState::Unsigned, Some((_, hash))) = (state, psbt.coin(input)) {
                fields["missing"] = json!({ "signatures": [hash.to_string()] });
            }
            fields
        })
        .collect();
    // The one who is furthest behind.
    let order = [InputState::NoCoin, InputState::Unsigned, InputState::Signed];
    let last = order.into_iter().find(|state| states.contains(state));
    let mut answer = json!({
        "inputs": inputs,
        "next": next_role(last.unwrap_or(InputState::Final)),
    });
    if let Some(fee) = psbt.fee() {
        // An input script has at most 107 bytes: signature with hash type, key, and a byte before each.
        let size = match psbt.extract() {
            Some(tx) => tx.encoded_len(),
            None => psbt.transaction().encoded_len() + 107 * count,
        };
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let rate = rate_of(fee, size).units_per_kilobyte();
        let rate = Amount::from_units(rate);
        answer["estimated_vsize"] = json!(size);
        answer["estimated_feerate"] = amount(rate.unwrap_or(Amount::MAX));
        answer["fee"] = amount(fee);
    }
    Ok(answer)
}
