//! What the network layer is told at start.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::primitives::Work;

/// Settings of [`spawn`](super::spawn).
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// TCP addresses to listen on. Port 0 takes a free one. With 127.0.0.1 only, mDNS finds nobody.
    pub listen: Vec<SocketAddr>,
    /// Find peers on the local network.
    pub mdns: bool,
    /// Reserved peers (`--peer`): always connected, above limits and bans. `host:port`,
    /// `/ip4/…/tcp/…[/p2p/…]` or `/dns4/…/tcp/…[/p2p/…]`.
    pub peers: Vec<String>,
    /// First contacts (`--bootnode`), in the same forms.
    pub bootnodes: Vec<String>,
    /// The pre-shared key of a closed network: who has another or none cannot connect.
    pub network_key_file: Option<PathBuf>,
    /// Our identity; made, with mode 0600, if it does not exist.
    pub identity_file: PathBuf,
    /// Known addresses and bans; made if it does not exist.
    pub peers_file: PathBuf,
    /// Announce large blocks by short transaction ids; else by their header, whose body is then fetched: to compare the two.
    pub compact_blocks: bool,
    /// Ask peers for addresses of others, and dial these; else a node has the links that it was told of, and those made to it.
    pub ask_addresses: bool,
    /// When a link counts as broken.
    pub link_times: LinkTimes,
    /// Chains with less work are neither stored nor relayed: what a node that has no chain yet knows of its network.
    pub minimum_work: Work,
    /// Name and version told to peers, such as `quarry/0.1.0`; at most 64 bytes.
    pub agent: String,
}

/// How long a link may look whole and be broken. The defaults fit every network; tests cannot wait so long.
#[derive(Debug, Clone, Copy)]
pub struct LinkTimes {
    /// A peer that tells of new blocks by status, and whose gossip brings none for so long or for ten block times, whichever is
    /// longer, is connected anew.
    pub gossip_silence: Duration,
    /// A second connection to a peer means that it was restarted, if the first is older than this.
    pub restart_age: Duration,
}

impl Default for LinkTimes {
    fn default() -> Self {
        Self {
            gossip_silence: Duration::from_secs(60),
            restart_age: Duration::from_secs(10),
        }
    }
}

impl NetworkConfig {
    /// Settings that listen on `listen` and keep their files in `dir`, with mDNS and no peers.
    pub fn new(dir: &std::path::Path, listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            mdns: true,
            peers: Vec::new(),
            bootnodes: Vec::new(),
            network_key_file: None,
            identity_file: dir.join("node.key"),
            peers_file: dir.join("peers.json"),
            compact_blocks: true,
            ask_addresses: true,
            link_times: LinkTimes::default(),
            minimum_work: Work::ZERO,
            agent: concat!("quarry/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}
