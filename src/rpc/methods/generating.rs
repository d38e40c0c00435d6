//! Blocks at once, for networks on which they are easy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::miner::{GenerateError, generate_block_blocking, generate_blocking};
use crate::primitives::{Decode, Encode, Transaction, Txid};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "generateblock",
        params: &[
            required("output", Kind::Text, "The address that gets the subsidy")
                .such_as(r#""mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn""#),
            required(
                "transactions",
                Kind::List,
                "Transactions in the order of the block, each an id of the mempool or hex-encoded; their fees go to nobody",
            ),
            optional(
                "submit",
                Kind::Boolean,
                "Whether to give the block to the chain, or to return it instead",
            )
            .or("true"),
        ],
        about: "Finds a block with the given transactions and no others, on one thread.",
        result: "{\"hash\": \"hex\", \"hex\"?: \"hex\" (the block, where it was not submitted)} (object)",
        run: generateblock,
    },
    Method {
        name: "generatetoaddress",
        params: &[
            required("nblocks", Kind::Integer, "How many blocks"),
            required("address", Kind::Text, "The address that gets the rewards"),
            optional(
                "maxtries",
                Kind::Ignored,
                "Not used: the search goes on until a block is found or the client is gone",
            ),
        ],
        about: "Finds blocks at once, on one thread, and pays the rewards to an address.",
        result: "[\"hex\", ...] (array) the block hashes",
        run: generatetoaddress,
    },
];

fn generatetoaddress(call: &Call<'_>) -> Answer {
    let count: u32 = call.args.required_integer("nblocks")?;
    let version = call.context.spec().address_version;
    let payout = call.args.required_address("address", version)?;
    let context = call.context;
    let found = while_wanted(call, |cancel| {
        generate_blocking(
            &context.chain,
            Some(&context.mempool),
            payout,
            count,
            &context.clock,
            cancel,
        )
    })?;
    Ok(json!(found))
}

fn generateblock(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let payout = call.args.required_address("output", version)?;
    let texts = call.args.required_texts("transactions")?;
    let submit = call.args.boolean("submit").unwrap_or(true);
    let transactions = texts
        .into_iter()
        .map(|text| transaction(call, text))
        .collect::<Result<_, _>>()?;
    let context = call.context;
    let block = while_wanted(call, |cancel| {
        generate_block_blocking(&context.chain, transactions, payout, &context.clock, cancel)
    })?;
    let hash = block.hash();
    if !submit {
        return Ok(json!({ "hash": hash, "hex": hex::encode(block.to_bytes()) }));
    }
    // Where another block came first it is on a branch, as with Bitcoin Core.
    context.chain.submit_block_blocking(block)?;
    Ok(json!({ "hash": hash }))
}

/// A transaction of the mempool by its id, or one that is written out.
fn transaction(call: &Call<'_>, text: &str) -> Result<Arc<Transaction>, RpcError> {
    if let Ok(txid) = text.parse::<Txid>() {
        return call
            .context
            .mempool
            .get_blocking(txid)
            .ok_or_else(|| RpcError::not_found(format!("Transaction {text} not in mempool.")));
    }
    let failed = |error: &dyn std::fmt::Display| {
        let shown: String = text.chars().take(SHOWN).collect();
        RpcError::new(
            code::DESERIALIZATION_ERROR,
            format!(
                "Transaction decode failed for {shown}. Make sure the tx has at least one input. ({error})"
            ),
        )
    };
    let bytes = hex::decode(text).map_err(|error| failed(&error))?;
    let tx = Transaction::from_bytes(&bytes).map_err(|error| failed(&error))?;
    Ok(Arc::new(tx))
}

/// Characters of a transaction that a message repeats: it may have a million.
const SHOWN: usize = 80;

/// Runs a search that ends when the client is gone or the node stops.
fn while_wanted<T>(
    call: &Call<'_>,
    search: impl FnOnce(&AtomicBool) -> Result<T, GenerateError>,
) -> Result<T, RpcError> {
    let flag = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (flag, cancelled) = (Arc::clone(&flag), call.cancelled.clone());
        call.runtime.spawn(async move {
            cancelled.cancelled().await;
            flag.store(true, Ordering::Relaxed);
        })
    };
    let found = search(&flag);
    watcher.abort();
    found.map_err(|error| match error {
        GenerateError::Submit(error) => error.into(),
        GenerateError::Proposal { reason, message } => RpcError::new(
            code::VERIFY_ERROR,
            format!("TestBlockValidity failed: {reason}, {message}"),
        ),
        GenerateError::Cancelled { .. } | GenerateError::Template(_) | GenerateError::Random(_) => {
            RpcError::new(code::MISC_ERROR, error.to_string())
        }
    })
}
