//! The wallets of a node: each has one owner, asked from any thread that may block.
//!
//! The default wallet is `wallet.json` of the data folder and there as soon as its file is; its name is empty, as in
//! Bitcoin Core. Others are files in the folder `wallets` beside it and must be loaded. Which one a request means is said by
//! its path, `/wallet/<name>`; without one it is the only one that is loaded.

mod following;
mod open;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::wallet::{self, Wallet, WalletError};

use super::error::{RpcError, code};

pub(super) use open::{LoadedWallet, OpenWallet};

/// The wallets of a data folder. Clones share them.
///
/// The default wallet's file may appear later, and other processes may add addresses to the files; both are noticed at each use.
#[derive(Debug, Clone)]
pub struct WalletService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data_folder: PathBuf,
    /// By name; the default's is empty.
    loaded: Mutex<BTreeMap<String, LoadedWallet>>,
}

impl WalletService {
    /// The wallets of this data folder. Nothing is read yet.
    pub fn new(data_folder: impl Into<PathBuf>) -> Self {
        let data_folder = data_folder.into();
        let default =
            wallet::wallet_file(&data_folder, "").expect("the empty name is the default wallet's");
        let default = LoadedWallet::new(String::new(), default);
        Self {
            inner: Arc::new(Inner {
                data_folder,
                loaded: Mutex::new(BTreeMap::from([(String::new(), default)])),
            }),
        }
    }

    /// The folder of the named wallets.
    pub(super) fn folder(&self) -> PathBuf {
        wallet::named_folder(&self.inner.data_folder)
    }

    /// The wallet that a request means: the named one, else the only one.
    ///
    /// # Errors
    /// -18 if it is not loaded, -19 if there are several to choose from.
    pub(super) fn select(&self, name: Option<&str>) -> Result<LoadedWallet, RpcError> {
        let loaded = self.loaded();
        if let Some(name) = name {
            let message = "Requested wallet does not exist or is not loaded";
            let none = || RpcError::new(code::WALLET_NOT_FOUND, message);
            return loaded.get(name).cloned().ok_or_else(none);
        }
        let mut there = loaded.values().filter(|wallet| wallet.is_there());
        match (there.next(), there.next()) {
            (Some(only), None) => Ok(only.clone()),
            (Some(_), Some(_)) => Err(RpcError::new(
                code::WALLET_NOT_SPECIFIED,
                "Multiple wallets are loaded. Please select which wallet to use by requesting the RPC through the /wallet/<walletname> URI path.",
            )),
            // The default one, if it was not unloaded, says how to make it.
            (None, _) => loaded.get("").cloned().ok_or_else(|| {
                RpcError::new(
                    code::WALLET_NOT_FOUND,
                    "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet.",
                )
            }),
        }
    }

    /// The names of those that are loaded.
    pub(super) fn names(&self) -> Vec<String> {
        let loaded = self.loaded();
        let there = loaded.iter().filter(|(_, wallet)| wallet.is_there());
        there.map(|(name, _)| name.clone()).collect()
    }

    /// The names of those that have a file.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(super) fn names_on_disk(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        if self.path_of("").is_ok_and(|path| path.exists()) {
            names.push(String::new());
        }
        let entries = match fs::read_dir(self.folder()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            other => other?,
        };
        for entry in entries {
            names.extend(wallet::name_of_file(&entry?.path()).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Where the file of a wallet of this name is or would be.
    ///
    /// # Errors
    /// -8 for a name that no file may have.
    pub(super) fn path_of(&self, name: &str) -> Result<PathBuf, RpcError> {
        let path = wallet::wallet_file(&self.inner.data_folder, name);
        path.map_err(|error| RpcError::invalid_parameter(error.to_string()))
    }

    /// Loads what was just made or is on the disk.
    ///
    /// # Errors
    /// -35 if it is loaded already.
    pub(super) fn load(&self, name: &str, wallet: Wallet) -> Result<LoadedWallet, RpcError> {
        let mut loaded = self.loaded();
        // The default one is there before it is made.
        if !name.is_empty() && loaded.contains_key(name) {
            return Err(RpcError::new(
                code::WALLET_ALREADY_LOADED,
                format!("Wallet \"{name}\" is already loaded."),
            ));
        }
        let path = wallet.path().to_owned();
        let made = LoadedWallet::with_wallet(name.to_owned(), path, wallet);
        loaded.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    /// Loads a wallet from its file.
    ///
    /// # Errors
    /// -18 if there is none, -35 if it is loaded already, and those of opening it.
    pub(super) fn load_from_disk(&self, name: &str) -> Result<LoadedWallet, RpcError> {
        let path = self.path_of(name)?;
        let is_loaded = self.loaded().get(name).is_some_and(LoadedWallet::is_there);
        let wallet = match Wallet::open(path) {
            Err(WalletError::NotFound { path }) => {
                return Err(RpcError::new(
                    code::WALLET_NOT_FOUND,
                    format!(
                        "Wallet file verification failed. There is no {}.",
                        path.display()
                    ),
                ));
            }
            other => other?,
        };
        if is_loaded && name.is_empty() {
            // It is there without being asked for, so asking for it is no mistake.
            return self.select(Some(name));
        }
        self.load(name, wallet)
    }

    /// Forgets a wallet and its secrets.
    ///
    /// # Errors
    /// -18 if it is not loaded.
    pub(super) fn unload(&self, name: &str) -> Result<(), RpcError> {
        let message = "Requested wallet does not exist or is not loaded";
        let none = || RpcError::new(code::WALLET_NOT_FOUND, message);
        let wallet = self.loaded().remove(name).ok_or_else(none)?;
        wallet.forget();
        Ok(())
    }

    fn loaded(&self) -> MutexGuard<'_, BTreeMap<String, LoadedWallet>> {
        // Whole after any panic: entries are put in and taken out at once.
        let lock = self.inner.loaded.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}
