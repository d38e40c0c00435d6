//! The open database: settings, identity, and typed reads.

mod addresses;
mod repair;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB,
    FlushOptions, IteratorMode, WriteOptions,
};

use super::batch::Batch;
use super::codec;
use super::error::StorageError;
use super::keys::{self, column, meta};
use super::records::{HeaderRecord, StoredHeader, TransactionRecord};
use super::seal;
use super::settings::{column_options, database_options};
use crate::primitives::{
    Block, BlockHash, BlockHeader, BlockUndo, ChainId, Coin, CoinStats, CompactTarget, Decode,
    OutPoint, PubkeyHash, Txid, Work,
};

pub use addresses::HistoryRow;
pub use repair::{Difference, Identity, Scan};

/// The version of the columns and records described in the module's documentation.
pub const SCHEMA_VERSION: u32 = 2;

/// A column with more files than this, and less data than [`MERGE_BELOW_BYTES`], is merged into one when the database is opened.
const MAX_SMALL_FILES: usize = 8;
/// Merging reads and writes the whole column; below this it takes no time that anybody notices.
const MERGE_BELOW_BYTES: usize = 16 << 20;

/// When a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the write-ahead log is on the disk: nothing that was acknowledged is lost by a power cut.
    Synced,
    /// After the operating system has it: survives a kill of the process.
    Buffered,
}

/// A key and its value.
type Row = (Box<[u8]>, Vec<u8>);

/// The database of one network.
pub struct Store {
    db: DB,
    path: PathBuf,
}

impl Store {
    /// Opens the database in `path`, or makes a new one for the chain `id` with the spec `spec` (TOML).
    ///
    /// # Errors
    /// [`StorageError::InUse`], a schema that is newer or older, another network, or a failure of the disk.
    pub fn open(path: &Path, id: &ChainId, spec: &str) -> Result<Self, StorageError> {
        std::fs::create_dir_all(path).map_err(|source| StorageError::Io {
            path: path.to_owned(),
            source,
        })?;
        let options = database_options();
        let columns =
            column::ALL.map(|name| ColumnFamilyDescriptor::new(name, column_options(name)));
        let db = DB::open_cf_descriptors(&options, path, columns).map_err(|error| {
            // RocksDB has no kind of its own for a lock that is held: it is an I/O error that names the LOCK file.
            if error.as_ref().contains("lock") && error.as_ref().contains("LOCK") {
                StorageError::InUse(path.to_owned())
            } else {
                StorageError::Database(error)
            }
        })?;
        let store = Self {
            db,
            path: path.to_owned(),
        };
        store.check_identity(id, spec)?;
        store.merge_small_files()?;
        Ok(store)
    }

    /// Refuses a database of another schema or network; marks a new one.
    fn check_identity(&self, id: &ChainId, spec: &str) -> Result<(), StorageError> {
        let path = || self.path.clone();
        let Some(version) = self.get(column::META, meta::SCHEMA)? else {
            let mut batch = self.batch();
            batch.put(column::META, meta::SCHEMA, &SCHEMA_VERSION.to_be_bytes());
            batch.put(column::META, meta::CHAIN_ID, id.as_bytes());
            batch.put(column::META, meta::SPEC, spec.as_bytes());
            return self.commit(batch, Durability::Synced);
        };
        let found = <[u8; 4]>::try_from(&version[..])
            .map(u32::from_be_bytes)
            .map_err(|_| StorageError::damaged(column::META, meta::SCHEMA, "not 4 bytes".into()))?;
        let known = SCHEMA_VERSION;
        match found.cmp(&known) {
            std::cmp::Ordering::Greater => {
                return Err(StorageError::NewerSchema {
                    path: path(),
                    found,
                    known,
                });
            }
            std::cmp::Ordering::Less => {
                return Err(StorageError::OlderSchema {
                    path: path(),
                    found,
                    known,
                });
            }
            std::cmp::Ordering::Equal => {}
        }
        if self.get(column::META, meta::CHAIN_ID)?.as_deref() != Some(&id.as_bytes()[..]) {
            let stored = self.get(column::META, meta::SPEC)?.unwrap_or_default();
            return Err(StorageError::OtherNetwork {
                path: path(),
                stored_spec: String::from_utf8_lossy(&stored).into_owned(),
            });
        }
        Ok(())
    }

