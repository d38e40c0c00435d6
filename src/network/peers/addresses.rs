//! The table of known addresses: a state machine without clock, file and randomness of its own.
//!
//! A peer is *reached* once we dialled it with success, else it was only *heard* of: from another peer, or from itself. What was
//! heard never displaces what was reached, and takes its share of the table by group (the /16 of an IPv4 address, the /32 of an
//! IPv6 address), both of the address and of who told it. So whoever has few networks has few places, however much he sends,
//! and of those that we dial or give on he gets the share of his groups, not of his addresses.
//!
//! Private addresses are one group of their own: only who has a private address himself can tell or be told them, and loopback
//! addresses stay on the machine. So local networks fill by themselves, and nobody outside makes us knock at doors inside.
//!
//! Times are Unix seconds. What a peer tells of them is capped.

use std::{
    collections::{BTreeMap, HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::IpAddr,
};

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

use super::address::{ip_of, is_dialable, is_local};

/// Addresses in all.
const MAX_ADDRESSES: usize = 1_000;
/// Peers that were reached; the one reached the longest ago makes room. The rest is for what is heard.
const MAX_REACHED: usize = 500;
/// Reached peers of one public group.
const MAX_REACHED_PER_GROUP: usize = 16;
/// Peers of one public group that were heard of.
const MAX_PER_GROUP: usize = 32;
/// Peers that one public group of sources has told of.
const MAX_PER_SOURCE: usize = 128;
/// Peers with private addresses that were heard of: a local network of the largest size this is made for.
const MAX_LOCAL: usize = 500;
/// Addresses of one peer; the oldest makes room.
const MAX_PER_PEER: usize = 4;
/// Failed dials after which what was only heard is forgotten.
const MAX_HEARD_FAILURES: u32 = 3;
/// Failed dials after which a peer is forgotten that was not reached for [`UNREACHED`].
const MAX_FAILURES: u32 = 10;
/// A week.
const UNREACHED: u64 = 7 * 86_400;
/// What nobody saw for so long is forgotten.
const OLD: u64 = 30 * 86_400;
/// What is told counts as so much older: fresh news are what we see ourselves.
const TOLD_AGE: u64 = 2 * 3_600;
/// Clocks may differ by this much.
const CLOCKS_DIFFER: u64 = 600;
/// How old a told time counts that cannot be right.
const WRONG_TIME_AGE: u64 = 5 * 86_400;
/// What was only heard is dialled again after this time.
const RETRY: u64 = 600;

/// Addresses that one owner can be assumed to have many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(in crate::network) enum Group {
    /// Loopback, private and link-local.
    Local,
    /// The /16.
    V4(u16),
    /// The /32.
    V6(u32),
}

impl Group {
    pub(in crate::network) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if is_local(ip) => Self::Local,
            IpAddr::V4(ip) => Self::V4(u16::try_from(ip.to_bits() >> 16).unwrap_or(u16::MAX)),
            IpAddr::V6(ip) => Self::V6(u32::try_from(ip.to_bits() >> 96).unwrap_or(u32::MAX)),
        }
    }

    /// The group of an address with an IP.
    pub(in crate::network) fn of_address(address: &Multiaddr) -> Option<Self> {
        ip_of(address).map(Self::of)
    }
}

/// Whether `address` may pass between us and a peer at `ip`, in either direction.
fn may_pass(ip: IpAddr, address: &Multiaddr) -> bool {
    let reach = |ip: IpAddr| match ip.to_canonical() {
        ip if ip.is_loopback() => 0,
        ip if is_local(ip) => 1,
        _ => 2,
    };
    ip_of(address).is_some_and(|told| reach(told) >= reach(ip))
}

/// What is known of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    /// The newest last.
    addresses: Vec<Multiaddr>,
    last_seen: u64,
    /// When we last dialled it with success; 0 for never.
    #[serde(default)]
    reached: u64,
    /// When we last dialled it in vain; 0 for never.
    #[serde(default)]
    failed: u64,
    /// How often in a row.
    #[serde(default)]
    failures: u32,
    /// Who told of it first.
    #[serde(default = "local")]
    source: Group,
}

fn local() -> Group {
    Group::Local
}

impl Known {
    fn group(&self) -> Group {
        let newest = self.addresses.last().and_then(Group::of_address);
        newest.unwrap_or(Group::Local)
    }

    fn add(&mut self, address: &Multiaddr) {
        if !self.addresses.contains(address) {
            if self.addresses.len() >= MAX_PER_PEER {
                self.addresses.remove(0);
            }
            self.addresses.push(address.clone());
        }
    }
}

/// A known peer and where it may be.
pub(in crate::network) type Located = (PeerId, Vec<Multiaddr>);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::network) struct AddressTable {
    peers: BTreeMap<PeerId, Known>,
}

impl AddressTable {
    /// Peers in it.
    pub(in crate::network) fn len(&self) -> usize {
        self.peers.len()
    }

