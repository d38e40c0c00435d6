//! `node.json`: where a running node can be reached.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file's name in the network's folder.
pub const NODE_FILE: &str = "node.json";

/// What a running node says about itself; written at its start, removed at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// The process.
    pub pid: u32,
    /// Where JSON-RPC is served.
    pub rpc: SocketAddr,
    /// Where the explorer is served, if it is.
    #[serde(default)]
    pub explorer: Option<SocketAddr>,
    /// Multiaddresses for other nodes.
    #[serde(default)]
    pub p2p: Vec<String>,
}

impl NodeFile {
    /// Writes the file, whole or not at all, also where the power goes: an empty one would be an error to every command.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let beside = folder.join("node.json.new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(beside, folder.join(NODE_FILE))
    }

    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for a damaged file.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(folder.join(NODE_FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file, if it is still this process's.
    pub fn remove(&self, folder: &Path) {
        if matches!(Self::read(folder), Ok(Some(found)) if found.pid == self.pid) {
            // A file left behind is recognised as stale.
            let _ = fs::remove_file(folder.join(NODE_FILE));
        }
    }
}
