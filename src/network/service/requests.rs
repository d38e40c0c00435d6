//! Requests: ours and their answers, those of peers and our answers.

use libp2p::{
    PeerId,
    request_response::{self, InboundRequestId, Message, OutboundFailure, ResponseChannel},
};

use super::{Outgoing, Service, calls};
use crate::{
    network::{
        limits::{MAX_SERVING, MAX_SERVING_PER_PEER},
        peers::{Fault, Peer},
        sync::{Event, RequestFailure},
    },
    wire::{Protocol, Request, Response, Status},
};

/// What a headers request costs at least, in headers: one that finds nothing is not free.
const MIN_HEADERS_COST: u64 = 10;
/// Refused requests in a row that are a fault. Honest nodes keep to 80 % of the quotas.
const MAX_REFUSED: u32 = 50;

type RequestEvent = request_response::Event<Request, Response>;

impl Service {
    /// Sends a request to a connected peer.
    pub(super) fn send_request(&mut self, peer: PeerId, request: Request, purpose: Outgoing) {
        let protocol = request.protocol();
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.sent += 1;
        }
        let behaviour = self.swarm.behaviour_mut().requests(protocol);
        let id = behaviour.send_request(&peer, request);
        self.outgoing.insert((protocol, id), purpose);
    }

    /// Asks for the peer's status and tells ours.
    pub(super) fn send_status(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.polling = true;
        }
        let status = self.own_status();
        self.send_request(peer, Request::Status(status), Outgoing::Status);
    }

    fn own_status(&self) -> Status {
        let tip = self.chain.reader().tip();
        Status {
            chain_id: self.chain_id,
            genesis: self.genesis,
            best_hash: tip.hash,
            best_height: tip.height,
            total_work: tip.chainwork,
            agent: self.config.agent.clone(),
        }
    }

    pub(super) fn on_request_event(&mut self, protocol: Protocol, event: RequestEvent) {
        match event {
            RequestEvent::Message { peer, message, .. } => match message {
                Message::Request {
                    request_id,
                    request,
                    channel,
                } => self.on_request(peer, request_id, request, channel),
                Message::Response {
                    request_id,
                    response,
                } => {
                    if let Some(purpose) = self.outgoing.remove(&(protocol, request_id)) {
                        self.on_answer(peer, purpose, response);
                    }
                }
            },
            RequestEvent::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                if let Some(purpose) = self.outgoing.remove(&(protocol, request_id)) {
                    self.on_request_failed(peer, purpose, &error);
                }
            }
            RequestEvent::InboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                self.end_serving(protocol, request_id);
                if is_malformed_io(match &error {
                    request_response::InboundFailure::Io(error) => Some(error),
                    _ => None,
                }) {
                    self.punish(peer, Fault::BadRequest);
                }
            }
            RequestEvent::ResponseSent { request_id, .. } => {
                self.end_serving(protocol, request_id);
            }
        }
    }

    fn on_answer(&mut self, peer: PeerId, purpose: Outgoing, response: Response) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.received += 1;
        }
        match (purpose, response) {
            (Outgoing::Status, Response::Status(status)) => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.polling = false;
                }
                self.on_status(peer, status);
            }
            (Outgoing::Status, _) => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.polling = false;
                }
            }
            (Outgoing::Sync(request), Response::Headers(headers)) => {
                self.sync_event(Event::HeadersAnswered { request, headers });
            }
            (Outgoing::Sync(request), Response::Blocks(blocks)) => {
                self.sync_event(Event::BlocksAnswered { request, blocks });
            }
            (Outgoing::Sync(request), Response::RateLimited) => {
                self.sync_failed(request, RequestFailure::RateLimited);
            }
            // Codecs decode answers of their own protocol only.
            (
                Outgoing::Sync(request),
                Response::Status(_)
                | Response::RawBlocks(_)
                | Response::BlockTransactions(_)
                | Response::Addresses(_),
            ) => self.sync_failed(request, RequestFailure::Malformed),
            (Outgoing::BlockTransactions(hash), Response::BlockTransactions(transactions)) => {
                let action = self.compact.answered(hash, transactions);
                self.compact_action(action);
            }
            (Outgoing::BlockTransactions(hash), _) => self.compact_unanswered(hash),
            (Outgoing::Addresses, Response::Addresses(list)) => self.on_addresses(peer, &list),
            // It may be asked again after the same time as if it had answered.
            (Outgoing::Addresses, _) => {}
        }
    }

    fn on_request_failed(&mut self, peer: PeerId, purpose: Outgoing, error: &OutboundFailure) {
        tracing::debug!(%peer, ?purpose, %error, "a request failed");
        match purpose {
            Outgoing::Status => {
                let Some(state) = self.peers.get_mut(&peer) else {
                    return;
                };
                state.polling = false;
                if matches!(error, OutboundFailure::UnsupportedProtocols) {
                    self.drop_stranger(peer, "it does not speak the protocol of this network");
                } else if matches!(error, OutboundFailure::Io(e) if is_malformed_io(Some(e))) {
                    self.punish(peer, Fault::BadRequest);
                }
            }
            Outgoing::Sync(request) => {
                let failure = match error {
                    OutboundFailure::Timeout => RequestFailure::Timeout,
                    OutboundFailure::Io(error) if is_malformed_io(Some(error)) => {
                        RequestFailure::Malformed
                    }
                    OutboundFailure::DialFailure
                    | OutboundFailure::ConnectionClosed
                    | OutboundFailure::UnsupportedProtocols
                    | OutboundFailure::Io(_) => RequestFailure::Broken,
                };
                self.sync_failed(request, failure);
            }
            Outgoing::Addresses => {
                if matches!(error, OutboundFailure::Io(e) if is_malformed_io(Some(e))) {
                    self.punish(peer, Fault::BadRequest);
                }
            }
            Outgoing::BlockTransactions(hash) => {
                self.compact_unanswered(hash);
                if matches!(error, OutboundFailure::Io(e) if is_malformed_io(Some(e))) {
                    self.punish(peer, Fault::BadRequest);
                }
            }
        }
    }

    /// Serves a request, within its quota and the limits of how many at once.
    fn on_request(
        &mut self,
        id: PeerId,
        request_id: InboundRequestId,
        request: Request,
        channel: ResponseChannel<Response>,
    ) {
        let now = self.now();
        let protocol = request.protocol();
        let busy = self.serving.len() >= MAX_SERVING;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.received += 1;
        let busy = busy || peer.serving >= MAX_SERVING_PER_PEER;
        if busy || !admit(peer, now, &request) {
            peer.refused += 1;
            if peer.refused >= MAX_REFUSED {
                peer.refused = 0;
                self.punish(id, Fault::Flood);
            }
            self.send_answer(id, protocol, channel, Response::RateLimited);
            return;
        }
        peer.refused = 0;
        match request {
            Request::Status(status) => {
                let answer = Response::Status(self.own_status());
                self.send_answer(id, protocol, channel, answer);
                self.on_status(id, status);
            }
            Request::Addresses(most) => {
                let answer = Response::Addresses(self.addresses_for(id, most));
                self.send_answer(id, protocol, channel, answer);
            }
            Request::BlockTransactions(request) => {
                peer.serving += 1;
                self.serving.insert((protocol, request_id), id);
                self.serve_block_transactions(id, request, channel);
            }
            Request::Headers(_) | Request::Blocks(_) => {
                peer.serving += 1;
                self.serving.insert((protocol, request_id), id);
                let reader = self.chain.reader().clone();
                self.tasks.spawn_blocking(move || {
                    let response = match &request {
                        Request::Headers(request) => Ok(calls::serve_headers(&reader, request)),
                        Request::Blocks(hashes) => calls::serve_blocks(&reader, hashes),
                        Request::Status(_)
                        | Request::BlockTransactions(_)
                        | Request::Addresses(_) => Ok(Response::RateLimited),
                    };
                    match response {
                        Ok(response) => calls::Done::Served {
                            peer: id,
                            protocol,
                            channel,
                            response,
                        },
                        Err(error) => calls::Done::ChainGone(error.to_string()),
                    }
                });
            }
        }
    }

    /// Sends an answer and charges what it cost.
    pub(super) fn send_answer(
        &mut self,
        peer: PeerId,
        protocol: Protocol,
        channel: ResponseChannel<Response>,
        response: Response,
    ) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.sent += 1;
            match &response {
                Response::Headers(headers) => {
                    let cost = (headers.len() as u64).saturating_sub(MIN_HEADERS_COST);
                    peer.quotas.headers.charge(cost);
                }
                Response::RawBlocks(blocks) => {
                    let bytes: usize = blocks.iter().map(Vec::len).sum();
                    peer.quotas.block_bytes.charge(bytes as u64);
                }
                Response::Status(_)
                | Response::Blocks(_)
                | Response::BlockTransactions(_)
                | Response::Addresses(_)
                | Response::RateLimited => {}
            }
        }
        let behaviour = self.swarm.behaviour_mut().requests(protocol);
        if behaviour.send_response(channel, response).is_err() {
            tracing::debug!(%peer, "an answer came too late");
        }
    }

    fn end_serving(&mut self, protocol: Protocol, request: InboundRequestId) {
        if let Some(peer) = self.serving.remove(&(protocol, request))
            && let Some(peer) = self.peers.get_mut(&peer)
        {
            peer.serving = peer.serving.saturating_sub(1);
        }
    }
}

/// Whether the peer's quotas allow the request; takes what it costs at least.
fn admit(peer: &mut Peer, now: u64, request: &Request) -> bool {
    match request {
        Request::Status(_) => peer.quotas.status.take(now, 1),
        // Nothing but greetings before the handshake.
        _ if peer.status.is_none() => false,
        Request::Headers(_) => peer.quotas.headers.take(now, MIN_HEADERS_COST),
        Request::Blocks(hashes) => {
            peer.quotas.block_bytes.left(now) > 0
                && peer.quotas.blocks.take(now, hashes.len() as u64)
        }
        Request::BlockTransactions(_) => peer.quotas.block_transactions.take(now, 1),
        Request::Addresses(_) => peer.quotas.addresses.take(now, 1),
    }
}

/// Whether our codec refused what came (and not the connection broke).
fn is_malformed_io(error: Option<&std::io::Error>) -> bool {
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData)
}
