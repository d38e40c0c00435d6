//! The wallet itself: one HD key tree in one file, open in this process and perhaps in others.
//!
//! Every change takes the file's lock, reads the file again, changes the copy, writes it, and only then changes what
//! this handle shows. So two processes never hand out one address, and a failed write changes nothing. The calls block
//! on the disk, and those that take a passphrase compute for some tenths of a second: keep them off the async executor.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::primitives::{PubkeyHash, unix_now};

use super::disk::{self, WriteLock};
use super::error::WalletError;
use super::file::{SecretText, WalletFile};
use super::phrase::Entropy;
use super::seal::{KdfParams, Sealed};
use super::unlocked::Unlocked;

/// An open wallet.
///
/// # Security
/// An encrypted wallet opens locked: it lists and makes addresses and tells what it owns, and cannot sign. Secrets are
/// wiped when the wallet is locked or dropped, and are in no `Debug` form and no error.
pub struct Wallet {
    pub(super) path: PathBuf,
    pub(super) file: WalletFile,
    /// Where in `file` an address stands: position of its account, position in the account.
    pub(super) places: HashMap<PubkeyHash, (usize, usize)>,
    pub(super) unlocked: Option<Unlocked>,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet")
            .field("path", &self.path)
            .field("encrypted", &self.is_encrypted())
            .field("locked", &self.is_locked())
            .field("addresses", &self.places.len())
            .finish_non_exhaustive()
    }
}

/// Making, opening and reloading.
impl Wallet {
    /// Makes a new wallet, with a new phrase of 12 words, at a place where nothing is. Creates the folder if needed.
    /// The wallet is unlocked.
    ///
    /// # Errors
    /// [`WalletError::AlreadyExists`], [`WalletError::EmptyPassphrase`], or why the disk refused.
    pub fn create(path: impl AsRef<Path>, passphrase: Option<&str>) -> Result<Self, WalletError> {
        Self::create_with(path, passphrase, KdfParams::DEFAULT)
    }

    /// [`create`](Self::create) with a chosen cost of the passphrase.
    ///
    /// # Errors
    /// As `create`.
    pub fn create_with(
        path: impl AsRef<Path>,
        passphrase: Option<&str>,
        kdf: KdfParams,
    ) -> Result<Self, WalletError> {
        Self::write_new(path.as_ref(), Entropy::generate()?, passphrase, kdf)
    }

    /// Makes the wallet of an existing BIP39 phrase (English; 12, 15, 18, 21 or 24 words). It knows no addresses yet:
    /// see [`discover`](Self::discover).
    ///
    /// # Errors
    /// [`WalletError::BadPhrase`], and as [`create`](Self::create).
    pub fn restore(
        path: impl AsRef<Path>,
        phrase: &str,
        passphrase: Option<&str>,
    ) -> Result<Self, WalletError> {
        Self::restore_with(path, phrase, passphrase, KdfParams::DEFAULT)
    }

    /// [`restore`](Self::restore) with a chosen cost of the passphrase.
    ///
    /// # Errors
    /// As `restore`.
    pub fn restore_with(
        path: impl AsRef<Path>,
        phrase: &str,
        passphrase: Option<&str>,
        kdf: KdfParams,
    ) -> Result<Self, WalletError> {
        Self::write_new(
            path.as_ref(),
            Entropy::from_phrase(phrase)?,
            passphrase,
            kdf,
        )
    }

    fn write_new(
        path: &Path,
        entropy: Entropy,
        passphrase: Option<&str>,
        kdf: KdfParams,
    ) -> Result<Self, WalletError> {
        if passphrase == Some("") {
            return Err(WalletError::EmptyPassphrase);
        }
        disk::make_folder(path)?;
        let lock = WriteLock::acquire(path)?;
        lock.check_vacant()?;
        let unlocked = Unlocked::new(entropy);
        let mut file = WalletFile::new(unlocked.id()?, unix_now());
        put_secret(&mut file, &unlocked.entropy, passphrase, kdf)?;
        lock.replace(&file.render())?;
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            places: HashMap::new(),
            unlocked: Some(unlocked),
        })
    }

    /// Opens the wallet of a file. An encrypted one is locked.
    ///
    /// # Errors
    /// [`WalletError::NotFound`], [`WalletError::Symlink`], [`WalletError::WrongMode`], [`WalletError::Corrupt`],
    /// [`WalletError::UnknownVersion`], [`WalletError::KdfOutOfBounds`], or why the disk refused.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WalletError> {
        let path = path.as_ref();
        let file = WalletFile::parse(&disk::read(path)?, path)?;
        let unlocked = checked_plain_secret(&file, path)?;
        let places = places(&file);
        Ok(Self {
            path: path.to_owned(),
            file,
            places,
            unlocked,
        })
    }

    /// Takes up what another process changed. A wallet whose passphrase was changed or set elsewhere is locked after.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`WalletError::Replaced`] if the file now holds another wallet.
    pub fn refresh(&mut self) -> Result<(), WalletError> {
        let file = WalletFile::parse(&disk::read(&self.path)?, &self.path)?;
        self.adopt(file)
    }

    fn adopt(&mut self, file: WalletFile) -> Result<(), WalletError> {
        if file.id != self.file.id {
            return Err(WalletError::Replaced {
                path: self.path.clone(),
            });
        }
        let same_secret =
            file.phrase == self.file.phrase && file.encryption == self.file.encryption;
        if same_secret {
            if let Some(unlocked) = &mut self.unlocked {
                unlocked.check(&file, &self.path, |hash| !self.places.contains_key(hash))?;
            }
        } else {
            self.unlocked = checked_plain_secret(&file, &self.path)?;
        }
        self.places = places(&file);
        self.file = file;
        Ok(())
    }

    /// Changes the file under its lock: what `change` returns was written.
    pub(super) fn modify<T>(
        &mut self,
        change: impl FnOnce(&mut WalletFile, Option<&mut Unlocked>) -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        let lock = WriteLock::acquire(&self.path)?;
        self.refresh()?;
        let mut file = self.file.clone();
        let result = change(&mut file, self.unlocked.as_mut())?;
        lock.replace(&file.render())?;
        self.places = places(&file);
        self.file = file;
        Ok(result)
    }
}

