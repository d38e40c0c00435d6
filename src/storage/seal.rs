//! The checksum that every value carries: CRC-32 (IEEE 802.3) over column, key and value, behind the value.
//!
//! RocksDB's own checksums cover its blocks and log records, so they find bytes that a disk changed. This one finds a value that
//! was changed, or moved to another key, by whatever means: it is made where rows are written and compared where they are read.
//! It is no protection against somebody who changes it along with the value.

use super::error::StorageError;
use super::keys::{column, meta};

/// Bytes of a checksum.
const LEN: usize = size_of::<u32>();

/// Whether a row has a checksum. The schema version alone has none: older programs must be able to read it.
fn is_sealed(column: &str, key: &[u8]) -> bool {
    column != column::META || key != meta::SCHEMA
}

fn checksum(column: &str, key: &[u8], value: &[u8]) -> [u8; LEN] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(column.as_bytes());
    hasher.update(&[0]);
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().to_le_bytes()
}

/// What follows `value` in the database.
pub(super) fn suffix(column: &'static str, key: &[u8], value: &[u8]) -> Option<[u8; LEN]> {
    is_sealed(column, key).then(|| checksum(column, key, value))
}

/// The value in the bytes of a row.
pub(super) fn open<'v>(
    column: &'static str,
    key: &[u8],
    row: &'v [u8],
) -> Result<&'v [u8], StorageError> {
    if !is_sealed(column, key) {
        return Ok(row);
    }
    let Some((value, found)) = row.split_last_chunk::<LEN>() else {
        let reason = format!("{} bytes are too few for a checksum", row.len());
        return Err(StorageError::damaged(column, key, reason));
    };
    let expected = checksum(column, key, value);
    if *found == expected {
        return Ok(value);
    }
    let (found, expected) = (hex::encode(found), hex::encode(expected));
    let reason = format!("the value has checksum {expected}, but {found} was written with it");
    Err(StorageError::damaged(column, key, reason))
}

/// The same for a row that is owned.
pub(super) fn open_owned(
    column: &'static str,
    key: &[u8],
    mut row: Vec<u8>,
) -> Result<Vec<u8>, StorageError> {
    let length = open(column, key, &row)?.len();
    row.truncate(length);
    Ok(row)
}
