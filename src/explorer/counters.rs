//! What happened since the start, counted for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::chain::{ChainEvent, Event, EventReader};

/// Counts of events. They only grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) reorgs: AtomicU64,
    pub(super) connected: AtomicU64,
    pub(super) rejected: AtomicU64,
    /// Events that came faster than they were counted.
    pub(super) missed: AtomicU64,
}

/// Counts until `cancel`.
pub(super) async fn count(
    mut events: EventReader,
    counters: Arc<Counters>,
    cancel: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return,
            event = events.next() => event,
        };
        let (counter, by) = match event.as_ref().map(|(_, event)| &**event) {
            Ok(Event::Chain(ChainEvent::Reorg { .. })) => (&counters.reorgs, 1),
            Ok(Event::Chain(ChainEvent::Connected { .. })) => (&counters.connected, 1),
            Ok(Event::Chain(ChainEvent::Rejected { .. })) => (&counters.rejected, 1),
            Ok(Event::Chain(_) | Event::Mempool(_) | Event::Peer(_)) => continue,
            Err(lagged) => (&counters.missed, lagged.missed),
        };
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
