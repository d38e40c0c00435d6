//! The set of coins, and proofs that transactions are in blocks.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::stored;
use crate::chain::Tip;
use crate::primitives::{
    Amount, BlockHash, Coin, Decode, Encode, MerkleProof, OutPoint, Script, Transaction, TxOut,
    Txid, sha256,
};
use crate::rpc::amount::amount;
use crate::rpc::arguments::Arguments;
use crate::rpc::describe;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::rpc::one_state::at_one_tip;

/// What Bitcoin Core counts for a coin in `bogosize`, beside its script (`kernel/coinstats.cpp`): a figure that does not depend
/// on how the set is stored.
const BOGO_OVERHEAD: u64 = 32 + 4 + 4 + 8 + 2;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "gettxout",
        params: &[
            required("txid", Kind::Text, "The transaction id"),
            required("n", Kind::Integer, "The number of its output").such_as("0"),
            optional(
                "include_mempool",
                Kind::Boolean,
                "Whether waiting transactions make and spend coins",
            )
            .or("true"),
        ],
        about: "An unspent output.",
        result: "null if there is no such unspent output
{\"bestblock\": \"hex\", \"confirmations\": n, \"value\": n, \"scriptPubKey\": {...}, \"coinbase\": true|false} (object)",
        run: gettxout,
    },
    Method {
        name: "gettxoutproof",
        params: &[
            required("txids", Kind::List, "The transaction ids")
                .such_as(r#"["4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"]"#),
            optional("blockhash", Kind::Text, "The block in which to look, of any branch"),
        ],
        about: "A proof that transactions are in one block.",
        result: "\"hex\" (string) the proof",
        run: gettxoutproof,
    },
    Method {
        name: "gettxoutsetinfo",
        params: &[
            optional(
                "hash_type",
                Kind::Text,
                "\"hash_serialized_3\", the hash that Bitcoin Core computes of an equal set, or \"none\"",
            )
            .or(r#""hash_serialized_3""#),
            optional("hash_or_height", Kind::IntegerOrText, "Must be left out: only the set at the tip is kept"),
            optional("use_index", Kind::Boolean, "Not used").or("true"),
        ],
        about: "Figures of the set of coins at the tip. Reads the whole set. Quarry: `accumulator` is the digest that the node \
                keeps up to date and compares with the set in `quarry verify-chain`.",
        result: "{\"height\": n, \"bestblock\": \"hex\", \"txouts\": n, \"bogosize\": n, \"hash_serialized_3\"?: \"hex\", \
\"total_amount\": n, \"transactions\": n, \"disk_size\": n, \"accumulator\": \"hex\"} (object)",
        run: gettxoutsetinfo,
    },
    Method {
        name: "verifytxoutproof",
        params: &[required("proof", Kind::Text, "The proof, hex-encoded").such_as("\"00\"")],
        about: "Checks a proof of gettxoutproof against the active chain.",
        result: "[\"txid\", ...] (array) the transactions that it proves; none if it is wrong",
        run: verifytxoutproof,
    },
];

fn gettxout(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    let vout: u32 = call.args.required_integer("n")?;
    let outpoint = OutPoint { txid, vout };
    let with_mempool = call.args.boolean("include_mempool").unwrap_or(true);
    let (reader, mempool) = (call.context.reader(), &call.context.mempool);
    at_one_tip(reader, |tip| {
        if with_mempool {
            if mempool.spends_blocking(outpoint).is_some() {
                return Ok(Value::Null);
            }
            let made = mempool.get_blocking(txid).and_then(|tx| {
                let output = tx.outputs.get(usize::try_from(vout).ok()?)?;
                Some(waiting_output(call, tip, output))
            });
            if let Some(made) = made {
                return Ok(made);
            }
        }
        let coin = stored(reader.coins(&[outpoint]))?.into_iter().next();
        Ok(match coin.flatten() {
            Some(coin) => json!({
                "bestblock": tip.hash,
                "confirmations": (u64::from(tip.height) + 1).saturating_sub(coin.height.into()),
                "value": amount(coin.value),
                "scriptPubKey": script_of(call, &coin),
                "coinbase": coin.is_coinbase,
            }),
            None => Value::Null,
        })
    })
}

fn waiting_output(call: &Call<'_>, tip: &Tip, output: &TxOut) -> Value {
    let version = call.context.spec().address_version;
    json!({
        "bestblock": tip.hash,
        "confirmations": 0,
        "value": amount(output.value.check().unwrap_or(Amount::ZERO)),
        "scriptPubKey": describe::script_pubkey(&output.script_pubkey, version),
        "coinbase": false,
    })
}

fn script_of(call: &Call<'_>, coin: &Coin) -> Value {
    let version = call.context.spec().address_version;
    describe::script_pubkey(&Script::p2pkh(&coin.pubkey_hash), version)
}

fn gettxoutsetinfo(call: &Call<'_>) -> Answer {
    let hash_type = call.args.text("hash_type").unwrap_or("hash_serialized_3");
    let hashed = match hash_type {
        "hash_serialized_3" => true,
        "none" => false,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(RpcError::invalid_parameter(format!(
                "'{other}' is not a valid hash_type; there are hash_serialized_3 and none"
            )));
        }
    };
    if call.args.any("hash_or_height").is_some() {
        return Err(RpcError::invalid_parameter(
            "Querying specific block heights requires coinstatsindex, which there is not",
        ));
    }
    let (stats, coins) = stored(call.context.reader().all_coins())?;
    let mut set = SetDigest::new(hashed);
    for coin in coins {
        if call.cancelled.is_cancelled() {
            return Err(RpcError::new(code::MISC_ERROR, "Shutting down"));
        }
        let (outpoint, coin) = stored(coin)?;
        set.add(&outpoint, &coin);
    }
    let total = Amount::from_units(stats.total).unwrap_or(Amount::MAX);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("height", json!(stats.height));
    put("bestblock", json!(stats.tip));
    put("txouts", json!(stats.coins));
    put("bogosize", json!(set.bogosize));
    let transactions = set.transactions;
    if let Some(hash) = set.hash() {
        put("hash_serialized_3", json!(hash));
    }
    put("total_amount", json!(amount(total)));
    put("transactions", json!(transactions));
    put(
        "disk_size",
        json!(super::blockchain::size_on_disk(&call.context.database)),
    );
    put("accumulator", json!(stats.accumulator.to_hex()));
    Ok(Value::Object(fields))
}

