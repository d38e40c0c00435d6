//! The first behaviour of the swarm: refuses connections before they cost anything.
//!
//! Inbound connections are judged by IP before the Noise handshake; banned peers and strangers of
//! other networks as soon as their id is known. Behaviours behind this one never hear of what it
//! refuses (they would leak state, so the order in the struct matters).

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::{
    limits::{MAX_PER_IP, MAX_PER_SUBNET},
    peers::{BanTarget, Subnet, ip_of, is_local},
};

/// Refused peers and subnets remembered, each; the entries that end first make room.
const MAX_REFUSED: usize = 1_000;

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Gate {
    peers: HashMap<PeerId, Instant>,
    subnets: HashMap<Subnet, Instant>,
    inbound: HashMap<ConnectionId, IpAddr>,
    /// Peers banned lately, by IP.
    bans: HashMap<IpAddr, usize>,
}

impl Gate {
    /// Refuses connections with `peer` for `time`.
    pub(super) fn refuse_peer(&mut self, peer: PeerId, time: Duration) {
        insert_bounded(&mut self.peers, peer, Instant::now() + time);
    }

    /// Lets `peer` in again.
    pub(super) fn forgive_peer(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Refuses connections with whom the target means for `time`.
    pub(super) fn refuse(&mut self, target: BanTarget, time: Duration) {
        match target {
            BanTarget::Peer(peer) => self.refuse_peer(peer, time),
            BanTarget::Subnet(subnet) => {
                insert_bounded(&mut self.subnets, subnet, Instant::now() + time);
            }
        }
    }

    /// Ends what [`Self::refuse`] began.
    pub(super) fn forgive(&mut self, target: &BanTarget) {
        match target {
            BanTarget::Peer(peer) => self.forgive_peer(peer),
            BanTarget::Subnet(subnet) => {
                self.subnets.remove(subnet);
            }
        }
    }

    /// Whether connections with `ip` are refused now.
    pub(super) fn refuses_ip(&self, ip: IpAddr) -> bool {
        let now = Instant::now();
        let mut subnets = self.subnets.iter();
        subnets.any(|(subnet, end)| *end > now && subnet.contains(ip))
    }

    /// Counts a banned peer of `ip`; returns how many there were.
    pub(super) fn count_ban(&mut self, ip: IpAddr) -> usize {
        if self.bans.len() >= MAX_REFUSED {
            self.bans.clear();
        }
        let count = self.bans.entry(ip.to_canonical()).or_default();
        *count += 1;
        *count
    }

    /// Whether connections with `peer` are refused now.
    pub(super) fn refuses(&self, peer: &PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|until| *until > Instant::now())
    }

    fn check_peer(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        if self.refuses(peer) {
            return Err(ConnectionDenied::new(Refused("refused peer")));
        }
        Ok(())
    }

    fn check_ip(&self, ip: IpAddr) -> Result<(), Refused> {
        if self.refuses_ip(ip) {
            return Err(Refused("refused address"));
        }
        if is_local(ip) {
            return Ok(());
        }
        let same = |bits| {
            let key = prefix(ip, bits);
            self.inbound
                .values()
                .filter(|other| prefix(**other, bits) == key)
                .count()
        };
        if same(HOST) >= MAX_PER_IP {
            return Err(Refused("too many connections from this IP"));
        }
        if same(SUBNET) >= MAX_PER_SUBNET {
            return Err(Refused("too many connections from this subnet"));
        }
        Ok(())
    }
}

/// Prefix lengths for IPv4 and IPv6 of what counts as one host and as one subnet.
const HOST: (u32, u32) = (32, 64);
const SUBNET: (u32, u32) = (24, 48);

/// The first bits of an address; IPv4 and IPv6 never compare equal.
fn prefix(ip: IpAddr, bits: (u32, u32)) -> (bool, u128) {
    match ip {
        IpAddr::V4(ip) => (false, u128::from(ip.to_bits() >> (32 - bits.0))),
        IpAddr::V6(ip) => (true, ip.to_bits() >> (128 - bits.1)),
    }
}

