//! Links between hosts: latency, bandwidth, loss, and whether there is one at all.

use quarry::network::sync::{PeerKey, PeerStatus, RequestId};
use quarry::primitives::{BlockHash, BlockHeader};

/// What one host says to another.
#[derive(Debug, Clone)]
pub enum Message {
    /// The greeting, and every poll after it.
    Status { claim: PeerStatus, answer: bool },
    /// A block by gossip: whole, or its header.
    Block { hash: BlockHash, whole: bool },
    AskHeaders {
        request: RequestId,
        locator: Vec<BlockHash>,
    },
    Headers {
        request: RequestId,
        headers: Vec<BlockHeader>,
    },
    AskBlocks {
        request: RequestId,
        hashes: Vec<BlockHash>,
    },
    Blocks {
        request: RequestId,
        hashes: Vec<BlockHash>,
        /// The bodies are not those of the headers.
        mutated: bool,
    },
}

/// Two hosts that connect whenever they can.
pub struct Link {
    pub ends: [usize; 2],
    /// One way, in milliseconds.
    pub latency: u64,
    /// Bytes a millisecond, each way.
    pub rate: u64,
    /// Of a thousand messages, so many have to be sent again.
    pub loss: u64,
    /// The connection: its number, and the name that each end has for the other.
    pub session: Option<Session>,
    /// Until when each direction is busy with what was sent before.
    pub busy_until: [u64; 2],
    /// The next dial is under way.
    pub dialling: bool,
}

#[derive(Clone, Copy)]
pub struct Session {
    pub number: u64,
    /// What each end calls the other.
    pub keys: [PeerKey; 2],
}

impl Link {
    /// 0 or 1: which end `host` is.
    pub fn end(&self, host: usize) -> usize {
        usize::from(self.ends[1] == host)
    }

    pub fn other(&self, host: usize) -> usize {
        self.ends[1 - self.end(host)]
    }
}
