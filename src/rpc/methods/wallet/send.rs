//! Payments.

use serde_json::{Map, Value, json};

use super::addresses::hashes;
use super::fees;
use super::imports::outpoints;
use super::options::{apply_options, check_keys, number};
use crate::keys::Address;
use crate::primitives::{Amount, PubkeyHash};
use crate::rpc::amount::amount;
use crate::rpc::arguments::amount_of;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, Param, optional, required};
use crate::rpc::payments::{self, Note, Order};
use crate::rpc::wallet_service::OpenWallet;
use crate::wallet::{self, FeeRate, SignedPayment, WalletError};

const CONF_TARGET: Param = optional(
    "conf_target",
    Kind::Integer,
    "In how many blocks it should be confirmed: the fee rate is estimated for that",
);
const ESTIMATE_MODE: Param = optional(
    "estimate_mode",
    Kind::Text,
    "\"unset\", \"economical\" or \"conservative\"; all estimate alike",
);
const FEE_RATE: Param = optional(
    "fee_rate",
    Kind::Amount,
    "Base units a byte, with up to 3 decimals (default: what the mempool asks for at least, usually 0)",
);

pub(super) const SENDFROM: Method = Method {
    name: "sendfrom",
    params: &[
        required(
            "from",
            Kind::Text,
            "The address whose coins are used; it also gets the change",
        ),
        required("to", Kind::Text, "The address to pay"),
        required("amount", Kind::Amount, "How much, in coins"),
        FEE_RATE,
    ],
    about: "Quarry: pays from one address of the wallet.",
    result: "{\"txid\": \"hex\", \"fee\": n, \"change\": n} (object)",
    run: sendfrom,
};

pub(super) const SENDTOADDRESS: Method = Method {
    name: "sendtoaddress",
    params: &[
        required("address", Kind::Text, "The address to pay"),
        required("amount", Kind::Amount, "How much, in coins"),
        optional(
            "comment",
            Kind::Text,
            "Kept with the transaction, for you alone",
        ),
        optional("comment_to", Kind::Text, "Whom it pays, for you alone"),
        optional(
            "subtractfeefromamount",
            Kind::Boolean,
            "true if the recipient pays the fee (default false)",
        ),
        optional(
            "replaceable",
            Kind::Ignored,
            "Not used: every waiting payment can be replaced",
        ),
        CONF_TARGET,
        ESTIMATE_MODE,
        optional("avoid_reuse", Kind::Ignored, "Not used"),
        FEE_RATE,
        optional(
            "verbose",
            Kind::Boolean,
            "true for an object with the fee (default false)",
        ),
    ],
    about: "Pays from the wallet. Change goes to a new address.",
    result: "\"hex\" (string) the transaction id, or {\"txid\": \"hex\", \"fee\": n, \"change\": n, \"fee_reason\": \"str\"} (object)",
    run: sendtoaddress,
};

pub(super) const SENDMANY: Method = Method {
    name: "sendmany",
    params: &[
        optional("dummy", Kind::Text, "Must be empty"),
        // Required in truth; optional here because it stands behind one that may be left out.
        optional(
            "amounts",
            Kind::Object,
            "Addresses and what they get: {\"address\": n, ...}",
        ),
        optional("minconf", Kind::Ignored, "Not used"),
        optional(
            "comment",
            Kind::Text,
            "Kept with the transaction, for you alone",
        ),
        optional(
            "subtractfeefrom",
            Kind::List,
            "Addresses that pay the fee in equal parts",
        ),
        optional(
            "replaceable",
            Kind::Ignored,
            "Not used: every waiting payment can be replaced",
        ),
        CONF_TARGET,
        ESTIMATE_MODE,
        FEE_RATE,
        optional(
            "verbose",
            Kind::Boolean,
            "true for an object with the fee (default false)",
        ),
    ],
    about: "Pays several recipients by one transaction.",
    result: "\"hex\" (string) the transaction id, or {\"txid\": \"hex\", \"fee\": n, \"change\": n, \"fee_reason\": \"str\"} (object)",
    run: sendmany,
};

pub(super) const SENDALL: Method = Method {
    name: "sendall",
    params: &[
        required(
            "recipients",
            Kind::List,
            "Addresses, which share what is left, and {\"address\": n} for those that get so much",
        ),
        CONF_TARGET,
        ESTIMATE_MODE,
        FEE_RATE,
        optional(
            "options",
            Kind::Object,
            "inputs (the coins to send, default all), minconf, fee_rate, conf_target, lock_time",
        ),
    ],
    about: "Sends all of the wallet's coins, less the fee; coins that cost more than they bring stay.",
    result: "{\"txid\": \"hex\", \"complete\": true, \"fee\": n} (object)",
    run: sendall,
};

