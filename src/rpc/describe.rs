//! Headers, blocks and transactions as JSON, in Bitcoin Core's shapes (`rpc/blockchain.cpp`, `core_io.cpp`).
//!
//! There are no witnesses here, so `strippedsize` is `size`, `weight` four times that, and `hash` is `txid`.

use serde_json::{Map, Value, json};

use crate::chain::{ChainReader, HeaderInfo, Tip};
use crate::keys::Address;
use crate::primitives::{
    Amount, Block, BlockHash, Coin, CompactTarget, Encode, Script, Transaction, TxIn, TxOut, Txid,
};

use super::amount::amount;
use super::script_text::asm;

/// Weight units of a byte that is no witness (BIP141).
pub(super) const WEIGHT: usize = 4;

/// Difficulty of a header's bits; 0 for bits that are no target, which no accepted header has.
pub(super) fn difficulty(bits: CompactTarget) -> f64 {
    bits.to_target().map_or(0.0, |target| target.difficulty())
}

/// The full target of a header's bits.
pub(super) fn target(bits: CompactTarget) -> String {
    bits.to_target()
        .map_or_else(|_| String::new(), |target| target.to_string())
}

/// How many blocks confirm this one, itself included; -1 beside the active chain.
pub(super) fn confirmations(info: &HeaderInfo, tip: &Tip) -> i64 {
    match tip.height.checked_sub(info.height) {
        Some(above) if info.in_active_chain => i64::from(above) + 1,
        Some(_) | None => -1,
    }
}

/// `getblockheader`, and the first part of `getblock`.
pub(super) fn header(reader: &ChainReader, info: &HeaderInfo, tip: &Tip) -> Map<String, Value> {
    let HeaderInfo { header, height, .. } = *info;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("hash", json!(info.hash));
    put("confirmations", json!(confirmations(info, tip)));
    put("height", json!(height));
    put("version", json!(header.version));
    put("versionHex", json!(format!("{:08x}", header.version)));
    put("merkleroot", json!(header.merkle_root));
    put("time", json!(header.time));
    put("mediantime", json!(info.median_time_past));
    put("nonce", json!(header.nonce));
    put("bits", json!(header.bits.to_string()));
    put("target", json!(target(header.bits)));
    put("difficulty", json!(difficulty(header.bits)));
    put("chainwork", json!(info.chainwork));
    put("nTx", json!(info.tx_count.unwrap_or(0)));
    if height > 0 {
        put("previousblockhash", json!(header.prev_block));
    }
    let next = height.checked_add(1).filter(|_| info.in_active_chain);
    if let Some(next) = next.and_then(|next| reader.hash_at(next)) {
        put("nextblockhash", json!(next));
    }
    fields
}

/// How transactions of a block are shown.
pub(super) enum Detail<'a> {
    /// Their ids.
    Ids,
    /// In full.
    Full {
        /// The coins that they spent, in block order, where those are known.
        spent: Option<&'a [Coin]>,
        /// Whether inputs show those coins.
        with_prevouts: bool,
    },
}

/// `getblock`.
pub(super) fn block(
    reader: &ChainReader,
    info: &HeaderInfo,
    tip: &Tip,
    block: &Block,
    detail: &Detail<'_>,
) -> Value {
    let mut fields = header(reader, info, tip);
    let size = block.encoded_len();
    fields.insert("nTx".into(), json!(block.transactions.len()));
    fields.insert("strippedsize".into(), json!(size));
    fields.insert("size".into(), json!(size));
    fields.insert("weight".into(), json!(size * WEIGHT));
    let version = reader.spec().address_version;
    let transactions: Vec<Value> = match detail {
        Detail::Ids => block
            .transactions
            .iter()
            .map(|tx| json!(tx.txid()))
            .collect(),
        Detail::Full {
            spent,
            with_prevouts,
        } => {
            let mut spent = spent.map(<[Coin]>::iter);
            let full = |tx: &Transaction| {
                let coins: Option<Vec<Coin>> = if tx.is_coinbase() {
                    None
                } else {
                    spent
                        .as_mut()
                        .map(|spent| spent.take(tx.inputs.len()).copied().collect())
                };
                let shown = Shown {
                    tx,
                    txid: tx.txid(),
                    spent: coins.as_deref(),
                    with_prevouts: *with_prevouts,
                };
                let mut fields = transaction(&shown, version);
                fields.insert("hex".into(), json!(hex::encode(tx.to_bytes())));
                Value::Object(fields)
            };
            block.transactions.iter().map(full).collect()
        }
    };
    fields.insert("tx".into(), Value::Array(transactions));
    Value::Object(fields)
}

