//! Requests and answers of the request-response protocols.

use std::sync::Arc;

use prost::Message;

use super::{
    addresses::{self, PeerAddress},
    block_transactions::{self, BlockTransactionsRequest},
    error::WireError,
    fields::{array32, at_most, check_count, consensus},
    limits::{HEADER_BYTES, MAX_AGENT, MAX_BLOCK_BYTES, MAX_BLOCKS, MAX_HEADERS, MAX_LOCATOR},
    proto,
};
use crate::primitives::{Block, BlockHash, BlockHeader, ChainId, Encode, Transaction, Work};

/// A request-response protocol: its name and the sizes of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Who are you, and what is your best chain?
    Status,
    /// Headers after a common ancestor.
    Headers,
    /// Bodies by hash.
    Blocks,
    /// Transactions of one block by their places.
    BlockTransactions,
    /// Where other peers are.
    Addresses,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Status,
        Self::Headers,
        Self::Blocks,
        Self::BlockTransactions,
        Self::Addresses,
    ];

    /// The name inside the protocol id `/quarry/<net>/<name>/1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Headers => "headers",
            Self::Blocks => "blocks",
            Self::BlockTransactions => "block-transactions",
            Self::Addresses => "addresses",
        }
    }

    /// The most bytes a request may have.
    pub fn max_request(self) -> usize {
        match self {
            Self::Status => 512,
            Self::Headers => 4 << 10,
            Self::Blocks => 2 << 10,
            Self::BlockTransactions => 64 << 10,
            Self::Addresses => 64,
        }
    }

    /// The most bytes an answer may have.
    pub fn max_response(self) -> usize {
        match self {
            Self::Status => 1 << 10,
            Self::Headers => 2 << 20,
            Self::Blocks => 8 << 20,
            Self::BlockTransactions => (4 << 20) + (64 << 10),
            Self::Addresses => 16 << 10,
        }
    }
}

/// A peer's view of itself and its best chain, as claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The network it is on.
    pub chain_id: ChainId,
    /// The first block of that network.
    pub genesis: BlockHash,
    /// Its active tip.
    pub best_hash: BlockHash,
    /// Height of that tip.
    pub best_height: u32,
    /// Work of the chain up to that tip.
    pub total_work: Work,
    /// Name and version of its software; control characters are removed on arrival.
    pub agent: String,
}

/// Asks for the headers that follow the newest known entry of a locator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadersRequest {
    /// Hashes of the asker's chain, newest first.
    pub locator: Vec<BlockHash>,
    /// Last header wanted; zero for as many as allowed.
    pub stop: BlockHash,
}

/// A request of one of the protocols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Asks for a [`Status`] and tells our own.
    Status(Status),
    /// Asks for headers.
    Headers(HeadersRequest),
    /// Asks for blocks by hash.
    Blocks(Vec<BlockHash>),
    /// Asks for transactions of a block.
    BlockTransactions(BlockTransactionsRequest),
    /// Asks for addresses of other peers: at most so many.
    Addresses(u32),
}

/// An answer of one of the protocols.
#[derive(Debug, Clone)]
pub enum Response {
    /// The answer to a status request.
    Status(Status),
    /// Up to [`MAX_HEADERS`] headers.
    Headers(Vec<BlockHeader>),
    /// Blocks as received.
    Blocks(Vec<Arc<Block>>),
    /// Blocks as sent: consensus bytes straight from the database.
    RawBlocks(Vec<Vec<u8>>),
    /// The transactions asked for, in that order; none if the peer lacks one of them.
    BlockTransactions(Vec<Transaction>),
    /// Addresses of other peers.
    Addresses(Vec<PeerAddress>),
    /// The server refuses for now; it is no fault of either side.
    RateLimited,
}

