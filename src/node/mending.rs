//! `reindex` on the folders of a network: building the new database beside the old one, and letting it take its place.
//!
//! ```text
//! <network>/db            the database
//! <network>/db.rebuild    the new one, while it is built; nothing opens the chain as long as it is there
//! <network>/db.salvage    links to the old files, for RocksDB's repair to work on
//! <network>/db.verify     the scratch database of `verify-chain --full`
//! <network>/db.damaged-1  an old database of which something could not be taken over
//! ```
//!
//! # Invariants
//! - The old database is never changed, only renamed, and only when the new one is complete and synced.
//! - After a kill at any moment, calling again finishes: with `db` there, the building goes on; without it, the swap does.
//! - Nothing outside these folders is touched: not the wallet, not the node's identity.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::folder::NetworkFolder;
use super::lock_holder::lock_holder;
use crate::chain::{self, ChainError, Outcome, ReindexError, Reindexed};
use crate::consensus::ChainSpec;
use crate::rpc::NodeFile;
use crate::storage::StorageError;

/// Why a chain could not be built anew. The old database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// A node or command works on it.
    #[error("the data folder {} is in use by {}: stop it first", .path.display(), process(.pid))]
    InUse {
        /// The network's folder.
        path: PathBuf,
        /// The process, if it is known.
        pid: Option<u32>,
    },
    /// There is nothing to build from.
    #[error("there is no database in {}", .0.display())]
    NoChain(PathBuf),
    /// The disk is too small for a second database.
    #[error("the new database needs about {needed} bytes beside the old one, {} has {free} bytes left: make room first", .path.display())]
    NoSpace {
        /// The network's folder.
        path: PathBuf,
        /// About how much is needed.
        needed: u64,
        /// How much there is.
        free: u64,
    },
    /// RocksDB does not open the old database, and was not asked to put it together.
    #[error("the database cannot be opened: {0}")]
    Unopenable(String),
    /// RocksDB finds nothing to put together.
    #[error("nothing can be read from the database any more: {0}")]
    NothingLeft(String),
    /// The old database is another network's or a newer program's.
    #[error(transparent)]
    Source(ChainError),
    /// The new database fails.
    #[error("{0}")]
    Target(ReindexError),
    /// The file system.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn process(pid: &Option<u32>) -> String {
    pid.map_or_else(
        || "another quarry process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// What became of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// What was taken over; none where only the swap of an earlier call was left to do.
    pub reindexed: Option<Reindexed>,
    /// Where the old database is now, if it was kept.
    pub kept: Option<PathBuf>,
}

impl NetworkFolder {
    /// The new database while it is built. As long as it is there, nothing else opens the chain.
    pub fn rebuild(&self) -> PathBuf {
        self.path().join("db.rebuild")
    }

    /// The copy that RocksDB's repair works on.
    pub fn salvage(&self) -> PathBuf {
        self.path().join("db.salvage")
    }

    /// The scratch database of a full verification.
    pub fn scratch(&self) -> PathBuf {
        self.path().join("db.verify")
    }

    /// Where an old database is kept; the first name that is free.
    pub fn free_damaged_name(&self) -> PathBuf {
        let mut names = (1_u32..).map(|number| self.path().join(format!("db.damaged-{number}")));
        names
            .find(|path| !path.exists())
            .expect("there are more numbers than folders")
    }

    /// Whether a reindex was begun and not finished.
    pub fn has_unfinished_reindex(&self) -> bool {
        self.rebuild().exists()
    }

    /// Whether the database has lost the file that every database has, so that opening it would begin a new one.
    pub fn has_lost_database(&self) -> bool {
        // In this order: another process may be making the database just now, and its CURRENT comes before the rest.
        holds_tables(&self.database()) && !self.database().join("CURRENT").exists()
    }
}

/// Whether a folder holds parts of a database. A manifest alone is what a process leaves that was killed while it made one.
fn holds_tables(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.ends_with(".sst") || name.ends_with(".log")
    })
}

/// Builds the chain of a folder anew, or finishes doing so. With `salvage`, RocksDB first puts together what it finds.
///
/// # Errors
/// [`MendError`]. Calling again goes on.
pub fn reindex(
    folder: &NetworkFolder,
    spec: &ChainSpec,
    salvage: bool,
    progress: &mut chain::Progress<'_>,
) -> Result<Mended, MendError> {
    let (old, new) = (folder.database(), folder.rebuild());
    if !old.exists() {
        return finish_swap(folder);
    }
    check_unused(folder)?;
    check_space(folder)?;
    let had_begun = new.exists();
    // From here on no node starts; one that had just started before is seen now.
    fs::create_dir_all(&new).map_err(io_error(&new))?;
    let built = check_unused(folder).and_then(|()| build(folder, spec, salvage, progress));
    if salvage {
        remove_all(&folder.salvage())?;
    }
    let reindexed = match built {
        Ok(reindexed) => reindexed,
        Err(error) => {
            let is_source = !matches!(error, MendError::Target(_) | MendError::Io { .. });
            if !had_begun && is_source {
                // Nothing was taken over, so nothing is in the way of the old database.
                remove_all(&new)?;
            }
            return Err(error);
        }
    };
    let aside = folder.free_damaged_name();
    fs::rename(&old, &aside).map_err(io_error(&old))?;
    fs::rename(&new, &old).map_err(io_error(&new))?;
    sync(folder.path())?;
    let keep = salvage || !reindexed.is_complete();
    if !keep {
        remove_all(&aside)?;
    }
    Ok(Mended {
        reindexed: Some(reindexed),
        kept: keep.then_some(aside),
    })
}

