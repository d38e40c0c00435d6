//! Reading a database that may be damaged: without changing it, past what cannot be read, and row against row.
//!
//! Nothing here decides what a damaged chain means; that is `chain::reindex`'s and `chain::inspect`'s part.

use super::addresses::parse_history;
use super::*;

/// How many bytes of the last good key are kept while looking for the next readable row: from a small step to a large one. A
/// damaged table block holds neighbouring keys, so that a long common beginning is left first.
const SKIP_PREFIXES: [usize; 6] = [8, 6, 4, 3, 2, 1];

/// Columns that follow from the blocks of the active chain.
const DERIVED: [&str; 6] = [
    column::HEIGHTS,
    column::UNDO,
    column::COINS,
    column::ADDRESS_COINS,
    column::ADDRESS_HISTORY,
    column::TRANSACTIONS,
];

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The version of its records; none in a database that was never written.
    pub schema: Option<u32>,
    /// The network, if it is recorded.
    pub chain_id: Option<ChainId>,
    /// The network's spec as TOML, if it is recorded.
    pub spec: Option<String>,
}

/// What a scan past damaged places found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Rows that were read.
    pub rows: u64,
    /// Places where reading failed; an unknown number of rows is lost at each.
    pub unreadable: u64,
    /// What the database said at the first of them.
    pub first_error: Option<String>,
}

/// A row that two databases of one chain do not share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The column.
    pub column: &'static str,
    /// The key, in hexadecimal.
    pub key: String,
    /// Which of the two has what.
    pub what: &'static str,
}

impl Store {
    /// Opens a database for reading only. Takes no lock, and sees what was on the disk at this moment: a running node's later
    /// writes do not appear. Its identity is not checked.
    ///
    /// # Errors
    /// What RocksDB says of a database that it cannot open.
    pub fn open_read_only(path: &Path) -> Result<Self, StorageError> {
        let mut options = database_options();
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        let columns =
            column::ALL.map(|name| ColumnFamilyDescriptor::new(name, column_options(name)));
        let db = DB::open_cf_descriptors_read_only(&options, path, columns, false)?;
        Ok(Self::of(db, path))
    }

