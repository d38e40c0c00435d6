//! What every command starts from: the data folder, the settings and the network.

use std::path::{Path, PathBuf};

use super::args::GlobalArgs;
use super::error::{CliError, CliResult, Context as _};
use super::output::Output;
use super::passphrase::PassphraseSource;
use crate::consensus::ChainSpec;
use crate::keys::Address;
use crate::node::{ChainChoiceError, DataFolder, NetworkFolder, Settings, shell_word};
use crate::primitives::PubkeyHash;
use crate::wallet::wallet_file;

/// Where a command works and how it prints.
#[derive(Debug)]
pub(super) struct Context {
    /// The data folder.
    pub(super) folder: DataFolder,
    /// Flags, environment and file, merged in this order.
    pub(super) settings: Settings,
    /// The network.
    pub(super) spec: ChainSpec,
    /// How it was asked for on the command line, if it was.
    chosen: Option<String>,
    /// How to print.
    pub(super) out: Output,
    /// Where a passphrase comes from.
    pub(super) passphrase: PassphraseSource,
    /// The name of the wallet that was asked for, if one was.
    pub(super) wallet: Option<String>,
    /// The wallet's file.
    pub(super) wallet_file: PathBuf,
}

impl Context {
    /// Reads the settings file and the network's spec. `own` are the command's own flags.
    pub(super) fn new(global: &GlobalArgs, own: Settings) -> CliResult<Self> {
        let (folder, settings) = folder_and_settings(global, own)?;
        let spec = folder
            .chain(settings.chain.as_deref())
            .map_err(|error| match &error {
                ChainChoiceError::Unknown(_) => CliError::Usage(format!("--chain: {error}")),
                ChainChoiceError::Unreadable { .. } | ChainChoiceError::Damaged { .. } => {
                    CliError::failure(error)
                }
            })?;
        let wallet = global.wallet.clone().filter(|name| !name.is_empty());
        let name = wallet.as_deref().unwrap_or_default();
        let wallet_file = wallet_file(folder.path(), name).or_bad("--wallet")?;
        Ok(Self {
            wallet,
            wallet_file,
            folder,
            settings,
            spec,
            chosen: global.chain.clone().filter(|text| !text.is_empty()),
            out: Output::new(global.json),
            passphrase: PassphraseSource::new(global.passphrase_file.clone())?,
        })
    }

    /// The network's folder.
    pub(super) fn network(&self) -> NetworkFolder {
        self.folder.network(&self.spec)
    }

    /// The command line of one of our commands for the same folder and network, to be shown.
    pub(super) fn command(&self, words: &str) -> String {
        quarry_command(&self.folder, self.chosen.as_deref(), words)
    }

    /// The address in `flag`.
    pub(super) fn address(&self, flag: &str, text: &str) -> CliResult<Address> {
        Address::parse(text, self.spec.address_version).or_bad(flag)
    }

    /// The network's address of a key hash.
    pub(super) const fn address_of(&self, hash: PubkeyHash) -> Address {
        Address::new(hash, self.spec.address_version)
    }
}

/// The command line of one of our commands, as one types it.
pub(super) fn quarry_command(folder: &DataFolder, chain: Option<&str>, words: &str) -> String {
    let mut line = "quarry".to_owned();
    if DataFolder::of_platform().as_ref() != Some(folder) {
        line += &format!(" --datadir {}", shell_word(folder.path()));
    }
    if let Some(chain) = chain {
        line += &format!(" --chain {}", shell_word(Path::new(chain)));
    }
    format!("{line} {words}")
}

/// The data folder.
pub(super) fn folder_of(global: &GlobalArgs) -> CliResult<DataFolder> {
    match given(&global.datadir) {
        Some(path) => Ok(DataFolder::new(path)),
        None => DataFolder::of_platform().ok_or_else(|| {
            CliError::usage("there is no home folder; say where with --datadir DIR")
        }),
    }
}

/// A variable that is set to nothing says nothing.
fn given(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|path| !path.as_os_str().is_empty())
}

/// The data folder, and the merged settings.
pub(super) fn folder_and_settings(
    global: &GlobalArgs,
    own: Settings,
) -> CliResult<(DataFolder, Settings)> {
    let folder = folder_of(global)?;
    let flags = Settings {
        chain: global.chain.clone().filter(|text| !text.is_empty()),
        log_level: global.log_level.clone().filter(|text| !text.is_empty()),
        log_format: global.log_format.map(Into::into),
        ..own
    };
    let file = match given(&global.config) {
        Some(path) => Settings::read(&path).or_fail()?,
        None if folder.settings_file().exists() => {
            Settings::read(&folder.settings_file()).or_fail()?
        }
        None => Settings::default(),
    };
    Ok((folder, flags.or(file)))
}
