//! The pre-shared key of a closed network: who does not have it cannot even begin the Noise handshake.
//!
//! The file is the `swarm.key` of other libp2p software: `/key/swarm/psk/1.0.0/`, `/base16/` and 64 hexadecimal digits, a line each.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use libp2p::pnet::{PnetConfig, PreSharedKey};
use zeroize::Zeroizing;

/// The two lines before the digits.
const HEAD: &str = "/key/swarm/psk/1.0.0/\n/base16/\n";
/// A longer file is no such key.
const MAX_FILE: u64 = 1_024;

/// Why there is no network key. No message holds any part of the key.
#[derive(Debug, thiserror::Error)]
pub enum NetworkKeyError {
    /// The path is taken; whatever is there stays.
    #[error("{} exists already and is left as it is; choose another file with --out", .0.display())]
    Exists(PathBuf),
    /// Not a plain file, a link included.
    #[error("{} is not a plain file; the network key must be one", .0.display())]
    NotAFile(PathBuf),
    /// Others may use the file.
    #[error("others may use {} (mode {mode:04o}); take it from them with: chmod 600 FILE", .path.display())]
    WrongMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not the format.
    #[error("{} is no network key: expected {what}; make one with: quarry network-key new", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
    },
    /// The disk, or the system's randomness.
    #[error("cannot {action} the network key {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The key of a closed network.
///
/// # Security
/// Wiped when dropped, and in no `Debug` form. libp2p keeps a copy of its own, which lives as long as the node.
#[derive(Clone)]
pub(super) struct NetworkKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(network key)")
    }
}

impl NetworkKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`NetworkKeyError`]; links and files that others may use are refused, like the wallet's.
    pub(super) fn load(path: &Path) -> Result<Self, NetworkKeyError> {
        let failed = |source| NetworkKeyError::Io {
            action: "read",
            path: path.into(),
            source,
        };
        let malformed = |what| NetworkKeyError::Malformed {
            path: path.into(),
            what,
        };
        // Before it is opened: opening a pipe waits for a writer.
        if !fs::symlink_metadata(path).map_err(failed)?.is_file() {
            return Err(NetworkKeyError::NotAFile(path.into()));
        }
        let file = File::open(path).map_err(failed)?;
        check_mode(&file, path).map_err(failed)??;
        // As long as it will be: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
        file.take(MAX_FILE + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let mut lines = text.lines();
        for expected in HEAD.lines() {
            if lines.next().map(str::trim_end) != Some(expected) {
                return Err(malformed("the lines /key/swarm/psk/1.0.0/ and /base16/"));
            }
        }
        let digits = lines.next().unwrap_or_default().trim_end();
        let mut key = Zeroizing::new([0; 32]);
        let is_whole = hex::decode_to_slice(digits, &mut key[..]).is_ok();
        if !is_whole || lines.any(|line| !line.trim().is_empty()) {
            return Err(malformed(
                "64 hexadecimal digits in the third and last line",
            ));
        }
        Ok(Self(key))
    }

    /// What a connection goes through before anything else.
    pub(super) fn handshake(&self) -> PnetConfig {
        PnetConfig::new(PreSharedKey::new(*self.0))
    }
}

/// Makes a key and writes it to `path` with mode 0600.
///
/// # Errors
/// [`NetworkKeyError`]; a file that exists is never overwritten.
pub fn create_network_key(path: &Path) -> Result<(), NetworkKeyError> {
    let failed = |source| NetworkKeyError::Io {
        action: "write",
        path: path.into(),
        source,
    };
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let mut digits = Zeroizing::new([0; 64]);
    hex::encode_to_slice(&key[..], &mut digits[..]).expect("64 digits are 32 bytes");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => NetworkKeyError::Exists(path.into()),
        _ => failed(source),
    })?;
    let mut write = || {
        file.write_all(HEAD.as_bytes())?;
        file.write_all(&digits[..])?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(failed)
}

#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> io::Result<Result<(), NetworkKeyError>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok(match mode & 0o077 {
        0 => Ok(()),
        _ => Err(NetworkKeyError::WrongMode {
            path: path.into(),
            mode,
        }),
    })
}

// Elsewhere the folder's own access list protects the file.
#[cfg(not(unix))]
fn check_mode(_: &File, _: &Path) -> io::Result<Result<(), NetworkKeyError>> {
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_libp2p_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.key");
        create_network_key(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let key = NetworkKey::load(&path).unwrap();
        let theirs: PreSharedKey = text.parse().unwrap();
        assert!(theirs == PreSharedKey::new(*key.0));
        let error = create_network_key(&path).unwrap_err();
        assert!(matches!(error, NetworkKeyError::Exists(_)));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let other = folder.path().join("other.key");
        create_network_key(&other).unwrap();
        assert_ne!(fs::read_to_string(&other).unwrap(), text);
        assert!(!format!("{key:?}").contains(text.lines().nth(2).unwrap()));
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.key");
        create_network_key(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let digits = good.lines().nth(2).unwrap();
        for bad in [
            String::new(),
            digits.to_owned(),
            good.replace("/base16/", "/base64/"),
            good.replace("psk", "key"),
            format!("{HEAD}{}\n", &digits[1..]),
            format!("{HEAD}{digits}0\n"),
            format!("{good}more\n"),
            format!("{HEAD}g{}\n", &digits[1..]),
        ] {
            fs::write(&path, &bad).unwrap();
            let error = NetworkKey::load(&path).unwrap_err();
            assert!(
                matches!(error, NetworkKeyError::Malformed { .. }),
                "{error}"
            );
            assert!(!format!("{error} {error:?}").contains(&digits[1..]));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_use_and_a_link_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.key");
        create_network_key(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = NetworkKey::load(&link).unwrap_err();
        assert!(matches!(error, NetworkKeyError::NotAFile(_)));
        for mode in [0o644, 0o640, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = NetworkKey::load(&path).unwrap_err();
            assert!(
                matches!(error, NetworkKeyError::WrongMode { .. }),
                "{error}"
            );
        }
    }
}
