//! When the miner works: not while the node catches up, since blocks on an old tip only make forks.
//!
//! To catch up means that blocks arrive. Headers with more work stop no miner for long if their blocks do not come: whoever sent
//! them may be gone, or keep them back, and the chain must go on without them. [`SyncState::Blocks`] says so.

use std::convert::Infallible;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::miner::MinerHandle;
use crate::network::NetworkStatus;
use crate::network::sync::SyncState;

/// From how many blocks behind the best header on the miner pauses. Blocks that are only on their way must not stop it.
const GAP: u32 = 6;

/// Pauses and resumes the miner until `cancel`, and ends it then.
pub(super) async fn gate(
    miner: MinerHandle,
    mut network: watch::Receiver<NetworkStatus>,
    cancel: CancellationToken,
) -> Result<(), Infallible> {
    let mut paused = false;
    while miner.status().payout.is_some() {
        let behind = is_behind(&network.borrow_and_update().sync);
        if behind != paused {
            paused = behind;
            miner.set_enabled(!paused);
            tracing::info!(paused, "mining waits for the blocks of the best chain");
        }
        let changed = tokio::select! {
            () = cancel.cancelled() => break,
            changed = network.changed() => changed,
        };
        if changed.is_err() {
            break;
        }
    }
    cancel.cancelled().await;
    miner.stop();
    Ok(())
}

/// Whether many blocks are on their way to us whose headers were checked. What peers merely claim must not stop the miner.
const fn is_behind(sync: &SyncState) -> bool {
    match sync {
        SyncState::Blocks { height, target } => target.saturating_sub(*height) > GAP,
        SyncState::Alone | SyncState::Headers { .. } | SyncState::Synced { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checked_headers_pause_the_miner() {
        let (height, target) = (10, 10 + GAP);
        assert!(!is_behind(&SyncState::Blocks { height, target }));
        assert!(is_behind(&SyncState::Blocks {
            height,
            target: target + 1
        }));
        assert!(!is_behind(&SyncState::Headers {
            height,
            target: u32::MAX
        }));
        assert!(!is_behind(&SyncState::Alone));
        // Headers whose blocks do not come, too: see `network::sync`.
        assert!(!is_behind(&SyncState::Synced { height }));
    }
}
