//! Which peers deliver gossip, duplicates included.
//!
//! gossipsub reports a message once, for the peer that was first. Whether the others deliver
//! too, which the liveness check must know, shows only in a callback for delivery times, and that
//! is a plain function without state. It runs inside the swarm's `poll`, on whatever thread that
//! is; so it notes the peer in a thread-local list, and the owner of the swarm takes the list
//! right after each poll ([`drain_deliveries`]). Several swarms in one process do not mix.

use std::cell::RefCell;

use libp2p::{PeerId, gossipsub::TopicHash};

/// Entries kept between two polls; one poll handles few messages.
const MAX_NOTED: usize = 1_024;

/// A peer delivered a message.
#[derive(Debug, Clone)]
pub(in crate::network) struct Delivery {
    /// The mesh peer.
    pub(in crate::network) peer: PeerId,
    /// On this topic.
    pub(in crate::network) topic: TopicHash,
}

thread_local! {
    static NOTED: RefCell<Vec<Delivery>> = const { RefCell::new(Vec::new()) };
}

/// The callback given to gossipsub.
pub(super) fn record_delivery(peer: &PeerId, topic: &TopicHash, _seconds: f64) {
    NOTED.with_borrow_mut(|noted| {
        if noted.len() < MAX_NOTED {
            noted.push(Delivery {
                peer: *peer,
                topic: topic.clone(),
            });
        }
    });
}

/// Takes what was noted during the poll that just ended on this thread.
pub(in crate::network) fn drain_deliveries() -> Vec<Delivery> {
    NOTED.with_borrow_mut(std::mem::take)
}
