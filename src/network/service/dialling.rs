//! Making connections: targets that are due, names, mDNS, failures.

use std::{io, net::SocketAddr};

use libp2p::{
    Multiaddr, PeerId, mdns,
    swarm::{ConnectionId, DialError, dial_opts::DialOpts},
};

use super::{Service, calls::Done};
use crate::{
    network::{
        NetworkMetrics, NetworkStatus,
        peers::{
            Dialer, Route, Source, TargetId, ip_of, peer_id_of, socket_address, strip_peer_id,
        },
    },
    primitives::unix_now,
};

/// Addresses of one name that are dialled.
const MAX_RESOLVED: usize = 16;
/// Own addresses remembered.
const MAX_OWN_ADDRESSES: usize = 64;

impl Service {
    /// Dials what is due.
    pub(super) fn dial_due(&mut self) {
        let now = self.now();
        self.find_candidates(now);
        let outbound = self.peers.outbound();
        let groups = self.peers.outbound_groups();
        let peers = &self.peers;
        let connected = |peer: &PeerId| peers.contains(peer);
        let due = self.dialer.due(now, outbound, &groups, connected);
        for (target, route) in due {
            match route {
                Route::Addresses { addresses, peer } => self.dial(target, addresses, peer),
                Route::Name { host, port, .. } => {
                    self.tasks.spawn(async move {
                        let addresses = tokio::net::lookup_host((host.as_str(), port)).await;
                        Done::Resolved {
                            target,
                            addresses: addresses.map(Iterator::collect),
                        }
                    });
                }
            }
        }
    }

    /// Dials a known peer at all its addresses, or each address for itself.
    fn dial(&mut self, target: TargetId, mut addresses: Vec<Multiaddr>, peer: Option<PeerId>) {
        if !self.dialer.is_reserved_target(target) {
            let gate = &self.swarm.behaviour().gate;
            addresses.retain(|address| !ip_of(address).is_some_and(|ip| gate.refuses_ip(ip)));
            if addresses.is_empty() {
                let now = self.now();
                self.dialer.failed(now, target);
                return;
            }
        }
        match peer {
            Some(peer) => {
                self.dialer.set_attempts(target, 1);
                let options = DialOpts::peer_id(peer).addresses(addresses).build();
                self.start_dial(target, options);
            }
            None => {
                self.dialer.set_attempts(target, addresses.len());
                for address in addresses {
                    let options = DialOpts::unknown_peer_id().address(address).build();
                    self.start_dial(target, options);
                }
            }
        }
    }

    fn start_dial(&mut self, target: TargetId, options: DialOpts) {
        let id = options.connection_id();
        self.dials.insert(id, target);
        if let Err(error) = self.swarm.dial(options) {
            tracing::debug!(%error, "cannot dial");
            self.dials.remove(&id);
            let now = self.now();
            self.dialer.failed(now, target);
        }
    }

    pub(super) fn on_resolved(&mut self, target: TargetId, result: io::Result<Vec<SocketAddr>>) {
        let mut addresses: Vec<Multiaddr> = match result {
            Ok(addresses) => addresses.into_iter().map(socket_address).collect(),
            Err(error) => {
                tracing::debug!(%error, "a name cannot be resolved");
                Vec::new()
            }
        };
        addresses.sort();
        addresses.dedup();
        addresses.retain(|address| !self.own_addresses.contains(address));
        addresses.truncate(MAX_RESOLVED);
        if addresses.is_empty() {
            let now = self.now();
            self.dialer.failed(now, target);
            return;
        }
        self.dial(target, addresses, None);
    }

    pub(super) fn on_dial_error(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        error: DialError,
    ) {
        let now = self.now();
        tracing::debug!(?peer, %error, "a dial failed");
        let target = self.dials.remove(&connection);
        if let Some(target) = target {
            self.dialer.failed(now, target);
            if let Some(peer) = peer {
                self.book.table_mut().failed(&peer, unix_now());
            }
        }
        match error {
            DialError::WrongPeerId { obtained, address } => {
                let address = strip_peer_id(&address);
                if let Some(expected) = peer {
                    self.dialer.forget(&expected, &address);
                    self.book.table_mut().forget(&expected, &address);
                }
                self.dialer.learn(Source::Known, obtained, address, now);
            }
            DialError::LocalPeerId { address } => {
                let address = strip_peer_id(&address);
                if let Some(target) = target {
                    self.dialer.forget_ourselves(target, &address);
                }
                if let Some(expected) = peer {
                    self.dialer.forget(&expected, &address);
                }
                let is_listener = self.swarm.listeners().any(|own| *own == address);
                let has_room = self.own_addresses.len() < MAX_OWN_ADDRESSES;
                // Names that lead here are looked up again and again; once is enough to be told.
                if has_room && self.own_addresses.insert(address.clone()) && !is_listener {
                    tracing::warn!(%address, "our own identity answers there: either it is this node, or its node.key was copied; two nodes with one identity ignore each other");
                }
            }
            DialError::NoAddresses
            | DialError::DialPeerConditionFalse(_)
            | DialError::Aborted
            | DialError::Denied { .. }
            | DialError::Transport(_) => {}
        }
    }

    pub(super) fn on_mdns(&mut self, event: mdns::Event) {
        let now = self.now();
        let local = *self.swarm.local_peer_id();
        match event {
            mdns::Event::Discovered(list) => {
                for (peer, address) in list {
                    if peer == local || self.swarm.behaviour().gate.refuses(&peer) {
                        continue;
                    }
                    let address = strip_peer_id(&address);
                    tracing::debug!(%peer, %address, "found by mDNS");
                    let when = Dialer::polite_start(now, &local, &peer);
                    self.dialer.learn(Source::Local, peer, address, when);
                }
            }
            // Connections end for reasons of their own; addresses are kept and tried ever less.
            mdns::Event::Expired(_) => {}
        }
    }

    /// Tells handles how things are, if that has changed.
    pub(super) fn publish_status(&mut self) {
        let (peers, inbound) = self.peers.counts();
        let local = *self.swarm.local_peer_id();
        let listening = self
            .swarm
            .listeners()
            .map(|address| match peer_id_of(address) {
                Some(_) => address.to_string(),
                None => format!("{address}/p2p/{local}"),
            })
            .collect();
        let status = NetworkStatus {
            peers,
            inbound,
            sync: self.sync.state(),
            listening,
            metrics: self.metrics(),
        };
        self.status.send_if_modified(|current| {
            // Metrics are there for who looks; they wake nobody.
            let changed = current.peers != status.peers
                || current.inbound != status.inbound
                || current.sync != status.sync
                || current.listening != status.listening;
            *current = status;
            changed
        });
    }

    fn metrics(&self) -> NetworkMetrics {
        let gossip = &self.swarm.behaviour().gossip;
        NetworkMetrics {
            mesh_blocks: gossip.mesh_peers(&self.topics.blocks.hash()).count(),
            mesh_transactions: gossip.mesh_peers(&self.topics.transactions.hash()).count(),
            silent_links: self.silent_links,
            bans: self.book.bans(unix_now()).len(),
            addresses: self.book.table().len(),
            bytes: self.traffic.total(),
        }
    }
}
