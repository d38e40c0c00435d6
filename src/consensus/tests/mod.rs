//! Laws of the rules that need no chain, with the ids of the faults they cover.

mod limits;
mod scripts;

use super::ChainSpec;
use crate::keys::{SecretKey, sign_input};
use crate::primitives::{
    Amount, Block, Coin, OutPoint, PubkeyHash, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut,
    Txid,
};

fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32]).unwrap()
}

fn key_hash() -> PubkeyHash {
    key().public_key().pubkey_hash()
}

/// A coin of [`key`] that may be spent at any time.
fn coin(value: Amount) -> Coin {
    Coin {
        value,
        pubkey_hash: key_hash(),
        height: 0,
        is_coinbase: false,
    }
}

fn outpoint(number: u8) -> OutPoint {
    OutPoint {
        txid: Txid::from_bytes([number; 32]),
        vout: 0,
    }
}

/// A payment of `coins`, signed.
fn payment(coins: &[OutPoint], outputs: &[u64]) -> Transaction {
    let input = |coin: &OutPoint| TxIn {
        previous_output: *coin,
        script_sig: Script::default(),
        sequence: SEQUENCE_FINAL,
    };
    let output = |units: &u64| TxOut {
        value: Amount::from_units(*units).unwrap().into(),
        script_pubkey: Script::p2pkh(&key_hash()),
    };
    let mut tx = Transaction {
        version: 2,
        inputs: coins.iter().map(input).collect(),
        outputs: outputs.iter().map(output).collect(),
        lock_time: 0,
    };
    for index in 0..coins.len() {
        sign_input(&mut tx, index, &key());
    }
    tx
}

/// A block at height 1 with a coinbase that takes nothing, and `transactions`.
fn block(transactions: Vec<Transaction>) -> Block {
    let mut block = ChainSpec::regtest().genesis_block();
    let mut coinbase = payment(&[OutPoint::NULL], &[0]);
    coinbase.inputs[0].script_sig = vec![0x51, 0].into();
    block.transactions = [vec![coinbase], transactions].concat();
    block.header.merkle_root = block.compute_merkle_root().0;
    block
}