/// A transaction to be shown.
pub(super) struct Shown<'a> {
    /// The transaction.
    pub(super) tx: &'a Transaction,
    /// Its id.
    pub(super) txid: Txid,
    /// The coins that it spends, in the order of its inputs, where they are known: for its fee.
    pub(super) spent: Option<&'a [Coin]>,
    /// Whether inputs show those coins.
    pub(super) with_prevouts: bool,
}

/// A transaction without its place.
pub(super) fn transaction(shown: &Shown<'_>, version: u8) -> Map<String, Value> {
    let Shown {
        tx,
        txid,
        spent,
        with_prevouts,
    } = *shown;
    let size = tx.encoded_len();
    let inputs = tx.inputs.iter().enumerate().map(|(index, txin)| {
        let coin = spent
            .and_then(|spent| spent.get(index))
            .filter(|_| with_prevouts);
        input(tx, txin, coin, version)
    });
    let outputs = tx.outputs.iter().enumerate().map(|(index, output)| {
        json!({
            "value": output_value(output),
            "n": index,
            "scriptPubKey": script_pubkey(&output.script_pubkey, version),
        })
    });
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("txid", json!(txid));
    put("hash", json!(txid));
    put("version", json!(tx.version));
    put("size", json!(size));
    put("vsize", json!(size));
    put("weight", json!(size * WEIGHT));
    put("locktime", json!(tx.lock_time));
    put("vin", inputs.collect());
    put("vout", outputs.collect());
    if let Some(fee) = spent.and_then(|spent| fee(tx, spent)) {
        put("fee", amount(fee));
    }
    fields
}

/// Where a transaction of the active chain is.
pub(super) fn put_place(
    fields: &mut Map<String, Value>,
    block: &BlockHash,
    info: &HeaderInfo,
    tip: &Tip,
) {
    fields.insert("blockhash".into(), json!(block));
    // Core says 0 for blocks beside the active chain here, and -1 elsewhere.
    fields.insert(
        "confirmations".into(),
        json!(confirmations(info, tip).max(0)),
    );
    fields.insert("time".into(), json!(info.header.time));
    fields.insert("blocktime".into(), json!(info.header.time));
}

/// What a transaction leaves to the miner; `None` if the coins are not all there.
pub(super) fn fee(tx: &Transaction, spent: &[Coin]) -> Option<Amount> {
    if spent.len() != tx.inputs.len() {
        return None;
    }
    let inputs = Amount::checked_sum(spent.iter().map(|coin| coin.value))?;
    let outputs = tx.outputs.iter().map(|output| output.value.check().ok());
    let outputs = Amount::checked_sum(outputs.collect::<Option<Vec<_>>>()?)?;
    inputs.checked_sub(outputs)
}

fn input(tx: &Transaction, input: &TxIn, coin: Option<&Coin>, version: u8) -> Value {
    let script = hex::encode(input.script_sig.as_bytes());
    if tx.is_coinbase() {
        return json!({ "coinbase": script, "sequence": input.sequence });
    }
    let mut shown = json!({
        "txid": input.previous_output.txid,
        "vout": input.previous_output.vout,
        "scriptSig": { "asm": asm(input.script_sig.as_bytes(), true), "hex": script },
    });
    if let (Some(coin), Some(fields)) = (coin, shown.as_object_mut()) {
        let script = script_pubkey(&Script::p2pkh(&coin.pubkey_hash), version);
        fields.insert(
            "prevout".into(),
            json!({
                "generated": coin.is_coinbase,
                "height": coin.height,
                "value": amount(coin.value),
                "scriptPubKey": script,
            }),
        );
    }
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("sequence".into(), json!(input.sequence));
    }
    shown
}

/// Values above the supply exist in blocks that are stored but were never connected.
fn output_value(output: &TxOut) -> Value {
    match output.value.check() {
        Ok(value) => amount(value),
        Err(_) => json!(output.value.0.to_string()),
    }
}

/// An output script.
pub(super) fn script_pubkey(script: &Script, version: u8) -> Value {
    let mut fields = Map::new();
    fields.insert("asm".into(), json!(asm(script.as_bytes(), false)));
    fields.insert("hex".into(), json!(hex::encode(script.as_bytes())));
    match script.as_p2pkh() {
        Some(hash) => {
            fields.insert(
                "address".into(),
                json!(Address::new(hash, version).to_string()),
            );
            fields.insert("type".into(), json!("pubkeyhash"));
        }
        // Bitcoin's first block pays to a bare key; nothing else comes into the chain.
        None => {
            let kind = if matches!(script.as_bytes(), [65, .., 0xac] | [33, .., 0xac]) {
                "pubkey"
            } else {
                "nonstandard"
            };
            fields.insert("type".into(), json!(kind));
        }
    }
    Value::Object(fields)
}
