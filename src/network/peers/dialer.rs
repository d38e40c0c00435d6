//! Whom to dial, and when: a schedule without I/O.
//!
//! Delays between attempts to one target are 1 s × 2^n up to 10 s for reserved peers, for peers
//! found by mDNS, and for any peer lost less than 10 minutes ago, so that local networks and cut
//! links heal within seconds; and 5 s × 2^n up to 5 min for bootnodes and known peers.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId};

use super::address::{Route, ip_of, is_local};
use crate::network::limits::{CONNECT_TO_ALL, OUTBOUND_TARGET};

/// Targets in all; beyond, new ones are not learnt.
const MAX_TARGETS: usize = 1_100;
/// Addresses of one target.
const MAX_ADDRESSES: usize = 8;
/// Peers that one name has led to (a name may stand for many nodes).
const MAX_PEERS: usize = 64;
/// First delay and limit for targets that matter at once, milliseconds.
const FAST: (u64, u64) = (1_000, 10_000);
/// First delay and limit for the others.
const SLOW: (u64, u64) = (5_000, 300_000);
/// A lost peer matters at once for this long.
const LOST: u64 = 600_000;
/// Failures after which a peer found by mDNS is no longer urgent (some ten minutes).
const LOCAL_PATIENCE: u32 = 64;
/// Of two nodes that find each other by mDNS the one with the smaller id dials at once, the other
/// after this time, so that there is one connection instead of two.
const POLITE: u64 = 3_000;

/// A target's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::network) struct TargetId(u64);

/// Why we know a target. The first ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::network) enum Source {
    /// `--peer`: always connected.
    Reserved,
    /// `--bootnode`.
    Bootnode,
    /// mDNS.
    Local,
    /// The address file, or identify.
    Known,
}

#[derive(Debug)]
struct Target {
    source: Source,
    route: Route,
    /// Peers that were reached through it.
    peers: Vec<PeerId>,
    failures: u32,
    next: u64,
    /// Attempts under way.
    busy: usize,
    /// Until then a loss is to be mended quickly.
    lost_until: u64,
    /// It is ourselves, or on another network: left alone until then.
    barred_until: u64,
}

impl Target {
    fn delay(&self, now: u64) -> u64 {
        let urgent = self.source == Source::Reserved
            || self.lost_until > now
            || self.source == Source::Local && self.failures < LOCAL_PATIENCE;
        let (first, limit) = if urgent { FAST } else { SLOW };
        let doubled = first.saturating_mul(1_u64 << self.failures.min(16));
        doubled.min(limit)
    }

    fn leads_to(&self, peer: &PeerId) -> bool {
        self.route.peer().as_ref() == Some(peer) || self.peers.contains(peer)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::network) struct Dialer {
    targets: BTreeMap<TargetId, Target>,
    next_id: u64,
}

impl Dialer {
    /// Adds a target that is dialled at `when`. Returns `None` if there are too many.
    pub(in crate::network) fn add(
        &mut self,
        source: Source,
        route: Route,
        when: u64,
    ) -> Option<TargetId> {
        let known = self.targets.iter_mut().find(|(_, t)| t.route == route);
        if let Some((id, target)) = known {
            target.source = target.source.min(source);
            target.next = target.next.min(when);
            return Some(*id);
        }
        if self.targets.len() >= MAX_TARGETS {
            return None;
        }
        self.next_id += 1;
        let id = TargetId(self.next_id);
        let target = Target {
            source,
            route,
            peers: Vec::new(),
            failures: 0,
            next: when,
            busy: 0,
            lost_until: 0,
            barred_until: 0,
        };
        self.targets.insert(id, target);
        Some(id)
    }

    /// Learns an address of a peer.
    pub(in crate::network) fn learn(
        &mut self,
        source: Source,
        peer: PeerId,
        address: Multiaddr,
        when: u64,
    ) {
        let known = self.targets.values_mut().find(
            |target| matches!(&target.route, Route::Addresses { peer: p, .. } if *p == Some(peer)),
        );
        let Some(target) = known else {
            let route = Route::Addresses {
                addresses: vec![address],
                peer: Some(peer),
            };
            self.add(source, route, when);
            return;
        };
        target.source = target.source.min(source);
        let mut is_news = source == Source::Local;
        if let Route::Addresses { addresses, .. } = &mut target.route
            && !addresses.contains(&address)
        {
            // The newest address is tried first.
            addresses.insert(0, address);
            addresses.truncate(MAX_ADDRESSES);
            is_news = true;
        }
        // mDNS tells of an address when it appears: a peer that was gone for long is back.
        if is_news {
            target.failures = 0;
            target.next = target.next.min(when);
        }
    }

