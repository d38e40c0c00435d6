//! What the network layer is told at start.

use std::{net::SocketAddr, path::PathBuf};

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
    /// Our identity; made, with mode 0600, if it does not exist.
    pub identity_file: PathBuf,
    /// Known addresses and bans; made if it does not exist.
    pub peers_file: PathBuf,
    /// Name and version told to peers, such as `quarry/0.1.0`; at most 64 bytes.
    pub agent: String,
}

impl NetworkConfig {
    /// Settings that listen on `listen` and keep their files in `dir`, with mDNS and no peers.
    pub fn new(dir: &std::path::Path, listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            mdns: true,
            peers: Vec::new(),
            bootnodes: Vec::new(),
            identity_file: dir.join("node.key"),
            peers_file: dir.join("peers.json"),
            agent: concat!("quarry/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}
