//! The legacy signature hash with type `ALL`: what a signature of a P2PKH input signs.

use crate::primitives::{Encode, Script, Transaction, sha256d, write_compact_size};

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
/// The encoding with all scripts emptied is made once; each input's digest then differs in one splice.
pub struct SighashCache {
    /// The encoding with empty input scripts, followed by the hash type.
    blank: Vec<u8>,
    /// Where each input's (empty) script length is in `blank`.
    script_at: Vec<usize>,
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
        Self { blank, script_at }
    }

    /// The digest of one input.
    ///
    /// # Panics
    /// Where the transaction has no input of that index.
    pub fn signature_hash(&self, input: usize, script_code: &Script) -> [u8; 32] {
        let at = self.script_at[input];
        let mut bytes = Vec::with_capacity(self.blank.len() + script_code.encoded_len());
        bytes.extend_from_slice(&self.blank[..at]);
        script_code.encode(&mut bytes);
        bytes.extend_from_slice(&self.blank[at + 1..]);
        sha256d(&bytes)
    }
}
