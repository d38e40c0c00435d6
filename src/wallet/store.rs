//! The wallet itself: one HD key tree in one file, open in this process and perhaps in others.
//!
//! Every change takes the file's lock, reads the file again, changes the copy, writes it, and only then changes what
//! this handle shows. So two processes never hand out one address, and a failed write changes nothing. The calls block
//! on the disk, and those that take a passphrase compute for some tenths of a second: keep them off the async executor.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::primitives::{PubkeyHash, unix_now};

use super::disk::{self, Stamp, WriteLock};
use super::error::WalletError;
use super::file::{SecretText, WalletFile};
use super::hd;
use super::phrase::{self, Entropy};
use super::places::Places;
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
    /// Where in `file` an address stands.
    pub(super) places: Places,
    pub(super) unlocked: Option<Unlocked>,
    /// Of the file that was read or written last.
    stamp: Option<Stamp>,
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
        Ok(Self::of_file(path, file, Some(unlocked)))
    }

    /// Makes a wallet that has no private keys and watches what is imported into it.
    ///
    /// # Errors
    /// [`WalletError::AlreadyExists`], or why the disk refused.
    pub fn create_watch_only(path: impl AsRef<Path>) -> Result<Self, WalletError> {
        let path = path.as_ref();
        disk::make_folder(path)?;
        let lock = WriteLock::acquire(path)?;
        lock.check_vacant()?;
        let mut id = [0; 20];
        phrase::fill_random(&mut id)?;
        let mut file = WalletFile::new(PubkeyHash::from_bytes(id), unix_now());
        file.watch_only = true;
        lock.replace(&file.render())?;
        Ok(Self::of_file(path, file, None))
    }

    /// Makes a copy of a wallet file the wallet of another place, after the same checks as [`open`](Self::open).
    ///
    /// # Errors
    /// [`WalletError::AlreadyExists`], those of opening the copy, or why the disk refused.
    pub fn restore_file(
        path: impl AsRef<Path>,
        copy: impl AsRef<Path>,
    ) -> Result<Self, WalletError> {
        let (path, copy) = (path.as_ref(), copy.as_ref());
        let bytes = disk::read(copy)?;
        let file = WalletFile::parse(&bytes, copy)?;
        let unlocked = checked_plain_secret(&file, copy)?;
        disk::make_folder(path)?;
        let lock = WriteLock::acquire(path)?;
        lock.check_vacant()?;
        lock.replace(&bytes)?;
        Ok(Self::of_file(path, file, unlocked))
    }

    fn of_file(path: &Path, file: WalletFile, unlocked: Option<Unlocked>) -> Self {
        Self {
            stamp: Stamp::of(path),
            path: path.to_owned(),
            places: Places::of(&file, Places::default()),
            file,
            unlocked,
        }
    }

    /// Opens the wallet of a file. An encrypted one is locked.
    ///
    /// # Errors
    /// [`WalletError::NotFound`], [`WalletError::Symlink`], [`WalletError::WrongMode`], [`WalletError::Corrupt`],
    /// [`WalletError::UnknownVersion`], [`WalletError::KdfOutOfBounds`], or why the disk refused.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WalletError> {
        let path = path.as_ref();
        // Before reading: a file that comes in between is read again later.
        let stamp = Stamp::of(path);
        let file = WalletFile::parse(&disk::read(path)?, path)?;
        let unlocked = checked_plain_secret(&file, path)?;
        Ok(Self {
            stamp,
            ..Self::of_file(path, file, unlocked)
        })
    }

    /// Writes a copy of the file to a place where nothing is.
    ///
    /// # Security
    /// The copy is as secret as the wallet, and has the passphrase that the wallet has now.
    ///
    /// # Errors
    /// [`WalletError::AlreadyExists`], or why the disk refused.
    pub fn back_up(&mut self, copy: impl AsRef<Path>) -> Result<(), WalletError> {
        self.reload()?;
        let lock = WriteLock::acquire(copy.as_ref())?;
        lock.check_vacant()?;
        lock.replace(&self.file.render())
    }

    /// Takes up what another process changed. A wallet whose passphrase was changed or set elsewhere is locked after.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`WalletError::Replaced`] if the file now holds another wallet.
    pub fn refresh(&mut self) -> Result<(), WalletError> {
        match self.stamp {
            Some(seen) if Stamp::of(&self.path) == Some(seen) => Ok(()),
            _ => self.reload(),
        }
    }

    fn reload(&mut self) -> Result<(), WalletError> {
        let stamp = Stamp::of(&self.path);
        let file = WalletFile::parse(&disk::read(&self.path)?, &self.path)?;
        self.adopt(file)?;
        self.stamp = stamp;
        Ok(())
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
                unlocked.check(&file, &self.path, |hash| self.places.get(hash).is_none())?;
            }
        } else {
            self.unlocked = checked_plain_secret(&file, &self.path)?;
        }
        self.put(file);
        Ok(())
    }

    /// Changes the file under its lock: what `change` returns was written.
    pub(super) fn modify<T>(
        &mut self,
        change: impl FnOnce(&mut WalletFile, Option<&mut Unlocked>) -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        let lock = WriteLock::acquire(&self.path)?;
        self.reload()?;
        let mut file = self.file.clone();
        let result = change(&mut file, self.unlocked.as_mut())?;
        lock.replace(&file.render())?;
        self.stamp = Stamp::of(&self.path);
        self.put(file);
        Ok(result)
    }

    fn put(&mut self, file: WalletFile) {
        self.places = Places::of(&file, std::mem::take(&mut self.places));
        self.file = file;
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

    /// Whether the private keys are out of reach until [`unlock`](Self::unlock). A wallet that has none is not locked.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.unlocked.is_none() && self.has_private_keys()
    }

    /// Whether there are private keys, within reach or not.
    #[must_use]
    pub const fn has_private_keys(&self) -> bool {
        !self.file.watch_only
    }

    /// Unix time in seconds of the wallet's making.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.file.created()
    }

    /// The version of the file's format.
    #[must_use]
    pub const fn format_version(&self) -> u32 {
        self.file.version()
    }

    /// The fingerprint of the master key (BIP32), by which signers know their keys.
    #[must_use]
    pub const fn fingerprint(&self) -> [u8; 4] {
        hd::fingerprint(&self.file.id)
    }

    /// Decrypts the secret into memory, and checks that every address in the file is this wallet's.
    ///
    /// # Errors
    /// [`WalletError::WrongPassphrase`], [`WalletError::NotEncrypted`], [`WalletError::Corrupt`] for foreign keys.
    pub fn unlock(&mut self, passphrase: &str) -> Result<(), WalletError> {
        self.reload()?;
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
            if file.watch_only {
                return Err(WalletError::WatchOnly);
            }
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
    /// [`WalletError::Locked`], [`WalletError::WatchOnly`].
    pub fn recovery_phrase(&self) -> Result<Zeroizing<String>, WalletError> {
        self.check_private_keys()?;
        let unlocked = self.unlocked.as_ref().ok_or(WalletError::Locked)?;
        Ok(unlocked.entropy.phrase())
    }
}

impl Wallet {
    /// Fails for a wallet without private keys.
    pub(super) const fn check_private_keys(&self) -> Result<(), WalletError> {
        match self.file.watch_only {
            true => Err(WalletError::WatchOnly),
            false => Ok(()),
        }
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
