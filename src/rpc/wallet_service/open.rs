//! One wallet in memory: its secrets' time limit, its book, the coins that are kept back.
//!
//! A lock makes payments one after the other: each is in the mempool and in the book before the next one looks for coins, so that
//! no two use the same. The lock is only ever taken on threads that may block.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::primitives::{OutPoint, unix_now};
use crate::rpc::context::RpcContext;
use crate::rpc::error::RpcError;
use crate::wallet::{Book, Wallet, WalletError};

use super::following::Following;

/// A wallet that requests can use. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::rpc) struct LoadedWallet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wallet: Option<Wallet>,
    /// When the secrets must leave the memory, by the clock that never goes back, and in seconds since 1970 to be shown.
    locks_at: Option<(Instant, u64)>,
    /// The task that sees to it even if nobody uses the wallet.
    timer: Option<AbortHandle>,
    following: Option<Following>,
    kept_back: BTreeSet<OutPoint>,
}

/// A wallet and its book, both as of now; nobody else uses them meanwhile.
pub(in crate::rpc) struct OpenWallet<'a> {
    pub(in crate::rpc) wallet: &'a mut Wallet,
    pub(in crate::rpc) book: &'a mut Book,
    /// Coins that payments do not use by themselves (`lockunspent`).
    pub(in crate::rpc) kept_back: &'a mut BTreeSet<OutPoint>,
    /// When the secrets leave the memory, in seconds since 1970; 0 if they have.
    pub(in crate::rpc) unlocked_until: u64,
}

impl LoadedWallet {
    pub(super) fn new(name: String, path: PathBuf) -> Self {
        Self {
            inner: Arc::new(Inner {
                name,
                path,
                state: Mutex::default(),
            }),
        }
    }

    pub(super) fn with_wallet(name: String, path: PathBuf, wallet: Wallet) -> Self {
        let loaded = Self::new(name, path);
        let mut wallet = wallet;
        // What was just made with a passphrase is unlocked; who wants that asks for it.
        let _ = wallet.lock();
        loaded.state().wallet = Some(wallet);
        loaded
    }

    /// The name in requests; empty for the default wallet.
    pub(in crate::rpc) fn name(&self) -> &str {
        &self.inner.name
    }

    /// Where the file is.
    pub(in crate::rpc) fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Whether there is a file or was one.
    pub(super) fn is_there(&self) -> bool {
        self.inner.path.exists() || self.state().wallet.is_some()
    }

    /// Does something with the wallet as it is on the disk now; nobody else uses it meanwhile. Blocks.
    ///
    /// # Errors
    /// Why the wallet cannot be opened, and those of `work`.
    pub(in crate::rpc) fn keys<T>(
        &self,
        work: impl FnOnce(&mut Wallet) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        let mut state = self.state();
        state.lock_if_due();
        work(state.open(&self.inner.path)?)
    }

    /// Does something with the wallet and its book, brought up to date with chain and mempool first. Blocks.
    ///
    /// # Errors
    /// Why the wallet cannot be opened or followed, and those of `work`.
    pub(in crate::rpc) fn with<T>(
        &self,
        context: &RpcContext,
        work: impl FnOnce(&mut OpenWallet<'_>) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        let mut state = self.state();
        state.lock_if_due();
        let State {
            wallet,
            locks_at,
            following,
            kept_back,
            ..
        } = &mut *state;
        let wallet = open(wallet, &self.inner.path)?;
        let following = Following::up_to_date(following, context, wallet)?;
        let unlocked_until = match wallet.is_locked() {
            true => 0,
            false => locks_at.map_or(0, |(_, time)| time),
        };
        work(&mut OpenWallet {
            wallet,
            book: &mut following.book,
            kept_back,
            unlocked_until,
        })
    }

    /// Makes the book anew at the next use.
    pub(in crate::rpc) fn rescan(&self) {
        self.state().following = None;
    }

    /// Unlocks the wallet for a while, which begins anew with each call. Blocks for the key derivation. A task on `runtime`
    /// locks the wallet in time; it ends without doing so when `stop` is cancelled.
    ///
    /// # Errors
    /// A wrong passphrase, a wallet without one, and those of opening it.
    pub(in crate::rpc) fn unlock(
        &self,
        passphrase: &str,
        duration: Duration,
        stop: CancellationToken,
        runtime: &Handle,
    ) -> Result<(), RpcError> {
        let mut state = self.state();
        state.open(&self.inner.path)?.unlock(passphrase)?;
        let until = unix_now().saturating_add(duration.as_secs());
        let due = Instant::now().checked_add(duration);
        state.locks_at = due.map(|due| (due, until));
        let wallet = self.clone();
        let timer = runtime.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(duration) => {
                    // Waits for a payment that is being made, so not on this thread. Nothing is left to tell on failure.
                    let _ = spawn_blocking(move || wallet.state().lock_if_due()).await;
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
    pub(in crate::rpc) fn lock(&self) -> Result<(), RpcError> {
        let mut state = self.state();
        state.locks_at = None;
        state.set_timer(None);
        Ok(state.open(&self.inner.path)?.lock()?)
    }

    /// Drops wallet, secrets and book.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.set_timer(None);
        *state = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The wallet changes its file first and itself last, and a book that a panic left is made anew.
        self.inner.state.lock().unwrap_or_else(|poisoned| {
            let mut state = PoisonError::into_inner(poisoned);
            state.following = None;
            self.inner.state.clear_poison();
            state
        })
    }
}

fn open<'a>(wallet: &'a mut Option<Wallet>, path: &Path) -> Result<&'a mut Wallet, WalletError> {
    match wallet {
        Some(wallet) => {
            wallet.refresh()?;
            Ok(wallet)
        }
        none => Ok(none.insert(Wallet::open(path)?)),
    }
}

impl State {
    fn open(&mut self, path: &Path) -> Result<&mut Wallet, WalletError> {
        open(&mut self.wallet, path)
    }

    fn set_timer(&mut self, timer: Option<AbortHandle>) {
        if let Some(old) = std::mem::replace(&mut self.timer, timer) {
            old.abort();
        }
    }

    fn lock_if_due(&mut self) {
        if self.locks_at.is_some_and(|(due, _)| due <= Instant::now()) {
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
        let service = LoadedWallet::new(String::new(), path);
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
