//! Transactions as bytes: made, read and put together, without wallet or chain.

use serde_json::{Value, json};

use crate::keys::{parse_script_sig, signature_hash, verify};
use crate::primitives::{Coin, Encode, OutPoint, Script, Transaction};
use crate::rpc::describe::{self, Shown};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::rpc::methods::stored;
use crate::rpc::raw_transaction::{assemble, decode};

/// A payment of one input and one output.
const SAMPLE_TX: &str = r#""0200000001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0000000000fdffffff0140420f00000000001976a91424e8b21a9a3a4a8e5ae7bd9d0f3b3a5d1d3b1a5d88ac00000000""#;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "combinerawtransaction",
        params: &[required("txs", Kind::List, "The transactions, hex-encoded")],
        about: "Puts the signatures of partly signed copies of one transaction together.",
        result: "\"hex\" (string) the transaction",
        run: combinerawtransaction,
    },
    Method {
        name: "createrawtransaction",
        params: &[
            required(
                "inputs",
                Kind::List,
                "What is spent: [{\"txid\": \"hex\", \"vout\": n, \"sequence\": n}, ...]",
            ),
            required(
                "outputs",
                Kind::ListOrObject,
                "Who is paid: {\"address\": amount, ...}, or a list of such objects",
            ),
            optional(
                "locktime",
                Kind::Integer,
                "The height, or the time, from which on it may be in a block",
            )
            .or("0"),
            optional(
                "replaceable",
                Kind::Boolean,
                "Whether its sequence numbers say that it may be replaced",
            )
            .or("true"),
            optional("version", Kind::Integer, "Its version, 1 or 2").or("2"),
        ],
        about: "An unsigned transaction. Nothing is looked up, kept or sent.",
        result: "\"hex\" (string) the transaction",
        run: createrawtransaction,
    },
    Method {
        name: "decoderawtransaction",
        params: &[
            required("hexstring", Kind::Text, "The transaction, hex-encoded").such_as(SAMPLE_TX),
            optional(
                "iswitness",
                Kind::Boolean,
                "Must not be true: there are no witnesses",
            ),
        ],
        about: "What a transaction says.",
        result: "{\"txid\": \"hex\", \"hash\": \"hex\", \"version\": n, \"size\": n, \"vsize\": n, \"weight\": n, \"locktime\": n, \
\"vin\": [{...}, ...], \"vout\": [{\"value\": *, \"n\": n, \"scriptPubKey\": {...}}, ...]} (object)",
        run: decoderawtransaction,
    },
    Method {
        name: "decodescript",
        params: &[required("hexstring", Kind::Text, "The script, hex-encoded")
            .such_as(r#""76a91424e8b21a9a3a4a8e5ae7bd9d0f3b3a5d1d3b1a5d88ac""#)],
        about: "What an output script says. There are no scripts behind a script hash on this chain.",
        result: "{\"asm\": \"str\", \"address\"?: \"str\", \"type\": \"str\"} (object)",
        run: decodescript,
    },
];

fn createrawtransaction(call: &Call<'_>) -> Answer {
    let tx = assemble(call.args, call.context.spec().address_version)?;
    Ok(json!(hex::encode(tx.to_bytes())))
}

fn decoderawtransaction(call: &Call<'_>) -> Answer {
    if call.args.boolean("iswitness").unwrap_or(false) {
        let message = "TX decode failed: there are no witnesses on this chain";
        return Err(RpcError::new(code::DESERIALIZATION_ERROR, message));
    }
    let tx = decode(call.args.required_text("hexstring")?)?;
    let shown = Shown {
        tx: &tx,
        txid: tx.txid(),
        spent: None,
        with_prevouts: false,
    };
    let version = call.context.spec().address_version;
    Ok(Value::Object(describe::transaction(&shown, version)))
}

fn decodescript(call: &Call<'_>) -> Answer {
    let bytes = call
        .args
        .required_hex("hexstring", "argument must be hexadecimal string")?;
    let mut shown =
        describe::script_pubkey(&Script::from(bytes), call.context.spec().address_version);
    if let Some(fields) = shown.as_object_mut() {
        // The caller has the bytes.
        fields.remove("hex");
    }
    Ok(shown)
}

fn combinerawtransaction(call: &Call<'_>) -> Answer {
    let mut copies = Vec::new();
    for value in call.args.list("txs").unwrap_or_default() {
        let text = value.as_str().ok_or_else(|| {
            RpcError::new(
                code::TYPE_ERROR,
                "txs: each is a string of hexadecimal digits",
            )
        })?;
        copies.push(decode(text)?);
    }
    let Some(mut combined) = copies.first().map(unsigned) else {
        return Err(RpcError::invalid_parameter("Missing transactions"));
    };
    if copies.iter().any(|copy| unsigned(copy) != combined) {
        return Err(RpcError::invalid_parameter(
            "Transactions are not copies of one",
        ));
    }
    let outpoints: Vec<OutPoint> = combined
        .inputs
        .iter()
        .map(|input| input.previous_output)
        .collect();
    let coins = spendable_coins(call, &outpoints)?;
    for (index, coin) in coins.iter().enumerate() {
        let Some(coin) = coin else {
            let message = "Input not found or already spent";
            return Err(RpcError::new(code::VERIFY_ERROR, message));
        };
        let signed = copies.iter().find(|copy| is_signed(copy, index, coin));
        if let Some(signed) = signed {
            combined.inputs[index].script_sig = signed.inputs[index].script_sig.clone();
        }
    }
    Ok(json!(hex::encode(combined.to_bytes())))
}

/// The same without its input scripts.
fn unsigned(tx: &Transaction) -> Transaction {
    let mut bare = tx.clone();
    for input in &mut bare.inputs {
        input.script_sig = Script::default();
    }
    bare
}

/// Whether an input's script fulfils what its coin asks for.
fn is_signed(tx: &Transaction, index: usize, coin: &Coin) -> bool {
    let Some(input) = tx.inputs.get(index) else {
        return false;
    };
    parse_script_sig(&input.script_sig).is_ok_and(|(signature, key)| {
        let digest = || signature_hash(tx, index, &Script::p2pkh(&coin.pubkey_hash));
        key.pubkey_hash() == coin.pubkey_hash && verify(&key, &digest(), &signature)
    })
}

/// The coins of chain and mempool, whether or not something that waits spends them.
fn spendable_coins(call: &Call<'_>, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, RpcError> {
    let chain = stored(call.context.reader().coins(outpoints))?;
    let waiting = |outpoint: &OutPoint| {
        let tx = call.context.mempool.get_blocking(outpoint.txid)?;
        let output = tx.outputs.get(usize::try_from(outpoint.vout).ok()?)?;
        Some(Coin {
            value: output.value.check().ok()?,
            pubkey_hash: output.script_pubkey.as_p2pkh()?,
            height: 0,
            is_coinbase: false,
        })
    };
    let pairs = chain.into_iter().zip(outpoints);
    Ok(pairs
        .map(|(coin, outpoint)| coin.or_else(|| waiting(outpoint)))
        .collect())
}
