//! Peer addresses as people write them, and as the network shows them.

use std::{
    fmt::{self, Display},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::network::error::AddressError;

/// How to reach a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::network) enum Route {
    /// By name, which is looked up again on every attempt.
    Name {
        /// Host name.
        host: String,
        /// TCP port.
        port: u16,
        /// The id it must have, if given.
        peer: Option<PeerId>,
    },
    /// By addresses with an IP and a TCP port, without `/p2p`.
    Addresses {
        /// Where.
        addresses: Vec<Multiaddr>,
        /// The id it must have, if known.
        peer: Option<PeerId>,
    },
}

impl Route {
    /// The id that the peer must have, if known.
    pub(in crate::network) fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Name { peer, .. } | Self::Addresses { peer, .. } => *peer,
        }
    }

    /// Reads `host:port`, `1.2.3.4:port`, `[::1]:port`, `/ip4/…/tcp/…[/p2p/…]` or
    /// `/dns4/…/tcp/…[/p2p/…]`.
    ///
    /// # Errors
    /// [`AddressError`] names the input and what is wrong with it.
    pub(in crate::network) fn parse(input: &str) -> Result<Self, AddressError> {
        let fail = |reason: String| AddressError {
            input: input.into(),
            reason,
        };
        if input.starts_with('/') {
            let address: Multiaddr = input
                .parse()
                .map_err(|error| fail(format!("not a multiaddress: {error}")))?;
            return Self::from_multiaddr(&address).map_err(|reason| fail(reason.into()));
        }
        if let Ok(address) = input.parse::<SocketAddr>() {
            return Ok(Self::Addresses {
                addresses: vec![socket_address(address)],
                peer: None,
            });
        }
        let (host, port) = input
            .rsplit_once(':')
            .ok_or_else(|| fail("the port is missing".into()))?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| fail(format!("'{port}' is no port from 1 to 65535")))?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || host.len() > 253 || !host.chars().all(allowed) {
            return Err(fail(format!("'{host}' is no host name")));
        }
        Ok(Self::Name {
            host: host.into(),
            port,
            peer: None,
        })
    }

    fn from_multiaddr(address: &Multiaddr) -> Result<Self, &'static str> {
        let mut parts = address.iter();
        let host = parts.next();
        let Some(Protocol::Tcp(port)) = parts.next() else {
            return Err("only TCP is spoken: /tcp/<port> must follow the host");
        };
        let peer = match parts.next() {
            None => None,
            Some(Protocol::P2p(peer)) => Some(peer),
            Some(_) => return Err("only /p2p/<id> may follow the port"),
        };
        if parts.next().is_some() {
            return Err("nothing may follow /p2p/<id>");
        }
        match host {
            Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => Ok(Self::Addresses {
                addresses: vec![strip_peer_id(address)],
                peer,
            }),
            Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
                Ok(Self::Name {
                    host: name.into_owned(),
                    port,
                    peer,
                })
            }
            _ => Err("it must begin with /ip4, /ip6, /dns, /dns4 or /dns6"),
        }
    }
}

impl Display for Route {
    /// In a form that [`Route::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name {
                host,
                port,
                peer: None,
            } => write!(f, "{host}:{port}"),
            Self::Name {
                host,
                port,
                peer: Some(peer),
            } => write!(f, "/dns/{host}/tcp/{port}/p2p/{peer}"),
            Self::Addresses { addresses, peer } => {
                let first = addresses.first();
                match (first.and_then(socket_text), first, peer) {
                    (Some(socket), _, None) => f.write_str(&socket),
                    (_, Some(address), Some(peer)) => write!(f, "{address}/p2p/{peer}"),
                    (_, Some(address), None) => address.fmt(f),
                    (_, None, _) => Ok(()),
                }
            }
        }
    }
}

/// `/ip4/…/tcp/…` or `/ip6/…/tcp/…`.
pub(in crate::network) fn socket_address(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip().to_canonical()).with(Protocol::Tcp(address.port()))
}