    fn addresses(&self) -> usize {
        self.peers.values().map(|known| known.addresses.len()).sum()
    }

    /// We dialled `peer` at `address`, and it was there.
    pub(in crate::network) fn reached(&mut self, peer: PeerId, address: &Multiaddr, now: u64) {
        if !is_dialable(address) {
            return;
        }
        let is_new = self.peers.get(&peer).is_none_or(|known| known.reached == 0);
        let group = Group::of_address(address).unwrap_or(Group::Local);
        if is_new {
            self.make_room_reached(group);
        }
        let known = self.peers.entry(peer).or_insert_with(|| Known {
            addresses: Vec::new(),
            last_seen: now,
            reached: now,
            failed: 0,
            failures: 0,
            source: group,
        });
        known.reached = now;
        known.last_seen = known.last_seen.max(now);
        known.failures = 0;
        known.add(address);
        while self.addresses() > MAX_ADDRESSES && self.drop_heard() {}
    }

    /// The reached peer that was reached the longest ago goes, where there are too many: of the group, or of all.
    fn make_room_reached(&mut self, group: Group) {
        let reached = || self.peers.iter().filter(|(_, known)| known.reached > 0);
        let of_group = || reached().filter(|(_, known)| known.group() == group);
        let oldest = if group != Group::Local && of_group().count() >= MAX_REACHED_PER_GROUP {
            of_group().min_by_key(|(_, known)| known.reached)
        } else if reached().count() >= MAX_REACHED {
            reached().min_by_key(|(_, known)| known.reached)
        } else {
            None
        };
        if let Some(oldest) = oldest.map(|(id, _)| *id) {
            self.peers.remove(&oldest);
        }
    }

    /// A connected peer says that it listens at `address`, which has the IP that we see it at.
    pub(in crate::network) fn identified(&mut self, peer: PeerId, address: &Multiaddr, now: u64) {
        let Some(ip) = ip_of(address) else { return };
        match self.peers.get_mut(&peer) {
            Some(known) if is_dialable(address) => {
                known.last_seen = known.last_seen.max(now);
                known.add(address);
                while self.addresses() > MAX_ADDRESSES && self.drop_heard() {}
            }
            Some(_) => {}
            None => {
                self.take(peer, address, now, Group::of(ip));
            }
        }
    }

    /// The peer at `source` tells of another one that it saw at `claimed`. Answers whether that is news.
    pub(in crate::network) fn heard(
        &mut self,
        peer: PeerId,
        address: &Multiaddr,
        claimed: u64,
        now: u64,
        source: IpAddr,
    ) -> bool {
        if !may_pass(source, address) {
            return false;
        }
        let seen = if claimed > now.saturating_add(CLOCKS_DIFFER) {
            now.saturating_sub(WRONG_TIME_AGE)
        } else {
            claimed.min(now).saturating_sub(TOLD_AGE)
        };
        if seen.saturating_add(OLD) < now {
            return false;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            // Others tell us when it was seen; where, only what we know already.
            if known.addresses.contains(address) {
                known.last_seen = known.last_seen.max(seen);
            }
            return false;
        }
        self.take(peer, address, seen, Group::of(source))
    }

    /// Takes in what was heard, if there is a place for it.
    fn take(&mut self, peer: PeerId, address: &Multiaddr, seen: u64, source: Group) -> bool {
        if !is_dialable(address) {
            return false;
        }
        let Some(group) = Group::of_address(address) else {
            return false;
        };
        let heard = || self.peers.values().filter(|known| known.reached == 0);
        let of_group = heard().filter(|known| known.group() == group).count();
        let of_source = heard().filter(|known| known.source == source).count();
        let most = |group, public| {
            if group == Group::Local {
                MAX_LOCAL
            } else {
                public
            }
        };
        if of_group >= most(group, MAX_PER_GROUP) || of_source >= most(source, MAX_PER_SOURCE) {
            return false;
        }
        if self.addresses() >= MAX_ADDRESSES && !self.drop_heard() {
            return false;
        }
        let known = Known {
            addresses: vec![address.clone()],
            last_seen: seen,
            reached: 0,
            failed: 0,
            failures: 0,
            source,
        };
        self.peers.insert(peer, known);
        true
    }

    /// Of the group that has the most of what was heard, what was not seen for the longest goes.
    fn drop_heard(&mut self) -> bool {
        let mut sizes: HashMap<Group, usize> = HashMap::new();
        let heard = || self.peers.iter().filter(|(_, known)| known.reached == 0);
        for (_, known) in heard() {
            *sizes.entry(known.group()).or_default() += 1;
        }
        let Some((largest, _)) = sizes.iter().max_by_key(|(group, size)| (**size, **group)) else {
            return false;
        };
        let oldest = heard()
            .filter(|(_, known)| known.group() == *largest)
            .min_by_key(|(_, known)| known.last_seen)
            .map(|(id, _)| *id);
        oldest.is_some_and(|oldest| self.peers.remove(&oldest).is_some())
    }

