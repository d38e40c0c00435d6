//! What happens in the node, told to people: as log lines, and to a screen if there is one.
//!
//! One task reads the event stream. It only reports: falling behind costs log lines and nothing else.

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::chain::{ChainEvent, Event, EventReader, MempoolEvent, PeerEvent};
use crate::primitives::BlockHash;

/// Notices that a slow screen may lag behind; older ones are dropped.
pub(super) const NOTICES: usize = 64;

/// Something that a screen shows as it happens.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The chain went over to another branch.
    Reorg {
        /// Height of the last common block.
        fork_height: u32,
        /// The tip that was left.
        old_tip: BlockHash,
        /// The tip that was reached.
        new_tip: BlockHash,
        /// How many blocks were disconnected.
        disconnected: u32,
        /// How many blocks were connected.
        connected: u32,
    },
}

/// Reports events until `cancel`.
pub(super) async fn report(
    mut events: EventReader,
    notices: broadcast::Sender<Notice>,
    cancel: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            event = events.next() => event,
        };
        match event {
            Ok((_, event)) => tell(&event, &notices),
            Err(lagged) => tracing::debug!(missed = lagged.missed, "events went by unreported"),
        }
    }
}

fn tell(event: &Event, notices: &broadcast::Sender<Notice>) {
    match event {
        Event::Chain(event) => tell_chain(event, notices),
        Event::Mempool(MempoolEvent::Added {
            txid, fee, local, ..
        }) => {
            tracing::debug!(%txid, %fee, local, "transaction added");
        }
        Event::Mempool(MempoolEvent::Removed { txid, reason }) => {
            tracing::debug!(%txid, ?reason, "transaction removed");
        }
        Event::Peer(PeerEvent::Connected {
            peer,
            address,
            inbound,
        }) => {
            tracing::info!(peer, address, inbound, "peer connected");
        }
        Event::Peer(PeerEvent::Disconnected { peer, reason }) => {
            tracing::info!(peer, reason, "peer disconnected");
        }
    }
}

fn tell_chain(event: &ChainEvent, notices: &broadcast::Sender<Notice>) {
    match event {
        ChainEvent::Connected {
            hash,
            height,
            block,
        } => {
            let transactions = block.transactions.len();
            tracing::info!(height, %hash, transactions, "block connected");
        }
        ChainEvent::Disconnected { hash, height, .. } => {
            tracing::info!(height, %hash, "block disconnected");
        }
        ChainEvent::Reorg {
            fork_height,
            old_tip,
            new_tip,
            disconnected,
            connected,
            ..
        } => {
            tracing::warn!(target: "reorg", fork_height, %old_tip, %new_tip, disconnected, connected, "REORG");
            // Without a screen nobody listens.
            let _ = notices.send(Notice::Reorg {
                fork_height: *fork_height,
                old_tip: *old_tip,
                new_tip: *new_tip,
                disconnected: *disconnected,
                connected: *connected,
            });
        }
        ChainEvent::TipChanged { hash, height } => tracing::debug!(height, %hash, "tip changed"),
        ChainEvent::HeadersAdvanced { height } => tracing::debug!(height, "headers advanced"),
        ChainEvent::Rejected { hash, reason } => tracing::warn!(%hash, reason, "block rejected"),
    }
}
