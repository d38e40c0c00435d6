//! Transactions that are tried out, or sent together.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::mempool::{Accepted, FeeRate, Offer, PackageAnswer, RejectError};
use crate::primitives::{Amount, Decode, Encode, OutPoint, Transaction, Txid};
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

use super::transactions::max_fee_rate;

/// The most transactions that are judged together (Bitcoin Core, `MAX_PACKAGE_COUNT`).
const MAX_COUNT: usize = 25;
/// The most bytes of them (Bitcoin Core, `MAX_PACKAGE_WEIGHT`).
const MAX_BYTES: usize = 101_000;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "submitpackage",
        params: &[
            required(
                "package",
                Kind::List,
                "Signed transactions, hex-encoded: the unconfirmed parents of a child, and last the child",
            ),
            optional(
                "maxfeerate",
                Kind::Amount,
                "The highest fee rate to send, in coins per 1000 bytes; 0 for any",
            )
            .or("0.1"),
            optional(
                "maxburnamount",
                Kind::Ignored,
                "Not used: outputs that burn coins do not exist on this chain",
            ),
        ],
        about: "Gives a child and its parents to the mempool. Parents that pay too little alone are taken if the child pays for them.",
        result: "{\"package_msg\": \"str\", \"tx-results\": {\"<txid>\": {\"txid\": \"hex\", \"vsize\"?: n, \"fees\"?: {...}, \"error\"?: \"str\"}, ...}, \"replaced-transactions\": [\"txid\", ...]} (object)",
        run: submitpackage,
    },
    Method {
        name: "testmempoolaccept",
        params: &[
            required(
                "rawtxs",
                Kind::List,
                "Signed transactions, hex-encoded, each after those it depends on",
            ),
            optional(
                "maxfeerate",
                Kind::Amount,
                "The highest fee rate to allow, in coins per 1000 bytes; 0 for any",
            )
            .or("0.1"),
        ],
        about: "Says whether the mempool would take transactions, each as if those before it were there, and takes none.",
        result: "[{\"txid\": \"hex\", \"wtxid\": \"hex\", \"allowed\"?: true|false, \"vsize\"?: n, \"fees\"?: {...}, \"reject-reason\"?: \"str\", \"reject-details\"?: \"str\", \"package-error\"?: \"str\"}, ...] (array)",
        run: testmempoolaccept,
    },
];

fn testmempoolaccept(call: &Call<'_>) -> Answer {
    let offers = offers(call, "rawtxs")?;
    let txids: Vec<Txid> = offers.iter().map(|offer| offer.tx.txid()).collect();
    if let Some(error) = package_error(&offers, &txids) {
        let line = |txid| json!({ "txid": txid, "wtxid": txid, "package-error": error });
        return Ok(txids.iter().map(line).collect());
    }
    let answers = call.context.mempool.test_accept_blocking(offers);
    let mut lines = Vec::new();
    let mut failed = false;
    for (txid, answer) in txids.iter().zip(answers) {
        let mut line = Map::new();
        line.insert("txid".into(), json!(txid));
        line.insert("wtxid".into(), json!(txid));
        // What comes after a refusal may depend on it: Bitcoin Core says nothing of it.
        if !failed {
            failed = answer.is_err();
            verdict(&mut line, txid, &answer);
        }
        lines.push(Value::Object(line));
    }
    Ok(Value::Array(lines))
}

fn verdict(line: &mut Map<String, Value>, txid: &Txid, answer: &Result<Accepted, RejectError>) {
    line.insert("allowed".into(), json!(answer.is_ok()));
    match answer {
        Ok(accepted) => {
            line.insert("vsize".into(), json!(accepted.size));
            let rate = FeeRate::new(accepted.fee.units().into(), accepted.size);
            line.insert("fees".into(), fees(accepted.fee, rate, &[*txid]));
        }
        Err(error) => {
            let reason = error.reject_reason();
            line.insert("reject-reason".into(), json!(reason));
            if !matches!(error, RejectError::MissingInputs { .. }) {
                let details = format!("{reason}, {error}");
                line.insert("reject-details".into(), json!(details));
            }
        }
    }
}

fn fees(base: Amount, rate: FeeRate, together: &[Txid]) -> Value {
    let rate = Amount::from_units(rate.per_kilobyte()).unwrap_or(Amount::MAX);
    json!({
        "base": amount(base),
        "effective-feerate": amount(rate),
        "effective-includes": together,
    })
}

