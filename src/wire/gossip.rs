//! What is published on the two topics.

use prost::Message;

use super::{
    error::WireError,
    fields::{at_most, check_count, consensus},
    limits::{HEADER_BYTES, MAX_BATCH_TRANSACTIONS, MAX_COMPACT_BLOCK, MAX_GOSSIP_BLOCK},
    proto,
};
use crate::primitives::{
    Block, BlockHeader, Encode, SHORT_ID_LEN, ShortId, ShortIdKey, Transaction,
};

/// A message on the topic `blocks`.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockGossip {
    /// A block of at most [`MAX_GOSSIP_BLOCK`] bytes.
    Whole(Block),
    /// A larger block by the ids of its transactions.
    Compact(CompactBlock),
    /// The header of a block, to be fetched by hash.
    Header(BlockHeader),
}

/// A block without the transactions that its receivers probably have.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactBlock {
    /// Its header.
    pub header: BlockHeader,
    /// Its first transaction, which nobody else can have.
    pub coinbase: Transaction,
    /// Chosen by the announcer; with the header it keys the short ids.
    pub nonce: u64,
    /// The other transactions, in their order.
    pub short_ids: Vec<ShortId>,
}

impl CompactBlock {
    /// What short ids are computed with.
    pub fn key(&self) -> ShortIdKey {
        ShortIdKey::new(&self.header, self.nonce)
    }
}

impl BlockGossip {
    /// Announces `block`: whole if it is small, else by the ids that `nonce` gives, else, where these take too much room or there
    /// is no nonce, by its header. Hashes every transaction of a large block.
    pub fn announce(block: &Block, nonce: Option<u64>) -> Self {
        if block.encoded_len() <= MAX_GOSSIP_BLOCK {
            return Self::Whole(block.clone());
        }
        let (Some(nonce), Some((coinbase, others))) = (nonce, block.transactions.split_first())
        else {
            return Self::Header(block.header);
        };
        if coinbase.encoded_len() + others.len() * SHORT_ID_LEN + HEADER_BYTES > MAX_COMPACT_BLOCK {
            return Self::Header(block.header);
        }
        let key = ShortIdKey::new(&block.header, nonce);
        Self::Compact(CompactBlock {
            header: block.header,
            coinbase: coinbase.clone(),
            nonce,
            short_ids: others.iter().map(|tx| key.short_id(&tx.txid())).collect(),
        })
    }

    /// The header that is judged before the message is relayed.
    pub fn header(&self) -> &BlockHeader {
        match self {
            Self::Whole(block) => &block.header,
            Self::Compact(compact) => &compact.header,
            Self::Header(header) => header,
        }
    }

    /// Protobuf bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = proto::BlockGossip::default();
        match self {
            Self::Whole(block) => message.block = block.to_bytes(),
            Self::Compact(compact) => {
                message.header = compact.header.to_array().to_vec();
                message.coinbase = compact.coinbase.to_bytes();
                let ids = compact.short_ids.iter();
                message.short_ids = ids.flat_map(|id| id.to_bytes()).collect();
                message.nonce = compact.nonce;
            }
            Self::Header(header) => message.header = header.to_array().to_vec(),
        }
        message.encode_to_vec()
    }

    /// Decodes a message of the topic `blocks`.
    ///
    /// # Errors
    /// [`WireError`] when the bytes break the schema or a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let message = proto::BlockGossip::decode(bytes)?;
        // Fields that we do not know, and fields that come twice, would make many messages of one.
        only_encoding(&message, bytes)?;
        let forms = (
            &message.block[..],
            &message.header[..],
            &message.coinbase[..],
        );
        let is_plain = message.short_ids.is_empty() && message.nonce == 0;
        match forms {
            (block @ [_, ..], [], []) if is_plain => {
                at_most("block", block.len(), MAX_GOSSIP_BLOCK)?;
                consensus("block", block).map(Self::Whole)
            }
            ([], header @ [_, ..], []) if is_plain => decode_header(header).map(Self::Header),
            ([], header @ [_, ..], coinbase @ [_, ..]) => {
                let ids = &message.short_ids;
                let size = HEADER_BYTES + coinbase.len() + ids.len();
                at_most("compact block", size, MAX_COMPACT_BLOCK)?;
                let (short_ids, rest) = ids.as_chunks::<SHORT_ID_LEN>();
                if !rest.is_empty() {
                    length("last short id", rest.len(), SHORT_ID_LEN)?;
                }
                Ok(Self::Compact(CompactBlock {
                    header: decode_header(header)?,
                    coinbase: consensus("coinbase", coinbase)?,
                    nonce: message.nonce,
                    short_ids: short_ids.iter().copied().map(ShortId::from_bytes).collect(),
                }))
            }
            _ => Err(WireError::Missing("one of the three forms")),
        }
    }
}

fn decode_header(bytes: &[u8]) -> Result<BlockHeader, WireError> {
    length("header", bytes.len(), HEADER_BYTES)?;
    consensus("header", bytes)
}

