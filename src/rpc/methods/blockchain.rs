//! The chain as a whole: its tip, its branches, its rules.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::blocks::known_header;
use crate::chain::{ChainReader, Tip, TipStatus};
use crate::rpc::describe::{self, difficulty};
use crate::rpc::error::RpcError;
use crate::rpc::method::{Answer, Call, Kind, Method, SAMPLE_BLOCK, optional, required};
use crate::rpc::one_state::at_one_tip;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getbestblockhash",
        params: &[],
        about: "The hash of the tip of the active chain.",
        result: "\"hex\" (string) the block hash",
        run: getbestblockhash,
    },
    Method {
        name: "getblockchaininfo",
        params: &[],
        about: "The state of the chain. Quarry: `chainid` is the identity of the network.",
        result: "{...} (object)",
        run: getblockchaininfo,
    },
    Method {
        name: "getblockcount",
        params: &[],
        about: "The height of the tip of the active chain; the first block has height 0.",
        result: "n (numeric) the height",
        run: getblockcount,
    },
    Method {
        name: "getblockhash",
        params: &[required("height", Kind::Integer, "The height")],
        about: "The hash of the active chain's block at a height.",
        result: "\"hex\" (string) the block hash",
        run: getblockhash,
    },
    Method {
        name: "getdeploymentinfo",
        params: &[optional(
            "blockhash",
            Kind::Text,
            "The block after which they are looked at; without it the tip",
        )
        .such_as(SAMPLE_BLOCK)],
        about: "The soft forks of Bitcoin that the chain has: all from its first block on, and no witnesses.",
        result: "{\"hash\": \"hex\", \"height\": n, \"deployments\": {\"<name>\": {\"type\": \"buried\", \"active\": true|false, \"height\"?: n}, ...}} (object)",
        run: getdeploymentinfo,
    },
    Method {
        name: "getdifficulty",
        params: &[],
        about: "The difficulty of the tip, as a multiple of Bitcoin's least.",
        result: "n (numeric) the difficulty",
        run: getdifficulty,
    },
    Method {
        name: "getchaintips",
        params: &[],
        about: "The ends of all known branches: active, valid-fork, valid-headers (not checked in full), headers-only or invalid.",
        result: "[{\"height\": n, \"hash\": \"hex\", \"branchlen\": n, \"status\": \"str\"}, ...] (array)",
        run: getchaintips,
    },
    Method {
        name: "invalidateblock",
        params: &[required("blockhash", Kind::Text, "The block hash")],
        about: "Treats a block as invalid from now on, as if it broke a rule.",
        result: "null",
        run: invalidateblock,
    },
    Method {
        name: "preciousblock",
        params: &[required("blockhash", Kind::Text, "The block hash")],
        about: "Prefers a block to all others of equal work, as if it had come first. Quarry: also after a restart.",
        result: "null",
        run: preciousblock,
    },
    Method {
        name: "reconsiderblock",
        params: &[required("blockhash", Kind::Text, "The block hash")],
        about: "Takes back that a block, its ancestors or its descendants are invalid. Undoes invalidateblock.",
        result: "null",
        run: reconsiderblock,
    },
];

fn getbestblockhash(call: &Call<'_>) -> Answer {
    Ok(json!(call.context.reader().tip().hash))
}

fn getblockcount(call: &Call<'_>) -> Answer {
    Ok(json!(call.context.reader().tip().height))
}

fn getblockhash(call: &Call<'_>) -> Answer {
    let height: i64 = call.args.required_integer("height")?;
    let hash = u32::try_from(height)
        .ok()
        .and_then(|height| call.context.reader().hash_at(height));
    hash.map(|hash| json!(hash))
        .ok_or_else(|| RpcError::invalid_parameter("Block height out of range"))
}

fn getblockchaininfo(call: &Call<'_>) -> Answer {
    let reader = call.context.reader();
    at_one_tip(reader, |tip| Ok(chain_info(call, reader, tip)))
}

