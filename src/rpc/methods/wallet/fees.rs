//! What a byte of a payment costs: said, estimated, or as little as the mempool takes.

use serde_json::{Map, Value};

use crate::mempool::MAX_TARGET;
use crate::rpc::arguments::amount_of;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::Call;
use crate::wallet::FeeRate;

/// The longest wait that may be asked for (Bitcoin Core, the horizon of its estimator).
const MAX_CONF_TARGET: u64 = 1008;
/// Base units of a coin's thousandth part of a thousandth part, and of a rate's third decimal: a rate of 1 unit a byte is read as
/// one coin and is 1000 units for 1000 bytes.
const UNITS_OF_A_DECIMAL: u64 = 100_000;

/// The rate that the parameters of a call ask for.
pub(super) fn of_call(call: &Call<'_>) -> Result<FeeRate, RpcError> {
    let value = |name| call.args.any(name);
    choose(
        call,
        value("fee_rate"),
        None,
        value("conf_target"),
        value("estimate_mode"),
    )
}

/// The same, where options may ask for it as well.
pub(super) fn of_options(
    call: &Call<'_>,
    options: &Map<String, Value>,
) -> Result<FeeRate, RpcError> {
    let value = |name| call.args.any(name).or_else(|| options.get(name));
    choose(
        call,
        value("fee_rate"),
        options.get("feeRate"),
        value("conf_target"),
        value("estimate_mode"),
    )
}

/// `fee_rate` is in base units a byte, `per_kilobyte` in coins for 1000 bytes.
fn choose(
    call: &Call<'_>,
    fee_rate: Option<&Value>,
    per_kilobyte: Option<&Value>,
    target: Option<&Value>,
    mode: Option<&Value>,
) -> Result<FeeRate, RpcError> {
    let given = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    let wrong = RpcError::invalid_parameter;
    let count = [fee_rate, per_kilobyte, target].map(given);
    if count.into_iter().filter(|given| *given).count() > 1 {
        return Err(wrong(
            "Cannot specify both conf_target and fee_rate, or fee_rate and feeRate. Please provide one of them.",
        ));
    }
    let modes = ["unset", "economical", "conservative"];
    let is_unknown = |mode: &str| !modes.contains(&mode.to_lowercase().as_str());
    if mode.and_then(Value::as_str).is_some_and(is_unknown) {
        return Err(wrong(
            "Invalid estimate_mode parameter, must be one of: \"unset\", \"economical\", \"conservative\"",
        ));
    }
    if let Some(rate) = fee_rate.filter(|value| !value.is_null()) {
        return per_byte(rate);
    }
    if let Some(rate) = per_kilobyte.filter(|value| !value.is_null()) {
        return Ok(FeeRate::per_kilobyte(amount_of("feeRate", rate)?.units()));
    }
    if let Some(target) = target.filter(|value| !value.is_null()) {
        let blocks = target
            .as_u64()
            .filter(|n| (1..=MAX_CONF_TARGET).contains(n));
        let blocks = blocks.and_then(|blocks| u32::try_from(blocks).ok());
        let blocks =
            blocks.ok_or_else(|| wrong("Invalid conf_target, must be between 1 and 1008"))?;
        let room = call.context.spec().max_block_size;
        let estimate = call
            .context
            .mempool
            .estimate_fee_blocking(blocks.min(MAX_TARGET), room);
        if let Some(rate) = estimate {
            return Ok(FeeRate::per_kilobyte(rate));
        }
    }
    Ok(least(call))
}

/// What the mempool asks for at least; more than nothing when it is full.
pub(super) fn least(call: &Call<'_>) -> FeeRate {
    let info = call.context.mempool.info_blocking();
    let rate = info.map_or(0, |info| info.min_fee_rate.max(info.min_relay_fee));
    FeeRate::per_kilobyte(rate)
}

/// Base units a byte with up to 3 decimals.
pub(super) fn per_byte(value: &Value) -> Result<FeeRate, RpcError> {
    let units = amount_of("fee_rate", value)?.units();
    if !units.is_multiple_of(UNITS_OF_A_DECIMAL) {
        let message = "Invalid amount: fee_rate has more than 3 decimals";
        return Err(RpcError::new(code::TYPE_ERROR, message));
    }
    Ok(FeeRate::per_kilobyte(units / UNITS_OF_A_DECIMAL))
}