fn length(field: &'static str, found: usize, expected: usize) -> Result<(), WireError> {
    if found == expected {
        return Ok(());
    }
    Err(WireError::Length {
        field,
        expected,
        found,
    })
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

    fn block(script_lens: &[usize]) -> Block {
        Block {
            header: BlockHeader {
                version: 1,
                prev_block: BlockHash::from_bytes([7; 32]),
                merkle_root: MerkleRoot::from_bytes([9; 32]),
                time: 1_700_000_000,
                bits: CompactTarget(0x207f_ffff),
                nonce: 1,
            },
            transactions: script_lens.iter().map(|len| transaction(*len)).collect(),
        }
    }

    /// One announcement of each form.
    fn announcements() -> [BlockGossip; 3] {
        [
            BlockGossip::announce(&block(&[100]), Some(7)),
            BlockGossip::announce(&block(&[100, MAX_GOSSIP_BLOCK, 5]), Some(7)),
            BlockGossip::announce(&block(&[MAX_COMPACT_BLOCK, 100]), Some(7)),
        ]
    }

    /// Trap 11: gossip copies a message for each of its receivers.
    #[test]
    fn trap11_a_large_block_is_never_gossiped_whole() {
        let [small, large, huge] = announcements();
        assert_eq!(small, BlockGossip::Whole(block(&[100])));
        let BlockGossip::Compact(compact) = &large else {
            panic!("{large:?}");
        };
        assert_eq!(compact.coinbase, transaction(100));
        let key = compact.key();
        let ids = [MAX_GOSSIP_BLOCK, 5].map(|len| key.short_id(&transaction(len).txid()));
        assert_eq!(compact.short_ids, ids);
        assert!(large.encode().len() < 300);
        assert!(matches!(huge, BlockGossip::Header(_)));
        assert!(huge.encode().len() < 100);
        let without = BlockGossip::announce(&block(&[100, MAX_GOSSIP_BLOCK]), None);
        assert!(matches!(without, BlockGossip::Header(_)));
    }

    #[test]
    fn announcements_survive_a_round_trip() {
        let alone = BlockGossip::announce(&block(&[MAX_GOSSIP_BLOCK]), Some(0));
        assert!(matches!(&alone, BlockGossip::Compact(c) if c.short_ids.is_empty()));
        for gossip in announcements().into_iter().chain([alone]) {
            assert_eq!(BlockGossip::decode(&gossip.encode()).unwrap(), gossip);
        }
    }

    #[test]
    fn mixed_and_empty_forms_are_refused() {
        assert!(BlockGossip::decode(&[]).is_err());
        let full = proto::BlockGossip {
            block: block(&[100]).to_bytes(),
            header: block(&[100]).header.to_array().to_vec(),
            coinbase: transaction(5).to_bytes(),
            short_ids: vec![1; 2 * SHORT_ID_LEN],
            nonce: 3,
        };
        let refused = |change: fn(&mut proto::BlockGossip)| {
            let mut message = full.clone();
            change(&mut message);
            BlockGossip::decode(&message.encode_to_vec()).unwrap_err()
        };
        refused(|_| {});
        refused(|message| message.header.clear());
        refused(|message| {
            message.block.clear();
            message.coinbase.clear();
        });
        refused(|message| {
            message.block.clear();
            message.header.clear();
        });
        refused(|message| {
            message.block.clear();
            message.header.truncate(79);
        });
        refused(|message| {
            message.block.clear();
            message.short_ids.truncate(11);
        });
        refused(|message| {
            message.block.clear();
            message.coinbase.push(0);
        });
        let large = refused(|message| {
            message.block.clear();
            message.short_ids = vec![1; MAX_COMPACT_BLOCK - MAX_COMPACT_BLOCK % SHORT_ID_LEN];
        });
        assert!(matches!(large, WireError::TooLarge { .. }), "{large}");
    }

    /// Padding made any number of messages of one, up to the size limit of the topic, and every node relayed each of them.
    #[test]
    fn one_content_has_one_encoding() {
        let batch = encode_transaction_batch(&[transaction(9)], 3);
        // An unknown field, a second copy of a known one, a default value spelt out, a length of more bytes than it needs.
        let unknown = [0x7a, 0x02, 0x00, 0x00].as_slice();
        for good in announcements().map(|gossip| gossip.encode()) {
            assert!(BlockGossip::decode(&good).is_ok());
            for tail in [unknown, &good, &[0x0a, 0x00], &[0x12, 0x00], &[0x22, 0x00]] {
                let padded = [good.as_slice(), tail].concat();
                assert!(matches!(
                    BlockGossip::decode(&padded),
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
        let header = announcements()[2].encode();
        let mut long = vec![header[0], header[1] | 0x80, 0x00];
        long.extend_from_slice(&header[2..]);
        assert!(BlockGossip::decode(&long).is_err());
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
