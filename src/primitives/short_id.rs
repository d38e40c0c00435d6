//! Short transaction ids: six bytes that stand for a transaction in the announcement of a block (BIP152).
//!
//! # Security
//! The key follows from the block's header and a nonce of the announcement, so two transactions that share a short id cannot be
//! made before the block is found. By chance two do once in some 2^48 pairs; whoever fills a block by short ids therefore checks
//! its merkle root, and blames nobody when it differs.

use std::fmt;

use siphasher::sip::SipHasher24;

use super::block::BlockHeader;
use super::hash::{Txid, sha256};

/// The length of a short id in bytes.
pub const SHORT_ID_LEN: usize = 6;

/// The short id of a transaction under one [`ShortIdKey`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortId([u8; SHORT_ID_LEN]);

impl ShortId {
    /// Wraps bytes as they travel.
    pub const fn from_bytes(bytes: [u8; SHORT_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes as they travel: little-endian.
    pub const fn to_bytes(self) -> [u8; SHORT_ID_LEN] {
        self.0
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What short ids are computed with.
#[derive(Clone, Copy)]
pub struct ShortIdKey(SipHasher24);

impl ShortIdKey {
    /// BIP152: "Single-SHA256 hashing the block header with the nonce appended (in little-endian)", then "the keys (k0/k1) set to
    /// the first two little-endian 64-bit integers from the above hash, respectively".
    pub fn new(header: &BlockHeader, nonce: u64) -> Self {
        let bytes = [&header.to_array()[..], &nonce.to_le_bytes()].concat();
        let hash = sha256(&bytes);
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        Self(SipHasher24::new_with_key(&key))
    }

    /// BIP152: SipHash-2-4 over the transaction id, "dropping the 2 most significant bytes" to make it six.
    pub fn short_id(&self, txid: &Txid) -> ShortId {
        let [a, b, c, d, e, f, _, _] = self.0.hash(txid.as_bytes()).to_le_bytes();
        ShortId([a, b, c, d, e, f])
    }
}

impl fmt::Debug for ShortIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShortIdKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{BlockHash, CompactTarget, MerkleRoot};

    /// rust-bitcoin computes the same ids.
    #[test]
    fn short_ids_are_those_of_bip152() {
        use bitcoin::hashes::Hash as _;
        for number in 0..100_u8 {
            let header = BlockHeader {
                version: 4,
                prev_block: BlockHash::from_bytes([number; 32]),
                merkle_root: MerkleRoot::from_bytes([9; 32]),
                time: 1_700_000_000,
                bits: CompactTarget(0x207f_ffff),
                nonce: u32::from(number),
            };
            let nonce = u64::from(number) << 40 | 3;
            let txid = [number.wrapping_mul(7); 32];

            let theirs: bitcoin::block::Header =
                bitcoin::consensus::deserialize(&header.to_array()).unwrap();
            let keys = bitcoin::bip152::ShortId::calculate_siphash_keys(&theirs, nonce);
            let wtxid = bitcoin::Wtxid::from_byte_array(txid);
            let theirs = bitcoin::bip152::ShortId::with_siphash_keys(&wtxid, keys);

            let ours = ShortIdKey::new(&header, nonce).short_id(&Txid::from_bytes(txid));
            let theirs: &[u8; SHORT_ID_LEN] = theirs.as_ref();
            assert_eq!(ours.to_bytes(), *theirs);
        }
    }
}