fn insert_bounded<K: Copy + Eq + std::hash::Hash>(
    map: &mut HashMap<K, Instant>,
    key: K,
    until: Instant,
) {
    let now = Instant::now();
    map.retain(|_, end| *end > now);
    if map.len() >= MAX_REFUSED
        && !map.contains_key(&key)
        && let Some(first) = map
            .iter()
            .min_by_key(|entry| *entry.1)
            .map(|entry| *entry.0)
    {
        map.remove(&first);
    }
    map.insert(key, until);
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection_id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if let Some(ip) = ip_of(remote) {
            self.check_ip(ip).map_err(ConnectionDenied::new)?;
            self.inbound.insert(connection_id, ip);
        }
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_peer(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer {
            self.check_peer(&peer)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_peer(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionClosed(closed) => {
                self.inbound.remove(&closed.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.inbound.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knock(gate: &mut Gate, id: usize, ip: &str) -> bool {
        let remote: Multiaddr = format!("{ip}/tcp/1").parse().unwrap();
        gate.handle_pending_inbound_connection(
            ConnectionId::new_unchecked(id),
            &Multiaddr::empty(),
            &remote,
        )
        .is_ok()
    }

    /// P8: one address cannot take all places.
    #[test]
    fn p08_public_addresses_are_limited_and_local_ones_are_not() {
        let mut gate = Gate::default();
        let same: Vec<_> = (0..6)
            .map(|i| knock(&mut gate, i, "/ip4/9.9.9.9"))
            .collect();
        assert_eq!(same, [true, true, true, true, false, false]);
        let subnet: Vec<_> = (10..20)
            .map(|i| knock(&mut gate, i, &format!("/ip4/9.9.9.{i}")))
            .collect();
        assert_eq!(subnet.iter().filter(|ok| **ok).count(), 4);
        assert!((100..200).all(|i| knock(&mut gate, i, "/ip4/192.168.0.7")));
        assert!((200..300).all(|i| knock(&mut gate, i, "/ip4/127.0.0.1")));
    }

    /// P8: 10,000 connections from as many addresses of forty subnets; who has a place keeps it, and a place that is left is
    /// given again.
    #[test]
    fn p08_many_addresses_have_the_places_of_their_subnets() {
        let mut gate = Gate::default();
        assert!(knock(&mut gate, 0, "/ip4/8.8.8.8"));
        let from = |i: usize| format!("/ip4/9.9.{}.{}", i % 40, i / 40);
        let taken: Vec<_> = (1..=10_000)
            .filter(|i| knock(&mut gate, *i, &from(*i)))
            .collect();
        assert_eq!(taken.len(), 40 * MAX_PER_SUBNET);
        assert_eq!(
            gate.inbound.len(),
            1 + taken.len(),
            "the others leave nothing"
        );
        gate.inbound.remove(&ConnectionId::new_unchecked(taken[0]));
        assert!(knock(&mut gate, 20_000, &from(taken[0])));
        assert!(!knock(&mut gate, 20_001, &from(taken[0])));
    }

    /// P20: an IPv4 address written as IPv6 is the same address.
    #[test]
    fn p20_mapped_addresses_are_one() {
        let mut gate = Gate::default();
        let banned = BanTarget::Subnet(Subnet::host("9.9.9.9".parse().unwrap()));
        gate.refuse(banned, Duration::from_secs(60));
        assert!(!knock(&mut gate, 1, "/ip4/9.9.9.9"));
        assert!(!knock(&mut gate, 2, "/ip6/::ffff:9.9.9.9"));
        assert!(knock(&mut gate, 3, "/ip4/9.9.9.8"));
        gate.forgive(&banned);
        assert!(knock(&mut gate, 4, "/ip4/9.9.9.9"));
    }

    #[test]
    fn refusals_end_and_are_bounded() {
        let mut gate = Gate::default();
        let peer = PeerId::random();
        gate.refuse_peer(peer, Duration::from_secs(60));
        assert!(gate.refuses(&peer));
        gate.forgive_peer(&peer);
        assert!(!gate.refuses(&peer));
        for _ in 0..2 * MAX_REFUSED {
            gate.refuse_peer(PeerId::random(), Duration::from_secs(60));
        }
        assert_eq!(gate.peers.len(), MAX_REFUSED);
    }
}