pub(super) const SEND: Method = Method {
    name: "send",
    params: &[
        required(
            "outputs",
            Kind::ListOrObject,
            "Addresses and what they get: [{\"address\": n}, ...] or {\"address\": n, ...}",
        ),
        CONF_TARGET,
        ESTIMATE_MODE,
        FEE_RATE,
        optional(
            "options",
            Kind::Object,
            "inputs, add_inputs, change_address, change_position, subtract_fee_from_outputs, include_unsafe, minconf, locktime, fee_rate, conf_target",
        ),
    ],
    about: "Pays from the wallet.",
    result: "{\"txid\": \"hex\", \"complete\": true, \"fee\": n} (object)",
    run: send,
};

fn sendfrom(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let from = call.args.required_address("from", version)?;
    let to = call.args.required_address("to", version)?;
    let paid = call.args.positive_amount("amount")?;
    let rate = fees::of_call(call)?;
    call.wallet()?.with(call.context, |open| {
        payments::check_unlocked(open)?;
        if !open.wallet.owns(&from) {
            let address = call.context.address(from);
            let message = format!("{address} is not an address of this wallet");
            return Err(RpcError::new(code::INVALID_ADDRESS_OR_KEY, message));
        }
        let order = Order {
            from: Some(from),
            ..Order::new(vec![(to, paid)], rate)
        };
        Ok(describe(&pay(call, open, order, Note::default())?))
    })
}

fn pay(
    call: &Call<'_>,
    open: &mut OpenWallet<'_>,
    order: Order,
    note: Note,
) -> Result<SignedPayment, RpcError> {
    payments::check_unlocked(open)?;
    let prepared = payments::prepare(call.context, open, order)?;
    payments::send(call.context, open, prepared, note)
}

fn sendtoaddress(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let to = call.args.required_address("address", version)?;
    let paid = call.args.positive_amount("amount")?;
    let rate = fees::of_call(call)?;
    let subtract = call.args.boolean("subtractfeefromamount").unwrap_or(false);
    let order = Order {
        fee_payers: if subtract { vec![0] } else { Vec::new() },
        ..Order::new(vec![(to, paid)], rate)
    };
    let text = |name| call.args.text(name).unwrap_or_default().to_owned();
    let note = Note {
        comment: text("comment"),
        to: text("comment_to"),
        replaces: None,
    };
    let wallet = call.wallet()?;
    let signed = wallet.with(call.context, |open| pay(call, open, order, note))?;
    Ok(told(call, &signed))
}

fn sendmany(call: &Call<'_>) -> Answer {
    if call
        .args
        .text("dummy")
        .is_some_and(|dummy| !dummy.is_empty())
    {
        return Err(RpcError::invalid_parameter(
            "Dummy value must be set to \"\"",
        ));
    }
    let amounts = call.args.any("amounts");
    let amounts = amounts.ok_or_else(|| RpcError::invalid_parameter("Missing amounts"))?;
    let recipients = recipients(call, amounts)?;
    let payers = call.args.list("subtractfeefrom").unwrap_or_default();
    let fee_payers = payers_of(&recipients, &hashes(call, payers)?)?;
    let order = Order {
        fee_payers,
        ..Order::new(recipients, fees::of_call(call)?)
    };
    let note = Note {
        comment: call.args.text("comment").unwrap_or_default().to_owned(),
        ..Note::default()
    };
    let wallet = call.wallet()?;
    let signed = wallet.with(call.context, |open| pay(call, open, order, note))?;
    Ok(told(call, &signed))
}

fn payers_of(
    recipients: &[(PubkeyHash, Amount)],
    payers: &[PubkeyHash],
) -> Result<Vec<usize>, RpcError> {
    let mut positions = Vec::with_capacity(payers.len());
    for payer in payers {
        let at = recipients.iter().position(|(hash, _)| hash == payer);
        let wrong = |what| RpcError::invalid_parameter(format!("Invalid parameter, {what}"));
        match at {
            None => return Err(wrong("an address that pays the fee is no recipient")),
            Some(at) if positions.contains(&at) => {
                return Err(wrong("duplicated position: an address pays the fee twice"));
            }
            Some(at) => positions.push(at),
        }
    }
    Ok(positions)
}