    /// Merges the files of columns that consist of many small ones.
    ///
    /// Every session that writes leaves a file a column, and RocksDB moves files whose keys do not overlap without merging them:
    /// a thousand commands without a node would leave thousands of open files.
    fn merge_small_files(&self) -> Result<(), StorageError> {
        let mut columns: HashMap<String, (usize, usize)> = HashMap::new();
        for file in self.db.live_files()? {
            let (count, bytes) = columns.entry(file.column_family_name).or_default();
            *count += 1;
            *bytes += file.size;
        }
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for name in column::ALL {
            if let Some((count, bytes)) = columns.get(name)
                && *count > MAX_SMALL_FILES
                && *bytes < MERGE_BELOW_BYTES
            {
                let column = self.column(name);
                self.db
                    .compact_range_cf_opt(column, None::<&[u8]>, None::<&[u8]>, &options);
            }
        }
        Ok(())
    }

    pub(super) fn column(&self, name: &'static str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("every column is opened with the database")
    }

    fn get(&self, column: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.db
            .get_cf(self.column(column), key)?
            .map(|row| seal::open_owned(column, key, row))
            .transpose()
    }

    /// An empty batch.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Writes a batch, whole or not at all.
    ///
    /// # Errors
    /// Any error means that the process must end: whether the batch is on the disk is known only after a restart.
    pub fn commit(&self, batch: Batch<'_>, durability: Durability) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        Ok(self.db.write_opt(batch.inner, &options)?)
    }

    /// Waits until every commit so far is on the disk.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn sync(&self) -> Result<(), StorageError> {
        Ok(self.db.flush_wal(true)?)
    }

    /// Writes everything to sorted files and syncs them; for a clean stop, so that the next start has nothing to recover.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn flush(&self) -> Result<(), StorageError> {
        self.sync()?;
        let columns = column::ALL.map(|name| self.column(name));
        let all: Vec<_> = columns.iter().collect();
        Ok(self.db.flush_cfs_opt(&all, &FlushOptions::default())?)
    }

    /// The stats of the stored coins; none before the first block.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn coin_stats(&self) -> Result<Option<CoinStats>, StorageError> {
        self.get(column::META, meta::COIN_STATS)?
            .map(|bytes| decode_stats(&bytes))
            .transpose()
    }

    /// Every header, in no order that callers may rely on.
    pub fn headers(&self) -> impl Iterator<Item = Result<(BlockHash, HeaderRecord), StorageError>> {
        let start = IteratorMode::Start;
        self.rows(column::HEADERS, start).map(|row| {
            let (key, value) = row?;
            let hash = <[u8; 32]>::try_from(&key[..])
                .map(BlockHash::from_bytes)
                .map_err(|_| StorageError::damaged(column::HEADERS, &key, "not a hash".into()))?;
            Ok((hash, decode_header(&key, &value)?))
        })
    }

    /// The consensus bytes of a block.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn raw_body(&self, hash: &BlockHash) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(column::BODIES, hash.as_bytes())
    }

    /// A block.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn body(&self, hash: &BlockHash) -> Result<Option<Block>, StorageError> {
        self.raw_body(hash)?
            .map(|bytes| {
                Block::from_bytes(&bytes).map_err(|error| {
                    StorageError::undecodable(column::BODIES, hash.as_bytes(), &error)
                })
            })
            .transpose()
    }

    /// A block, the ids of its transactions, and its encoded size.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn body_hashed(
        &self,
        hash: &BlockHash,
    ) -> Result<Option<(Block, Vec<Txid>, usize)>, StorageError> {
        let Some(bytes) = self.raw_body(hash)? else {
            return Ok(None);
        };
        match Block::from_bytes_hashed(&bytes) {
            Ok((block, txids)) => Ok(Some((block, txids, bytes.len()))),
            Err(error) => Err(StorageError::undecodable(
                column::BODIES,
                hash.as_bytes(),
                &error,
            )),
        }
    }

    /// What undoes a block of the active chain.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn undo(&self, hash: &BlockHash) -> Result<Option<BlockUndo>, StorageError> {
        self.get(column::UNDO, hash.as_bytes())?
            .map(|bytes| codec::decode(column::UNDO, hash.as_bytes(), &bytes))
            .transpose()
    }

    /// The hash of the active chain's block at a height.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn hash_at(&self, height: u32) -> Result<Option<BlockHash>, StorageError> {
        let key = height.to_be_bytes();
        self.get(column::HEIGHTS, &key)?
            .map(|bytes| {
                <[u8; 32]>::try_from(&bytes[..])
                    .map(BlockHash::from_bytes)
                    .map_err(|_| StorageError::damaged(column::HEIGHTS, &key, "not a hash".into()))
            })
            .transpose()
    }

    /// Coins by outpoint, in one read; the answer has the order of the question.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn coins(&self, outpoints: &[OutPoint]) -> Result<Vec<Option<Coin>>, StorageError> {
        let keys: Vec<_> = outpoints.iter().map(keys::outpoint).collect();
        let rows = self
            .db
            .batched_multi_get_cf(self.column(column::COINS), &keys, false);
        rows.into_iter()
            .zip(&keys)
            .map(|(row, key)| {
                row?.map(|row| {
                    let value = seal::open(column::COINS, key, &row)?;
                    codec::decode(column::COINS, key, value)
                })
                .transpose()
            })
            .collect()
    }

    /// Every coin.
    pub fn all_coins(&self) -> impl Iterator<Item = Result<(OutPoint, Coin), StorageError>> {
        let start = IteratorMode::Start;
        self.rows(column::COINS, start).map(|row| {
            let (key, value) = row?;
            let outpoint = keys::parse_outpoint(&key).ok_or_else(|| {
                StorageError::damaged(column::COINS, &key, "not an outpoint".into())
            })?;
            Ok((outpoint, codec::decode(column::COINS, &key, &value)?))
        })
    }

    /// The rows of a column, their checksums compared and taken off.
    fn rows<'s>(
        &'s self,
        column: &'static str,
        start: IteratorMode<'_>,
    ) -> impl Iterator<Item = Result<Row, StorageError>> + use<'s> {
        let rows = self.db.iterator_cf(self.column(column), start);
        rows.map(move |row| {
            let (key, row) = row?;
            let value = seal::open_owned(column, &key, row.into_vec())?;
            Ok((key, value))
        })
    }

    /// Where a transaction of the active chain is.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn transaction(&self, txid: &Txid) -> Result<Option<TransactionRecord>, StorageError> {
        let Some(row) = self.get(column::TRANSACTIONS, txid.as_bytes())? else {
            return Ok(None);
        };
        let record = row.split_at_checked(32).and_then(|(block, index)| {
            Some(TransactionRecord {
                block: BlockHash::from_bytes(block.try_into().ok()?),
                index: u32::from_be_bytes(index.try_into().ok()?),
            })
        });
        match record {
            Some(record) => Ok(Some(record)),
            None => Err(StorageError::damaged(
                column::TRANSACTIONS,
                txid.as_bytes(),
                "malformed row".into(),
            )),
        }
    }

    /// Writes a row's bytes as they are, for tests that damage values.
    #[cfg(test)]
    pub(crate) fn put_raw(&self, column: &'static str, key: &[u8], row: &[u8]) {
        self.db.put_cf(self.column(column), key, row).unwrap();
    }

    /// Every row of every column, checksums included, for tests that compare whole databases.
    #[cfg(test)]
    pub(crate) fn dump(&self) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        for name in column::ALL {
            for row in self.db.iterator_cf(self.column(name), IteratorMode::Start) {
                let (key, value) = row.unwrap();
                rows.push((name, key.to_vec(), value.to_vec()));
            }
        }
        rows
    }
}

