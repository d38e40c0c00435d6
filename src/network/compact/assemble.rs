//! Putting a block together, and taking transactions out of one. Both take milliseconds for a large block, so helper tasks do it.

use std::sync::Arc;

use crate::{
    primitives::{Block, BlockHeader, Encode, Transaction},
    wire::limits::MAX_BLOCK_BYTES,
};

/// The block of `header` and `transactions`, if these are what the header commits to.
pub(in crate::network) fn assemble(
    header: BlockHeader,
    transactions: &[Arc<Transaction>],
) -> Option<Block> {
    // A false announcement may name more than fits; it is not copied.
    let bytes: usize = transactions.iter().map(|tx| tx.encoded_len()).sum();
    if bytes > MAX_BLOCK_BYTES {
        return None;
    }
    let transactions = transactions.iter().map(|tx| (**tx).clone()).collect();
    let block = Block {
        header,
        transactions,
    };
    let (root, mutated) = block.compute_merkle_root();
    (root == header.merkle_root && !mutated).then_some(block)
}

/// The transactions at `places`; none if the block has not all of them.
pub(in crate::network) fn pick(block: &Block, places: &[u32]) -> Vec<Transaction> {
    let at = |place: &u32| {
        let place = usize::try_from(*place).ok()?;
        block.transactions.get(place).cloned()
    };
    places
        .iter()
        .map(at)
        .collect::<Option<_>>()
        .unwrap_or_default()
}
