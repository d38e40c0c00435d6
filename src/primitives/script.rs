//! Scripts as opaque bytes, and the one output form that the chain knows: pay to public key hash.

use std::fmt;

use super::codec::{Decode, DecodeError, Encode, Reader, compact_size_len, write_compact_size};
use super::hash::PubkeyHash;

/// `OP_DUP OP_HASH160 push(20)`.
const P2PKH_PREFIX: [u8; 3] = [0x76, 0xa9, 0x14];
/// `OP_EQUALVERIFY OP_CHECKSIG`.
const P2PKH_SUFFIX: [u8; 2] = [0x88, 0xac];

/// The bytes of an input or output script.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Script(Vec<u8>);

impl Script {
    /// The script that pays to the holder of a key: `76a914<20>88ac`.
    pub fn p2pkh(hash: &PubkeyHash) -> Self {
        Self([&P2PKH_PREFIX[..], hash.as_bytes(), &P2PKH_SUFFIX].concat())
    }

    /// The key hash, if the script is exactly the form of [`Script::p2pkh`].
    pub fn as_p2pkh(&self) -> Option<PubkeyHash> {
        let hash = self
            .0
            .strip_prefix(&P2PKH_PREFIX)?
            .strip_suffix(&P2PKH_SUFFIX)?;
        Some(PubkeyHash::from_bytes(hash.try_into().ok()?))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The length in bytes.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Script {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({})", hex::encode(&self.0))
    }
}

impl Encode for Script {
    fn encode(&self, out: &mut Vec<u8>) {
        write_compact_size(self.0.len(), out);
        out.extend_from_slice(&self.0);
    }

    fn encoded_len(&self) -> usize {
        compact_size_len(self.0.len()) + self.0.len()
    }
}

impl Decode for Script {
    const MIN_LEN: usize = 1;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.var_bytes()?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_is_p2pkh() {
        let hash = PubkeyHash::from_bytes([7; 20]);
        let script = Script::p2pkh(&hash);
        assert_eq!(script.as_p2pkh(), Some(hash));
        for at in [0, 1, 2, 23, 24] {
            let mut bytes = script.as_bytes().to_vec();
            bytes[at] ^= 1;
            assert_eq!(Script::from(bytes).as_p2pkh(), None);
        }
        for cut in [&script.as_bytes()[1..], &script.as_bytes()[..24]] {
            assert_eq!(Script::from(cut.to_vec()).as_p2pkh(), None);
        }
    }
}
