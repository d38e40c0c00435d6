//! Transactions that wait.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::mempool::{EntryInfo, MempoolInfo};
use crate::primitives::{Amount, OutPoint, Txid};
use crate::rpc::amount::{amount, signed_amount};
use crate::rpc::arguments::Arguments;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

const VERBOSE: &str = "true for an object of details by id, false for a list of ids";
const LISTED: &str = "[\"txid\", ...] (array), or {\"<txid>\": {...}, ...} (object)";

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getmempoolancestors",
        params: &[
            required("txid", Kind::Text, "The transaction id"),
            optional("verbose", Kind::Boolean, VERBOSE).or("false"),
        ],
        about: "What a waiting transaction depends on and waits too, parents before children.",
        result: LISTED,
        run: getmempoolancestors,
    },
    Method {
        name: "getmempooldescendants",
        params: &[
            required("txid", Kind::Text, "The transaction id"),
            optional("verbose", Kind::Boolean, VERBOSE).or("false"),
        ],
        about: "What waits and depends on a waiting transaction, parents before children.",
        result: LISTED,
        run: getmempooldescendants,
    },
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
        name: "getprioritisedtransactions",
        params: &[],
        about: "The priorities that prioritisetransaction gave, in base units.",
        result: "{\"<txid>\": {\"fee_delta\": n, \"in_mempool\": true|false, \"modified_fee\"?: n}, ...} (object)",
        run: getprioritisedtransactions,
    },
    Method {
        name: "getrawmempool",
        params: &[
            optional("verbose", Kind::Boolean, VERBOSE).or("false"),
            optional(
                "mempool_sequence",
                Kind::Boolean,
                "true for the ids with the number of the next change of the mempool",
            )
            .or("false"),
        ],
        about: "The transactions in the mempool, those that a block takes first at the beginning.",
        result: "[\"txid\", ...] (array), or {\"<txid>\": {...}, ...} (object), or {\"txids\": [\"txid\", ...], \"mempool_sequence\": n} (object)",
        run: getrawmempool,
    },
    Method {
        name: "gettxspendingprevout",
        params: &[
            required(
                "outputs",
                Kind::List,
                "Outputs, each as {\"txid\": \"hex\", \"vout\": n}",
            )
            .such_as(
                "[{\"txid\": \"0000000000000000000000000000000000000000000000000000000000000001\", \"vout\": 0}]",
            ),
        ],
        about: "The waiting transactions that spend some outputs.",
        result: "[{\"txid\": \"hex\", \"vout\": n, \"spendingtxid\"?: \"hex\"}, ...] (array)",
        run: gettxspendingprevout,
    },
    Method {
        name: "importmempool",
        params: &[
            required(
                "filepath",
                Kind::Text,
                "A file that savemempool wrote, on the node's machine",
            ),
            optional(
                "options",
                Kind::Object,
                "{\"use_current_time\": true|false}: whether the transactions come now, or when they came (default true)",
            ),
        ],
        about: "Takes in the transactions of a file that are still valid. The file has Quarry's form, not Bitcoin Core's.",
        result: "{} (object)",
        run: importmempool,
    },
    Method {
        name: "prioritisetransaction",
        params: &[
            required("txid", Kind::Text, "The transaction id"),
            optional("dummy", Kind::Amount, "Must be 0 or null"),
            optional(
                "fee_delta",
                Kind::Integer,
                "By how many base units its fee counts for more, or for less; adds to what was given before",
            ),
        ],
        about: "Lets a transaction, waiting or still to come, count as if it paid more or less: for blocks made here, and for what the mempool keeps.",
        result: "true (boolean)",
        run: prioritisetransaction,
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
        "incrementalrelayfee": units(info.incremental_fee),
        "unbroadcastcount": 0,
        "fullrbf": true,
    }))
}

fn getrawmempool(call: &Call<'_>) -> Answer {
    let mempool = &call.context.mempool;
    let is_verbose = call.args.boolean("verbose").unwrap_or(false);
    if call.args.boolean("mempool_sequence").unwrap_or(false) {
        if is_verbose {
            return Err(RpcError::invalid_parameter(
                "Verbose results cannot contain mempool sequence values.",
            ));
        }
        let (txids, sequence) = mempool.ids_at_blocking();
        return Ok(json!({ "txids": txids, "mempool_sequence": sequence }));
    }
    if is_verbose {
        Ok(listed(&mempool.entries_blocking(), true))
    } else {
        Ok(json!(mempool.ids_blocking()))
    }
}

