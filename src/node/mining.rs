//! When the miner works: not while the node catches up, since blocks on an old tip only make forks.
//!
//! To catch up means that blocks arrive. Headers with more work stop no miner for long if their blocks do not come: whoever sent
//! them may be gone, or keep them back, and the chain must go on without them. `SyncState::Blocks` says so.

use std::convert::Infallible;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::miner::{MinerHandle, StratumHandle};
use crate::network::NetworkStatus;

/// Pauses and resumes the miner, and the work of external ones, until `cancel`; ends the miner then.
pub(super) async fn gate(
    miner: MinerHandle,
    stratum: Option<StratumHandle>,
    mut network: watch::Receiver<NetworkStatus>,
    cancel: CancellationToken,
) -> Result<(), Infallible> {
    let mut paused = false;
    let mines = miner.status().payout.is_some();
    while mines || stratum.is_some() {
        let behind = network.borrow_and_update().sync.is_catching_up();
        if behind != paused {
            paused = behind;
            if mines {
                miner.set_enabled(!paused);
            }
            if let Some(stratum) = &stratum {
                stratum.set_enabled(!paused);
            }
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
