//! The first block of a network, built from its spec.

use crate::primitives::{
    Amount, Block, BlockHash, BlockHeader, MerkleRoot, OutPoint, SEQUENCE_FINAL, Script,
    Transaction, TxIn, TxOut,
};

use super::spec::{ChainSpec, GenesisPayout};

/// The pushes before the message in Bitcoin's first coinbase: 486604799 (`1d00ffff`) and 4.
const SCRIPT_PREFIX: [u8; 7] = [0x04, 0xff, 0xff, 0x00, 0x1d, 0x01, 0x04];

/// The longest message: a direct push.
pub(super) const MAX_MESSAGE_LEN: usize = 75;

/// `OP_CHECKSIG`, which ends a pay-to-public-key script.
const OP_CHECKSIG: u8 = 0xac;

/// The first block of `spec`, in the form of Bitcoin's (Bitcoin Core, `CreateGenesisBlock`).
pub(super) fn block(spec: &ChainSpec) -> Block {
    let coinbase = coinbase(spec, spec.subsidy);
    Block {
        header: BlockHeader {
            version: 1,
            prev_block: BlockHash::ZERO,
            merkle_root: MerkleRoot::from_bytes(coinbase.txid().to_bytes()),
            time: spec.genesis.time,
            bits: spec.genesis.bits,
            nonce: spec.genesis.nonce,
        },
        transactions: vec![coinbase],
    }
}

fn coinbase(spec: &ChainSpec, value: Amount) -> Transaction {
    let message = spec.genesis.message.as_bytes();
    let push = u8::try_from(message.len()).expect("a spec's message has at most 75 bytes");
    let script_pubkey = match &spec.genesis.payout {
        GenesisPayout::KeyHash(hash) => Script::p2pkh(hash),
        GenesisPayout::PublicKey(key) => Script::from([&[65][..], key, &[OP_CHECKSIG]].concat()),
    };
    Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint::NULL,
            script_sig: Script::from([&SCRIPT_PREFIX[..], &[push], message].concat()),
            sequence: SEQUENCE_FINAL,
        }],
        outputs: vec![TxOut {
            value: value.into(),
            script_pubkey,
        }],
        lock_time: 0,
    }
}

/// Sets the nonce with which the first block meets its target; moves the time on where all nonces fail.
pub(super) fn solve(spec: &mut ChainSpec) {
    let target = spec.pow_limit_target();
    let mut header = block(spec).header;
    while !target.is_met_by(&header.hash()) {
        match header.nonce.checked_add(1) {
            Some(nonce) => header.nonce = nonce,
            None => (header.nonce, header.time) = (0, header.time + 1),
        }
    }
    spec.genesis.nonce = header.nonce;
    spec.genesis.time = header.time;
}
