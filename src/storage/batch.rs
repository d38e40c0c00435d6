//! The one kind of write: a set of changes that reaches the disk whole or not at all.

use rocksdb::WriteBatch;

use super::codec;
use super::keys::{self, column, meta};
use super::records::{HeaderRecord, StoredHeader};
use super::seal;
use super::store::Store;
use crate::primitives::{BlockHash, BlockUndo, CoinStats, PubkeyHash, Txid, UtxoDiff};

/// Changes that are written together by [`Store::commit`].
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<'s> {
    store: &'s Store,
    pub(super) inner: WriteBatch,
}

impl<'s> Batch<'s> {
    pub(super) fn new(store: &'s Store) -> Self {
        Self {
            store,
            inner: WriteBatch::default(),
        }
    }

    /// Bytes of all changes so far.
    pub fn size(&self) -> usize {
        self.inner.size_in_bytes()
    }

    pub(super) fn put(&mut self, column: &'static str, key: &[u8], value: &[u8]) {
        let column_family = self.store.column(column);
        match seal::suffix(column, key, value) {
            Some(checksum) => {
                let row = [value, &checksum].concat();
                self.inner.put_cf(column_family, key, row);
            }
            None => self.inner.put_cf(column_family, key, value),
        }
    }

    fn delete(&mut self, column: &'static str, key: &[u8]) {
        self.inner.delete_cf(self.store.column(column), key);
    }

    /// Stores what is known of a header.
    pub fn put_header(&mut self, hash: &BlockHash, record: &HeaderRecord) {
        let bytes = codec::encode(&StoredHeader::from(record));
        self.put(column::HEADERS, hash.as_bytes(), &bytes);
    }

    /// Stores a block's consensus bytes.
    pub fn put_body(&mut self, hash: &BlockHash, body: &[u8]) {
        self.put(column::BODIES, hash.as_bytes(), body);
    }

    /// Forgets a block's body.
    pub fn delete_body(&mut self, hash: &BlockHash) {
        self.delete(column::BODIES, hash.as_bytes());
    }

    /// Makes a block the active chain's at `height`, with what undoes it and its transactions' ids.
    pub fn put_active(&mut self, hash: &BlockHash, height: u32, undo: &BlockUndo, txids: &[Txid]) {
        self.put(column::HEIGHTS, &height.to_be_bytes(), hash.as_bytes());
        self.put(column::UNDO, hash.as_bytes(), &codec::encode(undo));
        for (index, txid) in (0_u32..).zip(txids) {
            let place = [&hash.as_bytes()[..], &index.to_be_bytes()].concat();
            self.put(column::TRANSACTIONS, txid.as_bytes(), &place);
        }
    }

    /// Takes the block at `height` out of the active chain: the exact inverse of [`Batch::put_active`].
    pub fn delete_active(&mut self, hash: &BlockHash, height: u32, txids: &[Txid]) {
        self.delete(column::HEIGHTS, &height.to_be_bytes());
        self.delete(column::UNDO, hash.as_bytes());
        for txid in txids {
            self.delete(column::TRANSACTIONS, txid.as_bytes());
        }
    }

    /// Records that a transaction of the active chain touches an address.
    pub fn put_history(&mut self, hash: &PubkeyHash, height: u32, index: u32, txid: &Txid) {
        let key = keys::address_history(hash, height, index);
        self.put(column::ADDRESS_HISTORY, &key, txid.as_bytes());
    }

    /// The inverse of [`Batch::put_history`].
    pub fn delete_history(&mut self, hash: &PubkeyHash, height: u32, index: u32) {
        self.delete(
            column::ADDRESS_HISTORY,
            &keys::address_history(hash, height, index),
        );
    }

    /// Changes the coins and the stats that describe them.
    pub fn apply(&mut self, diff: &UtxoDiff, stats: &CoinStats) {
        // Neighbours one after the other are quicker to insert than keys in the order of a hash table.
        let mut spent: Vec<_> = diff.spent().collect();
        let mut created: Vec<_> = diff.created().collect();
        spent.sort_unstable_by_key(|(outpoint, _)| *outpoint);
        created.sort_unstable_by_key(|(outpoint, _)| *outpoint);
        // The spent half first: an outpoint may be in both halves, and then its new coin is the one that stays.
        for (outpoint, _) in &spent {
            self.delete(column::COINS, &keys::outpoint(outpoint));
        }
        for (outpoint, coin) in &created {
            let bytes = codec::encode(coin);
            self.put(column::COINS, &keys::outpoint(outpoint), &bytes);
        }
        spent.sort_by_key(|(_, coin)| coin.pubkey_hash);
        created.sort_by_key(|(_, coin)| coin.pubkey_hash);
        for (outpoint, coin) in spent {
            let key = keys::address_coin(&coin.pubkey_hash, outpoint);
            self.delete(column::ADDRESS_COINS, &key);
        }
        for (outpoint, coin) in created {
            let key = keys::address_coin(&coin.pubkey_hash, outpoint);
            self.put(column::ADDRESS_COINS, &key, &codec::encode(coin));
        }
        self.put(
            column::META,
            meta::COIN_STATS,
            &super::store::encode_stats(stats),
        );
    }
}
