//! Settings of a node and where they come from: flag, environment, file, default, in this order.
//!
//! [`Settings`] is one such source: everything optional, in the file named like the flags without their dashes.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ports::ListenAt;
use super::small_file::read_small_file;
use super::telemetry::LogFormat;
use crate::miner::{CpuShare, Kernel, Niceness, ThreadCount};
use crate::primitives::Work;

/// One source of settings; what it does not say is left to the next.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// `dev`, `regtest` or the path of a spec file.
    pub chain: Option<String>,
    /// What is logged: a level, or directives such as `info,quarry::network=debug`.
    pub log_level: Option<String>,
    /// How it is logged.
    pub log_format: Option<LogFormat>,
    /// Where peers are awaited.
    pub listen: Option<ListenAt>,
    /// Where the RPC listens.
    pub rpc_listen: Option<ListenAt>,
    /// Where the explorer listens.
    pub explorer_listen: Option<ListenAt>,
    /// Host names under which RPC and explorer answer.
    pub allow_host: Option<Vec<String>>,
    /// Who may use the RPC, beside the holder of the cookie: `USER:SALT$HASH`.
    pub rpc_auth: Option<Vec<String>>,
    /// Added to all default ports.
    pub port_offset: Option<u16>,
    /// Peers to stay connected to.
    pub peer: Option<Vec<String>>,
    /// First contacts.
    pub bootnode: Option<Vec<String>>,
    /// Do not look for peers on the local network.
    pub no_mdns: Option<bool>,
    /// The pre-shared key of a closed network.
    pub network_key_file: Option<PathBuf>,
    /// The least work of a chain that is taken from peers.
    pub minimum_chain_work: Option<Work>,
    /// Do not mine.
    pub no_mine: Option<bool>,
    /// Who is paid for mined blocks.
    pub mining_address: Option<String>,
    /// Threads that mine.
    pub threads: Option<ThreadCount>,
    /// How they search.
    pub miner_kernel: Option<Kernel>,
    /// Where external miners connect; they are served only if this says something.
    pub stratum_listen: Option<ListenAt>,
    /// The part of its time that each of them searches.
    pub cpu_share: Option<CpuShare>,
    /// How much they yield to everything else.
    pub miner_nice: Option<Niceness>,
}

/// Why a settings file is not used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read the settings {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or has an unknown key or a wrong value.
    #[error("the settings {} are wrong: {reason}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SettingsError`], which names the file and the place in it.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = read_small_file(path).map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| SettingsError::Wrong {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })
    }

    /// These settings, completed from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            chain: self.chain.or(other.chain),
            log_level: self.log_level.or(other.log_level),
            log_format: self.log_format.or(other.log_format),
            listen: self.listen.or(other.listen),
            rpc_listen: self.rpc_listen.or(other.rpc_listen),
            explorer_listen: self.explorer_listen.or(other.explorer_listen),
            allow_host: self.allow_host.or(other.allow_host),
            rpc_auth: self.rpc_auth.or(other.rpc_auth),
            port_offset: self.port_offset.or(other.port_offset),
            peer: self.peer.or(other.peer),
            bootnode: self.bootnode.or(other.bootnode),
            no_mdns: self.no_mdns.or(other.no_mdns),
            network_key_file: self.network_key_file.or(other.network_key_file),
            minimum_chain_work: self.minimum_chain_work.or(other.minimum_chain_work),
            no_mine: self.no_mine.or(other.no_mine),
            mining_address: self.mining_address.or(other.mining_address),
            threads: self.threads.or(other.threads),
            miner_kernel: self.miner_kernel.or(other.miner_kernel),
            stratum_listen: self.stratum_listen.or(other.stratum_listen),
            cpu_share: self.cpu_share.or(other.cpu_share),
            miner_nice: self.miner_nice.or(other.miner_nice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_source_that_says_something_wins() {
        let flags = Settings {
            port_offset: Some(10),
            ..Settings::default()
        };
        let file: Settings =
            toml::from_str("port-offset = 5\nno-mine = true\nrpc-listen = \"0.0.0.0\"").unwrap();
        let both = flags.or(file);
        assert_eq!((both.port_offset, both.no_mine), (Some(10), Some(true)));
        assert_eq!(both.rpc_listen.unwrap().to_string(), "0.0.0.0");
        assert_eq!(both.threads, None);
    }

    #[test]
    fn a_wrong_file_is_named_with_the_place_in_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("quarry.toml");
        for (text, named) in [
            ("prot-offset = 5", "prot-offset"),
            ("threads = 0", "from 1 to 1024"),
            ("threads = 100000", "from 1 to 1024"),
            ("cpu-share = 25", "such as 0.25"),
            ("miner-nice = 20", "0 (like any program) to 19"),
            ("minimum-chain-work = \"much\"", "hexadecimal"),
            ("miner-kernel = \"abacus\"", "expected one of sha2"),
            ("rpc-listen = \"here\"", "IP:PORT"),
            ("no-mine = ", "line 1"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Settings::read(&path).unwrap_err().to_string();
            assert!(
                error.contains("quarry.toml") && error.contains(named),
                "{error}"
            );
        }
    }
}
