//! Transactions that wait.

use serde_json::{Map, Value, json};

use crate::mempool::{EntryInfo, MempoolInfo};
use crate::primitives::Amount;
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getmempoolentry",
        params: &[required("txid", Kind::Text, "The transaction id")],
        about: "What there is to know of one waiting transaction.",
        result: "{...} (object)",
        run: getmempoolentry,
    },
    Method {
        name: "getmempoolinfo",
        params: &[],
        about: "Figures of the mempool. Fee rates are in coins per 1000 bytes.",
        result: "{...} (object)",
        run: getmempoolinfo,
    },
    Method {
        name: "getrawmempool",
        params: &[
            optional(
                "verbose",
                Kind::Boolean,
                "true for an object of details by id, false for a list of ids (default false)",
            ),
            optional(
                "mempool_sequence",
                Kind::Ignored,
                "Not supported: must be false",
            ),
        ],
        about: "The transactions in the mempool, those that a block takes first at the beginning.",
        result: "[\"txid\", ...] (array), or {\"<txid>\": {...}, ...} (object)",
        run: getrawmempool,
    },
    Method {
        name: "savemempool",
        params: &[],
        about: "Writes the waiting transactions to the file that the next start reads, as happens when the node stops.",
        result: "{\"filename\": \"path\"} (object)",
        run: savemempool,
    },
];

fn getmempoolinfo(call: &Call<'_>) -> Answer {
    let stopped = || RpcError::new(code::MISC_ERROR, "the node is stopping");
    let info: MempoolInfo = call.context.mempool.info_blocking().ok_or_else(stopped)?;
    Ok(json!({
        "loaded": info.is_loaded,
        "size": info.count,
        "bytes": info.bytes,
        "usage": info.usage,
        "total_fee": amount(info.total_fee),
        "maxmempool": info.max_usage,
        "mempoolminfee": units(info.min_fee_rate),
        "minrelaytxfee": units(info.min_relay_fee),
        "unbroadcastcount": 0,
        "fullrbf": true,
    }))
}

fn getrawmempool(call: &Call<'_>) -> Answer {
    if call.args.boolean("mempool_sequence").unwrap_or(false) {
        return Err(RpcError::invalid_parameter(
            "mempool_sequence is not supported",
        ));
    }
    if !call.args.boolean("verbose").unwrap_or(false) {
        return Ok(json!(call.context.mempool.ids_blocking()));
    }
    let entries = call.context.mempool.entries_blocking();
    let fields: Map<String, Value> = entries
        .iter()
        .map(|entry| (entry.txid.to_string(), describe(entry)))
        .collect();
    Ok(Value::Object(fields))
}

fn getmempoolentry(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    match call.context.mempool.entry_blocking(txid) {
        Some(entry) => Ok(describe(&entry)),
        None => Err(RpcError::new(
            code::INVALID_ADDRESS_OR_KEY,
            "Transaction not in mempool",
        )),
    }
}

fn savemempool(call: &Call<'_>) -> Answer {
    match call.context.mempool.save_blocking() {
        Ok(path) => Ok(json!({ "filename": path.display().to_string() })),
        Err(error) => Err(RpcError::new(
            code::MISC_ERROR,
            format!("Unable to dump mempool to disk: {error}"),
        )),
    }
}

fn describe(entry: &EntryInfo) -> Value {
    json!({
        "vsize": entry.size,
        "weight": entry.size.saturating_mul(4),
        "time": entry.time,
        "height": entry.height,
        "descendantcount": entry.descendants.count,
        "descendantsize": entry.descendants.size,
        "ancestorcount": entry.ancestors.count,
        "ancestorsize": entry.ancestors.size,
        "wtxid": entry.txid,
        "fees": {
            "base": amount(entry.fee),
            "modified": amount(entry.fee),
            "ancestor": wide_units(entry.ancestors.fee),
            "descendant": wide_units(entry.descendants.fee),
        },
        "depends": entry.depends,
        "spentby": entry.spent_by,
        "bip125-replaceable": true,
        "unbroadcast": false,
    })
}

/// Base units as coins.
fn units(units: u64) -> Value {
    amount(Amount::from_units(units).unwrap_or(Amount::MAX))
}

fn wide_units(fee: i128) -> Value {
    units(u64::try_from(fee).unwrap_or(u64::MAX))
}
