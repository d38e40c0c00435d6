//! What every command starts from: the data folder, the settings and the network.

use std::path::PathBuf;

use super::args::GlobalArgs;
use super::error::{CliError, CliResult, Context as _};
use super::output::Output;
use super::passphrase::PassphraseSource;
use crate::consensus::ChainSpec;
use crate::keys::Address;
use crate::node::{ChainChoiceError, DataFolder, NetworkFolder, Settings};
use crate::primitives::PubkeyHash;

/// Where a command works and how it prints.
#[derive(Debug)]
pub(super) struct Context {
    /// The data folder.
    pub(super) folder: DataFolder,
    /// Flags, environment and file, merged in this order.
    pub(super) settings: Settings,
    /// The network.
    pub(super) spec: ChainSpec,
    /// How to print.
    pub(super) out: Output,
    /// Where a passphrase comes from.
    pub(super) passphrase: PassphraseSource,
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
        Ok(Self {
            folder,
            settings,
            spec,
            out: Output::new(global.json),
            passphrase: PassphraseSource::new(global.passphrase_file.clone())?,
        })
    }

    /// The network's folder.
    pub(super) fn network(&self) -> NetworkFolder {
        self.folder.network(&self.spec)
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

/// The data folder, and the merged settings.
pub(super) fn folder_and_settings(
    global: &GlobalArgs,
    own: Settings,
) -> CliResult<(DataFolder, Settings)> {
    // A variable that is set to nothing says nothing.
    let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    let folder = match given(&global.datadir) {
        Some(path) => DataFolder::new(path),
        None => DataFolder::of_platform().ok_or_else(|| {
            CliError::usage("there is no home folder; say where with --datadir DIR")
        })?,
    };
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
