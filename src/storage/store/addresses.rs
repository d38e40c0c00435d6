//! What is stored by address: its coins and its history.

use rocksdb::{Direction, IteratorMode};

use super::{Row, Store};
use crate::primitives::{Coin, OutPoint, PubkeyHash, Txid};
use crate::storage::codec;
use crate::storage::error::StorageError;
use crate::storage::keys::{self, column};

/// A transaction that touches an address: height, place in the block, id.
pub type HistoryRow = (u32, u32, Txid);

impl Store {
    /// The coins of an address, in the order of their outpoints.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn address_coins(&self, hash: &PubkeyHash) -> Result<Vec<(OutPoint, Coin)>, StorageError> {
        let column = column::ADDRESS_COINS;
        let start = IteratorMode::From(hash.as_bytes(), Direction::Forward);
        self.rows_of(column, hash, start)
            .map(|row| {
                let (key, value) = row?;
                let outpoint = key.get(20..).and_then(keys::parse_outpoint);
                let outpoint = outpoint.ok_or_else(|| malformed(column, &key))?;
                Ok((outpoint, codec::decode(column, &key, &value)?))
            })
            .collect()
    }

    /// The transactions of the active chain that touch an address: height, place in the block, id; oldest first.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn address_history(&self, hash: &PubkeyHash) -> Result<Vec<HistoryRow>, StorageError> {
        self.history_since(hash, 0, usize::MAX)
    }

    /// Of that history, at most `count` transactions of `height` and above.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn history_since(
        &self,
        hash: &PubkeyHash,
        height: u32,
        count: usize,
    ) -> Result<Vec<HistoryRow>, StorageError> {
        let first = keys::address_history(hash, height, 0);
        let start = IteratorMode::From(&first, Direction::Forward);
        self.rows_of(column::ADDRESS_HISTORY, hash, start)
            .take(count)
            .map(|row| history_row(&row?))
            .collect()
    }

    /// Of that history, newest first, `count` transactions after the first `skip`; and how many there are in all. Only the
    /// former are held in memory.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn latest_history(
        &self,
        hash: &PubkeyHash,
        skip: usize,
        count: usize,
    ) -> Result<(Vec<HistoryRow>, usize), StorageError> {
        let last = keys::address_history(hash, u32::MAX, u32::MAX);
        let start = IteratorMode::From(&last, Direction::Reverse);
        let mut found = Vec::new();
        let mut total = 0;
        for row in self.rows_of(column::ADDRESS_HISTORY, hash, start) {
            let row = row?;
            if total >= skip && found.len() < count {
                found.push(history_row(&row)?);
            }
            total += 1;
        }
        Ok((found, total))
    }

    /// The rows from `start` on whose keys begin with a key hash.
    fn rows_of<'s>(
        &'s self,
        column: &'static str,
        hash: &PubkeyHash,
        start: IteratorMode<'_>,
    ) -> impl Iterator<Item = Result<Row, StorageError>> + use<'s> {
        let hash = *hash;
        self.rows(column, start).take_while(move |row| {
            // An error is told, not taken for the end.
            row.as_ref()
                .map_or(true, |(key, _)| key.starts_with(hash.as_bytes()))
        })
    }
}

fn history_row((key, value): &Row) -> Result<HistoryRow, StorageError> {
    parse_history(key, value).ok_or_else(|| malformed(column::ADDRESS_HISTORY, key))
}

/// A row of the history of any address.
pub(super) fn parse_history(key: &[u8], value: &[u8]) -> Option<HistoryRow> {
    let (height, index) = keys::parse_address_history(key)?;
    Some((height, index, Txid::from_bytes(value.try_into().ok()?)))
}

fn malformed(column: &'static str, key: &[u8]) -> StorageError {
    StorageError::damaged(column, key, "malformed row".into())
}
