//! How private records become bytes: `bincode` with fixed settings, behind these two functions.
//!
//! Never used for consensus bytes or for anything that a peer sends.

use bincode::config::{Configuration, standard};
use serde::{Serialize, de::DeserializeOwned};

use super::error::StorageError;

/// Little-endian, variable-length integers.
const CONFIG: Configuration = standard();

/// The bytes of a record.
pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(record, CONFIG)
        .expect("records are plain data and encode into memory")
}

/// The record of bytes, all of them.
pub(super) fn decode<T: DeserializeOwned>(
    column: &'static str,
    key: &[u8],
    bytes: &[u8],
) -> Result<T, StorageError> {
    match bincode::serde::decode_from_slice(bytes, CONFIG) {
        Ok((record, used)) if used == bytes.len() => Ok(record),
        Ok((_, used)) => {
            let reason = format!("{} bytes follow the record", bytes.len() - used);
            Err(StorageError::damaged(column, key, reason))
        }
        Err(error) => Err(StorageError::damaged(column, key, error.to_string())),
    }
}
