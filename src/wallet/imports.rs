//! Descriptors of the wallet: imported ones, and those that its phrase stands for.

use crate::primitives::PubkeyHash;

use super::addresses::GAP_LIMIT;
use super::descriptor::{Descriptor, KeyOrigin};
use super::error::WalletError;
use super::file::Account;
use super::hd::{self, Branch, INDEX_END};
use super::owned::OwnedAddress;
use super::places::Place;
use super::records::ImportRecord;
use super::store::Wallet;

/// Most indexes of one imported range. Each is derived when the wallet is opened, in some 50 µs, so this many take a second
/// or two.
pub const MAX_IMPORT_RANGE: u32 = 20_000;

/// A descriptor to be imported.
#[derive(Debug, Clone)]
pub struct Import {
    /// The descriptor, with its private key where the wallet has private keys.
    pub descriptor: Descriptor,
    /// First index and the one after the last; not looked at without a range.
    pub range: (u32, u32),
    /// The index that the next new address gets, if it is not the first.
    pub next: Option<u32>,
    /// Whether new addresses are made from it.
    pub active: bool,
    /// Whether its addresses are for change.
    pub change: bool,
    /// Unix time in seconds before which it was not used.
    pub created: u64,
}

/// A descriptor of the wallet, as it is listed.
#[derive(Debug, Clone)]
pub struct ListedDescriptor {
    /// The descriptor.
    pub descriptor: Descriptor,
    /// First index and the one after the last.
    pub range: (u32, u32),
    /// The index that the next new address gets.
    pub next: u32,
    /// Whether new addresses are made from it.
    pub active: bool,
    /// Whether its addresses are for change.
    pub change: bool,
    /// Unix time in seconds before which it was not used.
    pub created: u64,
}

impl Wallet {
    /// Imports descriptors of a coin type, all or none. One that is here already gets the wider range and the new settings.
    ///
    /// # Errors
    /// [`WalletError::Locked`], [`WalletError::ImportWithoutKey`], [`WalletError::ImportWithKey`],
    /// [`WalletError::ImportRange`], or why the disk refused.
    pub fn import(&mut self, coin_type: u32, imports: &[Import]) -> Result<(), WalletError> {
        self.modify(|file, unlocked| {
            for import in imports {
                let descriptor = &import.descriptor;
                let secret = match (file.watch_only, descriptor.has_secret()) {
                    (true, true) => return Err(WalletError::ImportWithKey),
                    (false, false) => return Err(WalletError::ImportWithoutKey),
                    (true, false) => None,
                    (false, true) => {
                        let unlocked = unlocked.as_ref().ok_or(WalletError::Locked)?;
                        unlocked.seal_import(descriptor)?
                    }
                };
                add(&mut file.imports, coin_type, import, secret)?;
            }
            Ok(())
        })
    }

    /// The descriptors of a coin type: the two of the phrase, then the imported ones. With private keys if asked for.
    ///
    /// # Errors
    /// With private keys: [`WalletError::Locked`], [`WalletError::WatchOnly`], [`WalletError::Corrupt`].
    pub fn descriptors(
        &self,
        coin_type: u32,
        private: bool,
    ) -> Result<Vec<ListedDescriptor>, WalletError> {
        let unlocked = match private {
            false => None,
            true => {
                self.check_private_keys()?;
                Some(self.unlocked.as_ref().ok_or(WalletError::Locked)?)
            }
        };
        let unreadable = || WalletError::Corrupt {
            path: self.path.clone(),
            what: "a descriptor cannot be read".to_owned(),
        };
        let mut listed = Vec::new();
        let account = self.file.accounts.iter().find(|a| a.coin_type == coin_type);
        for branch in Branch::ALL.into_iter().filter(|_| account.is_some()) {
            let account = account.ok_or_else(unreadable)?;
            let descriptor = match unlocked {
                None => self.branch_descriptor(account, branch),
                Some(unlocked) => unlocked.known_account(coin_type).map(|key| {
                    let (public, secret) = (key.extended().public_key(), key.extended().clone());
                    let steps = vec![branch.number()];
                    Descriptor::ranged(self.origin(coin_type), public, Some(secret), steps)
                }),
            };
            let next = account.next(branch);
            listed.push(ListedDescriptor {
                descriptor: descriptor.ok_or_else(unreadable)?,
                range: (0, next.saturating_add(GAP_LIMIT).min(INDEX_END)),
                next,
                active: self.next_import(coin_type, branch).is_none(),
                change: branch == Branch::Change,
                created: self.created(),
            });
        }
        let imports = self.file.imports.iter();
        for record in imports.filter(|record| record.coin_type == coin_type) {
            let descriptor = match unlocked {
                None => record.parsed(),
                Some(unlocked) => unlocked.open_import(record),
            };
            listed.push(ListedDescriptor {
                descriptor: descriptor.ok_or_else(unreadable)?,
                range: (record.first, record.end),
                next: record.next,
                active: record.active,
                change: record.change,
                created: record.created,
            });
        }
        Ok(listed)
    }

