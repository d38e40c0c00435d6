//! Addresses of peers, as bytes: what they mean is for the network to say.

use prost::Message;

use super::{
    error::WireError,
    fields::{at_most, check_count},
    limits::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_PEER_ID_BYTES},
    proto,
};

/// A peer and where it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// Its id: a multihash.
    pub peer: Vec<u8>,
    /// A multiaddress in its binary form, without the id.
    pub address: Vec<u8>,
    /// When it was last seen, Unix seconds, as claimed.
    pub last_seen: u64,
}

pub(super) fn encode_request(most: u32) -> Vec<u8> {
    proto::AddressesRequest { most }.encode_to_vec()
}

pub(super) fn decode_request(bytes: &[u8]) -> Result<u32, WireError> {
    Ok(proto::AddressesRequest::decode(bytes)?.most)
}

pub(super) fn encode_answer(list: &[PeerAddress]) -> Vec<u8> {
    let addresses = list.iter().map(|one| proto::PeerAddress {
        peer: one.peer.clone(),
        address: one.address.clone(),
        last_seen: one.last_seen,
    });
    proto::AddressesResponse {
        addresses: addresses.collect(),
        rate_limited: false,
    }
    .encode_to_vec()
}

/// `None`: the peer refuses for now.
pub(super) fn decode_answer(bytes: &[u8]) -> Result<Option<Vec<PeerAddress>>, WireError> {
    check_count(bytes, 1, "addresses", MAX_ADDRESSES)?;
    let message = proto::AddressesResponse::decode(bytes)?;
    if message.rate_limited {
        return Ok(None);
    }
    let addresses = message.addresses.into_iter().map(|one| {
        at_most("peer", one.peer.len(), MAX_PEER_ID_BYTES)?;
        at_most("address", one.address.len(), MAX_ADDRESS_BYTES)?;
        Ok(PeerAddress {
            peer: one.peer,
            address: one.address,
            last_seen: one.last_seen,
        })
    });
    addresses.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Protocol, Request, Response};

    fn largest() -> PeerAddress {
        PeerAddress {
            peer: vec![1; MAX_PEER_ID_BYTES],
            address: vec![2; MAX_ADDRESS_BYTES],
            last_seen: u64::MAX,
        }
    }

    #[test]
    fn p14_the_longest_answer_fits_and_one_more_is_refused() {
        let mut list = vec![largest(); MAX_ADDRESSES];
        let bytes = Response::Addresses(list.clone()).encode(Protocol::Addresses);
        assert!(bytes.len() <= Protocol::Addresses.max_response());
        assert_eq!(decode_answer(&bytes).unwrap().unwrap(), list);
        list.push(largest());
        assert!(decode_answer(&encode_answer(&list)).is_err());
        for (peer, address) in [(MAX_PEER_ID_BYTES + 1, 1), (1, MAX_ADDRESS_BYTES + 1)] {
            let one = PeerAddress {
                peer: vec![1; peer],
                address: vec![2; address],
                last_seen: 0,
            };
            assert!(decode_answer(&encode_answer(&[one])).is_err());
        }
    }

    #[test]
    fn requests_survive_a_round_trip() {
        for most in [0, 64, u32::MAX] {
            let bytes = Request::Addresses(most).encode();
            assert!(bytes.len() <= Protocol::Addresses.max_request());
            let decoded = Request::decode(Protocol::Addresses, &bytes).unwrap();
            assert_eq!(decoded, Request::Addresses(most));
        }
    }
}
