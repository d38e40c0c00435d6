//! Connections: greeting, watching, dropping.

use std::time::Duration;

use libp2p::{
    PeerId,
    core::ConnectedPoint,
    identify, ping,
    swarm::{ConnectionError, ConnectionId, ListenError},
};

use super::{Service, facts::chain_up_to};
use crate::{
    chain::{Event as NodeEvent, PeerEvent},
    network::{
        behaviour::protocol_id,
        limits::STRANGER_TIME,
        peers::{BanTarget, Connection, Fault, Source, Subnet, Verdict, ip_of, strip_peer_id},
        sync::{Event, PeerStatus},
    },
    primitives::unix_now,
    wire::{Protocol, Status},
};

/// So many banned peers of one IP get the IP refused.
const BANS_PER_IP: usize = 5;

/// It is said this often, in milliseconds, that a caller may lack the network key: anybody can call.
const KEY_HINT: u64 = 600_000;

impl Service {
    /// In a closed network a connection that ends before the handshake is, as a rule, of a node without the key.
    pub(super) fn hint_at_network_key(&mut self, error: &ListenError) {
        let now = self.now();
        let is_closed = self.config.network_key_file.is_some();
        if is_closed && matches!(error, ListenError::Transport(_)) && now >= self.key_hint_due {
            self.key_hint_due = now + KEY_HINT;
            tracing::warn!(
                "a caller did not get through the handshake; if it is one of your nodes, it needs the same --network-key-file (told once in 10 min)"
            );
        }
    }

    pub(super) fn on_connected(
        &mut self,
        id: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let now = self.now();
        let inbound = endpoint.is_listener();
        let address = strip_peer_id(endpoint.get_remote_address());
        let mut reserved = self.dialer.is_reserved(&id);
        if let Some(target) = self.dials.remove(&connection) {
            self.dialer.connected(now, target, id);
            reserved |= self.dialer.is_reserved_target(target);
        }
        if !inbound {
            let table = self.book.table_mut();
            table.reached(id, &address, unix_now());
            self.dialer.learn(Source::Known, id, address.clone(), now);
        }
        if reserved {
            self.swarm.behaviour_mut().limits.bypass_peer_id(&id);
        }
        let restart_age = self.config.link_times.restart_age;
        let is_old = self.peers.get(&id).is_some_and(|peer| {
            let first = peer.connections.first();
            first.is_some_and(|first| {
                Duration::from_millis(now.saturating_sub(first.since)) > restart_age
            })
        });
        let first = self.peers.connect(
            id,
            Connection {
                id: connection,
                address: address.clone(),
                inbound,
                since: now,
            },
            reserved,
        );
        tracing::debug!(peer = %id, %address, inbound, first, "connected");
        if first {
            self.send_status(id);
        } else if is_old {
            self.on_second_connection(id, connection, inbound);
        }
    }

    /// A peer that is connected since long connects again. If it dialled us, it was restarted
    /// before we noticed: gossip sends subscriptions on the first connection only, which leads to
    /// its former life, so it would stay mute. All connections go, and it dials again. If we
    /// dialled it, we did so without knowing who was there: the new connection goes.
    fn on_second_connection(&mut self, id: PeerId, connection: ConnectionId, inbound: bool) {
        if inbound {
            tracing::debug!(peer = %id, "connected again: it was restarted; starting afresh");
            self.disconnect(id);
        } else {
            self.swarm.close_connection(connection);
        }
    }

    pub(super) fn on_disconnected(
        &mut self,
        id: PeerId,
        connection: ConnectionId,
        cause: Option<ConnectionError>,
    ) {
        let Some(peer) = self.peers.disconnect(&id, connection) else {
            return;
        };
        tracing::debug!(peer = %id, ?cause, "disconnected");
        if peer.status.is_some() {
            let reason = match &cause {
                Some(cause) => cause.to_string(),
                None => "closed by us".into(),
            };
            // The node's own log tells of this event.
            self.chain
                .events()
                .publish(NodeEvent::Peer(PeerEvent::Disconnected {
                    peer: id.to_string(),
                    reason,
                }));
        }
        let now = self.now();
        self.dialer.lost(now, &id);
        self.sync_event(Event::PeerGone { peer: peer.key });
        self.compact_gone(id, peer.key);
        self.publish_status();
    }

    /// Closes all connections to a peer; the rest follows from the events of their ends.
    pub(super) fn disconnect(&mut self, id: PeerId) {
        // An error says that there is no connection, which is what is wanted.
        let _ = self.swarm.disconnect_peer_id(id);
    }

