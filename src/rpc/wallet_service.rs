//! The node's wallet: one owner, asked from any thread that may block.
//!
//! A lock makes payments one after the other: each is in the mempool before the next one looks for coins, so that no two use
//! the same. The lock is only ever taken on threads that may block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

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
    /// The task that sees to it even if nobody uses the wallet.
    timer: Option<AbortHandle>,
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

    /// Unlocks the wallet for a while, which begins anew with each call. Blocks for the key derivation. A task on `runtime`
    /// locks the wallet in time; it ends without doing so when `stop` is cancelled.
    ///
    /// # Errors
    /// A wrong passphrase, a wallet without one, and those of opening it.
    pub fn unlock(
        &self,
        passphrase: &str,
        duration: Duration,
        stop: CancellationToken,
        runtime: &Handle,
    ) -> Result<(), RpcError> {
        let mut state = self.state();
        state.open(&self.inner.path)?.unlock(passphrase)?;
        state.locks_at = Instant::now().checked_add(duration);
        let wallet = self.clone();
        let timer = runtime.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(duration) => {
                    // Waits for a payment that is being made, so not on this thread. Nothing is left to tell on failure.
                    let _ = spawn_blocking(move || wallet.lock_if_due()).await;
                }
            }
        });
        state.set_timer(Some(timer.abort_handle()));
        Ok(())
    }

    /// Locks the wallet now.
    ///
    /// # Errors
    /// A wallet without passphrase, and those of opening it.
    pub fn lock(&self) -> Result<(), RpcError> {
        let mut state = self.state();
        state.locks_at = None;
        state.set_timer(None);
        Ok(state.open(&self.inner.path)?.lock()?)
    }

    /// Locks the wallet if its time is over; a later unlocking has moved that.
    fn lock_if_due(&self) {
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

    fn set_timer(&mut self, timer: Option<AbortHandle>) {
        if let Some(old) = std::mem::replace(&mut self.timer, timer) {
            old.abort();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::KdfParams;

    #[test]
    fn one_timer_waits_however_often_the_wallet_is_unlocked() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("wallet.json");
        let cheap = KdfParams::new(8, 1, 1).expect("allowed");
        Wallet::create_with(&path, Some("open sesame"), cheap).expect("no file");
        let service = WalletService::new(path);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let alive = || runtime.metrics().num_alive_tasks();
        let settles_at = |count| {
            let start = Instant::now();
            while alive() != count {
                assert!(start.elapsed() < Duration::from_secs(20), "{}", alive());
                std::thread::yield_now();
            }
        };
        let stop = CancellationToken::new();
        for seconds in [1_000, 10, 100_000_000] {
            let duration = Duration::from_secs(seconds);
            service
                .unlock("open sesame", duration, stop.clone(), runtime.handle())
                .expect("the right passphrase");
            settles_at(1);
        }
        service.lock().expect("it has a passphrase");
        settles_at(0);
    }
}
