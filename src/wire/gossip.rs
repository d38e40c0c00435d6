//! What is published on the two topics.

use prost::Message;

use super::{
    error::WireError,
    fields::{at_most, check_count, consensus},
    limits::{HEADER_BYTES, MAX_BATCH_TRANSACTIONS, MAX_GOSSIP_BLOCK},
    proto,
};
use crate::primitives::{Block, BlockHeader, Encode, Transaction};

/// A message on the topic `blocks`.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockGossip {
    /// A block of at most [`MAX_GOSSIP_BLOCK`] bytes.
    Whole(Block),
    /// The header of a larger block, to be fetched by hash. Compact announcements (coinbase and
    /// short transaction ids) will be a third variant.
    Header(BlockHeader),
}

impl BlockGossip {
    /// The header that is judged before the message is relayed.
    pub fn header(&self) -> &BlockHeader {
        match self {
            Self::Whole(block) => &block.header,
            Self::Header(header) => header,
        }
    }
}

/// Protobuf bytes that announce `block`: whole if it is small, else by its header.
pub fn encode_block_gossip(block: &Block) -> Vec<u8> {
    let mut message = proto::BlockGossip::default();
    if block.encoded_len() <= MAX_GOSSIP_BLOCK {
        message.block = block.to_bytes();
    } else {
        message.header = block.header.to_array().to_vec();
    }
    message.encode_to_vec()
}

/// Decodes a message of the topic `blocks`.
///
/// # Errors
/// [`WireError`] when the bytes break the schema or a limit.
pub fn decode_block_gossip(bytes: &[u8]) -> Result<BlockGossip, WireError> {
    let message = proto::BlockGossip::decode(bytes)?;
    // Fields that we do not know, and fields that come twice, would make many messages of one.
    only_encoding(&message, bytes)?;
    match (message.block.is_empty(), message.header.is_empty()) {
        (false, true) => {
            at_most("block", message.block.len(), MAX_GOSSIP_BLOCK)?;
            consensus("block", &message.block).map(BlockGossip::Whole)
        }
        (true, false) if message.header.len() == HEADER_BYTES => {
            consensus("header", &message.header).map(BlockGossip::Header)
        }
        (true, false) => Err(WireError::Length {
            field: "header",
            expected: HEADER_BYTES,
            found: message.header.len(),
        }),
        (true, true) => Err(WireError::Missing("block or header")),
        (false, false) => Err(WireError::TooLarge {
            field: "block or header",
            limit: 1,
            found: 2,
        }),
    }
}

/// Refuses bytes that are not the one encoding of `message`.
fn only_encoding(message: &impl Message, bytes: &[u8]) -> Result<(), WireError> {
    if message.encoded_len() == bytes.len() && message.encode_to_vec() == bytes {
        Ok(())
    } else {
        Err(WireError::NotCanonical)
    }
}

/// Protobuf bytes of one batch. The caller keeps to [`MAX_BATCH_TRANSACTIONS`]. `round` tells a
/// repetition from the message before.
pub fn encode_transaction_batch<'a>(
    transactions: impl IntoIterator<Item = &'a Transaction>,
    round: u32,
) -> Vec<u8> {
    proto::TransactionBatch {
        transactions: transactions.into_iter().map(Encode::to_bytes).collect(),
        round,
    }
    .encode_to_vec()
}

