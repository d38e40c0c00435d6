//! How to ask the miner.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use super::board::Board;
use super::config::MinerConfig;
use crate::primitives::PubkeyHash;

/// What the miner is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinerStatus {
    /// How many threads it has.
    pub threads: usize,
    /// Hashes a second, a moving average; 0 while nothing is searched.
    pub hash_rate: f64,
    /// Blocks found since the start that became the tip.
    pub blocks_found: u64,
    /// Blocks found since the start for a tip that had passed by then.
    pub stale_blocks: u64,
    /// How long a block takes on average at this rate and with the target of the present work; none while nothing is searched.
    pub expected_time: Option<Duration>,
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
        let hash_rate = f64::from_bits(self.board.rate.load(Ordering::Relaxed));
        let work = f64::from_bits(self.board.work.load(Ordering::Relaxed));
        MinerStatus {
            threads: self.config.threads.get().get(),
            hash_rate,
            blocks_found: self.board.blocks_found.load(Ordering::Relaxed),
            stale_blocks: self.board.stale_blocks.load(Ordering::Relaxed),
            // Too long for a duration is as good as never.
            expected_time: (hash_rate > 0.0)
                .then(|| Duration::try_from_secs_f64(work / hash_rate).ok())
                .flatten(),
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