/// The passphrase and the phrase.
impl Wallet {
    /// Where the wallet is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is protected by a passphrase.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.file.encryption.is_some()
    }

    /// Whether the private keys are out of reach until [`unlock`](Self::unlock).
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.unlocked.is_none()
    }

    /// Decrypts the secret into memory, and checks that every address in the file is this wallet's.
    ///
    /// # Errors
    /// [`WalletError::WrongPassphrase`], [`WalletError::NotEncrypted`], [`WalletError::Corrupt`] for foreign keys.
    pub fn unlock(&mut self, passphrase: &str) -> Result<(), WalletError> {
        self.refresh()?;
        let sealed = self
            .file
            .encryption
            .as_ref()
            .ok_or(WalletError::NotEncrypted)?;
        let bytes = sealed.open(passphrase, &self.file.header())?;
        let entropy = Entropy::from_bytes(bytes).ok_or_else(|| WalletError::Corrupt {
            path: self.path.clone(),
            what: "the secret has no length of BIP39".to_owned(),
        })?;
        let mut unlocked = Unlocked::new(entropy);
        unlocked.check(&self.file, &self.path, |_| true)?;
        self.unlocked = Some(unlocked);
        Ok(())
    }

    /// Wipes the secret from memory.
    ///
    /// # Errors
    /// [`WalletError::NotEncrypted`]: a wallet without passphrase cannot be locked.
    pub fn lock(&mut self) -> Result<(), WalletError> {
        if !self.is_encrypted() {
            return Err(WalletError::NotEncrypted);
        }
        self.unlocked = None;
        Ok(())
    }

    /// Encrypts the file under a new passphrase, or stores it in clear. The wallet stays unlocked here; other
    /// processes find theirs locked. Copies of the old file keep the old protection.
    ///
    /// # Errors
    /// [`WalletError::Locked`], [`WalletError::EmptyPassphrase`], or why the disk refused.
    pub fn set_passphrase(&mut self, passphrase: Option<&str>) -> Result<(), WalletError> {
        self.set_passphrase_with(passphrase, KdfParams::DEFAULT)
    }

    /// [`set_passphrase`](Self::set_passphrase) with a chosen cost.
    ///
    /// # Errors
    /// As `set_passphrase`.
    pub fn set_passphrase_with(
        &mut self,
        passphrase: Option<&str>,
        kdf: KdfParams,
    ) -> Result<(), WalletError> {
        self.modify(|file, unlocked| {
            let unlocked = unlocked.ok_or(WalletError::Locked)?;
            put_secret(file, &unlocked.entropy, passphrase, kdf)
        })
    }

    /// The words that restore this wallet anywhere.
    ///
    /// # Security
    /// Whoever reads them owns every coin. Show them; never log or store them.
    ///
    /// # Errors
    /// [`WalletError::Locked`].
    pub fn recovery_phrase(&self) -> Result<Zeroizing<String>, WalletError> {
        let unlocked = self.unlocked.as_ref().ok_or(WalletError::Locked)?;
        Ok(unlocked.entropy.phrase())
    }
}

/// Puts the secret into the file, sealed or in clear.
fn put_secret(
    file: &mut WalletFile,
    entropy: &Entropy,
    passphrase: Option<&str>,
    kdf: KdfParams,
) -> Result<(), WalletError> {
    match passphrase {
        None => {
            file.phrase = Some(SecretText(entropy.phrase()));
            file.encryption = None;
        }
        Some(passphrase) => {
            let sealed = Sealed::seal(entropy.as_bytes(), passphrase, kdf, &file.header())?;
            file.phrase = None;
            file.encryption = Some(sealed);
        }
    }
    Ok(())
}

/// The secret of a file without passphrase. Who can write such a file can put another secret there, so the checksum is
/// all that guards its addresses until one of them signs.
fn checked_plain_secret(file: &WalletFile, path: &Path) -> Result<Option<Unlocked>, WalletError> {
    let Some(phrase) = &file.phrase else {
        return Ok(None);
    };
    let entropy = Entropy::from_phrase(&phrase.0).map_err(|error| WalletError::Corrupt {
        path: path.to_owned(),
        what: format!("its recovery phrase: {error}"),
    })?;
    let mut unlocked = Unlocked::new(entropy);
    unlocked.check(file, path, |_| false)?;
    Ok(Some(unlocked))
}

fn places(file: &WalletFile) -> HashMap<PubkeyHash, (usize, usize)> {
    let accounts = file.accounts.iter().enumerate();
    let all = accounts.flat_map(|(account, known)| {
        let addresses = known.addresses.iter().enumerate();
        addresses.map(move |(address, record)| (record.hash, (account, address)))
    });
    all.collect()
}
