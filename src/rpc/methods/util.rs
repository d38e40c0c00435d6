//! Questions that concern no single part.

use serde_json::{Map, Value, json};

use crate::keys::Address;
use crate::mempool::MAX_TARGET;
use crate::primitives::{Amount, Script};
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

pub(super) static METHODS: &[Method] = &[
    Method {
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
    },
    Method {
        name: "getindexinfo",
        params: &[optional("index_name", Kind::Text, "One index alone")],
        about: "The indexes. They are written together with each block, so they never lag behind. Quarry: `addressindex` holds the \
                coins and the history of each address.",
        result: "{\"<name>\": {\"synced\": true|false, \"best_block_height\": n}, ...} (object)",
        run: getindexinfo,
    },
    Method {
        name: "setmocktime",
        params: &[required(
            "timestamp",
            Kind::Integer,
            "Seconds since 1970, or 0 for the computer's clock",
        )],
        about: "Sets the node's clock to a time, at which it then stands (regtest only).",
        result: "null",
        run: setmocktime,
    },
    Method {
        name: "validateaddress",
        params: &[required("address", Kind::Text, "The address")],
        about: "Judges an address. `error` says what is wrong with it.",
        result: "{\"isvalid\": true|false, \"address\"?: \"str\", \"scriptPubKey\"?: \"hex\", \"isscript\"?: true|false, \
\"iswitness\"?: true|false, \"error\"?: \"str\", \"error_locations\"?: [n, ...]} (object)",
        run: validateaddress,
    },
];

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

fn getindexinfo(call: &Call<'_>) -> Answer {
    let height = call.context.reader().tip().height;
    let wanted = call.args.text("index_name").filter(|name| !name.is_empty());
    let names = ["txindex", "addressindex"].into_iter();
    let found = names.filter(|name| wanted.is_none_or(|wanted| wanted == *name));
    let state = json!({ "synced": true, "best_block_height": height });
    let shown: Map<String, Value> = found.map(|name| (name.to_owned(), state.clone())).collect();
    Ok(Value::Object(shown))
}

fn setmocktime(call: &Call<'_>) -> Answer {
    let time: i64 = call.args.required_integer("timestamp")?;
    let Some(clock) = &call.context.mock_time else {
        let message = "setmocktime is for regression testing (--chain regtest) only";
        return Err(RpcError::new(code::MISC_ERROR, message));
    };
    let latest = u32::MAX;
    let time = u32::try_from(time).map_err(|_| {
        RpcError::invalid_parameter(format!(
            "Mocktime must be in the range [0, {latest}], not {time}."
        ))
    })?;
    clock.set(time.into());
    Ok(Value::Null)
}

fn validateaddress(call: &Call<'_>) -> Answer {
    let text = call.args.required_text("address")?;
    Ok(
        match Address::parse(text, call.context.spec().address_version) {
            Ok(address) => json!({
                "isvalid": true,
                "address": address.to_string(),
                "scriptPubKey": hex::encode(Script::p2pkh(&address.pubkey_hash()).as_bytes()),
                "isscript": false,
                "iswitness": false,
            }),
            Err(error) => json!({
                "isvalid": false,
                "error_locations": [],
                "error": error.to_string(),
            }),
        },
    )
}
