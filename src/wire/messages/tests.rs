//! What decodes and what is refused.

use super::*;
use crate::primitives::{CompactTarget, MerkleRoot};

fn header(nonce: u32) -> BlockHeader {
    BlockHeader {
        version: 1,
        prev_block: BlockHash::from_bytes([7; 32]),
        merkle_root: MerkleRoot::from_bytes([9; 32]),
        time: 1_700_000_000,
        bits: CompactTarget(0x207f_ffff),
        nonce,
    }
}

fn status() -> Status {
    Status {
        chain_id: ChainId::from_bytes([1; 32]),
        genesis: BlockHash::from_bytes([2; 32]),
        best_hash: BlockHash::from_bytes([3; 32]),
        best_height: 77,
        total_work: Work::from_be_bytes([4; 32]),
        agent: "quarry/0.1.0".into(),
    }
}

#[test]
fn requests_survive_a_round_trip() {
    let all = [
        Request::Status(status()),
        Request::Headers(HeadersRequest {
            locator: vec![BlockHash::from_bytes([5; 32]); MAX_LOCATOR],
            stop: BlockHash::from_bytes([6; 32]),
        }),
        Request::Blocks(vec![BlockHash::from_bytes([8; 32]); MAX_BLOCKS]),
    ];
    for request in all {
        let bytes = request.encode();
        assert!(bytes.len() <= request.protocol().max_request());
        assert_eq!(
            Request::decode(request.protocol(), &bytes).unwrap(),
            request
        );
    }
}

#[test]
fn h06_a_full_headers_answer_fits_and_one_more_is_refused() {
    let mut headers: Vec<_> = (0..2_000).map(header).collect();
    let bytes = Response::Headers(headers.clone()).encode(Protocol::Headers);
    match Response::decode(Protocol::Headers, &bytes).unwrap() {
        Response::Headers(decoded) => assert_eq!(decoded, headers),
        other => panic!("decoded as {other:?}"),
    }
    headers.push(header(2_000));
    let bytes = Response::Headers(headers).encode(Protocol::Headers);
    assert!(matches!(
        Response::decode(Protocol::Headers, &bytes),
        Err(WireError::TooLarge { found: 2_001, .. })
    ));
}

#[test]
fn every_protocol_can_say_rate_limited() {
    for protocol in Protocol::ALL {
        let bytes = Response::RateLimited.encode(protocol);
        assert!(matches!(
            Response::decode(protocol, &bytes),
            Ok(Response::RateLimited)
        ));
    }
}

/// P1: lists of millions of empty entries cost two bytes each on the wire.
#[test]
fn p01_lists_are_counted_before_they_are_built() {
    let empty_entries = [0x0a, 0x00].repeat(1_000_000);
    for result in [
        Response::decode(Protocol::Blocks, &empty_entries).map(drop),
        Response::decode(Protocol::BlockTransactions, &empty_entries).map(drop),
        Response::decode(Protocol::Addresses, &empty_entries[..16_000]).map(drop),
        Request::decode(Protocol::Blocks, &empty_entries[..2_000]).map(drop),
        Request::decode(Protocol::Headers, &empty_entries[..4_000]).map(drop),
    ] {
        assert!(matches!(result, Err(WireError::TooLarge { .. })));
    }
}

/// P12: a locator of 102 hashes, one more than Bitcoin Core takes, and one more than we do.
#[test]
fn p12_locators_are_short() {
    for (hashes, taken) in [(MAX_LOCATOR, true), (MAX_LOCATOR + 1, false), (102, false)] {
        let request = Request::Headers(HeadersRequest {
            locator: vec![BlockHash::from_bytes([5; 32]); hashes],
            stop: BlockHash::from_bytes([6; 32]),
        });
        let bytes = request.encode();
        assert!(bytes.len() <= Protocol::Headers.max_request());
        let decoded = Request::decode(Protocol::Headers, &bytes);
        assert_eq!(decoded.is_ok(), taken, "{hashes} hashes");
    }
}

/// P1: a length of almost 2^32 or 2^64 with nothing behind it.
#[test]
fn p01_lying_lengths_are_refused() {
    for length in [
        &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..],
    ] {
        let mut bytes = vec![0x0a];
        bytes.extend_from_slice(length);
        for protocol in Protocol::ALL {
            assert!(Request::decode(protocol, &bytes).is_err());
            assert!(Response::decode(protocol, &bytes).is_err());
        }
    }
}

#[test]
fn every_truncation_of_a_status_is_refused_or_changes_it() {
    let bytes = Request::Status(status()).encode();
    for end in 0..bytes.len() {
        if let Ok(decoded) = Request::decode(Protocol::Status, &bytes[..end]) {
            assert_ne!(decoded, Request::Status(status()));
        }
    }
}

#[test]
fn agents_are_made_printable() {
    let mut message = encode_status(&status());
    message.agent = "evil\n\u{202e}agent\u{1b}[31m".into();
    assert_eq!(decode_status(message).unwrap().agent, "evilagent[31m");
}
