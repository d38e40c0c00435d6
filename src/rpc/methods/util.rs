//! Questions that concern no single part.

use serde_json::json;

use crate::mempool::MAX_TARGET;
use crate::primitives::Amount;
use crate::rpc::amount::amount;
use crate::rpc::error::RpcError;
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

pub(super) static METHODS: &[Method] = &[Method {
    name: "estimatesmartfee",
    params: &[
        required(
            "conf_target",
            Kind::Integer,
            "In how many blocks it should be confirmed, 1 to 1008; beyond 48 the answer is that for 48",
        ),
        optional("estimate_mode", Kind::Ignored, "Not used"),
    ],
    about: "The fee rate, in coins per 1000 bytes, with which a transaction is expected to be confirmed in time.",
    result: "{\"feerate\": n, \"blocks\": n}, or {\"errors\": [...], \"blocks\": n} (object)",
    run: estimatesmartfee,
}];

/// The longest wait that may be asked for (Bitcoin Core, the horizon of its estimator).
const MAX_CONF_TARGET: u32 = 1008;

fn estimatesmartfee(call: &Call<'_>) -> Answer {
    let target: u32 = call.args.required_integer("conf_target")?;
    if !(1..=MAX_CONF_TARGET).contains(&target) {
        return Err(RpcError::invalid_parameter(
            "Invalid conf_target, must be between 1 and 1008",
        ));
    }
    let target = target.min(MAX_TARGET);
    let room = call.context.reader().spec().max_block_size;
    match call.context.mempool.estimate_fee_blocking(target, room) {
        Some(rate) => {
            let rate = Amount::from_units(rate).unwrap_or(Amount::MAX);
            Ok(json!({ "feerate": amount(rate), "blocks": target }))
        }
        None => Ok(json!({
            "errors": ["Insufficient data or no feerate found"],
            "blocks": target,
        })),
    }
}