/// The stats as bytes: everything in fixed width, so that the record can be compared by eye in a dump.
pub(super) fn encode_stats(stats: &CoinStats) -> Vec<u8> {
    codec::encode(&(
        stats.tip.to_bytes(),
        stats.height,
        stats.coins,
        stats.total,
        stats.accumulator,
    ))
}

fn decode_stats(bytes: &[u8]) -> Result<CoinStats, StorageError> {
    let (tip, height, coins, total, accumulator) =
        codec::decode::<([u8; 32], _, _, _, _)>(column::META, meta::COIN_STATS, bytes)?;
    Ok(CoinStats {
        tip: BlockHash::from_bytes(tip),
        height,
        coins,
        total,
        accumulator,
    })
}

fn decode_header(key: &[u8], value: &[u8]) -> Result<HeaderRecord, StorageError> {
    let stored: StoredHeader = codec::decode(column::HEADERS, key, value)?;
    let header = BlockHeader::from_bytes(&stored.header)
        .map_err(|error| StorageError::undecodable(column::HEADERS, key, &error))?;
    if header.hash().as_bytes() != key {
        let reason = "the header does not have this hash".to_owned();
        return Err(StorageError::damaged(column::HEADERS, key, reason));
    }
    Ok(HeaderRecord {
        header,
        height: stored.height,
        chainwork: Work::from_be_bytes(stored.chainwork),
        base: CompactTarget(stored.base),
        latest_time: stored.latest_time,
        state: stored.state,
        received: stored.received,
        tx_count: stored.tx_count,
    })
}
