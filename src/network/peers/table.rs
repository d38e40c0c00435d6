//! What we know of connected peers.

use std::{collections::HashMap, net::IpAddr};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};

use super::addresses::Group;

use crate::{
    network::{
        limits::{
            HANDSHAKE_TIMEOUT, addresses_quota, block_bytes_quota, block_transactions_quota,
            blocks_quota, headers_quota, status_quota,
        },
        quota::Quota,
        sync::PeerKey,
    },
    wire::Status,
};

/// One connection.
#[derive(Debug, Clone)]
pub(in crate::network) struct Connection {
    /// libp2p's id of it.
    pub(in crate::network) id: ConnectionId,
    /// The other end.
    pub(in crate::network) address: Multiaddr,
    /// Whether the other side dialled.
    pub(in crate::network) inbound: bool,
    /// When it was made.
    pub(in crate::network) since: u64,
}

/// A connected peer.
#[derive(Debug)]
pub(in crate::network) struct Peer {
    /// Its name in the sync machine.
    pub(in crate::network) key: PeerKey,
    /// At least one.
    pub(in crate::network) connections: Vec<Connection>,
    /// Its last status; `None` until the handshake has ended.
    pub(in crate::network) status: Option<Status>,
    /// When the handshake must have ended.
    pub(in crate::network) handshake_until: u64,
    /// When to ask for its status again.
    pub(in crate::network) next_poll: u64,
    /// When it may be asked for addresses again.
    pub(in crate::network) next_addresses: u64,
    /// A status request is in flight.
    pub(in crate::network) polling: bool,
    /// From its status, else from identify.
    pub(in crate::network) agent: String,
    /// Last ping, milliseconds.
    pub(in crate::network) latency: Option<u64>,
    /// Shortest ping, milliseconds.
    pub(in crate::network) least_latency: Option<u64>,
    /// Its misbehaviour was told, for it is not banned.
    pub(in crate::network) warned: bool,
    /// Where it listens, as far as it can be reached from here.
    pub(in crate::network) listens: Option<Multiaddr>,
    /// Its connections bypass limits and bans.
    pub(in crate::network) reserved: bool,
    /// It has a loopback or private address.
    pub(in crate::network) local: bool,
    /// Gossip and answers received.
    pub(in crate::network) received: u64,
    /// Requests and answers sent.
    pub(in crate::network) sent: u64,
    /// Requests of it being served.
    pub(in crate::network) serving: usize,
    /// Requests refused in a row.
    pub(in crate::network) refused: u32,
    /// What we serve it.
    pub(in crate::network) quotas: Quotas,
    /// When it last delivered gossip about blocks, duplicates included.
    pub(in crate::network) delivered_at: u64,
    /// A tip it told us of that gossip has not brought, and when.
    pub(in crate::network) untold: Option<u64>,
    /// How many such tips in a row.
    pub(in crate::network) missed: u32,
}

/// What a peer may ask of us.
#[derive(Debug)]
pub(in crate::network) struct Quotas {
    pub(in crate::network) status: Quota,
    pub(in crate::network) headers: Quota,
    pub(in crate::network) blocks: Quota,
    pub(in crate::network) block_bytes: Quota,
    pub(in crate::network) block_transactions: Quota,
    pub(in crate::network) addresses: Quota,
}

impl Peer {
    fn new(key: PeerKey, connection: Connection, ip: Option<IpAddr>, reserved: bool) -> Self {
        let now = connection.since;
        Self {
            key,
            connections: vec![connection],
            status: None,
            handshake_until: now + HANDSHAKE_TIMEOUT,
            next_poll: now,
            next_addresses: now,
            polling: false,
            agent: String::new(),
            latency: None,
            least_latency: None,
            warned: false,
            listens: None,
            reserved,
            local: ip.is_some_and(super::is_local),
            received: 0,
            sent: 0,
            serving: 0,
            refused: 0,
            quotas: Quotas {
                status: status_quota(),
                headers: headers_quota(),
                blocks: blocks_quota(),
                block_bytes: block_bytes_quota(),
                block_transactions: block_transactions_quota(),
                addresses: addresses_quota(),
            },
            delivered_at: now,
            untold: None,
            missed: 0,
        }
    }

    /// The address of its first connection.
    pub(in crate::network) fn address(&self) -> Option<&Multiaddr> {
        self.connections
            .first()
            .map(|connection| &connection.address)
    }

    /// Whether its first connection was made by it.
    pub(in crate::network) fn inbound(&self) -> bool {
        self.connections
            .first()
            .is_some_and(|connection| connection.inbound)
    }
}

/// All connected peers.
#[derive(Debug, Default)]
pub(in crate::network) struct PeerTable {
    peers: HashMap<PeerId, Peer>,
    by_key: HashMap<PeerKey, PeerId>,
    next_key: u64,
}

impl PeerTable {
    /// Notes a connection; returns whether it is the first to this peer.
    pub(in crate::network) fn connect(
        &mut self,
        id: PeerId,
        connection: Connection,
        reserved: bool,
    ) -> bool {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.connections.push(connection);
            peer.reserved |= reserved;
            return false;
        }
        self.next_key += 1;
        let key = PeerKey(self.next_key);
        let ip = super::ip_of(&connection.address);
        self.peers
            .insert(id, Peer::new(key, connection, ip, reserved));
        self.by_key.insert(key, id);
        true
    }

    /// Notes the end of a connection; returns the peer if it was its last.
    pub(in crate::network) fn disconnect(
        &mut self,
        id: &PeerId,
        connection: ConnectionId,
    ) -> Option<Peer> {
        let peer = self.peers.get_mut(id)?;
        peer.connections.retain(|other| other.id != connection);
        if !peer.connections.is_empty() {
            return None;
        }
        let peer = self.peers.remove(id)?;
        self.by_key.remove(&peer.key);
        Some(peer)
    }

    pub(in crate::network) fn get(&self, id: &PeerId) -> Option<&Peer> {
        self.peers.get(id)
    }

    pub(in crate::network) fn get_mut(&mut self, id: &PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(id)
    }

    pub(in crate::network) fn contains(&self, id: &PeerId) -> bool {
        self.peers.contains_key(id)
    }

    /// The peer that sync calls `key`, if it is still connected.
    pub(in crate::network) fn by_key(&self, key: PeerKey) -> Option<PeerId> {
        self.by_key.get(&key).copied()
    }

    pub(in crate::network) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.peers.iter()
    }

    pub(in crate::network) fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerId, &mut Peer)> {
        self.peers.iter_mut()
    }

    /// The public groups of outbound connections.
    pub(in crate::network) fn outbound_groups(&self) -> Vec<Group> {
        let outbound = self.peers.values().filter(|peer| !peer.inbound());
        let groups = outbound.filter_map(|peer| Group::of_address(peer.address()?));
        groups.filter(|group| *group != Group::Local).collect()
    }

    /// Peers with an outbound connection.
    pub(in crate::network) fn outbound(&self) -> usize {
        self.peers.values().filter(|peer| !peer.inbound()).count()
    }

    /// Peers whose handshake has ended, and how many of them dialled us.
    pub(in crate::network) fn counts(&self) -> (usize, usize) {
        let ready = self.peers.values().filter(|peer| peer.status.is_some());
        let (mut all, mut inbound) = (0, 0);
        for peer in ready {
            all += 1;
            inbound += usize::from(peer.inbound());
        }
        (all, inbound)
    }
}
