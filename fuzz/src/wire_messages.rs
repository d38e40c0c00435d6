//! Every message that peers send. The first byte of the input chooses the message, the rest are its bytes.

use quarry::primitives::Encode;
use quarry::primitives::{BlockHash, ChainId, ShortId, Work};
use quarry::wire::limits::{
    MAX_ADDRESSES, MAX_AGENT, MAX_BATCH_TRANSACTIONS, MAX_BLOCK_TRANSACTIONS, MAX_BLOCKS,
    MAX_COMPACT_BLOCK, MAX_GOSSIP_BLOCK, MAX_HEADERS, MAX_LOCATOR,
};
use quarry::wire::{
    BlockGossip, BlockTransactionsRequest, CompactBlock, HeadersRequest, PeerAddress, Protocol,
    Request, Response, Status, decode_transaction_batch, encode_transaction_batch,
};
use std::sync::Arc;

use crate::memory::bounded;

/// Bytes of memory for each byte of a message: its copy by protobuf and what `consensus_types` allows for the decoded value.
const FACTOR: u64 = 24;
/// Numbers and lengths of the fields of an announcement, and its nonce.
const FRAME: usize = 30;
/// For errors, and for lists, which start with room for a few entries.
const FIXED: u64 = 8 << 10;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 12 {
        0 => request(Protocol::Status, bytes),
        1 => request(Protocol::Headers, bytes),
        2 => request(Protocol::Blocks, bytes),
        3 => response(Protocol::Status, bytes),
        4 => response(Protocol::Headers, bytes),
        5 => response(Protocol::Blocks, bytes),
        6 => block_gossip(bytes),
        7 => transaction_batch(bytes),
        8 => request(Protocol::BlockTransactions, bytes),
        9 => response(Protocol::BlockTransactions, bytes),
        10 => request(Protocol::Addresses, bytes),
        _ => response(Protocol::Addresses, bytes),
    }
}

fn measured<T>(bytes: &[u8], decode: impl FnOnce() -> T) -> T {
    bounded("message", bytes.len(), FACTOR, FIXED, decode)
}

/// Protobuf has many encodings of one request, ours is one of them: reading it gives the same request.
fn request(protocol: Protocol, bytes: &[u8]) {
    let Ok(request) = measured(bytes, || Request::decode(protocol, bytes)) else {
        return;
    };
    assert!(bytes.len() <= protocol.max_request());
    assert_eq!(request.protocol(), protocol);
    match &request {
        Request::Status(status) => check_status(status),
        Request::Headers(request) => assert!(request.locator.len() <= MAX_LOCATOR),
        Request::Blocks(hashes) => assert!((1..=MAX_BLOCKS).contains(&hashes.len())),
        Request::BlockTransactions(request) => {
            assert!((1..=MAX_BLOCK_TRANSACTIONS).contains(&request.places().len()));
            assert!(request.places().is_sorted_by(|a, b| a < b));
        }
        Request::Addresses(_) => {}
    }
    let ours = request.encode();
    assert!(ours.len() <= protocol.max_request(), "we could not send it");
    let again = Request::decode(protocol, &ours).expect("what we encode decodes");
    assert_eq!(again, request);
}

fn response(protocol: Protocol, bytes: &[u8]) {
    let Ok(response) = measured(bytes, || Response::decode(protocol, bytes)) else {
        return;
    };
    assert!(bytes.len() <= protocol.max_response());
    match &response {
        Response::Status(status) => check_status(status),
        Response::Headers(headers) => assert!(headers.len() <= MAX_HEADERS),
        Response::Blocks(blocks) => assert!(blocks.len() <= MAX_BLOCKS),
        Response::RawBlocks(_) => panic!("raw blocks are only sent"),
        Response::BlockTransactions(list) => assert!(list.len() <= MAX_BLOCK_TRANSACTIONS),
        Response::Addresses(list) => assert!(list.len() <= MAX_ADDRESSES),
        Response::RateLimited => {}
    }
    let ours = response.encode(protocol);
    let again = Response::decode(protocol, &ours).expect("what we encode decodes");
    assert_eq!(format!("{again:?}"), format!("{response:?}"));
    assert_eq!(again.encode(protocol), ours);
    if let Response::Blocks(blocks) = &response {
        let raw = Response::RawBlocks(blocks.iter().map(|block| block.to_bytes()).collect());
        assert_eq!(raw.encode(protocol), ours, "raw blocks have another form");
    }
}

/// It goes to logs and pages.
fn check_status(status: &Status) {
    assert!(status.agent.len() <= MAX_AGENT);
    assert!(
        status
            .agent
            .bytes()
            .all(|byte| (0x20..0x7f).contains(&byte))
    );
}

