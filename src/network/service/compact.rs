//! Carrying out what `compact` decides, serving parts of blocks, and announcing our own.

use std::sync::Arc;

use libp2p::{PeerId, request_response::ResponseChannel};

use super::{Outgoing, Service, calls::Done};
use crate::{
    chain::ChainReader,
    network::{
        NetworkError,
        compact::{Action, assemble, pick},
        gossip::Publication,
        sync::PeerKey,
    },
    primitives::{Block, BlockHash, Encode},
    wire::{BlockTransactionsRequest, Protocol, Request, Response, limits::MAX_GOSSIP_BLOCK},
};

/// A request for transactions of a block that is not whole here yet: announcements are relayed before they are filled, so
/// whoever got one from us asks us while we ask the one before us.
pub(super) struct Waiting {
    peer: PeerId,
    request: BlockTransactionsRequest,
    channel: ResponseChannel<Response>,
}

impl Service {
    pub(super) fn compact_action(&mut self, action: Option<Action>) {
        match action {
            None => {}
            Some(Action::Match { hash, key, ids }) => {
                let mempool = self.mempool.clone();
                self.tasks.spawn(async move {
                    let matches = mempool.by_short_ids(key, ids).await;
                    Done::CompactMatched { hash, matches }
                });
            }
            Some(Action::Ask { peer, request }) => {
                let hash = request.block();
                match self.peers.by_key(peer) {
                    Some(peer) => {
                        tracing::debug!(%peer, block = %hash, missing = request.places().len(), "asking for transactions of a block");
                        let purpose = Outgoing::BlockTransactions(hash);
                        self.send_request(peer, Request::BlockTransactions(request), purpose);
                    }
                    None => self.compact_unanswered(hash),
                }
            }
            Some(Action::Assemble {
                header,
                transactions,
            }) => {
                self.tasks.spawn_blocking(move || Done::CompactAssembled {
                    hash: header.hash(),
                    block: assemble(header, &transactions).map(Arc::new),
                });
            }
            Some(Action::Take { peer, block }) => {
                self.take_gossip_block(self.peers.by_key(peer), block);
            }
            Some(Action::FetchWhole { peer, header }) => {
                let hash = header.hash();
                tracing::debug!(block = %hash, "an announced block is fetched whole");
                self.serve_waiting(&hash);
                if let Some(source) = self.peers.by_key(peer) {
                    self.take_gossip_header(source, header);
                }
                // Whoever has it, or has it before the announcer, tells so in its status.
                self.tell_status();
            }
        }
    }

    /// The request to the announcer has failed.
    pub(super) fn compact_unanswered(&mut self, hash: BlockHash) {
        let action = self.compact.unanswered(hash);
        self.compact_action(action);
    }

    pub(super) fn compact_tick(&mut self, now: u64) {
        for action in self.compact.tick(now) {
            self.compact_action(Some(action));
        }
    }

    /// A peer has disconnected.
    pub(super) fn compact_gone(&mut self, id: PeerId, peer: PeerKey) {
        self.waiting.retain(|waiting| waiting.peer != id);
        for action in self.compact.gone(peer) {
            self.compact_action(Some(action));
        }
    }

    /// The chain has this block, or will not have it from here.
    pub(super) fn compact_done(&mut self, hash: &BlockHash) {
        self.compact.forget(hash);
        self.serve_waiting(hash);
    }

    /// Answers a request for transactions of a block, now or when the block is whole.
    pub(super) fn serve_block_transactions(
        &mut self,
        peer: PeerId,
        request: BlockTransactionsRequest,
        channel: ResponseChannel<Response>,
    ) {
        if self.compact.is_filling(&request.block()) {
            // As many as may be served at once.
            self.waiting.push(Waiting {
                peer,
                request,
                channel,
            });
            return;
        }
        let judged = self.compact.judged(&request.block()).cloned();
        let reader = self.chain.reader().clone();
        self.tasks.spawn_blocking(move || {
            match block_transactions(&reader, judged.as_deref(), &request) {
                Ok(response) => Done::Served {
                    peer,
                    protocol: Protocol::BlockTransactions,
                    channel,
                    response,
                },
                Err(error) => Done::ChainGone(error.to_string()),
            }
        });
    }

    /// A block is whole, or will not be: whoever waits for parts of it gets an answer.
    pub(super) fn serve_waiting(&mut self, hash: &BlockHash) {
        let is_of_it = |waiting: &mut Waiting| waiting.request.block() == *hash;
        let ready: Vec<_> = self.waiting.extract_if(.., is_of_it).collect();
        for waiting in ready {
            self.serve_block_transactions(waiting.peer, waiting.request, waiting.channel);
        }
    }

    /// Announces a block of ours. The short ids of a large one are made by a helper.
    pub(super) fn publish_block(&mut self, hash: BlockHash, block: Arc<Block>) {
        if block.encoded_len() <= MAX_GOSSIP_BLOCK {
            self.publish(Publication::block(hash, &block, None));
            return;
        }
        // Without randomness the block goes by its header.
        let nonce = getrandom::u64().ok().filter(|_| self.config.compact_blocks);
        self.tasks
            .spawn_blocking(move || Done::Announcement(Publication::block(hash, &block, nonce)));
    }
}

/// The transactions asked for, from the block that is being judged or from the disk; none if one is not there. Blocking.
fn block_transactions(
    reader: &ChainReader,
    judged: Option<&Block>,
    request: &BlockTransactionsRequest,
) -> Result<Response, NetworkError> {
    let transactions = match judged {
        Some(block) => pick(block, request.places()),
        None => reader
            .block(&request.block())
            .map_err(|error| NetworkError::Chain(error.to_string()))?
            .map_or_else(Vec::new, |block| pick(&block, request.places())),
    };
    Ok(Response::BlockTransactions(transactions))
}