    /// Puts together again what RocksDB finds in the folder `path`, and opens it. Rows may be missing, and rows that had been
    /// deleted may be back, so the result is good for bodies and headers only, whose hashes tell whether they are right.
    ///
    /// The folder is changed: give it a copy.
    ///
    /// # Errors
    /// What RocksDB says where nothing can be put together.
    pub fn open_repaired(path: &Path) -> Result<Self, StorageError> {
        let options = database_options();
        let open = || {
            let columns =
                column::ALL.map(|name| ColumnFamilyDescriptor::new(name, column_options(name)));
            DB::open_cf_descriptors(&options, path, columns)
        };
        // With its log of files whole, all that a database lacks may be the pointer to it; then nothing is lost.
        let db = match point_to_newest_manifest(path).map(|()| open()) {
            Some(Ok(db)) => db,
            Some(Err(_)) | None => {
                DB::repair(&options, path)?;
                open()?
            }
        };
        Ok(Self::of(db, path))
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the database says of itself. Of a schema before this one, no more than its version.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn identity(&self) -> Result<Identity, StorageError> {
        let schema = self.get(column::META, meta::SCHEMA)?;
        let schema = schema
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_be_bytes);
        if schema.is_some_and(|found| found != SCHEMA_VERSION) {
            return Ok(Identity {
                schema,
                chain_id: None,
                spec: None,
            });
        }
        let chain_id = self.get(column::META, meta::CHAIN_ID)?;
        let spec = self.get(column::META, meta::SPEC)?;
        Ok(Identity {
            schema,
            chain_id: chain_id
                .and_then(|bytes| bytes.try_into().ok())
                .map(ChainId::from_bytes),
            spec: spec.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    /// What is known of a header.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn header(&self, hash: &BlockHash) -> Result<Option<HeaderRecord>, StorageError> {
        self.get(column::HEADERS, hash.as_bytes())?
            .map(|bytes| decode_header(hash.as_bytes(), &bytes))
            .transpose()
    }

    /// One coin of an address.
    ///
    /// # Errors
    /// A failure of the disk, or a damaged record.
    pub fn address_coin(
        &self,
        hash: &PubkeyHash,
        outpoint: &OutPoint,
    ) -> Result<Option<Coin>, StorageError> {
        let key = keys::address_coin(hash, outpoint);
        self.get(column::ADDRESS_COINS, &key)?
            .map(|bytes| codec::decode(column::ADDRESS_COINS, &key, &bytes))
            .transpose()
    }

    /// Whether the transaction at a place of the active chain is in an address's history.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn has_history(
        &self,
        hash: &PubkeyHash,
        height: u32,
        index: u32,
        txid: &Txid,
    ) -> Result<bool, StorageError> {
        let key = keys::address_history(hash, height, index);
        let found = self.get(column::ADDRESS_HISTORY, &key)?;
        Ok(found.as_deref() == Some(&txid.as_bytes()[..]))
    }

    /// Whether a column has no row. An unreadable one has some.
    #[must_use]
    pub fn knows_no_heights(&self) -> bool {
        let heights = self.column(column::HEIGHTS);
        self.db
            .iterator_cf(heights, IteratorMode::Start)
            .next()
            .is_none()
    }

    /// Every row of the height index.
    pub fn all_heights(&self) -> impl Iterator<Item = Result<(u32, BlockHash), StorageError>> {
        self.parsed_rows(column::HEIGHTS, |key, value| {
            let height = u32::from_be_bytes(key.try_into().ok()?);
            Some(Ok((height, BlockHash::from_bytes(value.try_into().ok()?))))
        })
    }

    /// The blocks that undo data is stored for.
    pub fn all_undo(&self) -> impl Iterator<Item = Result<BlockHash, StorageError>> {
        self.parsed_rows(column::UNDO, |key, _| {
            Some(Ok(BlockHash::from_bytes(key.try_into().ok()?)))
        })
    }

    /// Every row of the transaction index.
    pub fn all_transactions(
        &self,
    ) -> impl Iterator<Item = Result<(Txid, TransactionRecord), StorageError>> {
        self.parsed_rows(column::TRANSACTIONS, |key, value| {
            let (block, index) = value.split_at_checked(32)?;
            let record = TransactionRecord {
                block: BlockHash::from_bytes(block.try_into().ok()?),
                index: u32::from_be_bytes(index.try_into().ok()?),
            };
            Some(Ok((Txid::from_bytes(key.try_into().ok()?), record)))
        })
    }

    /// Every row of the address history: whose it is, and the row.
    pub fn all_history(
        &self,
    ) -> impl Iterator<Item = Result<(PubkeyHash, HistoryRow), StorageError>> {
        self.parsed_rows(column::ADDRESS_HISTORY, |key, value| {
            let owner = PubkeyHash::from_bytes(key.get(..20)?.try_into().ok()?);
            Some(Ok((owner, parse_history(key, value)?)))
        })
    }

    /// Every row of the coins by address.
    pub fn all_address_coins(
        &self,
    ) -> impl Iterator<Item = Result<(PubkeyHash, OutPoint, Coin), StorageError>> {
        self.parsed_rows(column::ADDRESS_COINS, |key, value| {
            let owner = PubkeyHash::from_bytes(key.get(..20)?.try_into().ok()?);
            let outpoint = keys::parse_outpoint(key.get(20..)?)?;
            let coin = codec::decode(column::ADDRESS_COINS, key, value);
            Some(coin.map(|coin| (owner, outpoint, coin)))
        })
    }

    /// Every row of a column; `parse` gives `None` for a malformed one.
    fn parsed_rows<T>(
        &self,
        column: &'static str,
        parse: impl Fn(&[u8], &[u8]) -> Option<Result<T, StorageError>>,
    ) -> impl Iterator<Item = Result<T, StorageError>> {
        self.rows(column, IteratorMode::Start).map(move |row| {
            let (key, value) = row?;
            parse(&key, &value)
                .unwrap_or_else(|| Err(StorageError::damaged(column, &key, "malformed row".into())))
        })
    }

    /// Every header that can be read, in the order of their hashes. A row whose record is damaged is given as its hash alone.
    /// Records of the schema before are read too.
    pub fn scan_headers(&self, visit: &mut dyn FnMut(BlockHash, Option<HeaderRecord>)) -> Scan {
        self.scan(column::HEADERS, &mut |key, row| {
            let Ok(hash) = <[u8; 32]>::try_from(key) else {
                return;
            };
            let value = seal::open(column::HEADERS, key, row).unwrap_or(row);
            visit(BlockHash::from_bytes(hash), decode_header(key, value).ok());
        })
    }

    /// Every row of the height index that can be read, lowest first.
    pub fn scan_heights(&self, visit: &mut dyn FnMut(u32, BlockHash)) -> Scan {
        self.scan(column::HEIGHTS, &mut |key, row| {
            let value = seal::open(column::HEIGHTS, key, row).unwrap_or(row);
            if let (Ok(height), Ok(hash)) = (key.try_into(), value.try_into()) {
                visit(u32::from_be_bytes(height), BlockHash::from_bytes(hash));
            }
        })
    }

    /// A block, if its bytes can be read, decode, and have the header of this hash. Whether the transactions are the header's own
    /// is left to the rules. Bodies of the schema before are read too.
    pub fn salvage_body(&self, hash: &BlockHash) -> Option<Block> {
        let key = hash.as_bytes();
        let row = self.db.get_cf(self.column(column::BODIES), key).ok()??;
        let value = seal::open(column::BODIES, key, &row).unwrap_or(&row);
        let block = Block::from_bytes(value).ok()?;
        (block.hash() == *hash).then_some(block)
    }

    /// Reads every row of every column, which checks RocksDB's own checksums; tells `progress` each column. The names of
    /// the columns with what was found in them.
    pub fn scan_all(&self, progress: &mut dyn FnMut(&'static str)) -> Vec<(&'static str, Scan)> {
        let columns = column::ALL.iter();
        columns
            .map(|name| {
                progress(name);
                (*name, self.scan(name, &mut |_, _| {}))
            })
            .collect()
    }

    /// Every row of a column that can be read, in the order of the keys, past what cannot.
    fn scan(&self, column: &'static str, visit: &mut dyn FnMut(&[u8], &[u8])) -> Scan {
        let mut scan = Scan::default();
        let mut rows = self.db.raw_iterator_cf(self.column(column));
        let mut at: Vec<u8> = Vec::new();
        rows.seek_to_first();
        loop {
            while let Some((key, value)) = rows.item() {
                scan.rows += 1;
                visit(key, value);
                at.clear();
                at.extend_from_slice(key);
                rows.next();
            }
            let Err(error) = rows.status() else {
                return scan;
            };
            scan.unreadable += 1;
            scan.first_error.get_or_insert_with(|| error.to_string());
            let mut moved = false;
            for keep in SKIP_PREFIXES {
                let Some(next) = after_prefix(&at, keep) else {
                    continue;
                };
                moved = true;
                rows.seek(&next);
                at = next;
                if rows.valid() || rows.status().is_ok() {
                    break;
                }
            }
            if !moved {
                return scan;
            }
        }
    }

    /// The rows that this database and another of the same chain do not share, in the columns that follow from the active
    /// chain, and how many there are; at most `max` of them are named.
    ///
    /// # Errors
    /// A failure of the disk. An unreadable row of this database ends its column with an error; use it on sound ones.
    pub fn differences(
        &self,
        expected: &Self,
        max: usize,
    ) -> Result<(Vec<Difference>, u64), StorageError> {
        let mut found = Vec::new();
        let mut total = 0;
        for name in DERIVED {
            let mut mine = self.db.iterator_cf(self.column(name), IteratorMode::Start);
            let mut theirs = expected
                .db
                .iterator_cf(expected.column(name), IteratorMode::Start);
            let mut left = mine.next().transpose()?;
            let mut right = theirs.next().transpose()?;
            loop {
                let order = match (&left, &right) {
                    (None, None) => break,
                    (Some(_), None) => std::cmp::Ordering::Less,
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                    (Some((mine, _)), Some((theirs, _))) => mine.cmp(theirs),
                };
                let row = match order {
                    std::cmp::Ordering::Less => {
                        left.as_ref().map(|row| (row, "should not be there"))
                    }
                    std::cmp::Ordering::Greater => right.as_ref().map(|row| (row, "is missing")),
                    std::cmp::Ordering::Equal if left != right => {
                        left.as_ref().map(|row| (row, "has another value"))
                    }
                    std::cmp::Ordering::Equal => None,
                };
                if let Some(((key, _), what)) = row {
                    total += 1;
                    if found.len() < max {
                        found.push(Difference {
                            column: name,
                            key: hex::encode(key),
                            what,
                        });
                    }
                }
                if order.is_le() {
                    left = mine.next().transpose()?;
                }
                if order.is_ge() {
                    right = theirs.next().transpose()?;
                }
            }
        }
        Ok((found, total))
    }

    fn of(db: DB, path: &Path) -> Self {
        Self {
            db,
            path: path.to_owned(),
        }
    }

    /// Removes a row, for tests that damage a database.
    #[cfg(test)]
    pub(crate) fn delete_raw(&self, column: &'static str, key: &[u8]) {
        self.db.delete_cf(self.column(column), key).unwrap();
    }
}

/// Writes the file that names the manifest in use; none where there is no manifest.
fn point_to_newest_manifest(path: &Path) -> Option<()> {
    let files = std::fs::read_dir(path).ok()?.flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    // The numbers have leading zeros.
    let newest = names.filter(|name| name.starts_with("MANIFEST-")).max()?;
    std::fs::write(path.join("CURRENT"), format!("{newest}\n")).ok()
}

/// The first key after all that begin with the first `keep` bytes of `key`; none if there is no such key.
fn after_prefix(key: &[u8], keep: usize) -> Option<Vec<u8>> {
    let mut next = vec![0; keep];
    let kept = keep.min(key.len());
    next[..kept].copy_from_slice(&key[..kept]);
    for byte in next.iter_mut().rev() {
        let (sum, overflow) = byte.overflowing_add(1);
        *byte = sum;
        if !overflow {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_is_after_all_of_a_prefix() {
        assert_eq!(after_prefix(&[1, 2, 3], 2), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 0xff, 3], 2), Some(vec![2, 0]));
        assert_eq!(after_prefix(&[], 2), Some(vec![0, 1]));
        assert_eq!(after_prefix(&[0xff, 0xff, 3], 2), None);
    }
}