fn chain_info(call: &Call<'_>, reader: &ChainReader, tip: &Tip) -> Value {
    let best = reader.best_header();
    let known = f64::from(best.height.max(tip.height));
    let progress = if known > 0.0 {
        f64::from(tip.height) / known
    } else {
        1.0
    };
    json!({
        "chain": reader.spec().name,
        "chainid": reader.spec().chain_id(),
        "blocks": tip.height,
        "headers": best.height,
        "bestblockhash": tip.hash,
        "bits": tip.header.bits.to_string(),
        "target": describe::target(tip.header.bits),
        "difficulty": difficulty(tip.header.bits),
        "time": tip.header.time,
        "mediantime": tip.median_time_past,
        "verificationprogress": progress,
        "initialblockdownload": best.chainwork > tip.chainwork,
        "chainwork": tip.chainwork,
        "size_on_disk": size_on_disk(&call.context.database),
        "pruned": false,
        "warnings": [],
    })
}

fn getdifficulty(call: &Call<'_>) -> Answer {
    Ok(json!(difficulty(call.context.reader().tip().header.bits)))
}

/// BIP34 (heights in coinbases), BIP66 (strict signatures), BIP65 and BIP68/113 ("csv", lock times) hold from the first block.
fn getdeploymentinfo(call: &Call<'_>) -> Answer {
    let tip = call.context.reader().tip();
    let (hash, height) = match call.args.block_hash("blockhash")? {
        None => (tip.hash, tip.height),
        Some(_) => {
            let info = known_header(call, "blockhash")?;
            (info.hash, info.height)
        }
    };
    let buried = json!({ "type": "buried", "active": true, "height": 0 });
    let mut deployments: Map<String, Value> = ["bip34", "bip66", "bip65", "csv"]
        .map(|name| (name.to_owned(), buried.clone()))
        .into_iter()
        .collect();
    for never in ["segwit", "taproot"] {
        deployments.insert(
            never.to_owned(),
            json!({ "type": "buried", "active": false }),
        );
    }
    Ok(json!({ "hash": hash, "height": height, "deployments": deployments }))
}

fn getchaintips(call: &Call<'_>) -> Answer {
    let tips = call.context.reader().tips();
    let shown = tips.into_iter().map(|tip| {
        json!({
            "height": tip.height,
            "hash": tip.hash,
            "branchlen": tip.branch_len,
            "status": status_name(tip.status),
        })
    });
    Ok(shown.collect())
}

const fn status_name(status: TipStatus) -> &'static str {
    match status {
        TipStatus::Active => "active",
        TipStatus::ValidFork => "valid-fork",
        TipStatus::ValidHeaders => "valid-headers",
        TipStatus::HeadersOnly => "headers-only",
        TipStatus::Invalid => "invalid",
    }
}

fn invalidateblock(call: &Call<'_>) -> Answer {
    let info = known_header(call, "blockhash")?;
    if info.height == 0 {
        return Err(RpcError::invalid_parameter(
            "the first block of the network cannot be invalidated",
        ));
    }
    call.context.chain.invalidate_block_blocking(info.hash)?;
    Ok(Value::Null)
}

fn preciousblock(call: &Call<'_>) -> Answer {
    let hash = known_header(call, "blockhash")?.hash;
    call.context.chain.prefer_block_blocking(hash)?;
    Ok(Value::Null)
}

fn reconsiderblock(call: &Call<'_>) -> Answer {
    let hash = known_header(call, "blockhash")?.hash;
    call.context.chain.reconsider_block_blocking(hash)?;
    Ok(Value::Null)
}

/// The sum of the database's files; those that go away meanwhile do not count.
pub(super) fn size_on_disk(folder: &Path) -> u64 {
    let Ok(files) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = files.filter_map(|file| file.ok()?.metadata().ok());
    sizes
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}
