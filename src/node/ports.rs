//! Finding ports: a busy default is stepped over, a busy explicit one is an error.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// How many ports above a busy default are tried.
const STEPS: u16 = 100;

/// The default ports of the services; stepping over a busy port leaves out those of the others.
const DEFAULT_PORTS: [u16; 4] = [7667, 7668, 7669, 3333];

/// One of the node's listening services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Peers.
    P2p,
    /// JSON-RPC.
    Rpc,
    /// The read-only web pages.
    Explorer,
    /// External miners.
    Stratum,
}

impl Service {
    /// What it is called in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P2p => "peer-to-peer",
            Self::Rpc => "RPC",
            Self::Explorer => "explorer",
            Self::Stratum => "Stratum",
        }
    }

    /// The flag that says where it listens.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::P2p => "--listen",
            Self::Rpc => "--rpc-listen",
            Self::Explorer => "--explorer-listen",
            Self::Stratum => "--stratum-listen",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::P2p => DEFAULT_PORTS[0],
            Self::Rpc => DEFAULT_PORTS[1],
            Self::Explorer => DEFAULT_PORTS[2],
            Self::Stratum => DEFAULT_PORTS[3],
        }
    }

    /// Peers come from anywhere; the rest is for this machine.
    const fn default_ip(self) -> IpAddr {
        IpAddr::V4(match self {
            Self::P2p => Ipv4Addr::UNSPECIFIED,
            Self::Rpc | Self::Explorer | Self::Stratum => Ipv4Addr::LOCALHOST,
        })
    }
}

/// Where to listen, as told: an address, a port, or both; what is not told is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListenAt {
    /// The address of an interface.
    pub ip: Option<IpAddr>,
    /// The port; 0 takes a free one.
    pub port: Option<u16>,
}

/// A text that says no place to listen at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no place to listen at: expected IP, PORT or IP:PORT, such as 0.0.0.0 or 127.0.0.1:9000"
)]
pub struct ListenAtError(String);

impl FromStr for ListenAt {
    type Err = ListenAtError;

    fn from_str(text: &str) -> Result<Self, ListenAtError> {
        let (ip, port) = if let Ok(whole) = text.parse::<SocketAddr>() {
            (Some(whole.ip()), Some(whole.port()))
        } else if let Ok(ip) = text.parse::<IpAddr>() {
            (Some(ip), None)
        } else if let Ok(port) = text.parse::<u16>() {
            (None, Some(port))
        } else {
            return Err(ListenAtError(text.chars().take(80).collect()));
        };
        Ok(Self { ip, port })
    }
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (Some(ip), Some(port)) => SocketAddr::new(ip, port).fmt(f),
            (Some(ip), None) => ip.fmt(f),
            (None, Some(port)) => port.fmt(f),
            (None, None) => f.write_str("default"),
        }
    }
}

impl<'de> Deserialize<'de> for ListenAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why no port could be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The port that was asked for is busy.
    #[error("cannot listen on {address} for {service}: port {port} is in use by another program; choose another with {flag} IP:PORT", port = .address.port())]
    Busy {
        /// For what.
        service: &'static str,
        /// Where.
        address: SocketAddr,
        /// What to change.
        flag: &'static str,
    },
    /// The default and all that are stepped to are busy.
    #[error("no free port for {service} from {first} to {last}; choose one with {flag} IP:PORT")]
    NoneFree {
        /// For what.
        service: &'static str,
        /// The first tried.
        first: u16,
        /// The last tried.
        last: u16,
        /// What to change.
        flag: &'static str,
    },
    /// The offset leaves the range of ports.
    #[error("--port-offset {offset} is too large: {default} + {offset} is above 65535")]
    Offset {
        /// What was given.
        offset: u16,
        /// The default port.
        default: u16,
    },
    /// Another reason.
    #[error(
        "cannot listen on {address} for {service}: {source}; choose another place with {flag} IP:PORT"
    )]
    Other {
        /// For what.
        service: &'static str,
        /// Where.
        address: SocketAddr,
        /// What to change.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A bound port.
#[derive(Debug)]
pub struct Bound {
    /// The listening socket.
    pub listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
    /// The busy default port that it was stepped over from.
    pub instead_of: Option<u16>,
}

/// Binds the port of a service.
///
/// # Errors
/// [`PortError`], which names the port and the flag that changes it.
pub fn bind(service: Service, at: ListenAt, offset: u16) -> Result<Bound, PortError> {
    let (name, flag) = (service.name(), service.flag());
    let ip = at.ip.unwrap_or(service.default_ip());
    if let Some(port) = at.port {
        let address = SocketAddr::new(ip, port);
        return try_bind(address, None).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => PortError::Busy {
                service: name,
                address,
                flag,
            },
            _ => PortError::Other {
                service: name,
                address,
                flag,
                source,
            },
        });
    }
    let default = service.default_port();
    let first = default
        .checked_add(offset)
        .ok_or(PortError::Offset { offset, default })?;
    let last = first.saturating_add(STEPS);
    let others = DEFAULT_PORTS.map(|port| port.saturating_add(offset));
    for port in first..=last {
        if port != first && others.contains(&port) {
            continue;
        }
        let address = SocketAddr::new(ip, port);
        match try_bind(address, (port != first).then_some(first)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => {
                return Err(PortError::Other {
                    service: name,
                    address,
                    flag,
                    source,
                });
            }
            Ok(bound) => return Ok(bound),
        }
    }
    Err(PortError::NoneFree {
        service: name,
        first,
        last,
        flag,
    })
}

fn try_bind(address: SocketAddr, instead_of: Option<u16>) -> io::Result<Bound> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Bound {
        listener,
        address,
        instead_of,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_in_three_forms() {
        let read = |text: &str| text.parse::<ListenAt>().map(|at| (at.ip, at.port));
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(read("10.0.0.1"), Ok((Some(ip), None)));
        assert_eq!(read("10.0.0.1:5"), Ok((Some(ip), Some(5))));
        assert_eq!(read("5"), Ok((None, Some(5))));
        assert_eq!(read("[::1]:5").unwrap().1, Some(5));
        for bad in ["", "localhost", "1.2.3:4", "70000", "1.2.3.4:70000"] {
            assert!(
                read(bad).unwrap_err().to_string().contains("IP:PORT"),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_explicit_busy_port_is_an_error_that_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let at = ListenAt {
            ip: Some(address.ip()),
            port: Some(address.port()),
        };
        let error = bind(Service::Rpc, at, 0).unwrap_err().to_string();
        assert!(
            error.contains(&address.to_string()) && error.contains("--rpc-listen"),
            "{error}"
        );
    }

    #[test]
    fn a_busy_default_is_stepped_over_and_the_others_defaults_are_left_alone() {
        // An offset of this test's own, so that no other program's ports matter.
        let offset = 31_000;
        let first = bind(Service::Rpc, ListenAt::default(), offset).unwrap();
        let second = bind(Service::Rpc, ListenAt::default(), offset).unwrap();
        assert_eq!(second.instead_of, Some(7668 + offset));
        assert!(second.address.port() > first.address.port());
        assert_ne!(second.address.port(), 7669 + offset);
        assert!(matches!(
            bind(Service::Rpc, ListenAt::default(), 60_000),
            Err(PortError::Offset { .. })
        ));
    }
}
