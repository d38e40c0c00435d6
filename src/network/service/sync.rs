//! Carrying out what the sync machine decides.

use std::sync::Arc;

use super::{Outgoing, Service, calls};
use crate::{
    network::{
        peers::Fault,
        sync::{Action, Event, RequestFailure, RequestId},
    },
    primitives::{BlockHash, BlockHeader},
    wire::{HeadersRequest, Request},
};

impl Service {
    /// Gives an event to sync and does what it wants.
    pub(super) fn sync_event(&mut self, event: Event) {
        let actions = self.sync.handle(self.now(), event);
        self.sync_actions(actions);
        match self.sync.blocks_behind() {
            0 if self.catching_up => {
                self.catching_up = false;
                self.tell_status();
            }
            0 | 1 => {}
            _ => self.catching_up = true,
        }
    }

    /// We have caught up, which is not announced block by block: tell everybody our new tip.
    fn tell_status(&mut self) {
        let ready = self.peers.iter().filter(|(_, peer)| peer.status.is_some());
        let ready: Vec<_> = ready.map(|(id, _)| *id).collect();
        for peer in ready {
            self.send_status(peer);
        }
    }

    /// Lets sync look at the clock.
    pub(super) fn sync_tick(&mut self) {
        let actions = self.sync.tick(self.now());
        self.sync_actions(actions);
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
                Action::JudgeHeaders { peer, headers } => self.judge_headers(peer, headers),
                Action::JudgeBlocks { blocks } => {
                    let chain = self.chain.clone();
                    let stamp = self.next_stamp();
                    self.tasks.spawn(calls::judge_blocks(chain, stamp, blocks));
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

    fn judge_headers(&mut self, peer: crate::network::sync::PeerKey, headers: Vec<BlockHeader>) {
        let chain = self.chain.clone();
        let stamp = self.next_stamp();
        self.tasks
            .spawn(calls::judge_headers(chain, stamp, peer, headers));
    }

    /// A stamp for a reading of the chain that begins after this moment.
    pub(super) fn next_stamp(&mut self) -> u64 {
        self.facts_stamp += 1;
        self.facts_stamp
    }

    /// The chain has changed: read it again, one reading at a time.
    pub(super) fn refresh_facts(&mut self) {
        if self.facts_running {
            self.facts_stale = true;
            return;
        }
        self.facts_running = true;
        self.facts_stale = false;
        let stamp = self.next_stamp();
        let chain = self.chain.clone();
        self.tasks.spawn(calls::refresh(chain, stamp));
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

    /// A block is at our tip: tell everybody, unless it came by gossip or we are far behind.
    ///
    /// How far is read from the chain at this moment. Sync's own facts are older: in a burst of blocks a peer may claim one that
    /// they do not know yet, and the last block of the burst must not stay untold for it.
    pub(super) fn announce(&mut self, hash: BlockHash, block: &Arc<crate::primitives::Block>) {
        let reader = self.chain.reader();
        let (best, tip) = (reader.best_header(), reader.tip());
        let known = self.sync.claimed_above(best.chainwork).max(best.height);
        let behind = known.saturating_sub(tip.height) > 1;
        if behind || self.recent_blocks.contains(&hash) || tip.hash != hash {
            tracing::debug!(height = tip.height, known, "a block is not announced");
            return;
        }
        self.publish(crate::network::gossip::Publication::Block {
            hash,
            data: crate::wire::encode_block_gossip(block),
        });
    }
}
