//! The wallet file on disk: read with suspicion, written whole or not at all, changed by one process at a time.
//!
//! # Invariants
//! - A reader sees the old or the new file, never a part: new bytes go to `<file>.tmp`, are synced, and take the place
//!   by a rename, which is synced too. A temporary file that a crash left behind is ignored and replaced.
//! - Writers hold the exclusive lock on `<file>.lock` from reading to renaming. The lock file stays; it has no content.
//! - All three files have mode 0600 from the moment they exist.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs4::{FileExt, TryLockError};
use zeroize::Zeroizing;

use super::error::WalletError;

/// Largest wallet file that is read: 64 MiB, some 300,000 addresses. A larger one is refused before it fills memory.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// How long a writer waits for others. Writing takes milliseconds, on a busy disk tenths of a second, so only a stopped
/// process holds out longer.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Pause between two tries to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// How often `read` starts again because a writer replaced the file under it.
const READ_TRIES: u32 = 16;
/// Permission bits that must be off: everything for group and others.
const FORBIDDEN_MODE: u32 = 0o077;

/// By what a file that was replaced is told from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    identity: (u64, u64),
    len: u64,
    mode: u32,
    changed: (i64, i64),
}

impl Stamp {
    /// Of what is at `path` now, be it a link; `None` if there is nothing to be seen.
    ///
    /// Two files of one length that took the same place on the disk within one tick of its clock look alike, so writers read
    /// anew in any case.
    pub(super) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let seen = fs::symlink_metadata(path).ok()?;
        Some(Self {
            identity: (seen.dev(), seen.ino()),
            len: seen.len(),
            mode: seen.mode(),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    }
}

/// Reads the whole file.
///
/// # Security
/// Refuses links, anything but plain files, and files that others may use. The file that was checked is the file that
/// is read: a swap between the two is noticed by its identity.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    for _ in 0..READ_TRIES {
        let seen =
            fs::symlink_metadata(path).map_err(|source| io_or_missing("find", path, source))?;
        if seen.file_type().is_symlink() {
            return Err(WalletError::Symlink {
                path: path.to_owned(),
            });
        }
        if !seen.is_file() {
            return Err(WalletError::NotAFile {
                path: path.to_owned(),
            });
        }
        let file = File::open(path).map_err(|source| io_or_missing("open", path, source))?;
        let opened = file
            .metadata()
            .map_err(|source| io_error("examine", path, source))?;
        if !same_file(&seen, &opened) {
            continue;
        }
        if let Some(mode) = mode(&opened).filter(|mode| mode & FORBIDDEN_MODE != 0) {
            return Err(WalletError::WrongMode {
                path: path.to_owned(),
                mode,
            });
        }
        return read_bounded(&file, opened.len(), path);
    }
    Err(WalletError::Symlink {
        path: path.to_owned(),
    })
}

