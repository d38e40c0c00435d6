//! The transaction that pays whoever finds the block, with room for an extra nonce.

use crate::consensus::height_push;
use crate::primitives::{
    Amount, Encode, OutPoint, PubkeyHash, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut,
};

/// The bytes of the extra nonce.
pub(super) const EXTRA_NONCE_LEN: usize = 8;
/// The opcode that pushes them.
const PUSH_EXTRA_NONCE: u8 = 8;
/// Where the script is in the encoding: after the version, the number of inputs, the null outpoint and the script's length, which
/// is one byte, as the script is short.
const SCRIPT_AT: usize = 4 + 1 + 36 + 1;

/// A coinbase whose script is BIP34's height and one push, the extra nonce, which is what varies.
///
/// # Invariants
/// The script has 10 to 15 bytes, of 100 that are allowed: a height takes at most 6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Coinbase {
    tx: Transaction,
    /// The encoding, with an extra nonce of zeros.
    bytes: Vec<u8>,
    extra_nonce_at: usize,
}

impl Coinbase {
    /// Pays `reward` to `payout` in the block at `height`.
    pub(super) fn new(height: u32, reward: Amount, payout: PubkeyHash) -> Self {
        let mut script = height_push(height);
        script.push(PUSH_EXTRA_NONCE);
        let extra_nonce_at = SCRIPT_AT + script.len();
        script.extend_from_slice(&[0; EXTRA_NONCE_LEN]);
        let tx = Transaction {
            version: 2,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(script),
                sequence: SEQUENCE_FINAL,
            }],
            outputs: vec![TxOut {
                value: reward.into(),
                script_pubkey: Script::p2pkh(&payout),
            }],
            lock_time: 0,
        };
        Self {
            bytes: tx.to_bytes(),
            tx,
            extra_nonce_at,
        }
    }

    /// The encoding before the extra nonce.
    pub(super) fn head(&self) -> &[u8] {
        &self.bytes[..self.extra_nonce_at]
    }

    /// The encoding after the extra nonce.
    pub(super) fn tail(&self) -> &[u8] {
        &self.bytes[self.extra_nonce_at + EXTRA_NONCE_LEN..]
    }

    /// The encoding with this extra nonce.
    pub(super) fn encode(&self, extra_nonce: [u8; EXTRA_NONCE_LEN]) -> Vec<u8> {
        [self.head(), &extra_nonce, self.tail()].concat()
    }

    /// The transaction with this extra nonce.
    pub(super) fn transaction(&self, extra_nonce: [u8; EXTRA_NONCE_LEN]) -> Transaction {
        let mut tx = self.tx.clone();
        let mut script = tx.inputs[0].script_sig.as_bytes().to_vec();
        let start = script.len() - EXTRA_NONCE_LEN;
        script[start..].copy_from_slice(&extra_nonce);
        tx.inputs[0].script_sig = Script::from(script);
        tx
    }

    /// The length of the encoding in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    /// A coinbase whose use panics, for tests of what happens then.
    #[cfg(test)]
    pub(super) fn broken(self) -> Self {
        Self {
            bytes: Vec::new(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::COINBASE_SCRIPT_LEN;
    use crate::primitives::Decode;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn its_pieces_are_the_transaction_and_its_script_obeys_the_rules(height in 1_u32.., extra_nonce: [u8; EXTRA_NONCE_LEN]) {
            let coinbase = Coinbase::new(height, Amount::ZERO, PubkeyHash::ZERO);
            let tx = coinbase.transaction(extra_nonce);
            prop_assert_eq!(&Transaction::from_bytes(&coinbase.encode(extra_nonce)).unwrap(), &tx);
            let script = tx.inputs[0].script_sig.as_bytes();
            prop_assert!(script.starts_with(&height_push(height)));
            prop_assert!(script.ends_with(&extra_nonce));
            prop_assert!(COINBASE_SCRIPT_LEN.contains(&script.len()));
        }
    }
}