/// Details by id, or ids alone.
fn listed(entries: &[EntryInfo], is_verbose: bool) -> Value {
    if !is_verbose {
        return entries.iter().map(|entry| json!(entry.txid)).collect();
    }
    let fields = |entry: &EntryInfo| (entry.txid.to_string(), describe(entry));
    Value::Object(entries.iter().map(fields).collect())
}

fn getmempoolancestors(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    relatives(call, call.context.mempool.ancestors_blocking(txid))
}

fn getmempooldescendants(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    relatives(call, call.context.mempool.descendants_blocking(txid))
}

fn relatives(call: &Call<'_>, found: Option<Vec<EntryInfo>>) -> Answer {
    let is_verbose = call.args.boolean("verbose").unwrap_or(false);
    Ok(listed(&found.ok_or_else(not_here)?, is_verbose))
}

fn getmempoolentry(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    let entry = call.context.mempool.entry_blocking(txid);
    Ok(describe(&entry.ok_or_else(not_here)?))
}

fn not_here() -> RpcError {
    RpcError::not_found("Transaction not in mempool")
}

fn gettxspendingprevout(call: &Call<'_>) -> Answer {
    let list = call.args.list("outputs").unwrap_or_default();
    if list.is_empty() {
        return Err(RpcError::invalid_parameter(
            "Invalid parameter, outputs are missing",
        ));
    }
    let outpoints: Vec<OutPoint> = list.iter().map(outpoint).collect::<Result<_, _>>()?;
    let spenders = call.context.mempool.spenders_blocking(outpoints.clone());
    let line = |(outpoint, spender): (&OutPoint, Option<Txid>)| {
        let mut line = json!({ "txid": outpoint.txid, "vout": outpoint.vout });
        if let Some(spender) = spender {
            line["spendingtxid"] = json!(spender);
        }
        line
    };
    Ok(outpoints.iter().zip(spenders).map(line).collect())
}

fn outpoint(value: &Value) -> Result<OutPoint, RpcError> {
    let txid = Arguments::txid_in("txid", value.get("txid").unwrap_or(&Value::Null))?;
    match value.get("vout").and_then(Value::as_i64) {
        Some(vout) => match u32::try_from(vout) {
            Ok(vout) => Ok(OutPoint { txid, vout }),
            Err(_) => Err(RpcError::invalid_parameter(
                "Invalid parameter, vout cannot be negative",
            )),
        },
        None => Err(RpcError::new(
            code::TYPE_ERROR,
            "JSON value of type null is not of expected type number: an output is {\"txid\": \"hex\", \"vout\": n}",
        )),
    }
}

fn prioritisetransaction(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    if call
        .args
        .amount("dummy")?
        .is_some_and(|dummy| dummy != Amount::ZERO)
    {
        return Err(RpcError::invalid_parameter(
            "Priority is no longer supported, dummy argument to prioritisetransaction must be 0.",
        ));
    }
    let delta: Option<i64> = call.args.integer("fee_delta")?;
    let delta = delta.ok_or_else(|| {
        RpcError::new(
            code::MISC_ERROR,
            "fee_delta, the third parameter, is missing",
        )
    })?;
    match call.context.mempool.prioritise_blocking(txid, delta) {
        Ok(()) => Ok(json!(true)),
        Err(error) => Err(RpcError::new(code::MISC_ERROR, error)),
    }
}

fn getprioritisedtransactions(call: &Call<'_>) -> Answer {
    let mut lines = Map::new();
    for priority in call.context.mempool.priorities_blocking() {
        let mut line = json!({ "fee_delta": priority.delta, "in_mempool": priority.fee.is_some() });
        if let Some(fee) = priority.fee {
            let modified = i128::from(fee.units()) + i128::from(priority.delta);
            line["modified_fee"] = json!(modified);
        }
        lines.insert(priority.txid.to_string(), line);
    }
    Ok(Value::Object(lines))
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

fn importmempool(call: &Call<'_>) -> Answer {
    let path = PathBuf::from(call.args.required_text("filepath")?);
    let options = call.args.object("options");
    let as_new = options.and_then(|options| options.get("use_current_time"));
    let as_new = as_new.and_then(Value::as_bool).unwrap_or(true);
    match call.context.mempool.import_blocking(&path, as_new) {
        Ok(()) => Ok(json!({})),
        Err(error) => Err(RpcError::new(
            code::MISC_ERROR,
            format!("Unable to import mempool file: {error}"),
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
            "modified": signed_amount(i128::from(entry.fee.units()) + i128::from(entry.priority)),
            "ancestor": signed_amount(entry.ancestors.fee),
            "descendant": signed_amount(entry.descendants.fee),
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
