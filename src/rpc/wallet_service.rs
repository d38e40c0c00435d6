//! The node's wallet: one owner, asked from any thread that may block.
//!
//! A lock makes payments one after the other: each is in the mempool before the next one looks for coins, so that no two use
//! the same. The lock is only ever taken on threads that may block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wallet::{Wallet, WalletError};

use super::error::RpcError;

/// The wallet file of a data folder, opened when it is first needed. Clones share it.
///
/// The file may appear later, and other processes may add addresses to it; both are noticed at each use.
#[derive(Debug, Clone)]
pub struct WalletService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wallet: Option<Wallet>,
    /// When the secrets must leave the memory.
    locks_at: Option<Instant>,
}

impl WalletService {
    /// The wallet at this path. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            inner: Arc::new(Inner {
                path: path.into(),
                state: Mutex::default(),
            }),
        }
    }

    /// Where the wallet is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Does something with the wallet as it is on the disk now; nobody else uses it meanwhile. Blocks.
    ///
    /// # Errors
    /// Why the wallet cannot be opened, and those of `work`.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&mut Wallet) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        let mut state = self.state();
        state.lock_if_due();
        work(state.open(&self.inner.path)?)
    }

    /// Unlocks the wallet for a while. Blocks for the key derivation.
    ///
    /// # Errors
    /// A wrong passphrase, a wallet without one, and those of opening it.
    pub fn unlock(&self, passphrase: &str, duration: Duration) -> Result<(), RpcError> {
        let mut state = self.state();
        state.open(&self.inner.path)?.unlock(passphrase)?;
        state.locks_at = Instant::now().checked_add(duration);
        Ok(())
    }

    /// Locks the wallet now.
    ///
    /// # Errors
    /// A wallet without passphrase, and those of opening it.
    pub fn lock(&self) -> Result<(), RpcError> {
        let mut state = self.state();
        state.locks_at = None;
        Ok(state.open(&self.inner.path)?.lock()?)
    }

    /// Locks the wallet if its time is over; a later unlocking has moved that.
    pub(super) fn lock_if_due(&self) {
        self.state().lock_if_due();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The wallet changes its file first and itself last, so it is whole after any panic.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self, path: &Path) -> Result<&mut Wallet, WalletError> {
        match &mut self.wallet {
            Some(wallet) => {
                wallet.refresh()?;
                Ok(wallet)
            }
            none => Ok(none.insert(Wallet::open(path)?)),
        }
    }

    fn lock_if_due(&mut self) {
        if self.locks_at.is_some_and(|due| due <= Instant::now()) {
            self.locks_at = None;
            if let Some(wallet) = &mut self.wallet {
                // Fails only without passphrase, where there is nothing to lock.
                let _ = wallet.lock();
            }
        }
    }
}
