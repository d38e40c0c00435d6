//! Where things are: the data folder, and in it one folder for each network.
//!
//! ```text
//! <data folder>/quarry.toml         settings, written by people
//! <data folder>/network.toml        the spec of the folder's own network, written by `init-blockchain`
//! <data folder>/wallet.json         the default wallet, shared by the networks
//! <data folder>/wallets/            wallets with names
//! <data folder>/<network>/db        the database; `mending` tells what may stand beside it
//! <data folder>/<network>/.cookie   the password of the RPC, new at each start
//! <data folder>/<network>/node.json the running node, see `node_file`
//! <data folder>/<network>/node.key, peers.json   identity and known addresses
//! <data folder>/<network>/mempool.dat  the waiting transactions, written when the node stops
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::small_file::read_small_file;
use crate::consensus::{ChainSpec, SpecError};

/// The folder that everything of one user of the program is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder(PathBuf);

/// Why the network of a data folder cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ChainChoiceError {
    /// Neither a built-in network nor a file.
    #[error("'{0}' is no network: expected dev, regtest or the path of a spec file")]
    Unknown(String),
    /// A spec file that cannot be read.
    #[error("cannot read the spec {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A spec file that is not one.
    #[error("the spec {} is damaged: {source}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SpecError,
    },
}

impl DataFolder {
    /// The folder at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The platform's place for data of this user, such as `~/.local/share/quarry`; `None` without a home folder.
    pub fn of_platform() -> Option<Self> {
        let folders = directories::ProjectDirs::from("", "", "quarry")?;
        Some(Self(folders.data_dir().to_owned()))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The wallet.
    pub fn wallet_file(&self) -> PathBuf {
        self.0.join("wallet.json")
    }

    /// The settings.
    pub fn settings_file(&self) -> PathBuf {
        self.0.join("quarry.toml")
    }

    /// The spec of the folder's own network.
    pub fn spec_file(&self) -> PathBuf {
        self.0.join("network.toml")
    }

    /// The folder of one network.
    pub fn network(&self, spec: &ChainSpec) -> NetworkFolder {
        NetworkFolder(self.0.join(&spec.name))
    }

    /// The network that is meant: `choice` (`dev`, `regtest` or a file), else the folder's own, else `dev`.
    ///
    /// # Errors
    /// [`ChainChoiceError`], which names the file and what is wrong with it.
    pub fn chain(&self, choice: Option<&str>) -> Result<ChainSpec, ChainChoiceError> {
        match choice {
            Some("dev") => Ok(ChainSpec::dev()),
            Some("regtest") => Ok(ChainSpec::regtest()),
            Some(file) if Path::new(file).exists() => read_spec(Path::new(file)),
            Some(other) => Err(ChainChoiceError::Unknown(other.to_owned())),
            None if self.spec_file().exists() => read_spec(&self.spec_file()),
            None => Ok(ChainSpec::dev()),
        }
    }
}

fn read_spec(path: &Path) -> Result<ChainSpec, ChainChoiceError> {
    let text = read_small_file(path).map_err(|source| ChainChoiceError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    ChainSpec::from_toml(&text).map_err(|source| ChainChoiceError::Damaged {
        path: path.to_owned(),
        source,
    })
}

/// The folder of one network in a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFolder(PathBuf);

impl NetworkFolder {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.0.join("db")
    }

    /// Whether there is a database already, be it damaged or in the making.
    pub fn has_chain(&self) -> bool {
        // RocksDB names its current manifest here from the first moment on.
        self.database().join("CURRENT").exists()
            || self.has_lost_database()
            || self.has_unfinished_reindex()
    }

    /// The password of the RPC.
    pub fn cookie_file(&self) -> PathBuf {
        self.0.join(".cookie")
    }

    /// The transactions that waited when the node stopped.
    pub fn mempool_file(&self) -> PathBuf {
        self.0.join("mempool.dat")
    }

    /// The running node.
    pub fn node_file(&self) -> PathBuf {
        self.0.join("node.json")
    }

    /// Makes it, and the data folder around it, closed to other users where the system has such rights.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::PubkeyHash;

    #[test]
    fn a_choice_beats_the_folders_own_network_which_beats_dev() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DataFolder::new(dir.path());
        assert_eq!(folder.chain(None).unwrap().name, "dev");
        let own = ChainSpec::new_network("own", PubkeyHash::from_bytes([3; 20]), 1_800_000_000);
        fs::write(folder.spec_file(), own.to_toml()).unwrap();
        assert_eq!(folder.chain(None).unwrap(), own);
        assert_eq!(folder.chain(Some("regtest")).unwrap().name, "regtest");
        let file = folder.spec_file();
        assert_eq!(folder.chain(file.to_str()).unwrap(), own);
    }

    #[test]
    fn a_bad_choice_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DataFolder::new(dir.path());
        let error = folder.chain(Some("testnet")).unwrap_err().to_string();
        assert!(
            error.contains("'testnet'") && error.contains("regtest"),
            "{error}"
        );
        fs::write(folder.spec_file(), "name = 5").unwrap();
        let error = folder.chain(None).unwrap_err().to_string();
        assert!(error.contains("network.toml is damaged"), "{error}");
    }
}
