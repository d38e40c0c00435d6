//! New blocks.

use serde_json::{Value, json};

use crate::chain::{BlockAccepted, SubmitError};
use crate::consensus::required_bits;
use crate::miner::{MinerHandle, WorkerInfo};
use crate::primitives::{Block, Decode};
use crate::rpc::describe::{self, difficulty};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

use super::block_template::getblocktemplate;

/// Blocks that the estimate of the network's hash rate looks back over (Bitcoin Core, `getnetworkhashps`).
const HASH_RATE_BLOCKS: u32 = 120;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getblocktemplate",
        params: &[optional(
            "template_request",
            Kind::Object,
            "{\"mode\": \"template\" or \"proposal\", \"longpollid\": \"str\", \"data\": \"hex of a proposed block\", \"rules\": [...], \"capabilities\": [...]}",
        )],
        about: "What the next block is to be made of, for miners that make their own coinbase (BIP22, BIP23). With a longpollid the answer \
                waits until another template is better. A proposal is a block without its proof of work, which is judged. Quarry: no \
                rule must be supported; `mintime` and `maxtime` bound the times for which `bits` holds.",
        result: "{...} (object) the template, or null for a proposal that would be taken, or \"str\" (string) why it would not (BIP22)",
        run: getblocktemplate,
    },
    Method {
        name: "getmininginfo",
        params: &[],
        about: "What the next block needs, the estimated hash rate of the network, and (Quarry) as \"miner\" what getminingstatus tells.",
        result: "{...} (object)",
        run: getmininginfo,
    },
    Method {
        name: "getminingstatus",
        params: &[],
        about: "Quarry: what this node's miner does.",
        result: "{\"running\": true|false, \"threads\": n, \"hashrate\": n, \"blocks_found\": n, \"stale_blocks\": n, \"expected_seconds\": n|null (for a block, on average), \"address\": \"str\"|null} (object)",
        run: getminingstatus,
    },
    Method {
        name: "getstratuminfo",
        params: &[],
        about: "Quarry: the external miners that are served by Stratum, all together and each worker, with hash rates from the shares of \
                the last minutes.",
        result: "{\"enabled\": true|false, \"listening\"?: \"str\", \"connections\"?: n, \"active_workers\"?: n, \"hashrate\"?: n, \"accepted\"?: n, \"stale\"?: n, \"rejected\"?: n, \"blocks_found\"?: n, \"workers\": [{...}, ...]} (object)",
        run: getstratuminfo,
    },
    Method {
        name: "submitblock",
        params: &[
            required("hexdata", Kind::Text, "The block, hex-encoded"),
            optional("dummy", Kind::Ignored, "Not used"),
        ],
        about: "Gives a block to the chain.",
        result: "null if it was taken, or \"str\" (string) the reason (BIP22): \"duplicate\", \"inconclusive\", \"high-hash\" …",
        run: submitblock,
    },
];

fn getmininginfo(call: &Call<'_>) -> Answer {
    let reader = call.context.reader();
    let tip = reader.tip();
    let parent = reader.parent_context();
    let now = u32::try_from((call.context.clock)())
        .unwrap_or(u32::MAX)
        .max(parent.median_time_past.saturating_add(1));
    let next = required_bits(reader.spec(), &parent, now).bits;
    let waiting = call
        .context
        .mempool
        .info_blocking()
        .map_or(0, |info| info.count);
    Ok(json!({
        "blocks": tip.height,
        "bits": tip.header.bits.to_string(),
        "difficulty": difficulty(tip.header.bits),
        "target": describe::target(tip.header.bits),
        "networkhashps": network_hash_rate(call),
        "miner": miner_status(call),
        "pooledtx": waiting,
        "chain": reader.spec().name,
        "next": {
            "height": tip.height.saturating_add(1),
            "bits": next.to_string(),
            "difficulty": difficulty(next),
            "target": describe::target(next),
        },
        "warnings": [],
    }))
}