/// Decodes a message of the topic `txs`.
///
/// # Errors
/// [`WireError`] when the bytes break the schema or a limit.
pub fn decode_transaction_batch(bytes: &[u8]) -> Result<Vec<Transaction>, WireError> {
    check_count(bytes, 1, "transactions", MAX_BATCH_TRANSACTIONS)?;
    let message = proto::TransactionBatch::decode(bytes)?;
    only_encoding(&message, bytes)?;
    if message.transactions.is_empty() {
        return Err(WireError::Missing("transactions"));
    }
    message
        .transactions
        .iter()
        .map(|bytes| consensus("transaction", bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{
        BlockHash, CompactTarget, MerkleRoot, OutPoint, Script, TxIn, TxOut, UncheckedAmount,
    };

    fn transaction(script_len: usize) -> Transaction {
        Transaction {
            version: 1,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(vec![0x51; script_len]),
                sequence: u32::MAX,
            }],
            outputs: vec![TxOut {
                value: UncheckedAmount(50),
                script_pubkey: Script::from(vec![0x52; 25]),
            }],
            lock_time: 0,
        }
    }

    fn block(script_len: usize) -> Block {
        Block {
            header: BlockHeader {
                version: 1,
                prev_block: BlockHash::from_bytes([7; 32]),
                merkle_root: MerkleRoot::from_bytes([9; 32]),
                time: 1_700_000_000,
                bits: CompactTarget(0x207f_ffff),
                nonce: 1,
            },
            transactions: vec![transaction(script_len)],
        }
    }

    #[test]
    fn a_small_block_goes_whole_and_a_large_one_by_header() {
        let small = block(100);
        let bytes = encode_block_gossip(&small);
        assert_eq!(
            decode_block_gossip(&bytes).unwrap(),
            BlockGossip::Whole(small)
        );
        let large = block(MAX_GOSSIP_BLOCK);
        let bytes = encode_block_gossip(&large);
        assert!(bytes.len() < 100);
        assert_eq!(
            decode_block_gossip(&bytes).unwrap(),
            BlockGossip::Header(large.header)
        );
    }

    #[test]
    fn both_and_neither_are_refused() {
        assert!(decode_block_gossip(&[]).is_err());
        let mut both = encode_block_gossip(&block(100));
        both.extend(encode_block_gossip(&block(MAX_GOSSIP_BLOCK)));
        assert!(decode_block_gossip(&both).is_err());
    }

    /// Padding made any number of messages of one, up to the size limit of the topic, and every node relayed each of them.
    #[test]
    fn one_content_has_one_encoding() {
        let small = encode_block_gossip(&block(100));
        let large = encode_block_gossip(&block(MAX_GOSSIP_BLOCK));
        let batch = encode_transaction_batch(&[transaction(9)], 3);
        // An unknown field, a second copy of a known one, a default value spelt out, a length of more bytes than it needs.
        let unknown = [0x7a, 0x02, 0x00, 0x00].as_slice();
        for good in [&small, &large] {
            assert!(decode_block_gossip(good).is_ok());
            for tail in [unknown, good, &[0x0a, 0x00], &[0x12, 0x00]] {
                let padded = [good.as_slice(), tail].concat();
                assert!(matches!(
                    decode_block_gossip(&padded),
                    Err(WireError::NotCanonical)
                ));
            }
        }
        assert!(decode_transaction_batch(&batch).is_ok());
        for tail in [unknown, &[0x10, 0x03], &[0x10, 0x00]] {
            let padded = [batch.as_slice(), tail].concat();
            assert!(matches!(
                decode_transaction_batch(&padded),
                Err(WireError::NotCanonical)
            ));
        }
        let mut long = vec![large[0], large[1] | 0x80, 0x00];
        long.extend_from_slice(&large[2..]);
        assert!(decode_block_gossip(&long).is_err());
    }

    #[test]
    fn batches_are_bounded() {
        let transactions: Vec<_> = (0..256).map(transaction).collect();
        let bytes = encode_transaction_batch(&transactions, 0);
        assert_ne!(bytes, encode_transaction_batch(&transactions, 1));
        assert_eq!(decode_transaction_batch(&bytes).unwrap(), transactions);
        let mut too_many = bytes;
        too_many.extend(encode_transaction_batch(&transactions[..1], 0));
        assert!(decode_transaction_batch(&too_many).is_err());
        assert!(decode_transaction_batch(&[]).is_err());
    }
}
