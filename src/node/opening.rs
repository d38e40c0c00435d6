//! Opening the chain of a network folder, with errors that say what to do.

use std::io;
use std::path::PathBuf;

use super::folder::NetworkFolder;
use crate::chain::{self, ChainError, ChainHandle, ChainOptions, ChainWriter};
use crate::consensus::ChainSpec;
use crate::rpc::NodeFile;
use crate::storage::StorageError;

/// Why a chain cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on it.
    #[error("the data folder {} is in use by {}", .path.display(), user(.pid))]
    InUse {
        /// The network's folder.
        path: PathBuf,
        /// The running node that was found there.
        pid: Option<u32>,
    },
    /// The folder cannot be made.
    #[error("cannot make the folder {}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A reindex was begun and not finished.
    #[error("a reindex of {} was begun and not finished: `quarry reindex` goes on with it", .0.display())]
    UnfinishedReindex(PathBuf),
    /// Opening would begin a new chain on the remains of another.
    #[error("the database is damaged: {} has lost its file CURRENT", .0.display())]
    LostDatabase(PathBuf),
    /// The chain cannot be opened for another reason.
    #[error(transparent)]
    Chain(ChainError),
}

fn user(pid: &Option<u32>) -> String {
    match pid {
        Some(pid) => format!(
            "a running node (process {pid}): stop it with `quarry rpc stop`, or choose another --datadir"
        ),
        None => {
            "another quarry process: wait for it to end, or choose another --datadir".to_owned()
        }
    }
}

/// Opens the chain in `folder`, which is made if it does not exist.
pub(super) fn open(
    folder: &NetworkFolder,
    spec: &ChainSpec,
    options: ChainOptions,
) -> Result<(ChainHandle, ChainWriter), OpenError> {
    folder.create().map_err(|source| OpenError::Folder {
        path: folder.path().to_owned(),
        source,
    })?;
    check_unfinished(folder)?;
    if folder.has_lost_database() {
        return Err(OpenError::LostDatabase(folder.database()));
    }
    let opened =
        chain::open(&folder.database(), spec.clone(), options).map_err(|error| match error {
            ChainError::Storage(StorageError::InUse(_)) => OpenError::InUse {
                path: folder.path().to_owned(),
                pid: NodeFile::read(folder.path())
                    .ok()
                    .flatten()
                    .map(|file| file.pid),
            },
            other => OpenError::Chain(other),
        })?;
    // A reindex that began before the database was locked has seen the lock, or is seen here.
    if let Err(error) = check_unfinished(folder) {
        let (chain, writer) = opened;
        chain.stop_blocking();
        drop(chain);
        // The error to tell is that nothing may be open now.
        let _ = writer.join();
        return Err(error);
    }
    Ok(opened)
}

fn check_unfinished(folder: &NetworkFolder) -> Result<(), OpenError> {
    match folder.has_unfinished_reindex() {
        true => Err(OpenError::UnfinishedReindex(folder.path().to_owned())),
        false => Ok(()),
    }
}
