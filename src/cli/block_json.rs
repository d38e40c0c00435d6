//! A block as JSON, with the fields of the chain that Quarry re-creates, in its order; `bits` and `merkle_root` come beside.

use serde::Serialize;
use serde_json::Value;

use super::output::coins;
use crate::keys::parse_script_sig;
use crate::primitives::{self, BlockHash, MerkleRoot, Txid};

/// A block.
#[derive(Serialize)]
pub(super) struct Block {
    timestamp: u32,
    prev_block_hash: BlockHash,
    hash: BlockHash,
    nonce: u32,
    height: u32,
    bits: String,
    merkle_root: MerkleRoot,
    transactions: Vec<Transaction>,
}

#[derive(Serialize)]
struct Transaction {
    id: Txid,
    vin: Vec<Input>,
    vout: Vec<Output>,
}

#[derive(Serialize)]
struct Input {
    txid: String,
    vout: i64,
    signature: String,
    pub_key: String,
}

#[derive(Serialize)]
struct Output {
    /// Coins.
    value: Value,
    pub_key_hash: Option<String>,
}

impl Block {
    /// The form of `block`, which is at `height`.
    pub(super) fn new(block: &primitives::Block, height: u32) -> Self {
        let header = &block.header;
        Self {
            timestamp: header.time,
            prev_block_hash: header.prev_block,
            hash: block.hash(),
            nonce: header.nonce,
            height,
            bits: header.bits.to_string(),
            merkle_root: header.merkle_root,
            transactions: block.transactions.iter().map(Transaction::new).collect(),
        }
    }
}

impl Transaction {
    fn new(tx: &primitives::Transaction) -> Self {
        let coinbase = tx.is_coinbase();
        Self {
            id: tx.txid(),
            vin: tx
                .inputs
                .iter()
                .map(|input| Input::new(input, coinbase))
                .collect(),
            vout: tx.outputs.iter().map(Output::new).collect(),
        }
    }
}

impl Input {
    /// A coinbase spends nothing: as in the original, it has no txid, output -1, and its data in place of the key.
    fn new(input: &primitives::TxIn, coinbase: bool) -> Self {
        let script = hex::encode(input.script_sig.as_bytes());
        if coinbase {
            return Self {
                txid: String::new(),
                vout: -1,
                signature: String::new(),
                pub_key: script,
            };
        }
        // Every input of a stored block has this form.
        let (signature, pub_key) = match parse_script_sig(&input.script_sig) {
            Ok((signature, key)) => (hex::encode(signature.to_der()), hex::encode(key.to_bytes())),
            Err(_) => (script, String::new()),
        };
        Self {
            txid: input.previous_output.txid.to_string(),
            vout: input.previous_output.vout.into(),
            signature,
            pub_key,
        }
    }
}

impl Output {
    fn new(output: &primitives::TxOut) -> Self {
        Self {
            value: output.value.check().map_or(Value::Null, coins),
            pub_key_hash: output.script_pubkey.as_p2pkh().map(|hash| hash.to_string()),
        }
    }
}