    /// When to dial a peer that mDNS has found: at once, or a little later.
    pub(in crate::network) fn polite_start(now: u64, ours: &PeerId, theirs: &PeerId) -> u64 {
        if ours < theirs { now } else { now + POLITE }
    }

    /// Targets to dial now. The caller dials all of them and reports what comes of it.
    pub(in crate::network) fn due(
        &mut self,
        now: u64,
        outbound: usize,
        connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<(TargetId, Route)> {
        let known = self
            .targets
            .values()
            .filter(|t| t.barred_until <= now)
            .count();
        let dialling: usize = self.targets.values().map(|target| target.busy).sum();
        let mut free = OUTBOUND_TARGET.saturating_sub(outbound + dialling);
        if known <= CONNECT_TO_ALL {
            free = free.max(CONNECT_TO_ALL);
        }
        let mut order: Vec<_> = self
            .targets
            .iter()
            .filter(|(_, target)| {
                target.busy == 0
                    && target.next <= now
                    && target.barred_until <= now
                    && !target.route.peer().is_some_and(|peer| connected(&peer))
                    && !target.peers.iter().any(&connected)
            })
            .map(|(id, target)| (target.source, target.lost_until <= now, target.next, *id))
            .collect();
        order.sort();
        let mut due = Vec::new();
        for (source, not_lost, _, id) in order {
            // Reserved and lately lost peers do not wait for a free place.
            let waits = source != Source::Reserved && not_lost;
            if waits && free == 0 {
                continue;
            }
            if waits {
                free -= 1;
            }
            if let Some(target) = self.targets.get_mut(&id) {
                target.busy = 1;
                due.push((id, target.route.clone()));
            }
        }
        due
    }

    /// A name was resolved to several addresses: so many attempts are under way.
    pub(in crate::network) fn set_attempts(&mut self, id: TargetId, attempts: usize) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.busy = attempts;
        }
    }

    /// An attempt ended without a connection.
    pub(in crate::network) fn failed(&mut self, now: u64, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else {
            return;
        };
        target.busy = target.busy.saturating_sub(1);
        if target.busy == 0 {
            // Up to a quarter more, different for every target, so that nodes do not dial in step.
            let delay = target.delay(now);
            let jitter = (id.0.wrapping_mul(0x9e37_79b9) >> 7) % (delay / 4 + 1);
            target.next = now + delay + jitter;
            target.failures = target.failures.saturating_add(1);
        }
    }

