//! What a node is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::folder::DataFolder;
use super::ports::{ListenAt, Service};
use crate::consensus::ChainSpec;
use crate::miner::{CpuShare, Kernel, Niceness, ThreadCount};
use crate::primitives::{PubkeyHash, Work};
use crate::rpc::RpcUser;

/// Everything that [`Node::start`](super::Node::start) needs to know.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where everything is kept.
    pub folder: DataFolder,
    /// The network.
    pub spec: ChainSpec,
    /// Where peers are awaited.
    pub listen: ListenAt,
    /// Where the RPC listens.
    pub rpc_listen: ListenAt,
    /// Where the explorer listens.
    pub explorer_listen: ListenAt,
    /// Added to all default ports.
    pub port_offset: u16,
    /// Host names, besides `localhost` and addresses, under which RPC and explorer answer.
    pub allowed_hosts: Vec<String>,
    /// Who may use the RPC, beside the holder of the cookie.
    pub rpc_users: Vec<RpcUser>,
    /// Look for peers on the local network.
    pub mdns: bool,
    /// Peers to stay connected to.
    pub peers: Vec<String>,
    /// First contacts.
    pub bootnodes: Vec<String>,
    /// The pre-shared key of a closed network.
    pub network_key_file: Option<PathBuf>,
    /// The least work of a chain that is taken from peers.
    pub minimum_work: Work,
    /// Who is paid for mined blocks; nothing is mined without.
    pub mine_to: Option<PubkeyHash>,
    /// Threads that mine.
    pub threads: ThreadCount,
    /// How they search; none for the fastest way.
    pub miner_kernel: Option<Kernel>,
    /// The part of its time that each of them searches.
    pub cpu_share: CpuShare,
    /// How much they yield to everything else.
    pub miner_nice: Niceness,
    /// Whether and how external miners are served.
    pub stratum: Option<StratumSettings>,
}

/// How external miners are served.
#[derive(Debug, Clone, Copy)]
pub struct StratumSettings {
    /// Where they connect.
    pub listen: ListenAt,
    /// Who is paid for workers that name no address.
    pub payout: Option<PubkeyHash>,
}

/// Where a started node is reached.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The socket of the peer-to-peer network.
    pub p2p: SocketAddr,
    /// The socket of the RPC.
    pub rpc: SocketAddr,
    /// The socket of the explorer.
    pub explorer: SocketAddr,
    /// The socket for external miners, if they are served.
    pub stratum: Option<SocketAddr>,
    /// Services whose default port was busy, with that port.
    pub stepped_over: Vec<(Service, u16)>,
}

impl Endpoints {
    /// The address at which a program on this machine reaches a socket that may listen everywhere.
    pub fn local(socket: SocketAddr) -> SocketAddr {
        let ip = match socket {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            other => other.ip(),
        };
        SocketAddr::new(ip, socket.port())
    }
}
