//! The one stream of everything that happens in the node: typed, numbered, resumable.
//!
//! The log keeps the latest events within limits of number and memory. A reader that falls behind is told so and goes on with
//! the oldest event that is left; it never slows the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::primitives::{Amount, Block, BlockHash, Encode, Transaction, Txid};

/// Events that are kept at most; a slower reader misses some.
const MAX_EVENTS: usize = 8_192;
/// Bytes of blocks and transactions that kept events hold at most.
const MAX_BYTES: usize = 32 << 20;

/// Anything that happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// The chain changed or refused something.
    Chain(ChainEvent),
    /// The mempool changed.
    Mempool(MempoolEvent),
    /// The connections changed.
    Peer(PeerEvent),
}

/// What happens to the chain.
#[derive(Debug, Clone)]
pub enum ChainEvent {
    /// A block became part of the active chain.
    Connected {
        /// Its hash.
        hash: BlockHash,
        /// Its height.
        height: u32,
        /// The block.
        block: Arc<Block>,
    },
    /// A block is no longer part of the active chain.
    Disconnected {
        /// Its hash.
        hash: BlockHash,
        /// The height it had.
        height: u32,
        /// The block.
        block: Arc<Block>,
    },
    /// The active chain went over to another branch; follows the events of its blocks.
    Reorg {
        /// The last block that both branches share.
        fork: BlockHash,
        /// Its height.
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
    /// The tip is another one; the last event of each change.
    TipChanged {
        /// The new tip.
        hash: BlockHash,
        /// Its height.
        height: u32,
    },
    /// A heavier chain of headers is known.
    HeadersAdvanced {
        /// The height of the best header.
        height: u32,
    },
    /// A block was refused for ever.
    Rejected {
        /// Its hash.
        hash: BlockHash,
        /// Why.
        reason: String,
    },
}

/// What happens to the mempool.
#[derive(Debug, Clone)]
pub enum MempoolEvent {
    /// A transaction was taken.
    Added {
        /// The transaction.
        tx: Arc<Transaction>,
        /// Its id.
        txid: Txid,
        /// Its fee.
        fee: Amount,
        /// Whether it was made here and not by a peer.
        local: bool,
        /// Whether peers are still to be told of it: it was made here, or it waited for what it spends.
        relay: bool,
    },
    /// A transaction left.
    Removed {
        /// Its id.
        txid: Txid,
        /// Why.
        reason: RemovalReason,
    },
}

/// Why a transaction left the mempool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalReason {
    /// It is in a block.
    Confirmed,
    /// A block spends what it spends.
    Conflict,
    /// Another one spends the same coins and pays more.
    Replaced,
    /// The mempool was full.
    Evicted,
    /// It waited too long.
    Expired,
    /// A reorg made it invalid.
    Reorg,
}

/// What happens to the connections.
#[derive(Debug, Clone)]
pub enum PeerEvent {
    /// A peer of this network said hello.
    Connected {
        /// Its id.
        peer: String,
        /// Its address.
        address: String,
        /// Whether it dialled us.
        inbound: bool,
    },
    /// A peer is gone.
    Disconnected {
        /// Its id.
        peer: String,
        /// Why, as far as we know.
        reason: String,
    },
}

/// The reader was too slow: these events are gone. The next call goes on with the oldest that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were missed")]
pub struct Lagged {
    /// How many.
    pub missed: u64,
}

struct Kept {
    event: Arc<Event>,
    bytes: usize,
}

#[derive(Default)]
struct Ring {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The number of the next event; the kept ones are those directly below.
    next: u64,
}

impl Ring {
    fn first(&self) -> u64 {
        self.next - self.kept.len() as u64
    }
}

/// The log of events. Clones share it.
#[derive(Clone)]
pub struct EventLog {
    ring: Arc<Mutex<Ring>>,
    /// The number of the next event, to wake readers.
    next: watch::Sender<u64>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self {
            ring: Arc::default(),
            next: watch::Sender::new(0),
        }
    }
}

