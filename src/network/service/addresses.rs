//! Addresses of peers: asked for, given, taken in and tried; and our own.

use libp2p::{Multiaddr, PeerId, identify};

use super::{Outgoing, Service};
use crate::{
    network::{
        limits::{ADDRESSES_PERIOD, OUTBOUND_TARGET},
        peers::{Source, ip_of, reachable, strip_peer_id},
    },
    primitives::unix_now,
    wire::{PeerAddress, Request, limits::MAX_ADDRESSES},
};

/// Who has all the connections it wants asks this often, milliseconds.
const CONTENT: u64 = 1_800_000;
/// More than the quota's period, since the other's clock began a moment later than ours.
const MARGIN: u64 = 30_000;
/// Own addresses that are given.
const MAX_OWN: usize = 2;

impl Service {
    /// Asks those that we chose for addresses: as soon as they have greeted, and again after a while.
    pub(super) fn ask_for_addresses(&mut self, now: u64) {
        if !self.config.ask_addresses {
            return;
        }
        let pause = if self.peers.outbound() < OUTBOUND_TARGET {
            ADDRESSES_PERIOD + MARGIN
        } else {
            CONTENT
        };
        let mut due = Vec::new();
        for (id, peer) in self.peers.iter_mut() {
            if peer.status.is_some() && !peer.inbound() && now >= peer.next_addresses {
                peer.next_addresses = now + pause;
                due.push(*id);
            }
        }
        let most = u32::try_from(MAX_ADDRESSES).unwrap_or(u32::MAX);
        for id in due {
            self.send_request(id, Request::Addresses(most), Outgoing::Addresses);
        }
    }

    /// What a peer may know: our own public addresses, and what its place allows of the book.
    pub(super) fn addresses_for(&self, id: PeerId, most: u32) -> Vec<PeerAddress> {
        let ip = self.peers.get(&id).and_then(|peer| ip_of(peer.address()?));
        let Some(ip) = ip else { return Vec::new() };
        let most = usize::try_from(most).map_or(MAX_ADDRESSES, |most| most.min(MAX_ADDRESSES));
        let local = *self.swarm.local_peer_id();
        let own = self.swarm.external_addresses().take(MAX_OWN);
        let own = own.map(|address| (local, strip_peer_id(address), unix_now()));
        // Another choice for everybody, and the same for one who asks again.
        let salt = self.salt ^ self.peers.get(&id).map_or(0, |peer| peer.key.0);
        let known = self.book.table().give(salt, most, ip, &id);
        own.chain(known)
            .take(most)
            .map(|(peer, address, last_seen)| PeerAddress {
                peer: peer.to_bytes(),
                address: address.to_vec(),
                last_seen,
            })
            .collect()
    }

    /// A peer that we asked has told of others.
    pub(super) fn on_addresses(&mut self, id: PeerId, list: &[PeerAddress]) {
        let source = self.peers.get(&id).and_then(|peer| ip_of(peer.address()?));
        let Some(source) = source else { return };
        let (unix, local) = (unix_now(), *self.swarm.local_peer_id());
        let mut news = 0;
        for one in list {
            let peer = PeerId::from_bytes(&one.peer).ok();
            let address = Multiaddr::try_from(one.address.clone()).ok();
            // What does not read may be of a later version.
            let (Some(peer), Some(address)) = (peer, address) else {
                continue;
            };
            if peer == local || self.swarm.behaviour().gate.refuses(&peer) {
                continue;
            }
            let table = self.book.table_mut();
            news += usize::from(table.heard(peer, &address, one.last_seen, unix, source));
        }
        tracing::debug!(peer = %id, told = list.len(), news, "addresses");
    }

    /// Hands the dialler what it lacks from what was heard.
    pub(super) fn find_candidates(&mut self, now: u64) {
        let tip = self.chain.reader().tip().hash;
        let spacing = self.chain.reader().spec().target_spacing;
        self.dialer.set_extra(self.stale.extra(now, tip, spacing));
        let wants = self.dialer.wants(now, self.peers.outbound());
        if wants == 0 {
            return;
        }
        let gate = &self.swarm.behaviour().gate;
        let skip = |peer: &PeerId| {
            self.peers.contains(peer) || self.dialer.knows(peer) || gate.refuses(peer)
        };
        // The choice changes with time, or what was refused once would be in the way.
        let salt = self.salt.wrapping_add(now);
        let table = self.book.table();
        let candidates = table.candidates(unix_now(), salt, wants, skip);
        for (peer, addresses) in candidates {
            for address in addresses {
                self.dialer.learn(Source::Heard, peer, address, now);
            }
        }
    }

    /// A peer has told where it listens, and where it sees us.
    pub(super) fn learn_from_identify(&mut self, id: PeerId, info: &identify::Info) {
        let now = self.now();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(seen) = peer.address().cloned() else {
            return;
        };
        if let Some(address) = reachable(&seen, &info.listen_addrs) {
            peer.listens = Some(address.clone());
            self.book.table_mut().identified(id, &address, unix_now());
            self.dialer.learn(Source::Known, id, address, now);
        }
        let ours = strip_peer_id(&info.observed_addr);
        if let Some(witness) = ip_of(&seen)
            && self.observed.note(&ours, witness)
        {
            tracing::info!(address = %ours, "several peers see us at this address");
            self.swarm.add_external_address(ours);
        }
    }
}
