//! Calls that answer when something has happened to the chain.

use std::time::Duration;

use serde_json::json;

use crate::chain::Tip;
use crate::primitives::BlockHash;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, Param, optional, required};

const TIMEOUT: Param = optional(
    "timeout",
    Kind::Integer,
    "For how many milliseconds to wait; 0 waits for ever",
)
.or("0");

const RESULT: &str =
    "{\"hash\": \"hex\", \"height\": n} (object) the tip, also when the time is over";

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "waitforblock",
        params: &[required("blockhash", Kind::Text, "The block hash"), TIMEOUT],
        about: "Waits until a block is the tip.",
        result: RESULT,
        run: waitforblock,
    },
    Method {
        name: "waitforblockheight",
        params: &[
            required("height", Kind::Integer, "The height").such_as("0"),
            TIMEOUT,
        ],
        about: "Waits until the chain has at least a height.",
        result: RESULT,
        run: waitforblockheight,
    },
    Method {
        name: "waitfornewblock",
        params: &[
            TIMEOUT.such_as("1000"),
            optional(
                "current_tip",
                Kind::Text,
                "Wait until the tip is another than this; without it, than the tip now",
            ),
        ],
        about: "Waits until the tip is another one.",
        result: RESULT,
        run: waitfornewblock,
    },
];

fn waitfornewblock(call: &Call<'_>) -> Answer {
    let given = call.args.block_hash("current_tip")?;
    let known: BlockHash = given.unwrap_or_else(|| call.context.reader().tip().hash);
    wait_for_tip(call, |tip| tip.hash != known)
}

fn waitforblock(call: &Call<'_>) -> Answer {
    let hash = call.args.required_block_hash("blockhash")?;
    wait_for_tip(call, |tip| tip.hash == hash)
}

fn waitforblockheight(call: &Call<'_>) -> Answer {
    let height: i64 = call.args.required_integer("height")?;
    wait_for_tip(call, |tip| i64::from(tip.height) >= height)
}

/// Answers with the tip once it is as wanted, or when the time is over.
fn wait_for_tip(call: &Call<'_>, is_wanted: impl Fn(&Tip) -> bool) -> Answer {
    let milliseconds: i64 = call.args.integer("timeout")?.unwrap_or(0);
    let milliseconds = u64::try_from(milliseconds)
        .map_err(|_| RpcError::new(code::MISC_ERROR, "Negative timeout"))?;
    let limit = (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
    let reader = call.context.reader();
    // Before the first look at the tip, so that no change falls between.
    let mut events = call.context.chain.subscribe();
    let changed = async {
        while !is_wanted(&reader.tip()) {
            // Whatever was missed, the tip is looked at again.
            let _ = events.next().await;
        }
    };
    if !is_wanted(&reader.tip()) {
        call.wait(limit, changed);
    }
    let tip = reader.tip();
    Ok(json!({ "hash": tip.hash, "height": tip.height }))
}
