//! Gossiped blocks and transactions: received, judged once, relayed, published.

use std::sync::Arc;

use libp2p::{
    PeerId,
    gossipsub::{self, MessageId, PublishError},
};

use super::{
    Service,
    calls::{self, GossipJudgement, Relay},
    transactions,
};
use crate::{
    network::{
        gossip::{Delivery, Form, Publication},
        limits::{MAX_BLOCK_CALLS, MAX_TRANSACTION_CALLS},
        peers::Fault,
        sync::{BlockVerdict, Event, Facts, PeerStatus, SyncFault},
    },
    primitives::{Block, BlockHeader},
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
                if let Some(block) = self.outbox.take_waiting_block() {
                    self.publish(block);
                }
                if self.outbox.has_waiting() {
                    let now = self.now();
                    self.outbox.repeat(now, std::iter::empty());
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
        if message.topic == self.topics.blocks.hash() {
            if self.block_calls >= MAX_BLOCK_CALLS {
                self.report(&id, source, Relay::Ignore);
                return;
            }
            self.block_calls += 1;
            let (chain, facts) = (self.chain.clone(), Arc::clone(&self.facts));
            let call = calls::judge_gossip_block(chain, facts, source, id, message.data);
            self.tasks.spawn(call);
        } else if message.topic == self.topics.transactions.hash() {
            if self.transaction_calls >= MAX_TRANSACTION_CALLS {
                self.report(&id, source, Relay::Ignore);
                return;
            }
            self.transaction_calls += 1;
            let mempool = self.mempool.clone();
            let call = transactions::judge_gossip_transactions(mempool, source, id, message.data);
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
        // Each form of a block is relayed once.
        let is_first = match &judgement {
            GossipJudgement::News(message) => {
                let hash = message.header().hash();
                self.recent_blocks.note(hash, Form::of(message))
            }
            GossipJudgement::Known(hash, form) => self.recent_blocks.note(*hash, *form),
            GossipJudgement::UnknownParent
            | GossipJudgement::Stale
            | GossipJudgement::Future
            | GossipJudgement::Bad(_)
            | GossipJudgement::OurFault => true,
        };
        let relay = if is_first {
            judgement.relay()
        } else {
            Relay::Ignore
        };
        self.report(id, source, relay);
        match judgement {
            GossipJudgement::News(BlockGossip::Whole(block)) => {
                self.take_gossip_block(Some(source), Arc::new(block));
            }
            GossipJudgement::News(BlockGossip::Compact(compact)) => {
                if let Some(peer) = self.peers.get(&source) {
                    let action = self.compact.announced(peer.key, compact);
                    self.compact_action(action);
                }
            }
            // The body is fetched like any other that the header chain lacks.
            GossipJudgement::News(BlockGossip::Header(header)) => {
                self.take_gossip_header(source, header);
            }
            GossipJudgement::UnknownParent => {
                if let Some(peer) = self.peers.get(&source) {
                    let peer = peer.key;
                    self.sync_event(Event::UnknownParent { peer });
                }
            }
            GossipJudgement::Bad(fault) => self.punish(source, fault),
            GossipJudgement::Known(..)
            | GossipJudgement::Stale
            | GossipJudgement::Future
            | GossipJudgement::OurFault => {}
        }
    }

    /// Gives a gossiped block to the chain.
    pub(super) fn take_gossip_block(&mut self, source: Option<PeerId>, block: Arc<Block>) {
        self.block_calls += 1;
        let (chain, facts) = (self.chain.clone(), Arc::clone(&self.facts));
        let call = calls::take_gossip_block(chain, facts, source, block);
        self.tasks.spawn(call);
    }

    /// Gives the header of an announced block to the chain; sync then fetches what it lacks.
    pub(super) fn take_gossip_header(&mut self, source: PeerId, header: BlockHeader) {
        self.block_calls += 1;
        let (chain, facts) = (self.chain.clone(), Arc::clone(&self.facts));
        let call = calls::take_gossip_header(chain, facts, source, header);
        self.tasks.spawn(call);
    }

    /// The chain has judged a gossiped body. An invalid one is not held against the sender, who
    /// relayed it after the header checks, as we did; its header cost real work.
    pub(super) fn on_gossip_body(&mut self, source: Option<PeerId>, verdict: BlockVerdict) {
        let Some(source) = source else { return };
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
        source: Option<PeerId>,
        has: Option<PeerStatus>,
        facts: Facts,
    ) {
        let peer = source.and_then(|source| self.peers.get(&source));
        if let (Some(status), Some(peer)) = (has, peer) {
            let peer = peer.key;
            self.sync_event(Event::PeerHas { peer, status });
        }
        self.sync_event(Event::Facts(facts));
    }

    /// Publishes, or keeps what nobody can take for the next subscription.
    pub(super) fn publish(&mut self, publication: Publication) {
        let (topic, data) = match &publication {
            Publication::Block { hash, form, data } => {
                self.recent_blocks.note(*hash, *form);
                (self.topics.blocks.hash(), data.clone())
            }
            Publication::Transactions { data, .. } => {
                (self.topics.transactions.hash(), data.clone())
            }
        };
        match self.swarm.behaviour_mut().gossip.publish(topic, data) {
            Ok(_) => {}
            // To have no subscribers is normal for a node that is alone.
            Err(PublishError::NoPeersSubscribedToTopic) => self.outbox.keep(publication),
            // gossipsub holds these bytes published and will never send them again.
            Err(PublishError::Duplicate | PublishError::AllQueuesFull(_)) => match &publication {
                Publication::Block { .. } => self.tell_status(),
                Publication::Transactions { .. } => {
                    self.outbox.keep(publication);
                    self.repeat_soon(self.now());
                }
            },
            Err(error) => tracing::error!(%error, "cannot publish"),
        }
    }

    /// Gossip does not tell everybody our tip: statuses will.
    pub(super) fn tell_status(&mut self) {
        self.telling = true;
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