    fn origin(&self, coin_type: u32) -> KeyOrigin {
        KeyOrigin {
            fingerprint: self.fingerprint(),
            path: hd::account_path(coin_type).to_vec(),
        }
    }

    /// The descriptor of one branch of the phrase.
    pub(super) fn branch_descriptor(
        &self,
        account: &Account,
        branch: Branch,
    ) -> Option<Descriptor> {
        let public = account.public()?.extended().clone();
        let steps = vec![branch.number()];
        let origin = self.origin(account.coin_type);
        Some(Descriptor::ranged(origin, public, None, steps))
    }

    /// Position and next index of the imported descriptor that makes the addresses of a branch, if one does.
    pub(super) fn next_import(&self, coin_type: u32, branch: Branch) -> Option<(usize, u32)> {
        let mut imports = self.file.imports.iter().enumerate();
        imports
            .find(|(_, record)| {
                record.active && record.coin_type == coin_type && record.branch() == branch
            })
            .map(|(at, record)| (at, record.next))
    }

    /// Hands out the address at an index of an import.
    pub(super) fn take_import(
        &mut self,
        import: usize,
        index: u32,
    ) -> Result<PubkeyHash, WalletError> {
        let used_up = WalletError::IndexOutOfRange {
            what: "address index",
            found: index,
        };
        if index >= INDEX_END {
            return Err(used_up);
        }
        self.modify(|file, _| {
            if let Some(record) = file.imports.get_mut(import) {
                record.next = index.saturating_add(1);
                let end = record.next.saturating_add(GAP_LIMIT).min(INDEX_END);
                record.end = record.end.max(end);
            }
            Ok(())
        })?;
        self.places.of_import(import, index).ok_or(used_up)
    }

    /// Whether a payment to an index of an import asks for more of the range: it was not handed out, and is near the end.
    pub(super) fn is_beyond(&self, import: usize, index: u32) -> bool {
        self.file.imports.get(import).is_some_and(|record| {
            let is_ranged = record.end - record.first > 1 || record.active;
            is_ranged && index >= record.next
        })
    }

    /// Those addresses of imports that were handed out; of what has no range, all.
    pub(super) fn imported_addresses(&self, coin_type: u32) -> Vec<OwnedAddress> {
        let mut listed = Vec::new();
        for (import, record) in self.file.imports.iter().enumerate() {
            if record.coin_type != coin_type {
                continue;
            }
            let is_single = !record.active && (record.first, record.end) == (0, 1);
            let end = if is_single { record.end } else { record.next };
            let hashes = (record.first..end)
                .filter_map(|index| Some((index, self.places.of_import(import, index)?)));
            // One that is the phrase's, too, is listed there.
            let own = hashes
                .filter(|(_, hash)| matches!(self.places.get(hash), Some(Place::Import { .. })));
            listed.extend(own.map(|(index, hash)| OwnedAddress::imported(hash, record, index)));
        }
        listed
    }
}

fn add(
    records: &mut Vec<ImportRecord>,
    coin_type: u32,
    import: &Import,
    secret: Option<String>,
) -> Result<(), WalletError> {
    let wrong_range = || WalletError::ImportRange {
        max: MAX_IMPORT_RANGE,
    };
    let is_ranged = import.descriptor.is_ranged();
    let (first, end) = if is_ranged { import.range } else { (0, 1) };
    let next = import.next.filter(|_| is_ranged).unwrap_or(first);
    let right = first < end && end <= INDEX_END && (first..=end).contains(&next);
    if !right || end - first > MAX_IMPORT_RANGE || (import.active && !is_ranged) {
        return Err(wrong_range());
    }
    if import.active {
        let others = records
            .iter_mut()
            .filter(|record| record.coin_type == coin_type && record.change == import.change);
        for other in others {
            other.active = false;
        }
    }
    let descriptor = import.descriptor.to_file();
    let known = records
        .iter_mut()
        .find(|record| record.coin_type == coin_type && record.descriptor == descriptor);
    match known {
        Some(record) => {
            // Both ranges stay the wallet's: a coin that it has is not lost for a narrower import.
            record.first = record.first.min(first);
            record.end = record.end.max(end);
            if record.end - record.first > MAX_IMPORT_RANGE {
                return Err(wrong_range());
            }
            record.next = next.max(record.next);
            record.active = import.active;
            record.change = import.change;
            record.created = record.created.min(import.created);
        }
        None => records.push(ImportRecord {
            coin_type,
            descriptor,
            secret,
            first,
            end,
            next,
            active: import.active,
            change: import.change,
            created: import.created,
        }),
    }
    Ok(())
}
