//! Our libp2p key, in a file of mode 0600.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use libp2p::identity::{KeyType, Keypair};

use crate::network::NetworkError;

/// Reads the key from `path`, or makes one and writes it there.
///
/// # Errors
/// [`NetworkError::File`] when the file cannot be read or written, [`NetworkError::BadIdentity`]
/// when it holds no Ed25519 key; it is then left as it is.
pub(in crate::network) fn load_or_create(path: &Path) -> Result<Keypair, NetworkError> {
    match fs::read(path) {
        Ok(bytes) => {
            let damaged = |reason: String| NetworkError::BadIdentity {
                path: path.into(),
                reason,
            };
            let key = Keypair::from_protobuf_encoding(&bytes)
                .map_err(|error| damaged(error.to_string()))?;
            if key.key_type() != KeyType::Ed25519 {
                return Err(damaged("not an Ed25519 key".into()));
            }
            restrict(path).map_err(|source| file_error(path, source))?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = Keypair::generate_ed25519();
            let bytes = key
                .to_protobuf_encoding()
                .expect("Ed25519 keys can be encoded");
            create(path, &bytes).map_err(|source| file_error(path, source))?;
            Ok(key)
        }
        Err(source) => Err(file_error(path, source)),
    }
}

fn file_error(path: &Path, source: io::Error) -> NetworkError {
    NetworkError::File {
        path: path.into(),
        source,
    }
}

/// Writes a new file under another name first, so that a crash leaves a whole key or none.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("key.tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    restrict(&temporary)?;
    fs::rename(&temporary, path)
}

/// Takes the file away from everyone but its owner.
fn restrict(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let first = load_or_create(&path).unwrap();
        let second = load_or_create(&path).unwrap();
        assert_eq!(first.public(), second.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        fs::write(&path, b"not a key").unwrap();
        assert!(matches!(
            load_or_create(&path),
            Err(NetworkError::BadIdentity { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }
}