    /// An attempt ended with a connection to `peer`.
    pub(in crate::network) fn connected(&mut self, now: u64, id: TargetId, peer: PeerId) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.busy = target.busy.saturating_sub(1);
            target.failures = 0;
            target.next = now;
            if !target.peers.contains(&peer) {
                if target.peers.len() >= MAX_PEERS {
                    target.peers.remove(0);
                }
                target.peers.push(peer);
            }
        }
    }

    /// All connections to `peer` are gone: dial it again soon.
    pub(in crate::network) fn lost(&mut self, now: u64, peer: &PeerId) {
        for target in self.targets.values_mut().filter(|t| t.leads_to(peer)) {
            target.lost_until = now + LOST;
            target.failures = 0;
            target.next = target.next.max(now + FAST.0);
        }
    }

    /// Leaves targets that lead to `peer` alone for `time` milliseconds, unless they are reserved.
    pub(in crate::network) fn bar(&mut self, now: u64, peer: &PeerId, time: u64) {
        for target in self.targets.values_mut().filter(|t| t.leads_to(peer)) {
            target.lost_until = 0;
            if target.source == Source::Reserved {
                target.next = now + FAST.1;
            } else {
                target.barred_until = now + time;
            }
        }
    }

    /// Another peer, or we ourselves, answered at `address` of `peer`.
    pub(in crate::network) fn forget(&mut self, peer: &PeerId, address: &Multiaddr) {
        self.targets.retain(|_, target| match &mut target.route {
            Route::Addresses {
                addresses,
                peer: Some(p),
            } if p == peer => {
                addresses.retain(|other| other != address);
                !addresses.is_empty() || target.source == Source::Reserved
            }
            _ => true,
        });
    }

    /// Whether a reserved target was added with `route`.
    pub(in crate::network) fn has_reserved(&self, route: &Route) -> bool {
        let mut targets = self.targets.values();
        targets.any(|target| target.source == Source::Reserved && target.route == *route)
    }

    /// We ourselves answered at `address` of a target: it is not dialled there again, even if it was given by hand.
    pub(in crate::network) fn forget_ourselves(&mut self, id: TargetId, address: &Multiaddr) {
        if let Some(target) = self.targets.get_mut(&id)
            && let Route::Addresses { addresses, .. } = &mut target.route
        {
            addresses.retain(|other| other != address);
            if addresses.is_empty() {
                self.targets.remove(&id);
            }
        }
    }

    /// Removes targets that were added with `route`; returns the peers they lead to, of which there are none yet where nobody
    /// was reached, or `None` where there is no such target.
    pub(in crate::network) fn remove(&mut self, route: &Route) -> Option<Vec<PeerId>> {
        let mut peers = Vec::new();
        let mut found = false;
        self.targets.retain(|_, target| {
            let same = target.route == *route;
            found |= same;
            if same {
                peers.extend(target.route.peer());
                peers.append(&mut target.peers);
            }
            !same
        });
        found.then_some(peers)
    }

    /// Whether `peer` is reached through a reserved target.
    pub(in crate::network) fn is_reserved(&self, peer: &PeerId) -> bool {
        self.targets
            .values()
            .any(|target| target.source == Source::Reserved && target.leads_to(peer))
    }

    /// Whether an attempt for this target is reserved.
    pub(in crate::network) fn is_reserved_target(&self, id: TargetId) -> bool {
        self.targets
            .get(&id)
            .is_some_and(|target| target.source == Source::Reserved)
    }
}

