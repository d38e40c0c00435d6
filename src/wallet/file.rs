//! The format of wallet files, versions 1 and 2, and what makes a file well-formed.
//!
//! In clear: the header, each network's extended public key and the addresses handed out, so that a locked wallet can
//! list them and make more. Secret: the entropy, as a phrase in a wallet without passphrase, else sealed. Version 2 adds
//! imported descriptors, labels, payments that were sent, and wallets without private keys; a file that has none of these is
//! written as version 1, so that older programs can read it.
//!
//! # Invariants
//! A file that [`WalletFile::parse`] returns is byte for byte what [`WalletFile::render`] writes, its checksum fits,
//! exactly one of `phrase` and `encryption` is there (neither in a wallet without private keys), and in each account the indices of
//! a branch count up from 0 without gap to the next index. The checksum finds accidents; intent is found by the seal and by
//! [`WalletFile::check_accounts`].

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::primitives::{PubkeyHash, sha256d};

use super::error::WalletError;
use super::hd::{AccountKey, AccountPublic, Branch, INDEX_END};
use super::records::{ImportRecord, OutgoingRecord, is_false};
use super::seal::Sealed;

/// The value of `format` in every version.
const FORMAT: &str = "quarry-wallet";
/// The newest version this program reads and writes.
pub(super) const VERSION: u32 = 2;
/// The version of a file that holds nothing that came with version 2.
const FIRST_VERSION: u32 = 1;
/// The version that seals are bound to. What is sealed has not changed since the first.
const SEAL_VERSION: u32 = 1;
/// Room for one address in the file, generously; see [`WalletFile::render`].
const ADDRESS_BYTES: usize = 256;

/// A text that is wiped when dropped and never printed.
#[derive(Clone)]
pub(super) struct SecretText(pub(super) Zeroizing<String>);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WalletFile {
    format: String,
    version: u32,
    /// Unix time in seconds of the wallet's making.
    created: u64,
    /// Which wallet this is, see [`wallet_id`](super::hd::wallet_id).
    pub(super) id: PubkeyHash,
    /// The recovery phrase of a wallet without passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) phrase: Option<SecretText>,
    /// The entropy of a wallet with passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encryption: Option<Sealed>,
    /// One entry a coin type, in the order of first use.
    pub(super) accounts: Vec<Account>,
    /// There are no private keys: it watches imported descriptors.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) watch_only: bool,
    /// Imported descriptors, in the order of their import.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) imports: Vec<ImportRecord>,
    /// Names of addresses, the wallet's own and others'.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<PubkeyHash, String>,
    /// Payments that were sent and are not buried in the chain yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) outgoing: Vec<OutgoingRecord>,
    /// Double SHA-256, in hex, of the compact JSON of all the above with this field empty.
    checksum: String,
}

/// The part of the file that the seal authenticates.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Header {
    format: &'static str,
    version: u32,
    created: u64,
    id: PubkeyHash,
}

/// What is known in clear about the keys of one coin type.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub(super) coin_type: u32,
    /// Extended public key of `m/44'/coin_type'/0'`.
    xpub: String,
    next_external: u32,
    next_change: u32,
    /// In the order of their making.
    pub(super) addresses: Vec<AddressRecord>,
}

/// One address handed out.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressRecord {
    pub(super) hash: PubkeyHash,
    change: bool,
    pub(super) index: u32,
    /// Unix time in seconds.
    pub(super) created: u64,
}

impl AddressRecord {
    pub(super) fn branch(&self) -> Branch {
        if self.change {
            Branch::Change
        } else {
            Branch::External
        }
    }
}

impl Account {
    pub(super) fn new(coin_type: u32, public: &AccountPublic) -> Self {
        let xpub = public.to_text();
        Self {
            coin_type,
            xpub,
            next_external: 0,
            next_change: 0,
            addresses: Vec::new(),
        }
    }

    pub(super) fn public(&self) -> Option<AccountPublic> {
        AccountPublic::parse(&self.xpub)
    }

    /// The index the next address of a branch gets.
    pub(super) fn next(&self, branch: Branch) -> u32 {
        match branch {
            Branch::External => self.next_external,
            Branch::Change => self.next_change,
        }
    }

    /// The hash of any index of a branch, handed out or not.
    pub(super) fn hashes(
        &self,
        branch: Branch,
    ) -> Option<impl Fn(u32) -> Option<PubkeyHash> + use<>> {
        let parent = self.public()?.branch(branch)?;
        Some(move |index| parent.pubkey_hash(index))
    }

