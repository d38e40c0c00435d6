//! Where others see us: a public address that peers of several groups name is ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use libp2p::Multiaddr;

use super::{
    address::{ip_of, is_dialable},
    addresses::Group,
};

/// So many groups of peers must name an address. One liar is not believed, nor are several in one place.
const WITNESSES: usize = 3;
/// Addresses that wait to be named again; the one named least makes room.
const MAX_WAITING: usize = 16;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::network) struct Observed {
    waiting: BTreeMap<Multiaddr, BTreeSet<Group>>,
}

impl Observed {
    /// A peer at `witness` sees us at `address`. Answers whether that is believed from now on.
    pub(in crate::network) fn note(&mut self, address: &Multiaddr, witness: IpAddr) -> bool {
        let is_public = ip_of(address).is_some_and(|ip| Group::of(ip) != Group::Local);
        if !is_public || !is_dialable(address) {
            return false;
        }
        if self.waiting.len() >= MAX_WAITING && !self.waiting.contains_key(address) {
            let least = self.waiting.iter().min_by_key(|entry| entry.1.len());
            if let Some(least) = least.map(|entry| entry.0.clone()) {
                self.waiting.remove(&least);
            }
        }
        let witnesses = self.waiting.entry(address.clone()).or_default();
        let is_new = witnesses.len() < WITNESSES && witnesses.insert(Group::of(witness));
        is_new && witnesses.len() == WITNESSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_groups_must_agree() {
        let mut observed = Observed::default();
        let ours: Multiaddr = "/ip4/40.1.1.1/tcp/7667".parse().unwrap();
        let mut note = |witness: &str| observed.note(&ours, witness.parse().unwrap());
        assert!(!note("9.9.1.1") && !note("9.9.2.2") && !note("9.9.3.3"));
        assert!(!note("9.8.1.1") && note("9.7.1.1"));
        assert!(!note("9.6.1.1"), "once is enough");
        let local: Multiaddr = "/ip4/10.0.0.1/tcp/7667".parse().unwrap();
        for i in 0..9 {
            assert!(!observed.note(&local, IpAddr::from([20 + i, 1, 1, 1])));
        }
    }

    #[test]
    fn false_addresses_take_little_room() {
        let mut observed = Observed::default();
        for i in 0..1_000_u16 {
            let [a, b] = i.to_be_bytes();
            let address = format!("/ip4/40.{a}.{b}.1/tcp/7667").parse().unwrap();
            observed.note(&address, IpAddr::from([9, 9, 9, 9]));
        }
        assert_eq!(observed.waiting.len(), MAX_WAITING);
    }
}