    /// A peer has told its status: the handshake, a poll, or its own poll.
    pub(super) fn on_status(&mut self, id: PeerId, status: Status) {
        if status.chain_id != self.chain_id || status.genesis != self.genesis {
            self.drop_stranger(id, "it is on another network");
            return;
        }
        let now = self.now();
        let tip = self.chain.reader().tip();
        let ahead = status.total_work > tip.chainwork && status.best_hash != tip.hash;
        let at_tip = self.sync.blocks_behind() <= 1;
        let poll = self.poll_interval();
        let claim = PeerStatus {
            best_hash: status.best_hash,
            best_height: status.best_height,
            work: status.total_work,
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.status.is_none() {
            // The node's own log tells that it is connected.
            tracing::debug!(peer = %id, agent = %status.agent, height = status.best_height, "greeted");
            self.chain
                .events()
                .publish(NodeEvent::Peer(PeerEvent::Connected {
                    peer: id.to_string(),
                    address: peer.address().map_or_else(String::new, ToString::to_string),
                    inbound: peer.inbound(),
                }));
        } else if ahead && at_tip && peer.untold.is_none() {
            // Gossip should have told us of this block, or will within a moment.
            peer.untold = Some(now);
        }
        let was_behind = peer
            .status
            .as_ref()
            .is_none_or(|before| before.total_work < tip.chainwork);
        let caught_up = was_behind && status.best_hash == tip.hash;
        peer.agent.clone_from(&status.agent);
        peer.next_poll = now + poll;
        peer.status = Some(status);
        let key = peer.key;
        // A header that we know needs no proof.
        if let Some(status) = chain_up_to(self.chain.reader(), &claim.best_hash) {
            self.sync_event(Event::PeerHas { peer: key, status });
        }
        self.sync_event(Event::PeerStatus {
            peer: key,
            status: claim,
        });
        if caught_up {
            self.repeat_soon(now);
        }
        self.publish_status();
    }

    /// Disconnects from a peer of another network, or of another program on the same LAN, and
    /// leaves it alone for an hour.
    pub(super) fn drop_stranger(&mut self, id: PeerId, reason: &str) {
        let now = self.now();
        let reserved = self.peers.get(&id).is_some_and(|peer| peer.reserved);
        let address = self.peers.get(&id).and_then(|peer| peer.address().cloned());
        if reserved {
            tracing::warn!(peer = %id, ?address, reason, "a peer given by hand cannot be used");
        } else {
            tracing::info!(peer = %id, ?address, reason, "stranger; left alone for an hour");
            let gate = &mut self.swarm.behaviour_mut().gate;
            gate.refuse_peer(id, STRANGER_TIME);
        }
        let time = u64::try_from(STRANGER_TIME.as_millis()).unwrap_or(u64::MAX);
        self.dialer.bar(now, &id, time);
        self.disconnect(id);
    }

    pub(super) fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else {
            return;
        };
        let ours = protocol_id(&self.chain_id, Protocol::Status);
        if !info.protocols.contains(&ours) {
            let theirs = info
                .protocols
                .iter()
                .find(|p| p.as_ref().starts_with("/quarry/") && p.as_ref().ends_with("/status/1"));
            match theirs {
                Some(theirs) => {
                    let reason = format!("it is on another network: it speaks {theirs}, we {ours}");
                    self.drop_stranger(peer_id, &reason);
                }
                None => self.drop_stranger(peer_id, "it is no Quarry node"),
            }
            return;
        }
        self.learn_from_identify(peer_id, &info);
    }

    /// libp2p reports every second failure in a row, and never closes anything itself.
    pub(super) fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(time) => {
                if let Some(peer) = self.peers.get_mut(&event.peer) {
                    let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    peer.latency = Some(time);
                    peer.least_latency = Some(peer.least_latency.map_or(time, |t| t.min(time)));
                }
            }
            Err(error) => {
                tracing::debug!(peer = %event.peer, %error, "the link is dead");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    /// Holds a fault against a peer. Reserved and local peers are warned about, not banned: they
    /// are the operator's own machines, which can be mended but not replaced.
    pub(super) fn punish(&mut self, id: PeerId, fault: Fault) {
        let now = self.now();
        let verdict = self.scores.punish(now, id, fault);
        tracing::debug!(peer = %id, ?fault, score = self.scores.get(now, &id), "misbehaviour");
        if verdict == Verdict::Tolerate {
            return;
        }
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let ip = peer.address().and_then(ip_of);
        if peer.reserved || peer.local {
            if !peer.warned {
                tracing::warn!(peer = %id, ?fault, "a local or reserved peer misbehaves; not banned, and not told again of this connection");
            }
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.warned = true;
            }
            return;
        }
        let unix = unix_now();
        let ban = self.book.punish(id, unix);
        let time = Duration::from_secs(ban.until.saturating_sub(unix));
        tracing::warn!(peer = %id, ?fault, hours = time.as_secs() / 3_600, "peer banned");
        let gate = &mut self.swarm.behaviour_mut().gate;
        gate.refuse_peer(id, time);
        if let Some(ip) = ip
            && gate.count_ban(ip) >= BANS_PER_IP
        {
            let host = BanTarget::Subnet(Subnet::host(ip));
            gate.refuse(host, time);
            self.book.ban(&host, unix, ban.until);
        }
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.dialer.bar(now, &id, millis);
        self.disconnect(id);
    }
}
