//! Transactions in Bitcoin's legacy serialization (no witness).

use std::fmt;

use super::amount::UncheckedAmount;
use super::codec::{Decode, DecodeError, Encode, Reader, list_len, write_list};
use super::hash::{Txid, sha256d};
use super::script::Script;

/// The sequence number that switches an input's locks off.
pub const SEQUENCE_FINAL: u32 = u32::MAX;

/// A reference to one output of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutPoint {
    /// The transaction that made the output.
    pub txid: Txid,
    /// The index of the output in it.
    pub vout: u32,
}

impl OutPoint {
    /// What a coinbase's only input refers to.
    pub const NULL: Self = Self {
        txid: Txid::ZERO,
        vout: u32::MAX,
    };
}

impl fmt::Display for OutPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.txid, self.vout)
    }
}

/// One input: which output it spends and the script that proves the right to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TxIn {
    /// The output that is spent.
    pub previous_output: OutPoint,
    /// Signature and public key, or free bytes in a coinbase.
    pub script_sig: Script,
    /// Relative lock (BIP68), or [`SEQUENCE_FINAL`].
    pub sequence: u32,
}

/// One output: an amount and the script that guards it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TxOut {
    /// The value as received; the rules check its range.
    pub value: UncheckedAmount,
    /// Who may spend it.
    pub script_pubkey: Script,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// Format version; 2 switches relative locks on (BIP68).
    pub version: i32,
    /// What is spent.
    pub inputs: Vec<TxIn>,
    /// What is made.
    pub outputs: Vec<TxOut>,
    /// The height or time before which the transaction is not final.
    pub lock_time: u32,
}

impl Transaction {
    /// The double SHA-256 of the encoding. Computed at every call: callers keep it.
    pub fn txid(&self) -> Txid {
        Txid::from_bytes(sha256d(&self.to_bytes()))
    }

    /// Whether this has the form of a coinbase: one input that refers to [`OutPoint::NULL`].
    pub fn is_coinbase(&self) -> bool {
        matches!(&self.inputs[..], [input] if input.previous_output == OutPoint::NULL)
    }
}

impl Encode for OutPoint {
    fn encode(&self, out: &mut Vec<u8>) {
        self.txid.encode(out);
        self.vout.encode(out);
    }

    fn encoded_len(&self) -> usize {
        36
    }
}

impl Decode for OutPoint {
    const MIN_LEN: usize = 36;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            txid: Txid::decode(reader)?,
            vout: u32::decode(reader)?,
        })
    }
}

impl Encode for TxIn {
    fn encode(&self, out: &mut Vec<u8>) {
        self.previous_output.encode(out);
        self.script_sig.encode(out);
        self.sequence.encode(out);
    }

    fn encoded_len(&self) -> usize {
        36 + self.script_sig.encoded_len() + 4
    }
}

impl Decode for TxIn {
    const MIN_LEN: usize = 41;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            previous_output: OutPoint::decode(reader)?,
            script_sig: Script::decode(reader)?,
            sequence: u32::decode(reader)?,
        })
    }
}

impl Encode for TxOut {
    fn encode(&self, out: &mut Vec<u8>) {
        self.value.0.encode(out);
        self.script_pubkey.encode(out);
    }

    fn encoded_len(&self) -> usize {
        8 + self.script_pubkey.encoded_len()
    }
}

impl Decode for TxOut {
    const MIN_LEN: usize = 9;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            value: UncheckedAmount(u64::decode(reader)?),
            script_pubkey: Script::decode(reader)?,
        })
    }
}

impl Encode for Transaction {
    fn encode(&self, out: &mut Vec<u8>) {
        self.version.encode(out);
        write_list(&self.inputs, out);
        write_list(&self.outputs, out);
        self.lock_time.encode(out);
    }

    fn encoded_len(&self) -> usize {
        8 + list_len(&self.inputs) + list_len(&self.outputs)
    }
}

impl Decode for Transaction {
    const MIN_LEN: usize = 10;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = i32::decode(reader)?;
        let inputs = reader.list()?;
        // BIP144: where a legacy reader sees an empty input list, every other implementation sees the witness marker.
        if inputs.is_empty() {
            return Err(DecodeError::WitnessMarker);
        }
        Ok(Self {
            version,
            inputs,
            outputs: reader.list()?,
            lock_time: u32::decode(reader)?,
        })
    }
}
