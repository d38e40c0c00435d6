//! What can go wrong with the wallet file and its keys.
//!
//! Every message says what to do next, and none holds a secret: no word, no passphrase, no key.

use std::io;
use std::path::PathBuf;

/// A failure of the wallet file, its encryption or its key derivation.
///
/// Failures of one payment are [`PaymentError`](super::PaymentError).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// There is no file at the path.
    #[error("no wallet at {}: make one with `quarry create-wallet`", .path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// `create` and `restore` never overwrite.
    #[error("{} exists already; move it away first if you really want another wallet here", .path.display())]
    AlreadyExists {
        /// The file in the way.
        path: PathBuf,
    },
    /// The path is a symbolic link.
    #[error("{} is a symbolic link; a wallet must be a plain file, so put the file itself there", .path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// The path is a folder, a pipe or a device.
    #[error("{} is not a plain file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Others may read or write the file.
    #[error("{} can be used by other users (mode {mode:04o}); close it with: chmod 600 {}", .path.display(), .path.display())]
    WrongMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what this program wrote: damaged, cut short or edited.
    #[error("the wallet file {} is damaged ({what}); restore it from a backup, or from the recovery phrase into a new file", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What did not fit.
        what: String,
    },
    /// A format version this program does not know.
    #[error("{} has wallet format {found}, this program knows format {known}; use the newer version of quarry that wrote it", .path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version this program writes.
        known: u32,
    },
    /// The passphrase is wrong. A changed header cannot be told from a wrong passphrase.
    #[error("wrong passphrase (or the encrypted part of the wallet file was changed)")]
    WrongPassphrase,
    /// A passphrase of length zero.
    #[error(
        "the passphrase is empty; give at least one character, or none to leave the wallet unencrypted"
    )]
    EmptyPassphrase,
    /// The private keys are needed and the wallet is locked.
    #[error("the wallet is locked; unlock it with its passphrase first")]
    Locked,
    /// A locked wallet does not know the public keys of a network it was never used on.
    #[error(
        "the wallet is locked and has no address for coin type {coin_type} yet; unlock it once to make the first one"
    )]
    LockedForNewNetwork {
        /// The BIP44 coin type asked for.
        coin_type: u32,
    },
    /// The wallet watches only.
    #[error(
        "the wallet has no private keys; it can watch and prepare payments, and another wallet must sign"
    )]
    WatchOnly,
    /// A descriptor without private key, for a wallet that has those of all others.
    #[error(
        "this wallet has private keys, so it takes descriptors with private keys only; make a wallet without (createwallet with disable_private_keys) to watch"
    )]
    ImportWithoutKey,
    /// A descriptor with a private key, for a wallet that watches.
    #[error(
        "this wallet has no private keys and takes none; give the public form of the descriptor"
    )]
    ImportWithKey,
    /// A range that is none.
    #[error(
        "the range must begin below its end, end below 2147483648 and have at most {max} indexes"
    )]
    ImportRange {
        /// Most indexes.
        max: u32,
    },
    /// A wallet that makes no addresses.
    #[error(
        "the wallet has no keys to make this address of; import a descriptor with a range and make it active"
    )]
    NoActiveDescriptor,
    /// A label or comment that would fill the file.
    #[error("the {what} has {found} bytes; at most {max} are kept")]
    TextTooLong {
        /// What it is.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// Most bytes.
        max: usize,
    },
    /// `unlock` on a wallet without a passphrase.
    #[error("the wallet has no passphrase, so there is nothing to unlock")]
    NotEncrypted,
    /// A key-derivation cost that would exhaust memory or time; refused before anything is allocated.
    #[error(
        "key-derivation cost {what} is {found}, outside {min}..={max}; the wallet file was damaged or tampered with"
    )]
    KdfOutOfBounds {
        /// Which parameter.
        what: &'static str,
        /// The value found.
        found: u64,
        /// Least allowed value.
        min: u64,
        /// Greatest allowed value.
        max: u64,
    },
    /// The machine has too little memory for the key derivation.
    #[error("not enough memory for the key derivation ({kib} KiB needed)")]
    KdfMemory {
        /// What was asked for, in KiB.
        kib: u64,
    },
    /// A recovery phrase that is not one.
    #[error("not a recovery phrase: {0}")]
    BadPhrase(#[from] PhraseError),
    /// Another process held the wallet's lock for too long.
    #[error("another process has been changing the wallet for {seconds} s (lock file {}); try again when it is done", .path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The file now holds another wallet than the one that was opened.
    #[error("{} was replaced by another wallet while it was open; restart to use that one", .path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// All 2^31 indices of a branch are used, or a coin type is not below 2^31.
    #[error("{what} {found} is outside the range of BIP32 (below 2147483648)")]
    IndexOutOfRange {
        /// What was too large.
        what: &'static str,
        /// The value.
        found: u32,
    },
    /// BIP32 gave no key at this place (chance below 2^-127).
    #[error("key derivation failed at coin type {coin_type}")]
    Derivation {
        /// The BIP44 coin type.
        coin_type: u32,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Random(String),
    /// The disk.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why a text is no BIP39 phrase. Names positions, never words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Neither 12, 15, 18, 21 nor 24 words.
    #[error("it has {found} words; right are 12, 15, 18, 21 or 24")]
    WordCount {
        /// Number of words found.
        found: usize,
    },
    /// A word outside the English list of BIP39.
    #[error("word {position} is not in the BIP39 English word list; check its spelling")]
    UnknownWord {
        /// Position, counted from 1.
        position: usize,
    },
    /// All words are known and the checksum does not fit.
    #[error("its checksum does not fit; a word is wrong or two are swapped")]
    Checksum,
}