/// Work of the latest blocks divided by the time between the earliest and latest of them.
fn network_hash_rate(call: &Call<'_>) -> f64 {
    let reader = call.context.reader();
    let tip = reader.tip();
    let span = HASH_RATE_BLOCKS.min(tip.height);
    let first = reader
        .hash_at(tip.height.saturating_sub(span))
        .and_then(|hash| reader.header_info(&hash));
    let Some(first) = first else {
        return 0.0;
    };
    let mut earliest = first.header.time;
    let mut latest = first.header.time;
    for height in tip.height.saturating_sub(span)..=tip.height {
        if let Some(info) = reader
            .hash_at(height)
            .and_then(|hash| reader.header_info(&hash))
        {
            earliest = earliest.min(info.header.time);
            latest = latest.max(info.header.time);
        }
    }
    let work = tip.chainwork.saturating_sub(first.chainwork).to_f64();
    match latest.saturating_sub(earliest) {
        0 => 0.0,
        seconds => work / f64::from(seconds),
    }
}

fn getminingstatus(call: &Call<'_>) -> Answer {
    Ok(miner_status(call))
}

fn miner_status(call: &Call<'_>) -> Value {
    let status = call.context.miner.as_ref().map(MinerHandle::status);
    let Some(status) = status else {
        return json!({
            "running": false, "threads": 0, "hashrate": 0, "blocks_found": 0, "stale_blocks": 0,
            "expected_seconds": null, "address": null,
        });
    };
    json!({
        "running": status.running,
        "threads": status.threads,
        "hashrate": status.hash_rate,
        "blocks_found": status.blocks_found,
        "stale_blocks": status.stale_blocks,
        "expected_seconds": status.expected_time.map(|time| time.as_secs_f64()),
        "address": status.payout.map(|payout| call.context.address(payout)),
    })
}

fn getstratuminfo(call: &Call<'_>) -> Answer {
    let Some(stratum) = &call.context.stratum else {
        return Ok(json!({ "enabled": false, "workers": [] }));
    };
    let info = stratum.info();
    let worker = |worker: &WorkerInfo| {
        json!({
            "name": worker.name,
            "address": call.context.address(worker.payout),
            "agent": worker.agent,
            "connections": worker.connections,
            "difficulty": worker.difficulty,
            "hashrate": worker.hash_rate,
            "accepted": worker.accepted,
            "stale": worker.stale,
            "rejected": worker.rejected,
            "blocks_found": worker.blocks_found,
            "best_share": worker.best_share,
            "last_share": worker.last_share,
        })
    };
    Ok(json!({
        "enabled": true,
        "listening": info.listening,
        "connections": info.connections,
        "active_workers": info.active_workers,
        "hashrate": info.hash_rate,
        "accepted": info.accepted,
        "stale": info.stale,
        "rejected": info.rejected,
        "blocks_found": info.blocks_found,
        "workers": stratum.workers().iter().map(worker).collect::<Vec<_>>(),
    }))
}

/// Bitcoin Core, `submitblock` and `BIP22ValidationResult`.
fn submitblock(call: &Call<'_>) -> Answer {
    let bytes = call.args.required_hex("hexdata", "Block decode failed")?;
    let block = Block::from_bytes(&bytes).map_err(|error| {
        RpcError::new(
            code::DESERIALIZATION_ERROR,
            format!("Block decode failed ({error})"),
        )
    })?;
    match call.context.chain.submit_block_blocking(block) {
        Ok(BlockAccepted::NewTip { .. }) => Ok(Value::Null),
        Ok(BlockAccepted::SideBranch { .. }) => Ok(json!("inconclusive")),
        Ok(BlockAccepted::AlreadyKnown) => Ok(json!("duplicate")),
        Err(error @ (SubmitError::Stopped | SubmitError::Storage(_))) => Err(error.into()),
        Err(error) => Ok(json!(error.reject_reason())),
    }
}
