//! Where wallets are in a data folder: the default one in `wallet.json`, others by their names in `wallets`.

use std::path::{Path, PathBuf};

/// The file of the default wallet.
const DEFAULT: &str = "wallet.json";
/// The folder of the others.
const FOLDER: &str = "wallets";
/// How their files end.
const ENDING: &str = "json";
/// Longest name in bytes.
const MAX_NAME: usize = 64;

/// Why a name is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a wallet's name has 1 to {MAX_NAME} letters, digits, spaces, '.', '_' and '-', and begins with a letter or digit"
)]
pub struct WalletNameError;

/// The file of a wallet in a data folder; the default one's name is empty.
///
/// # Errors
/// [`WalletNameError`] for a name that could lead out of the folder or be taken for something else.
pub fn wallet_file(data_folder: &Path, name: &str) -> Result<PathBuf, WalletNameError> {
    match name {
        "" => Ok(data_folder.join(DEFAULT)),
        name if is_name(name) => Ok(named_folder(data_folder).join(format!("{name}.{ENDING}"))),
        _ => Err(WalletNameError),
    }
}

/// The folder of the wallets that have names.
#[must_use]
pub fn named_folder(data_folder: &Path) -> PathBuf {
    data_folder.join(FOLDER)
}

/// The name of the wallet that a file in that folder holds; `None` for other files.
#[must_use]
pub fn name_of_file(path: &Path) -> Option<&str> {
    let is_wallet = path.extension().is_some_and(|ending| ending == ENDING);
    let name = path.file_stem()?.to_str()?;
    (is_wallet && is_name(name)).then_some(name)
}

fn is_name(name: &str) -> bool {
    let right = |byte: u8| byte.is_ascii_alphanumeric() || b" ._-".contains(&byte);
    let first = name.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.len() <= MAX_NAME
        && name.bytes().all(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_files_in_one_folder() {
        let data = Path::new("/data");
        let path = wallet_file(data, "my wallet-2.x").expect("a name");
        assert_eq!(path, Path::new("/data/wallets/my wallet-2.x.json"));
        assert_eq!(name_of_file(&path), Some("my wallet-2.x"));
        assert_eq!(wallet_file(data, ""), Ok(data.join("wallet.json")));
        for wrong in ["..", ".", "a/b", "/a", "-a", "a\0", "ä", &"a".repeat(65)] {
            assert_eq!(wallet_file(data, wrong), Err(WalletNameError), "{wrong}");
        }
        for other in [
            "/data/wallets/a.json.lock",
            "/data/wallets/a.json.tmp",
            "/data/wallets/.json",
        ] {
            assert_eq!(name_of_file(Path::new(other)), None, "{other}");
        }
    }
}
