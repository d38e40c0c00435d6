//! Carrying out what the sync machine decides.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Outgoing, Service, calls};
use crate::{
    network::{
        peers::Fault,
        sync::{Action, Event, RequestFailure, RequestId},
    },
    primitives::BlockHash,
    wire::{HeadersRequest, Request},
};

impl Service {
    /// Gives an event to sync and does what it wants.
    pub(super) fn sync_event(&mut self, event: Event) {
        let actions = self.sync.handle(self.now(), event);
        self.follow_sync(actions);
    }

    /// Lets sync look at the clock.
    pub(super) fn sync_tick(&mut self) {
        let actions = self.sync.tick(self.now());
        self.follow_sync(actions);
    }

    fn follow_sync(&mut self, actions: Vec<Action>) {
        self.sync_actions(actions);
        // Which bodies are wanted depends on who has them.
        if self.facts.set_ends(self.sync.ends()) {
            self.refresh_facts();
        }
        self.check_progress();
    }

    /// When we have caught up, or given up, everybody is told our new tip: it was not announced block by block.
    fn check_progress(&mut self) {
        match self.sync.blocks_behind() {
            0 if self.catching_up => {
                self.catching_up = false;
                self.tell_status();
            }
            0 | 1 => {}
            _ => self.catching_up = true,
        }
    }

    fn sync_actions(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::RequestHeaders {
                    peer,
                    request,
                    locator,
                } => {
                    let message = Request::Headers(HeadersRequest {
                        locator,
                        stop: BlockHash::default(),
                    });
                    self.sync_request(peer, request, message);
                }
                Action::RequestBlocks {
                    peer,
                    request,
                    hashes,
                } => self.sync_request(peer, request, Request::Blocks(hashes)),
                Action::JudgeHeaders {
                    peer,
                    headers,
                    least,
                    weighing,
                } => {
                    let (chain, facts) = (self.chain.clone(), Arc::clone(&self.facts));
                    let call = calls::judge_headers(chain, facts, peer, headers, least, weighing);
                    self.tasks.spawn(call);
                }
                Action::JudgeBlocks { blocks, more } => {
                    let (chain, facts) = (self.chain.clone(), Arc::clone(&self.facts));
                    let (sent, all_sent) = oneshot::channel();
                    let before = self.blocks_sent.replace(all_sent);
                    let turn = calls::Turn { before, sent };
                    let call = calls::judge_blocks(chain, facts, blocks, more, turn);
                    self.tasks.spawn(call);
                }
                Action::Misbehaved { peer, fault } => {
                    if let Some(peer) = self.peers.by_key(peer) {
                        self.punish(peer, Fault::Sync(fault));
                    }
                }
            }
        }
    }

    fn sync_request(
        &mut self,
        peer: crate::network::sync::PeerKey,
        request: RequestId,
        message: Request,
    ) {
        match self.peers.by_key(peer) {
            Some(peer) => self.send_request(peer, message, Outgoing::Sync(request)),
            // It is gone, and sync will hear of that; nothing is owed for its requests.
            None => tracing::debug!(?peer, "a request for a peer that is gone"),
        }
    }

    /// The chain has changed: read it again, one reading at a time.
    pub(super) fn refresh_facts(&mut self) {
        if self.facts_running {
            self.facts_stale = true;
            return;
        }
        self.facts_running = true;
        self.facts_stale = false;
        let (chain, facts) = (self.chain.clone(), Arc::clone(&self.facts));
        self.tasks.spawn(calls::refresh(chain, facts));
    }

    /// A reading asked for by [`Self::refresh_facts`] is done.
    pub(super) fn on_facts(&mut self, facts: crate::network::sync::Facts) {
        self.facts_running = false;
        self.sync_event(Event::Facts(facts));
        if self.facts_stale {
            self.refresh_facts();
        }
        self.publish_status();
    }

    /// A request of sync has failed.
    pub(super) fn sync_failed(&mut self, request: RequestId, failure: RequestFailure) {
        self.sync_event(Event::RequestFailed { request, failure });
    }

    /// A block is at our tip: tell everybody, unless it came by gossip or more blocks are on their way to us.
    ///
    /// How far we are is read from the chain at this moment, since sync's own facts are older: the last block of a burst must
    /// not stay untold. What peers merely claim, and headers whose blocks do not come, must not silence us.
    pub(super) fn announce(&mut self, hash: BlockHash, block: &Arc<crate::primitives::Block>) {
        let reader = self.chain.reader();
        let (best, tip) = (reader.best_header().height, reader.tip());
        let behind = best.saturating_sub(tip.height) > 1 && self.sync.is_downloading();
        if behind || self.recent_blocks.contains(&hash) || tip.hash != hash {
            tracing::debug!(height = tip.height, best, "a block is not announced");
            return;
        }
        self.publish_block(hash, Arc::clone(block));
    }
}