impl EventLog {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Each change of the ring is a push or a pop; it is whole after any panic.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event and wakes the readers.
    pub fn publish(&self, event: Event) {
        let bytes = weight(&event);
        let next = {
            let mut ring = self.ring();
            ring.kept.push_back(Kept {
                event: Arc::new(event),
                bytes,
            });
            ring.bytes += bytes;
            ring.next += 1;
            // The newest event stays even if it alone is over the limit.
            while ring.kept.len() > 1 && (ring.kept.len() > MAX_EVENTS || ring.bytes > MAX_BYTES) {
                if let Some(oldest) = ring.kept.pop_front() {
                    ring.bytes -= oldest.bytes;
                }
            }
            ring.next
        };
        self.next.send_replace(next);
    }

    /// A reader of what happens from now on.
    pub fn subscribe(&self) -> EventReader {
        let next = self.ring().next;
        self.subscribe_from(next)
    }

    /// A reader that begins with event number `from`; with the next one if there are not so many yet.
    pub fn subscribe_from(&self, from: u64) -> EventReader {
        EventReader {
            next: from.min(self.ring().next),
            wake: self.next.subscribe(),
            log: self.clone(),
        }
    }

    /// The number that the next event will have.
    pub fn next_number(&self) -> u64 {
        self.ring().next
    }
}

/// How many bytes of chain data an event keeps alive.
fn weight(event: &Event) -> usize {
    match event {
        Event::Chain(
            ChainEvent::Connected { block, .. } | ChainEvent::Disconnected { block, .. },
        ) => block.encoded_len(),
        Event::Mempool(MempoolEvent::Added { tx, .. }) => tx.encoded_len(),
        Event::Chain(_) | Event::Mempool(_) | Event::Peer(_) => 0,
    }
}

/// A position in the log.
pub struct EventReader {
    log: EventLog,
    next: u64,
    wake: watch::Receiver<u64>,
}

impl EventReader {
    /// The next event and its number; waits for it.
    ///
    /// # Errors
    /// [`Lagged`] where the next event is not kept any more; the call after goes on behind the gap.
    pub async fn next(&mut self) -> Result<(u64, Arc<Event>), Lagged> {
        loop {
            // Marked before the look, so that an event in between wakes the wait below.
            self.wake.mark_unchanged();
            if let Some(found) = self.try_next() {
                return found;
            }
            if self.wake.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The next event and its number, if it has happened.
    pub fn try_next(&mut self) -> Option<Result<(u64, Arc<Event>), Lagged>> {
        let ring = self.log.ring();
        let first = ring.first();
        if self.next < first {
            let missed = first - self.next;
            self.next = first;
            return Some(Err(Lagged { missed }));
        }
        let at = usize::try_from(self.next - first).ok()?;
        let event = Arc::clone(&ring.kept.get(at)?.event);
        let number = self.next;
        self.next += 1;
        Some(Ok((number, event)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(height: u32) -> Event {
        Event::Chain(ChainEvent::HeadersAdvanced { height })
    }

    #[test]
    fn readers_resume_by_number_and_learn_of_gaps() {
        let log = EventLog::default();
        let mut slow = log.subscribe();
        let total = u32::try_from(MAX_EVENTS).unwrap() + 10;
        for height in 0..total {
            log.publish(event(height));
        }
        assert!(matches!(slow.try_next(), Some(Err(Lagged { missed: 10 }))));
        assert!(matches!(slow.try_next(), Some(Ok((10, _)))));
        let mut resumed = log.subscribe_from(u64::from(total) - 1);
        assert!(
            matches!(resumed.try_next(), Some(Ok((number, _))) if number == u64::from(total) - 1)
        );
        assert!(resumed.try_next().is_none());
        assert!(log.subscribe_from(u64::MAX).try_next().is_none());
    }
}
