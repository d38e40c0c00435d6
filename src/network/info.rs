//! What is told of the network and its peers.

use serde::Serialize;

use super::{sync::SyncState, traffic::ByteCounts};
use crate::primitives::{BlockHash, Work};

/// A connected peer whose handshake has ended.
#[derive(Debug, Clone, Serialize)]
pub struct PeerInfo {
    /// Its number: never given again while the node runs.
    pub number: u64,
    /// libp2p's id of it.
    pub peer_id: String,
    /// Where we see it.
    pub address: String,
    /// How its bytes travel: `tcp`.
    pub transport: String,
    /// Whether it dialled us.
    pub inbound: bool,
    /// Whether it was given by `--peer` or `add_peer`.
    pub reserved: bool,
    /// For how long it has been connected.
    pub connected_seconds: u64,
    /// Last round trip.
    pub latency_ms: Option<u64>,
    /// Shortest round trip.
    pub least_latency_ms: Option<u64>,
    /// Bytes over its connections.
    pub bytes: ByteCounts,
    /// Name and version of its software; printable ASCII.
    pub agent: String,
    /// Height that it claims.
    pub height: u32,
    /// Tip that it claims.
    pub best_hash: BlockHash,
    /// Work that it claims.
    pub work: Work,
    /// Misbehaviour: 0 is spotless, 100 is banned.
    pub score: f64,
    /// gossipsub's score: below 0 it is trusted less.
    pub gossip_score: f64,
    /// Messages received: gossip, requests and answers.
    pub messages_received: u64,
    /// Messages sent: requests and answers (gossip goes by mesh, not by peer).
    pub messages_sent: u64,
}

/// What changes often, for the status line and health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkStatus {
    /// Peers whose handshake has ended.
    pub peers: usize,
    /// Those of them that dialled us.
    pub inbound: usize,
    /// How far sync is.
    pub sync: SyncState,
    /// Multiaddresses that we listen on, with our id: what to give to another node.
    pub listening: Vec<String>,
    /// For those who watch over the node; no news by themselves.
    pub metrics: NetworkMetrics,
}

/// What tells whether the network layer is alive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkMetrics {
    /// Peers in the mesh of the topic `blocks`.
    pub mesh_blocks: usize,
    /// Peers in the mesh of the topic `txs`.
    pub mesh_transactions: usize,
    /// Links that were ended because their gossip did not arrive, since the start.
    pub silent_links: u64,
    /// Bans that have not ended.
    pub bans: usize,
    /// Peers in the address book.
    pub addresses: usize,
    /// Bytes of all connections since the start.
    pub bytes: ByteCounts,
}

/// A peer that is kept: given by `--peer` or added by hand.
#[derive(Debug, Clone)]
pub struct AddedPeer {
    /// As it can be given again.
    pub address: String,
    /// Its connections: where we see it, and whether it dialled us.
    pub connections: Vec<(String, bool)>,
}

/// A ban. Times are Unix seconds.
#[derive(Debug, Clone)]
pub struct BanInfo {
    /// The peer's id, or addresses such as `10.0.0.0/8`.
    pub target: String,
    /// When it was given; 0 if that is not known.
    pub created: u64,
    /// When it ends.
    pub until: u64,
}
