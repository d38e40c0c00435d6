//! The vocabulary of the chain: hashes, amounts, transactions, blocks, targets and coins.
//!
//! Everything here is plain data with its byte encoding, identical to Bitcoin's without witnesses. Nothing here judges:
//! a value of these types is well formed, and the rules of [`crate::consensus`] decide whether it is valid.

mod amount;
mod block;
mod clock;
mod codec;
mod coin;
mod coin_stats;
mod hash;
mod merkle;
mod merkle_proof;
mod script;
mod short_id;
mod target;
mod transaction;

pub use amount::{Amount, AmountError, COIN, MAX_MONEY, UncheckedAmount};
pub use block::{Block, BlockHeader, HEADER_LEN};
pub use clock::unix_now;
pub use codec::{Decode, DecodeError, Encode, Reader, compact_size_len, write_compact_size};
pub use coin::{BlockUndo, Coin, UtxoDiff, UtxoView, coins_of};
pub use coin_stats::{CoinAccumulator, CoinStats};
pub use hash::{
    BlockHash, ChainId, HashParseError, MerkleRoot, PubkeyHash, Txid, hash160, sha256, sha256d,
};
pub use merkle::merkle_root;
pub use merkle_proof::MerkleProof;
pub use script::Script;
pub use short_id::{SHORT_ID_LEN, ShortId, ShortIdKey};
pub use target::{CompactTarget, Target, TargetError, Work};
pub use transaction::{OutPoint, SEQUENCE_FINAL, Transaction, TxIn, TxOut};
