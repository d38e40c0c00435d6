//! What the rest of the node sees of the network.

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    error::AddressError,
    info::{AddedPeer, BanInfo, NetworkStatus, PeerInfo},
    peers::{BanTarget, Route},
    traffic::{ByteCounts, Traffic},
};

/// Commands from handles to the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Tell about all peers.
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    /// Keep connected to this one. Answers whether it was not kept already.
    Add(Route, oneshot::Sender<bool>),
    /// Forget a reserved peer, and disconnect from it. Answers whether it was known.
    Remove(RemoveTarget, oneshot::Sender<bool>),
    /// Dial this one once.
    Try(Route, oneshot::Sender<()>),
    /// Tell about peers that are kept.
    Added(oneshot::Sender<Vec<AddedPeer>>),
    /// Disconnect from whom this means. Answers whether there was anybody.
    Disconnect(PeerChoice, oneshot::Sender<bool>),
    /// Ban until a time, Unix seconds. Answers whether it could be done: kept peers are not banned.
    Ban(BanTarget, u64, oneshot::Sender<bool>),
    /// End a ban. Answers whether there was one.
    Unban(BanTarget, oneshot::Sender<bool>),
    /// Tell about all bans.
    Bans(oneshot::Sender<Vec<BanInfo>>),
    /// End all bans.
    ClearBans(oneshot::Sender<()>),
}

/// Which connected peer is meant.
#[derive(Debug)]
pub(super) enum PeerChoice {
    /// [`PeerInfo::number`].
    Number(u64),
    /// Its id, its address as [`PeerInfo::address`] shows it, or IP and port of that.
    Text(String),
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
    pub(super) traffic: Traffic,
}

impl NetworkHandle {
    /// Asks the task; `None` when it has ended.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    /// All peers whose handshake has ended, in no particular order.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        self.ask(Command::Peers).await.unwrap_or_default()
    }

    /// Keeps a connection to this peer, as `--peer` does. Answers whether that is new.
    ///
    /// # Errors
    /// [`AddressError`] when `address` is none.
    pub async fn add_peer(&self, address: &str) -> Result<bool, AddressError> {
        let route = Route::parse(address)?;
        let added = self.ask(|reply| Command::Add(route, reply)).await;
        // No answer means that the node is stopping: there is nobody to add a peer to, and nothing is wrong with it.
        Ok(added.unwrap_or(true))
    }

    /// Dials this peer once, now, whether or not there is a free place.
    ///
    /// # Errors
    /// [`AddressError`] when `address` is none.
    pub async fn try_peer(&self, address: &str) -> Result<(), AddressError> {
        let route = Route::parse(address)?;
        self.ask(|reply| Command::Try(route, reply)).await;
        Ok(())
    }

    /// Undoes [`Self::add_peer`] (same address) or disconnects from a peer (its id). Answers
    /// whether there was such a peer.
    pub async fn remove_peer(&self, address_or_id: &str) -> bool {
        let target = match Route::parse(address_or_id) {
            Ok(route) => RemoveTarget::Route(route),
            Err(_) => RemoveTarget::Peer(address_or_id.into()),
        };
        let removed = self.ask(|reply| Command::Remove(target, reply)).await;
        removed.unwrap_or(false)
    }

    /// The peers that are kept: given by `--peer` or [`Self::add_peer`].
    pub async fn added_peers(&self) -> Vec<AddedPeer> {
        self.ask(Command::Added).await.unwrap_or_default()
    }

    /// Disconnects from the peer with this [`PeerInfo::number`]. Answers whether there is one. A kept peer is dialled again.
    pub async fn disconnect_number(&self, number: u64) -> bool {
        let choice = PeerChoice::Number(number);
        let found = self.ask(|reply| Command::Disconnect(choice, reply)).await;
        found.unwrap_or(false)
    }

    /// Disconnects from the peer with this id or address. Answers whether there is one. A kept peer is dialled again.
    pub async fn disconnect(&self, id_or_address: &str) -> bool {
        let choice = PeerChoice::Text(id_or_address.into());
        let found = self.ask(|reply| Command::Disconnect(choice, reply)).await;
        found.unwrap_or(false)
    }

    /// Refuses whom `target` means until a time (Unix seconds), and disconnects from them. Answers whether it was done: a peer
    /// that is kept cannot be banned by its id, and is left out of what bans its address.
    pub async fn ban(&self, target: BanTarget, until: u64) -> bool {
        let done = self.ask(|reply| Command::Ban(target, until, reply)).await;
        done.unwrap_or(false)
    }

    /// Ends a ban. Answers whether there was one.
    pub async fn unban(&self, target: BanTarget) -> bool {
        let found = self.ask(|reply| Command::Unban(target, reply)).await;
        found.unwrap_or(false)
    }

    /// All bans that have not ended.
    pub async fn bans(&self) -> Vec<BanInfo> {
        self.ask(Command::Bans).await.unwrap_or_default()
    }

    /// Ends all bans.
    pub async fn clear_bans(&self) {
        self.ask(Command::ClearBans).await;
    }

    /// Bytes of all connections since the start.
    pub fn traffic(&self) -> ByteCounts {
        self.traffic.total()
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
