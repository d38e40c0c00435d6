//! The chain: blocks, headers, tips.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::stored;
use crate::chain::{HeaderInfo, TipStatus};
use crate::primitives::{Block, BlockHash, Decode};
use crate::rpc::describe::{self, Detail, difficulty};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getbestblockhash",
        params: &[],
        about: "The hash of the tip of the active chain.",
        result: "\"hex\" (string) the block hash",
        run: getbestblockhash,
    },
    Method {
        name: "getblock",
        params: &[
            required("blockhash", Kind::Text, "The block hash"),
            optional(
                "verbosity",
                Kind::Verbosity,
                "0 for hex-encoded data, 1 for an object with transaction ids, 2 for one with transactions (default 1)",
            ),
        ],
        about: "A block, of any branch.",
        result: "\"hex\" (string) with verbosity 0, else an object",
        run: getblock,
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
        name: "getblockheader",
        params: &[
            required("blockhash", Kind::Text, "The block hash"),
            optional(
                "verbose",
                Kind::Boolean,
                "true for an object, false for hex-encoded data (default true)",
            ),
        ],
        about: "The header of a block, of any branch.",
        result: "{...} (object), or \"hex\" (string)",
        run: getblockheader,
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

fn getblockheader(call: &Call<'_>) -> Answer {
    let info = header_of(call)?;
    if call.args.boolean("verbose").unwrap_or(true) {
        return Ok(Value::Object(describe::header(
            call.context.reader(),
            &info,
        )));
    }
    Ok(json!(hex::encode(info.header.to_array())))
}

fn getblock(call: &Call<'_>) -> Answer {
    let info = header_of(call)?;
    let verbosity = call.args.verbosity("verbosity", 1)?;
    let reader = call.context.reader();
    let not_available =
        || RpcError::new(code::MISC_ERROR, "Block not available (not downloaded yet)");
    let raw = stored(reader.raw_block(&info.hash))?.ok_or_else(not_available)?;
    if verbosity == 0 {
        return Ok(json!(hex::encode(raw)));
    }
    let block = stored(Block::from_bytes(&raw))?;
    if verbosity == 1 {
        return Ok(describe::block(reader, &info, &block, &Detail::Ids));
    }
    // Only blocks of the active chain have undo data, so only their fees are known.
    let undo = stored(reader.undo(&info.hash))?;
    let spent = undo.as_ref().map(|undo| &undo.spent[..]);
    Ok(describe::block(reader, &info, &block, &Detail::Full(spent)))
}

fn getblockchaininfo(call: &Call<'_>) -> Answer {
    let reader = call.context.reader();
    let (tip, best) = (reader.tip(), reader.best_header());
    let known = f64::from(best.height.max(tip.height));
    let progress = if known > 0.0 {
        f64::from(tip.height) / known
    } else {
        1.0
    };
    Ok(json!({
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
    }))
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
    let info = header_of(call)?;
    if info.height == 0 {
        return Err(RpcError::invalid_parameter(
            "the first block of the network cannot be invalidated",
        ));
    }
    call.context.chain.invalidate_block_blocking(info.hash)?;
    Ok(Value::Null)
}

fn reconsiderblock(call: &Call<'_>) -> Answer {
    let hash = header_of(call)?.hash;
    call.context.chain.reconsider_block_blocking(hash)?;
    Ok(Value::Null)
}

fn header_of(call: &Call<'_>) -> Result<HeaderInfo, RpcError> {
    let hash: BlockHash = call.args.required_block_hash("blockhash")?;
    let found = call.context.reader().header_info(&hash);
    found.ok_or_else(|| RpcError::not_found("Block not found"))
}

/// The sum of the database's files; those that go away meanwhile do not count.
fn size_on_disk(folder: &Path) -> u64 {
    let Ok(files) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = files.filter_map(|file| file.ok()?.metadata().ok());
    sizes
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}
