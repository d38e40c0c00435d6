//! The object of options that calls which build a payment take.

use serde_json::{Map, Value};

use super::send::address_of;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::Call;
use crate::rpc::payments::Order;

/// Refuses options that are not known: one that was mistyped would change what is paid.
pub(super) fn check_keys(options: &Map<String, Value>, known: &[&str]) -> Result<(), RpcError> {
    match options.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let shown: String = unknown.chars().take(40).collect();
            Err(RpcError::new(
                code::TYPE_ERROR,
                format!("Unexpected key {shown}"),
            ))
        }
    }
}

/// A whole number among options.
pub(super) fn number(options: &Map<String, Value>, name: &str) -> Result<Option<u32>, RpcError> {
    match options.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let wrong = || {
                let message = format!("{name} is not a whole number in range");
                RpcError::new(code::TYPE_ERROR, message)
            };
            number.map(Some).ok_or_else(wrong)
        }
    }
}

fn flag(options: &Map<String, Value>, name: &str) -> Result<Option<bool>, RpcError> {
    match options.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => {
            let message = format!("{name} must be true or false");
            Err(RpcError::new(code::TYPE_ERROR, message))
        }
    }
}

/// Options of those calls that build a payment: their present names and those of older clients.
const FUNDING_OPTIONS: &[&str] = &[
    "inputs",
    "add_inputs",
    "add_to_wallet",
    "change_address",
    "changeAddress",
    "change_position",
    "changePosition",
    "change_type",
    "subtract_fee_from_outputs",
    "subtractFeeFromOutputs",
    "include_unsafe",
    "include_watching",
    "includeWatching",
    "lock_unspents",
    "lockUnspents",
    "minconf",
    "locktime",
    "replaceable",
    "fee_rate",
    "feeRate",
    "conf_target",
    "estimate_mode",
    "psbt",
];

/// Applies options to an order. `fixed` inputs are the caller's.
pub(super) fn apply_options(
    call: &Call<'_>,
    options: &Map<String, Value>,
    order: &mut Order,
) -> Result<(), RpcError> {
    check_keys(options, FUNDING_OPTIONS)?;
    let either = |one: &str, other: &str| options.get(one).or_else(|| options.get(other));
    if let Some(address) = either("change_address", "changeAddress").and_then(Value::as_str) {
        order.change = Some(address_of(call, address)?);
    }
    for name in ["change_position", "changePosition"] {
        // Before, -1 stood for any place.
        if options.get(name).and_then(Value::as_i64) != Some(-1) {
            let position = number(options, name)?.map(usize::try_from);
            order.change_position = match position {
                Some(position) => position.ok(),
                None => order.change_position,
            };
        }
    }
    if order
        .change_position
        .is_some_and(|at| at > order.recipients.len())
    {
        return Err(RpcError::invalid_parameter("changePosition out of bounds"));
    }
    let payers = either("subtract_fee_from_outputs", "subtractFeeFromOutputs");
    for position in payers.and_then(Value::as_array).into_iter().flatten() {
        let at = position.as_u64().and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at < order.recipients.len());
        let at = at.ok_or_else(|| {
            RpcError::invalid_parameter("Invalid parameter, vout index out of range")
        })?;
        if order.fee_payers.contains(&at) {
            return Err(RpcError::invalid_parameter(
                "Invalid parameter, duplicated position",
            ));
        }
        order.fee_payers.push(at);
    }
    order.include_unsafe = flag(options, "include_unsafe")?.unwrap_or(false);
    order.min_confirmations = number(options, "minconf")?.unwrap_or(0);
    if let Some(time) = number(options, "locktime")? {
        order.lock_time = time;
    }
    let may_add = order.fixed.is_empty();
    order.add_inputs = flag(options, "add_inputs")?.unwrap_or(may_add);
    Ok(())
}
