//! Everything about gossip that does not need the swarm's task: topics and settings
//! (`settings`), what waits to be published (`outbox`), what went lately (`recent`), and who still delivers (`deliveries`).
//! What is done with a received message is in `service::gossip`.

mod deliveries;
mod outbox;
mod recent;
mod settings;
#[cfg(test)]
mod tests;

pub(super) use deliveries::{Delivery, drain_deliveries};
pub(super) use outbox::{Outbox, Publication};
pub(super) use recent::{Form, RecentBlocks};
pub(super) use settings::{GossipBehaviour, MeshSize, Topics, build};
