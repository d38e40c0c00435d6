//! How to ask the miner.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use tokio::sync::Notify;

use super::board::Board;
use super::search::Kernel;
use crate::primitives::PubkeyHash;

/// How the node mines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinerConfig {
    /// How many threads search; 0 for none.
    pub threads: usize,
    /// How they search; none for the fastest way.
    pub kernel: Option<Kernel>,
    /// Whom the blocks pay; nothing is mined without.
    pub payout: Option<PubkeyHash>,
    /// Whether the search begins at once, or with [`MinerHandle::set_enabled`].
    pub enabled: bool,
}

/// One thread less than the computer has, so that the node itself is not slowed; at least one.
pub fn default_threads() -> usize {
    let available = thread::available_parallelism().map_or(1, NonZero::get);
    available.saturating_sub(1).max(1)
}

/// What the miner is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinerStatus {
    /// How many threads it has.
    pub threads: usize,
    /// Hashes a second, a moving average; 0 while nothing is searched.
    pub hash_rate: f64,
    /// Blocks found since the start that became the tip.
    pub blocks_found: u64,
    /// Whether threads search at this moment.
    pub running: bool,
    /// Whether they may.
    pub enabled: bool,
    /// Whom the blocks pay.
    pub payout: Option<PubkeyHash>,
}

/// Access to the miner. Clones share it.
#[derive(Debug, Clone)]
pub struct MinerHandle {
    pub(super) config: MinerConfig,
    pub(super) board: Arc<Board>,
    pub(super) wake: Arc<Notify>,
}

impl MinerHandle {
    /// What the miner is doing. Takes no lock.
    pub fn status(&self) -> MinerStatus {
        MinerStatus {
            threads: self.config.threads,
            hash_rate: f64::from_bits(self.board.rate.load(Ordering::Relaxed)),
            blocks_found: self.board.blocks_found.load(Ordering::Relaxed),
            running: self.board.searching.load(Ordering::Relaxed) > 0,
            enabled: self.board.is_enabled(),
            payout: self.config.payout,
        }
    }

    /// Switches the search on or off, as while the node catches up with the network. Off takes effect within milliseconds.
    pub fn set_enabled(&self, enabled: bool) {
        self.board.set_enabled(enabled);
        self.wake.notify_one();
    }

    /// Ends all threads within milliseconds, for good. Does not wait.
    pub fn stop(&self) {
        self.board.stop();
        self.wake.notify_one();
    }
}
