//! What chain, mempool and helper tasks tell.

use std::sync::Arc;

use libp2p::gossipsub::MessageAcceptance;

use super::{
    Service, Step,
    calls::{Done, GossipJudgement, Relay},
    transactions,
};
use crate::{
    chain::{ChainEvent, Event, Lagged, MempoolEvent},
    network::{NetworkError, sync::Event as SyncEvent},
    primitives::{Transaction, Txid},
};

/// Own transactions remembered until they are in a block.
const MAX_OWN_TRANSACTIONS: usize = 1_000;

impl Service {
    pub(super) fn on_node_event(&mut self, event: Result<(u64, Arc<Event>), Lagged>) {
        match event {
            Ok((_, event)) => match &*event {
                Event::Chain(event) => self.on_chain_event(event),
                Event::Mempool(event) => self.on_mempool_event(event),
                // These are our own.
                Event::Peer(_) => {}
            },
            // Events are hints here: the next reading of chain and mempool has everything.
            Err(Lagged { missed }) => {
                tracing::debug!(missed, "events were missed");
                self.refresh_facts();
                self.tell_status();
                let mempool = self.mempool.clone();
                self.tasks.spawn(transactions::own_transactions(mempool));
            }
        }
    }

    fn on_chain_event(&mut self, event: &ChainEvent) {
        match event {
            ChainEvent::Connected { hash, block, .. } => {
                self.compact_done(hash);
                self.announce(*hash, block);
            }
            ChainEvent::TipChanged { .. }
            | ChainEvent::HeadersAdvanced { .. }
            | ChainEvent::Rejected { .. } => self.refresh_facts(),
            // Followed by a change of the tip.
            ChainEvent::Disconnected { .. } | ChainEvent::Reorg { .. } => {}
        }
    }

    fn on_mempool_event(&mut self, event: &MempoolEvent) {
        match event {
            MempoolEvent::Added {
                tx,
                txid,
                local,
                relay,
                ..
            } => {
                if *local {
                    self.remember_own(*txid, tx);
                }
                // Others of peers were relayed with the verdict on their batch.
                if *relay {
                    let now = self.now();
                    self.outbox.add(now, Arc::clone(tx));
                }
            }
            MempoolEvent::Removed { txid, .. } => {
                self.own_transactions.remove(txid);
            }
        }
    }

    fn remember_own(&mut self, txid: Txid, tx: &Arc<Transaction>) {
        if self.own_transactions.len() < MAX_OWN_TRANSACTIONS {
            self.own_transactions.insert(txid, Arc::clone(tx));
        }
    }

    /// The mempool was asked for our own transactions, since events about them were missed.
    fn on_own_transactions(&mut self, own: &[Arc<Transaction>]) {
        self.own_transactions.clear();
        for tx in own {
            self.remember_own(tx.txid(), tx);
        }
        self.repeat_soon(self.now());
    }

    /// A helper task has ended.
    pub(super) fn on_done(&mut self, done: Done) -> Step {
        match done {
            Done::Facts(facts) => self.on_facts(facts),
            Done::HeadersJudged {
                peer,
                verdict,
                weighing,
                has,
                facts,
            } => {
                tracing::debug!(
                    ?peer,
                    ?verdict,
                    best = facts.best_header_height,
                    "headers judged"
                );
                self.sync_event(SyncEvent::HeadersJudged {
                    peer,
                    verdict,
                    weighing,
                    has,
                    facts,
                });
            }
            Done::BlocksJudged { verdicts, facts } => {
                tracing::debug!(
                    blocks = verdicts.len(),
                    tip = facts.tip_height,
                    "blocks judged"
                );
                self.sync_event(SyncEvent::BlocksJudged { verdicts, facts });
            }
            Done::Served {
                peer,
                protocol,
                channel,
                response,
            } => self.send_answer(peer, protocol, channel, response),
            Done::GossipHeader {
                source,
                id,
                judgement,
            } => {
                self.block_calls = self.block_calls.saturating_sub(1);
                self.on_gossip_judged(source, &id, judgement);
            }
            Done::GossipBody {
                source,
                hash,
                verdict,
                has,
                facts,
            } => {
                self.block_calls = self.block_calls.saturating_sub(1);
                self.compact_done(&hash);
                self.on_gossip_body(source, verdict);
                self.on_gossip_taken(source, has, facts);
            }
            Done::GossipAnnounced { source, has, facts } => {
                self.block_calls = self.block_calls.saturating_sub(1);
                self.on_gossip_taken(Some(source), has, facts);
            }
            Done::CompactMatched { hash, matches } => {
                let action = self.compact.matched(self.now(), hash, matches);
                self.compact_action(action);
            }
            Done::CompactAssembled { hash, block } => {
                let action = self.compact.assembled(hash, block);
                self.compact_action(action);
                self.serve_waiting(&hash);
            }
            Done::Announcement(publication) => self.publish(publication),
            Done::GossipTransactions {
                source,
                id,
                verdict,
            } => {
                self.transaction_calls = self.transaction_calls.saturating_sub(1);
                self.report(&id, source, verdict.relay);
                if let Some(fault) = verdict.fault {
                    self.punish(source, fault);
                }
                let now = self.now();
                for transaction in verdict.announce {
                    self.outbox.add(now, transaction);
                }
            }
            Done::OwnTransactions(own) => self.on_own_transactions(&own),
            Done::Resolved { target, addresses } => self.on_resolved(target, addresses),
            Done::BookSaved(result) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "cannot write the file of known peers");
                }
            }
            Done::ChainGone(reason) => return Err(NetworkError::Chain(reason)),
        }
        Ok(())
    }
}

impl From<Relay> for MessageAcceptance {
    fn from(relay: Relay) -> Self {
        match relay {
            Relay::Accept => Self::Accept,
            Relay::Ignore => Self::Ignore,
            Relay::Reject => Self::Reject,
        }
    }
}

impl GossipJudgement {
    /// The verdict for gossipsub.
    pub(super) fn relay(&self) -> Relay {
        match self {
            Self::News(_) | Self::Known(..) => Relay::Accept,
            Self::UnknownParent | Self::Stale | Self::Future | Self::OurFault => Relay::Ignore,
            Self::Bad(_) => Relay::Reject,
        }
    }
}
