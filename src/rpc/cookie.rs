//! The cookie: a password made at each start, in a file that only this user can read.
//!
//! Whoever may read the file may use the node, which is how the command line finds its way in (Bitcoin Core's scheme,
//! `rpc/request.cpp`, with its user name).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The file's name in the network's folder.
pub const COOKIE_FILE: &str = ".cookie";
/// The user name in front of the secret.
const USER: &str = "__cookie__";
/// A cookie file is not longer than this; the rest is not read.
const MAX_LEN: u64 = 1024;

/// Why there is no cookie.
#[derive(Debug, thiserror::Error)]
pub enum CookieError {
    /// The path is a symbolic link, by which somebody could have the secret written elsewhere.
    #[error("{} is a symbolic link; remove it, the node writes a plain file there", .0.display())]
    Symlink(PathBuf),
    /// The path is a folder, a pipe or a device.
    #[error("{} is not a plain file; remove it, the node writes its cookie there", .0.display())]
    NotAFile(PathBuf),
    /// The disk.
    #[error("cannot {action} the cookie file {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness for the cookie: {0}")]
    Random(String),
}

/// The secret of a running server.
///
/// # Security
/// Wiped when dropped, and in no `Debug` form.
pub struct Cookie {
    path: PathBuf,
    /// `user:secret`, as in the file.
    text: Zeroizing<String>,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Cookie {
    /// Makes a new secret and writes it to `.cookie` in `folder` with mode 0600, in place of an older one.
    ///
    /// # Errors
    /// [`CookieError`]; nothing is written where a link or something else than a file is in the way.
    pub fn create(folder: &Path) -> Result<Self, CookieError> {
        let path = folder.join(COOKIE_FILE);
        let failed = |action, source| CookieError::Io {
            action,
            path: path.clone(),
            source,
        };
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at", error)),
            Ok(found) if found.is_symlink() => return Err(CookieError::Symlink(path)),
            Ok(found) if !found.is_file() => return Err(CookieError::NotAFile(path)),
            Ok(_) => {}
        }
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut secret[..]).map_err(|error| CookieError::Random(error.to_string()))?;
        let text = Zeroizing::new(format!("{USER}:{}", hex::encode(&secret[..])));
        // Written beside and renamed: readers see the old or the new one, and a link is never followed.
        let beside = folder.join(".cookie.new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("replace", error));
            }
            Ok(()) | Err(_) => {}
        }
        let write = || {
            private_file(&beside)?.write_all(text.as_bytes())?;
            fs::rename(&beside, &path)
        };
        write().map_err(|error| failed("write", error))?;
        Ok(Self { path, text })
    }

    /// Reads the cookie of a running node as `user:secret`.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(folder: &Path) -> io::Result<Zeroizing<String>> {
        use std::io::Read;
        let mut text = Zeroizing::new(String::new());
        File::open(folder.join(COOKIE_FILE))?
            .take(MAX_LEN)
            .read_to_string(&mut text)?;
        let end = text.trim_end().len();
        text.truncate(end);
        Ok(text)
    }

    /// Whether `user:secret` are right. Takes the same time for every wrong one.
    pub(super) fn admits(&self, given: &[u8]) -> bool {
        // Hashes have one length, so that not even the secret's length shows.
        let given = Sha256::digest(given);
        let right = Sha256::digest(self.text.as_bytes());
        given.as_slice().ct_eq(right.as_slice()).into()
    }

    /// Removes the file, if it is still this cookie's: another node may have started since.
    pub fn remove(&self) {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if Self::read(folder).is_ok_and(|text| text == self.text) {
            // A cookie left behind opens nothing, so a failure does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A new file of mode 0600; an existing one, or a link, is an error.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_the_file_is_admitted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cookie = Cookie::create(folder.path()).expect("the folder is empty");
        let text = Cookie::read(folder.path()).expect("it was just written");
        assert_eq!(text.len(), "__cookie__:".len() + 64);
        assert!(cookie.admits(text.as_bytes()));
        for wrong in [
            "",
            "__cookie__:",
            &text[..text.len() - 1],
            &format!("{}0", &*text),
            &text[1..],
        ] {
            assert!(!cookie.admits(wrong.as_bytes()), "{wrong}");
        }
        assert!(
            !format!("{cookie:?}").contains(&text[11..]),
            "no secret in debug output"
        );
    }

    #[test]
    fn a_new_cookie_replaces_the_old_and_removes_only_itself() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let old = Cookie::create(folder.path()).expect("the folder is empty");
        let new = Cookie::create(folder.path()).expect("a file may be replaced");
        let text = Cookie::read(folder.path()).expect("it was just written");
        assert!(!old.admits(text.as_bytes()));
        old.remove();
        let left = Cookie::read(folder.path()).expect("the new one stays");
        assert!(new.admits(left.as_bytes()));
        new.remove();
        assert!(Cookie::read(folder.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn r11_the_file_is_private_and_links_are_refused() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(COOKIE_FILE);
        let cookie = Cookie::create(folder.path()).expect("the folder is empty");
        let mode = fs::metadata(&path)
            .expect("it was just written")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        cookie.remove();

        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").expect("a file in a temporary folder");
        symlink(&victim, &path).expect("a link in a temporary folder");
        assert!(matches!(
            Cookie::create(folder.path()),
            Err(CookieError::Symlink(_))
        ));
        assert_eq!(
            fs::read_to_string(&victim).expect("it is there"),
            "untouched"
        );
        fs::remove_file(&path).expect("the link goes");
        fs::create_dir(&path).expect("a folder in its place");
        assert!(matches!(
            Cookie::create(folder.path()),
            Err(CookieError::NotAFile(_))
        ));
    }
    /// Where the folder cannot be written, the error names the file. A file in the folder's place makes it so for root too.
    #[test]
    fn r11_a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("taken");
        fs::write(&place, "").expect("a file in a temporary folder");
        let error = Cookie::create(&place)
            .map(drop)
            .expect_err("no folder is there");
        let text = error.to_string();
        assert!(
            matches!(error, CookieError::Io { .. }) && text.contains("taken"),
            "{text}"
        );
    }
}
