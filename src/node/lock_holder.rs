//! Who holds a database's lock, without trying to take it.

use std::fs;
use std::path::Path;

/// The process that has the database in `path` open; none if nobody has, or where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn lock_holder(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;

    let lock = fs::metadata(path.join("LOCK")).ok()?;
    let inode = lock.ino().to_string();
    // proc_locks(5): `1: POSIX  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`, the fifth word being the process.
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let held = words.get(1) == Some(&"POSIX");
        let place = words.get(5)?.rsplit(':').next()?;
        (held && place == inode).then(|| words.get(4)?.parse().ok())?
    })
}

/// Other systems do not tell; there, `node.json` and RocksDB's own lock are what is left.
#[cfg(not(target_os = "linux"))]
pub(super) fn lock_holder(path: &Path) -> Option<u32> {
    let _ = fs::metadata(path);
    None
}