/// What is added up over a set of coins in the order of their outpoints.
struct SetDigest {
    /// Of what Bitcoin Core hashes for `hash_serialized_3` (`kernel/coinstats.cpp`).
    hash: Option<Sha256>,
    bogosize: u64,
    transactions: u64,
    last: Option<Txid>,
}

impl SetDigest {
    fn new(hashed: bool) -> Self {
        Self {
            hash: hashed.then(Sha256::new),
            bogosize: 0,
            transactions: 0,
            last: None,
        }
    }

    fn add(&mut self, outpoint: &OutPoint, coin: &Coin) {
        let script_pubkey = Script::p2pkh(&coin.pubkey_hash);
        self.bogosize += BOGO_OVERHEAD + script_pubkey.len() as u64;
        self.transactions += u64::from(self.last != Some(outpoint.txid));
        self.last = Some(outpoint.txid);
        if let Some(hash) = &mut self.hash {
            let mut bytes = outpoint.to_bytes();
            (coin.height << 1 | u32::from(coin.is_coinbase)).encode(&mut bytes);
            let output = TxOut {
                value: coin.value.into(),
                script_pubkey,
            };
            output.encode(&mut bytes);
            hash.update(&bytes);
        }
    }

    /// Shown byte-reversed, as block hashes are.
    fn hash(self) -> Option<BlockHash> {
        let once = self.hash?.finalize();
        Some(BlockHash::from_bytes(sha256(&once)))
    }
}

fn gettxoutproof(call: &Call<'_>) -> Answer {
    let mut wanted = BTreeSet::new();
    for value in call.args.list("txids").unwrap_or_default() {
        let txid = Arguments::txid_in("txid", value)?;
        if !wanted.insert(txid) {
            let message = format!("Invalid parameter, duplicated txid: {txid}");
            return Err(RpcError::invalid_parameter(message));
        }
    }
    let Some(first) = wanted.first() else {
        return Err(RpcError::invalid_parameter(
            "Parameter 'txids' cannot be empty",
        ));
    };
    let reader = call.context.reader();
    let hash = match call.args.block_hash("blockhash")? {
        Some(hash) if reader.header_info(&hash).is_none() => {
            return Err(RpcError::not_found("Block not found"));
        }
        Some(hash) => hash,
        None => {
            let place = stored(reader.transaction(first))?;
            place
                .ok_or_else(|| RpcError::not_found("Transaction not yet in block"))?
                .block
        }
    };
    let not_available = || RpcError::new(code::MISC_ERROR, "Block not available");
    let block = stored(reader.block(&hash))?.ok_or_else(not_available)?;
    let txids: Vec<Txid> = block.transactions.iter().map(Transaction::txid).collect();
    let found = txids.iter().filter(|txid| wanted.contains(txid)).count();
    if found != wanted.len() {
        return Err(RpcError::not_found(
            "Not all transactions found in specified or retrieved block",
        ));
    }
    let proof = MerkleProof::new(block.header, &txids, |txid| wanted.contains(txid));
    Ok(json!(hex::encode(proof.to_bytes())))
}

fn verifytxoutproof(call: &Call<'_>) -> Answer {
    let bytes = call.args.required_hex("proof", "Proof decode failed")?;
    let proof = MerkleProof::from_bytes(&bytes).map_err(|error| {
        let message = format!("Proof decode failed ({error})");
        RpcError::new(code::DESERIALIZATION_ERROR, message)
    })?;
    let Some(proven) = proof.txids() else {
        return Ok(json!([]));
    };
    let info = call.context.reader().header_info(&proof.header.hash());
    let info = info.filter(|info| info.in_active_chain);
    let info = info.ok_or_else(|| RpcError::not_found("Block not found in chain"))?;
    // A proof over another number of transactions could make an inner node of the tree pass for a transaction (CVE-2017-12842).
    match info.tx_count == Some(proof.count) {
        true => Ok(json!(proven)),
        false => Ok(json!([])),
    }
}
