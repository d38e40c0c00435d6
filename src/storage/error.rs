//! What can go wrong with the disk.

use std::path::PathBuf;

use crate::primitives::DecodeError;

/// An error of the database. None of them is the fault of a block or a peer.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has the database open.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The folder was written by a newer version of the program.
    #[error("the data folder {} has schema version {found}, this program knows version {known}: use a newer quarry, or another --datadir", .path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The version that this program writes.
        known: u32,
    },
    /// The folder was written by an older version that this one cannot read.
    #[error("the data folder {} has schema version {found}, this program needs version {known}: export its blocks with the older quarry and import them into a new --datadir", .path.display())]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The version that this program writes.
        known: u32,
    },
    /// The folder belongs to another network.
    #[error("the data folder {} belongs to another network", .path.display())]
    OtherNetwork {
        /// The database.
        path: PathBuf,
        /// The chain spec it was made with, as TOML.
        stored_spec: String,
    },
    /// A record that cannot be what was written.
    #[error("the database is damaged: {column}/{key}: {reason}")]
    Damaged {
        /// The column.
        column: &'static str,
        /// The key, in hexadecimal.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The database itself.
    #[error("the database failed: {}", with_advice(.0))]
    Database(#[from] rocksdb::Error),
    /// The file system.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

impl StorageError {
    /// A record of `column` that does not decode.
    pub(super) fn undecodable(column: &'static str, key: &[u8], reason: &DecodeError) -> Self {
        Self::damaged(column, key, reason.to_string())
    }

    /// A record of `column` that is wrong.
    pub(super) fn damaged(column: &'static str, key: &[u8], reason: String) -> Self {
        Self::Damaged {
            column,
            key: hex::encode(key),
            reason,
        }
    }
}

/// An error of the database, and what to do where it quotes the system about the disk.
fn with_advice(error: &rocksdb::Error) -> String {
    const ADVICE: [(&str, &str); 3] = [
        (
            "No space left on device",
            "; free some space on this disk and start again: nothing that was acknowledged is lost",
        ),
        (
            "Input/output error",
            "; the disk does not read or write: see the system's log before you start again",
        ),
        (
            "Read-only file system",
            "; the data folder must be on a disk that can be written",
        ),
    ];
    let text: &str = error.as_ref();
    let advice = ADVICE.iter().find(|(name, _)| text.contains(name));
    format!("{text}{}", advice.map_or("", |(_, advice)| advice))
}