    /// Hands out the next address of a branch.
    pub(super) fn add(&mut self, branch: Branch, now: u64) -> Result<PubkeyHash, WalletError> {
        let index = self.next(branch);
        if index >= INDEX_END {
            return Err(WalletError::IndexOutOfRange {
                what: "address index",
                found: index,
            });
        }
        let hash =
            self.hashes(branch)
                .and_then(|hash| hash(index))
                .ok_or(WalletError::Derivation {
                    coin_type: self.coin_type,
                })?;
        let change = branch == Branch::Change;
        self.addresses.push(AddressRecord {
            hash,
            change,
            index,
            created: now,
        });
        match branch {
            Branch::External => self.next_external += 1,
            Branch::Change => self.next_change += 1,
        }
        Ok(hash)
    }

    /// Whether the addresses that `is_new` asks for are those of the extended public key.
    fn derives(&self, is_new: impl Fn(&PubkeyHash) -> bool) -> bool {
        Branch::ALL.into_iter().all(|branch| {
            let of_branch = self
                .addresses
                .iter()
                .filter(|record| record.branch() == branch);
            let mut new = of_branch.filter(|record| is_new(&record.hash)).peekable();
            if new.peek().is_none() {
                return true;
            }
            self.hashes(branch)
                .is_some_and(|hash| new.all(|record| hash(record.index) == Some(record.hash)))
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.coin_type >= INDEX_END {
            return Err(format!("coin type {} is too large", self.coin_type));
        }
        if self.public().is_none() {
            return Err(format!(
                "the public key of coin type {} is not one",
                self.coin_type
            ));
        }
        let mut next = [0_u32; 2];
        for address in &self.addresses {
            let slot = if address.change {
                &mut next[1]
            } else {
                &mut next[0]
            };
            if address.index != *slot || address.index >= INDEX_END {
                return Err(format!("address index {} is out of order", address.index));
            }
            *slot += 1;
        }
        if next != [self.next_external, self.next_change] {
            return Err("the next address index does not follow the last one".to_owned());
        }
        Ok(())
    }
}

impl WalletFile {
    /// A file without secret and addresses; the caller sets one of `phrase` and `encryption`.
    pub(super) fn new(id: PubkeyHash, created: u64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: FIRST_VERSION,
            created,
            id,
            phrase: None,
            encryption: None,
            accounts: Vec::new(),
            watch_only: false,
            imports: Vec::new(),
            labels: BTreeMap::new(),
            outgoing: Vec::new(),
            checksum: String::new(),
        }
    }

    pub(super) fn header(&self) -> Header {
        Header {
            format: FORMAT,
            version: SEAL_VERSION,
            created: self.created,
            id: self.id,
        }
    }

    /// The bytes of the file, checksum included.
    pub(super) fn render(&self) -> Zeroizing<Vec<u8>> {
        let mut whole = self.clone();
        whole.version = self.needed_version();
        whole.checksum = whole.compute_checksum();
        let mut bytes = self.buffer();
        serde_json::to_writer_pretty(&mut *bytes, &whole).expect(ALWAYS_JSON);
        bytes.push(b'\n');
        bytes
    }

    fn compute_checksum(&self) -> String {
        let mut bare = self.clone();
        bare.checksum.clear();
        let mut bytes = self.buffer();
        serde_json::to_writer(&mut *bytes, &bare).expect(ALWAYS_JSON);
        hex::encode(sha256d(&bytes))
    }

    /// The oldest version that has room for what the file holds.
    fn needed_version(&self) -> u32 {
        let is_first = !self.watch_only
            && self.imports.is_empty()
            && self.labels.is_empty()
            && self.outgoing.is_empty();
        if is_first { FIRST_VERSION } else { VERSION }
    }

    /// A buffer large enough that writing does not move it, which would leave copies of the phrase in freed memory.
    fn buffer(&self) -> Zeroizing<Vec<u8>> {
        let addresses: usize = self.accounts.iter().map(|a| a.addresses.len() + 2).sum();
        let records = addresses + self.imports.len() + self.labels.len() + self.outgoing.len();
        let secrets = self.imports.iter().filter_map(|i| i.secret.as_ref());
        // A character of a label is at most six of JSON.
        let labels = self.labels.values().map(|label| 6 * label.len());
        let noted = self
            .outgoing
            .iter()
            .map(|o| o.tx.len() + 6 * (o.comment.len() + o.to.len()) + ADDRESS_BYTES);
        let texts: usize = self
            .imports
            .iter()
            .map(|import| import.descriptor.len() + ADDRESS_BYTES)
            .chain(secrets.map(String::len))
            .chain(labels)
            .chain(noted)
            .sum();
        Zeroizing::new(Vec::with_capacity(2048 + texts + records * ADDRESS_BYTES))
    }

    /// Unix time in seconds of the wallet's making.
    pub(super) const fn created(&self) -> u64 {
        self.created
    }

    /// What of the version the file has, for people.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    /// Reads and checks the bytes of the file at `path` (which is only named in errors).
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self, WalletError> {
        let corrupt = |what: String| WalletError::Corrupt {
            path: path.to_owned(),
            what,
        };
        check_version(bytes, path)?;
        // The parser's message can quote the text, and the text holds the phrase: tell the place only.
        let file: Self = serde_json::from_slice(bytes).map_err(|error| {
            corrupt(format!(
                "it cannot be read at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        if file.checksum != file.compute_checksum() {
            return Err(corrupt("its checksum does not fit".to_owned()));
        }
        if file.render().as_slice() != bytes {
            return Err(corrupt("it was changed by another program".to_owned()));
        }
        match (&file.phrase, &file.encryption) {
            (None, None) if file.watch_only && file.accounts.is_empty() => {}
            (Some(_), None) if !file.watch_only => {}
            (None, Some(sealed)) if !file.watch_only => {
                sealed
                    .check_shape()
                    .map_err(|what| corrupt(what.to_owned()))?;
                sealed.params()?;
            }
            _ => {
                return Err(corrupt(
                    "it needs either a phrase or an encrypted one".to_owned(),
                ));
            }
        }
        for import in &file.imports {
            import.check().map_err(corrupt)?;
            if import.secret.is_some() == file.watch_only {
                return Err(corrupt(
                    "a wallet has private keys for all of its descriptors or for none".to_owned(),
                ));
            }
        }
        if file
            .outgoing
            .iter()
            .any(|sent| sent.transaction().is_none())
        {
            return Err(corrupt("a payment that was sent cannot be read".to_owned()));
        }
        let mut coin_types = HashSet::new();
        let mut hashes = HashSet::new();
        for account in &file.accounts {
            account.check().map_err(corrupt)?;
            if !coin_types.insert(account.coin_type) {
                return Err(corrupt(format!(
                    "coin type {} is listed twice",
                    account.coin_type
                )));
            }
            if !account
                .addresses
                .iter()
                .all(|address| hashes.insert(address.hash))
            {
                return Err(corrupt("an address is listed twice".to_owned()));
            }
        }
        Ok(file)
    }

    /// Checks that the keys in clear belong to the seed, so that nobody slipped an address of his own into the file:
    /// every extended public key, and the addresses that `is_new` asks for (some 0.1 ms each).
    pub(super) fn check_accounts<'a>(
        &self,
        path: &Path,
        is_new: impl Fn(&PubkeyHash) -> bool,
        key_of: impl Fn(u32) -> Option<&'a AccountKey>,
    ) -> Result<(), WalletError> {
        for account in &self.accounts {
            let right = key_of(account.coin_type).map(AccountKey::public);
            if right.is_none() || right != account.public() || !account.derives(&is_new) {
                return Err(WalletError::Corrupt {
                    path: path.to_owned(),
                    what: format!(
                        "keys of coin type {} are not this wallet's",
                        account.coin_type
                    ),
                });
            }
        }
        Ok(())
    }
}

const ALWAYS_JSON: &str = "a struct of texts and numbers always has a JSON form";

/// Looks at format and version alone, so that a newer file is named as such and not as damaged.
fn check_version(bytes: &[u8], path: &Path) -> Result<(), WalletError> {
    #[derive(Deserialize)]
    struct Probe {
        format: String,
        version: u64,
    }
    let corrupt = |what: &str| WalletError::Corrupt {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let probe: Probe = serde_json::from_slice(bytes)
        .map_err(|_| corrupt("it is not JSON with a format and a version"))?;
    if probe.format != FORMAT {
        return Err(corrupt("it is not a wallet file of quarry"));
    }
    if !(u64::from(FIRST_VERSION)..=u64::from(VERSION)).contains(&probe.version) {
        return Err(WalletError::UnknownVersion {
            path: path.to_owned(),
            found: probe.version,
            known: VERSION,
        });
    }
    Ok(())
}
