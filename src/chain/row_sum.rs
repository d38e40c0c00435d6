//! Sets of rows compared without holding them: their number and the sum of their hashes.

use ruint::aliases::U256;

use crate::primitives::{Coin, Encode, OutPoint, PubkeyHash, sha256};
use crate::storage::HistoryRow;

/// How many rows a set has, and the sum of their SHA-256 modulo 2^256: equal sets have equal sums in any order. Rows can be taken
/// out again. It finds damage; like the digest of the coins it is no commitment against somebody who chooses the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSum {
    rows: i64,
    sum: U256,
}

impl RowSum {
    /// How many rows were added and not taken out.
    pub const fn rows(&self) -> i64 {
        self.rows
    }

    /// Adds a row, given in pieces of fixed length.
    pub fn add(&mut self, row: &[&[u8]]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash(row));
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: &[&[u8]]) {
        self.rows -= 1;
        self.sum = self.sum.wrapping_sub(hash(row));
    }
}

fn hash(row: &[&[u8]]) -> U256 {
    U256::from_be_bytes(sha256(&row.concat()))
}

/// The row of a coin by address.
pub(super) fn address_coin_row(owner: &PubkeyHash, outpoint: &OutPoint, coin: &Coin) -> Vec<u8> {
    let mut row = owner.as_bytes().to_vec();
    outpoint.encode(&mut row);
    coin.value.units().encode(&mut row);
    row.extend_from_slice(coin.pubkey_hash.as_bytes());
    coin.height.encode(&mut row);
    row.push(u8::from(coin.is_coinbase));
    row
}

/// The row of an address's history.
pub(super) fn history_row(owner: &PubkeyHash, row: &HistoryRow) -> Vec<u8> {
    let (height, index, txid) = row;
    [
        &owner.as_bytes()[..],
        &height.to_be_bytes(),
        &index.to_be_bytes(),
        txid.as_bytes(),
    ]
    .concat()
}