fn read_bounded(file: &File, len: u64, path: &Path) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let too_large = || WalletError::Corrupt {
        path: path.to_owned(),
        what: format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20),
    };
    let capacity = usize::try_from(len.min(MAX_FILE_BYTES))
        .map_err(|_| too_large())?
        .saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error("read", path, source))?;
    if u64::try_from(bytes.len()).map_or(true, |read| read > MAX_FILE_BYTES) {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The right to change one wallet file; given back when dropped, or by the system when the process dies.
#[must_use = "the file may be changed only while this lives"]
pub(super) struct WriteLock {
    _file: File,
    path: PathBuf,
}

impl WriteLock {
    /// Waits for the lock of the wallet at `path`. The folder must exist.
    pub(super) fn acquire(path: &Path) -> Result<Self, WalletError> {
        let lock_path = beside(path, ".lock");
        let file = open_lock_file(&lock_path)?;
        let start = Instant::now();
        loop {
            match FileExt::try_lock(&file) {
                Ok(()) => {
                    return Ok(Self {
                        _file: file,
                        path: path.to_owned(),
                    });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(io_error("lock", &lock_path, source));
                }
                Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_WAIT => {
                    return Err(WalletError::Busy {
                        path: lock_path,
                        seconds: LOCK_WAIT.as_secs(),
                    });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            }
        }
    }

    /// Fails if anything, a dangling link included, is where a new wallet shall go.
    pub(super) fn check_vacant(&self) -> Result<(), WalletError> {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => Err(WalletError::AlreadyExists {
                path: self.path.clone(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(io_error("find", &self.path, source)),
        }
    }

    /// Makes `bytes` the content of the wallet file, durably. On error the file is the old one, or, if only the last
    /// sync failed, the new one.
    pub(super) fn replace(&self, bytes: &[u8]) -> Result<(), WalletError> {
        let temporary = beside(&self.path, ".tmp");
        let written = write_new(&temporary, bytes).and_then(|()| {
            fs::rename(&temporary, &self.path)
                .map_err(|source| io_error("replace", &self.path, source))
        });
        if let Err(error) = written {
            // The first error is the one to tell; a leftover is replaced by the next writer.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        let folder = folder_of(&self.path);
        sync_folder(folder).map_err(|source| io_error("sync", folder, source))
    }
}

/// Makes the folder of a wallet that is about to be created, for its owner alone.
pub(super) fn make_folder(path: &Path) -> Result<(), WalletError> {
    let folder = folder_of(path);
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|source| io_error("create the folder", folder, source))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove the leftover", path, error));
        }
        _ => {}
    }
    let write = || {
        // `create_new` never follows a link and never opens what somebody else put there.
        let mut file = owner_only(OpenOptions::new().write(true).create_new(true)).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| io_error("write", path, source))
}

fn open_lock_file(path: &Path) -> Result<File, WalletError> {
    let created = owner_only(OpenOptions::new().read(true).write(true).create_new(true)).open(path);
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map_err(|source| io_error("create", path, source)),
    }
    let seen = fs::symlink_metadata(path).map_err(|source| io_error("find", path, source))?;
    if seen.file_type().is_symlink() {
        return Err(WalletError::Symlink {
            path: path.to_owned(),
        });
    }
    if !seen.is_file() {
        return Err(WalletError::NotAFile {
            path: path.to_owned(),
        });
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| io_error("open", path, source))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> WalletError {
    WalletError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn io_or_missing(action: &'static str, path: &Path, source: io::Error) -> WalletError {
    if source.kind() == io::ErrorKind::NotFound {
        return WalletError::NotFound {
            path: path.to_owned(),
        };
    }
    io_error(action, path, source)
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> Option<u32> {
    Some(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777)
}

#[cfg(unix)]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

// Elsewhere the folder's own access list protects the file.
#[cfg(not(unix))]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> Option<u32> {
    None
}

#[cfg(not(unix))]
fn same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
    }

    #[test]
    fn replaces_whole_with_mode_0600_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("wallet.json");
        let lock = WriteLock::acquire(&path).expect("lock");
        lock.check_vacant().expect("vacant");
        for text in ["one", "a longer two", ""] {
            lock.replace(text.as_bytes()).expect("replace");
            assert_eq!(read(&path).expect("read").as_slice(), text.as_bytes());
            assert_eq!(mode_of(&path), 0o600);
        }
        assert!(matches!(
            lock.check_vacant(),
            Err(WalletError::AlreadyExists { .. })
        ));
        assert!(!beside(&path, ".tmp").exists());
        assert_eq!(mode_of(&beside(&path, ".lock")), 0o600);
    }

    /// A crash between writing and renaming leaves `.tmp`; a link planted there must not be written through.
    #[test]
    fn a_leftover_or_planted_temporary_file_does_no_harm() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("wallet.json");
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").expect("write");
        let lock = WriteLock::acquire(&path).expect("lock");
        lock.replace(b"old").expect("replace");

        fs::write(beside(&path, ".tmp"), "half").expect("write");
        assert_eq!(read(&path).expect("read").as_slice(), b"old");
        lock.replace(b"new").expect("replace");
        symlink(&victim, beside(&path, ".tmp")).expect("link");
        lock.replace(b"newer").expect("replace");

        assert_eq!(read(&path).expect("read").as_slice(), b"newer");
        assert_eq!(fs::read(&victim).expect("read"), b"mine");
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("wallet.json");
        let lock = WriteLock::acquire(&path).expect("lock");
        lock.replace(b"old").expect("replace");
        // A folder in the temporary file's place makes the write fail, for root too.
        fs::create_dir(beside(&path, ".tmp")).expect("folder");
        assert!(matches!(lock.replace(b"new"), Err(WalletError::Io { .. })));
        assert_eq!(read(&path).expect("read").as_slice(), b"old");
    }

    #[test]
    fn links_folders_and_open_modes_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("wallet.json");
        assert!(matches!(read(&path), Err(WalletError::NotFound { .. })));

        WriteLock::acquire(&path)
            .expect("lock")
            .replace(b"x")
            .expect("replace");
        for mode in [0o644, 0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("chmod");
            let error = read(&path).expect_err("refused");
            assert!(matches!(error, WalletError::WrongMode { mode: found, .. } if found == mode));
            assert!(error.to_string().contains("chmod 600 "), "{error}");
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).expect("chmod");
        assert!(read(&path).is_ok(), "stricter than needed is fine");

        let link = folder.path().join("link.json");
        symlink(&path, &link).expect("link");
        assert!(matches!(read(&link), Err(WalletError::Symlink { .. })));
        assert!(matches!(
            read(folder.path()),
            Err(WalletError::NotAFile { .. })
        ));
    }

    #[test]
    fn a_dangling_link_is_not_a_vacant_place() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("wallet.json");
        symlink(folder.path().join("elsewhere"), &path).expect("link");
        let lock = WriteLock::acquire(&path).expect("lock");
        assert!(matches!(
            lock.check_vacant(),
            Err(WalletError::AlreadyExists { .. })
        ));
    }

    #[test]
    fn the_lock_excludes_and_is_released_on_drop() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("wallet.json");
        let held = WriteLock::acquire(&path).expect("lock");
        let other = open_lock_file(&beside(&path, ".lock")).expect("open");
        assert!(matches!(
            FileExt::try_lock(&other),
            Err(TryLockError::WouldBlock)
        ));
        drop(held);
        assert!(FileExt::try_lock(&other).is_ok());
    }
}
