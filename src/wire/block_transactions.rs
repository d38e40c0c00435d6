//! Asking for transactions of one block by their places in it, and the answer.

use prost::Message;

use super::{
    error::WireError,
    fields::{array32, at_most, check_count, consensus},
    limits::MAX_BLOCK_TRANSACTIONS,
    proto,
};
use crate::primitives::{BlockHash, Encode, Transaction};

/// Asks for transactions of a block that was announced by short ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockTransactionsRequest {
    block: BlockHash,
    places: Vec<u32>,
}

impl BlockTransactionsRequest {
    /// Asks for the transactions of `block` at `places`, 0 being the coinbase's. `None` where they are not ascending, or too many
    /// or too few for one request.
    pub fn new(block: BlockHash, places: Vec<u32>) -> Option<Self> {
        let request = Self { block, places };
        let is_ascending = request.places.is_sorted_by(|a, b| a < b);
        let count = request.places.len();
        let fits = request.encode().len() <= super::Protocol::BlockTransactions.max_request();
        (is_ascending && (1..=MAX_BLOCK_TRANSACTIONS).contains(&count) && fits).then_some(request)
    }

    /// The block.
    pub const fn block(&self) -> BlockHash {
        self.block
    }

    /// The places, ascending; at least one.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// Each place is told as the number of places left out before it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut next = 0;
        let gap = |place: &u32| {
            let gap = place.saturating_sub(next);
            next = place.saturating_add(1);
            gap
        };
        proto::BlockTransactionsRequest {
            block: self.block.to_bytes().to_vec(),
            gaps: self.places.iter().map(gap).collect(),
        }
        .encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let message = proto::BlockTransactionsRequest::decode(bytes)?;
        let block = BlockHash::from_bytes(array32("block", &message.block)?);
        if message.gaps.is_empty() {
            return Err(WireError::Missing("gaps"));
        }
        at_most("gaps", message.gaps.len(), MAX_BLOCK_TRANSACTIONS)?;
        let mut next = 0_u32;
        let place = |gap: &u32| {
            let place = next.checked_add(*gap)?;
            next = place.checked_add(1)?;
            Some(place)
        };
        let places: Option<Vec<u32>> = message.gaps.iter().map(place).collect();
        let places = places.ok_or(WireError::TooLarge {
            field: "place",
            limit: u32::MAX as usize - 1,
            found: usize::MAX,
        })?;
        Ok(Self { block, places })
    }
}

pub(super) fn encode_answer(transactions: &[Transaction]) -> Vec<u8> {
    proto::BlockTransactionsResponse {
        transactions: transactions.iter().map(Encode::to_bytes).collect(),
        rate_limited: false,
    }
    .encode_to_vec()
}

/// `None`: asked too often.
pub(super) fn decode_answer(bytes: &[u8]) -> Result<Option<Vec<Transaction>>, WireError> {
    check_count(bytes, 1, "transactions", MAX_BLOCK_TRANSACTIONS)?;
    let message = proto::BlockTransactionsResponse::decode(bytes)?;
    if message.rate_limited {
        return Ok(None);
    }
    message
        .transactions
        .iter()
        .map(|bytes| consensus("transaction", bytes))
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{OutPoint, Script, TxIn};
    use crate::wire::{Protocol, Request, Response};

    fn request(places: &[u32]) -> Option<BlockTransactionsRequest> {
        BlockTransactionsRequest::new(BlockHash::from_bytes([3; 32]), places.to_vec())
    }

    #[test]
    fn requests_survive_a_round_trip() {
        let all: Vec<u32> = (0..65_000).collect();
        for places in [&[0][..], &[5], &[0, 1, 2], &[1, 700, 70_000], &all] {
            let request = Request::BlockTransactions(request(places).unwrap());
            let bytes = request.encode();
            let again = Request::decode(Protocol::BlockTransactions, &bytes).unwrap();
            assert_eq!(again, request);
        }
    }

    #[test]
    fn what_cannot_be_asked_is_no_request() {
        let every_second: Vec<u32> = (0..70_000).map(|place| place * 200).collect();
        for places in [&[][..], &[3, 3], &[4, 2], &every_second] {
            assert_eq!(request(places), None);
        }
    }

    #[test]
    fn places_beyond_the_largest_are_refused() {
        let bytes = |gaps: Vec<u32>| {
            proto::BlockTransactionsRequest {
                block: vec![3; 32],
                gaps,
            }
            .encode_to_vec()
        };
        for gaps in [
            vec![],
            vec![u32::MAX],
            vec![7, u32::MAX - 7],
            vec![1 << 31; 2],
        ] {
            assert!(Request::decode(Protocol::BlockTransactions, &bytes(gaps)).is_err());
        }
        assert!(Request::decode(Protocol::BlockTransactions, &bytes(vec![u32::MAX - 1])).is_ok());
    }

    #[test]
    fn answers_survive_a_round_trip() {
        let transaction = Transaction {
            version: 2,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(vec![0x51; 107]),
                sequence: 0,
            }],
            outputs: Vec::new(),
            lock_time: 9,
        };
        for list in [vec![], vec![transaction.clone()], vec![transaction; 300]] {
            let bytes =
                Response::BlockTransactions(list.clone()).encode(Protocol::BlockTransactions);
            match Response::decode(Protocol::BlockTransactions, &bytes).unwrap() {
                Response::BlockTransactions(again) => assert_eq!(again, list),
                other => panic!("decoded as {other:?}"),
            }
        }
    }
}
