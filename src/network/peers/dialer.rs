//! Whom to dial, and when: a schedule without I/O.
//!
//! Delays between attempts to one target are 1 s × 2^n up to 10 s for reserved peers, for peers
//! found by mDNS, and for any peer lost less than 10 minutes ago, so that local networks and cut
//! links heal within seconds; and 5 s × 2^n up to 5 min for bootnodes and known peers.

use std::collections::{BTreeMap, HashMap, HashSet};

use libp2p::{Multiaddr, PeerId};

use super::{address::Route, addresses::Group};
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
    /// By hand: dialled once, whether or not there is a place.
    Once,
    /// `--bootnode`.
    Bootnode,
    /// mDNS.
    Local,
    /// Reached before, or told by itself.
    Known,
    /// Another peer told of it: dialled once, and then known or forgotten.
    Heard,
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

    /// Whether it has to fit among the groups of the others: nobody asked for it.
    fn is_found(&self) -> bool {
        matches!(self.source, Source::Known | Source::Heard)
    }

    /// The group of its first address, unless it is local or a name.
    fn group(&self) -> Option<Group> {
        let Route::Addresses { addresses, .. } = &self.route else {
            return None;
        };
        let group = addresses.first().and_then(Group::of_address);
        group.filter(|group| *group != Group::Local)
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
    /// Outbound connections beyond the usual number that are wanted.
    extra: usize,
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
            if source == Source::Once {
                // It stays what it is, and does not wait for a place.
                target.lost_until = when + LOST;
                target.failures = 0;
                target.next = when;
                return Some(*id);
            }
            target.source = target.source.min(source);
            target.next = target.next.min(when);
            return Some(*id);
        }
        if self.targets.len() >= MAX_TARGETS && !self.drop_worst() {
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

    /// Of the targets that nobody asked for, the one that failed most goes.
    fn drop_worst(&mut self) -> bool {
        let idle = self
            .targets
            .iter()
            .filter(|(_, t)| t.is_found() && t.busy == 0);
        let worst = idle.max_by_key(|(_, target)| target.failures);
        let worst = worst
            .filter(|(_, target)| target.failures > 0)
            .map(|(id, _)| *id);
        worst.is_some_and(|id| self.targets.remove(&id).is_some())
    }

    /// Wants so many outbound connections more than usual.
    pub(in crate::network) fn set_extra(&mut self, extra: usize) {
        self.extra = extra;
    }

    /// Whether `peer` is a target.
    pub(in crate::network) fn knows(&self, peer: &PeerId) -> bool {
        self.targets.values().any(|target| target.leads_to(peer))
    }

    /// How many more targets are of use: places for outbound connections for which no dial is due or under way.
    pub(in crate::network) fn wants(&self, now: u64, outbound: usize) -> usize {
        let at_hand = self
            .targets
            .values()
            .filter(|target| target.busy > 0 || target.failures == 0 && target.next > now)
            .count();
        let aim = if self.targets.len() <= CONNECT_TO_ALL {
            CONNECT_TO_ALL
        } else {
            OUTBOUND_TARGET + self.extra
        };
        aim.saturating_sub(outbound + at_hand)
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
    ///
    /// With more than a few nodes, of the targets that nobody asked for each group (see [`Group`]) gets its share of the
    /// outbound places, counted with `groups`, those of the outbound connections there are: of eight groups or more each one
    /// place, whatever was lost lately. Else who has many addresses in one place could be all that we are connected to.
    pub(in crate::network) fn due(
        &mut self,
        now: u64,
        outbound: usize,
        groups: &[Group],
        connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<(TargetId, Route)> {
        let known = self
            .targets
            .values()
            .filter(|t| t.barred_until <= now)
            .count();
        let dialling: usize = self.targets.values().map(|target| target.busy).sum();
        let mut free = (OUTBOUND_TARGET + self.extra).saturating_sub(outbound + dialling);
        if known <= CONNECT_TO_ALL {
            free = free.max(CONNECT_TO_ALL);
        }
        let all_groups: HashSet<Group> = self.targets.values().filter_map(Target::group).collect();
        let share = if known <= CONNECT_TO_ALL {
            usize::MAX
        } else {
            OUTBOUND_TARGET.div_ceil(all_groups.len().max(1))
        };
        let mut taken: HashMap<Group, usize> = HashMap::new();
        let busy = self.targets.values().filter(|target| target.busy > 0);
        let under_way = busy.filter_map(Target::group);
        for group in groups.iter().copied().chain(under_way) {
            *taken.entry(group).or_default() += 1;
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
            let waits = !matches!(source, Source::Reserved | Source::Once) && not_lost;
            if waits && free == 0 {
                continue;
            }
            let Some(target) = self.targets.get_mut(&id) else {
                continue;
            };
            if let Some(group) = target.group().filter(|_| target.is_found()) {
                let count = taken.entry(group).or_default();
                if *count >= share {
                    continue;
                }
                *count += 1;
            }
            if waits {
                free -= 1;
            }
            target.busy = 1;
            due.push((id, target.route.clone()));
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
        if target.busy == 0 && matches!(target.source, Source::Once | Source::Heard) {
            self.targets.remove(&id);
        } else if target.busy == 0 {
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
            if matches!(target.source, Source::Once | Source::Heard) {
                target.source = Source::Known;
            }
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

    /// Ends what [`Self::bar`] began.
    pub(in crate::network) fn unbar(&mut self, peer: &PeerId) {
        for target in self.targets.values_mut().filter(|t| t.leads_to(peer)) {
            target.barred_until = 0;
        }
    }

    /// The reserved targets, each with the peers that it leads to.
    pub(in crate::network) fn reserved(&self) -> Vec<(Route, Vec<PeerId>)> {
        let targets = self.targets.values();
        targets
            .filter(|target| target.source == Source::Reserved)
            .map(|target| {
                let mut peers = target.peers.clone();
                peers.extend(target.route.peer().filter(|peer| !peers.contains(peer)));
                (target.route.clone(), peers)
            })
            .collect()
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

#[cfg(test)]
mod tests;