/// The old database was put aside already; the new one, which is complete, takes its place.
fn finish_swap(folder: &NetworkFolder) -> Result<Mended, MendError> {
    let (old, new) = (folder.database(), folder.rebuild());
    if !new.exists() {
        return Err(MendError::NoChain(folder.path().to_owned()));
    }
    fs::rename(&new, &old).map_err(io_error(&new))?;
    sync(folder.path())?;
    Ok(Mended {
        reindexed: None,
        kept: None,
    })
}

fn build(
    folder: &NetworkFolder,
    spec: &ChainSpec,
    salvage: bool,
    progress: &mut chain::Progress<'_>,
) -> Result<Reindexed, MendError> {
    let source = match salvage {
        true => link_files(&folder.database(), &folder.salvage())?,
        false => folder.database(),
    };
    let target = folder.rebuild();
    let mut result = chain::reindex(&source, salvage, &target, spec, progress);
    if let Err(ReindexError::Target(error)) = &result
        && !matches!(error, ChainError::Storage(StorageError::InUse(_)))
    {
        // What an earlier call began is damaged itself, or of another version: begin anew.
        remove_all(&target)?;
        if salvage {
            link_files(&folder.database(), &folder.salvage())?;
        }
        result = chain::reindex(&source, salvage, &target, spec, progress);
    }
    match result {
        Ok(Outcome::Done(reindexed)) => Ok(reindexed),
        Ok(Outcome::Stopped) => Err(MendError::Io {
            path: target,
            source: io::ErrorKind::Interrupted.into(),
        }),
        Err(ReindexError::Source(ChainError::Storage(StorageError::Database(error)))) => {
            Err(match salvage {
                true => MendError::NothingLeft(error.to_string()),
                false => MendError::Unopenable(error.to_string()),
            })
        }
        Err(ReindexError::Target(ChainError::Storage(StorageError::InUse(_)))) => {
            Err(MendError::InUse {
                path: folder.path().to_owned(),
                pid: lock_holder(&folder.rebuild()),
            })
        }
        Err(ReindexError::Source(error)) => Err(MendError::Source(error)),
        Err(error @ ReindexError::Target(_)) => Err(MendError::Target(error)),
    }
}

/// A folder with the same files: tables, which RocksDB never changes, as links; the others as copies.
fn link_files(from: &Path, to: &Path) -> Result<PathBuf, MendError> {
    remove_all(to)?;
    fs::create_dir_all(to).map_err(io_error(to))?;
    for file in fs::read_dir(from).map_err(io_error(from))? {
        let path = file.map_err(io_error(from))?.path();
        let Some(name) = path.file_name().filter(|name| *name != "LOCK") else {
            continue;
        };
        let is_table = path.extension().is_some_and(|ending| ending == "sst");
        let target = to.join(name);
        let linked = is_table && fs::hard_link(&path, &target).is_ok();
        if !linked && path.is_file() {
            fs::copy(&path, &target).map_err(io_error(&path))?;
        }
    }
    Ok(to.to_owned())
}

fn check_unused(folder: &NetworkFolder) -> Result<(), MendError> {
    match lock_holder(&folder.database()) {
        None => Ok(()),
        Some(pid) => Err(MendError::InUse {
            path: folder.path().to_owned(),
            pid: Some(pid),
        }),
    }
}

fn check_space(folder: &NetworkFolder) -> Result<(), MendError> {
    let path = folder.path();
    let free = fs4::available_space(path).map_err(io_error(path))?;
    let needed =
        size_of_folder(&folder.database()).saturating_sub(size_of_folder(&folder.rebuild()));
    match needed <= free {
        true => Ok(()),
        false => Err(MendError::NoSpace {
            path: path.to_owned(),
            needed,
            free,
        }),
    }
}

/// The bytes of the files in a folder, which has no folders of its own; 0 where it cannot be read.
pub(super) fn size_of_folder(path: &Path) -> u64 {
    let files = fs::read_dir(path).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|found| found.len())
        .sum()
}

pub(super) fn remove_all(path: &Path) -> Result<(), MendError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes renames in a folder durable.
fn sync(path: &Path) -> Result<(), MendError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error(path))
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> MendError {
    move |source| MendError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The process of the node that says that it runs in a folder, whether it does or not.
pub(super) fn recorded_pid(folder: &NetworkFolder) -> Option<u32> {
    let file = NodeFile::read(folder.path()).ok().flatten();
    file.map(|file| file.pid)
}
