//! Gossiped blocks and transactions: received, judged once, relayed, published.

use libp2p::{
    PeerId,
    gossipsub::{self, MessageId, PublishError},
};

use super::{
    MAX_RECENT_BLOCKS, Service,
    calls::{self, GossipJudgement, Relay},
};
use crate::{
    network::{
        gossip::{Delivery, Publication},
        limits::MAX_GOSSIP_CALLS,
        peers::Fault,
        sync::{BlockVerdict, Event, Facts, PeerStatus, SyncFault},
    },
    primitives::BlockHash,
    wire::BlockGossip,
};

impl Service {
    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => self.on_message(propagation_source, message_id, message),
            gossipsub::Event::Subscribed { peer_id, topic } => {
                tracing::debug!(peer = %peer_id, %topic, "subscribed");
                for publication in self.outbox.take_waiting() {
                    self.publish(publication);
                }
            }
            gossipsub::Event::Unsubscribed { .. } => {}
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                tracing::debug!(peer = %peer_id, "no gossip with this peer");
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "a peer is too slow for gossip");
            }
        }
    }

    /// Starts judging a message. Each gets exactly one verdict: here when we are too busy, else
    /// when its call is done.
    fn on_message(&mut self, source: PeerId, id: MessageId, message: gossipsub::Message) {
        if let Some(peer) = self.peers.get_mut(&source) {
            peer.received += 1;
        }
        if self.gossip_calls >= MAX_GOSSIP_CALLS {
            self.report(&id, source, Relay::Ignore);
            return;
        }
        if message.topic == self.topics.blocks.hash() {
            self.gossip_calls += 1;
            let chain = self.chain.clone();
            let call = calls::judge_gossip_block(chain, source, id, message.data);
            self.tasks.spawn(call);
        } else if message.topic == self.topics.transactions.hash() {
            self.gossip_calls += 1;
            let mempool = self.mempool.clone();
            let call = calls::judge_gossip_transactions(mempool, source, id, message.data);
            self.tasks.spawn(call);
        } else {
            self.report(&id, source, Relay::Reject);
        }
    }

    /// Gives gossipsub its verdict.
    pub(super) fn report(&mut self, id: &MessageId, source: PeerId, relay: Relay) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, &source, relay.into());
    }

    /// The header of a gossiped block is judged: relay first, then take it in.
    pub(super) fn on_gossip_judged(
        &mut self,
        source: PeerId,
        id: &MessageId,
        judgement: GossipJudgement,
    ) {
        self.report(id, source, judgement.relay());
        match judgement {
            GossipJudgement::News(BlockGossip::Whole(block)) => {
                self.remember_block(block.header.hash());
                self.gossip_calls += 1;
                let stamp = self.next_stamp();
                let chain = self.chain.clone();
                self.tasks
                    .spawn(calls::take_gossip_block(chain, stamp, source, block));
            }
            GossipJudgement::News(BlockGossip::Header(header)) => {
                // Compact announcements will be completed from the mempool here; until then the
                // body is fetched like any other that the header chain lacks.
                self.remember_block(header.hash());
                self.gossip_calls += 1;
                let stamp = self.next_stamp();
                let chain = self.chain.clone();
                let call = calls::take_gossip_header(chain, stamp, source, header);
                self.tasks.spawn(call);
            }
            GossipJudgement::Known(hash) => self.remember_block(hash),
            GossipJudgement::UnknownParent => {
                if let Some(peer) = self.peers.get(&source) {
                    let peer = peer.key;
                    self.sync_event(Event::UnknownParent { peer });
                }
            }
            GossipJudgement::Bad(fault) => self.punish(source, fault),
            GossipJudgement::Stale | GossipJudgement::Future | GossipJudgement::OurFault => {}
        }
    }

    /// The chain has judged a gossiped body. An invalid one is not held against the sender, who
    /// relayed it after the header checks, as we did; its header cost real work.
    pub(super) fn on_gossip_body(&mut self, source: PeerId, verdict: BlockVerdict) {
        match verdict {
            BlockVerdict::Accepted | BlockVerdict::Future | BlockVerdict::OurFault => {}
            BlockVerdict::Invalid => tracing::warn!(peer = %source, "a gossiped block is invalid"),
            BlockVerdict::Mutated => self.punish(source, Fault::Sync(SyncFault::MutatedBlock)),
            BlockVerdict::UnknownParent => {
                if let Some(peer) = self.peers.get(&source) {
                    let peer = peer.key;
                    self.sync_event(Event::UnknownParent { peer });
                }
            }
        }
    }

    /// A gossiped block, or the header of a large one, was given to the chain. Whoever sent it has the chain below it: bodies
    /// that are still missing there can be asked of that peer, whatever its last status said.
    pub(super) fn on_gossip_taken(
        &mut self,
        source: PeerId,
        has: Option<PeerStatus>,
        facts: Facts,
    ) {
        // The chain first: a claim is measured against what we know now.
        self.sync_event(Event::Facts(facts));
        if let (Some(status), Some(peer)) = (has, self.peers.get(&source)) {
            let peer = peer.key;
            self.sync_event(Event::PeerHas { peer, status });
        }
    }

    /// Publishes, or keeps what nobody can take for the next subscription.
    pub(super) fn publish(&mut self, publication: Publication) {
        let (topic, data) = match &publication {
            Publication::Block { hash, data } => {
                self.remember_block(*hash);
                (self.topics.blocks.hash(), data.clone())
            }
            Publication::Transactions { data } => (self.topics.transactions.hash(), data.clone()),
        };
        match self.swarm.behaviour_mut().gossip.publish(topic, data) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            // To have no subscribers is normal for a node that is alone.
            Err(PublishError::NoPeersSubscribedToTopic | PublishError::AllQueuesFull(_)) => {
                self.outbox.keep(publication);
            }
            Err(error) => tracing::error!(%error, "cannot publish"),
        }
    }

    /// Notes that a block came or went by gossip: publishing it again would be a duplicate.
    fn remember_block(&mut self, hash: BlockHash) {
        if !self.recent_blocks.contains(&hash) {
            if self.recent_blocks.len() >= MAX_RECENT_BLOCKS {
                self.recent_blocks.pop_front();
            }
            self.recent_blocks.push_back(hash);
        }
    }

    /// Mesh peers that delivered block gossip, duplicates included: their links are alive.
    pub(super) fn on_deliveries(&mut self, deliveries: &[Delivery]) {
        if deliveries.is_empty() {
            return;
        }
        let now = self.now();
        let blocks = self.topics.blocks.hash();
        for delivery in deliveries.iter().filter(|d| d.topic == blocks) {
            if let Some(peer) = self.peers.get_mut(&delivery.peer) {
                peer.delivered_at = now;
                peer.missed = 0;
            }
        }
    }
}