fn submitpackage(call: &Call<'_>) -> Answer {
    let offers = offers(call, "package")?;
    let txids: Vec<Txid> = offers.iter().map(|offer| offer.tx.txid()).collect();
    if !is_child_with_parents(&offers, &txids) {
        return Err(RpcError::new(
            code::VERIFY_ERROR,
            "package topology disallowed. not child-with-parents or parents depend on each other.",
        ));
    }
    if let Some(error) = package_error(&offers, &txids) {
        let line = |txid: &Txid| {
            let line = json!({ "txid": txid, "error": "package-not-validated" });
            (txid.to_string(), line)
        };
        let lines: Map<String, Value> = txids.iter().map(line).collect();
        return Ok(
            json!({ "package_msg": error, "tx-results": lines, "replaced-transactions": [] }),
        );
    }
    let outcome = call.context.mempool.submit_package_blocking(offers);
    let message = if outcome.answers.iter().all(Result::is_ok) {
        "success"
    } else {
        "transaction failed"
    };
    let lines = txids.iter().zip(&outcome.answers);
    let lines: Map<String, Value> = lines
        .map(|(txid, answer)| (txid.to_string(), result(txid, answer, &outcome)))
        .collect();
    Ok(json!({
        "package_msg": message,
        "tx-results": lines,
        "replaced-transactions": outcome.replaced,
    }))
}

fn result(txid: &Txid, answer: &Result<Accepted, RejectError>, outcome: &PackageAnswer) -> Value {
    let accepted = match answer {
        Ok(accepted) => accepted,
        Err(error) => {
            let error = format!("{}, {error}", error.reject_reason());
            return json!({ "txid": txid, "error": error });
        }
    };
    let fees = match outcome.rate {
        Some(rate) if outcome.together.contains(txid) => {
            fees(accepted.fee, rate, &outcome.together)
        }
        Some(_) | None if accepted.newly => {
            let rate = FeeRate::new(accepted.fee.units().into(), accepted.size);
            fees(accepted.fee, rate, &[*txid])
        }
        // Of what was here before Bitcoin Core tells the fee alone.
        Some(_) | None => json!({ "base": amount(accepted.fee) }),
    };
    json!({ "txid": txid, "vsize": accepted.size, "fees": fees })
}

/// The transactions of a parameter, each with the highest fee that is meant.
fn offers(call: &Call<'_>, name: &str) -> Result<Vec<Offer>, RpcError> {
    let max_fee_rate = max_fee_rate(call)?;
    let list = call.args.list(name).unwrap_or_default();
    if list.is_empty() || list.len() > MAX_COUNT {
        return Err(RpcError::invalid_parameter(format!(
            "Array must contain between 1 and {MAX_COUNT} transactions."
        )));
    }
    let decode = |value: &Value| {
        let Some(text) = value.as_str() else {
            let message = format!("{name}: a transaction is a string of hexadecimal digits");
            return Err(RpcError::new(code::TYPE_ERROR, message));
        };
        let failed = || {
            let shown: String = text.chars().take(80).collect();
            let message =
                format!("TX decode failed: {shown} Make sure the tx has at least one input.");
            RpcError::new(code::DESERIALIZATION_ERROR, message)
        };
        let bytes = hex::decode(text.trim()).map_err(|_| failed())?;
        let tx = Transaction::from_bytes(&bytes).map_err(|_| failed())?;
        Ok(Offer {
            tx: Arc::new(tx),
            max_fee_rate,
        })
    };
    list.iter().map(decode).collect()
}

/// What is wrong with several transactions as a package (Bitcoin Core, `IsWellFormedPackage`).
fn package_error(offers: &[Offer], txids: &[Txid]) -> Option<&'static str> {
    if offers.len() < 2 {
        return None;
    }
    let bytes: usize = offers.iter().map(|offer| offer.tx.encoded_len()).sum();
    if bytes > MAX_BYTES {
        return Some("package-too-large");
    }
    if txids.iter().collect::<HashSet<_>>().len() < txids.len() {
        return Some("package-contains-duplicates");
    }
    let mut later: HashSet<&Txid> = txids.iter().collect();
    let mut spent: HashSet<OutPoint> = HashSet::new();
    for (offer, txid) in offers.iter().zip(txids) {
        let inputs = offer.tx.inputs.iter().map(|input| input.previous_output);
        if inputs
            .clone()
            .any(|outpoint| later.contains(&outpoint.txid))
        {
            return Some("package-not-sorted");
        }
        later.remove(txid);
        for outpoint in inputs {
            if !spent.insert(outpoint) {
                return Some("conflict-in-package");
            }
        }
    }
    None
}

/// Whether the last spends from each of the others, and none of these from another.
fn is_child_with_parents(offers: &[Offer], txids: &[Txid]) -> bool {
    let Some(((child, parents), (_, parent_ids))) = offers.split_last().zip(txids.split_last())
    else {
        return false;
    };
    let sources = |offer: &Offer| -> HashSet<Txid> {
        let inputs = offer.tx.inputs.iter();
        inputs.map(|input| input.previous_output.txid).collect()
    };
    let of_child = sources(child);
    parent_ids.iter().all(|txid| of_child.contains(txid))
        && parents
            .iter()
            .all(|parent| sources(parent).iter().all(|txid| !txids.contains(txid)))
}
