//! What handles ask for.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use super::Service;
use crate::{
    network::{
        AddedPeer, BanInfo, PeerInfo,
        handle::{Command, PeerChoice, RemoveTarget},
        peers::{BanTarget, Peer, Route, Source, ip_of, socket_text},
    },
    primitives::unix_now,
};

impl Service {
    /// A handle that no longer waits does not need the answer.
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Peers(reply) => {
                let _ = reply.send(self.peer_infos());
            }
            Command::Add(route, reply) => {
                let _ = reply.send(!self.dialer.has_reserved(&route));
                self.add_target(Source::Reserved, route);
            }
            Command::Try(route, reply) => {
                self.add_target(Source::Once, route);
                let _ = reply.send(());
            }
            Command::Remove(target, reply) => {
                let _ = reply.send(self.remove(target));
            }
            Command::Added(reply) => {
                let _ = reply.send(self.added_peers());
            }
            Command::Disconnect(choice, reply) => {
                let found = self.choose(&choice);
                for peer in &found {
                    self.disconnect(*peer);
                }
                let _ = reply.send(!found.is_empty());
            }
            Command::Ban(target, until, reply) => {
                let _ = reply.send(self.ban(target, until));
            }
            Command::Unban(target, reply) => {
                let found = self.book.unban(&target, unix_now());
                self.forgive(&target);
                let _ = reply.send(found);
            }
            Command::Bans(reply) => {
                let bans = self.book.bans(unix_now()).into_iter();
                let infos = bans.map(|(target, ban)| BanInfo {
                    target: target.to_string(),
                    created: ban.created,
                    until: ban.until,
                });
                let _ = reply.send(infos.collect());
            }
            Command::ClearBans(reply) => {
                for (target, _) in self.book.bans(unix_now()) {
                    self.forgive(&target);
                }
                self.book.clear_bans();
                let _ = reply.send(());
            }
        }
    }

    /// Adds what was given by hand: a ban does not hold against it.
    fn add_target(&mut self, source: Source, route: Route) {
        let now = self.now();
        if let Some(peer) = route.peer() {
            self.swarm.behaviour_mut().gate.forgive_peer(&peer);
        }
        if self.dialer.add(source, route, now).is_none() {
            tracing::warn!("too many known peers to add another one");
        }
    }

    fn remove(&mut self, target: RemoveTarget) -> bool {
        let peers = match target {
            RemoveTarget::Route(route) => self.dialer.remove(&route),
            RemoveTarget::Peer(id) => id
                .parse()
                .ok()
                .filter(|id| self.peers.contains(id))
                .map(|id| vec![id]),
        };
        let found = peers.is_some();
        for peer in peers.unwrap_or_default() {
            self.swarm.behaviour_mut().limits.remove_peer_id(&peer);
            self.disconnect(peer);
        }
        found
    }

    fn added_peers(&self) -> Vec<AddedPeer> {
        let added = self.dialer.reserved();
        let infos = added.into_iter().map(|(route, peers)| {
            let connected = peers.iter().filter_map(|peer| self.peers.get(peer));
            let connections = connected.flat_map(|peer| &peer.connections);
            AddedPeer {
                address: route.to_string(),
                connections: connections
                    .map(|one| (one.address.to_string(), one.inbound))
                    .collect(),
            }
        });
        infos.collect()
    }

    /// The connected peers that a person means.
    fn choose(&self, choice: &PeerChoice) -> Vec<PeerId> {
        let is_meant = |id: &PeerId, peer: &Peer| match choice {
            PeerChoice::Number(number) => peer.key.0 == *number,
            PeerChoice::Text(text) => {
                id.to_string() == *text
                    || peer.connections.iter().any(|one| {
                        one.address.to_string() == *text
                            || socket_text(&one.address).as_ref() == Some(text)
                    })
            }
        };
        let all = self.peers.iter();
        all.filter(|(id, peer)| is_meant(id, peer))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Bans by hand. Peers that are kept are left out: whoever wants them gone removes them first.
    fn ban(&mut self, target: BanTarget, until: u64) -> bool {
        if let BanTarget::Peer(peer) = &target
            && self.dialer.is_reserved(peer)
        {
            return false;
        }
        let unix = unix_now();
        self.book.ban(&target, unix, until);
        let time = Duration::from_secs(until.saturating_sub(unix));
        self.swarm.behaviour_mut().gate.refuse(target, time);
        let now = self.now();
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let is_banned = |id: &PeerId, peer: &Peer| match &target {
            BanTarget::Peer(banned) => id == banned,
            BanTarget::Subnet(subnet) => peer
                .connections
                .iter()
                .any(|one| ip_of(&one.address).is_some_and(|ip| subnet.contains(ip))),
        };
        let banned: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(id, peer)| !peer.reserved && is_banned(id, peer))
            .map(|(id, _)| *id)
            .collect();
        if let BanTarget::Peer(peer) = &target {
            self.dialer.bar(now, peer, millis);
        }
        tracing::info!(%target, until, disconnected = banned.len(), "banned by hand");
        for peer in banned {
            self.disconnect(peer);
        }
        true
    }

    fn forgive(&mut self, target: &BanTarget) {
        self.swarm.behaviour_mut().gate.forgive(target);
        if let BanTarget::Peer(peer) = target {
            self.dialer.unbar(peer);
        }
    }

    fn peer_infos(&self) -> Vec<PeerInfo> {
        let now = self.now();
        let gossip = &self.swarm.behaviour().gossip;
        self.peers
            .iter()
            .filter_map(|(id, peer)| {
                let status = peer.status.as_ref()?;
                let connection = peer.connections.first()?;
                Some(PeerInfo {
                    number: peer.key.0,
                    peer_id: id.to_string(),
                    address: connection.address.to_string(),
                    transport: transport(&connection.address),
                    inbound: connection.inbound,
                    reserved: peer.reserved,
                    connected_seconds: now.saturating_sub(connection.since) / 1_000,
                    latency_ms: peer.latency,
                    least_latency_ms: peer.least_latency,
                    bytes: self.traffic.of(id),
                    agent: peer.agent.clone(),
                    height: status.best_height,
                    best_hash: status.best_hash,
                    work: status.total_work,
                    score: self.scores.get(now, id),
                    gossip_score: gossip.peer_score(id).unwrap_or_default(),
                    messages_received: peer.received,
                    messages_sent: peer.sent,
                })
            })
            .collect()
    }
}

/// How the bytes of a connection travel: the last word of its address that names a protocol.
fn transport(address: &Multiaddr) -> String {
    let parts = address
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)));
    let last = parts.last().map_or("", |part| part.tag());
    last.into()
}
