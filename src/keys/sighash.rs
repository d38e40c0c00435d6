//! The legacy signature hash with type `ALL`: what a signature of a P2PKH input signs.

use sha2::{Digest, Sha256};

use crate::primitives::{Encode, Script, Transaction, sha256, write_compact_size};

/// The hash type byte that follows a signature: all inputs and all outputs are signed.
pub const SIGHASH_ALL: u8 = 1;

/// The digest that input `input` of `tx` signs, spending an output guarded by `script_code`.
///
/// Bitcoin Core, `script/interpreter.cpp`, `SignatureHash`: the transaction with every input script emptied but this one's,
/// which is `script_code`, followed by the hash type as four bytes.
pub fn signature_hash(tx: &Transaction, input: usize, script_code: &Script) -> [u8; 32] {
    SighashCache::new(tx).signature_hash(input, script_code)
}

/// The parts of a transaction's signature hashes that its inputs share.
///
/// The encoding with all scripts emptied is made once; each input's digest then differs in one splice. What comes before the
/// splice is hashed once for all inputs, which halves the quadratic cost that legacy signature hashes have (CVE-2013-2292).
pub struct SighashCache {
    /// The encoding with empty input scripts, followed by the hash type.
    blank: Vec<u8>,
    /// Where each input's (empty) script length is in `blank`, and the hash of all before it.
    inputs: Vec<(usize, Sha256)>,
}

impl SighashCache {
    /// Prepares the digests of `tx`.
    pub fn new(tx: &Transaction) -> Self {
        let mut blank = Vec::with_capacity(tx.encoded_len() + 4);
        let mut script_at = Vec::with_capacity(tx.inputs.len());
        tx.version.encode(&mut blank);
        write_compact_size(tx.inputs.len(), &mut blank);
        for input in &tx.inputs {
            input.previous_output.encode(&mut blank);
            script_at.push(blank.len());
            blank.push(0);
            input.sequence.encode(&mut blank);
        }
        write_compact_size(tx.outputs.len(), &mut blank);
        for output in &tx.outputs {
            output.encode(&mut blank);
        }
        tx.lock_time.encode(&mut blank);
        u32::from(SIGHASH_ALL).encode(&mut blank);
        let (mut prefix, mut hashed) = (Sha256::new(), 0);
        let inputs = script_at.into_iter().map(|at| {
            prefix.update(&blank[hashed..at]);
            hashed = at;
            (at, prefix.clone())
        });
        Self {
            inputs: inputs.collect(),
            blank,
        }
    }

    /// The digest of one input.
    ///
    /// # Panics
    /// Where the transaction has no input of that index.
    pub fn signature_hash(&self, input: usize, script_code: &Script) -> [u8; 32] {
        let (at, prefix) = &self.inputs[input];
        let mut hash = prefix.clone();
        hash.update(script_code.to_bytes());
        hash.update(&self.blank[at + 1..]);
        sha256(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{
        OutPoint, PubkeyHash, SEQUENCE_FINAL, TxIn, TxOut, Txid, UncheckedAmount, sha256d,
    };

    // B23: what inputs share is the same as the encoding of Bitcoin Core's `SignatureHash`, made anew for each.
    #[test]
    fn b23_shared_prefixes_give_the_digests_of_the_whole_encoding() {
        for count in [1, 2, 252, 253, 300] {
            let input = |vout| TxIn {
                previous_output: OutPoint {
                    txid: Txid::from_bytes([3; 32]),
                    vout,
                },
                script_sig: vec![7; 5].into(),
                sequence: SEQUENCE_FINAL - vout,
            };
            let output = TxOut {
                value: UncheckedAmount(9),
                script_pubkey: vec![1; 25].into(),
            };
            let tx = Transaction {
                version: 2,
                inputs: (0..count).map(input).collect(),
                outputs: vec![output; 3],
                lock_time: 77,
            };
            let code = Script::p2pkh(&PubkeyHash::from_bytes([8; 20]));
            let cache = SighashCache::new(&tx);
            for index in 0..tx.inputs.len() {
                let mut whole = tx.clone();
                for (at, input) in whole.inputs.iter_mut().enumerate() {
                    input.script_sig = if at == index {
                        code.clone()
                    } else {
                        Script::default()
                    };
                }
                let bytes = [whole.to_bytes(), vec![SIGHASH_ALL, 0, 0, 0]].concat();
                assert_eq!(cache.signature_hash(index, &code), sha256d(&bytes));
            }
        }
    }
}