/// The address that others can use to reach a peer that we see at `seen` and that says it listens
/// on `listens`: the one with the IP that we see it at.
pub(in crate::network) fn reachable(seen: &Multiaddr, listens: &[Multiaddr]) -> Option<Multiaddr> {
    let ip = ip_of(seen)?;
    let usable = |address: &&Multiaddr| ip_of(address) == Some(ip) && address.iter().count() == 2;
    listens
        .iter()
        .map(super::strip_peer_id)
        .collect::<Vec<_>>()
        .iter()
        .find(usable)
        .cloned()
        .filter(|_| !ip.is_unspecified() && (is_local(ip) || !ip.is_multicast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Multiaddr {
        format!("/ip4/10.0.0.{last}/tcp/7667").parse().unwrap()
    }

    fn route(last: u8) -> Route {
        Route::Addresses {
            addresses: vec![address(last)],
            peer: None,
        }
    }

    /// The times at which a target that never answers is dialled.
    fn attempts(source: Source, until: u64) -> Vec<u64> {
        let mut dialer = Dialer::default();
        let id = dialer.add(source, route(1), 0).unwrap();
        let mut times = Vec::new();
        for now in (0..until).step_by(100) {
            if !dialer.due(now, 0, |_| false).is_empty() {
                times.push(now);
                dialer.failed(now, id);
            }
        }
        times
    }

    #[test]
    fn reserved_peers_are_dialled_every_few_seconds() {
        let times = attempts(Source::Reserved, 600_000);
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[0] <= 1_300);
        assert!(gaps.iter().all(|gap| *gap <= 12_600), "{gaps:?}");
    }

    #[test]
    fn bootnodes_are_dialled_ever_less_often() {
        let times = attempts(Source::Bootnode, 3_600_000);
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((5_000..=6_400).contains(&gaps[0]));
        assert!(gaps.iter().all(|gap| *gap <= 375_100));
        assert!(times.len() < 25);
    }

    #[test]
    fn a_lost_peer_is_dialled_within_seconds_even_when_the_places_are_taken() {
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        for i in 0..20 {
            dialer.learn(Source::Known, PeerId::random(), address(100 + i), u64::MAX);
        }
        dialer.learn(Source::Known, peer, address(1), 0);
        assert!(dialer.due(0, OUTBOUND_TARGET, |_| false).is_empty());
        let (id, _) = dialer.due(0, 0, |_| false)[0];
        dialer.connected(0, id, peer);
        dialer.lost(50_000, &peer);
        let mut dials = 0;
        for now in (50_000..110_000).step_by(100) {
            for (id, _) in dialer.due(now, OUTBOUND_TARGET, |_| false) {
                dials += 1;
                dialer.failed(now, id);
            }
        }
        assert!(dials >= 6, "{dials} attempts in a minute");
    }

    #[test]
    fn connected_peers_are_not_dialled() {
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        let id = dialer.add(Source::Reserved, route(1), 0).unwrap();
        assert_eq!(dialer.due(0, 0, |_| false).len(), 1);
        assert!(
            dialer.due(0, 0, |_| false).is_empty(),
            "one attempt at a time"
        );
        dialer.connected(0, id, peer);
        assert!(dialer.due(99_999, 0, |other| *other == peer).is_empty());
        assert!(dialer.is_reserved(&peer));
        dialer.lost(100_000, &peer);
        assert!(dialer.due(100_999, 0, |_| false).is_empty());
        assert_eq!(dialer.due(101_000, 0, |_| false).len(), 1);
    }

    #[test]
    fn a_target_can_be_removed_before_anybody_was_reached() {
        let mut dialer = Dialer::default();
        assert_eq!(dialer.remove(&route(1)), None);
        dialer.add(Source::Known, route(1), 0).unwrap();
        assert!(!dialer.has_reserved(&route(1)));
        dialer.add(Source::Reserved, route(1), 0).unwrap();
        assert!(dialer.has_reserved(&route(1)) && !dialer.has_reserved(&route(2)));
        assert_eq!(dialer.remove(&route(1)), Some(Vec::new()));
        assert_eq!(dialer.remove(&route(1)), None);
    }

    #[test]
    fn strangers_are_left_alone() {
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        dialer.learn(Source::Local, peer, address(1), 0);
        let (id, _) = dialer.due(0, 0, |_| false)[0];
        dialer.connected(0, id, peer);
        dialer.bar(0, &peer, 3_600_000);
        dialer.lost(1, &peer);
        assert!(dialer.due(3_599_999, 0, |_| false).is_empty());
        assert_eq!(dialer.due(3_600_000, 0, |_| false).len(), 1);
    }

    /// A node was away for a night; its address is the old one, and it waited up to 5 min to be dialled.
    #[test]
    fn a_peer_that_mdns_sees_again_is_dialled_at_once() {
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        dialer.learn(Source::Local, peer, address(1), 0);
        let mut now = 0;
        for _ in 0..200 {
            while dialer.due(now, 0, |_| false).is_empty() {
                now += 1_000;
            }
            let id = *dialer.targets.keys().next().unwrap();
            dialer.failed(now, id);
        }
        assert!(dialer.due(now + 200_000, 0, |_| false).is_empty());
        dialer.learn(Source::Known, peer, address(1), now);
        assert!(dialer.due(now, 0, |_| false).is_empty());
        dialer.learn(Source::Local, peer, address(1), now);
        let (id, _) = dialer.due(now, 0, |_| false)[0];
        dialer.failed(now, id);
        assert_eq!(dialer.due(now + 2_000, 0, |_| false).len(), 1);
    }

    #[test]
    fn a_reserved_target_that_is_ourselves_is_dropped() {
        let mut dialer = Dialer::default();
        let id = dialer.add(Source::Reserved, route(1), 0).unwrap();
        dialer.due(0, 0, |_| false);
        dialer.failed(0, id);
        dialer.forget_ourselves(id, &address(1));
        assert!(dialer.due(99_999, 0, |_| false).is_empty());
    }

    #[test]
    fn a_listening_address_counts_only_with_the_ip_we_see() {
        let seen: Multiaddr = "/ip4/10.0.0.5/tcp/50123".parse().unwrap();
        let listens = [address(9), "/ip4/10.0.0.5/tcp/7667".parse().unwrap()];
        assert_eq!(reachable(&seen, &listens), Some(listens[1].clone()));
        assert_eq!(reachable(&seen, &listens[..1]), None);
    }
}
