//! Who is refused, and until when: peers by their ids, hosts by their addresses.
//!
//! Bans are given for misbehaviour (1 h, 12 h, 24 h) or by hand. A state machine without clock and file; the book keeps it.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    net::IpAddr,
    str::FromStr,
};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::network::error::AddressError;

/// Bans; the one that ends first makes room.
pub(super) const MAX_BANS: usize = 1_000;

/// Addresses with the same first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The first address: all bits behind the prefix are zero.
    ip: IpAddr,
    bits: u32,
}

impl Subnet {
    /// One address; an IPv4 address in IPv6 form is the IPv4 address.
    pub fn host(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self {
            ip,
            bits: width(ip),
        }
    }

    /// Whether `ip` is one of its addresses.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.ip.is_ipv4() && masked(ip, self.bits) == self.ip
    }
}

fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits behind the first `bits` cleared.
fn masked(ip: IpAddr, bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

impl Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

impl FromStr for Subnet {
    type Err = AddressError;

    /// Reads `10.0.0.7`, `10.0.0.0/8` or an IPv6 address or prefix.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fail = || AddressError {
            input: text.chars().take(80).collect(),
            reason: "expected a peer's id, an address such as 10.0.0.7, or 10.0.0.0/8".into(),
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| fail())?;
        let Some(prefix) = prefix else {
            return Ok(Self::host(ip));
        };
        let bits: u32 = prefix.parse().map_err(|_| fail())?;
        if bits > width(ip) {
            return Err(fail());
        }
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
        let (ip, bits) = match (ip.to_canonical(), bits.checked_sub(96)) {
            (v4 @ IpAddr::V4(_), Some(bits)) if ip.is_ipv6() => (v4, bits),
            _ => (ip, bits),
        };
        Ok(Self {
            ip: masked(ip, bits),
            bits,
        })
    }
}

/// Whom a ban is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BanTarget {
    /// A peer, wherever it is.
    Peer(PeerId),
    /// Whoever has such an address.
    Subnet(Subnet),
}

impl Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => peer.fmt(f),
            Self::Subnet(subnet) => subnet.fmt(f),
        }
    }
}

impl FromStr for BanTarget {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.parse() {
            Ok(peer) => Ok(Self::Peer(peer)),
            Err(_) => text.parse().map(Self::Subnet),
        }
    }
}

/// A ban, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanEntry {
    /// When it was given; 0 where a file does not tell.
    #[serde(default)]
    pub created: u64,
    /// When it ends.
    pub until: u64,
    /// How many times this peer was banned for misbehaviour.
    pub times: u32,
}

/// All bans, by the text of whom they are for: as they stand in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bans(BTreeMap<String, BanEntry>);

impl Bans {
    /// Counts a ban of `peer` and returns it: 1 h, 12 h, then 24 h.
    pub(super) fn punish(&mut self, peer: PeerId, unix: u64) -> BanEntry {
        let ban = self.entry(&BanTarget::Peer(peer), unix);
        ban.times = ban.times.saturating_add(1);
        let hours = match ban.times {
            1 => 1,
            2 => 12,
            _ => 24,
        };
        ban.until = ban.until.max(unix.saturating_add(hours * 3_600));
        *ban
    }

    /// Bans until a time.
    pub(super) fn set(&mut self, target: &BanTarget, unix: u64, until: u64) {
        self.entry(target, unix).until = until;
    }

    fn entry(&mut self, target: &BanTarget, unix: u64) -> &mut BanEntry {
        let key = target.to_string();
        if self.0.len() >= MAX_BANS && !self.0.contains_key(&key) {
            let first = self.0.iter().min_by_key(|entry| entry.1.until);
            if let Some(first) = first.map(|entry| entry.0.clone()) {
                self.0.remove(&first);
            }
        }
        let ban = self.0.entry(key).or_insert(BanEntry {
            created: unix,
            until: 0,
            times: 0,
        });
        if ban.until <= unix {
            ban.created = unix;
        }
        ban
    }

    /// Ends a ban. Answers whether there was one at `unix`.
    pub(super) fn remove(&mut self, target: &BanTarget, unix: u64) -> bool {
        let removed = self.0.remove(&target.to_string());
        removed.is_some_and(|ban| ban.until > unix)
    }

    /// Ends all bans.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Bans that have not ended at `unix`.
    pub(super) fn at(&self, unix: u64) -> Vec<(BanTarget, BanEntry)> {
        let bans = self.0.iter().filter(|(_, ban)| ban.until > unix);
        bans.filter_map(|(target, ban)| Some((target.parse().ok()?, *ban)))
            .collect()
    }

    /// Drops what a file has too many of.
    pub(super) fn truncate(&mut self) {
        while self.0.len() > MAX_BANS {
            self.0.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_grow() {
        let mut bans = Bans::default();
        let peer = PeerId::random();
        let hours: Vec<_> = (0..4).map(|_| bans.punish(peer, 0).until / 3_600).collect();
        assert_eq!(hours, [1, 12, 24, 24]);
    }

    /// P20: an IPv4 address written as IPv6 is the same address.
    #[test]
    fn p20_subnets_are_read_and_hold_what_they_say() {
        let subnet = |text: &str| text.parse::<Subnet>().expect(text);
        for (text, shown) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(subnet(text).to_string(), shown);
            assert_eq!(subnet(shown), subnet(text), "what is shown is read");
        }
        let holds = |text: &str, ip: &str| subnet(text).contains(ip.parse().expect(ip));
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(!holds("::/0", "10.0.0.1") && !holds("0.0.0.0/0", "::2"));
        for text in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/x", "host"] {
            assert!(text.parse::<BanTarget>().is_err(), "{text}");
        }
    }

    #[test]
    fn bans_by_hand_end_when_they_are_said_to() {
        let mut bans = Bans::default();
        let target: BanTarget = "10.0.0.0/8".parse().expect("a subnet");
        bans.set(&target, 100, 200);
        assert_eq!(bans.at(199)[0].0, target);
        assert!(bans.at(200).is_empty() && !bans.remove(&target, 200));
        bans.set(&target, 300, 400);
        assert_eq!(bans.at(300)[0].1.created, 300, "a new ban");
        assert!(bans.remove(&target, 300) && !bans.remove(&target, 300));
    }

    #[test]
    fn bans_are_bounded() {
        let mut bans = Bans::default();
        for i in 0..1_100 {
            bans.punish(PeerId::random(), i);
        }
        assert_eq!(bans.at(0).len(), MAX_BANS);
    }
}
