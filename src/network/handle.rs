//! What the rest of the node sees of the network.

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use super::{error::AddressError, peers::Route, sync::SyncState};
use crate::primitives::{BlockHash, Work};

/// A connected peer whose handshake has ended.
#[derive(Debug, Clone, Serialize)]
pub struct PeerInfo {
    /// libp2p's id of it.
    pub peer_id: String,
    /// Where we see it.
    pub address: String,
    /// Whether it dialled us.
    pub inbound: bool,
    /// Whether it was given by `--peer` or `add_peer`.
    pub reserved: bool,
    /// For how long it has been connected.
    pub connected_seconds: u64,
    /// Last round trip.
    pub latency_ms: Option<u64>,
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
}

/// Commands from handles to the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Tell about all peers.
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    /// Keep connected to this one. Answers whether it was not kept already.
    Add(Route, oneshot::Sender<bool>),
    /// Forget a reserved peer, and disconnect from it. Answers whether it was known.
    Remove(RemoveTarget, oneshot::Sender<bool>),
}

/// What `remove_peer` was given.
#[derive(Debug)]
pub(super) enum RemoveTarget {
    /// An address, as it was given to `add_peer`.
    Route(Route),
    /// A peer id.
    Peer(String),
}

/// Talks to the network task. Cheap to clone. After the task has ended, questions get empty answers.
#[derive(Debug, Clone)]
pub struct NetworkHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) status: watch::Receiver<NetworkStatus>,
    pub(super) local_peer_id: String,
}

impl NetworkHandle {
    /// All peers whose handshake has ended, in no particular order.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Peers(reply)).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    /// Keeps a connection to this peer, as `--peer` does. Answers whether that is new.
    ///
    /// # Errors
    /// [`AddressError`] when `address` is none.
    pub async fn add_peer(&self, address: &str) -> Result<bool, AddressError> {
        let route = Route::parse(address)?;
        let (reply, answer) = oneshot::channel();
        // A closed channel means that the node is stopping: there is nobody to add a peer to, and nothing is wrong with it.
        let _ = self.commands.send(Command::Add(route, reply)).await;
        Ok(answer.await.unwrap_or(true))
    }

    /// Undoes [`Self::add_peer`] (same address) or disconnects from a peer (its id). Answers
    /// whether there was such a peer.
    pub async fn remove_peer(&self, address_or_id: &str) -> bool {
        let target = match Route::parse(address_or_id) {
            Ok(route) => RemoveTarget::Route(route),
            Err(_) => RemoveTarget::Peer(address_or_id.into()),
        };
        let (reply, answer) = oneshot::channel();
        let command = Command::Remove(target, reply);
        if self.commands.send(command).await.is_err() {
            return false;
        }
        answer.await.unwrap_or(false)
    }

    /// Multiaddresses that we listen on, with our id.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.status.borrow().listening.clone()
    }

    /// Our own id.
    pub fn local_peer_id(&self) -> &str {
        &self.local_peer_id
    }

    /// The current status; `changed()` waits for the next.
    pub fn status(&self) -> watch::Receiver<NetworkStatus> {
        self.status.clone()
    }
}
