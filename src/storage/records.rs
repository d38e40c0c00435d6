//! What the columns hold that is not a consensus type.

use serde::{Deserialize, Serialize};

use crate::primitives::{BlockHash, BlockHeader, CompactTarget, Work};

/// How far a block has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyState {
    /// Only its header is known.
    HeaderOnly,
    /// Its body is stored and obeys the rules that need no coins.
    Stored,
    /// It has been connected, so it obeys all rules.
    Connected,
    /// It broke a rule, or somebody asked to treat it so.
    Invalid,
}

/// A header and what was derived from its ancestors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRecord {
    /// The header.
    pub header: BlockHeader,
    /// Its distance from the first block.
    pub height: u32,
    /// The work of its chain up to and including it.
    pub chainwork: Work,
    /// Its target without easing (see `consensus::required_bits`).
    pub base: CompactTarget,
    /// The latest time of it and all its ancestors, in seconds since 1970.
    pub latest_time: u32,
    /// How far it has come.
    pub state: BodyState,
    /// When its whole chain was first received, as a count; orders ties of work. None while a body is missing.
    pub received: Option<u64>,
    /// How many transactions it has; none while the body is missing.
    pub tx_count: Option<u32>,
}

/// The form of a [`HeaderRecord`] on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredHeader {
    pub header: Vec<u8>,
    pub height: u32,
    pub chainwork: [u8; 32],
    pub base: u32,
    pub latest_time: u32,
    pub state: BodyState,
    pub received: Option<u64>,
    pub tx_count: Option<u32>,
}

/// Where a transaction of the active chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Its block.
    pub block: BlockHash,
    /// Its place in the block.
    pub index: u32,
}

impl From<&HeaderRecord> for StoredHeader {
    fn from(record: &HeaderRecord) -> Self {
        Self {
            header: record.header.to_array().to_vec(),
            height: record.height,
            chainwork: record.chainwork.to_be_bytes(),
            base: record.base.0,
            latest_time: record.latest_time,
            state: record.state,
            received: record.received,
            tx_count: record.tx_count,
        }
    }
}
