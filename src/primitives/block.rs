//! Block headers and blocks.

use super::codec::{Decode, DecodeError, Encode, Reader, list_len, write_list};
use super::hash::{BlockHash, MerkleRoot, Txid, sha256d};
use super::merkle::merkle_root;
use super::target::CompactTarget;
use super::transaction::Transaction;

/// The length of an encoded header in bytes.
pub const HEADER_LEN: usize = 80;

/// The 80 bytes that carry the proof of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockHeader {
    /// Format version.
    pub version: i32,
    /// The block that this one builds on.
    pub prev_block: BlockHash,
    /// Commitment to the transactions.
    pub merkle_root: MerkleRoot,
    /// Seconds since 1970-01-01 00:00 UTC.
    pub time: u32,
    /// The target that the hash must not exceed, in compact form.
    pub bits: CompactTarget,
    /// What the search varies.
    pub nonce: u32,
}

impl BlockHeader {
    /// The encoding: 80 bytes.
    pub fn to_array(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(self.prev_block.as_bytes());
        bytes[36..68].copy_from_slice(self.merkle_root.as_bytes());
        bytes[68..72].copy_from_slice(&self.time.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.bits.0.to_le_bytes());
        bytes[76..80].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }

    /// The double SHA-256 of the encoding. Computed at every call: callers keep it.
    pub fn hash(&self) -> BlockHash {
        BlockHash::from_bytes(sha256d(&self.to_array()))
    }
}

impl Encode for BlockHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_array());
    }

    fn encoded_len(&self) -> usize {
        HEADER_LEN
    }
}

impl Decode for BlockHeader {
    const MIN_LEN: usize = HEADER_LEN;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: i32::decode(reader)?,
            prev_block: BlockHash::decode(reader)?,
            merkle_root: MerkleRoot::decode(reader)?,
            time: u32::decode(reader)?,
            bits: CompactTarget(u32::decode(reader)?),
            nonce: u32::decode(reader)?,
        })
    }
}

/// A header and the transactions it commits to, as received: nothing about it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// The transactions, the coinbase first.
    pub transactions: Vec<Transaction>,
}

impl Block {
    /// The hash of the header.
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// Reads a block that takes all of `bytes`, and the ids of its transactions, without encoding them again: the encoding of a
    /// value is unique, so the bytes that a transaction was read from are the bytes that its id is the hash of.
    ///
    /// # Errors
    /// As [`Decode::from_bytes`].
    pub fn from_bytes_hashed(bytes: &[u8]) -> Result<(Self, Vec<Txid>), DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = BlockHeader::decode(&mut reader)?;
        let mut places = Vec::new();
        let transactions = reader.list_at(&mut |left| places.push(bytes.len() - left))?;
        if reader.remaining() > 0 {
            return Err(DecodeError::TrailingBytes(reader.remaining()));
        }
        let starts = places.iter().copied();
        let ends = starts.clone().skip(1).chain(std::iter::once(bytes.len()));
        let txids = starts
            .zip(ends)
            .map(|(start, end)| Txid::from_bytes(sha256d(&bytes[start..end])))
            .collect();
        let block = Self {
            header,
            transactions,
        };
        Ok((block, txids))
    }

    /// The merkle root over the transactions, and whether the tree has the form of a duplicated tail (CVE-2012-2459).
    pub fn compute_merkle_root(&self) -> (MerkleRoot, bool) {
        let txids: Vec<Txid> = self.transactions.iter().map(Transaction::txid).collect();
        merkle_root(&txids)
    }
}

impl Encode for Block {
    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        write_list(&self.transactions, out);
    }

    fn encoded_len(&self) -> usize {
        HEADER_LEN + list_len(&self.transactions)
    }
}

impl Decode for Block {
    const MIN_LEN: usize = HEADER_LEN + 1;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: BlockHeader::decode(reader)?,
            transactions: reader.list()?,
        })
    }
}
