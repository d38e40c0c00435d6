//! Proofs that transactions are in a block: the part of its merkle tree that leads to them (BIP37's `merkleblock`).
//!
//! The tree is walked from the root, left before right. For each node on the way a bit says whether a wanted transaction is
//! below it: then its children follow, or at the bottom its id; else its hash alone.

use super::block::BlockHeader;
use super::codec::{Decode, DecodeError, Encode, Reader, compact_size_len, write_compact_size};
use super::hash::{MerkleRoot, Txid, sha256d};

/// The most transactions that a block could have: those of the largest block, each as short as one can be (Bitcoin Core,
/// `MAX_BLOCK_WEIGHT / MIN_TRANSACTION_WEIGHT`). Bounds the height of the tree that a proof may claim.
const MAX_TRANSACTIONS: u32 = 4_000_000 / (60 * 4);

/// A proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleProof {
    /// The header of the block.
    pub header: BlockHeader,
    /// How many transactions it claims the block to have.
    pub count: u32,
    hashes: Vec<[u8; 32]>,
    bits: Vec<bool>,
}

impl MerkleProof {
    /// The proof for the wanted ones of a block's transactions.
    ///
    /// # Panics
    /// With more transactions than 32 bits count; a block of 32-bit size has fewer.
    pub fn new(header: BlockHeader, txids: &[Txid], wanted: impl Fn(&Txid) -> bool) -> Self {
        let mut level: Vec<([u8; 32], bool)> = txids
            .iter()
            .map(|txid| (*txid.as_bytes(), wanted(txid)))
            .collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above = level
                .chunks(2)
                .map(|pair| {
                    let (left, right) = (pair[0], *pair.last().unwrap_or(&pair[0]));
                    (parent(&left.0, &right.0), left.1 || right.1)
                })
                .collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        let mut proof = Self {
            header,
            count: u32::try_from(txids.len()).expect("a block has fewer transactions than bytes"),
            hashes: Vec::new(),
            bits: Vec::new(),
        };
        proof.describe(&levels, levels.len() - 1, 0);
        proof
    }

    fn describe(&mut self, levels: &[Vec<([u8; 32], bool)>], level: usize, at: usize) {
        let Some((hash, leads)) = levels.get(level).and_then(|nodes| nodes.get(at)) else {
            return;
        };
        self.bits.push(*leads);
        match (leads, level.checked_sub(1)) {
            (true, Some(below)) => {
                self.describe(levels, below, 2 * at);
                self.describe(levels, below, 2 * at + 1);
            }
            (true, None) | (false, _) => self.hashes.push(*hash),
        }
    }

    /// The transactions that the proof shows to be in the block of its header, in block order; `None` where it shows nothing.
    ///
    /// # Security
    /// The caller compares [`count`](Self::count) with the block's: an inner node could pass for a transaction otherwise.
    pub fn txids(&self) -> Option<Vec<Txid>> {
        let fits = (1..=MAX_TRANSACTIONS).contains(&self.count)
            && u32::try_from(self.hashes.len()).is_ok_and(|hashes| hashes <= self.count)
            && self.bits.len() >= self.hashes.len();
        if !fits {
            return None;
        }
        let height = u32::BITS - (self.count - 1).leading_zeros();
        let mut walk = Walk {
            count: self.count,
            bits: self.bits.iter(),
            hashes: self.hashes.iter(),
            found: Vec::new(),
        };
        let root = walk.node(height, 0)?;
        // Everything is used but the bits that fill the last byte.
        let all_used = walk.hashes.next().is_none() && walk.bits.len() < 8;
        (all_used && MerkleRoot::from_bytes(root) == self.header.merkle_root).then_some(walk.found)
    }
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256d(&[&left[..], right].concat())
}

/// A walk over the tree of a proof.
struct Walk<'a> {
    count: u32,
    bits: std::slice::Iter<'a, bool>,
    hashes: std::slice::Iter<'a, [u8; 32]>,
    found: Vec<Txid>,
}