/// Whether an address from the network can be dialled: an IP of one machine, and a TCP port.
pub(in crate::network) fn is_dialable(address: &Multiaddr) -> bool {
    let Some(ip) = ip_of(address) else {
        return false;
    };
    let is_one = match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    let has_port = matches!(address.iter().nth(1), Some(Protocol::Tcp(port)) if port != 0);
    is_one && has_port && address.iter().count() == 2
}

/// IP and port as `10.0.0.7:7667` or `[::1]:7667`.
pub(in crate::network) fn socket_text(address: &Multiaddr) -> Option<String> {
    let ip = ip_of(address)?;
    match address.iter().nth(1)? {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(SocketAddr::new(ip, port).to_string()),
        _ => None,
    }
}

/// The IP of an address, IPv4 written as IPv4.
pub(in crate::network) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    }
}

/// The id at the end of an address.
pub(in crate::network) fn peer_id_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last()? {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    }
}

/// The address without ids.
pub(in crate::network) fn strip_peer_id(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)))
        .collect()
}

/// Loopback, private and link-local addresses: the operator's own machines, as a rule.
pub(in crate::network) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip == Ipv6Addr::LOCALHOST || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}

/// The address that others can use to reach a peer that we see at `seen` and that says it listens
/// on `listens`: the one with the IP that we see it at.
pub(in crate::network) fn reachable(seen: &Multiaddr, listens: &[Multiaddr]) -> Option<Multiaddr> {
    let ip = ip_of(seen)?;
    let usable = |address: &&Multiaddr| ip_of(address) == Some(ip) && address.iter().count() == 2;
    listens
        .iter()
        .map(strip_peer_id)
        .collect::<Vec<_>>()
        .iter()
        .find(usable)
        .cloned()
        .filter(|_| !ip.is_unspecified() && (is_local(ip) || !ip.is_multicast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_written_form_is_read() {
        let peer = PeerId::random();
        let ip = |text: &str, peer| Route::Addresses {
            addresses: vec![text.parse().unwrap()],
            peer,
        };
        let name = |host: &str, port, peer| Route::Name {
            host: host.into(),
            port,
            peer,
        };
        let cases = [
            ("1.2.3.4:7667".to_owned(), ip("/ip4/1.2.3.4/tcp/7667", None)),
            ("[::1]:7667".into(), ip("/ip6/::1/tcp/7667", None)),
            ("node_1:7667".into(), name("node_1", 7667, None)),
            ("/ip4/1.2.3.4/tcp/1".into(), ip("/ip4/1.2.3.4/tcp/1", None)),
            (
                format!("/ip4/1.2.3.4/tcp/1/p2p/{peer}"),
                ip("/ip4/1.2.3.4/tcp/1", Some(peer)),
            ),
            (
                format!("/dns4/a.example/tcp/9/p2p/{peer}"),
                name("a.example", 9, Some(peer)),
            ),
        ];
        for (text, route) in cases {
            assert_eq!(Route::parse(&text).unwrap(), route, "{text}");
            assert_eq!(Route::parse(&route.to_string()).unwrap(), route, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":7667",
            "a b:1",
            "/ip4/1.2.3.4",
            "/ip4/1.2.3.4/udp/1",
            "/tcp/1",
            "/ip4/1.2.3.4/tcp/1/ws",
            "/ip4/1.2.3/tcp/1",
        ] {
            let error = Route::parse(text).unwrap_err();
            assert_eq!(error.input, text);
        }
    }

    #[test]
    fn local_addresses_are_told_from_public_ones() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "172.17.0.2",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_local(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!is_local(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_listening_address_counts_only_with_the_ip_we_see() {
        let seen: Multiaddr = "/ip4/10.0.0.5/tcp/50123".parse().unwrap();
        let listens = [
            "/ip4/10.0.0.9/tcp/7667".parse().unwrap(),
            "/ip4/10.0.0.5/tcp/7667".parse().unwrap(),
        ];
        assert_eq!(reachable(&seen, &listens), Some(listens[1].clone()));
        assert_eq!(reachable(&seen, &listens[..1]), None);
    }
}
