//! Where the wallet's addresses stand in its file, by hash.

use std::collections::HashMap;

use crate::primitives::PubkeyHash;

use super::file::WalletFile;

/// Where one address stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Position of its account, position in the account.
    Phrase { account: usize, address: usize },
    /// Position of the imported descriptor, index in it.
    Import { import: usize, index: u32 },
}

/// All addresses of a file.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_hash: HashMap<PubkeyHash, Place>,
    /// The hashes of each import with the index of the first. Deriving one takes some 50 µs, so they are kept.
    derived: Vec<Derived>,
}

#[derive(Debug)]
struct Derived {
    descriptor: String,
    first: u32,
    hashes: Vec<PubkeyHash>,
}

impl Places {
    /// Of a file, with what is known of an earlier state of it.
    pub(super) fn of(file: &WalletFile, before: Self) -> Self {
        let mut known = before.derived;
        let mut by_hash = HashMap::new();
        let mut derived = Vec::with_capacity(file.imports.len());
        for (import, record) in file.imports.iter().enumerate() {
            let at = known
                .iter()
                .position(|old| old.descriptor == record.descriptor && old.first == record.first);
            let mut all = match at {
                Some(at) => known.swap_remove(at),
                None => Derived {
                    descriptor: record.descriptor.clone(),
                    first: record.first,
                    hashes: Vec::new(),
                },
            };
            let count = u32::try_from(all.hashes.len()).unwrap_or(u32::MAX);
            let missing = record.first.saturating_add(count);
            if let Some(descriptor) = record.parsed().filter(|_| missing < record.end) {
                all.hashes.extend(descriptor.hashes(missing, record.end));
            }
            let end = usize::try_from(record.end - record.first).unwrap_or(usize::MAX);
            for (index, hash) in (record.first..).zip(all.hashes.iter().take(end)) {
                by_hash.insert(*hash, Place::Import { import, index });
            }
            derived.push(all);
        }
        // Last, so that an address of the phrase that was imported, too, is the phrase's.
        for (account, known) in file.accounts.iter().enumerate() {
            for (address, record) in known.addresses.iter().enumerate() {
                by_hash.insert(record.hash, Place::Phrase { account, address });
            }
        }
        Self { by_hash, derived }
    }

    pub(super) fn get(&self, hash: &PubkeyHash) -> Option<Place> {
        self.by_hash.get(hash).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PubkeyHash, &Place)> {
        self.by_hash.iter()
    }

    /// The hash at an index of an import.
    pub(super) fn of_import(&self, import: usize, index: u32) -> Option<PubkeyHash> {
        let derived = self.derived.get(import)?;
        let at = index.checked_sub(derived.first)?;
        derived.hashes.get(usize::try_from(at).ok()?).copied()
    }
}
