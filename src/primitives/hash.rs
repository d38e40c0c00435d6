//! Hash newtypes and the hash functions behind them.
//!
//! Block hashes, transaction ids and merkle roots are double SHA-256 and are shown byte-reversed, as Bitcoin shows them.
//! Key hashes and chain ids are shown in the order of their bytes.

use std::fmt;
use std::str::FromStr;

use ripemd::Ripemd160;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// SHA-256 applied twice: the hash of headers, transactions and address checksums.
pub fn sha256d(data: &[u8]) -> [u8; 32] {
    sha256(&sha256(data))
}

/// RIPEMD-160 of SHA-256: the hash of a public key that an output pays to.
pub fn hash160(data: &[u8]) -> PubkeyHash {
    PubkeyHash(Ripemd160::digest(sha256(data)).into())
}

/// A text that is not the hexadecimal form of a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a hash: expected {expected} hexadecimal digits")]
pub struct HashParseError {
    /// What was given.
    pub text: String,
    /// How many hexadecimal digits the hash has.
    pub expected: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], HashParseError> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(HashParseError {
            text: text.chars().take(80).collect(),
            expected: 2 * N,
        }),
    }
}

/// Defines a hash newtype; `reversed` says whether its text form is byte-reversed.
macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, reversed: $reversed:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The value whose bytes are all zero.
            pub const ZERO: Self = Self([0; $len]);

            /// Wraps bytes in their internal order.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes in their internal order.
            pub const fn to_bytes(self) -> [u8; $len] {
                self.0
            }

            /// The bytes in their internal order.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut bytes = self.0;
                if $reversed {
                    bytes.reverse();
                }
                f.write_str(&hex::encode(bytes))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = HashParseError;

            fn from_str(text: &str) -> Result<Self, HashParseError> {
                let mut bytes = parse_hex::<$len>(text)?;
                if $reversed {
                    bytes.reverse();
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hash_type! {
    /// Double SHA-256 of a block header.
    BlockHash, 32, reversed: true
}
hash_type! {
    /// Double SHA-256 of a transaction.
    Txid, 32, reversed: true
}
hash_type! {
    /// Root of the merkle tree over a block's transaction ids.
    MerkleRoot, 32, reversed: true
}
hash_type! {
    /// RIPEMD-160 of SHA-256 of a compressed public key: what an address and a P2PKH output hold.
    PubkeyHash, 20, reversed: false
}
hash_type! {
    /// SHA-256 of a chain spec's canonical form: the identity of a network.
    ChainId, 32, reversed: false
}

impl ChainId {
    /// The first 8 bytes in hexadecimal: the `<net>` of protocol names and gossip topics.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_reversed_for_block_hashes_only() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        let text = BlockHash::from_bytes(bytes).to_string();
        assert!(text.ends_with("ab") && text.starts_with("00"));
        assert_eq!(text.parse::<BlockHash>().unwrap().to_bytes(), bytes);
        assert!(ChainId::from_bytes(bytes).to_string().starts_with("ab"));
    }

    #[test]
    fn a_bad_text_is_named() {
        let error = "xyz".parse::<Txid>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'xyz' is not a hash: expected 64 hexadecimal digits"
        );
    }
}