/// Reads who gets how much: `{"address": n, ...}`, or a list of such objects. No address twice.
pub(super) fn recipients(
    call: &Call<'_>,
    value: &Value,
) -> Result<Vec<(PubkeyHash, Amount)>, RpcError> {
    let mut found: Vec<(PubkeyHash, Amount)> = Vec::new();
    let mut take = |fields: &Map<String, Value>| {
        for (address, value) in fields {
            let hash = address_of(call, address)?;
            if found.iter().any(|(known, _)| *known == hash) {
                return Err(RpcError::invalid_parameter(format!(
                    "Invalid parameter, duplicated address: {}",
                    call.context.address(hash)
                )));
            }
            let units = amount_of("amount", value)?;
            if units == Amount::ZERO {
                let message = "Invalid amount: it is 0; the least is 0.00000001";
                return Err(RpcError::new(code::TYPE_ERROR, message));
            }
            found.push((hash, units));
        }
        Ok(())
    };
    match value {
        Value::Object(fields) => take(fields)?,
        Value::Array(list) => {
            for one in list {
                let fields = one.as_object();
                take(fields.ok_or_else(|| {
                    RpcError::invalid_parameter(
                        "Invalid parameter, key-value pair not an object as expected",
                    )
                })?)?;
            }
        }
        _ => {
            return Err(RpcError::new(
                code::TYPE_ERROR,
                "outputs must be an object or a list of objects",
            ));
        }
    }
    Ok(found)
}

pub(super) fn address_of(call: &Call<'_>, text: &str) -> Result<PubkeyHash, RpcError> {
    if text == "data" {
        return Err(RpcError::invalid_parameter(
            "data outputs do not exist on this chain",
        ));
    }
    let version = call.context.spec().address_version;
    Ok(Address::parse(text, version)?.pubkey_hash())
}

fn sendall(call: &Call<'_>) -> Answer {
    let list = call.args.list("recipients").unwrap_or_default();
    let mut to: Vec<(PubkeyHash, Option<Amount>)> = Vec::new();
    for one in list {
        match one {
            Value::String(address) => to.push((address_of(call, address)?, None)),
            other => {
                let named = recipients(call, other)?;
                to.extend(named.into_iter().map(|(hash, units)| (hash, Some(units))));
            }
        }
    }
    let empty = Map::new();
    let options = call.args.object("options").unwrap_or(&empty);
    check_keys(
        options,
        &[
            "inputs",
            "minconf",
            "fee_rate",
            "conf_target",
            "lock_time",
            "locktime",
        ],
    )?;
    let rate = fees::of_options(call, options)?;
    let inputs = options.get("inputs").and_then(Value::as_array);
    let points = inputs.map(|list| outpoints(list)).transpose()?;
    let least = number(options, "minconf")?.unwrap_or(0);
    let lock_time = match number(options, "lock_time")? {
        Some(time) => time,
        None => number(options, "locktime")?.unwrap_or(0),
    };
    call.wallet()?.with(call.context, |open| {
        payments::check_unlocked(open)?;
        let coins = match &points {
            Some(points) => payments::chosen_coins(open, points)?,
            None => payments::spendable(open, least, false),
        };
        let prepared = wallet::prepare_all(&coins, &to, rate, lock_time)?;
        let signed = payments::send(call.context, open, prepared, Note::default())?;
        Ok(json!({ "txid": signed.txid, "complete": true, "fee": amount(signed.fee) }))
    })
}

fn send(call: &Call<'_>) -> Answer {
    let outputs = call.args.any("outputs").unwrap_or(&Value::Null);
    let empty = Map::new();
    let options = call.args.object("options").unwrap_or(&empty);
    let rate = fees::of_options(call, options)?;
    let mut order = Order::new(recipients(call, outputs)?, rate);
    let inputs = options.get("inputs").and_then(Value::as_array);
    let points = inputs.map(|list| outpoints(list)).transpose()?;
    call.wallet()?.with(call.context, |open| {
        order.fixed = payments::chosen_coins(open, points.as_deref().unwrap_or_default())?;
        apply_options(call, options, &mut order)?;
        if open.wallet.is_locked() {
            return Err(WalletError::Locked.into());
        }
        let signed = pay(call, open, order, Note::default())?;
        Ok(json!({ "txid": signed.txid, "complete": true, "fee": amount(signed.fee) }))
    })
}

fn told(call: &Call<'_>, signed: &SignedPayment) -> Value {
    if !call.args.boolean("verbose").unwrap_or(false) {
        return json!(signed.txid);
    }
    let mut fields = describe(signed);
    let was_asked = call.args.any("fee_rate").is_some();
    let reason = if was_asked {
        "PayTxFee set"
    } else {
        "Fallback fee"
    };
    fields["fee_reason"] = json!(reason);
    fields
}

fn describe(signed: &SignedPayment) -> Value {
    json!({
        "txid": signed.txid,
        "fee": amount(signed.fee),
        "change": amount(signed.change.unwrap_or(Amount::ZERO)),
    })
}

/// The rate at which a payment's fee is no loss to it.
pub(super) const fn rate_of(fee: Amount, bytes: u64) -> FeeRate {
    match fee.units().saturating_mul(1000).checked_div(bytes) {
        Some(rate) => FeeRate::per_kilobyte(rate),
        None => FeeRate::ZERO,
    }
}