impl Request {
    /// The protocol that carries this request.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Status(_) => Protocol::Status,
            Self::Headers(_) => Protocol::Headers,
            Self::Blocks(_) => Protocol::Blocks,
            Self::BlockTransactions(_) => Protocol::BlockTransactions,
            Self::Addresses(_) => Protocol::Addresses,
        }
    }

    /// Protobuf bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Status(status) => encode_status(status).encode_to_vec(),
            Self::Headers(request) => proto::HeadersRequest {
                locator: request.locator.iter().map(hash_bytes).collect(),
                stop: hash_bytes(&request.stop),
            }
            .encode_to_vec(),
            Self::Blocks(hashes) => proto::BlocksRequest {
                hashes: hashes.iter().map(hash_bytes).collect(),
            }
            .encode_to_vec(),
            Self::BlockTransactions(request) => request.encode(),
            Self::Addresses(most) => addresses::encode_request(*most),
        }
    }

    /// Decodes a request of `protocol`.
    ///
    /// # Errors
    /// [`WireError`] when the bytes break the schema or a limit.
    pub fn decode(protocol: Protocol, bytes: &[u8]) -> Result<Self, WireError> {
        at_most("request", bytes.len(), protocol.max_request())?;
        match protocol {
            Protocol::Status => decode_status(proto::Status::decode(bytes)?).map(Self::Status),
            Protocol::Headers => {
                check_count(bytes, 1, "locator", MAX_LOCATOR)?;
                let message = proto::HeadersRequest::decode(bytes)?;
                Ok(Self::Headers(HeadersRequest {
                    locator: hashes("locator", &message.locator)?,
                    stop: if message.stop.is_empty() {
                        BlockHash::default()
                    } else {
                        BlockHash::from_bytes(array32("stop", &message.stop)?)
                    },
                }))
            }
            Protocol::Blocks => {
                check_count(bytes, 1, "hashes", MAX_BLOCKS)?;
                let message = proto::BlocksRequest::decode(bytes)?;
                if message.hashes.is_empty() {
                    return Err(WireError::Missing("hashes"));
                }
                Ok(Self::Blocks(hashes("hashes", &message.hashes)?))
            }
            Protocol::BlockTransactions => {
                BlockTransactionsRequest::decode(bytes).map(Self::BlockTransactions)
            }
            Protocol::Addresses => addresses::decode_request(bytes).map(Self::Addresses),
        }
    }
}

impl Response {
    /// Protobuf bytes. `protocol` matters for [`Response::RateLimited`], which all have.
    pub fn encode(&self, protocol: Protocol) -> Vec<u8> {
        match self {
            Self::Status(status) => encode_status(status).encode_to_vec(),
            Self::Headers(list) => {
                let mut headers = Vec::with_capacity(list.len() * HEADER_BYTES);
                for header in list {
                    headers.extend_from_slice(&header.to_array());
                }
                proto::HeadersResponse {
                    headers,
                    rate_limited: false,
                }
                .encode_to_vec()
            }
            Self::Blocks(blocks) => {
                encode_blocks(blocks.iter().map(|block| block.to_bytes()).collect())
            }
            Self::RawBlocks(blocks) => encode_blocks(blocks.clone()),
            Self::BlockTransactions(list) => block_transactions::encode_answer(list),
            Self::Addresses(list) => addresses::encode_answer(list),
            Self::RateLimited => match protocol {
                Protocol::Status => proto::Status {
                    rate_limited: true,
                    ..Default::default()
                }
                .encode_to_vec(),
                Protocol::Headers => proto::HeadersResponse {
                    rate_limited: true,
                    ..Default::default()
                }
                .encode_to_vec(),
                Protocol::Blocks => proto::BlocksResponse {
                    rate_limited: true,
                    ..Default::default()
                }
                .encode_to_vec(),
                Protocol::BlockTransactions => proto::BlockTransactionsResponse {
                    rate_limited: true,
                    ..Default::default()
                }
                .encode_to_vec(),
                Protocol::Addresses => proto::AddressesResponse {
                    rate_limited: true,
                    ..Default::default()
                }
                .encode_to_vec(),
            },
        }
    }