impl Walk<'_> {
    /// The hash of the node at a height above the bottom; `None` where the proof is no tree.
    fn node(&mut self, height: u32, at: u32) -> Option<[u8; 32]> {
        let leads = *self.bits.next()?;
        let Some(below) = height.checked_sub(1).filter(|_| leads) else {
            let hash = *self.hashes.next()?;
            if leads {
                self.found.push(Txid::from_bytes(hash));
            }
            return Some(hash);
        };
        let left = self.node(below, 2 * at)?;
        let width = self.count.div_ceil(1 << below);
        if 2 * at + 1 >= width {
            return Some(parent(&left, &left));
        }
        let right = self.node(below, 2 * at + 1)?;
        // Two equal subtrees could hide how many transactions there are (CVE-2012-2459).
        (left != right).then(|| parent(&left, &right))
    }
}

impl Encode for MerkleProof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.count.encode(out);
        write_compact_size(self.hashes.len(), out);
        for hash in &self.hashes {
            out.extend_from_slice(hash);
        }
        write_compact_size(self.bits.len().div_ceil(8), out);
        for eight in self.bits.chunks(8) {
            let bits = (0..).zip(eight);
            out.push(bits.fold(0, |byte, (at, bit)| byte | u8::from(*bit) << at));
        }
    }

    fn encoded_len(&self) -> usize {
        let bytes = self.bits.len().div_ceil(8);
        let hashes = self.hashes.len();
        self.header.encoded_len()
            + 4
            + compact_size_len(hashes)
            + 32 * hashes
            + compact_size_len(bytes)
            + bytes
    }
}

impl Decode for MerkleProof {
    const MIN_LEN: usize = 80 + 4 + 1 + 1;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = BlockHeader::decode(reader)?;
        let count = u32::decode(reader)?;
        let hashes = reader.list::<Txid>()?;
        let bytes = reader.var_bytes()?;
        let bits = bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |at| byte >> at & 1 == 1));
        Ok(Self {
            header,
            count,
            hashes: hashes.iter().map(|hash| *hash.as_bytes()).collect(),
            bits: bits.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{BlockHash, CompactTarget, merkle_root};
    use proptest::prelude::*;

    fn txids(count: u32) -> Vec<Txid> {
        let id = |number: u32| Txid::from_bytes(sha256d(&number.to_le_bytes()));
        (0..count).map(id).collect()
    }

    fn header(txids: &[Txid]) -> BlockHeader {
        BlockHeader {
            version: 1,
            prev_block: BlockHash::ZERO,
            merkle_root: merkle_root(txids).0,
            time: 0,
            bits: CompactTarget(0x207f_ffff),
            nonce: 0,
        }
    }

    proptest! {
        #[test]
        fn a_proof_shows_what_it_was_made_for(count in 1_u32..200, seed in any::<u64>()) {
            let all = txids(count);
            let is_wanted = |txid: &Txid| seed >> (txid.as_bytes()[0] % 64) & 1 == 1;
            let wanted: Vec<Txid> = all.iter().copied().filter(|txid| is_wanted(txid)).collect();
            let proof = MerkleProof::new(header(&all), &all, is_wanted);
            let bytes = proof.to_bytes();
            prop_assert_eq!(bytes.len(), proof.encoded_len());
            let read = MerkleProof::from_bytes(&bytes).expect("it was just written");
            prop_assert_eq!(read.to_bytes(), bytes);
            prop_assert_eq!(read.txids(), Some(wanted.clone()));
            prop_assert_eq!(proof.txids(), Some(wanted));
        }

        #[test]
        fn a_changed_proof_shows_nothing_that_is_not_there(count in 1_u32..40, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let all = txids(count);
            let wanted = [all[0]];
            let proof = MerkleProof::new(header(&all), &all, |txid| wanted.contains(txid));
            let mut bytes = proof.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(Some(found)) = MerkleProof::from_bytes(&bytes).map(|read| read.txids()) {
                // Another bit may point at another transaction; the header's other fields are the caller's to compare.
                prop_assert!(found.iter().all(|txid| all.contains(txid)), "{at}");
            }
        }
    }

    #[test]
    fn more_transactions_than_a_block_can_have_are_refused() {
        let all = txids(1);
        let mut proof = MerkleProof::new(header(&all), &all, |_| true);
        assert_eq!(proof.txids(), Some(all));
        for count in [0, MAX_TRANSACTIONS + 1, u32::MAX] {
            proof.count = count;
            assert_eq!(proof.txids(), None);
        }
    }
}