/// Gossip has one encoding alone: whatever decodes is byte for byte what we would send.
fn block_gossip(bytes: &[u8]) {
    let Ok(message) = measured(bytes, || BlockGossip::decode(bytes)) else {
        return;
    };
    assert_eq!(message.encode(), bytes);
    match &message {
        BlockGossip::Whole(block) => assert!(block.encoded_len() <= MAX_GOSSIP_BLOCK),
        BlockGossip::Compact(_) => assert!(bytes.len() <= MAX_COMPACT_BLOCK + FRAME),
        BlockGossip::Header(header) => {
            assert_eq!(bytes[2..], header.to_array(), "the frame takes two bytes");
        }
    }
}

fn transaction_batch(bytes: &[u8]) {
    let Ok(transactions) = measured(bytes, || decode_transaction_batch(bytes)) else {
        return;
    };
    assert!((1..=MAX_BATCH_TRANSACTIONS).contains(&transactions.len()));
    // The round comes last and is not told; without it the rest is ours.
    let ours = encode_transaction_batch(&transactions, 0);
    let round = bytes
        .strip_prefix(&ours[..])
        .expect("a batch has one encoding");
    assert!(round.len() <= 6, "{round:?} is no round");
}

/// One of each message, and answers that refuse.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let blocks = crate::node::sample_blocks();
    let hashes: Vec<BlockHash> = blocks.iter().map(|block| block.hash()).collect();
    let status = Status {
        chain_id: ChainId::from_bytes([1; 32]),
        genesis: hashes[0],
        best_hash: hashes[1],
        best_height: 300,
        total_work: Work::from_be_bytes([0; 32]),
        agent: "quarry/0.1".to_owned(),
    };
    let headers = blocks.iter().map(|block| block.header).collect();
    let locator = HeadersRequest {
        locator: hashes.clone(),
        stop: hashes[0],
    };
    let arcs = blocks.iter().take(2).cloned().map(Arc::new).collect();
    let mut large = blocks[0].clone();
    let script = vec![0; MAX_GOSSIP_BLOCK];
    large.transactions[0].inputs[0].script_sig = script.into();
    let payments: Vec<_> = blocks
        .iter()
        .flat_map(|block| block.transactions.clone())
        .collect();
    let compact = CompactBlock {
        header: blocks[1].header,
        coinbase: payments[0].clone(),
        nonce: 5,
        short_ids: (0..9).map(|n| ShortId::from_bytes([n; 6])).collect(),
    };
    let asked = BlockTransactionsRequest::new(hashes[0], vec![0, 1, 5, 300])
        .map(Request::BlockTransactions)
        .expect("ascending places");
    let mut seeds = vec![
        (
            "request-status",
            0,
            Request::Status(status.clone()).encode(),
        ),
        ("request-headers", 1, Request::Headers(locator).encode()),
        ("request-blocks", 2, Request::Blocks(hashes).encode()),
        (
            "answer-status",
            3,
            Response::Status(status).encode(Protocol::Status),
        ),
        (
            "answer-headers",
            4,
            Response::Headers(headers).encode(Protocol::Headers),
        ),
        (
            "answer-blocks",
            5,
            Response::Blocks(arcs).encode(Protocol::Blocks),
        ),
        (
            "gossip-block",
            6,
            BlockGossip::announce(&blocks[1], None).encode(),
        ),
        ("gossip-compact", 6, BlockGossip::Compact(compact).encode()),
        (
            "gossip-header",
            6,
            BlockGossip::announce(&large, None).encode(),
        ),
        ("request-block-transactions", 8, asked.encode()),
        (
            "answer-block-transactions",
            9,
            Response::BlockTransactions(payments[..2].to_vec()).encode(Protocol::BlockTransactions),
        ),
        ("request-addresses", 10, Request::Addresses(64).encode()),
        (
            "answer-addresses",
            11,
            Response::Addresses(vec![PeerAddress {
                peer: vec![1; 38],
                address: vec![4, 10, 0, 0, 7, 6, 29, 243],
                last_seen: 1_800_000_000,
            }])
            .encode(Protocol::Addresses),
        ),
        ("gossip-batch", 7, encode_transaction_batch(&payments, 0)),
        (
            "gossip-batch-again",
            7,
            encode_transaction_batch(&payments[..1], 300),
        ),
        ("lying-length", 5, vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("empty-entries", 5, [0x0a, 0].repeat(20)),
    ];
    for (choice, name, protocol) in [
        (3, "refused-status", Protocol::Status),
        (4, "refused-headers", Protocol::Headers),
        (5, "refused-blocks", Protocol::Blocks),
        (9, "refused-block-transactions", Protocol::BlockTransactions),
        (11, "refused-addresses", Protocol::Addresses),
    ] {
        seeds.push((name, choice, Response::RateLimited.encode(protocol)));
    }
    seeds
        .into_iter()
        .map(|(name, choice, bytes)| (name.to_owned(), [&[choice][..], &bytes].concat()))
        .collect()
}