    /// Decodes an answer of `protocol`.
    ///
    /// # Errors
    /// [`WireError`] when the bytes break the schema or a limit.
    pub fn decode(protocol: Protocol, bytes: &[u8]) -> Result<Self, WireError> {
        at_most("response", bytes.len(), protocol.max_response())?;
        match protocol {
            Protocol::Status => {
                let message = proto::Status::decode(bytes)?;
                if message.rate_limited {
                    return Ok(Self::RateLimited);
                }
                decode_status(message).map(Self::Status)
            }
            Protocol::Headers => {
                let message = proto::HeadersResponse::decode(bytes)?;
                if message.rate_limited {
                    return Ok(Self::RateLimited);
                }
                at_most("headers", message.headers.len() / HEADER_BYTES, MAX_HEADERS)?;
                let (headers, rest) = message.headers.as_chunks::<HEADER_BYTES>();
                if !rest.is_empty() {
                    return Err(WireError::Length {
                        field: "last header",
                        expected: HEADER_BYTES,
                        found: rest.len(),
                    });
                }
                headers
                    .iter()
                    .map(|header| consensus("header", header))
                    .collect::<Result<_, _>>()
                    .map(Self::Headers)
            }
            Protocol::Blocks => {
                check_count(bytes, 1, "blocks", MAX_BLOCKS)?;
                let message = proto::BlocksResponse::decode(bytes)?;
                if message.rate_limited {
                    return Ok(Self::RateLimited);
                }
                message
                    .blocks
                    .iter()
                    .map(|block| {
                        at_most("block", block.len(), MAX_BLOCK_BYTES)?;
                        consensus("block", block).map(Arc::new)
                    })
                    .collect::<Result<_, _>>()
                    .map(Self::Blocks)
            }
            Protocol::BlockTransactions => Ok(match block_transactions::decode_answer(bytes)? {
                Some(transactions) => Self::BlockTransactions(transactions),
                None => Self::RateLimited,
            }),
            Protocol::Addresses => Ok(match addresses::decode_answer(bytes)? {
                Some(list) => Self::Addresses(list),
                None => Self::RateLimited,
            }),
        }
    }
}

fn encode_blocks(blocks: Vec<Vec<u8>>) -> Vec<u8> {
    proto::BlocksResponse {
        blocks,
        rate_limited: false,
    }
    .encode_to_vec()
}

fn encode_status(status: &Status) -> proto::Status {
    proto::Status {
        chain_id: status.chain_id.to_bytes().to_vec(),
        genesis: hash_bytes(&status.genesis),
        best_hash: hash_bytes(&status.best_hash),
        best_height: status.best_height,
        total_work: status.total_work.to_be_bytes().to_vec(),
        agent: clean_agent(&status.agent),
        rate_limited: false,
    }
}

fn decode_status(message: proto::Status) -> Result<Status, WireError> {
    at_most("agent", message.agent.len(), MAX_AGENT)?;
    Ok(Status {
        chain_id: ChainId::from_bytes(array32("chain_id", &message.chain_id)?),
        genesis: BlockHash::from_bytes(array32("genesis", &message.genesis)?),
        best_hash: BlockHash::from_bytes(array32("best_hash", &message.best_hash)?),
        best_height: message.best_height,
        total_work: Work::from_be_bytes(array32("total_work", &message.total_work)?),
        agent: clean_agent(&message.agent),
    })
}

/// Agents end up in logs and on pages: printable ASCII only, cut to the limit.
fn clean_agent(agent: &str) -> String {
    agent
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(MAX_AGENT)
        .collect()
}

fn hash_bytes(hash: &BlockHash) -> Vec<u8> {
    hash.to_bytes().to_vec()
}

fn hashes(field: &'static str, list: &[Vec<u8>]) -> Result<Vec<BlockHash>, WireError> {
    list.iter()
        .map(|bytes| array32(field, bytes).map(BlockHash::from_bytes))
        .collect()
}

#[cfg(test)]
mod tests;