    /// A dial failed.
    pub(in crate::network) fn failed(&mut self, peer: &PeerId, now: u64) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        known.failures = known.failures.saturating_add(1);
        known.failed = now;
        let is_bad = if known.reached == 0 {
            known.failures >= MAX_HEARD_FAILURES
        } else {
            known.failures >= MAX_FAILURES && known.reached.saturating_add(UNREACHED) < now
        };
        if is_bad {
            self.peers.remove(peer);
        }
    }

    /// Somebody else answers at this address of a peer.
    pub(in crate::network) fn forget(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.addresses.retain(|other| other != address);
            if known.addresses.is_empty() {
                self.peers.remove(peer);
            }
        }
    }

    /// Forgets what nobody saw for a month.
    pub(in crate::network) fn expire(&mut self, now: u64) {
        self.peers
            .retain(|_, known| known.last_seen.saturating_add(OLD) >= now);
    }

    /// Peers that were reached, the last first.
    pub(in crate::network) fn all_reached(&self) -> Vec<Located> {
        let mut reached: Vec<_> = self.peers.iter().filter(|(_, k)| k.reached > 0).collect();
        reached.sort_by_key(|(_, known)| std::cmp::Reverse(known.reached));
        reached
            .into_iter()
            .map(|(peer, known)| (*peer, known.addresses.clone()))
            .collect()
    }

    /// Up to `most` peers to dial that were only heard of, spread over groups; `salt` decides which.
    pub(in crate::network) fn candidates(
        &self,
        now: u64,
        salt: u64,
        most: usize,
        skip: impl Fn(&PeerId) -> bool,
    ) -> Vec<Located> {
        let rests = |known: &Known| known.failures > 0 && known.failed + RETRY > now;
        let usable = self
            .peers
            .iter()
            .filter(|(peer, known)| known.reached == 0 && !rests(known) && !skip(peer));
        let chosen = spread(usable.collect(), salt, most);
        let located = chosen
            .into_iter()
            .map(|(peer, known)| (*peer, known.addresses.clone()));
        located.collect()
    }

    /// Up to `most` addresses for a peer at `ip`, with the times they were seen, spread over groups; `salt` decides which.
    pub(in crate::network) fn give(
        &self,
        salt: u64,
        most: usize,
        ip: IpAddr,
        to: &PeerId,
    ) -> Vec<(PeerId, Multiaddr, u64)> {
        let address = |known: &Known| {
            let mut newest_first = known.addresses.iter().rev();
            newest_first.find(|address| may_pass(ip, address)).cloned()
        };
        let usable = self
            .peers
            .iter()
            .filter(|(peer, known)| *peer != to && known.failures == 0 && address(known).is_some());
        let chosen = spread(usable.collect(), salt, most);
        let given = chosen
            .into_iter()
            .filter_map(|(peer, known)| Some((*peer, address(known)?, known.last_seen)));
        given.collect()
    }

    /// For the file.
    pub(super) fn to_file(&self) -> FilePeers {
        let peers = self.peers.iter();
        FilePeers(
            peers
                .map(|(id, known)| (id.to_string(), known.clone()))
                .collect(),
        )
    }

    /// From the file: what breaks the limits is left out.
    pub(super) fn from_file(file: FilePeers) -> Self {
        let mut table = Self::default();
        for (id, mut known) in file.0 {
            known.addresses.truncate(MAX_PER_PEER);
            known.addresses.retain(is_dialable);
            if let Ok(id) = id.parse()
                && !known.addresses.is_empty()
                && table.addresses() + known.addresses.len() <= MAX_ADDRESSES
            {
                table.peers.insert(id, known);
            }
        }
        table
    }
}

/// Peers as they stand in the file, by their ids.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FilePeers(BTreeMap<String, Known>);

/// Up to `most` of them: one of each group, then another of each, in an order that `salt` decides. The local group has no
/// others beside it that compete, so where there are private addresses alone they are taken as they come.
fn spread<'a>(
    all: Vec<(&'a PeerId, &'a Known)>,
    salt: u64,
    most: usize,
) -> Vec<(&'a PeerId, &'a Known)> {
    let rank = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value(&mut hasher);
        hasher.finish()
    };
    let mut groups: BTreeMap<Group, Vec<(u64, &PeerId, &Known)>> = BTreeMap::new();
    for (peer, known) in all {
        let order = rank(&|hasher| peer.hash(hasher));
        let group = groups.entry(known.group()).or_default();
        group.push((order, peer, known));
    }
    let mut placed = Vec::new();
    for (group, mut members) in groups {
        members.sort_by_key(|member| member.0);
        let order = rank(&|hasher| group.hash(hasher));
        let rounds = members.into_iter().enumerate();
        placed.extend(rounds.map(|(round, (_, peer, known))| ((round, order), peer, known)));
    }
    placed.sort_by_key(|member| member.0);
    placed.truncate(most);
    placed
        .into_iter()
        .map(|(_, peer, known)| (peer, known))
        .collect()
}

#[cfg(test)]
mod tests;
